/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the demo routes show: a part of the bundled simulator's world, asked for at the moment, in
 * the original's fields. Nothing of it comes near the tables, and there is none of it where the
 * service speaks with Google.
 */
#ifndef REVIEW_FETCHER_REVIEW_FETCHER_DEMO_H
#define REVIEW_FETCHER_REVIEW_FETCHER_DEMO_H

#include "review_fetcher/review_fetcher.h"

#define DEMO_MOST 5000 /* of any bound below */

enum demo_kind { DEMO_ACCOUNTS, DEMO_LOCATIONS, DEMO_REVIEWS, DEMO_PLACES };
struct demo_wish { /* copied */
	enum demo_kind kind;
	int64_t limit;      /* items; of DEMO_PLACES locations */
	int64_t reviews;    /* DEMO_PLACES: of each location */
	const char *parent; /* the account of locations, the location of reviews; NULL: any */
	const char *seed;   /* the same one shows the same again; NULL: the beginning */
	int64_t wait_ms;    /* how long to wait for the simulator */
};

/* One item as a JSON object, in demo_items.text. A place is a location with its `reviews`. */
struct demo_item {
	size_t at, len;
	int64_t reviews; /* of a place */
};
struct demo_items { /* demo_items_done */
	struct buf text;
	struct demo_item *items;
	size_t n;
	struct buf account; /* DEMO_PLACES: whose locations they are, as a JSON object */
	/* Whether each location says that account, and each review its location. */
	bool accounts_join, locations_join;
	bool is_truncated; /* there would be more than one answer holds */
};
void demo_items_done(struct demo_items *d);

/* On a worker, once. Either items, which it may take by moving, or a fault. */
typedef void demo_done_fn(void *arg, struct demo_items *items, const struct fault *f);
/* Any thread. -1 FAULT_CONFLICT: MOCK_GOOGLE_API is off; then done is not called. */
MUST_CHECK int demo_ask(struct review_fetcher *rf, const struct demo_wish *wish, demo_done_fn *done,
	void *arg, struct fault *f);

#endif
