/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of one provider: the same families as all others', with its name as a label. */
#ifndef TOKEN_MANAGEMENT_PROVIDER_METRICS_H
#define TOKEN_MANAGEMENT_PROVIDER_METRICS_H

#include "core/metrics.h"
#include "token_management/token_response.h"

struct provider_metrics {
	struct metric refreshes[TOKEN_CLASS_COUNT]; /* by class of the answer */
	struct metric background_started, background_put_off, background_running,
		background_failing, background_refused;
	struct provider_metrics *next;
	char name[64], by_provider[96], by_class[TOKEN_CLASS_COUNT][128];
};
/* Never freed, since a metric that was touched is read for ever; one for each name. Any thread. */
struct provider_metrics *provider_metrics_of(const char *provider);

#endif
