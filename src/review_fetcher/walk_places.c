/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts and locations, and the walks that follow from them. A quick job asks for the newest
 * reviews of fifty known locations at a time and reads only those where the answer shows something
 * new. It begins with the places that are known; job_places.c renews them.
 */
#include "review_fetcher/walk_rows.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"

#define KNOWN_AT_ONCE 500

/* ---- what to do for a location ---- */

struct known {
	bool is_complete, is_parked;
	int64_t retry_at_ms;
	char why[200];
};

static int read_known(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct known *k = arg;
	const char *why = db_get_text(&cols[3]);

	(void)n_cols;
	(void)f;
	k->is_complete = cols[0].type != DB_NULL;
	k->is_parked = cols[1].type != DB_NULL;
	k->retry_at_ms = db_get_int(&cols[2]);
	snprintf(k->why, sizeof(k->why), "it is left alone for a while: %.*s",
		google_words_fit(why ? why : "", 160), why ? why : "");
	return 0;
}

static int open_reviews(struct db *db, const struct walk_opening *o, const char *account_id,
	const char *location_id, const char *state, bool is_full, const char *error,
	int64_t batch_id, int64_t *opened, struct fault *f)
{
	static const char sql[] =
		"INSERT INTO job_walks (job_id, kind, account_id, location_id, pass_started_ms,"
		" state, is_full, error, batch_id) VALUES ($1, 'reviews', $2, $3, $4, $5, $6, $7, "
		"$8)"
		" ON CONFLICT DO NOTHING";
	int64_t changed = 0;

	if (db_exec(db, sql, &changed, f, db_text(o->job_id), db_text(account_id),
		    db_text(location_id), db_int(o->now_ms + 1), db_text(state), db_int(is_full),
		    db_text(error), db_int_or_null(batch_id, batch_id != 0)) < 0)
		return -1;
	*opened += changed;
	return 0;
}

/* One location alone is as cheap to read as to ask about. */
static int open_batch(struct db *db, const struct walk_opening *o, const char *account_id,
	const char *const *location_ids, size_t n, int64_t *opened, struct fault *f)
{
	static const char sql[] =
		"INSERT INTO job_walks (job_id, kind, account_id, location_id, pass_started_ms,"
		" state) VALUES ($1, 'batch', $2, $3, $4, 'open') ON CONFLICT DO NOTHING RETURNING "
		"id";
	int64_t batch_id = 0, members = 0;

	if (n == 1)
		return open_reviews(
			db, o, account_id, location_ids[0], "open", false, NULL, 0, opened, f);
	if (n == 0)
		return 0;
	if (db_read(db, sql, walk_read_number, &batch_id, f, db_text(o->job_id),
		    db_text(account_id), db_text(location_ids[0]), db_int(o->now_ms + 1)) < 0)
		return -1;
	if (!batch_id)
		return 0; /* a listing that was begun again: its locations are known */
	for (size_t i = 0; i < n; i++) {
		if (open_reviews(db, o, account_id, location_ids[i], "hinted", false, NULL,
			    batch_id, &members, f) < 0)
			return -1;
	}
	*opened += members;
	return members ? 0
		       : db_exec(db, "DELETE FROM job_walks WHERE id = $1", NULL, f,
				 db_int(batch_id));
}

static int get_known(struct db *db, const char *location_id, struct known *ret, struct fault *f)
{
	static const char sql[] =
		"SELECT watermark_us, parked_at_ms, retry_at_ms, last_error FROM locations"
		" WHERE location_id = $1";

	*ret = (struct known){0};
	return db_read(db, sql, read_known, ret, f, db_text(location_id));
}

/* It is listed, or left alone for a while. */
static int open_listing(struct db *db, const struct walk_opening *o, const char *account_id,
	const char *location_id, const struct known *k, int64_t *opened, struct fault *f)
{
	bool leave = k->is_parked && o->is_patient && k->retry_at_ms > o->now_ms;
	bool full = !o->is_quick || !k->is_complete;

	return open_reviews(db, o, account_id, location_id, leave ? "failed" : "open", full,
		leave ? k->why : NULL, 0, opened, f);
}

int walks_open(struct db *db, const struct walk_opening *o, const char *account_id,
	const char *const *location_ids, size_t n, int64_t *opened, struct fault *f)
{
	const char *batch[GOOGLE_BATCH_LOCATIONS];
	size_t n_batch = 0;
	int done = 0;

	for (size_t i = 0; i < n && done == 0; i++) {
		struct known k;

		done = get_known(db, location_ids[i], &k, f);
		if (done < 0 || (o->only_new && (k.is_complete || k.is_parked)))
			continue;
		if (!o->is_quick || !k.is_complete || k.is_parked) {
			done = open_listing(db, o, account_id, location_ids[i], &k, opened, f);
			continue;
		}
		batch[n_batch++] = location_ids[i];
		if (n_batch == ARRAY_LEN(batch)) {
			done = open_batch(db, o, account_id, batch, n_batch, opened, f);
			n_batch = 0;
		}
	}
	return done < 0 ? -1 : open_batch(db, o, account_id, batch, n_batch, opened, f);
}

