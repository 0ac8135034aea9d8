/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reviews as callers see them, newest update first.
 *
 * Of a few locations the newest reviews are found by sorting what the locations have; of many, by
 * walking the index of all reviews and skipping what is not theirs. Either is slow in the other's
 * case, so the number of locations that the filter leaves decides.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/query.h"
#include "review_fetcher/reviews.h"

#define FEW_LOCATIONS 200
#define COUNTED_MOST 10000

#define REVIEW_COLUMNS                                                                          \
	"r.id, r.account_id, r.location_id, r.review_id, r.rating, r.comment, r.reviewer_name," \
	" r.reviewer_photo_url, r.is_anonymous, r.review_created_us, r.review_updated_us,"      \
	" r.reply_text, r.reply_updated_us, r.reply_state, r.created_at_ms, r.updated_at_ms,"   \
	" r.last_seen_ms, r.deleted_at_ms, l.title"

static void put_review(struct json_out *o, const struct db_value *cols)
{
	json_add_int(o, "id", db_get_int(&cols[0]));
	put_column(o, "account_id", &cols[1]);
	put_column(o, "location_id", &cols[2]);
	put_column(o, "google_review_id", &cols[3]);
	put_number(o, "rating", &cols[4]);
	put_column(o, "comment", &cols[5]);
	put_column(o, "reviewer_name", &cols[6]);
	put_column(o, "reviewer_photo_url", &cols[7]);
	json_add_bool(o, "is_anonymous", db_get_int(&cols[8]) != 0);
	put_instant(o, "review_created_time", db_get_int(&cols[9]));
	put_instant(o, "review_updated_time", db_get_int(&cols[10]));
	put_column(o, "reply_text", &cols[11]);
	put_instant(o, "reply_time", db_get_int(&cols[12]));
	put_column(o, "reply_state", &cols[13]);
	put_column(o, "location_title", &cols[18]);
	json_add_time(o, "created_at", db_get_int(&cols[14]));
	json_add_time(o, "updated_at", db_get_int(&cols[15]));
	json_add_time(o, "last_seen_at", db_get_int(&cols[16]));
	json_add_time(o, "deleted_at", db_get_int(&cols[17]));
}

struct listing {
	const struct review_filter *filter;
	const struct list_page *page;
	struct json_out *out;
	struct buf *cursor;
	struct buf like;
	int64_t room, shown, total;
	int64_t last_us, last_id;
	bool few;
};

static int write_review(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct listing *l = arg;
	char us[24];

	(void)n_cols;
	(void)f;
	if (l->shown == l->room) {
		snprintf(us, sizeof(us), "%lld", (long long)l->last_us);
		cursor_write(l->cursor, l->filter->oldest_first ? 'o' : 'n', us, l->last_id);
		return 1;
	}
	json_open(l->out, '{');
	put_review(l->out, cols);
	json_close(l->out, '}');
	l->shown++;
	l->last_us = db_get_int(&cols[10]);
	l->last_id = db_get_int(&cols[0]);
	return 0;
}

static bool has_places(const struct review_filter *f)
{
	return f->scope.branches || f->branch_id || f->account_id;
}

/* The conditions on where a review was found, over location_parents p. */
static void narrow_places(struct query *q, const struct review_filter *f)
{
	query_scope(q, "p.branch_id", &f->scope);
	if (f->branch_id)
		query_where(q, " AND p.branch_id = $?", db_text(f->branch_id));
	if (f->account_id)
		query_where(q, " AND p.account_id = $?", db_text(f->account_id));
}

static int read_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

/* Whether the filter leaves only a few locations. */
static int look_at_places(struct db *db, struct listing *l, struct fault *f)
{
	AUTO(query_done) struct query q = {0};
	int64_t n = 0;

	if (l->filter->location_id || !has_places(l->filter))
		return 0;
	query_init(&q, db,
		"SELECT count(*) FROM (SELECT p.location_id FROM location_parents p WHERE 1 = 1");
	narrow_places(&q, l->filter);
	query_where(&q, " LIMIT $?) few", db_int(FEW_LOCATIONS + 1));
	if (query_run(&q, db, read_number, &n, f) < 0)
		return -1;
	l->few = n <= FEW_LOCATIONS;
	return 0;
}

