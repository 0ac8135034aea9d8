/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters and gauges, defined as statics where they are counted:
 *
 *	static struct metric refreshes_done = METRIC_COUNTER("review_fetcher_token_refreshes_total",
 *		"Refresh requests answered, by outcome.", "outcome=\"done\"");
 *
 * The first touch registers. One family (same name) must have one help text. What is to be seen
 * before it is touched stands in METRICS_FROM_START: a rate needs the zero before the first one.
 */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdatomic.h>
#include "base/attr.h"
#include "base/buf.h"

enum metric_type { METRIC_IS_COUNTER, METRIC_IS_GAUGE };
struct metric {
	const char *name, *help,
		*labels; /* labels: Prometheus text inside the braces, "" for none */
	enum metric_type type;
	_Atomic int64_t value;
	_Atomic bool registered;
	struct metric *next;
};
#define METRIC_COUNTER(n, h, l)                                                    \
	{                                                                          \
		.name = (n), .help = (h), .labels = (l), .type = METRIC_IS_COUNTER \
	}
#define METRIC_GAUGE(n, h, l)                                                    \
	{                                                                        \
		.name = (n), .help = (h), .labels = (l), .type = METRIC_IS_GAUGE \
	}

void metric_register(struct metric *m); /* so that a zero is shown too; idempotent */
void metric_add(struct metric *m, int64_t n);
void metric_set(struct metric *m, int64_t value);
int64_t metric_value(struct metric *m);

/* How long things took, in the buckets of METRIC_BOUNDS. */
#define METRIC_BOUNDS 12
struct metric_timing {
	const char *name, *help;                    /* the name ends in _seconds */
	_Atomic int64_t buckets[METRIC_BOUNDS + 1]; /* each for itself; the last: longer */
	_Atomic int64_t sum_ms;
	_Atomic bool registered;
	struct metric_timing *next;
};
void metric_timing_register(struct metric_timing *t); /* idempotent */
void metric_timing_add(struct metric_timing *t, int64_t ms);

/* At file level, once a file: pointers of metrics, shown from the start of the program on. */
#define METRICS_FROM_START(...)                                             \
	__attribute__((constructor)) static void show_metrics(void)         \
	{                                                                   \
		struct metric *const shown[] = {__VA_ARGS__};               \
		for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++) \
			metric_register(shown[i]);                          \
	}
#define METRIC_TIMING_FROM_START(t)                                \
	__attribute__((constructor)) static void show_timing(void) \
	{                                                          \
		metric_timing_register(&(t));                      \
	}

/* The sum of a family, or of those in it whose labels hold this text. */
int64_t metrics_sum(const char *name, const char *label);
void metrics_write(struct buf *ret); /* Prometheus text exposition 0.0.4 */

#endif
