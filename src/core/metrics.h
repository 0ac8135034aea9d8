/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters and gauges, defined as statics where they are counted:
 *
 *	static struct metric refreshes_done = METRIC_COUNTER("review_fetcher_token_refreshes_total",
 *		"Refresh requests answered, by outcome.", "outcome=\"done\"");
 *
 * The first touch registers. One family (same name) must have one help text.
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
void metrics_write(struct buf *ret); /* Prometheus text exposition 0.0.4 */

#endif
