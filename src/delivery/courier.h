/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who goes round for a consumer: a thread that takes the lease, lets the consumer work while it is
 * held, and stores how far it is. A piece of work begins only while the lease has COURIER_SAFE_MS
 * left, and whatever it sends must have left by then: so what a process sends that was stopped or
 * slow never comes behind what its successor sends.
 */
#ifndef DELIVERY_COURIER_H
#define DELIVERY_COURIER_H

#include <pthread.h>

#include "base/rand.h"
#include "core/metrics.h"
#include "events/events_consumer.h"

#define COURIER_LEASE_MS 15000
#define COURIER_SAFE_MS 12500
#define COURIER_POLL_MS 500 /* how often it looks for news */

struct courier;
struct courier_ops {
	/* The lease is ours from here on; nothing behind courier_position has been seen to. */
	void (*enter)(void *arg);
	/* Delivers some and calls courier_advance. Ms to wait before the next time; -1: a fault. */
	int64_t (*work)(void *arg, struct fault *f);
	/* It is another's now. What is under way ends before this returns. */
	void (*leave)(void *arg);
	void (*tick)(void *arg); /* each time round, with or without the lease; may be NULL */
};

struct courier {
	struct store *store;
	const struct courier_ops *ops;
	void *arg;
	struct event_consumer consumer;
	char owner[RAND_UUID_SIZE];
	bool is_ours, is_failing; /* the thread's own */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool is_started, is_ending, is_woken; /* under the lock */
};

void courier_init(struct courier *c, struct store *s, const char *name,
	const struct courier_ops *ops, void *arg);
void courier_start(struct courier *c);
/* One round of the thread: ms to wait before the next, or -1. Only there, and in tests. */
MUST_CHECK int64_t courier_step(struct courier *c, struct fault *f);
void courier_wake(struct courier *c); /* there is something to do. Any thread */
void courier_end(struct courier *c);  /* asks it to end. Any thread */
bool courier_is_ending(struct courier *c);
void courier_join(struct courier *c); /* after courier_end; gives the lease back */
void courier_done(struct courier *c);

/* For work(): */
int64_t courier_position(const struct courier *c);
/* Behind position, at most limit; says so when some had been purged. As events_read. */
MUST_CHECK int courier_read(struct courier *c, const struct event_filter *filter, int64_t limit,
	struct events_range *range, event_each_fn *each, void *arg, struct fault *f);
/* All up to position is done. 0, or -1; a lost lease is noticed by the next round. */
MUST_CHECK int courier_advance(struct courier *c, int64_t position, struct fault *f);

#endif
