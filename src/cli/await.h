/* SPDX-License-Identifier: Apache-2.0 */
/* A database on another machine may come up after the service. */
#ifndef CLI_AWAIT_H
#define CLI_AWAIT_H

#include "core/pool.h"
#include "core/scheduler.h"
#include "core/settings.h"
#include "store/store.h"

enum await_outcome { AWAIT_FOUND, AWAIT_ENDED };
/*
 * Opens the store. While its server cannot be reached it is asked again and again, and the port
 * answers already: 503 with the cause, on /ready too, until the port is closed again before this
 * returns. AWAIT_ENDED: told to end meanwhile. -1: what no waiting mends; on SQLite any fault.
 * Main thread, with the signals that end the daemon blocked. Sets api_port when it was 0.
 */
MUST_CHECK int await_store(struct settings *settings, const struct store_options *options,
	struct pool *pool, struct scheduler *scheduler, struct store **ret, struct fault *f);

#endif
