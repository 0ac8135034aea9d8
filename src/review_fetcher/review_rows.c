/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One review, written down. Identity is (location, review id) and never the account path, under
 * which the same review can be seen several times. A hash of what a reader would notice tells at
 * once that nothing has changed; only when it differs is the stored original compared part by part,
 * so that a hash of an older make changes nothing by itself.
 */
#include "review_fetcher/reviews.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/limits.h"

#define SLACK_MS 5000 /* that the time of two transactions may be apart */

struct prior {
	bool is_there, same, same_raw;
	int64_t last_walk_id, updated_at_ms;
	struct review_row row;
	char *raw;           /* when the hash differs, or it was deleted */
	const uint8_t *hash; /* to compare with */
	const char *new_raw;
};

/* Length before bytes, so that no two contents run into the same text. */
static void add_part(struct buf *b, const char *text)
{
	if (!text) {
		buf_add_text(b, "-;");
		return;
	}
	buf_addf(b, "%zu:", strlen(text));
	buf_add_text(b, text);
}

static void hash_content(const struct google_review *r, uint8_t ret[static HASH_BLAKE2B_SIZE])
{
	AUTO(buf_drop) struct buf b = BUF_INIT(4 * (size_t)LIMIT_GOOGLE_PAGE_BYTES);

	buf_addf(&b, "2;%d;", r->has_reply);
	add_part(&b, r->star);
	add_part(&b, r->comment);
	add_part(&b, r->reply_text);
	add_part(&b, r->reply_state);
	add_part(&b, r->reply_policy);
	add_part(&b, r->media);
	hash_blake2b(b.data, b.len, ret);
}

static int read_prior(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct prior *p = arg;

	(void)n_cols;
	(void)f;
	p->is_there = true;
	p->row = (struct review_row){.id = db_get_int(&cols[0]),
		.changes = db_get_int(&cols[1]),
		.created_at_ms = db_get_int(&cols[2]),
		.deleted_at_ms = db_get_int(&cols[3]),
		.generation = db_get_int(&cols[8])};
	p->last_walk_id = db_get_int(&cols[4]);
	p->updated_at_ms = db_get_int(&cols[7]);
	p->same = cols[5].len == HASH_BLAKE2B_SIZE &&
		  memcmp(cols[5].bytes, p->hash, HASH_BLAKE2B_SIZE) == 0;
	p->same_raw = text_equal(db_get_text(&cols[6]), p->new_raw);
	if ((!p->same || p->row.deleted_at_ms) && !p->raw)
		p->raw = mem_text(db_get_text(&cols[6]));
	return 0;
}

static struct db_value instant(int64_t us)
{
	return db_int_or_null(us, us != 0);
}

/* A clock that was set back must not make this pass look older than its own start. */
static int64_t seen_ms(const struct review_place *at)
{
	return at->now_ms > at->pass_started_ms ? at->now_ms : at->pass_started_ms;
}

static int read_id(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct review_row *row = arg;

	(void)n_cols;
	(void)f;
	row->id = db_get_int(&cols[0]);
	row->created_at_ms = db_get_int(&cols[1]);
	row->generation = db_get_int(&cols[2]);
	return 0;
}

/* row: changes is what it becomes; gets id, created_at and generation. */
static int write_row(struct db *db, const struct review_place *at, const struct google_review *r,
	const uint8_t *hash, struct review_row *row, struct fault *f)
{
	static const char sql[] =
		"INSERT INTO reviews (location_id, review_id, account_id, rating, comment,"
		" reviewer_name, reviewer_photo_url, is_anonymous, review_created_us, "
		"review_updated_us,"
		" reply_text, reply_updated_us, reply_state, raw, content_hash,"
		" created_at_ms, updated_at_ms, last_seen_ms, last_walk_id, changes,"
		" generation)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,"
		" $16, $16, $17, $18, $19, $16)"
		" ON CONFLICT (location_id, review_id) DO UPDATE SET account_id = "
		"excluded.account_id,"
		" rating = excluded.rating, comment = excluded.comment,"
		" reviewer_name = excluded.reviewer_name,"
		" reviewer_photo_url = excluded.reviewer_photo_url,"
		" is_anonymous = excluded.is_anonymous,"
		" review_created_us = excluded.review_created_us,"
		" review_updated_us = excluded.review_updated_us, reply_text = excluded.reply_text,"
		" reply_updated_us = excluded.reply_updated_us, reply_state = excluded.reply_state,"
		" raw = excluded.raw, content_hash = excluded.content_hash,"
		" updated_at_ms = excluded.updated_at_ms, last_seen_ms = excluded.last_seen_ms,"
		" last_walk_id = excluded.last_walk_id, changes = excluded.changes,"
		" deleted_at_ms = NULL RETURNING id, created_at_ms, generation";

	return db_read(db, sql, read_id, row, f, db_text(at->location_id), db_text(r->id),
		db_text(at->account_id), db_int_or_null(r->rating, r->rating != 0),
		db_text(r->comment), db_text(r->reviewer_name), db_text(r->reviewer_photo_url),
		db_int(r->is_anonymous), instant(r->created_us), db_int(r->updated_us),
		db_text(r->reply_text), instant(r->reply_updated_us), db_text(r->reply_state),
		db_text(r->raw), db_bytes(hash, HASH_BLAKE2B_SIZE), db_int(at->now_ms),
		db_int(seen_ms(at)), db_int(at->walk_id), db_int(row->changes));
}

