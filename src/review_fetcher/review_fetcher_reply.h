/* SPDX-License-Identifier: Apache-2.0 */
/* The owner's replies to reviews, put and taken away at Google. Part of the door. */
#ifndef REVIEW_FETCHER_REVIEW_FETCHER_REPLY_H
#define REVIEW_FETCHER_REVIEW_FETCHER_REPLY_H

#include "review_fetcher/review_fetcher.h"

#define REPLY_BYTES_MAX 4096 /* Google counts bytes */
#define REPLY_KEY_BYTES 255

struct actor;
struct reply_ask { /* borrowed for the call */
	int64_t review;
	const char *comment;         /* NULL: the reply is taken away */
	const char *idempotency_key; /* of the caller's; NULL: none */
	struct review_scope scope;
	const struct actor *who;
};
struct reply_result {       /* borrowed for the call */
	const char *review; /* as reviews_write has it, as Google has it now; NULL: it failed */
	size_t len;
	bool replayed; /* the answer of an earlier request under the same key */
	const struct fault *fault;
	unsigned status; /* of the fault, where its kind does not say it; else 0 */
};
typedef void reply_done_fn(void *arg, const struct reply_result *result);
/*
 * Worker. done is called exactly once, on a worker, maybe inside. What Google did is stored with
 * its history and its event before. Faults: FAULT_MISSING (no such review, here or at Google),
 * FAULT_CONFLICT (not connected; or the same key's request is under way: retry_after_ms),
 * FAULT_INPUT (the key was used for something else), FAULT_DENIED, FAULT_THROTTLED, FAULT_UPSTREAM.
 */
void replies_ask(
	struct review_fetcher *rf, const struct reply_ask *ask, reply_done_fn *done, void *arg);

#endif
