/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines come in, cut anywhere; a batch of them is one transaction that writes the connections as
 * `pending` and due. From there on they are the background refresh's, like all others, so that a
 * process that dies leaves nothing behind that the next one does not know.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/import_rows.h"
#include "token_management/internal.h"

#define BATCH_LINES 200
#define BATCH_BYTES (1024 * 1024)
/*
 * Verifications begun in a second for each that may run at once: four fifths of what there is room
 * for when the provider takes 200 ms, so that an import of any size leaves the connections that are
 * in use their share.
 */
#define VERIFY_PER_SECOND 4

struct import {
	struct token_management *tm;
	char id[IMPORT_ID_SIZE];
	struct actor who; /* of the two: */
	char *name, *remote;
	bool replaces, is_ended;
	bool (*sees)(void *arg, const char *branch_id);
	void *arg;
	struct buf rest; /* the line that has not ended yet */
	bool is_too_long;
	int64_t n_lines;
	struct import_line lines[BATCH_LINES];
	size_t n, bytes;
	int64_t first_due_ms, n_due, batch_due;
	bool is_last;
};

void import_free(struct import *x)
{
	if (x == NULL)
		return;
	for (size_t i = 0; i < x->n; i++)
		import_line_done(&x->lines[i]);
	buf_drop(&x->rest);
	mem_free(x->name);
	mem_free(x->remote);
	mem_free(x);
}

static void import_freep(struct import **x)
{
	import_free(*x);
	*x = NULL;
}

static int audit(struct db *db, const struct import *x, const char *action, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(512);
	struct json_out o = JSON_OUT(&detail);

	json_open(&o, '{');
	json_add_text(&o, "import", x->id);
	json_add_text(&o, "on_conflict", x->replaces ? "replace" : "keep");
	json_add_int(&o, "lines", x->n_lines);
	json_close(&o, '}');
	return audit_write(db, &x->who, action, NULL, buf_text(&detail), f);
}

static int put_import(struct db *db, void *arg, struct fault *f)
{
	struct import *x = arg;
	int64_t now = clock_wall_ms();

	if (db_exec(db,
		    "INSERT INTO imports (id, actor, remote, on_conflict, created_at_ms,"
		    " updated_at_ms) VALUES ($1, $2, $3, $4, $5, $5)",
		    NULL, f, db_text(x->id), db_text(x->who.name), db_text(x->who.remote),
		    db_text(x->replaces ? "replace" : "keep"), db_int(now)) < 0)
		return -1;
	return audit(db, x, "import.begun", f);
}

/* Old reports go, a few at a time: no transaction is long because of them. */
static int drop_old(struct db *db, void *arg, struct fault *f)
{
	int64_t before = clock_wall_ms() - INT64_C(86400000) * IMPORT_KEPT_DAYS;

	(void)arg;
	if (db_exec(db,
		    "DELETE FROM import_lines WHERE import_id ="
		    " (SELECT id FROM imports WHERE created_at_ms < $1 ORDER BY created_at_ms"
		    "  LIMIT 1) AND line IN (SELECT line FROM import_lines WHERE import_id ="
		    "  (SELECT id FROM imports WHERE created_at_ms < $1 ORDER BY created_at_ms"
		    "   LIMIT 1) ORDER BY line LIMIT 5000)",
		    NULL, f, db_int(before)) < 0)
		return -1;
	return db_exec(db,
		"DELETE FROM imports WHERE created_at_ms < $1"
		" AND NOT EXISTS (SELECT 1 FROM import_lines l WHERE l.import_id = imports.id)",
		NULL, f, db_int(before));
}

int import_begin(struct token_management *tm, const struct import_options *options,
	struct import **ret, struct fault *f)
{
	AUTO(import_freep) struct import *x = mem_alloc(sizeof(*x));

	x->tm = tm;
	rand_uuid4(x->id);
	x->name = mem_text(options->who->name);
	x->remote = options->who->remote != NULL ? mem_text(options->who->remote) : NULL;
	x->who = (struct actor){.name = x->name, .remote = x->remote};
	x->replaces = options->replaces;
	x->sees = options->sees;
	x->arg = options->arg;
	x->rest = BUF_INIT_WIPED(IMPORT_LINE_BYTES);
	x->first_due_ms = clock_wall_ms();
	if (store_transact(tm->store, drop_old, NULL, f) < 0 ||
		store_transact(tm->store, put_import, x, f) < 0)
		return -1;
	*ret = TAKE(x);
	return 0;
}

const char *import_id(const struct import *x)
{
	return x->id;
}

/* ---- a batch ---- */

