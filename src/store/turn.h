/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock given in the order in which it was asked for. An engine with a single writer makes its
 * threads queue here, instead of letting them poll the database and starve each other. It is held
 * for the length of a transaction, I/O and all: that is its purpose.
 */
#ifndef STORE_TURN_H
#define STORE_TURN_H

#include <pthread.h>

#include "base/attr.h"

struct turn {
	pthread_mutex_t mutex;
	pthread_cond_t moved;
	uint64_t next, serving;
	pthread_t holder; /* while is_held */
	bool is_held;
};

void turn_init(struct turn *t);
void turn_done(struct turn *t);
enum turn_outcome { TURN_TAKEN, TURN_OWN };
/* Blocks. TURN_OWN: this thread holds it already; waiting would never end. */
MUST_CHECK enum turn_outcome turn_take(struct turn *t);
void turn_give(struct turn *t);

#endif