/* To the letter what is there already: no index is touched. */
static int see_row(
	struct db *db, const struct review_place *at, const struct review_row *row, struct fault *f)
{
	return db_exec(db,
		"UPDATE reviews SET last_seen_ms = $2, last_walk_id = $3, account_id = $4"
		" WHERE id = $1",
		NULL, f, db_int(row->id), db_int(seen_ms(at)), db_int(at->walk_id),
		db_text(at->account_id));
}

/* Nothing a reader would notice: updated_at stays, so that repeating a pass changes nothing. */
static int touch_row(struct db *db, const struct review_place *at, const struct google_review *r,
	const uint8_t *hash, const struct review_row *row, struct fault *f)
{
	static const char sql[] =
		"UPDATE reviews SET last_seen_ms = $2, last_walk_id = $3, account_id = $4,"
		" reviewer_name = $5, reviewer_photo_url = $6, is_anonymous = $7,"
		" review_created_us = $8, review_updated_us = $9, reply_updated_us = $10, raw = "
		"$11, content_hash = $12 WHERE id = $1";

	return db_exec(db, sql, NULL, f, db_int(row->id), db_int(seen_ms(at)), db_int(at->walk_id),
		db_text(at->account_id), db_text(r->reviewer_name), db_text(r->reviewer_photo_url),
		db_int(r->is_anonymous), instant(r->created_us), db_int(r->updated_us),
		instant(r->reply_updated_us), db_text(r->raw), db_bytes(hash, HASH_BLAKE2B_SIZE));
}

static bool is_same(const char *a, const char *b)
{
	return a && b ? text_equal(a, b) : a == b;
}

/* What of a review is another now, as a set of kinds. */
static unsigned compare(const struct google_review *old, const struct google_review *new)
{
	unsigned kinds = 0;

	if (!is_same(old->star, new->star) || !is_same(old->comment, new->comment) ||
		!is_same(old->media, new->media))
		kinds |= 1u << REVIEW_EDITED;
	if (!old->has_reply && new->has_reply)
		kinds |= 1u << REVIEW_REPLY_ADDED;
	else if (old->has_reply && !new->has_reply)
		kinds |= 1u << REVIEW_REPLY_REMOVED;
	else if (!is_same(old->reply_text, new->reply_text) ||
		 !is_same(old->reply_state, new->reply_state) ||
		 !is_same(old->reply_policy, new->reply_policy))
		kinds |= 1u << REVIEW_REPLY_CHANGED;
	return kinds;
}

static int store_changed(struct db *db, const struct review_place *at,
	const struct google_review *new, const struct google_review *old, struct prior *p,
	struct review_counts *counts, struct fault *f)
{
	unsigned kinds = compare(old, new);
	struct review_row row = p->row;

	if (p->row.deleted_at_ms)
		kinds = 1u << REVIEW_RESTORED;
	if (!kinds) {
		counts->unchanged += p->last_walk_id != at->walk_id;
		return touch_row(db, at, new, p->hash, &row, f);
	}
	for (unsigned set = kinds; set; set &= set - 1)
		row.changes++;
	if (write_row(db, at, new, p->hash, &row, f) < 0)
		return -1;
	counts->changed++;
	row.changes = p->row.changes;
	for (int kind = 0; kind < REVIEW_KINDS; kind++) {
		if (!(kinds & (1u << kind)))
			continue;
		row.changes++;
		if (review_change_write(db, at, (enum review_kind)kind, &row, old, new, counts, f) <
			0)
			return -1;
	}
	return 0;
}

/* The original is parsed again: it was parsed before it was stored. */
static int compare_and_store(struct db *db, const struct review_place *at,
	const struct google_review *r, struct prior *p, struct review_counts *counts,
	struct fault *f)
{
	struct google_page old;
	int stored;

	if (google_review_read(p->raw, strlen(p->raw), &old, f) < 0) {
		f->kind = FAULT_BUG;
		return -1;
	}
	stored = store_changed(db, at, r, &old.reviews[0], p, counts, f);
	google_page_done(&old);
	return stored;
}

