/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of connections, in the order that is asked for. Each order has an index, and a page goes
 * on behind the key of the last row, so that the hundredth page costs what the first does.
 *
 * A part of a name is looked for in an index of all parts of three letters, and what was found is
 * put in order. What is found too often for that, and less than three letters, is met soon enough
 * on the way through the order.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/client_row.h"
#include "token_management/internal.h"

#define ARGS_MAX 8
#define SQL_MAX 4096
#define FEW_NAMES 20000 /* are put in order; of more the order is walked */
#define GRAM 3          /* letters of a part in the index */

struct listing {
	struct token_management *tm;
	const struct client_filter *filter;
	const char *pattern; /* for LIKE, or NULL */
	const char *phrase;  /* for the index of parts */
	bool is_few;         /* … which leads to few enough */
	client_each_fn *each;
	void *arg;
	int64_t now_ms;
	enum db_engine engine;
};

/* A statement put together from fixed pieces; each "$?" becomes the number of its value. */
struct statement {
	struct buf sql;
	struct db_value args[ARGS_MAX];
	size_t n;
};

static void statement_done(struct statement *s)
{
	buf_drop(&s->sql);
}

static void add(struct statement *s, const char *piece, struct db_value value)
{
	s->args[s->n++] = value;
	for (const char *mark; (mark = strstr(piece, "$?")); piece = mark + 2) {
		buf_add(&s->sql, piece, (size_t)(mark - piece));
		buf_addf(&s->sql, "$%zu", s->n);
	}
	buf_add_text(&s->sql, piece);
}

/* LIKE takes %, _ and the escape itself as they are. */
static void make_pattern(const char *q, struct buf *ret)
{
	buf_add_char(ret, '%');
	for (; *q != '\0'; q++) {
		if (strchr("%_\\", *q) != NULL)
			buf_add_char(ret, '\\');
		buf_add_char(ret, *q);
	}
	buf_add_char(ret, '%');
}

/* As a phrase of the index. */
static void make_phrase(const char *text, struct buf *ret)
{
	buf_add_char(ret, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"')
			buf_add_char(ret, '"');
		buf_add_char(ret, *text);
	}
	buf_add_char(ret, '"');
}

static bool has_gram(const char *q)
{
	int letters = 0;

	for (; *q != '\0' && letters < GRAM; q++)
		letters += ((unsigned char)*q & 0xc0) != 0x80;
	return letters == GRAM;
}

/* As STATUS_NOW says it, in words that the index by state takes. */
static void narrow_status(struct statement *s, const char *status)
{
	if (strcmp(status, "inactive") == 0) {
		buf_add_text(&s->sql, " AND c.is_active = 0");
	} else if (strcmp(status, "expiring") == 0) {
		buf_add_text(&s->sql, " AND c.is_active = 1 AND c.status = 'connected'"
				      " AND t.next_refresh_at_ms <= $1");
	} else {
		add(s, " AND c.is_active = 1 AND c.status = $?", db_text(status));
		if (strcmp(status, "connected") == 0)
			buf_add_text(&s->sql, " AND (t.next_refresh_at_ms IS NULL"
					      " OR t.next_refresh_at_ms > $1)");
	}
}

static void narrow(struct statement *s, const struct listing *x)
{
	if (x->filter->status != NULL)
		narrow_status(s, x->filter->status);
	if (x->pattern != NULL && x->engine != DB_SQLITE)
		add(s,
			x->is_few ? " AND strpos(c.names, lower($?)) > 0"
				    " AND client_grams(c.names) @> client_grams(lower($?))"
				  : " AND strpos(c.names, lower($?)) > 0",
			db_text(x->filter->q));
	else if (x->is_few)
		add(s, " AND c.id IN (SELECT rowid FROM client_names WHERE client_names MATCH $?)",
			db_text(x->phrase));
	else if (x->pattern != NULL)
		add(s,
			" AND (lower(c.branch_id) LIKE lower($?) ESCAPE '\\'"
			" OR lower(c.workspace_email) LIKE lower($?) ESCAPE '\\'"
			" OR lower(c.workspace_name) LIKE lower($?) ESCAPE '\\')",
			db_text(x->pattern));
}

static void begin(struct statement *s, const struct listing *x)
{
	*s = (struct statement){.sql = BUF_INIT(SQL_MAX)};
	add(s, CLIENT_SELECT "WHERE 1 = 1", db_int(x->now_ms));
	/* $1 stands in it by its number. */
	narrow(s, x);
}

static const struct {
	const char *column, *only; /* only: what has a place in this order */
	bool is_number;
} orders[] = {
	[CLIENTS_BY_ID] = {"c.id", "", true},
	[CLIENTS_BY_BRANCH] = {"c.branch_id", "", false},
	[CLIENTS_BY_NAME] = {"c.workspace_name", "", false},
	[CLIENTS_BY_EXPIRY] = {"t.expires_at_ms", " AND t.expires_at_ms IS NOT NULL", true},
};

/* The same number twice; each index knows its own. */
static const char *row_id(const struct client_filter *filter)
{
	return filter->sort == CLIENTS_BY_EXPIRY ? "t.client_id" : "c.id";
}

static void go_on(struct statement *s, const struct client_filter *filter)
{
	const char *column = orders[filter->sort].column;

	if (filter->after_id == 0)
		return;
	if (filter->sort == CLIENTS_BY_ID) {
		add(s, filter->descending ? " AND c.id < $?" : " AND c.id > $?",
			db_int(filter->after_id));
		return;
	}
	buf_addf(&s->sql, " AND (%s, %s) %c ", column, row_id(filter),
		filter->descending ? '<' : '>');
	add(s, "($?, ",
		orders[filter->sort].is_number ? db_int(filter->after_number)
					       : db_text(filter->after_text));
	add(s, "$?)", db_int(filter->after_id));
}

