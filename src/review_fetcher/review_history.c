/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened to a review. The change time is Google's where it says one and else not known: an
 * edit moves the review's updateTime, a reply has its own and need not move the review's, and for a
 * removed reply, a deletion or a moderated reply Google names no time at all.
 */
#include "review_fetcher/reviews.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "core/limits.h"
#include "events/events.h"
#include "review_fetcher/query.h"

#define KEY_MAX 1100 /* two ids, each of at most 512 bytes */

static const char *const kinds[REVIEW_KINDS] = {
	"new", "edited", "reply_added", "reply_changed", "reply_removed", "deleted", "restored"};

static void event_kind(const char *kind, char ret[static 32])
{
	snprintf(ret, 32, "review.%s", kind);
}

static void event_key(const char *location_id, const char *review_id, int64_t generation, int64_t n,
	char ret[static KEY_MAX])
{
	if (generation)
		snprintf(ret, KEY_MAX, "%s/%s/%lld.%lld", location_id, review_id,
			(long long)generation, (long long)n);
	else
		snprintf(ret, KEY_MAX, "%s/%s/%lld", location_id, review_id, (long long)n);
}

static int64_t changed_us(
	enum review_kind kind, const struct google_review *old, const struct google_review *new)
{
	switch (kind) {
	case REVIEW_NEW:
		return new->created_us ? new->created_us : new->updated_us;
	case REVIEW_EDITED:
		return new->updated_us > old->updated_us ? new->updated_us : 0;
	case REVIEW_REPLY_ADDED:
		return new->reply_updated_us;
	case REVIEW_REPLY_CHANGED:
		return new->reply_updated_us > old->reply_updated_us ? new->reply_updated_us : 0;
	default:
		return 0;
	}
}

/* ---- history ---- */

static void put_review_parts(struct json_out *o, const struct google_review *r)
{
	json_key(o, "rating");
	if (r->rating)
		json_put_int(o, r->rating);
	else
		json_put_null(o);
	if (!r->rating)
		json_add_text(o, "star_rating", r->star);
	json_add_text(o, "comment", r->comment);
	json_key(o, "media");
	if (r->media)
		json_put_raw(o, r->media, strlen(r->media));
	else
		json_put_null(o);
}

static void put_reply_parts(struct json_out *o, const struct google_review *r)
{
	json_add_text(o, "reply_text", r->reply_text);
	json_add_text(o, "reply_state", r->reply_state);
	json_add_text(o, "policy_violation", r->reply_policy);
	put_instant(o, "reply_time", r->reply_updated_us);
}

static void put_parts(struct buf *to, enum review_kind kind, const struct google_review *r)
{
	struct json_out o = JSON_OUT(to);

	json_open(&o, '{');
	if (kind == REVIEW_EDITED || kind == REVIEW_RESTORED)
		put_review_parts(&o, r);
	if (kind != REVIEW_EDITED)
		put_reply_parts(&o, r);
	json_close(&o, '}');
}

/* 1: written, 0: it was there, because somebody else saw the same change at the same time. */
static int write_history(struct db *db, const struct review_place *at, enum review_kind kind,
	const struct review_row *row, const struct google_review *old,
	const struct google_review *new, struct fault *f)
{
	static const char sql[] =
		"INSERT INTO review_changes (review, n, kind, changed_us, detected_at_ms,"
		" before_json, after_json)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
	AUTO(buf_drop) struct buf before = BUF_INIT(2 * (size_t)LIMIT_GOOGLE_PAGE_BYTES);
	AUTO(buf_drop) struct buf after = BUF_INIT(2 * (size_t)LIMIT_GOOGLE_PAGE_BYTES);
	bool has_copy = kind != REVIEW_NEW && kind != REVIEW_DELETED;
	int64_t us = changed_us(kind, old, new), n = 0;

	if (has_copy) {
		put_parts(&before, kind, old);
		put_parts(&after, kind, new);
		if (kind == REVIEW_RESTORED && text_equal(buf_text(&before), buf_text(&after)))
			has_copy = false;
	}
	if (db_exec(db, sql, &n, f, db_int(row->id), db_int(row->changes), db_text(kinds[kind]),
		    db_int_or_null(us, us != 0), db_int(at->now_ms),
		    db_text(has_copy && kind != REVIEW_REPLY_ADDED ? buf_text(&before) : NULL),
		    db_text(has_copy && kind != REVIEW_REPLY_REMOVED ? buf_text(&after) : NULL)) <
		0)
		return -1;
	return n > 0;
}

/* ---- the event: what the original wrote to reviews-raw, and what we add ---- */

