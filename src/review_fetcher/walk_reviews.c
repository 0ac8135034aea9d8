/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reviews of a location. A full pass reads the listing to its end; a quick one, newest update
 * first, until it is well behind the watermark of the last complete pass. Then what is stored is
 * held against what Google says there is: a quick pass that disagrees goes on to the end, a full
 * one is read once more, since reviews move while pages are read; what disagrees still is said, not
 * hidden. A review that a complete pass does not show is asked for by its name, and only when
 * Google says that it is not there is it taken for deleted.
 */
#include "review_fetcher/walk_rows.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define PARK_FIRST_MS (60LL * 60 * 1000)
#define PARK_LONGEST_MS (7 * 24 * PARK_FIRST_MS)
#define OVERTAKEN_MOST 3

static struct review_place place_of(const struct writing *t)
{
	const struct walk *w = t->w;

	return (struct review_place){.account_id = w->account_id,
		.location_id = w->location_id,
		.branch_id = w->job->branch_id,
		.job_id = w->job->id,
		.client_id = w->job->client_id,
		.walk_id = w->id,
		.pass_started_ms = t->at.pass_started_ms,
		.now_ms = t->now_ms,
		.asked_ms = t->asked_ms};
}

/*
 * Something else was stored while this answer was on its way: which of the two is younger, the next
 * answer to the same question tells. A quick pass may never come as far again.
 */
static bool must_ask_again(struct writing *t)
{
	t->again = t->n.reviews.overtaken > 0 && t->w->overtaken < OVERTAKEN_MOST;
	if (t->again && !t->w->probe_id)
		t->at.pass_pages--;
	return t->again;
}

/* ---- how it ends ---- */

struct tally {
	int64_t live, came; /* rows, and those of this pass */
};

static int read_tally(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct tally *y = arg;

	(void)n_cols;
	(void)f;
	*y = (struct tally){db_get_int(&cols[0]), db_get_int(&cols[1])};
	return 0;
}

static int count(struct db *db, const struct writing *t, struct tally *ret, struct fault *f)
{
	return db_read(db,
		"SELECT count(*), count(CASE WHEN last_seen_ms >= $2 THEN 1 END) FROM reviews"
		" WHERE location_id = $1 AND deleted_at_ms IS NULL",
		read_tally, ret, f, db_text(t->w->location_id), db_int(t->at.pass_started_ms));
}

/* Everything up to this pass is known, but for `gap` reviews that Google counts and does not show.
 */
static int end_pass(struct db *db, struct writing *t, int64_t gap, bool is_whole, struct fault *f)
{
	static const char sql[] =
		"UPDATE locations SET checked_at_ms = $2, parked_at_ms = NULL, parked_passes = 0,"
		" retry_at_ms = NULL, count_gap = $3, last_error = $4,"
		" last_synced_at_ms = CASE WHEN CAST($4 AS TEXT) IS NULL THEN $5 ELSE "
		"last_synced_at_ms END,"
		" total_review_count = COALESCE($6, (SELECT count(*) FROM reviews"
		" WHERE location_id = $1 AND deleted_at_ms IS NULL)),"
		" full_at_ms = CASE WHEN CAST($7 AS BIGINT) = 1 THEN $2 ELSE full_at_ms END,"
		" watermark_us = (SELECT COALESCE(max(review_updated_us), 0) FROM reviews"
		" WHERE location_id = $1 AND deleted_at_ms IS NULL) WHERE location_id = $1";
	int64_t expected = t->at.rows_expected;

	return db_exec(db, sql, NULL, f, db_text(t->w->location_id), db_int(t->at.pass_started_ms),
		db_int(gap), db_text(t->at.error), db_int(t->now_ms),
		db_int_or_null(expected, expected >= 0), db_int(is_whole));
}

static int finish(struct db *db, struct writing *t, bool is_whole, struct fault *f)
{
	t->at.state = "done";
	t->at.page_token = t->at.mark_token = t->at.probe_id = NULL;
	return end_pass(db, t, 0, is_whole, f);
}

/* The listing was read, and it is not what Google says there is. */
static int finish_with_gap(
	struct db *db, struct writing *t, int64_t came, bool is_whole, struct fault *f)
{
	snprintf(t->words, sizeof(t->words),
		"Google says this location has %lld reviews, and %lld came",
		(long long)t->at.rows_expected, (long long)came);
	t->at.state = "failed";
	t->at.error = t->words;
	t->at.page_token = t->at.mark_token = t->at.probe_id = NULL;
	return end_pass(db, t, t->at.rows_expected - came, is_whole, f);
}

