/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a walk writes. The rows of a page, the walks that follow from it, the cursor and the
 * counters of the job are one transaction under the fence of the job's lease: a crash repeats at
 * most one page, and a process that lost its lease writes nothing.
 *
 * A listing ends, or is begun again, or fails; it never goes round. The token of each pass_pages
 * that is a power of two is kept as a mark (Brent), so any circle of tokens is met after at most
 * three times its length.
 */
#include "review_fetcher/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store.h"

/* The part of a walk that a transaction moves. Texts are borrowed: from the walk, the page or
 * literals. */
struct cursor {
	const char *page_token, *mark_token;
	int64_t pass, pass_pages, pass_started_ms, recounts, rows_seen, rows_expected;
	const char *state, *error;
};

struct counts {
	int64_t accounts, locations, reviews, created, changed, unchanged, pages;
};

struct writing { /* one transaction; body may run again, so it starts from w each time */
	const struct walk *w;
	const struct google_page *page;
	const char *why; /* of a restart or a failure */
	int64_t now_ms;
	struct cursor at;
	struct counts n;
	struct walk_change change;
	bool lost;
	char words[200];
};

static void begin_writing(struct writing *t)
{
	const struct walk *w = t->w;

	t->at = (struct cursor){
		.page_token = w->page_token,
		.mark_token = w->mark_token,
		.pass = w->pass,
		.pass_pages = w->pass_pages,
		.pass_started_ms = w->pass_started_ms,
		.recounts = w->recounts,
		.rows_seen = w->rows_seen,
		.rows_expected = w->rows_expected,
		.state = "open",
	};
	t->n = (struct counts){0};
	t->change = (struct walk_change){0};
	t->lost = false;
}

static const char *branch_of(const struct walk *w)
{
	return w->job->branch_id ? w->job->branch_id : "";
}

/* Opens a follow-up walk unless the job has it; *ret_opened counts the new ones. */
static int open_walk(struct db *db, struct writing *t, const char *kind, const char *account_id,
	const char *location_id, int64_t *ret_opened, struct fault *f)
{
	static const char sql[] = "INSERT INTO job_walks (job_id, kind, account_id, location_id, "
				  "pass_started_ms, state)"
				  " VALUES ($1, $2, $3, $4, $5, 'open') ON CONFLICT DO NOTHING";
	int64_t changed = 0;

	if (db_exec(db, sql, &changed, f, db_text(t->w->job->id), db_text(kind),
		    db_text(account_id), db_text(location_id), db_int(t->now_ms + 1)) < 0)
		return -1;
	*ret_opened += changed;
	t->change.opened |= changed > 0;
	return 0;
}

static int store_accounts(struct db *db, struct writing *t, struct fault *f)
{
	static const char sql[] =
		"INSERT INTO accounts (branch_id, account_id, name, type, role, raw, created_at_ms,"
		" updated_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)"
		" ON CONFLICT (branch_id, account_id) DO UPDATE SET name = excluded.name,"
		" type = excluded.type, role = excluded.role, raw = excluded.raw,"
		" updated_at_ms = CASE WHEN accounts.raw = excluded.raw THEN accounts.updated_at_ms"
		" ELSE excluded.updated_at_ms END";

	for (size_t i = 0; i < t->page->n; i++) {
		const struct google_account *a = &t->page->accounts[i];

		if (db_exec(db, sql, NULL, f, db_text(branch_of(t->w)), db_text(a->id),
			    db_text(a->name), db_text(a->type), db_text(a->role), db_text(a->raw),
			    db_int(t->now_ms)) < 0 ||
			open_walk(db, t, "locations", a->id, "", &t->n.accounts, f) < 0)
			return -1;
	}
	return 0;
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
		"INSERT INTO location_parents (branch_id, account_id, location_id)"
		" VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

	if (db_exec(db, sql, NULL, f, db_text(l->id), db_text(l->title), db_text(l->store_code),
		    db_text(l->address), db_text(l->phone), db_text(l->category), db_text(l->raw),
		    db_int(t->now_ms)) < 0)
		return -1;
	return db_exec(db, parent_sql, NULL, f, db_text(branch_of(t->w)), db_text(t->w->account_id),
		db_text(l->id));
}

static int store_locations(struct db *db, struct writing *t, struct fault *f)
{
	for (size_t i = 0; i < t->page->n; i++) {
		const struct google_location *l = &t->page->locations[i];

		if (store_location(db, t, l, f) < 0 || open_walk(db, t, "reviews", t->w->account_id,
							       l->id, &t->n.locations, f) < 0)
			return -1;
	}
	return 0;
}

