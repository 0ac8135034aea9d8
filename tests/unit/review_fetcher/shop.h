/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reviews that change: a second Google behind the same world, with edits, replies, deletions,
 * batches and single reviews. While `shops` are open, all of /v4/ is answered from here; location
 * "l000-N" is shop N.
 */
#ifndef TESTS_UNIT_REVIEW_FETCHER_SHOP_H
#define TESTS_UNIT_REVIEW_FETCHER_SHOP_H

#include "base/buf.h"

#define SHOPS_MAX 120
#define SHOP_REVIEWS_MAX 300

struct shop_review {
	const char *star, *comment, *reply, *reply_state;
	int64_t updated_s, reply_s;
	bool gone;   /* deleted */
	bool hidden; /* not listed, not counted, but there when asked for by its name */
};
struct shop {
	struct shop_review reviews[SHOP_REVIEWS_MAX];
	int n;
	int lie; /* says it has so many more */
};
enum shop_batch {
	BATCH_WORKS,
	BATCH_EMPTY,   /* answers {} */
	BATCH_REFUSED, /* 400 */
	BATCH_GROUPED, /* one location after the other */
	BATCH_FORGETS, /* leaves shop 1 out */
};
struct shops {
	struct shop shop[SHOPS_MAX];
	int n; /* 0: closed */
	enum shop_batch batch;
	int lists, gets, batches; /* calls */
	int moves_after;          /* after so many lists, shop 0's oldest review moves to the top */
	int64_t now_s;
};
extern struct shops shops;

/* So many locations of one account, each with n reviews, one a day before `now_s`. */
void shops_open(int locations, int n);
struct shop_review *shop_add(int shop); /* a new one, now */
/* What Google says of review i now. */
void shop_write(int shop, int i, struct buf *ret);
/* The HTTP status; body: what was posted. */
long shops_answer(const char *url, const char *body, int page_size, struct buf *ret);

#endif
