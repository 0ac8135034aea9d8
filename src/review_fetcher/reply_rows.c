/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of a reply. The caller's key is taken before Google is asked and gets its answer in the
 * transaction that stores the review. A process that dies in between, or does not learn what Google
 * did, leaves a key without an answer: who asks again under it looks at Google's review first, and
 * sends the change only if it shows what it showed before.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "review_fetcher/query.h"
#include "review_fetcher/replies.h"
#include "review_fetcher/reviews.h"
#include "store/store.h"
#include "token_management/token_management_audit.h"

#define LEASE_US INT64_C(90000000)
#define KEPT_MS INT64_C(86400000)
#define BUSY_RETRY_MS 2000

/* ---- finding ---- */

struct finding {
	struct reply *x;
	const struct review_scope *scope;
	struct reply_branches *ret;
	bool found, deleted;
};

void reply_branches_done(struct reply_branches *b)
{
	for (size_t i = 0; i < b->n; i++) {
		mem_free(b->branches[i]);
		mem_free(b->accounts[i]);
	}
	b->n = 0;
}

static int see_branch(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct finding *s = arg;
	struct reply *x = s->x;

	(void)n_cols;
	(void)f;
	if (!s->found) {
		x->location_id = mem_text(db_get_text(&cols[0]));
		x->review_id = mem_text(db_get_text(&cols[1]));
		s->deleted = cols[2].type != DB_NULL;
		if (cols[5].type != DB_NULL)
			x->known = mem_text(db_get_text(&cols[5]));
		s->found = true;
	}
	if (db_get_text(&cols[3])[0] == '\0') /* of a job with a token of its own */
		return 0;
	s->ret->branches[s->ret->n] = mem_text(db_get_text(&cols[3]));
	s->ret->accounts[s->ret->n++] = mem_text(db_get_text(&cols[4]));
	return s->ret->n == REPLY_BRANCHES_MAX;
}

static int find_body(struct db *db, void *arg, struct fault *f)
{
	struct finding *s = arg;
	AUTO(query_done) struct query q = {0};

	query_init(&q, db,
		"SELECT r.location_id, r.review_id, r.deleted_at_ms, p.branch_id, p.account_id,"
		" r.reply_text"
		" FROM reviews r JOIN location_parents p ON p.location_id = r.location_id");
	query_where(&q, " WHERE r.id = $?", db_int(s->x->review));
	query_scope(&q, "p.branch_id", s->scope);
	query_add(&q, " ORDER BY CASE WHEN p.account_id = r.account_id THEN 0 ELSE 1 END,"
		      " p.branch_id, p.account_id");
	return query_run(&q, db, see_branch, s, f);
}

int reply_find(struct reply *x, const struct review_scope *scope, struct reply_branches *ret,
	struct fault *f)
{
	struct finding s = {.x = x, .scope = scope, .ret = ret};

	if (store_use(x->rf->parts.store, find_body, &s, f) < 0)
		return -1;
	if (!s.found)
		return fault_raise(f, FAULT_MISSING, "Review %lld not found", (long long)x->review);
	if (s.deleted)
		return fault_raise(f, FAULT_MISSING, "Review %lld was deleted at Google",
			(long long)x->review);
	if (ret->n == 0)
		return fault_raise(f, FAULT_CONFLICT,
			"no branch is registered that this review could be answered through");
	return 0;
}

/* ---- the key ---- */

struct beginning {
	struct reply *x;
	const struct actor *who;
	bool is_known, is_same;
	int64_t lease_until_us;
	bool is_ours; /* of this process */
};

static int see_key(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct beginning *b = arg;

	(void)n_cols;
	(void)f;
	b->is_known = true;
	b->is_same = cols[0].len == HASH_BLAKE2B_SIZE &&
		     memcmp(cols[0].bytes, b->x->hash, HASH_BLAKE2B_SIZE) == 0;
	b->is_ours = text_equal(db_get_text(&cols[1]), b->x->rf->owner);
	b->lease_until_us = db_get_int(&cols[2]);
	if (b->is_same && cols[3].type != DB_NULL) {
		buf_reset(&b->x->shown);
		buf_add(&b->x->shown, cols[3].bytes, cols[3].len);
	}
	return 0;
}

static int say_busy(struct fault *f)
{
	(void)fault_raise(f, FAULT_CONFLICT,
		"the request with this Idempotency-Key is still under way: ask again in a moment");
	f->retry_after_ms = BUSY_RETRY_MS;
	return -1;
}

