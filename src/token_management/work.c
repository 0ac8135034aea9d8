/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/internal.h"

#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"

void work_list_init(struct work_list *l)
{
	pthread_condattr_t attr;

	*l = (struct work_list){0};
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void work_list_done(struct work_list *l)
{
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
}

static void task_run(struct task *task)
{
	struct work *w = CONTAINER_OF(task, struct work, task);
	struct work_list *l = &w->tm->work;

	pthread_mutex_lock(&l->lock);
	w->waits = false;
	pthread_mutex_unlock(&l->lock);
	w->step(w);
}

static void queue_task(struct work *w)
{
	if (atomic_load(&w->is_behind))
		pool_submit_behind(w->tm->pool, &w->task);
	else
		pool_submit(w->tm->pool, &w->task);
}

/* Scheduler thread. The work may be gone once it is submitted. */
static void timer_fire(struct timer *timer)
{
	struct work *w = CONTAINER_OF(timer, struct work, timer);

	queue_task(w);
}

/* With the list's lock held. */
static void add(struct token_management *tm, struct work *w)
{
	struct work_list *l = &tm->work;

	w->tm = tm;
	w->task.run = task_run;
	w->timer.fire = timer_fire;
	w->prev = NULL;
	w->next = l->first;
	if (w->next != NULL)
		w->next->prev = w;
	l->first = w;
}

void work_begin(struct token_management *tm, struct work *w)
{
	pthread_mutex_lock(&tm->work.lock);
	add(tm, w);
	pthread_mutex_unlock(&tm->work.lock);
}

bool work_begin_unless_stopping(struct token_management *tm, struct work *w)
{
	bool may;

	pthread_mutex_lock(&tm->work.lock);
	may = !tm->work.stopping;
	if (may)
		add(tm, w);
	pthread_mutex_unlock(&tm->work.lock);
	return may;
}

void work_end(struct work *w)
{
	struct work_list *l = &w->tm->work;

	pthread_mutex_lock(&l->lock);
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		l->first = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

void work_submit(struct work *w, void (*step)(struct work *w))
{
	w->step = step;
	queue_task(w);
}

void work_later(struct work *w, int64_t delay_ms, void (*step)(struct work *w))
{
	struct work_list *l = &w->tm->work;
	bool armed;

	w->step = step;
	pthread_mutex_lock(&l->lock);
	armed = !l->stopping;
	if (armed) {
		/* Armed under the lock, so that a stop sees either no timer or one that it can
		 * disarm. */
		w->waits = true;
		scheduler_arm(w->tm->scheduler, &w->timer, clock_mono_ms() + delay_ms);
	}
	pthread_mutex_unlock(&l->lock);
	if (!armed)
		pool_submit(w->tm->pool, &w->task);
}

bool work_send_begin(struct token_management *tm)
{
	struct work_list *l = &tm->work;
	bool may;

	pthread_mutex_lock(&l->lock);
	may = !l->stopping && tm->net != NULL;
	if (may)
		l->n_sending++;
	pthread_mutex_unlock(&l->lock);
	return may;
}

void work_send_end(struct token_management *tm)
{
	struct work_list *l = &tm->work;

	pthread_mutex_lock(&l->lock);
	if (--l->n_sending == 0)
		pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

bool work_is_stopping(struct token_management *tm)
{
	bool stopping;

	pthread_mutex_lock(&tm->work.lock);
	stopping = tm->work.stopping;
	pthread_mutex_unlock(&tm->work.lock);
	return stopping;
}

/* Whatever waits for its timer runs now. A timer that has fired already finds its way by itself. */
static void wake_waiting(struct token_management *tm)
{
	struct work *w;

	for (w = tm->work.first; w != NULL; w = w->next) {
		if (w->waits && scheduler_disarm(tm->scheduler, &w->timer))
			pool_submit(tm->pool, &w->task);
	}
}

void token_management_stop(struct token_management *tm, int64_t wait_ms)
{
	struct work_list *l;
	struct timespec until;
	int64_t until_ms;

	if (tm == NULL)
		return;
	l = &tm->work;
	until_ms = clock_mono_ms() + wait_ms;
	until.tv_sec = (time_t)(until_ms / 1000);
	until.tv_nsec = (long)(until_ms % 1000) * 1000000;
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	wake_waiting(tm);
	while (l->n_sending > 0)
		pthread_cond_wait(&l->changed, &l->lock);
	while (wait_ms > 0 && l->first != NULL) {
		if (pthread_cond_timedwait(&l->changed, &l->lock, &until) != 0)
			break;
	}
	pthread_mutex_unlock(&l->lock);
	due_stop(tm);
}
