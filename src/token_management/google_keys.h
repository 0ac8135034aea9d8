/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google's public keys in memory. One request at a time fetches them, and whoever needs them
 * meanwhile waits for it. An outage is bridged with the keys that were there; a stranger who
 * invents key ids makes us ask once a minute, no more.
 */
#ifndef TOKEN_MANAGEMENT_GOOGLE_KEYS_H
#define TOKEN_MANAGEMENT_GOOGLE_KEYS_H

#include <pthread.h>

#include "jose/jose.h"
#include "token_management/token_management_google.h"

/* Cache-Control is believed within these bounds. */
#define GOOGLE_KEYS_FRESH_LEAST_MS (5 * 60 * 1000)
#define GOOGLE_KEYS_FRESH_MOST_MS (24 * 60 * 60 * 1000)
#define GOOGLE_KEYS_FRESH_ELSE_MS (60 * 60 * 1000)
/* How long keys serve on in an outage. */
#define GOOGLE_KEYS_STALE_MOST_MS (24 * 60 * 60 * 1000)
#define GOOGLE_KEYS_ASK_EVERY_MS (60 * 1000)
#define GOOGLE_KEYS_WAITERS_MAX 256
/* Checks a second, and at once; one costs a few dozen microseconds. */
#define GOOGLE_JWT_CHECKS_PER_SEC 200

struct key_waiter;
struct google_keys {
	pthread_mutex_t lock;
	struct jwk_set *set; /* NULL: never had any */
	int64_t fresh_until_mono_ms, asked_mono_ms;
	bool is_asking, was_asked, has_failed; /* the last time */
	struct key_waiter *first;
	size_t n_waiting;
	int64_t checks_milli, counted_mono_ms; /* the budget, in thousandths */
};
void google_keys_init(struct google_keys *k);
void google_keys_done(struct google_keys *k); /* all work has ended */

#endif
