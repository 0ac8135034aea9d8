/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of delivery to Kafka. librdkafka is loaded when it is configured and not before: with
 * its TLS, SASL and compression it would cost every process memory. Inside delivery/kafka*.c and
 * delivery.c only.
 */
#ifndef DELIVERY_KAFKA_H
#define DELIVERY_KAFKA_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#include "delivery/courier.h"
#include "delivery/delivery.h"

/* Every function of librdkafka that is used. */
#define RDKAFKA_FUNCTIONS(X)           \
	X(rd_kafka_conf_destroy)       \
	X(rd_kafka_conf_new)           \
	X(rd_kafka_conf_set)           \
	X(rd_kafka_conf_set_dr_msg_cb) \
	X(rd_kafka_conf_set_error_cb)  \
	X(rd_kafka_conf_set_log_cb)    \
	X(rd_kafka_conf_set_opaque)    \
	X(rd_kafka_destroy)            \
	X(rd_kafka_err2str)            \
	X(rd_kafka_metadata)           \
	X(rd_kafka_metadata_destroy)   \
	X(rd_kafka_new)                \
	X(rd_kafka_poll)               \
	X(rd_kafka_producev)           \
	X(rd_kafka_purge)

struct rdkafka {
#define RDKAFKA_MEMBER(name) __typeof__(name) *name;
	RDKAFKA_FUNCTIONS(RDKAFKA_MEMBER)
#undef RDKAFKA_MEMBER
};
/* The library, loaded once. -1 FAULT_INPUT: it is not on this machine. Any thread. */
MUST_CHECK int kafka_library(const struct rdkafka **ret, struct fault *f);

/* ---- kafka_link.c: a producer, and whether anybody answers it ---- */

/*
 * Longest that a message is tried, well below the lease: what a process that lost it had put in
 * hand is never sent behind its successor's.
 */
#define KAFKA_MESSAGE_MS 10000

struct kafka_link {
	const struct rdkafka *lib;
	const struct settings *settings;
	rd_kafka_t *rk;
	_Atomic bool is_up;
	bool was_told, is_broken; /* broken: the producer is of no use any more */
	int64_t probe_at_ms;
	unsigned n_failed; /* probes in a row */
	unsigned n_open;   /* messages that have not been answered for */
};
struct kafka_message {
	rd_kafka_resp_err_t error; /* when it is answered for */
};
/* lib: NULL takes the library of the machine; tests bring their own. */
MUST_CHECK int kafka_link_open(
	struct kafka_link *k, const struct rdkafka *lib, const struct settings *s, struct fault *f);
void kafka_link_close(struct kafka_link *k);
/* Takes what came, and asks the brokers now and then whether they are there. */
void kafka_link_tick(struct kafka_link *k);
/* Ms until it is asked again; for who finds it down. */
int64_t kafka_link_wait_ms(const struct kafka_link *k);
/* Copies key and value. *m is the caller's until kafka_link_flush returns. */
void kafka_link_put(struct kafka_link *k, const char *topic, const char *key, const char *value,
	size_t len, struct kafka_message *m);
/* Returns when every message is answered for; when stop says so they are given up. */
void kafka_link_flush(struct kafka_link *k, struct courier *stop);
/* A message failed for good when trying it again cannot help. */
bool kafka_is_poison(rd_kafka_resp_err_t error);
/* Says that the brokers are away. */
void kafka_link_down(struct kafka_link *k, const char *cause);

/* ---- kafka_sink.c: which message an event becomes ---- */

#define KAFKA_CONSUMER "kafka"
#define KAFKA_TOPIC "reviews-raw"
#define KAFKA_DEAD_TOPIC "reviews-dlq"
#define KAFKA_BATCH 256
#define KAFKA_BATCH_BYTES ((size_t)4 * 1024 * 1024)

struct kafka_event {
	struct kafka_message message;
	int64_t position, at_ms;
	char event_id[33];
	char *kind, *ref, *data, *branch_id; /* branch_id may be NULL */
};
struct kafka_sink {
	struct kafka_link link;
	struct courier courier;
	const struct delivery_parts *parts;
	struct kafka_event batch[KAFKA_BATCH];
	size_t n;
	size_t bytes;
};
extern const struct courier_ops kafka_ops;

/* ---- kafka_dead.c: the dead letters ---- */

/*
 * Puts an event that no broker takes onto KAFKA_DEAD_TOPIC, without what made it so. 0, or the
 * error that keeps even that from getting there.
 */
rd_kafka_resp_err_t kafka_bury(struct kafka_sink *k, const struct kafka_event *e);
/* The same for all that failed of a job. -1: a fault of the database; *ret_error as above. */
MUST_CHECK int kafka_bury_job(struct kafka_sink *k, const struct kafka_event *e,
	rd_kafka_resp_err_t *ret_error, struct fault *f);

extern struct metric kafka_delivered, kafka_dead, kafka_failed;

#endif
