/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All waiting of the engine hangs on one timer: a walk or a job that is freed then has nothing
 * armed in the scheduler, and stopping has one thing to disarm. There are a few hundred naps at
 * most, so a list that is walked is enough.
 */
#include "review_fetcher/engine.h"

#include "base/clock.h"

static void arm_for_earliest(struct review_fetcher *rf)
{
	int64_t due_ms = INT64_MAX;

	for (const struct nap *n = rf->naps; n; n = n->next) {
		if (n->due_ms < due_ms)
			due_ms = n->due_ms;
	}
	if (rf->naps && !rf->stopping)
		scheduler_arm(rf->parts.scheduler, &rf->timer, due_ms);
}

static void take_out(struct review_fetcher *rf, struct nap *n)
{
	if (n->prev)
		n->prev->next = n->next;
	else
		rf->naps = n->next;
	if (n->next)
		n->next->prev = n->prev;
	n->prev = n->next = NULL;
	n->on = false;
}

/* Scheduler thread. */
static void wake_due(struct timer *timer)
{
	struct review_fetcher *rf = CONTAINER_OF(timer, struct review_fetcher, timer);
	int64_t now_ms = clock_mono_ms();
	struct nap *next;

	pthread_mutex_lock(&rf->lock);
	for (struct nap *n = rf->naps; n && !rf->stopping; n = next) {
		next = n->next;
		if (n->due_ms > now_ms)
			continue;
		take_out(rf, n);
		pool_submit(rf->parts.pool, n->task);
	}
	arm_for_earliest(rf);
	pthread_mutex_unlock(&rf->lock);
}

void naps_init(struct review_fetcher *rf)
{
	rf->timer.fire = wake_due;
}

void nap_until(struct review_fetcher *rf, struct nap *n, struct task *task, int64_t due_ms)
{
	if (n->on)
		take_out(rf, n);
	n->task = task;
	n->due_ms = due_ms;
	n->on = true;
	n->prev = NULL;
	n->next = rf->naps;
	if (rf->naps)
		rf->naps->prev = n;
	rf->naps = n;
	arm_for_earliest(rf);
}

bool nap_end(struct review_fetcher *rf, struct nap *n)
{
	if (!n->on)
		return false;
	take_out(rf, n);
	return true;
}