static int note_average(struct db *db, const struct writing *t, struct fault *f)
{
	if (t->page->average < 0 && t->page->total < 0 && t->page->n)
		return 0; /* not said */
	return db_exec(db, "UPDATE locations SET average_rating = $2 WHERE location_id = $1", NULL,
		f, db_text(t->w->location_id),
		t->page->average >= 0 ? db_double(t->page->average) : db_null());
}

/* ---- when the count disagrees ---- */

/*
 * What a disagreement leads to, by cursor.recounts: what came while the pages were read stands on
 * top, so the first pages are read once more (odd), behind the start of the pass; when that does
 * not mend it, the whole listing is (2); and what disagrees then is said.
 */

static bool is_on_top(const struct writing *t)
{
	return t->at.recounts % 2 == 1;
}

static int read_top(struct writing *t)
{
	t->at.recounts++;
	t->at.page_token = t->at.mark_token = NULL;
	t->at.pass_pages = t->at.rows_seen = t->at.low_us = 0;
	return 0;
}

static int read_again(struct db *db, struct writing *t, struct fault *f)
{
	t->at.recounts = 2;
	t->at.is_full = true;
	return walk_restart(db, t, "", f);
}

struct mark {
	int64_t watermark_us, gap;
	bool is_known;
};

static int read_mark(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct mark *m = arg;

	(void)n_cols;
	(void)f;
	*m = (struct mark){db_get_int(&cols[0]), db_get_int(&cols[1]), cols[0].type != DB_NULL};
	return 0;
}

static int get_mark(struct db *db, const struct writing *t, struct mark *ret, struct fault *f)
{
	return db_read(db, "SELECT watermark_us, count_gap FROM locations WHERE location_id = $1",
		read_mark, ret, f, db_text(t->w->location_id));
}

static int disagree(struct db *db, struct writing *t, int64_t came, struct fault *f)
{
	struct mark m = {0};

	if (get_mark(db, t, &m, f) < 0)
		return -1;
	/* As many as the last time that it was read to its end, twice: Google counts what it does
	 * not show. */
	if (m.gap && t->at.rows_expected - came == m.gap)
		return finish_with_gap(db, t, came, true, f);
	if (!is_on_top(t) && t->at.pass_pages > 1 && came < t->at.rows_expected)
		return read_top(t);
	if (t->at.recounts >= 2)
		return finish_with_gap(db, t, came, true, f);
	return read_again(db, t, f);
}

/* ---- reviews that a complete pass does not show ---- */

static int take_candidate(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct writing *t = arg;

	(void)n_cols;
	(void)f;
	snprintf(t->probe, sizeof(t->probe), "%s", db_get_text(&cols[0]));
	t->at.probe_id = t->probe;
	return 1;
}

/* A review that was asked for is seen or deleted, so it is not the next one. */
static int next_probe(struct db *db, struct writing *t, struct fault *f)
{
	static const char sql[] =
		"SELECT review_id FROM reviews WHERE location_id = $1 AND deleted_at_ms IS NULL"
		" AND last_seen_ms < $2 ORDER BY id LIMIT 1";
	struct tally now;

	t->at.probe_id = t->at.page_token = t->at.mark_token = NULL;
	if (db_read(db, sql, take_candidate, t, f, db_text(t->w->location_id),
		    db_int(t->at.pass_started_ms)) < 0)
		return -1;
	if (t->at.probe_id)
		return 0;
	if (count(db, t, &now, f) < 0)
		return -1;
	if (t->at.rows_expected >= 0 && now.live != t->at.rows_expected)
		return disagree(db, t, now.live, f);
	return finish(db, t, true, f);
}

int probe_store(struct db *db, struct writing *t, struct fault *f)
{
	const struct review_place at = place_of(t);
	int stored = t->page ? review_store(db, &at, &t->page->reviews[0], &t->n.reviews, f)
			     : review_delete(db, &at, t->w->probe_id, &t->n.reviews, f);

	if (stored < 0)
		return -1;
	return must_ask_again(t) ? 0 : next_probe(db, t, f);
}

/* One review for its own sake. That it is not there proves no deletion: a pass has to miss it too.
 */
int one_store(struct db *db, struct writing *t, struct fault *f)
{
	const struct review_place at = place_of(t);

	t->at.state = "done";
	if (!t->page) {
		t->at.error = "Google has no such review";
		return 0;
	}
	if (review_store(db, &at, &t->page->reviews[0], &t->n.reviews, f) < 0)
		return -1;
	if (must_ask_again(t))
		t->at.state = "open";
	return 0;
}

/* ---- the last page ---- */

