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
#include "review_fetcher/walk_rows.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

/* The time is the database's, so that processes whose clocks differ agree on what was before what.
 */
static int begin_writing(struct db *db, struct writing *t, struct fault *f)
{
	const struct walk *w = t->w;
	int64_t now_us;

	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	t->now_ms = now_us / 1000;
	/* How long ago is what our own clock is asked, for it does not jump. */
	t->asked_ms = t->now_ms - (clock_mono_ms() - w->asked_mono_ms);
	t->at = (struct cursor){
		.page_token = w->page_token,
		.mark_token = w->mark_token,
		.probe_id = w->probe_id,
		.pass = w->pass,
		.pass_pages = w->pass_pages,
		.pass_started_ms = w->pass_started_ms,
		.recounts = w->recounts,
		.rows_seen = w->rows_seen,
		.rows_expected = w->rows_expected,
		.low_us = w->low_us,
		.is_full = w->is_full,
		.state = "open",
	};
	t->n = (struct counts){0};
	t->change = (struct walk_change){0};
	t->lost = t->again = false;
	return 0;
}

const char *walk_branch(const struct walk *w)
{
	return w->job->branch_id ? w->job->branch_id : "";
}

int walk_read_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
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
		" reviews_edited = reviews_edited + $12, replies_added = replies_added + $13,"
		" replies_changed = replies_changed + $14, replies_removed = replies_removed + $15,"
		" reviews_deleted = reviews_deleted + $16,"
		" reviews_restored = reviews_restored + $17,"
		" status = 'running', waiting_until_ms = NULL"
		" WHERE id = $1 AND fence = $2 RETURNING cancel_requested";
	const struct job *j = t->w->job;
	const struct review_counts *r = &t->n.reviews;

	t->lost = true;
	if (db_read(db, sql, read_cancel, t, f, db_text(j->id), db_int(j->fence),
		    db_int(t->n.accounts), db_int(t->n.locations), db_int(r->seen),
		    db_int(r->kinds[REVIEW_NEW]), db_int(r->changed), db_int(r->unchanged),
		    db_int(t->n.pages), db_int(t->w->calls), db_int(t->now_ms + LEASE_MS),
		    db_int(r->kinds[REVIEW_EDITED]), db_int(r->kinds[REVIEW_REPLY_ADDED]),
		    db_int(r->kinds[REVIEW_REPLY_CHANGED]), db_int(r->kinds[REVIEW_REPLY_REMOVED]),
		    db_int(r->kinds[REVIEW_DELETED]), db_int(r->kinds[REVIEW_RESTORED])) < 0) {
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
		" state = $10, error = $11, probe_id = $12, is_full = $13, low_us = $14 WHERE id = "
		"$1";
	const struct cursor *at = &t->at;

	return db_exec(db, sql, NULL, f, db_int(t->w->id), db_text(at->page_token),
		db_text(at->mark_token), db_int(at->pass), db_int(at->pass_pages),
		db_int(at->pass_started_ms), db_int(at->recounts), db_int(at->rows_seen),
		db_int_or_null(at->rows_expected, at->rows_expected >= 0), db_text(at->state),
		db_text(at->error), db_text(at->probe_id), db_int(at->is_full),
		db_int_or_null(at->low_us, at->low_us != 0));
}

static int fail(struct db *db, struct writing *t, const char *why, struct fault *f)
{
	if (t->w->kind == WALK_BATCH)
		return batch_give_up(db, t, why, f);
	t->at.state = "failed";
	t->at.error = why;
	return t->w->kind == WALK_REVIEWS ? location_note_failure(db, t, f) : 0;
}

/* Rows seen in an earlier pass must look older than the new one, even within one millisecond. */
int walk_restart(struct db *db, struct writing *t, const char *why, struct fault *f)
{
	if (t->at.pass >= PASSES_MAX) {
		t->park = WALK_PARK_TWICE;
		return fail(db, t, why, f);
	}
	t->at.page_token = t->at.mark_token = t->at.probe_id = NULL;
	t->at.pass++;
	t->at.pass_pages = t->at.rows_seen = t->at.low_us = 0;
	t->at.pass_started_ms =
		(t->now_ms > t->at.pass_started_ms ? t->now_ms : t->at.pass_started_ms) + 1;
	return 0;
}

