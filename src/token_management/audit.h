/* SPDX-License-Identifier: Apache-2.0 */
/* The audit, as this module's own files use it. */
#ifndef TOKEN_MANAGEMENT_AUDIT_H
#define TOKEN_MANAGEMENT_AUDIT_H

#include "token_management/token_management_audit.h"

/* The actor of moves that nobody asked for. */
extern const struct actor audit_service;

/* As audit_write; *ret_id is the row, which no other action ever has. */
MUST_CHECK int audit_write_row(struct db *db, const struct actor *who, const char *action,
	const char *branch_id, const char *detail, int64_t *ret_id, struct fault *f);

/*
 * Takes away what is older than AUDIT_RETENTION_DAYS, some pieces of it an hour; the rule that the
 * audit loses nothing holds for all that is younger. Worker.
 */
MUST_CHECK int audit_purge(struct token_management *tm, struct fault *f);

#endif
