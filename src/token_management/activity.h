/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How busy the service was. The counters of core/metrics.h tell it for one process since its start;
 * what they grew by is added to rows that all processes share, so that a chart survives restarts. A
 * kill -9 loses what was counted in the last seconds.
 */
#ifndef TOKEN_MANAGEMENT_ACTIVITY_H
#define TOKEN_MANAGEMENT_ACTIVITY_H

#include "base/attr.h"
#include "base/fault.h"

struct token_management;

#define ACTIVITY_COUNTS 5
struct activity {
	int64_t written[ACTIVITY_COUNTS]; /* what the counters were when they were written last */
	int64_t write_at_ms, purge_at_ms; /* monotonic */
};
void activity_init(struct activity *a);
/* Worker; one caller at a time. Every few seconds; with now, at once. */
MUST_CHECK int activity_write(struct token_management *tm, bool now, struct fault *f);

#endif