static int store_reviews(struct db *db, struct writing *t, struct fault *f)
{
	for (size_t i = 0; i < t->page->n; i++) {
		struct review_seen seen;

		if (review_store(db, t->w, &t->page->reviews[i], t->now_ms, &seen, f) < 0)
			return -1;
		if (!seen.first_in_walk)
			continue;
		t->n.reviews++;
		t->n.created += seen.change == REVIEW_NEW;
		t->n.changed += seen.change == REVIEW_CHANGED;
		t->n.unchanged += seen.change == REVIEW_UNCHANGED;
	}
	return 0;
}

/* The lease holds, or nothing is written. The page also says: this job runs and does not wait. */
static int read_cancel(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct writing *t = arg;

	(void)n_cols;
	(void)f;
	t->lost = false;
	t->change.cancelled = db_get_int(&cols[0]) != 0;
	return 0;
}

static int write_job(struct db *db, struct writing *t, struct fault *f)
{
	static const char sql[] =
		"UPDATE jobs SET accounts = accounts + $3, locations = locations + $4,"
		" reviews = reviews + $5, reviews_new = reviews_new + $6,"
		" reviews_changed = reviews_changed + $7, reviews_unchanged = reviews_unchanged + "
		"$8,"
		" pages = pages + $9, google_calls = google_calls + $10, lease_until_ms = $11,"
		" status = 'running', waiting_until_ms = NULL"
		" WHERE id = $1 AND fence = $2 RETURNING cancel_requested";
	const struct job *j = t->w->job;

	t->lost = true;
	if (db_read(db, sql, read_cancel, t, f, db_text(j->id), db_int(j->fence),
		    db_int(t->n.accounts), db_int(t->n.locations), db_int(t->n.reviews),
		    db_int(t->n.created), db_int(t->n.changed), db_int(t->n.unchanged),
		    db_int(t->n.pages), db_int(t->w->calls), db_int(t->now_ms + LEASE_MS)) < 0) {
		t->lost = false;
		return -1;
	}
	if (t->lost)
		return fault_raise(f, FAULT_CONFLICT, "the job belongs to another process now");
	return 0;
}

static int write_cursor(struct db *db, const struct writing *t, struct fault *f)
{
	static const char sql[] =
		"UPDATE job_walks SET page_token = $2, mark_token = $3, pass = $4, pass_pages = $5,"
		" pass_started_ms = $6, recounts = $7, rows_seen = $8, rows_expected = $9,"
		" state = $10, error = $11 WHERE id = $1";
	const struct cursor *at = &t->at;

	return db_exec(db, sql, NULL, f, db_int(t->w->id), db_text(at->page_token),
		db_text(at->mark_token), db_int(at->pass), db_int(at->pass_pages),
		db_int(at->pass_started_ms), db_int(at->recounts), db_int(at->rows_seen),
		db_int_or_null(at->rows_expected, at->rows_expected >= 0), db_text(at->state),
		db_text(at->error));
}

static int note_error(struct db *db, const struct writing *t, struct fault *f)
{
	if (t->w->kind != GOOGLE_REVIEWS)
		return 0;
	return db_exec(db, "UPDATE locations SET last_error = $2 WHERE location_id = $1", NULL, f,
		db_text(t->w->location_id), db_text(t->at.error));
}

static int fail(struct db *db, struct writing *t, const char *why, struct fault *f)
{
	t->at.state = "failed";
	t->at.error = why;
	return note_error(db, t, f);
}

/* Rows seen in an earlier pass must look older than the new one, even within one millisecond. */
static int restart(struct db *db, struct writing *t, const char *why, struct fault *f)
{
	if (t->at.pass >= PASSES_MAX)
		return fail(db, t, why, f);
	t->at.page_token = t->at.mark_token = NULL;
	t->at.pass++;
	t->at.pass_pages = t->at.rows_seen = 0;
	t->at.pass_started_ms =
		(t->now_ms > t->at.pass_started_ms ? t->now_ms : t->at.pass_started_ms) + 1;
	return 0;
}

static int read_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

/*
 * The last page of a location: what came is held against what Google says there is. Reviews that
 * moved while the pages were read explain a difference once; after that it is said, not hidden.
 */
static int end_reviews(struct db *db, struct writing *t, struct fault *f)
{
	static const char count_sql[] =
		"SELECT count(*) FROM reviews WHERE location_id = $1 AND last_seen_ms >= $2"
		" AND deleted_at_ms IS NULL";
	static const char done_sql[] =
		"UPDATE locations SET last_synced_at_ms = $2, last_error = NULL,"
		" total_review_count = $3, average_rating = $4 WHERE location_id = $1";
	int64_t came = 0, expected = t->at.rows_expected;
	double average = t->page->average;

	if (db_read(db, count_sql, read_number, &came, f, db_text(t->w->location_id),
		    db_int(t->at.pass_started_ms)) < 0)
		return -1;
	if (expected < 0 || came == expected) {
		t->at.state = "done";
		return db_exec(db, done_sql, NULL, f, db_text(t->w->location_id), db_int(t->now_ms),
			db_int(came), average >= 0 ? db_double(average) : db_null());
	}
	snprintf(t->words, sizeof(t->words),
		"Google says this location has %lld reviews, and %lld came", (long long)expected,
		(long long)came);
	if (t->at.recounts > 0)
		return fail(db, t, t->words, f);
	t->at.recounts++;
	return restart(db, t, t->words, f);
}

