/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google's quota as rows: one calendar of starts per Cloud project and API that all processes of a
 * database share. Inside review_fetcher/; worker threads, inside a transaction.
 */
#ifndef REVIEW_FETCHER_BUDGET_H
#define REVIEW_FETCHER_BUDGET_H

#include "base/attr.h"
#include "base/fault.h"
#include "net/net.h"

struct db;

/* How a quota of so many a minute is divided: what jobs take, and what is kept for people who wait
 * (replies) and for push. */
struct budget_paces {
	struct net_pace work, reserve;
	bool has_reserve; /* below ten a minute there is none: all of it is for work */
};
struct budget_paces budget_paces(int64_t per_minute);

struct budget_ask {
	const char *project, *api;
	struct budget_paces paces;
	/* What is to be said. */
	int64_t pause_us;      /* a 429: nobody starts for so long; 0: none */
	bool answered;         /* Google answered: no 429 in a row any more, no diagnosis */
	const char *diagnosis; /* the project may not use this API; NULL: nothing new */
	/* What is wanted: starts. */
	int64_t n_work, n_reserve;
	/* Answers, on the clock of the rows. */
	int64_t now_us, paused_until_us, work_first_us, reserve_first_us;
	int64_t throttles;    /* 429s in a row, of all processes */
	bool answered_lately; /* within a day */
	bool paused;          /* then no starts were given */
};
/* A store_body_fn over a struct budget_ask; may run again. */
MUST_CHECK int budget_settle(struct db *db, void *ask, struct fault *f);

/*
 * One edit of a profile (a reply, its removal): Google takes ten a minute, which cannot be raised.
 * *ret_wait_ms is 0 when it may be done now, else how long until there is room; nothing is reserved
 * then.
 */
MUST_CHECK int budget_take_edit(
	struct db *db, const char *location_id, int64_t *ret_wait_ms, struct fault *f);

#endif
