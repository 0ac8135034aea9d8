/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the door token_management.h, which includes it: how all connections are, at one look. */
#ifndef TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_OVERVIEW_H
#define TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_OVERVIEW_H

#include "token_management/token_management.h"

#define CLIENT_STATES 8
const char *client_state_name(size_t state); /* "pending" … "inactive"; below CLIENT_STATES */

/* Worker. How many connections are in each state, by indexes alone. */
MUST_CHECK int clients_count(
	struct token_management *tm, int64_t ret[static CLIENT_STATES], struct fault *f);

/* What is counted over all processes, by the minute for a few hours and by the hour for a month. */
#define ACTIVITY_MINUTE_MS INT64_C(60000)
#define ACTIVITY_HOUR_MS INT64_C(3600000)
struct activity_row { /* borrowed for the call */
	const char *
		name; /* refreshes, refresh_failures, token_reads, google_calls, google_throttles */
	int64_t at_ms; /* when its minute or hour began */
	int64_t n;
};
typedef int activity_each_fn(void *arg, const struct activity_row *row, struct fault *f);
/* Worker. All that happened since, by name and time; spans in which nothing did are left out. */
MUST_CHECK int activity_list(struct token_management *tm, int64_t span_ms, int64_t since_ms,
	activity_each_fn *each, void *arg, struct fault *f);

#endif
