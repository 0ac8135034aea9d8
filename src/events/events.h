/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outbox: every change that others may want to hear of is one row, written in the transaction
 * that stores the change. Nothing is published from memory, so what was committed is told, what was
 * rolled back is not, and kill -9 loses nothing. docs/internals/outbox.md has the whole story.
 *
 * Readers go by position: it is given in commit order and never appears behind one that was read.
 */
#ifndef EVENTS_EVENTS_H
#define EVENTS_EVENTS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"

struct db;
struct store;

#define EVENT_ID_SIZE 33 /* 32 hexadecimal digits */

/* Kinds: review.new, .edited, .reply_added, .reply_changed, .reply_removed, .deleted, .restored;
 * connection.<state>; job.<status>. */
struct event { /* borrowed */
	const char *kind;
	/*
	 * What makes this change that change: with the kind it gives the event_id, and a second
	 * event of the same id is not written. For a review: location, review id and the hash or
	 * time of what it became; for a connection: client and the number of the move.
	 */
	const char *key;
	const char *branch_id;                /* NULL: nobody's; a bound key never sees it */
	const char *ref;                      /* review id, client id, job id */
	const char *account_id, *location_id; /* may be NULL */
	const char *data;                     /* a JSON object without any secret; NULL: {} */
	int64_t at_ms;                        /* when it was stored; 0: now */
};
enum { EVENT_ADDED, EVENT_KNOWN };
/* Inside the transaction that stores the change. EVENT_ADDED, EVENT_KNOWN or -1. */
MUST_CHECK int events_add(struct db *db, const struct event *e, struct fault *f);
/* The id that events_add gives. */
void event_id_of(const char *kind, const char *key, char ret[static EVENT_ID_SIZE]);

struct event_filter {                /* borrowed; NULL or all zero: every event */
	const char *const *branches; /* NULL: all; else only these, and never branch NULL */
	size_t n_branches;
	const char *const *kinds; /* NULL: all; "review.new" is one, "review." all of its kind */
	size_t n_kinds;
};
struct event_row { /* borrowed for the call */
	int64_t position, at_ms;
	const char *event_id, *kind, *ref, *data;
	const char *branch_id, *account_id, *location_id; /* may be NULL */
};
bool event_filter_lets(const struct event_filter *filter, const struct event_row *row);
/* 0, or what ends the reading: 1 after this row, -1 with a fault. */
typedef int event_each_fn(void *arg, const struct event_row *row, struct fault *f);

/* How much one call reads at most, matching or not: no reader holds a connection for long. */
#define EVENTS_SCAN_MAX 4096
struct events_range {
	/* Goes up to the last position that was looked at, so that the next call goes on there. */
	int64_t after;
	int64_t end;    /* the newest position there is */
	bool is_lagged; /* positions behind `after` have been purged: some were never seen */
};
/*
 * Calls each for the events behind range->after that the filter lets, in order, at most limit, and
 * looks at EVENTS_SCAN_MAX positions at most; sets all of range. There is more as long as
 * after < end. each runs with the connection in hand and must not use the store. Worker.
 */
MUST_CHECK int events_read(struct store *s, const struct event_filter *filter, int64_t limit,
	struct events_range *range, event_each_fn *each, void *arg, struct fault *f);
/* The newest position; 0 when nothing ever happened. Worker. */
MUST_CHECK int events_end(struct store *s, int64_t *ret, struct fault *f);

/*
 * Gives positions to what was committed since (PostgreSQL; SQLite gives them in the writing
 * transaction). Any process, any time, several at once: a row is their fence. Answers how many it
 * gave. The feed (events_feed.h) does it every moment; so may a consumer before it reads. Worker.
 */
MUST_CHECK int events_order(struct store *s, struct fault *f);

/* How much longer than its retention an event is kept for a consumer that has not taken it. */
#define EVENTS_HOLD_FACTOR 4
/*
 * Takes away one piece (EVENTS_PURGE_PIECE at most) of what is older than retention_ms and was
 * taken by every consumer, or is EVENTS_HOLD_FACTOR times as old. Answers how many. Worker.
 */
#define EVENTS_PURGE_PIECE 500
MUST_CHECK int events_purge(struct store *s, int64_t retention_ms, struct fault *f);

/*
 * Inside a transaction: takes away what was told of a branch's reviews, as far as every consumer
 * has taken it, in the next EVENTS_SCAN_MAX positions behind *at, which goes up. The rest goes with
 * its age. 1 while there is more to look at, else 0.
 */
MUST_CHECK int events_purge_reviews(
	struct db *db, const char *branch_id, int64_t *at, struct fault *f);

/* The event as a JSON object on one line, appended: what the API, Kafka and webhooks show. */
void event_write(struct buf *ret, const struct event_row *row);

#endif
