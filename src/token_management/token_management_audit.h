/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit: one row an action, in the action's own transaction. Part of the door, for other
 * modules' actions; reading it is audit_list in manage.h.
 */
#ifndef TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_AUDIT_H
#define TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_AUDIT_H

#include "base/fault.h"
#include "token_management/token_management.h"

struct db;

/* branch_id and detail (JSON, no secret) may be NULL. who NULL: the service itself. */
MUST_CHECK int audit_write(struct db *db, const struct actor *who, const char *action,
	const char *branch_id, const char *detail, struct fault *f);
/*
 * For an act that has no transaction of its own, before it is done: what cannot be written down is
 * not done. Worker.
 */
MUST_CHECK int audit_note(struct token_management *tm, const struct actor *who, const char *action,
	const char *branch_id, const char *detail, struct fault *f);

/*
 * HTTP. A token of this client was handed out: noted as TOKEN_READ_AUDIT says. Memory only; rows
 * are written by token_management_follow. key NULL: the caller needed none. remote: its address, or
 * NULL.
 */
void tokens_note_read(struct token_management *tm, const struct key_grant *key, int64_t client_row,
	const char *remote);

#endif