static void put_event(struct buf *to, const struct review_place *at, enum review_kind kind,
	const struct review_row *row, const struct google_review *r, int64_t us, const char *key)
{
	struct json_out o = JSON_OUT(to);
	char id[EVENT_ID_SIZE], name[32];

	event_kind(kinds[kind], name);
	event_id_of(name, key, id);
	json_open(&o, '{');
	json_add_text(&o, "type", "review_raw");
	json_add_text(&o, "event", name);
	json_add_text(&o, "event_id", id);
	json_add_text(&o, "branch_id", at->branch_id);
	put_instant(&o, "change_time", us);
	json_add_text(&o, "job_id", at->job_id);
	json_add_text(&o, "review_id", r->id);
	json_add_text(&o, "location_id", at->location_id);
	json_add_text(&o, "account_id", at->account_id);
	json_key(&o, "rating");
	if (r->rating)
		json_put_int(&o, r->rating);
	else
		json_put_null(&o);
	json_add_text(&o, "text", r->comment);
	json_add_text(&o, "reviewer_name", r->reviewer_name);
	json_add_time(&o, "timestamp", at->now_ms);
	json_add_int(&o, "id", row->id);
	json_add_int(&o, "client_id", at->client_id);
	json_add_text(&o, "google_review_id", r->id);
	json_add_text(&o, "comment", r->comment);
	json_add_text(&o, "reviewer_photo_url", r->reviewer_photo_url);
	put_instant(&o, "review_created_time", r->created_us);
	put_instant(&o, "review_updated_time", r->updated_us);
	json_add_text(&o, "reply_text", r->reply_text);
	put_instant(&o, "reply_time", r->reply_updated_us);
	json_add_text(&o, "reply_state", r->reply_state);
	json_add_text(&o, "reply_policy_violation", r->reply_policy);
	json_add_time(&o, "created_at", row->created_at_ms);
	json_add_time(&o, "updated_at", at->now_ms);
	json_add_time(&o, "deleted_at", kind == REVIEW_DELETED ? row->deleted_at_ms : 0);
	json_close(&o, '}');
}

int review_change_write(struct db *db, const struct review_place *at, enum review_kind kind,
	const struct review_row *row, const struct google_review *old,
	const struct google_review *new, struct review_counts *counts, struct fault *f)
{
	AUTO(buf_drop) struct buf data = BUF_INIT(4 * (size_t)LIMIT_GOOGLE_PAGE_BYTES);
	char key[KEY_MAX], name[32];
	struct event event = {.kind = name,
		.key = key,
		.branch_id = at->branch_id,
		.ref = new->id,
		.account_id = at->account_id,
		.location_id = at->location_id,
		.at_ms = at->now_ms};
	int written = write_history(db, at, kind, row, old, new, f);

	if (written <= 0)
		return written;
	counts->kinds[kind]++;
	event_kind(kinds[kind], name);
	event_key(at->location_id, new->id, row->generation, row->changes, key);
	put_event(&data, at, kind, row, new, changed_us(kind, old, new), key);
	event.data = buf_text(&data);
	return events_add(db, &event, f) < 0 ? -1 : 0;
}

/* ---- shown ---- */

struct showing {
	struct json_out *out;
	const char *location_id, *review_id;
};

static void put_copy(struct json_out *o, const char *key, const struct db_value *col)
{
	json_key(o, key);
	if (col->type == DB_NULL)
		json_put_null(o);
	else
		json_put_raw(o, col->bytes, col->len);
}

static int show(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct showing *s = arg;
	const char *kind = db_get_text(&cols[1]);
	char key[KEY_MAX], name[32], id[EVENT_ID_SIZE];

	(void)n_cols;
	(void)f;
	event_kind(kind, name);
	event_key(s->location_id, s->review_id, db_get_int(&cols[6]), db_get_int(&cols[0]), key);
	event_id_of(name, key, id);
	json_open(s->out, '{');
	json_add_int(s->out, "n", db_get_int(&cols[0]));
	json_add_text(s->out, "kind", kind);
	json_add_text(s->out, "event_id", id);
	put_instant(s->out, "changed_at", db_get_int(&cols[2]));
	json_add_time(s->out, "detected_at", db_get_int(&cols[3]));
	put_copy(s->out, "before", &cols[4]);
	put_copy(s->out, "after", &cols[5]);
	json_close(s->out, '}');
	return 0;
}

int review_history_write(struct db *db, int64_t review, const char *location_id,
	const char *review_id, struct json_out *ret, struct fault *f)
{
	struct showing s = {.out = ret, .location_id = location_id, .review_id = review_id};
	int read;

	json_open(ret, '[');
	read = db_read(db,
		"SELECT c.n, c.kind, c.changed_us, c.detected_at_ms, c.before_json, c.after_json,"
		" r.generation FROM review_changes c JOIN reviews r ON r.id = c.review"
		" WHERE c.review = $1 ORDER BY c.n LIMIT 1000",
		show, &s, f, db_int(review));
	json_close(ret, ']');
	return read;
}
