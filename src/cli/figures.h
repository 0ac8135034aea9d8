/* SPDX-License-Identifier: Apache-2.0 */
/* What only the database knows and an operator watches, as gauges. */
#ifndef CLI_FIGURES_H
#define CLI_FIGURES_H

#include "base/attr.h"
#include "base/fault.h"

struct db;
struct settings;
struct store;

/* Worker. A handful of counts over indexes; the same in every process that shares the database. */
MUST_CHECK int figures_measure(
	struct store *store, const struct settings *settings, struct fault *f);

/* ---- figures_quota.c: inside a transaction ---- */
/* Of each project and API, per_minute is the quota of all. */
MUST_CHECK int figures_measure_quota(struct db *db, int64_t per_minute, struct fault *f);

#endif
