/* SPDX-License-Identifier: Apache-2.0 */
/* Events that a consumer would not take and that were set aside, so that others go on. */
#ifndef DELIVERY_PARKED_H
#define DELIVERY_PARKED_H

#include "base/fault.h"
#include "base/json.h"

struct store;

#define PARKED_SHOWN 100
#define PARKED_KEPT 10000 /* of each consumer; older ones are forgotten */
struct parked {           /* borrowed */
	const char *consumer, *event_id, *kind, *branch_id, *ref; /* branch_id may be NULL */
	int64_t position, tries, status;                          /* 0: no answer */
	const char *error;
};
/* Once: a second time changes nothing. Worker. */
MUST_CHECK int parked_add(struct store *s, const struct parked *p, struct fault *f);
/* An object: how far the consumer is, how many were set aside, and the newest of them. Worker. */
MUST_CHECK int consumer_write(struct store *s, const char *consumer, bool connected,
	struct json_out *ret, struct fault *f);

#endif
