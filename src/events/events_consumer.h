/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consumers: those who take every event, in order, once at least, and remember in the database how
 * far they are (a Kafka topic, a webhook). One process at a time works for a consumer, under a
 * lease; its progress counts only under the newest fence, so that a process that slept past its
 * lease cannot take a consumer back.
 *
 * The loop of a deliverer: claim (again every third of ttl_ms); while held: events_read behind
 * position, deliver, event_consumer_advance. A kill -9 in between delivers some again.
 */
#ifndef EVENTS_EVENTS_CONSUMER_H
#define EVENTS_EVENTS_CONSUMER_H

#include "events/events.h"
#include "store/store_lease.h"

struct event_consumer {
	char name[64];
	int64_t position;   /* taken so far; set by a claim that is held */
	struct lease lease; /* lease_is_held says whether the work may go on */
	char lease_name[80];
};
enum { CONSUMER_FROM_OLDEST, CONSUMER_FROM_NOW };

/* name: up to 60 bytes; owner: borrowed, as in struct lease. */
void event_consumer_init(
	struct event_consumer *c, const char *name, const char *owner, int64_t ttl_ms);
/*
 * LEASE_HELD, with the position of the row when it was not held before, or LEASE_ELSEWHERE. The
 * first claim of a name writes its row, which begins at `from`; from then on nothing that it has
 * not taken is purged (within EVENTS_HOLD_FACTOR). Worker.
 */
MUST_CHECK int event_consumer_claim(
	struct store *s, struct event_consumer *c, int from, struct fault *f);
/* Stores that all up to position is delivered. LEASE_ELSEWHERE: it is another's now; stop. Worker.
 */
MUST_CHECK int event_consumer_advance(
	struct store *s, struct event_consumer *c, int64_t position, struct fault *f);
/* Lets others go on at once. Worker. */
MUST_CHECK int event_consumer_release(struct store *s, struct event_consumer *c, struct fault *f);
/* It will not come back (its setting was taken out): nothing is kept for it. Worker. */
MUST_CHECK int event_consumer_forget(struct store *s, const char *name, struct fault *f);

#endif
