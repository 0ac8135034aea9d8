/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google's notifications of reviews, by Pub/Sub push; polling stays the net below. All worker.
 * docs/internals/push.md.
 */
#ifndef REVIEW_FETCHER_REVIEW_FETCHER_PUSH_H
#define REVIEW_FETCHER_REVIEW_FETCHER_PUSH_H

#include "review_fetcher/review_fetcher.h"

/*
 * Takes a push message of a caller who has been checked. When it answers 0 the message may be
 * acknowledged: what there is to do is a job in the database, or there is nothing: it came before,
 * it is about something else, nobody here has that location. -1: the database failed; it is to
 * come again.
 */
MUST_CHECK int push_take(struct review_fetcher *rf, const char *body, size_t len, struct fault *f);

/* ---- what an account notifies of, and where to ---- */

enum notification_wish { NOTIFICATIONS_SHOW, NOTIFICATIONS_SET, NOTIFICATIONS_REMOVE };
struct actor;
struct notification_ask { /* borrowed for the call */
	enum notification_wish wish;
	const char *account_id;
	const char *topic; /* NOTIFICATIONS_SET: projects/{p}/topics/{t} */
	struct review_scope scope;
	const struct actor *who; /* for the audit; not of NOTIFICATIONS_SHOW */
};
struct notification_result { /* borrowed for the call */
	const char *setting; /* Google's answer, a JSON object; NULL: it failed */
	size_t len;
	const struct fault *fault;
};
typedef void notification_done_fn(void *arg, const struct notification_result *result);
/*
 * Asks Google with the grant of a connected branch that has the account. done is called exactly
 * once, on a worker, maybe inside. Faults: FAULT_MISSING, FAULT_CONFLICT (not connected),
 * FAULT_THROTTLED, FAULT_UPSTREAM.
 */
void notifications_ask(struct review_fetcher *rf, const struct notification_ask *ask,
	notification_done_fn *done, void *arg);

#endif
