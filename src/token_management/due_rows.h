/* SPDX-License-Identifier: Apache-2.0 */
/* What the background refresh reads and writes of the rows. Workers. */
#ifndef TOKEN_MANAGEMENT_DUE_ROWS_H
#define TOKEN_MANAGEMENT_DUE_ROWS_H

#include "base/attr.h"
#include "base/fault.h"

struct token_management;

struct due_row { /* owned: due_row_done */
	int64_t client_row, at_ms;
	char *branch_id, *app_id; /* app_id "": none */
	bool can_refresh;         /* false: inactive, dead, revoked, never connected */
};
void due_row_done(struct due_row *r);

/* The next most rows of a provider that are due before until_ms, in order. ret has room for most.
 */
MUST_CHECK int due_rows_read(struct token_management *tm, const char *provider, int64_t until_ms,
	size_t most, struct due_row *ret, size_t *ret_n, struct fault *f);

/* Puts a row off, unless it has moved by itself. to_ms 0: until somebody makes it due again. */
struct due_move {
	int64_t client_row, from_ms, to_ms;
};
#define DUE_MOVES_MOST 256
MUST_CHECK int due_rows_move(
	struct token_management *tm, const struct due_move *moves, size_t n, struct fault *f);

/*
 * Gives the next few connections a due time that have none: of an older version, imported, or left
 * from the time when the background was off. *after (a row id) moves on; 1: these were the last.
 */
MUST_CHECK int due_rows_adopt(
	struct token_management *tm, const char *provider, int64_t *after, struct fault *f);
/* The background was off and is on now: far due times are forgotten, to be given anew. */
MUST_CHECK int due_rows_forget_far(
	struct token_management *tm, const char *provider, struct fault *f);

#endif
