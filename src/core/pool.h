/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads over one queue. A task is embedded in whatever it works on and crosses threads by
 * move: between submit and run it belongs to the pool, from run on to itself. Workers may block on
 * the database; nothing else may run long here.
 */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include "base/attr.h"

struct task {
	struct task *next;
	void (*run)(struct task *task); /* worker thread; may free the object that holds the task */
};

struct pool;
struct pool *pool_new(const char *name, unsigned threads); /* never NULL */
void pool_submit(struct pool *p, struct task *task);       /* any thread; never blocks */
/* The same, for what nobody waits for: runs when nothing else is queued. */
void pool_submit_behind(struct pool *p, struct task *task);
size_t pool_depth(struct pool *p); /* tasks waiting */
/* Runs what is queued (also what the tasks submit meanwhile), then joins and frees. Not from a
 * worker. */
void pool_stop(struct pool *p);

#endif