/* ---- all that is known of a branch ---- */

struct places { /* of one account */
	char *ids[KNOWN_AT_ONCE];
	size_t n;
};

static int take_place(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct places *p = arg;

	(void)n_cols;
	(void)f;
	p->ids[p->n++] = mem_text(db_get_text(&cols[0]));
	return p->n == KNOWN_AT_ONCE;
}

static int open_account(struct db *db, const struct walk_opening *o, const char *account_id,
	int64_t listed_at_ms, int64_t *opened, struct fault *f)
{
	static const char sql[] =
		"SELECT location_id FROM location_parents WHERE branch_id = $1 AND account_id = $2"
		" AND listed_at_ms >= $3 AND location_id > $4 ORDER BY location_id LIMIT $5";
	struct places k;
	AUTO(buf_drop) struct buf after = BUF_INIT(4096);
	int done = 0;
	bool more = true;

	while (more && done == 0) {
		k = (struct places){0};
		done = db_read(db, sql, take_place, &k, f, db_text(o->branch_id),
			db_text(account_id), db_int(listed_at_ms), db_text(buf_text(&after)),
			db_int(KNOWN_AT_ONCE));
		if (done == 0)
			done = walks_open(
				db, o, account_id, (const char *const *)k.ids, k.n, opened, f);
		more = k.n == KNOWN_AT_ONCE;
		buf_reset(&after);
		buf_add_text(&after, k.n ? k.ids[k.n - 1] : "");
		for (size_t i = 0; i < k.n; i++)
			mem_free(k.ids[i]);
	}
	return done;
}

static int read_text(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct buf *b = arg;

	(void)n_cols;
	(void)f;
	buf_reset(b);
	if (db_get_text(&cols[0]))
		buf_add_text(b, db_get_text(&cols[0]));
	return 1;
}

/* So that the job shows its accounts, though it does not ask for their locations. */
static int note_account(
	struct db *db, const struct walk_opening *o, const char *account_id, struct fault *f)
{
	return db_exec(db,
		"INSERT INTO job_walks (job_id, kind, account_id, pass_started_ms, state)"
		" VALUES ($1, 'locations', $2, $3, 'done') ON CONFLICT DO NOTHING",
		NULL, f, db_text(o->job_id), db_text(account_id), db_int(o->now_ms + 1));
}

int walks_open_known(
	struct db *db, const struct walk_opening *o, struct places_known *ret, struct fault *f)
{
	static const char next_sql[] = "SELECT account_id FROM accounts WHERE branch_id = $1"
				       " AND account_id > $2 ORDER BY account_id LIMIT 1";
	AUTO(buf_drop) struct buf account = BUF_INIT(4096);
	AUTO(buf_drop) struct buf next = BUF_INIT(4096);
	int64_t opened;

	*ret = (struct places_known){0};
	if (db_read(db, "SELECT listed_at_ms FROM branch_places WHERE branch_id = $1",
		    walk_read_number, &ret->listed_at_ms, f, db_text(o->branch_id)) < 0)
		return -1;
	for (;;) {
		buf_reset(&next);
		if (db_read(db, next_sql, read_text, &next, f, db_text(o->branch_id),
			    db_text(buf_text(&account))) < 0)
			return -1;
		if (!next.len)
			return 0;
		buf_reset(&account);
		buf_add_text(&account, buf_text(&next));
		opened = 0;
		if (open_account(db, o, buf_text(&account), ret->listed_at_ms, &opened, f) < 0)
			return -1;
		if (opened && note_account(db, o, buf_text(&account), f) < 0)
			return -1;
		ret->accounts += opened > 0;
		ret->locations += opened;
	}
}

/* ---- pages ---- */

static struct walk_opening opening_of(const struct writing *t)
{
	return (struct walk_opening){.job_id = t->w->job->id,
		.branch_id = walk_branch(t->w),
		.now_ms = t->now_ms,
		.is_quick = t->w->job->is_quick,
		.is_patient = t->w->job->is_patient,
		.only_new = t->w->job->is_places};
}

