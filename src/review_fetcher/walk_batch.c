/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batchGetReviews as a hint: which of up to fifty locations have something new? Google does not say
 * how it orders across locations, so the answer is believed only as far as it proves itself. Its
 * updates must fall; it must reach behind the time at which the locations were last looked at; and
 * a location whose newest review is younger than the oldest that is shown must be shown. What fails
 * that, or shows anything that is not stored, is read by itself. Deletions do not show here: the
 * counts of a listing and the full pass find them.
 */
#include "review_fetcher/walk_rows.h"

#include "base/text.h"

#define BATCH_PAGES_MAX 4 /* with more to say than that, listings are cheaper */

static int open_all(struct db *db, struct writing *t, struct fault *f)
{
	int64_t n = 0;

	if (db_exec(db,
		    "UPDATE job_walks SET state = 'open' WHERE batch_id = $1 AND state = 'hinted'",
		    &n, f, db_int(t->w->id)) < 0)
		return -1;
	t->change.opened |= n > 0;
	return 0;
}

int batch_give_up(struct db *db, struct writing *t, const char *why, struct fault *f)
{
	t->at.state = "done";
	t->at.error = why;
	return open_all(db, t, f);
}

/* Opens the locations for which a condition holds. */
static int open_where(
	struct db *db, struct writing *t, const char *sql, int64_t bound, struct fault *f)
{
	int64_t n = 0;

	if (db_exec(db, sql, &n, f, db_int(t->w->id), db_int(bound)) < 0)
		return -1;
	t->change.opened |= n > 0;
	return 0;
}

/* Shown newer reviews than its newest, and not that one. */
static const char absent_sql[] =
	"UPDATE job_walks SET state = 'open' WHERE batch_id = $1 AND state = 'hinted'"
	" AND rows_seen = 0 AND EXISTS (SELECT 1 FROM locations l"
	" WHERE l.location_id = job_walks.location_id AND l.watermark_us > $2)";
/* What was shown does not reach back to when it was looked at last. */
static const char unreached_sql[] =
	"UPDATE job_walks SET state = 'open' WHERE batch_id = $1 AND state = 'hinted'"
	" AND EXISTS (SELECT 1 FROM locations l WHERE l.location_id = job_walks.location_id"
	" AND COALESCE(l.checked_at_ms, 0) < $2)";

/* What is still hinted has nothing new. */
static int close_rest(struct db *db, struct writing *t, struct fault *f)
{
	static const char gap_sql[] =
		"UPDATE job_walks SET state = 'failed', error = (SELECT l.last_error FROM "
		"locations "
		"l"
		" WHERE l.location_id = job_walks.location_id)"
		" WHERE batch_id = $1 AND state = 'hinted' AND EXISTS (SELECT 1 FROM locations l"
		" WHERE l.location_id = job_walks.location_id AND l.count_gap <> 0)";
	static const char checked_sql[] =
		"UPDATE locations SET checked_at_ms = $2, last_synced_at_ms = $3,"
		" last_error = NULL, parked_passes = 0"
		" WHERE location_id IN (SELECT location_id FROM job_walks"
		" WHERE batch_id = $1 AND state = 'hinted')";
	static const char done_sql[] =
		"UPDATE job_walks SET state = 'done' WHERE batch_id = $1 AND state = 'hinted'";

	t->at.state = "done";
	if (db_exec(db, gap_sql, NULL, f, db_int(t->w->id)) < 0 ||
		db_exec(db, checked_sql, NULL, f, db_int(t->w->id), db_int(t->at.pass_started_ms),
			db_int(t->now_ms)) < 0)
		return -1;
	return db_exec(db, done_sql, NULL, f, db_int(t->w->id));
}

static int note_review(
	struct db *db, struct writing *t, const struct google_review *r, struct fault *f)
{
	static const char seen_sql[] =
		"UPDATE job_walks SET rows_seen = rows_seen + 1, state = CASE WHEN CAST($3 AS "
		"BIGINT) = 1 THEN "
		"'open'"
		" ELSE state END WHERE batch_id = $1 AND location_id = $2 AND state = 'hinted'";
	int is_news = review_is_news(db, r->location_id, r, f);

	if (is_news < 0)
		return -1;
	t->change.opened |= is_news > 0;
	return db_exec(
		db, seen_sql, NULL, f, db_int(t->w->id), db_text(r->location_id), db_int(is_news));
}

/* The time up to which every location of the batch is known, in microseconds. */
static int read_horizon(struct db *db, const struct writing *t, int64_t *ret_us, struct fault *f)
{
	static const char sql[] = "SELECT COALESCE(min(l.checked_at_ms), 0) FROM job_walks w"
				  " JOIN locations l ON l.location_id = w.location_id"
				  " WHERE w.batch_id = $1 AND w.state = 'hinted'";
	int64_t ms = 0;

	if (db_read(db, sql, walk_read_number, &ms, f, db_int(t->w->id)) < 0)
		return -1;
	*ret_us = (ms - OVERLAP_MS) * 1000;
	return 0;
}

int batch_store(struct db *db, struct writing *t, struct fault *f)
{
	int64_t horizon_us = 0;
	bool falls = t->page->skipped == 0;

	for (size_t i = 0; i < t->page->n; i++) {
		const struct google_review *r = &t->page->reviews[i];

		falls &= r->updated_us && (!t->at.low_us || r->updated_us <= t->at.low_us);
		t->at.low_us = r->updated_us;
		if (note_review(db, t, r, f) < 0)
			return -1;
	}
	if (!falls)
		return batch_give_up(db, t, "the batch is not in the order that was asked for", f);
	if (!t->page->next_token) { /* all there is was shown */
		return open_where(db, t, absent_sql, 0, f) < 0 ? -1 : close_rest(db, t, f);
	}
	if (read_horizon(db, t, &horizon_us, f) < 0)
		return -1;
	if (t->at.low_us >= horizon_us && t->at.pass_pages < BATCH_PAGES_MAX)
		return walk_next_page(db, t, f);
	if (open_where(db, t, absent_sql, t->at.low_us, f) < 0 ||
		open_where(db, t, unreached_sql, t->at.low_us / 1000 + OVERLAP_MS, f) < 0)
		return -1;
	return close_rest(db, t, f);
}