static int end_listing(struct db *db, struct writing *t, struct fault *f)
{
	struct tally now;

	if (count(db, t, &now, f) < 0)
		return -1;
	if (t->at.rows_expected >= 0 && now.came != t->at.rows_expected)
		return disagree(db, t, now.came, f);
	return now.live > now.came ? next_probe(db, t, f) : finish(db, t, true, f);
}

/* ---- a page on which a quick pass may end ---- */

/* Newest update first, as was asked for? Without that order nobody can stop early. */
static bool is_in_order(struct writing *t)
{
	for (size_t i = 0; i < t->page->n; i++) {
		int64_t us = t->page->reviews[i].updated_us;

		if (us == 0 || (t->at.low_us && us > t->at.low_us))
			return false;
		t->at.low_us = us;
	}
	return t->page->n > 0 && t->page->skipped == 0;
}

/* 1: the pass is over, 0: it goes on. */
static int stop_early(struct db *db, struct writing *t, struct fault *f)
{
	struct tally now;
	struct mark m = {0};

	if (!is_in_order(t)) {
		t->at.is_full = true;
		return 0;
	}
	if (get_mark(db, t, &m, f) < 0)
		return -1;
	if (!m.is_known || t->at.low_us >= m.watermark_us - OVERLAP_MS * 1000)
		return 0;
	if (count(db, t, &now, f) < 0)
		return -1;
	if (t->at.rows_expected < 0 || now.live == t->at.rows_expected)
		return finish(db, t, false, f) < 0 ? -1 : 1;
	/* As many are missing as when the listing was last read to its end: nothing has changed. */
	if (m.gap && t->at.rows_expected - now.live == m.gap)
		return finish_with_gap(db, t, now.live, false, f) < 0 ? -1 : 1;
	t->at.is_full = true;
	return 0;
}

/* A page of the top: is it behind the start of the pass? */
static int store_top(struct db *db, struct writing *t, struct fault *f)
{
	if (!is_in_order(t))
		return read_again(db, t, f);
	if (!t->page->next_token || t->at.low_us / 1000 < t->at.pass_started_ms - OVERLAP_MS)
		return end_listing(db, t, f);
	return walk_next_page(db, t, f);
}

int reviews_store(struct db *db, struct writing *t, struct fault *f)
{
	const struct review_place at = place_of(t);
	int over = 0;

	for (size_t i = 0; i < t->page->n; i++) {
		if (review_store(db, &at, &t->page->reviews[i], &t->n.reviews, f) < 0)
			return -1;
	}
	if (must_ask_again(t))
		return 0;
	if (t->page->total >= 0)
		t->at.rows_expected = t->page->total;
	t->at.rows_seen += (int64_t)t->page->n;
	if (t->w->pass_pages == 0 && note_average(db, t, f) < 0)
		return -1;
	if (is_on_top(t))
		return store_top(db, t, f);
	if (!t->page->next_token)
		return end_listing(db, t, f);
	if (!t->at.is_full)
		over = stop_early(db, t, f);
	if (over)
		return over < 0 ? -1 : 0;
	return walk_next_page(db, t, f);
}

/* ---- locations that cannot be read ---- */

int location_note_failure(struct db *db, const struct writing *t, struct fault *f)
{
	static const char passes_sql[] =
		"SELECT parked_passes FROM locations WHERE location_id = $1";
	static const char note_sql[] =
		"UPDATE locations SET last_error = $2 WHERE location_id = $1";
	static const char park_sql[] =
		"UPDATE locations SET last_error = $2, parked_passes = $3, retry_at_ms = $4,"
		" parked_at_ms = CASE WHEN CAST($5 AS BIGINT) = 1 THEN COALESCE(parked_at_ms, $6) "
		"END"
		" WHERE location_id = $1";
	int64_t passes = 0, wait_ms = PARK_FIRST_MS;
	bool park;

	if (t->park == WALK_PARK_NOT)
		return db_exec(
			db, note_sql, NULL, f, db_text(t->w->location_id), db_text(t->at.error));
	if (db_read(db, passes_sql, walk_read_number, &passes, f, db_text(t->w->location_id)) < 0)
		return -1;
	passes++;
	park = t->park == WALK_PARK || passes > 1;
	for (int64_t n = 1; n < passes && wait_ms < PARK_LONGEST_MS; n++)
		wait_ms *= 2;
	if (wait_ms > PARK_LONGEST_MS)
		wait_ms = PARK_LONGEST_MS;
	return db_exec(db, park_sql, NULL, f, db_text(t->w->location_id), db_text(t->at.error),
		db_int(passes), db_int_or_null(t->now_ms + wait_ms, park), db_int(park),
		db_int(t->now_ms));
}