/* The words are looked for as they are: % and _ mean themselves. */
static void make_like(struct buf *like, const char *words)
{
	buf_add_char(like, '%');
	for (const char *c = words; *c; c++) {
		if (strchr("%_\\", *c))
			buf_add_char(like, '\\');
		buf_add_char(like, *c);
	}
	buf_add_char(like, '%');
}

static void narrow_words(struct query *q, struct listing *l)
{
	size_t n;

	make_like(&l->like, l->filter->q);
	n = query_arg(q, db_text(buf_text(&l->like)));
	buf_addf(&q->sql,
		q->engine == DB_SQLITE ? " AND (r.comment LIKE $%zu ESCAPE '\\'"
					 " OR r.reviewer_name LIKE $%zu ESCAPE '\\')"
				       : " AND (r.comment ILIKE $%zu ESCAPE '\\'"
					 " OR r.reviewer_name ILIKE $%zu ESCAPE '\\')",
		n, n);
}

static void narrow_content(struct query *q, struct listing *l)
{
	const struct review_filter *f = l->filter;

	query_add(q, f->deleted > 0 ? " AND r.deleted_at_ms IS NOT NULL"
				    : " AND r.deleted_at_ms IS NULL");
	if (f->location_id)
		query_where(q, " AND r.location_id = $?", db_text(f->location_id));
	if (f->rating > 0)
		query_where(q, " AND r.rating = $?", db_int(f->rating));
	if (f->replied >= 0)
		query_add(q,
			f->replied ? " AND r.reply_text IS NOT NULL" : " AND r.reply_text IS NULL");
	if (f->since_us != INT64_MIN)
		query_where(q, " AND r.review_updated_us >= $?", db_int(f->since_us));
	if (f->until_us != INT64_MAX)
		query_where(q, " AND r.review_updated_us < $?", db_int(f->until_us));
	if (f->q && *f->q)
		narrow_words(q, l);
}

static void narrow(struct query *q, struct listing *l)
{
	narrow_content(q, l);
	if (!has_places(l->filter))
		return;
	query_add(q, l->few ? " AND r.location_id IN (SELECT p.location_id FROM location_parents p"
			      " WHERE 1 = 1"
			    : " AND EXISTS (SELECT 1 FROM location_parents p"
			      " WHERE p.location_id = r.location_id");
	narrow_places(q, l->filter);
	query_add(q, ")");
}

static int after_review(struct query *q, const struct listing *l, struct buf *hold, struct fault *f)
{
	const char *us_text = NULL;
	int64_t us = 0, id = 0;

	if (cursor_read(l->page->cursor, l->filter->oldest_first ? 'o' : 'n', hold, &us_text, &id,
		    f) < 0)
		return -1;
	if (text_parse_int(us_text, &us) != 0)
		return fault_input(f, "cursor", "cursor is not one of this list's");
	query_where(q,
		l->filter->oldest_first ? " AND (r.review_updated_us, r.id) > ($?, "
					: " AND (r.review_updated_us, r.id) < ($?, ",
		db_int(us));
	query_where(q, "$?)", db_int(id));
	return 0;
}

static int list_reviews(struct db *db, struct listing *l, struct fault *f)
{
	AUTO(query_done) struct query q = {0};
	AUTO(buf_drop) struct buf hold = {0};

	query_init(&q, db,
		"SELECT " REVIEW_COLUMNS " FROM reviews r"
		" LEFT JOIN locations l ON l.location_id = r.location_id WHERE 1 = 1");
	narrow(&q, l);
	if (l->page->cursor && after_review(&q, l, &hold, f) < 0)
		return -1;
	/* The '+' keeps SQLite from walking all reviews in order when only few are asked for. */
	query_add(&q, l->few ? " ORDER BY +r.review_updated_us" : " ORDER BY r.review_updated_us");
	query_add(&q, l->filter->oldest_first ? " ASC, r.id ASC" : " DESC, r.id DESC");
	query_where(&q, " LIMIT $?", db_int(l->page->limit + 1));
	return query_run(&q, db, write_review, l, f);
}

