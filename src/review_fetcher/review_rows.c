/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One review, written down. Identity is (location, review id) and never the account path, under
 * which the same review can be seen several times. What counts as a change is what a reader would
 * call one: rating, words, pictures, and the answer with its state; a new profile picture is taken
 * over silently.
 */
#include "review_fetcher/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "store/store.h"

struct prior {
	bool is_there, same, same_raw, was_deleted;
	int64_t last_seen_ms, last_walk_id;
	const uint8_t *hash; /* to compare with */
	const char *raw;
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

	buf_addf(&b, "1;%d;", r->rating);
	add_part(&b, r->comment);
	add_part(&b, r->reply_text);
	add_part(&b, r->reply_state);
	add_part(&b, r->media);
	hash_blake2b(b.data, b.len, ret);
}

static int read_prior(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct prior *p = arg;

	(void)n_cols;
	(void)f;
	p->is_there = true;
	p->same = cols[0].len == HASH_BLAKE2B_SIZE &&
		  memcmp(cols[0].bytes, p->hash, HASH_BLAKE2B_SIZE) == 0;
	p->last_seen_ms = db_get_int(&cols[1]);
	p->last_walk_id = db_get_int(&cols[2]);
	p->was_deleted = cols[3].type != DB_NULL;
	p->same_raw = text_equal(db_get_text(&cols[4]), p->raw);
	return 0;
}

static struct db_value instant(int64_t us)
{
	return db_int_or_null(us, us != 0);
}

static int write_row(struct db *db, const struct walk *w, const struct google_review *r,
	const uint8_t *hash, int64_t seen_ms, int64_t now_ms, struct fault *f)
{
	static const char sql[] =
		"INSERT INTO reviews (location_id, review_id, account_id, rating, comment,"
		" reviewer_name, reviewer_photo_url, is_anonymous, review_created_us, "
		"review_updated_us,"
		" reply_text, reply_updated_us, reply_state, raw, content_hash,"
		" created_at_ms, updated_at_ms, last_seen_ms, last_walk_id)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,"
		" $16, $16, $17, $18)"
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
		" last_walk_id = excluded.last_walk_id, deleted_at_ms = NULL";

	return db_exec(db, sql, NULL, f, db_text(w->location_id), db_text(r->id),
		db_text(w->account_id), db_int_or_null(r->rating, r->rating != 0),
		db_text(r->comment), db_text(r->reviewer_name), db_text(r->reviewer_photo_url),
		db_int(r->is_anonymous), instant(r->created_us), db_int(r->updated_us),
		db_text(r->reply_text), instant(r->reply_updated_us), db_text(r->reply_state),
		db_text(r->raw), db_bytes(hash, HASH_BLAKE2B_SIZE), db_int(now_ms), db_int(seen_ms),
		db_int(w->id));
}

/* To the letter what is there already: no index is touched. */
static int see_row(struct db *db, const struct walk *w, const struct google_review *r,
	int64_t seen_ms, struct fault *f)
{
	return db_exec(db,
		"UPDATE reviews SET last_seen_ms = $3, last_walk_id = $4, account_id = $5"
		" WHERE location_id = $1 AND review_id = $2",
		NULL, f, db_text(w->location_id), db_text(r->id), db_int(seen_ms), db_int(w->id),
		db_text(w->account_id));
}

/* Nothing a reader would notice: updated_at stays, so that repeating a pass changes nothing. */
static int touch_row(struct db *db, const struct walk *w, const struct google_review *r,
	int64_t seen_ms, struct fault *f)
{
	static const char sql[] =
		"UPDATE reviews SET last_seen_ms = $3, last_walk_id = $4, account_id = $5,"
		" reviewer_name = $6, reviewer_photo_url = $7, is_anonymous = $8,"
		" review_created_us = $9, review_updated_us = $10, reply_updated_us = $11, raw = "
		"$12"
		" WHERE location_id = $1 AND review_id = $2";

	return db_exec(db, sql, NULL, f, db_text(w->location_id), db_text(r->id), db_int(seen_ms),
		db_int(w->id), db_text(w->account_id), db_text(r->reviewer_name),
		db_text(r->reviewer_photo_url), db_int(r->is_anonymous), instant(r->created_us),
		db_int(r->updated_us), instant(r->reply_updated_us), db_text(r->raw));
}

int review_store(struct db *db, const struct walk *w, const struct google_review *r, int64_t now_ms,
	struct review_seen *ret, struct fault *f)
{
	static const char sql[] =
		"SELECT content_hash, last_seen_ms, last_walk_id, deleted_at_ms, raw FROM reviews"
		" WHERE location_id = $1 AND review_id = $2";
	uint8_t hash[HASH_BLAKE2B_SIZE];
	struct prior prior = {.hash = hash, .raw = r->raw};
	/* A clock that was set back must not make this pass look older than its own start. */
	int64_t seen_ms = now_ms > w->pass_started_ms ? now_ms : w->pass_started_ms;

	hash_content(r, hash);
	if (db_read(db, sql, read_prior, &prior, f, db_text(w->location_id), db_text(r->id)) < 0)
		return -1;
	ret->first_in_walk = !prior.is_there || prior.last_walk_id != w->id;
	ret->first_in_pass = !prior.is_there || prior.last_seen_ms < w->pass_started_ms;
	if (prior.same && !prior.was_deleted) {
		ret->change = REVIEW_UNCHANGED;
		return prior.same_raw ? see_row(db, w, r, seen_ms, f)
				      : touch_row(db, w, r, seen_ms, f);
	}
	ret->change = prior.is_there ? REVIEW_CHANGED : REVIEW_NEW;
	return write_row(db, w, r, hash, seen_ms, now_ms, f);
}
