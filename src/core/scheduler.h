/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread over a heap of due times (monotonic). It only assigns: fire() must not block and
 * normally submits a task to a pool.
 */
#ifndef CORE_SCHEDULER_H
#define CORE_SCHEDULER_H

#include "base/attr.h"

struct timer {
	size_t slot; /* 0: not armed; the heap's business */
	int64_t due_ms;
	void (*fire)(
		struct timer *timer); /* scheduler thread; the timer may be armed again in it */
};

struct scheduler;
struct scheduler *scheduler_new(void);
/* Tests with a fake clock: one without a thread, whose due timers run when asked. */
struct scheduler *scheduler_new_manual(void);
/* Fires all that is due now, on the caller's thread; ms until the next one, -1 when none is armed.
 */
int64_t scheduler_run_due(struct scheduler *s);
/* Arms or moves the timer. Any thread. */
void scheduler_arm(struct scheduler *s, struct timer *t, int64_t due_mono_ms);
/*
 * After it returns fire() is not running and will not run (it waits for a running one, so never
 * call it with a lock that fire() takes, nor from fire()). True when the timer had not fired. Any
 * other thread.
 */
bool scheduler_disarm(struct scheduler *s, struct timer *t);
/*
 * No timer fires any more once it returns: it joins the thread. Arming and disarming stay allowed,
 * so that work which still runs elsewhere needs no care. Not from fire(). Idempotent.
 */
void scheduler_halt(struct scheduler *s);
/* Halts and frees. NULL is fine. */
void scheduler_stop(struct scheduler *s);

#endif