static int store_new(struct db *db, const struct review_place *at, const struct google_review *r,
	const uint8_t *hash, struct review_counts *counts, struct fault *f)
{
	struct review_row row = {.changes = 1};

	if (write_row(db, at, r, hash, &row, f) < 0)
		return -1;
	return review_change_write(db, at, REVIEW_NEW, &row, NULL, r, counts, f);
}

static int look_up(struct db *db, const struct review_place *at, const char *review_id,
	struct prior *p, struct fault *f)
{
	static const char sql[] =
		"SELECT id, changes, created_at_ms, deleted_at_ms, last_walk_id, content_hash, raw,"
		" updated_at_ms, generation FROM reviews WHERE location_id = $1 AND review_id = $2";

	return db_read(db, sql, read_prior, p, f, db_text(at->location_id), db_text(review_id));
}

/*
 * Somebody else changed the row while Google's answer was on its way: a reply from here, a push
 * message, another job. Which of the two saw Google later nobody can tell, but the row's may be
 * younger than the answer, and to go back would be told as a change, and forth again as another.
 * Where the two differ, Google is asked once more.
 */
static bool is_overtaken(const struct review_place *at, const struct prior *p)
{
	/* What was stored in the future tells nothing: a clock was set back. */
	return at->asked_ms && p->is_there && p->updated_at_ms > at->asked_ms &&
	       p->updated_at_ms <= at->now_ms + SLACK_MS;
}

int review_store(struct db *db, const struct review_place *at, const struct google_review *r,
	struct review_counts *counts, struct fault *f)
{
	uint8_t hash[HASH_BLAKE2B_SIZE];
	struct prior prior = {.hash = hash, .new_raw = r->raw};
	int stored;

	hash_content(r, hash);
	if (look_up(db, at, r->id, &prior, f) < 0)
		return -1;
	counts->seen += !prior.is_there || prior.last_walk_id != at->walk_id;
	if (!prior.is_there)
		return store_new(db, at, r, hash, counts, f);
	if (is_overtaken(at, &prior)) {
		counts->overtaken += prior.raw != NULL;
		counts->unchanged += prior.last_walk_id != at->walk_id;
		mem_free(prior.raw);
		return see_row(db, at, &prior.row, f);
	}
	if (!prior.raw) {
		counts->unchanged += prior.last_walk_id != at->walk_id;
		return prior.same_raw ? see_row(db, at, &prior.row, f)
				      : touch_row(db, at, r, hash, &prior.row, f);
	}
	stored = compare_and_store(db, at, r, &prior, counts, f);
	mem_free(prior.raw);
	return stored;
}

int review_is_news(
	struct db *db, const char *location_id, const struct google_review *r, struct fault *f)
{
	uint8_t hash[HASH_BLAKE2B_SIZE];
	struct review_place at = {.location_id = location_id};
	struct prior prior = {.hash = hash, .new_raw = r->raw};
	bool is_news;

	hash_content(r, hash);
	if (look_up(db, &at, r->id, &prior, f) < 0)
		return -1;
	is_news = !prior.is_there || prior.raw;
	mem_free(prior.raw);
	return is_news;
}

int review_delete(struct db *db, const struct review_place *at, const char *review_id,
	struct review_counts *counts, struct fault *f)
{
	static const uint8_t no_hash[HASH_BLAKE2B_SIZE];
	struct prior prior = {.hash = no_hash};
	struct google_page old;
	int deleted = -1;

	if (look_up(db, at, review_id, &prior, f) < 0)
		return -1;
	if (!prior.is_there || prior.row.deleted_at_ms || is_overtaken(at, &prior)) {
		bool shown = prior.is_there && !prior.row.deleted_at_ms;

		counts->overtaken += shown;
		mem_free(prior.raw);
		/* Seen, so that it is not the next one to be asked for, too. */
		return shown ? see_row(db, at, &prior.row, f) : 0;
	}
	prior.row.changes++;
	prior.row.deleted_at_ms = at->now_ms;
	if (google_review_read(prior.raw, strlen(prior.raw), &old, f) == 0) {
		deleted = db_exec(db,
			"UPDATE reviews SET deleted_at_ms = $2, updated_at_ms = $2, changes = $3"
			" WHERE id = $1 AND deleted_at_ms IS NULL",
			NULL, f, db_int(prior.row.id), db_int(at->now_ms),
			db_int(prior.row.changes));
		if (deleted == 0)
			deleted = review_change_write(db, at, REVIEW_DELETED, &prior.row,
				&old.reviews[0], &old.reviews[0], counts, f);
		google_page_done(&old);
	}
	mem_free(prior.raw);
	return deleted;
}
