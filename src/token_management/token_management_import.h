/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that exist already: their refresh tokens are taken in, and verified by the refresh
 * that every connection has, under its caps and back-offs. One or a million, in constant memory. A
 * line is durable when import_take or import_end has answered; sending it again changes nothing.
 */
#ifndef TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_IMPORT_H
#define TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_IMPORT_H

#include "base/json.h"
#include "token_management/token_management.h"

#define IMPORT_LINE_BYTES (64 * 1024)
#define IMPORT_BYTES (INT64_C(4) * 1024 * 1024 * 1024) /* of one HTTP upload */
#define IMPORT_KEPT_DAYS 30
#define IMPORT_ID_SIZE 37

struct import_options { /* borrowed; texts are copied */
	const struct actor *who;
	bool replaces; /* a branch that exists gets the new token; else it stays as it is */
	/* Whether the caller may touch a branch; worker. NULL: all. */
	bool (*sees)(void *arg, const char *branch_id);
	void *arg;
};
struct import;
/* Worker. A new import. *ret is the caller's: import_free. */
MUST_CHECK int import_begin(struct token_management *tm, const struct import_options *options,
	struct import **ret, struct fault *f);
const char *import_id(const struct import *x);
/*
 * Worker. The next bytes of the JSON lines, cut anywhere. 0: taken; what made whole lines is
 * durable but for the newest few. A bad line is a row of the report, not a fault.
 */
MUST_CHECK int import_take(struct import *x, const char *bytes, size_t len, struct fault *f);
/* Worker. The end of the lines: all of them are durable. */
MUST_CHECK int import_end(struct import *x, struct fault *f);
void import_free(struct import *x); /* any thread; NULL is fine; what was not ended stays open */

#define IMPORT_FLAWS_MAX 10
struct import_flaw {
	char field[24], text[200];
};
enum import_one_outcome {
	IMPORT_ONE_TAKEN,   /* tokens_obtain of its branch verifies it at once */
	IMPORT_ONE_EXISTS,  /* the branch exists, and was not to be replaced */
	IMPORT_ONE_INVALID, /* flaws say why; nothing was written */
};
struct import_one {
	char id[IMPORT_ID_SIZE];
	char branch_id[256];
	struct import_flaw flaws[IMPORT_FLAWS_MAX];
	size_t n_flaws;
};
/* Worker. An import of one connection. */
MUST_CHECK int import_one(struct token_management *tm, const struct import_options *options,
	json_t *object, struct import_one *ret, struct fault *f);

struct import_status {
	char id[IMPORT_ID_SIZE], actor[64];
	bool replaces;
	bool is_whole;       /* the end of what was sent has come */
	bool is_interrupted; /* it will not come any more: send the file again */
	int64_t lines;       /* received */
	int64_t waiting, app_refused, verified, failed, invalid, exists; /* of them */
	int64_t created_at_ms, settled_at_ms; /* settled: 0 while lines wait */
};
/* Worker. FAULT_MISSING. */
MUST_CHECK int import_status(
	struct token_management *tm, const char *id, struct import_status *ret, struct fault *f);
/* The newest first; only_by: those that this actor made (NULL: all). */
typedef int import_each_fn(void *arg, const struct import_status *s, struct fault *f);
MUST_CHECK int imports_list(struct token_management *tm, const char *only_by, int64_t limit,
	import_each_fn *each, void *arg, struct fault *f);

struct import_report_row { /* borrowed for the call */
	int64_t line;
	const char *branch_id, *state, *reason; /* branch_id and reason may be NULL */
	int64_t client_row;                     /* 0: none */
};
typedef int import_row_fn(void *arg, const struct import_report_row *row, struct fault *f);
/* Worker. At most limit lines behind after_line; all, or only those that are not verified. */
MUST_CHECK int import_report(struct token_management *tm, const char *id, int64_t after_line,
	int64_t limit, bool all, import_row_fn *each, void *arg, struct fault *f);

#endif
