/* SPDX-License-Identifier: Apache-2.0 */
/* What walks write, as those use it who run and open them. Inside review_fetcher/. */
#ifndef REVIEW_FETCHER_WALKS_H
#define REVIEW_FETCHER_WALKS_H

#include "review_fetcher/engine.h"

/* ---- walk_rows.c: the transactions, worker ---- */
enum walk_outcome {
	WALK_GOES_ON = 1, /* there is another page */
	WALK_ENDED,       /* done, or failed for good: the row says which */
	WALK_LOST,        /* the lease of the job is another's: nothing was written */
};
struct walk_change {    /* what a transaction did besides */
	bool cancelled; /* somebody asked the job to end */
	bool opened;    /* there are new walks */
};
/* Stores a page, or the single review that was asked for, and moves the cursor in *w. Answers a
 * walk_outcome or -1. */
MUST_CHECK int walk_store_page(
	struct walk *w, const struct google_page *page, struct walk_change *ret, struct fault *f);
/* Google has no such review (probe_id). */
MUST_CHECK int walk_store_absence(struct walk *w, struct walk_change *ret, struct fault *f);
/* Begins the listing anew, or fails the walk when that has happened too often. */
MUST_CHECK int walk_store_restart(
	struct walk *w, const char *why, struct walk_change *ret, struct fault *f);
/* What a failure says of the location. */
enum walk_park {
	WALK_PARK_NOT,
	WALK_PARK_TWICE, /* only when the pass before failed too: it may have been an outage */
	WALK_PARK,       /* later passes leave it alone for a while, longer each time */
};
/* The walk fails for good; its neighbours go on. A batch does not fail: its locations are read one
 * by one instead. */
MUST_CHECK int walk_store_failure(struct walk *w, const char *why, enum walk_park park,
	struct walk_change *ret, struct fault *f);

/* ---- walk_places.c: inside a transaction ---- */
struct walk_opening { /* borrowed */
	const char *job_id, *branch_id;
	int64_t now_ms;
	bool is_quick, is_patient;
	bool only_new; /* what was never read */
};
/*
 * Opens what a job has to do for some locations of an account; adds to *opened how many the job did
 * not have yet.
 */
MUST_CHECK int walks_open(struct db *db, const struct walk_opening *o, const char *account_id,
	const char *const *location_ids, size_t n, int64_t *opened, struct fault *f);
/*
 * Opens what a job has to do for all locations that the branch's newest whole listing showed (all
 * that are known, when none was whole yet): a listing for each or, in a quick job, a batch of those
 * that are known; a parked one fails at once with its reason.
 */
struct places_known {
	int64_t accounts, locations; /* accounts 0: there is none, so that the job has to list */
	int64_t listed_at_ms;        /* when the newest whole listing began; 0: there was none */
};
MUST_CHECK int walks_open_known(
	struct db *db, const struct walk_opening *o, struct places_known *ret, struct fault *f);

#endif
