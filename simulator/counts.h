/* SPDX-License-Identifier: Apache-2.0 */
/* How many requests of which kind came, and how they were answered. Any thread, no lock. */
#ifndef SIMULATOR_COUNTS_H
#define SIMULATOR_COUNTS_H

#include "base/attr.h"
#include "base/json.h"
#include "simulator/kind.h"

#include <stdatomic.h>

#define COUNTS_STATUSES 600 /* [0]: the connection was reset instead */

struct counts {
	_Atomic int64_t requests[KIND_COUNTED];
	_Atomic uint32_t statuses[KIND_COUNTED][COUNTS_STATUSES];
	_Atomic int64_t in_flight, in_flight_max, token_in_flight, token_in_flight_max;
	_Atomic int64_t throttled;     /* 429 answers, of the quota and of faults */
	_Atomic int64_t quota_refused; /* those of the quota */
	_Atomic int64_t code_reused, refresh_reused, tokens_issued, refresh_tokens_issued;
};

void counts_begin(struct counts *c, enum kind kind);
void counts_answer(struct counts *c, enum kind kind, unsigned status);
void counts_end(struct counts *c, enum kind kind);
void counts_reset(struct counts *c); /* what is in flight stays */
void counts_write(struct counts *c, struct json_out *o, int64_t faults_applied); /* an object */

#endif
