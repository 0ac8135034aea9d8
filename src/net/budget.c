/* SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"

#define MINUTE_US 60000000

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

struct net_pace net_pace(int64_t per_minute, int64_t burst)
{
	struct net_pace pace;

	per_minute = later(per_minute, 1);
	burst = burst > per_minute ? per_minute : later(burst, 1);
	/* A start that is late by the slack must not fall into the next one's minute: a minute then
	 * has room for one interval less. */
	pace.interval_us =
		(MINUTE_US + NET_START_SLACK_US + per_minute - burst) / (per_minute - burst + 1);
	pace.lead_us = (burst - 1) * pace.interval_us;
	return pace;
}

int64_t net_share_take(struct net_share *s, int64_t now_us)
{
	while (s->n > 0 && s->next_us + NET_START_SLACK_US < now_us) {
		/* many at once: a share may have lain about for long */
		int64_t stale = (now_us - NET_START_SLACK_US - s->next_us + s->interval_us - 1) /
				s->interval_us;

		stale = stale < s->n ? stale : s->n;
		s->n -= stale;
		s->next_us += stale * s->interval_us;
	}
	if (s->n == 0)
		return -1;
	if (s->next_us > now_us)
		return s->next_us - now_us;
	s->n--;
	s->next_us += s->interval_us;
	return 0;
}
