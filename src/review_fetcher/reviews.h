/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of reviews and what happened to them: all inside the caller's transaction, so that a review,
 * its history and the event of it are there together or not at all.
 */
#ifndef REVIEW_FETCHER_REVIEWS_H
#define REVIEW_FETCHER_REVIEWS_H

#include "review_fetcher/google.h"
#include "store/store.h"

enum review_kind {
	REVIEW_NEW,
	REVIEW_EDITED, /* rating, words or pictures */
	REVIEW_REPLY_ADDED,
	REVIEW_REPLY_CHANGED, /* its words or its state */
	REVIEW_REPLY_REMOVED,
	REVIEW_DELETED,
	REVIEW_RESTORED, /* it was deleted; whatever else changed meanwhile is in its before and
			    after */
	REVIEW_KINDS
};

struct review_place { /* where it was seen, and by whom; borrowed */
	const char *account_id, *location_id;
	const char *branch_id; /* NULL: a job with a token of its own */
	const char *job_id;
	int64_t client_id, walk_id, pass_started_ms, now_ms;
	/* When Google was asked for what is to be stored; what others stored since then is newer.
	 * 0: nobody can have. */
	int64_t asked_ms;
};

struct review_counts {
	int64_t seen, changed, unchanged; /* each review once a walk */
	int64_t kinds[REVIEW_KINDS];
	int64_t overtaken; /* left as they are, though Google said something else */
};

struct review_row {
	int64_t id, changes, created_at_ms, deleted_at_ms;
	int64_t generation; /* with changes it names an event; another one after a purge */
};

/* ---- review_rows.c ---- */
/* Stores what Google says; each difference is one row of history and one event, whatever is
 * repeated. A row that was changed after at->asked_ms keeps what it has: it counts as seen. */
MUST_CHECK int review_store(struct db *db, const struct review_place *at,
	const struct google_review *r, struct review_counts *counts, struct fault *f);
/* 1 when review_store would find something that a reader would notice, 0 when not, or -1. */
MUST_CHECK int review_is_news(
	struct db *db, const char *location_id, const struct google_review *r, struct fault *f);
/* Google says it is not there any more. Nothing happens when we never had it or know already. */
MUST_CHECK int review_delete(struct db *db, const struct review_place *at, const char *review_id,
	struct review_counts *counts, struct fault *f);

/* ---- review_history.c ---- */
/* Number row->changes of a review: one row of history, one event. old is NULL for REVIEW_NEW. */
MUST_CHECK int review_change_write(struct db *db, const struct review_place *at,
	enum review_kind kind, const struct review_row *row, const struct google_review *old,
	const struct google_review *new, struct review_counts *counts, struct fault *f);
/* The history of one review as a JSON array, oldest first. */
struct json_out;
MUST_CHECK int review_history_write(struct db *db, int64_t review, const char *location_id,
	const char *review_id, struct json_out *ret, struct fault *f);

#endif
