/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may run now: at most so many requests in all and to one host, the hosts by turns, so that a
 * host that hangs holds up nobody else. curl could keep those limits itself, but it walks the list
 * of all that wait whenever a request ends, keeps a whole handle for each, and forgets their
 * timeouts. Net thread.
 */
#ifndef NET_QUEUE_H
#define NET_QUEUE_H

#include "base/attr.h"

struct transfer;

/* A member of a ring, or its head. */
struct ring {
	struct ring *next, *prev;
};

static inline void ring_init(struct ring *r)
{
	r->next = r->prev = r;
}

static inline bool ring_is_empty(const struct ring *r)
{
	return r->next == r;
}

static inline void ring_append(struct ring *head, struct ring *r)
{
	r->prev = head->prev;
	r->next = head;
	r->prev->next = head->prev = r;
}

/* Taking out what is in no ring is fine. */
static inline void ring_remove(struct ring *r)
{
	r->prev->next = r->next;
	r->next->prev = r->prev;
	ring_init(r);
}

struct queue {
	unsigned max_running, max_host_running; /* 0: any number */
	unsigned running;
	struct ring hosts;
};

void queue_init(struct queue *q, unsigned max_running, unsigned max_host_running);
void queue_done(struct queue *q); /* when it is empty */

void queue_add(struct queue *q, struct transfer *t);
/* The next one that may run, counted as running from now on; NULL: none. In no ring. */
struct transfer *queue_take(struct queue *q);
/* One that waits or runs is at its end. Takes it out of the ring that it is in. */
void queue_leave(struct queue *q, struct transfer *t);

/* Calls each() for all that wait; each() may make the one it is given leave, and nothing else. */
void queue_each_waiting(struct queue *q, void (*each)(void *arg, struct transfer *t), void *arg);

#endif
