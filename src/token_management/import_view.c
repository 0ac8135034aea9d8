/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store.h"
#include "token_management/internal.h"
#include "token_management/token_management_import.h"

/* Each piece of an upload moves the row's time; none for so long means that nobody sends. */
#define SILENT_MS (2 * 60 * 1000)

struct looking {
	const char *id;
	struct import_status *ret;
};

#define SELECT_IMPORT                                                                  \
	"SELECT id, actor, on_conflict, lines, is_whole, created_at_ms, updated_at_ms" \
	" FROM imports "

static void read_import(const struct db_value *c, struct import_status *ret)
{
	*ret = (struct import_status){
		.replaces = text_equal(db_get_text(&c[2]), "replace"),
		.lines = db_get_int(&c[3]),
		.is_whole = db_get_int(&c[4]) != 0,
		.created_at_ms = db_get_int(&c[5]),
	};
	ret->is_interrupted = !ret->is_whole && db_get_int(&c[6]) < clock_wall_ms() - SILENT_MS;
	snprintf(ret->id, sizeof(ret->id), "%s", db_get_text(&c[0]));
	snprintf(ret->actor, sizeof(ret->actor), "%s", db_get_text(&c[1]));
}

static int see_import(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	read_import(c, arg);
	return 1;
}

static int see_state(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct import_status *s = arg;
	int64_t *const counts[] = {
		&s->waiting, &s->app_refused, &s->verified, &s->failed, &s->invalid, &s->exists};
	static const char *const states[] = {
		"waiting", "app_refused", "verified", "failed", "invalid", "exists"};

	(void)n_cols;
	(void)f;
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (text_equal(states[i], db_get_text(&c[0])))
			*counts[i] = db_get_int(&c[1]);
	if (db_get_int(&c[2]) > s->settled_at_ms)
		s->settled_at_ms = db_get_int(&c[2]);
	return 0;
}

static int count_lines(struct db *db, struct import_status *s, struct fault *f)
{
	if (db_read(db,
		    "SELECT state, count(*), max(settled_at_ms) FROM import_lines"
		    " WHERE import_id = $1 GROUP BY state",
		    see_state, s, f, db_text(s->id)) < 0)
		return -1;
	if (s->waiting > 0)
		s->settled_at_ms = 0;
	else if (s->settled_at_ms == 0)
		s->settled_at_ms = s->created_at_ms;
	return 0;
}

static int look(struct db *db, void *arg, struct fault *f)
{
	struct looking *x = arg;

	if (db_read(db, SELECT_IMPORT "WHERE id = $1", see_import, x->ret, f, db_text(x->id)) < 0)
		return -1;
	if (x->ret->id[0] == '\0')
		return fault_raise(f, FAULT_MISSING, "Import not found");
	return count_lines(db, x->ret, f);
}

int import_status(
	struct token_management *tm, const char *id, struct import_status *ret, struct fault *f)
{
	struct looking x = {.id = id, .ret = ret};

	*ret = (struct import_status){0};
	return store_use(tm->store, look, &x, f);
}

/* ---- all ---- */

struct listing {
	const char *only_by;
	int64_t limit;
	size_t n;
	struct import_status *found;
};

static int keep_import(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct listing *x = arg;

	(void)n_cols;
	(void)f;
	read_import(c, &x->found[x->n++]);
	return 0;
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	struct listing *x = arg;

	x->n = 0;
	if (db_read(db,
		    SELECT_IMPORT "WHERE (CAST($2 AS TEXT) IS NULL OR actor = $2)"
				  " ORDER BY created_at_ms DESC, id LIMIT $1",
		    keep_import, x, f, db_int(x->limit), db_text(x->only_by)) < 0)
		return -1;
	for (size_t i = 0; i < x->n; i++)
		if (count_lines(db, &x->found[i], f) < 0)
			return -1;
	return 0;
}

int imports_list(struct token_management *tm, const char *only_by, int64_t limit,
	import_each_fn *each, void *arg, struct fault *f)
{
	struct listing x = {.only_by = only_by, .limit = limit};
	int outcome;

	x.found = mem_alloc_array((size_t)limit, sizeof(*x.found));
	outcome = store_use(tm->store, list_body, &x, f);
	for (size_t i = 0; outcome == 0 && i < x.n; i++)
		outcome = each(arg, &x.found[i], f);
	mem_free(x.found);
	return outcome;
}

/* ---- the report ---- */

struct reporting {
	const char *id;
	int64_t after, limit;
	bool all;
	import_row_fn *each;
	void *arg;
};

static int see_line(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	const struct reporting *x = arg;
	const struct import_report_row row = {
		.line = db_get_int(&c[0]),
		.branch_id = db_get_text(&c[1]),
		.client_row = db_get_int(&c[2]),
		.state = db_get_text(&c[3]),
		.reason = db_get_text(&c[4]),
	};

	(void)n_cols;
	return x->each(x->arg, &row, f);
}

static int report_body(struct db *db, void *arg, struct fault *f)
{
	struct reporting *x = arg;

	return db_read(db,
		"SELECT line, branch_id, client_id, state, reason FROM import_lines"
		" WHERE import_id = $1 AND line > $2 AND (CAST($3 AS BIGINT) = 1 OR state <> "
		"'verified')"
		" ORDER BY line LIMIT $4",
		see_line, x, f, db_text(x->id), db_int(x->after), db_int(x->all), db_int(x->limit));
}

int import_report(struct token_management *tm, const char *id, int64_t after_line, int64_t limit,
	bool all, import_row_fn *each, void *arg, struct fault *f)
{
	struct reporting x = {.id = id,
		.after = after_line,
		.limit = limit,
		.all = all,
		.each = each,
		.arg = arg};

	return store_use(tm->store, report_body, &x, f);
}
