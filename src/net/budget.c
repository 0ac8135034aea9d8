/* SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"

#define MINUTE_US 60000000

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* How far ahead of the even pace a start may be. */
static int64_t lead_us(const struct net_budget *b)
{
	return (b->burst - 1) * b->interval_us;
}

void net_budget_init(struct net_budget *b, int64_t per_minute, int64_t burst)
{
	per_minute = later(per_minute, 1);
	/* rounded up: a pace that is a hair too slow keeps the promise, one that is too fast breaks
	 * it */
	*b = (struct net_budget){
		.interval_us = (MINUTE_US + per_minute - 1) / per_minute,
		.next_us = INT64_MIN / 2,
		.paused_until_us = INT64_MIN / 2,
		.burst = later(burst, 1),
	};
}

int64_t net_budget_take(struct net_budget *b, int64_t now_ms)
{
	int64_t now_us = now_ms * 1000;
	int64_t start_us = later(later(now_us, b->paused_until_us), b->next_us - lead_us(b));

	b->next_us = later(b->next_us, start_us) + b->interval_us;
	return (start_us - now_us + 999) / 1000;
}

void net_budget_pause(struct net_budget *b, int64_t until_ms)
{
	b->paused_until_us = later(b->paused_until_us, until_ms * 1000);
	/* what was saved up in the pause must not hit a provider that has just said it is too much
	 */
	b->next_us = later(b->next_us, b->paused_until_us + lead_us(b));
}