/* 0: it is ours to do; 1: x->shown has the answer. */
static int take_key(struct db *db, struct beginning *b, int64_t now_us, struct fault *f)
{
	static const char new_sql[] =
		"INSERT INTO reply_requests (actor, idempotency_key, request_hash, owner,"
		" lease_until_us, created_at_ms) VALUES ($1, $2, $3, $4, $5, $6)"
		" ON CONFLICT DO NOTHING";
	static const char look_sql[] =
		"SELECT request_hash, owner, lease_until_us, answer FROM reply_requests"
		" WHERE actor = $1 AND idempotency_key = $2";
	static const char over_sql[] =
		"UPDATE reply_requests SET owner = $3, lease_until_us = $4 WHERE actor = $1"
		" AND idempotency_key = $2 AND lease_until_us = $5 AND answer IS NULL";
	struct reply *x = b->x;
	int64_t changed = 0;

	if (db_exec(db, "DELETE FROM reply_requests WHERE created_at_ms < $1", NULL, f,
		    db_int(now_us / 1000 - KEPT_MS)) < 0 ||
		db_exec(db, new_sql, &changed, f, db_text(x->actor), db_text(x->key),
			db_bytes(x->hash, HASH_BLAKE2B_SIZE), db_text(x->rf->owner),
			db_int(now_us + LEASE_US), db_int(now_us / 1000)) < 0)
		return -1;
	if (changed > 0)
		return 0;
	buf_reset(&x->shown);
	if (db_read(db, look_sql, see_key, b, f, db_text(x->actor), db_text(x->key)) < 0)
		return -1;
	if (b->is_known && !b->is_same)
		return fault_input(f, "Idempotency-Key",
			"was used for another request: take a new key for each reply");
	if (x->shown.len > 0)
		return 1;
	/* One process serves a SQLite database: whatever another one left is void. */
	if (b->lease_until_us > now_us && (b->is_ours || db_engine(db) != DB_SQLITE))
		return say_busy(f);
	if (db_exec(db, over_sql, &changed, f, db_text(x->actor), db_text(x->key),
		    db_text(x->rf->owner), db_int(now_us + LEASE_US),
		    db_int(b->lease_until_us)) < 0)
		return -1;
	if (changed == 0)
		return say_busy(f);
	x->is_uncertain = true;
	return 0;
}

static int write_audit(struct db *db, const struct beginning *b, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(4096);
	struct json_out o = JSON_OUT(&detail);

	json_open(&o, '{');
	json_add_int(&o, "review", b->x->review);
	json_add_text(&o, "location", b->x->location_id);
	json_add_text(&o, "google_review_id", b->x->review_id);
	json_close(&o, '}');
	return audit_write(db, b->who, b->x->comment ? "reply.put" : "reply.removed",
		b->x->branch_id, buf_text(&detail), f);
}

static int begin_body(struct db *db, void *arg, struct fault *f)
{
	struct beginning *b = arg;
	int64_t now_us, wait_ms;
	int taken = 0;

	b->is_known = b->x->is_uncertain = false;
	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	if (b->x->key)
		taken = take_key(db, b, now_us, f);
	if (taken != 0)
		return taken;
	if (budget_take_edit(db, b->x->location_id, &wait_ms, f) < 0)
		return -1;
	if (wait_ms > 0) {
		(void)fault_raise(f, FAULT_THROTTLED,
			"Google takes ten edits a minute for one profile: ask again later");
		f->retry_after_ms = (uint32_t)wait_ms;
		return -1;
	}
	return write_audit(db, b, f);
}

int reply_begin(struct reply *x, const struct actor *who, struct fault *f)
{
	struct beginning b = {.x = x, .who = who};
	AUTO(buf_drop) struct buf said = BUF_INIT(16 * 1024);
	int taken;

	x->send_by_mono_ms = clock_mono_ms() + LEASE_US / 1000;
	buf_addf(&said, "%s;%lld;", x->comment ? "put" : "delete", (long long)x->review);
	buf_add_text(&said, x->comment ? x->comment : "");
	hash_blake2b(said.data, said.len, x->hash);
	taken = store_transact(x->rf->parts.store, begin_body, &b, f);
	x->step = x->is_uncertain ? REPLY_LOOK : REPLY_CHANGE;
	return taken;
}

