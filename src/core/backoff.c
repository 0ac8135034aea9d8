/* SPDX-License-Identifier: Apache-2.0 */
#include "core/backoff.h"

#include "base/rand.h"

int64_t backoff_delay_ms(const struct settings *s, unsigned attempt)
{
	double most = (double)s->retry_max_backoff_ms;
	double delay = (double)s->retry_initial_backoff_ms;

	/* A multiplier of 1 never reaches the maximum; its delay is the same for every attempt. */
	if (s->retry_backoff_multiplier > 1.0) {
		for (unsigned n = 1; n < attempt && delay < most; n++)
			delay *= s->retry_backoff_multiplier;
	}
	if (delay > most)
		delay = most;
	if (delay <= 0)
		return 0;
	return (int64_t)rand_below((uint64_t)delay + 1);
}
