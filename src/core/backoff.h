/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential back-off with full jitter, from the four RETRY_ settings. Pure. */
#ifndef CORE_BACKOFF_H
#define CORE_BACKOFF_H

#include "core/settings.h"

/* Delay before try number `attempt` (1 = first retry): uniform in [0, min(max, initial ×
 * mult^(n-1))]. */
int64_t backoff_delay_ms(const struct settings *s, unsigned attempt);

#endif
