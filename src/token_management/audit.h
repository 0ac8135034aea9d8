/* SPDX-License-Identifier: Apache-2.0 */
/* The audit: one row an action, in the action's own transaction. */
#ifndef TOKEN_MANAGEMENT_AUDIT_H
#define TOKEN_MANAGEMENT_AUDIT_H

#include "base/fault.h"
#include "token_management/token_management.h"

struct db;

/* The actor of moves that nobody asked for. */
extern const struct actor audit_service;

/* branch_id and detail (JSON, no secret) may be NULL. who NULL: the service itself. */
MUST_CHECK int audit_write(struct db *db, const struct actor *who, const char *action,
	const char *branch_id, const char *detail, struct fault *f);

/* The same; *ret_id is the row, which no other action ever has. */
MUST_CHECK int audit_write_row(struct db *db, const struct actor *who, const char *action,
	const char *branch_id, const char *detail, int64_t *ret_id, struct fault *f);

#endif