static bool is_circle(const struct writing *t, const char *next)
{
	return text_equal(next, t->w->page_token) || text_equal(next, t->at.mark_token) ||
	       (t->at.rows_expected >= 0 && t->at.rows_seen > 3 * t->at.rows_expected + 1000);
}

int walk_next_page(struct db *db, struct writing *t, struct fault *f)
{
	const char *next = t->page->next_token;
	int64_t pages = t->at.pass_pages;

	if (pages >= PASS_PAGES_MAX) {
		t->park = WALK_PARK;
		return fail(db, t, "the listing has more pages than can be", f);
	}
	if (is_circle(t, next))
		return walk_restart(db, t, "Google's pages of this listing run in a circle", f);
	t->at.page_token = next;
	if ((pages & (pages - 1)) == 0)
		t->at.mark_token = next;
	return 0;
}

static int store(struct db *db, struct writing *t, struct fault *f)
{
	switch (t->w->kind) {
	case WALK_ACCOUNTS:
		return accounts_store(db, t, f);
	case WALK_LOCATIONS:
		return locations_store(db, t, f);
	case WALK_REVIEWS:
		return t->w->probe_id ? probe_store(db, t, f) : reviews_store(db, t, f);
	case WALK_BATCH:
		return batch_store(db, t, f);
	case WALK_ONE:
		return one_store(db, t, f);
	case WALK_KINDS:
		break;
	}
	return fault_raise(f, FAULT_BUG, "a walk of no kind");
}

static int page_body(struct db *db, void *arg, struct fault *f)
{
	struct writing *t = arg;

	if (begin_writing(db, t, f) < 0)
		return -1;
	t->n.pages = t->w->probe_id ? 0 : 1;
	if (!t->w->probe_id)
		t->at.pass_pages++;
	if (store(db, t, f) < 0 || write_cursor(db, t, f) < 0)
		return -1;
	return write_job(db, t, f);
}

static int restart_body(struct db *db, void *arg, struct fault *f)
{
	struct writing *t = arg;

	if (begin_writing(db, t, f) < 0 || walk_restart(db, t, t->why, f) < 0 ||
		write_cursor(db, t, f) < 0)
		return -1;
	return write_job(db, t, f);
}

static int failure_body(struct db *db, void *arg, struct fault *f)
{
	struct writing *t = arg;

	if (begin_writing(db, t, f) < 0 || fail(db, t, t->why, f) < 0 || write_cursor(db, t, f) < 0)
		return -1;
	return write_job(db, t, f);
}

static void replace(char **at, const char *text)
{
	char *copy = text ? mem_text(text) : NULL;

	mem_free(*at);
	*at = copy;
}

/* What was committed becomes what memory says. */
static void follow(struct walk *w, const struct writing *t)
{
	replace(&w->page_token, t->at.page_token);
	replace(&w->mark_token, t->at.mark_token);
	replace(&w->probe_id, t->at.probe_id);
	w->pass = t->at.pass;
	w->pass_pages = t->at.pass_pages;
	w->pass_started_ms = t->at.pass_started_ms;
	w->recounts = t->at.recounts;
	w->rows_seen = t->at.rows_seen;
	w->rows_expected = t->at.rows_expected;
	w->low_us = t->at.low_us;
	w->is_full = t->at.is_full;
	w->calls = 0;
	w->attempts = 0;
	w->token_tried = false;
	w->overtaken = t->again ? w->overtaken + 1 : 0;
}

static int write_all(struct walk *w, struct writing *t, store_body_fn *body,
	struct walk_change *ret, struct fault *f)
{
	t->w = w;
	/* The job's row, under its fence, and the walk's own cursor are written by every page. */
	if (store_transact_snapshot(w->job->rf->parts.store, body, t, f) < 0)
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

int walk_store_absence(struct walk *w, struct walk_change *ret, struct fault *f)
{
	struct writing t = {0};

	return write_all(w, &t, page_body, ret, f);
}

int walk_store_restart(struct walk *w, const char *why, struct walk_change *ret, struct fault *f)
{
	struct writing t = {.why = why};

	return write_all(w, &t, restart_body, ret, f);
}

int walk_store_failure(struct walk *w, const char *why, enum walk_park park,
	struct walk_change *ret, struct fault *f)
{
	struct writing t = {.why = why, .park = park};

	return write_all(w, &t, failure_body, ret, f);
}
