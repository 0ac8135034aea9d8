/* SPDX-License-Identifier: Apache-2.0 */
/* Reviews as callers see them. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/replies.h"
#include "review_fetcher/review_find.h"
#include "review_fetcher/reviews.h"

#define COUNTED_MOST 10000

void review_row_put(struct json_out *o, const struct db_value *cols)
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

struct review_mark review_row_mark(const struct db_value *cols)
{
	return (struct review_mark){.us = db_get_int(&cols[10]), .id = db_get_int(&cols[0])};
}

struct listing {
	struct review_finder find;
	const struct list_page *page;
	struct json_out *out;
	struct buf *cursor;
	int64_t shown, total;
	struct review_mark last;
};

/* Which order a cursor belongs to. */
static char cursor_letter(const struct listing *l)
{
	return "nos"[l->find.filter->order];
}

static int write_review(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct listing *l = arg;
	char us[24];

	(void)n_cols;
	(void)f;
	if (l->shown == l->page->limit) {
		snprintf(us, sizeof(us), "%lld", (long long)l->last.us);
		cursor_write(l->cursor, cursor_letter(l), us, l->last.id);
		return 1;
	}
	json_open(l->out, '{');
	review_row_put(l->out, cols);
	json_close(l->out, '}');
	l->shown++;
	l->last = review_row_mark(cols);
	return 0;
}

static int read_mark(const struct listing *l, struct review_mark *ret, struct fault *f)
{
	AUTO(buf_drop) struct buf hold = {0};
	const char *us = NULL;

	if (cursor_read(l->page->cursor, cursor_letter(l), &hold, &us, &ret->id, f) < 0)
		return -1;
	if (text_parse_int(us, &ret->us) != 0)
		return fault_input(f, "cursor", "cursor is not one of this list's");
	return 0;
}

/*
 * Counting all of ten million would cost more than the page, so it ends at COUNTED_MOST; and what
 * an index cannot tell is counted only among a few.
 */
static bool can_count(const struct listing *l)
{
	const struct review_filter *f = l->find.filter;
	bool by_content = f->ratings != 0 || f->replied >= 0 || f->deleted > 0 || f->q;

	return !l->page->cursor &&
	       (!by_content || l->find.few_places || l->find.few_matches || f->location_id);
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	struct listing *l = arg;
	struct review_mark after;

	if (l->page->cursor && read_mark(l, &after, f) < 0)
		return -1;
	if (review_find(&l->find, db, l->page->cursor ? &after : NULL, l->page->limit + 1,
		    write_review, l, f) < 0)
		return -1;
	return can_count(l) ? review_find_count(&l->find, db, COUNTED_MOST + 1, &l->total, f) : 0;
}

int reviews_list(struct review_fetcher *rf, const struct review_filter *filter,
	const struct list_page *page, struct json_out *ret, struct buf *ret_cursor, struct fault *f)
{
	struct listing l = {.page = page, .out = ret, .cursor = ret_cursor, .total = -1};
	int listed;

	review_find_init(&l.find, filter);
	json_key(ret, "reviews");
	json_open(ret, '[');
	listed = store_use(rf->parts.store, list_body, &l, f);
	review_find_done(&l.find);
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

/* Why Google does not show the reply: with the state REJECTED. */
static void put_policy(struct json_out *o, const struct db_value *raw)
{
	AUTO(json_drop) json_t *review = NULL;
	struct fault ignored;

	if (json_parse(raw->bytes, raw->len, &review, &ignored) == 0)
		json_add_text(o, "reply_policy_violation",
			json_text(json_member(review, "reviewReply"), "policyViolation"));
	else
		json_add_null(o, "reply_policy_violation");
}

static int write_one(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct one *o = arg;

	(void)n_cols;
	o->found = true;
	json_open(o->out, '{');
	review_row_put(o->out, cols);
	put_policy(o->out, &cols[REVIEW_COLUMNS_N]);
	json_key(o->out, "raw");
	json_put_raw(o->out, cols[REVIEW_COLUMNS_N].bytes, cols[REVIEW_COLUMNS_N].len);
	json_key(o->out, "history");
	/* The same connection reads on: one review is one row. */
	if (review_history_write(
		    o->db, o->id, db_get_text(&cols[2]), db_get_text(&cols[3]), o->out, f) < 0)
		return -1;
	json_close(o->out, '}');
	return 0;
}

int review_write_one(struct db *db, const struct review_scope *scope, int64_t id,
	struct json_out *ret, struct fault *f)
{
	struct one o = {.db = db, .scope = scope, .id = id, .out = ret};
	AUTO(query_done) struct query q = {0};

	query_init(&q, db,
		"SELECT " REVIEW_COLUMNS ", r.raw FROM reviews r"
		" LEFT JOIN locations l ON l.location_id = r.location_id"
		" WHERE EXISTS (SELECT 1 FROM location_parents p"
		" WHERE p.location_id = r.location_id");
	query_scope(&q, "p.branch_id", scope);
	query_where(&q, ") AND r.id = $?", db_int(id));
	if (query_run(&q, db, write_one, &o, f) < 0)
		return -1;
	return o.found ? 0 : 1;
}

struct asked {
	const struct review_scope *scope;
	int64_t id;
	struct json_out *out;
};

static int one_body(struct db *db, void *arg, struct fault *f)
{
	const struct asked *a = arg;

	return review_write_one(db, a->scope, a->id, a->out, f);
}

int reviews_write(struct review_fetcher *rf, const struct review_scope *scope, int64_t id,
	struct json_out *ret, struct fault *f)
{
	struct asked a = {.scope = scope, .id = id, .out = ret};
	int written = store_use(rf->parts.store, one_body, &a, f);

	if (written > 0)
		return fault_raise(f, FAULT_MISSING, "Review %lld not found", (long long)id);
	return written;
}