static bool is_circle(const struct writing *t, const char *next)
{
	return text_equal(next, t->w->page_token) || text_equal(next, t->at.mark_token) ||
	       (t->at.rows_expected >= 0 && t->at.rows_seen > 3 * t->at.rows_expected + 1000);
}

static int move_cursor(struct db *db, struct writing *t, struct fault *f)
{
	const char *next = t->page->next_token;
	int64_t pages = ++t->at.pass_pages;

	if (t->page->total >= 0)
		t->at.rows_expected = t->page->total;
	t->at.rows_seen += (int64_t)t->page->n;
	if (!next && t->w->kind == GOOGLE_REVIEWS)
		return end_reviews(db, t, f);
	if (!next) {
		t->at.state = "done";
		return 0;
	}
	if (pages >= PASS_PAGES_MAX)
		return fail(db, t, "the listing has more pages than can be", f);
	if (is_circle(t, next))
		return restart(db, t, "Google's pages of this listing run in a circle", f);
	t->at.page_token = next;
	if ((pages & (pages - 1)) == 0)
		t->at.mark_token = next;
	return 0;
}

static int page_body(struct db *db, void *arg, struct fault *f)
{
	struct writing *t = arg;
	int stored;

	begin_writing(t);
	if (t->w->kind == GOOGLE_ACCOUNTS)
		stored = store_accounts(db, t, f);
	else if (t->w->kind == GOOGLE_LOCATIONS)
		stored = store_locations(db, t, f);
	else
		stored = store_reviews(db, t, f);
	t->n.pages = 1;
	if (stored < 0 || move_cursor(db, t, f) < 0 || write_cursor(db, t, f) < 0)
		return -1;
	return write_job(db, t, f);
}

static int restart_body(struct db *db, void *arg, struct fault *f)
{
	struct writing *t = arg;

	begin_writing(t);
	if (restart(db, t, t->why, f) < 0 || write_cursor(db, t, f) < 0)
		return -1;
	return write_job(db, t, f);
}

static int failure_body(struct db *db, void *arg, struct fault *f)
{
	struct writing *t = arg;

	begin_writing(t);
	if (fail(db, t, t->why, f) < 0 || write_cursor(db, t, f) < 0)
		return -1;
	return write_job(db, t, f);
}

static char *copy(const char *text)
{
	return text ? mem_text(text) : NULL;
}

/* What was committed becomes what memory says. */
static void follow(struct walk *w, const struct writing *t)
{
	char *page_token = copy(t->at.page_token), *mark_token = copy(t->at.mark_token);

	mem_free(w->page_token);
	mem_free(w->mark_token);
	w->page_token = page_token;
	w->mark_token = mark_token;
	w->pass = t->at.pass;
	w->pass_pages = t->at.pass_pages;
	w->pass_started_ms = t->at.pass_started_ms;
	w->recounts = t->at.recounts;
	w->rows_seen = t->at.rows_seen;
	w->rows_expected = t->at.rows_expected;
	w->calls = 0;
	w->attempts = 0;
	w->token_tried = false;
}

static int write_all(struct walk *w, struct writing *t, store_body_fn *body,
	struct walk_change *ret, struct fault *f)
{
	t->w = w;
	t->now_ms = clock_wall_ms();
	if (store_transact(w->job->rf->parts.store, body, t, f) < 0)
		return t->lost ? WALK_LOST : -1;
	*ret = t->change;
	follow(w, t);
	return text_equal(t->at.state, "open") ? WALK_GOES_ON : WALK_ENDED;
}

int walk_store_page(
	struct walk *w, const struct google_page *page, struct walk_change *ret, struct fault *f)
{
	struct writing t = {.page = page};

	return write_all(w, &t, page_body, ret, f);
}

int walk_store_restart(struct walk *w, const char *why, struct walk_change *ret, struct fault *f)
{
	struct writing t = {.why = why};

	return write_all(w, &t, restart_body, ret, f);
}

int walk_store_failure(struct walk *w, const char *why, struct walk_change *ret, struct fault *f)
{
	struct writing t = {.why = why};

	return write_all(w, &t, failure_body, ret, f);
}