static int write_batch(struct db *db, void *arg, struct fault *f)
{
	struct import *x = arg;
	const struct import_batch batch = {
		.tm = x->tm,
		.import_id = x->id,
		.who = &x->who,
		.replaces = x->replaces,
		.sees = x->sees,
		.sees_arg = x->arg,
		.lines = x->lines,
		.n = x->n,
		.first_due_ms = x->first_due_ms,
		.due_step_us =
			1000000 / (VERIFY_PER_SECOND * x->tm->settings->token_refresh_concurrency),
		.n_due = x->n_due,
		.lines_total = x->n_lines,
		.is_last = x->is_last,
	};

	if (import_batch_write(db, &batch, &x->batch_due, f) < 0)
		return -1;
	return x->is_last ? audit(db, x, "import.received", f) : 0;
}

static int flush(struct import *x, struct fault *f)
{
	if (x->n == 0 && !x->is_last)
		return 0;
	if (store_transact(x->tm->store, write_batch, x, f) < 0)
		return -1;
	x->n_due += x->batch_due;
	if (x->batch_due > 0)
		due_hear_now(x->tm);
	for (size_t i = 0; i < x->n; i++) {
		if (x->lines[i].n_flaws == 0) /* memory may hold the failures of a token before */
			slots_forget(x->tm, x->lines[i].in.branch_id);
		import_line_done(&x->lines[i]);
	}
	x->n = x->bytes = 0;
	return 0;
}

/* ---- lines ---- */

static bool is_empty_line(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != ' ' && bytes[i] != '\t' && bytes[i] != '\r')
			return false;
	return true;
}

static void refuse_long_line(struct import_line *l, int64_t number)
{
	*l = (struct import_line){.number = number, .n_flaws = 1};
	snprintf(l->flaws[0].text, sizeof(l->flaws[0].text),
		"the line has more than %d bytes: one connection has less", IMPORT_LINE_BYTES);
}

static int take_line(struct import *x, const char *bytes, size_t len, struct fault *f)
{
	x->n_lines++;
	if (x->n_lines == 1 && len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
		bytes += 3; /* a byte order mark */
		len -= 3;
	}
	if (x->is_too_long)
		refuse_long_line(&x->lines[x->n++], x->n_lines);
	else if (!is_empty_line(bytes, len))
		import_line_parse(x->tm, bytes, len, x->n_lines, &x->lines[x->n++]);
	x->is_too_long = false;
	x->bytes += len;
	return x->n == BATCH_LINES || x->bytes >= BATCH_BYTES ? flush(x, f) : 0;
}

/* The part of a line that has no end yet. */
static void keep_rest(struct import *x, const char *bytes, size_t len)
{
	if (x->is_too_long)
		return;
	buf_add(&x->rest, bytes, len);
	if (buf_failed(&x->rest)) {
		x->is_too_long = true;
		buf_reset(&x->rest);
	}
}

int import_take(struct import *x, const char *bytes, size_t len, struct fault *f)
{
	while (len > 0) {
		const char *end = memchr(bytes, '\n', len);
		size_t part = end != NULL ? (size_t)(end - bytes) : len;
		int outcome;

		if (end == NULL) {
			keep_rest(x, bytes, len);
			return 0;
		}
		if (x->rest.len == 0 && !x->is_too_long && part <= IMPORT_LINE_BYTES) {
			outcome = take_line(x, bytes, part, f);
		} else {
			keep_rest(x, bytes, part);
			outcome = take_line(x, buf_text(&x->rest), x->rest.len, f);
			buf_reset(&x->rest);
		}
		if (outcome < 0)
			return -1;
		bytes += part + 1;
		len -= part + 1;
	}
	return 0;
}

int import_end(struct import *x, struct fault *f)
{
	if (x->is_ended)
		return 0;
	if (x->rest.len > 0 || x->is_too_long) {
		if (take_line(x, buf_text(&x->rest), x->rest.len, f) < 0)
			return -1;
		buf_reset(&x->rest);
	}
	x->is_last = true;
	if (flush(x, f) < 0)
		return -1;
	x->is_ended = true;
	return 0;
}

/* ---- one ---- */

int import_one(struct token_management *tm, const struct import_options *options, json_t *object,
	struct import_one *ret, struct fault *f)
{
	AUTO(import_freep) struct import *x = NULL;
	AUTO(import_line_done) struct import_line line;
	struct import_status status;

	*ret = (struct import_one){0};
	import_line_read(tm, object, 1, &line);
	memcpy(ret->flaws, line.flaws, sizeof(ret->flaws));
	ret->n_flaws = line.n_flaws;
	snprintf(ret->branch_id, sizeof(ret->branch_id), "%s", line.branch_id);
	if (line.n_flaws > 0)
		return IMPORT_ONE_INVALID;
	if (import_begin(tm, options, &x, f) < 0)
		return -1;
	snprintf(ret->id, sizeof(ret->id), "%s", x->id);
	x->n_lines = 1;
	x->lines[x->n++] = line;
	line = (struct import_line){0};
	if (import_end(x, f) < 0 || import_status(tm, x->id, &status, f) < 0)
		return -1;
	return status.exists > 0 ? IMPORT_ONE_EXISTS : IMPORT_ONE_TAKEN;
}
