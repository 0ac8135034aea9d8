/* SPDX-License-Identifier: Apache-2.0 */
/* One transaction of a walk, as the files that fill it share it. */
#ifndef REVIEW_FETCHER_WALK_ROWS_H
#define REVIEW_FETCHER_WALK_ROWS_H

#include "review_fetcher/engine.h"
#include "review_fetcher/reviews.h"
#include "review_fetcher/walks.h"
#include "store/store.h"

/* Clocks differ, and an update may show late: what is older than that before the last look is taken
 * for known. */
#define OVERLAP_MS (60LL * 60 * 1000)
#define PROBE_ID_MAX 520

/* The part of a walk that a transaction moves. Texts are borrowed: from the walk, the page,
 * literals or the transaction itself. */
struct cursor {
	const char *page_token, *mark_token, *probe_id;
	int64_t pass, pass_pages, pass_started_ms, recounts, rows_seen, rows_expected, low_us;
	bool is_full;
	const char *state, *error;
};

struct counts {
	int64_t accounts, locations, pages;
	struct review_counts reviews;
};

struct writing { /* one transaction; body may run again, so it starts from w each time */
	const struct walk *w;
	const struct google_page *page; /* NULL: none came */
	const char *why;                /* of a restart or a failure */
	enum walk_park park;
	int64_t now_ms, asked_ms; /* asked_ms: when the page was asked for, by the same clock */
	struct cursor at;
	struct counts n;
	struct walk_change change;
	bool lost;
	bool again; /* the same page is to be asked for once more */
	char words[200], probe[PROBE_ID_MAX];
};

/* ---- walk_rows.c ---- */
/* Begins the listing anew, or fails. */
MUST_CHECK int walk_restart(struct db *db, struct writing *t, const char *why, struct fault *f);
/* A page that is not the last: notes its token, unless the listing cannot go on like this. */
MUST_CHECK int walk_next_page(struct db *db, struct writing *t, struct fault *f);
const char *walk_branch(const struct walk *w); /* "": a job with a token of its own */
/* For db_read of one number into an int64_t. */
int walk_read_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f);

/* ---- walk_places.c, walk_reviews.c, walk_batch.c: what comes of a page ---- */
MUST_CHECK int accounts_store(struct db *db, struct writing *t, struct fault *f);
MUST_CHECK int locations_store(struct db *db, struct writing *t, struct fault *f);
MUST_CHECK int reviews_store(struct db *db, struct writing *t, struct fault *f);
MUST_CHECK int probe_store(struct db *db, struct writing *t, struct fault *f); /* page or absence */
MUST_CHECK int one_store(struct db *db, struct writing *t, struct fault *f);
MUST_CHECK int batch_store(struct db *db, struct writing *t, struct fault *f);
/* Nothing can be told from this batch: its locations are read one by one. */
MUST_CHECK int batch_give_up(struct db *db, struct writing *t, const char *why, struct fault *f);
/* The location of a failed walk. */
MUST_CHECK int location_note_failure(struct db *db, const struct writing *t, struct fault *f);

#endif