static int list_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct listing *x = arg;
	struct client c;
	int result;

	(void)n_cols;
	client_read_row(x->tm, cols, &c);
	result = x->each(x->arg, &c, f);
	client_done(&c);
	return result;
}

static int read_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

/* PostgreSQL chooses by itself, by what it knows of how often parts are. */
static int look_at_names(struct db *db, struct listing *x, struct buf *phrase, struct fault *f)
{
	int64_t n = 0;

	x->engine = db_engine(db);
	x->is_few = x->pattern != NULL && has_gram(x->filter->q);
	if (!x->is_few || x->engine != DB_SQLITE)
		return 0;
	buf_reset(phrase);
	make_phrase(x->filter->q, phrase);
	x->phrase = buf_text(phrase);
	if (db_read(db,
		    "SELECT count(*) FROM (SELECT rowid FROM client_names WHERE client_names MATCH "
		    "$1"
		    " LIMIT $2) few",
		    read_number, &n, f, db_text(x->phrase), db_int(FEW_NAMES + 1)) < 0)
		return -1;
	x->is_few = n <= FEW_NAMES;
	return 0;
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	struct listing *x = arg;
	const struct client_filter *filter = x->filter;
	const char *way = filter->descending ? "DESC" : "ASC";
	/* A '+' takes the order's index from the engine's choice: the names' leads to the rows. */
	const char *plus = "";
	AUTO(buf_drop) struct buf phrase = BUF_INIT(4096);
	AUTO(statement_done) struct statement s = {0};

	if (look_at_names(db, x, &phrase, f) < 0)
		return -1;
	if (x->is_few && x->engine == DB_SQLITE)
		plus = "+";
	begin(&s, x);
	buf_add_text(&s.sql, orders[filter->sort].only);
	go_on(&s, filter);
	buf_addf(&s.sql, " ORDER BY %s%s %s", plus, orders[filter->sort].column, way);
	if (filter->sort != CLIENTS_BY_ID)
		buf_addf(&s.sql, ", %s%s %s", plus, row_id(filter), way);
	add(&s, " LIMIT $?", db_int(filter->limit));
	return db_run(db, buf_text(&s.sql), s.args, s.n, list_row, x, NULL, f);
}

/* ---- a key bound to branches: each is looked up by itself, then they are put in order ---- */

struct few {
	struct listing *x;
	struct client *found;
	size_t n;
};

static int keep_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct few *few = arg;

	(void)n_cols;
	(void)f;
	client_read_row(few->x->tm, cols, &few->found[few->n++]);
	return 1;
}

static int few_body(struct db *db, void *arg, struct fault *f)
{
	struct few *few = arg;
	const struct client_filter *filter = few->x->filter;

	for (size_t i = 0; i < filter->n_branches; i++) {
		AUTO(statement_done) struct statement s;

		begin(&s, few->x);
		add(&s, " AND c.branch_id = $?", db_text(filter->branches[i]));
		buf_add_text(&s.sql, orders[filter->sort].only);
		go_on(&s, filter);
		if (db_run(db, buf_text(&s.sql), s.args, s.n, keep_row, few, NULL, f) < 0)
			return -1;
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct client *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int by_branch(const void *a, const void *b)
{
	const struct client *x = a, *y = b;

	return strcmp(x->branch_id, y->branch_id);
}

static int by_name(const void *a, const void *b)
{
	const struct client *x = a, *y = b;
	const int order = strcmp(x->workspace_name, y->workspace_name);

	return order != 0 ? order : by_id(a, b);
}

static int by_expiry(const void *a, const void *b)
{
	const struct client *x = a, *y = b;
	const int order =
		(x->expires_at_ms > y->expires_at_ms) - (x->expires_at_ms < y->expires_at_ms);

	return order != 0 ? order : by_id(a, b);
}

static int list_few(struct listing *x, struct fault *f)
{
	static int (*const compare[])(const void *, const void *) = {
		[CLIENTS_BY_ID] = by_id,
		[CLIENTS_BY_BRANCH] = by_branch,
		[CLIENTS_BY_NAME] = by_name,
		[CLIENTS_BY_EXPIRY] = by_expiry,
	};
	const struct client_filter *filter = x->filter;
	struct few few = {.x = x};
	int result;

	few.found = mem_alloc_array(filter->n_branches + 1, sizeof(*few.found));
	result = store_use(x->tm->store, few_body, &few, f);
	qsort(few.found, few.n, sizeof(*few.found), compare[filter->sort]);
	for (size_t i = 0; result == 0 && i < few.n && (int64_t)i < filter->limit; i++)
		result = x->each(x->arg, &few.found[filter->descending ? few.n - 1 - i : i], f);
	for (size_t i = 0; i < few.n; i++)
		client_done(&few.found[i]);
	mem_free(few.found);
	return result < 0 ? -1 : 0;
}

int clients_list(struct token_management *tm, const struct client_filter *filter,
	client_each_fn *each, void *arg, struct fault *f)
{
	AUTO(buf_drop) struct buf pattern = BUF_INIT(4096);
	struct listing x = {
		.tm = tm, .filter = filter, .each = each, .arg = arg, .now_ms = clock_wall_ms()};

	if (filter->q != NULL && filter->q[0] != '\0') {
		make_pattern(filter->q, &pattern);
		if (buf_failed(&pattern))
			return fault_input(f, "q", "q must have at most 2000 bytes");
		x.pattern = buf_text(&pattern);
	}
	if (filter->branches != NULL)
		return list_few(&x, f);
	return store_use(tm->store, list_body, &x, f);
}
