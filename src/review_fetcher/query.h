/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists: a statement put together from fixed pieces, every value an argument, and cursors that are
 * keys of the last row, so that a page stays where it was while rows come and go.
 */
#ifndef REVIEW_FETCHER_QUERY_H
#define REVIEW_FETCHER_QUERY_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "review_fetcher/review_fetcher.h"
#include "store/store.h"

#define QUERY_ARGS_MAX 16

struct query {
	enum db_engine engine;
	struct buf sql;
	struct db_value args[QUERY_ARGS_MAX];
	size_t n;
	struct buf branches; /* the scope as a JSON array */
};

void query_init(struct query *q, const struct db *db, const char *sql);
void query_done(struct query *q);
void query_add(struct query *q, const char *sql);
/* A piece with one "$?" for the value. */
void query_where(struct query *q, const char *piece, struct db_value value);
/* " AND <column> IN (the branches of the scope)"; nothing for a scope of all. */
void query_scope(struct query *q, const char *column, const struct review_scope *scope);
MUST_CHECK int query_run(
	struct query *q, struct db *db, db_row_fn *each, void *arg, struct fault *f);

/* Cursors: a letter for the list and two keys. first is text, second a number; either may be
 * unused. */
void cursor_write(struct buf *ret, char list, const char *text, int64_t number);
/* text is owned by *hold. FAULT_INPUT on "cursor" when it is not one of this list. */
MUST_CHECK int cursor_read(const char *cursor, char list, struct buf *hold, const char **ret_text,
	int64_t *ret_number, struct fault *f);

/* RFC 3339 with as many digits as are there: milliseconds or microseconds. 0 is "", or null. */
#define INSTANT_SIZE (CLOCK_TEXT_SIZE + 8)
void instant_text(int64_t us, char ret[static INSTANT_SIZE]);
void put_instant(struct json_out *o, const char *key, int64_t us);
/* A text column: null when it is NULL. */
void put_column(struct json_out *o, const char *key, const struct db_value *col);
/* A number column: null when it is NULL. */
void put_number(struct json_out *o, const char *key, const struct db_value *col);
void put_double(struct json_out *o, const char *key, const struct db_value *col);

#endif
