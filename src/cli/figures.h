/* SPDX-License-Identifier: Apache-2.0 */
/* What only the database knows and an operator watches, as gauges. */
#ifndef CLI_FIGURES_H
#define CLI_FIGURES_H

#include "base/attr.h"
#include "base/fault.h"

struct store;

/* Worker. A handful of counts over indexes; the same in every process that shares the database. */
MUST_CHECK int figures_measure(struct store *store, struct fault *f);

#endif