static int store_account(
	struct db *db, struct writing *t, const struct google_account *a, struct fault *f)
{
	static const char sql[] =
		"INSERT INTO accounts (branch_id, account_id, name, type, role, raw, created_at_ms,"
		" updated_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)"
		" ON CONFLICT (branch_id, account_id) DO UPDATE SET name = excluded.name,"
		" type = excluded.type, role = excluded.role, raw = excluded.raw,"
		" updated_at_ms = CASE WHEN accounts.raw = excluded.raw THEN accounts.updated_at_ms"
		" ELSE excluded.updated_at_ms END";
	static const char walk_sql[] =
		"INSERT INTO job_walks (job_id, kind, account_id, pass_started_ms, state)"
		" VALUES ($1, 'locations', $2, $3, 'open') ON CONFLICT DO NOTHING";
	int64_t opened = 0;

	if (db_exec(db, sql, NULL, f, db_text(walk_branch(t->w)), db_text(a->id), db_text(a->name),
		    db_text(a->type), db_text(a->role), db_text(a->raw), db_int(t->now_ms)) < 0 ||
		db_exec(db, walk_sql, &opened, f, db_text(t->w->job->id), db_text(a->id),
			db_int(t->now_ms + 1)) < 0)
		return -1;
	t->n.accounts += opened;
	t->change.opened |= opened > 0;
	return 0;
}

/* The last of a branch's listings ended, and all of them well: what they showed is all there is. */
static int end_listing(struct db *db, struct writing *t, struct fault *f)
{
	static const char left_sql[] =
		"SELECT count(*) FROM job_walks WHERE job_id = $1"
		" AND kind IN ('accounts', 'locations') AND state <> 'done' AND id <> $2";
	static const char whole_sql[] =
		"INSERT INTO branch_places (branch_id, listed_at_ms)"
		" SELECT branch_id, created_at_ms FROM jobs WHERE id = $1 AND branch_id IS NOT NULL"
		" ON CONFLICT (branch_id) DO UPDATE SET listed_at_ms = excluded.listed_at_ms"
		" WHERE branch_places.listed_at_ms < excluded.listed_at_ms";
	int64_t left = 0;

	if (t->page->next_token)
		return walk_next_page(db, t, f);
	t->at.state = "done";
	if (t->n.accounts) /* and their listings are still to come */
		return 0;
	if (db_read(db, left_sql, walk_read_number, &left, f, db_text(t->w->job->id),
		    db_int(t->w->id)) < 0)
		return -1;
	return left ? 0 : db_exec(db, whole_sql, NULL, f, db_text(t->w->job->id));
}

int accounts_store(struct db *db, struct writing *t, struct fault *f)
{
	t->at.rows_seen += (int64_t)t->page->n;
	for (size_t i = 0; i < t->page->n; i++) {
		if (store_account(db, t, &t->page->accounts[i], f) < 0)
			return -1;
	}
	return end_listing(db, t, f);
}

static int store_location(
	struct db *db, const struct writing *t, const struct google_location *l, struct fault *f)
{
	static const char sql[] =
		"INSERT INTO locations (location_id, title, store_code, address, phone, category, "
		"raw,"
		" created_at_ms, updated_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)"
		" ON CONFLICT (location_id) DO UPDATE SET title = excluded.title,"
		" store_code = excluded.store_code, address = excluded.address,"
		" phone = excluded.phone, category = excluded.category, raw = excluded.raw,"
		" updated_at_ms = CASE WHEN locations.raw = excluded.raw THEN "
		"locations.updated_at_ms"
		" ELSE excluded.updated_at_ms END";
	static const char parent_sql[] =
		"INSERT INTO location_parents (branch_id, account_id, location_id, listed_at_ms)"
		" VALUES ($1, $2, $3, $4) ON CONFLICT (location_id, branch_id, account_id)"
		" DO UPDATE SET listed_at_ms = excluded.listed_at_ms";

	if (db_exec(db, sql, NULL, f, db_text(l->id), db_text(l->title), db_text(l->store_code),
		    db_text(l->address), db_text(l->phone), db_text(l->category), db_text(l->raw),
		    db_int(t->now_ms)) < 0)
		return -1;
	return db_exec(db, parent_sql, NULL, f, db_text(walk_branch(t->w)),
		db_text(t->w->account_id), db_text(l->id), db_int(t->now_ms));
}

int locations_store(struct db *db, struct writing *t, struct fault *f)
{
	const struct walk_opening o = opening_of(t);
	const char **ids = mem_alloc_array(t->page->n + 1, sizeof(*ids));
	int64_t opened = 0;
	int done = 0;

	t->at.rows_seen += (int64_t)t->page->n;
	for (size_t i = 0; i < t->page->n && done == 0; i++) {
		ids[i] = t->page->locations[i].id;
		done = store_location(db, t, &t->page->locations[i], f);
	}
	if (done == 0)
		done = walks_open(db, &o, t->w->account_id, ids, t->page->n, &opened, f);
	mem_free(ids);
	if (done < 0)
		return -1;
	t->n.locations += opened;
	t->change.opened |= opened > 0;
	return end_listing(db, t, f);
}
