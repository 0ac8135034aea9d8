/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP side of the daemon. */
#ifndef API_API_H
#define API_API_H

#include "base/attr.h"
#include "base/fault.h"
#include "core/pool.h"
#include "core/scheduler.h"
#include "core/settings.h"

struct api;
struct event_feed;
struct json_out;
struct review_fetcher;
struct token_management;

struct api_parts { /* borrowed */
	const struct settings *settings;
	struct pool *pool;
	struct scheduler *scheduler;
	struct token_management *token_management;
	struct review_fetcher *review_fetcher; /* may be NULL in tests */
	struct event_feed *events;             /* likewise */
	/* 0 while the database answers; asked on a worker by /ready and /health. */
	int (*check_database)(void *arg, struct fault *f);
	/* Sets the gauges that only the database knows, for /metrics; on a worker. NULL: none. */
	int (*measure)(void *arg, struct fault *f);
	/* Whether Kafka answers, and an array of how deliveries stand; NULL: none are made. */
	bool (*kafka_connected)(void *arg);
	int (*write_deliveries)(void *arg, struct json_out *ret, struct fault *f);
	void *arg;
	/* The parts above are still missing: only what the service says about itself answers, all
	 * else is told to come again. */
	bool is_waiting;
};
/* Listens. -1 FAULT_INPUT: the address is taken or not ours (names it and the cure). */
MUST_CHECK int api_start(const struct api_parts *parts, struct api **ret, struct fault *f);
unsigned api_port(const struct api *api); /* the real one when API_PORT is 0 */
/* Stops accepting and answers what is under way, for at most drain_ms; streams are ended. */
void api_drain(struct api *api, int64_t drain_ms);
/*
 * After api_drain; joins and frees; NULL is fine. It waits for requests that are still with a
 * worker or a callback, so stop what can keep them (net_stop) first, and the pool, which must run
 * them, afterwards.
 */
void api_stop(struct api *api);

#endif