/*
 * Counting all of ten million would cost more than the page, so it ends at COUNTED_MOST; and what
 * an index cannot tell is counted only among the reviews of a few locations.
 */
static bool can_count(const struct listing *l)
{
	const struct review_filter *f = l->filter;
	bool by_content = f->rating > 0 || f->replied >= 0 || f->deleted > 0 || (f->q && *f->q);

	return !l->page->cursor && (!by_content || l->few || f->location_id);
}

static int count_reviews(struct db *db, struct listing *l, struct fault *f)
{
	AUTO(query_done) struct query q = {0};

	buf_reset(&l->like);
	query_init(&q, db, "SELECT count(*) FROM (SELECT 1 FROM reviews r WHERE 1 = 1");
	narrow(&q, l);
	query_where(&q, " LIMIT $?) counted", db_int(COUNTED_MOST + 1));
	return query_run(&q, db, read_number, &l->total, f);
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	struct listing *l = arg;

	if (look_at_places(db, l, f) < 0 || list_reviews(db, l, f) < 0)
		return -1;
	return can_count(l) ? count_reviews(db, l, f) : 0;
}

int reviews_list(struct review_fetcher *rf, const struct review_filter *filter,
	const struct list_page *page, struct json_out *ret, struct buf *ret_cursor, struct fault *f)
{
	struct listing l = {.filter = filter,
		.page = page,
		.out = ret,
		.cursor = ret_cursor,
		.like = BUF_INIT(8192),
		.room = page->limit,
		.total = -1};
	int listed;

	json_key(ret, "reviews");
	json_open(ret, '[');
	listed = store_use(rf->parts.store, list_body, &l, f);
	buf_drop(&l.like);
	json_close(ret, ']');
	if (listed < 0)
		return -1;
	json_add_int(ret, "count", l.shown);
	json_key(ret, "total_reviews");
	if (l.total < 0)
		json_put_null(ret);
	else
		json_put_int(ret, l.total > COUNTED_MOST ? COUNTED_MOST : l.total);
	json_add_bool(ret, "total_is_least", l.total > COUNTED_MOST);
	return 0;
}

/* ---- one ---- */

struct one {
	struct db *db;
	const struct review_scope *scope;
	int64_t id;
	struct json_out *out;
	bool found;
};

static int write_one(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct one *o = arg;

	(void)n_cols;
	o->found = true;
	json_open(o->out, '{');
	put_review(o->out, cols);
	json_key(o->out, "raw");
	json_put_raw(o->out, cols[19].bytes, cols[19].len);
	json_key(o->out, "history");
	/* The same connection reads on: one review is one row. */
	if (review_history_write(
		    o->db, o->id, db_get_text(&cols[2]), db_get_text(&cols[3]), o->out, f) < 0)
		return -1;
	json_close(o->out, '}');
	return 0;
}

static int one_body(struct db *db, void *arg, struct fault *f)
{
	struct one *o = arg;
	AUTO(query_done) struct query q = {0};

	o->db = db;
	query_init(&q, db,
		"SELECT " REVIEW_COLUMNS ", r.raw FROM reviews r"
		" LEFT JOIN locations l ON l.location_id = r.location_id"
		" WHERE EXISTS (SELECT 1 FROM location_parents p"
		" WHERE p.location_id = r.location_id");
	query_scope(&q, "p.branch_id", o->scope);
	query_where(&q, ") AND r.id = $?", db_int(o->id));
	return query_run(&q, db, write_one, o, f);
}

int reviews_write(struct review_fetcher *rf, const struct review_scope *scope, int64_t id,
	struct json_out *ret, struct fault *f)
{
	struct one o = {.scope = scope, .id = id, .out = ret};

	if (store_use(rf->parts.store, one_body, &o, f) < 0)
		return -1;
	return o.found ? 0 : fault_raise(f, FAULT_MISSING, "Review %lld not found", (long long)id);
}
