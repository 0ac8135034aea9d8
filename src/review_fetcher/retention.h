/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must not be kept: reviews that were not read again in time (Google's policy), and those of a
 * branch that was disconnected for good. Both go in small pieces, so that nobody waits for them.
 * Inside review_fetcher/.
 */
#ifndef REVIEW_FETCHER_RETENTION_H
#define REVIEW_FETCHER_RETENTION_H

#include "review_fetcher/gate.h"
#include "store/store_lease.h"

struct retention { /* in struct review_fetcher; the task's own but for nap */
	struct nap nap;
	struct task task;
	struct lease lease;
	int64_t at_event;      /* of the purge under way */
	int64_t at_id;         /* locations up to this one have been looked at in this round */
	int64_t next_round_ms; /* monotonic */
};
void retention_start(struct review_fetcher *rf);

#endif
