/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases: work that one process at a time does. A row has an owner, a fence that each taker raises,
 * and a beat that the holder raises. No wall clock counts: who waits watches fence and beat by its
 * own monotonic clock and takes over when neither has moved for ttl_ms, so that no skew takes
 * anything over early. A holder that slept too long is stopped by the fence: lease_keep, inside the
 * transaction that writes, is what makes the work single.
 */
#ifndef STORE_STORE_LEASE_H
#define STORE_STORE_LEASE_H

#include "store/store.h"

struct lease {
	const char *name, *owner; /* borrowed; the owner is one process's (or object's) own word */
	int64_t ttl_ms;
	/* Kept by the functions below; zero at first. One thread at a time. */
	int64_t fence;         /* while held; 0: not held */
	int64_t held_until_ms; /* monotonic */
	int64_t seen_fence, seen_beat, seen_at_ms;
};
enum { LEASE_HELD, LEASE_ELSEWHERE };

/*
 * Takes the lease, or renews it: call it every third of ttl_ms or so. LEASE_HELD, or
 * LEASE_ELSEWHERE: somebody else has it, or had it a moment ago. Worker. -1 leaves it as it was.
 */
MUST_CHECK int lease_take(struct store *s, struct lease *l, struct fault *f);
/* Whether the work may go on by the clock alone; writes ask lease_keep. */
bool lease_is_held(const struct lease *l);
/*
 * Inside a transaction: LEASE_HELD when the fence still stands, and then nobody can take the lease
 * before the commit; LEASE_ELSEWHERE: write nothing.
 */
MUST_CHECK int lease_keep(struct db *db, const struct lease *l, struct fault *f);
/* Gives it back, so that others need not wait; nothing when it is not held. Worker. */
MUST_CHECK int lease_give(struct store *s, struct lease *l, struct fault *f);
/* Gives all leases back: for a process that knows itself to be alone (SQLite), at its start. */
MUST_CHECK int lease_give_all(struct store *s, struct fault *f);

#endif
