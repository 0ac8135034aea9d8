/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of imports: what is written of each line, and how it hears what became of its
 * connection. All of it happens in the transaction of what it follows, so no line can say other
 * than its connection.
 */
#ifndef TOKEN_MANAGEMENT_IMPORT_ROWS_H
#define TOKEN_MANAGEMENT_IMPORT_ROWS_H

#include "token_management/grant.h"
#include "token_management/import_line.h"
#include "token_management/state.h"

struct db;

struct import_batch { /* borrowed */
	struct token_management *tm;
	const char *import_id;
	const struct actor *who;
	bool replaces;
	bool (*sees)(void *arg, const char *branch_id); /* NULL: all */
	void *sees_arg;
	const struct import_line *lines;
	size_t n;
	int64_t first_due_ms; /* when the next connection is to be verified, and how much later */
	int64_t due_step_us;  /* the one after it */
	int64_t n_due;        /* connections of this import that wait to be verified, so far */
	int64_t lines_total;  /* received of this import, with this batch */
	bool is_last;
};
/* Inside a transaction; may run again. n_due grows only when the caller says so: it is put into
 * *ret_due. */
MUST_CHECK int import_batch_write(
	struct db *db, const struct import_batch *b, int64_t *ret_due, struct fault *f);

/* A connection left the state `pending`: the lines that wait for it are settled. */
MUST_CHECK int import_settle(struct db *db, const struct state_change *c, struct fault *f);
/* Its refresh failed, and may yet work: lines say so when it is for their app to be mended. */
MUST_CHECK int import_put_off(
	struct db *db, int64_t client_row, const struct grant_failure *why, struct fault *f);
/* The client is deleted. */
MUST_CHECK int import_forget(struct db *db, int64_t client_row, struct fault *f);

#endif
