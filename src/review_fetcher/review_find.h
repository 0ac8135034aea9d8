/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How reviews are found: one statement a page for lists and exports, whatever is asked for. Inside
 * review_fetcher/.
 */
#ifndef REVIEW_FETCHER_REVIEW_FIND_H
#define REVIEW_FETCHER_REVIEW_FIND_H

#include "review_fetcher/query.h"

/* Up to so many locations, or reviews with the words, are sorted; of more the order is walked. */
#define FEW_LOCATIONS 200
#define FEW_MATCHES 20000

/* Where the list stands: behind this review. */
struct review_mark {
	int64_t us, id;
};

struct review_finder {
	const struct review_filter *filter;
	struct buf
		words; /* the filter's q, as the engine takes it; BUF_INIT by review_find_start */
	bool few_places, few_matches, is_ready, explain;
};

void review_find_init(struct review_finder *x, const struct review_filter *filter);
void review_find_done(struct review_finder *x);
/* Looks at how much there is, once. -1: FAULT_INPUT on "q" when there is no word in it. */
MUST_CHECK int review_find_start(struct review_finder *x, struct db *db, struct fault *f);
/* The ids of the filter's locations, each once. */
MUST_CHECK int review_find_places(
	struct review_finder *x, struct db *db, db_row_fn *each, void *arg, struct fault *f);
/* The next `limit` reviews behind *after (NULL: from the start); columns as review_row_put has
 * them. */
MUST_CHECK int review_find(struct review_finder *x, struct db *db, const struct review_mark *after,
	int64_t limit, db_row_fn *each, void *arg, struct fault *f);
/* How many there are, `most` at most. */
MUST_CHECK int review_find_count(
	struct review_finder *x, struct db *db, int64_t most, int64_t *ret, struct fault *f);

/*
 * How often each rating was given on each day, by days and ratings: columns are the day since 1970,
 * the rating (0: none that is known), how many, and how many were looked at for it (0: none, the
 * days were counted before). Not more than the `most` newest are looked at. The filter's order has
 * to be REVIEWS_NEWEST.
 */
#define REVIEW_DAY_US INT64_C(86400000000)
MUST_CHECK int review_find_days(struct review_finder *x, struct db *db, int64_t most,
	db_row_fn *each, void *arg, struct fault *f);

/* ---- review_words.c ---- */
/*
 * What a person types into what the engine's search takes: words, "phrases", the beginnings of
 * words*; all of them have to be there. Everything else is a blank, so that no input is a mistake.
 * 0; 1: there is no word in it.
 */
MUST_CHECK int review_words(enum db_engine engine, const char *q, struct buf *ret);

/* ---- review_list.c: a row of review_find ---- */
#define REVIEW_COLUMNS                                                                          \
	"r.id, r.account_id, r.location_id, r.review_id, r.rating, r.comment, r.reviewer_name," \
	" r.reviewer_photo_url, r.is_anonymous, r.review_created_us, r.review_updated_us,"      \
	" r.reply_text, r.reply_updated_us, r.reply_state, r.created_at_ms, r.updated_at_ms,"   \
	" r.last_seen_ms, r.deleted_at_ms, l.title"
#define REVIEW_COLUMNS_N 19
void review_row_put(struct json_out *o, const struct db_value *cols); /* the members alone */
struct review_mark review_row_mark(const struct db_value *cols);

#endif