static int release_body(struct db *db, void *arg, struct fault *f)
{
	static const char forget_sql[] = "DELETE FROM reply_requests WHERE actor = $1"
					 " AND idempotency_key = $2 AND owner = $3"
					 " AND answer IS NULL";
	static const char keep_sql[] = "UPDATE reply_requests SET lease_until_us = 0"
				       " WHERE actor = $1 AND idempotency_key = $2 AND owner = $3"
				       " AND answer IS NULL";
	const struct reply *x = arg;

	return db_exec(db, x->is_uncertain ? keep_sql : forget_sql, NULL, f, db_text(x->actor),
		db_text(x->key), db_text(x->rf->owner));
}

void reply_release(struct reply *x)
{
	struct fault ignored;

	/* Else its lease runs out. */
	if (x->key && store_transact(x->rf->parts.store, release_body, x, &ignored) < 0)
		return;
}

/* ---- storing ---- */

struct storing {
	struct reply *x;
	const char *bytes;
	size_t len;
	int64_t last_walk_id;
	char *raw;
};

static int see_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct storing *s = arg;

	(void)n_cols;
	(void)f;
	s->last_walk_id = db_get_int(&cols[0]);
	mem_free(s->raw);
	s->raw = mem_text(db_get_text(&cols[1]));
	return 0;
}

/* The review as it is stored, with the reply that Google says it has now. */
static int merge(const struct storing *s, struct buf *ret, struct fault *f)
{
	AUTO(json_drop) json_t *review = NULL, *reply = NULL;
	const struct buf *said = &s->x->changed;
	char *text;

	if (json_parse(s->raw, strlen(s->raw), &review, f) < 0)
		return -1;
	if (!s->x->comment) {
		json_object_del(review, "reviewReply");
	} else {
		if (json_parse(said->data, said->len, &reply, f) < 0)
			return -1;
		json_object_set(review, "reviewReply", reply);
	}
	text = json_dumps(review, JSON_COMPACT);
	if (text)
		buf_add_text(ret, text);
	mem_wipe_free(text);
	return text ? 0 : fault_raise(f, FAULT_BUG, "a review cannot be written down");
}

static int store_page(
	struct db *db, const struct storing *s, const struct google_review *r, struct fault *f)
{
	struct review_counts counts = {0};
	int64_t now_us;

	if (!text_equal(r->id, s->x->review_id))
		return fault_raise(f, FAULT_UPSTREAM, "another review came than was asked for");
	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	/* No walk saw it: the one that counts it still does. */
	const struct review_place at = {.account_id = s->x->account_id,
		.location_id = s->x->location_id,
		.branch_id = s->x->branch_id,
		.client_id = s->x->client_id,
		.walk_id = s->last_walk_id,
		.pass_started_ms = now_us / 1000,
		.now_ms = now_us / 1000};
	return review_store(db, &at, r, &counts, f);
}

static int keep_answer(struct db *db, const struct reply *x, struct fault *f)
{
	if (!x->key)
		return 0;
	return db_exec(db,
		"UPDATE reply_requests SET answer = $3 WHERE actor = $1 AND idempotency_key = $2"
		" AND request_hash = $4",
		NULL, f, db_text(x->actor), db_text(x->key), db_text_n(x->shown.data, x->shown.len),
		db_bytes(x->hash, HASH_BLAKE2B_SIZE));
}

static int store_body(struct db *db, void *arg, struct fault *f)
{
	static const struct review_scope all = {0};
	struct storing *s = arg;
	struct reply *x = s->x;
	AUTO(buf_drop) struct buf merged = BUF_INIT((size_t)LIMIT_GOOGLE_PAGE_BYTES);
	struct google_page page;
	struct json_out o = JSON_OUT(&x->shown);
	int stored;

	buf_reset(&x->shown);
	if (db_read(db, "SELECT last_walk_id, raw FROM reviews WHERE id = $1", see_row, s, f,
		    db_int(x->review)) < 0)
		return -1;
	if (!s->raw)
		return fault_raise(f, FAULT_MISSING, "this review was purged meanwhile");
	if (!s->bytes && merge(s, &merged, f) < 0)
		return -1;
	if (google_review_read(s->bytes ? s->bytes : merged.data, s->bytes ? s->len : merged.len,
		    &page, f) < 0)
		return -1;
	stored = store_page(db, s, &page.reviews[0], f);
	google_page_done(&page);
	if (stored < 0 || review_write_one(db, &all, x->review, &o, f) < 0)
		return -1;
	return keep_answer(db, x, f);
}

int reply_store(struct reply *x, const char *bytes, size_t len, struct fault *f)
{
	struct storing s = {.x = x, .bytes = bytes, .len = len};
	int stored = store_transact(x->rf->parts.store, store_body, &s, f);

	mem_free(s.raw);
	return stored;
}
