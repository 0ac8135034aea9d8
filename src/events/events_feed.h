/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed: what a serving process does with the outbox as long as it lives. It gives positions
 * (events_order), purges, and, while somebody listens, reads what is new once and keeps it in
 * memory for all listeners, so that thousands of idle ones cost one statement each half second. A
 * listener that is further behind reads the table, in pieces, until it has caught up.
 */
#ifndef EVENTS_EVENTS_FEED_H
#define EVENTS_EVENTS_FEED_H

#include <stdatomic.h>

#include "core/pool.h"
#include "core/scheduler.h"
#include "events/events.h"

/* How often it looks: how late another process's change may be heard at most, but for the work. */
#define FEED_LOOK_MS 500

struct event_feed;
struct event_feed_parts { /* borrowed */
	struct store *store;
	struct pool *pool;
	struct scheduler *scheduler;
	int64_t retention_ms;
};
struct event_feed *event_feed_new(const struct event_feed_parts *parts); /* never NULL */
void event_feed_start(struct event_feed *feed);
/* No look begins any more. Before the scheduler and the pool are stopped; NULL is fine. */
void event_feed_stop(struct event_feed *feed);
/* After the pool has stopped and every listener has left. NULL is fine. */
void event_feed_free(struct event_feed *feed);
/* Tests: looks now, on this thread. */
MUST_CHECK int event_feed_look(struct event_feed *feed, struct fault *f);

/*
 * One who listens. It sets filter, position, and what wakes it, and then pulls; nobody else touches
 * it but the feed, under its lock. It leaves before it is freed.
 */
struct event_listener {
	struct event_filter filter; /* borrowed texts */
	int64_t position;           /* all up to here is taken or does not concern it */
	/* When there is news, *news becomes true and then the timer is armed for now. */
	_Atomic bool *news;
	struct timer *timer;
	/* The feed's: */
	struct event_listener *next, *prev;
	bool is_listed, is_idle;
};
/* Copies one event: into your own memory, nothing else (a lock may be held). json is
 * event_write's. */
typedef void feed_copy_fn(
	void *arg, int64_t position, const char *kind, const char *json, size_t len);
enum feed_outcome {
	FEED_MORE = 0, /* pull again */
	FEED_IDLE = 1, /* there is nothing more; it is woken when there is */
};
/*
 * Hands on what comes next, a bounded piece of it. *ret_lagged: events that it has not taken were
 * purged meanwhile; what it gets now is the oldest that is left. Worker.
 */
MUST_CHECK int event_feed_pull(struct event_feed *feed, struct event_listener *l,
	feed_copy_fn *copy, void *arg, bool *ret_lagged, struct fault *f);
/* After it returns the feed does not touch the listener or its timer any more. Any thread. */
void event_feed_leave(struct event_feed *feed, struct event_listener *l);
/*
 * For lists: as events_read, but goes on until limit events were found or the end is reached.
 * *range says how far it came. Worker.
 */
MUST_CHECK int event_feed_list(struct event_feed *feed, const struct event_filter *filter,
	int64_t limit, struct events_range *range, feed_copy_fn *copy, void *arg, struct fault *f);
/* The newest position. Worker. */
MUST_CHECK int event_feed_end(struct event_feed *feed, int64_t *ret, struct fault *f);

#endif
