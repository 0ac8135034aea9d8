/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events to the outside: Kafka and a webhook, each a consumer of the outbox (events_consumer.h). Of
 * all processes one delivers for a consumer, under a lease; what it has not had acknowledged, the
 * next one delivers again, with the same event_id. docs/internals/delivery.md has the story.
 */
#ifndef DELIVERY_DELIVERY_H
#define DELIVERY_DELIVERY_H

#include "base/attr.h"
#include "base/fault.h"
#include "base/json.h"
#include "core/settings.h"

struct net;
struct store;
struct delivery;

/* A listing of a job that could not be read to its end. */
struct job_trouble {
	int64_t id;
	const char *listing;     /* accounts, locations, reviews */
	const char *account_id;  /* "" when it has none */
	const char *location_id; /* likewise */
	const char *error;
};
typedef int job_trouble_fn(void *arg, const struct job_trouble *trouble, struct fault *f);

struct delivery_parts { /* borrowed */
	const struct settings *settings;
	struct store *store;
	struct net *net;
	/* Calls each for what failed of a job, by rising ids behind `after`, limit of them. */
	int (*job_troubles)(void *arg, const char *job_id, int64_t after, int64_t limit,
		job_trouble_fn *each, void *each_arg, struct fault *f);
	void *arg; /* of job_troubles */
};
/* How many connections to the database it takes: one a consumer. */
unsigned delivery_connections(const struct settings *s);
/* -1 FAULT_INPUT: the library of Kafka is not on this machine, or does not take a setting. */
MUST_CHECK int delivery_new(
	const struct delivery_parts *parts, struct delivery **ret, struct fault *f);
void delivery_start(struct delivery *d); /* a thread for each consumer */
/* Nothing new begins; waits wait_ms at most for what is under way. Before net_stop. NULL is fine.
 */
void delivery_stop(struct delivery *d, int64_t wait_ms);
/* Takes what net_stop has answered, gives the leases back, joins and frees. NULL is fine. */
void delivery_free(struct delivery *d);

/* Whether a broker answers this process. Any thread. */
bool delivery_kafka_connected(const struct delivery *d);
/* An array: how far each consumer is, and what was set aside. Worker. */
MUST_CHECK int delivery_write(struct delivery *d, struct json_out *ret, struct fault *f);

/* Asks the brokers once, as serve would; *ret_brokers of them answered for. Takes up to timeout_ms.
 * FAULT_INPUT as delivery_new; FAULT_UPSTREAM: none answers. */
MUST_CHECK int delivery_check_kafka(
	const struct settings *s, int timeout_ms, int *ret_brokers, struct fault *f);

#endif
