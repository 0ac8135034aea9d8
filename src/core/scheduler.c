/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary heap, 1-based, in which each timer knows its own slot: arming, moving and disarming cost
 * O(log n) without a search, and slot 0 says "not armed". fire() runs outside the lock; `firing` is
 * what scheduler_disarm waits for, so that an object can be freed right after it.
 */
#include "core/scheduler.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define HEAP_LEAST 64
/* Keeps the sum below in range whatever was armed; an early wake-up only looks again. */
#define WAIT_MOST_MS 3600000

struct scheduler {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* an earlier due time, or stopping */
	pthread_cond_t fired;   /* firing became NULL */
	struct timer **heap;
	size_t count, cap;
	struct timer *firing;
	bool stopping, has_thread;
	pthread_t thread;
};

static void put(struct scheduler *s, size_t slot, struct timer *t)
{
	s->heap[slot] = t;
	t->slot = slot;
}

static void sift_up(struct scheduler *s, size_t slot, struct timer *t)
{
	while (slot > 1 && s->heap[slot / 2]->due_ms > t->due_ms) {
		put(s, slot, s->heap[slot / 2]);
		slot /= 2;
	}
	put(s, slot, t);
}

static void sift_down(struct scheduler *s, size_t slot, struct timer *t)
{
	for (;;) {
		size_t child = slot * 2;

		if (child > s->count)
			break;
		if (child < s->count && s->heap[child + 1]->due_ms < s->heap[child]->due_ms)
			child++;
		if (s->heap[child]->due_ms >= t->due_ms)
			break;
		put(s, slot, s->heap[child]);
		slot = child;
	}
	put(s, slot, t);
}

static void settle(struct scheduler *s, size_t slot, struct timer *t)
{
	if (slot > 1 && s->heap[slot / 2]->due_ms > t->due_ms)
		sift_up(s, slot, t);
	else
		sift_down(s, slot, t);
}

static void resize(struct scheduler *s, size_t cap)
{
	s->heap = mem_resize(s->heap, (cap + 1) * sizeof(struct timer *));
	s->cap = cap;
}

static void insert(struct scheduler *s, struct timer *t)
{
	if (s->count == s->cap)
		resize(s, s->cap * 2);
	s->count++;
	sift_up(s, s->count, t);
}

static void take_out(struct scheduler *s, struct timer *t)
{
	size_t slot = t->slot;
	struct timer *last = s->heap[s->count];

	s->count--;
	t->slot = 0;
	if (last != t)
		settle(s, slot, last);
	if (s->cap > HEAP_LEAST && s->count < s->cap / 4)
		resize(s, s->cap / 2);
}

/* With the lock held, which is dropped around fire(). */
static void fire_first(struct scheduler *s)
{
	struct timer *t = s->heap[1];

	take_out(s, t);
	s->firing = t;
	pthread_mutex_unlock(&s->lock);
	t->fire(t); /* t may be gone from here on; firing is only compared */
	pthread_mutex_lock(&s->lock);
	s->firing = NULL;
	pthread_cond_broadcast(&s->fired);
}

static void wait_until_due(struct scheduler *s, int64_t now_ms)
{
	int64_t wait_ms = WAIT_MOST_MS;
	struct timespec until;

	if (s->count > 0 && s->heap[1]->due_ms - now_ms < wait_ms)
		wait_ms = s->heap[1]->due_ms - now_ms;
	/* house: allow clock_gettime: the condition variable counts by the kernel's clock */
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

static void *run(void *arg)
{
	struct scheduler *s = arg;

	pthread_setname_np(pthread_self(), "scheduler");
	pthread_mutex_lock(&s->lock);
	while (!s->stopping) {
		int64_t now_ms = clock_mono_ms();

		if (s->count > 0 && s->heap[1]->due_ms <= now_ms)
			fire_first(s);
		else
			wait_until_due(s, now_ms);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

struct scheduler *scheduler_new_manual(void)
{
	struct scheduler *s = mem_alloc(sizeof(*s));
	pthread_condattr_t monotonic;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&s->fired, NULL);
	resize(s, HEAP_LEAST);
	return s;
}

struct scheduler *scheduler_new(void)
{
	struct scheduler *s = scheduler_new_manual();
	int error = pthread_create(&s->thread, NULL, run, s);

	if (error != 0) {
		log_event(LOG_ERROR, "thread.refused", F_STR("name", "scheduler"),
			F_STR("cause", strerror(error)));
		abort();
	}
	s->has_thread = true;
	return s;
}

int64_t scheduler_run_due(struct scheduler *s)
{
	int64_t wait_ms = -1;

	pthread_mutex_lock(&s->lock);
	while (s->count > 0 && s->heap[1]->due_ms <= clock_mono_ms())
		fire_first(s);
	if (s->count > 0)
		wait_ms = s->heap[1]->due_ms - clock_mono_ms();
	pthread_mutex_unlock(&s->lock);
	return wait_ms;
}

void scheduler_arm(struct scheduler *s, struct timer *t, int64_t due_mono_ms)
{
	pthread_mutex_lock(&s->lock);
	t->due_ms = due_mono_ms;
	if (t->slot != 0)
		settle(s, t->slot, t);
	else
		insert(s, t);
	if (t->slot == 1)
		pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

bool scheduler_disarm(struct scheduler *s, struct timer *t)
{
	bool was_armed;

	pthread_mutex_lock(&s->lock);
	was_armed = t->slot != 0;
	if (was_armed)
		take_out(s, t);
	while (s->firing == t)
		pthread_cond_wait(&s->fired, &s->lock);
	if (t->slot != 0) { /* fire() armed it again meanwhile */
		take_out(s, t);
		was_armed = true;
	}
	pthread_mutex_unlock(&s->lock);
	return was_armed;
}

void scheduler_halt(struct scheduler *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (s->has_thread)
		pthread_join(s->thread, NULL);
	s->has_thread = false;
}

void scheduler_stop(struct scheduler *s)
{
	if (s == NULL)
		return;
	scheduler_halt(s);
	pthread_cond_destroy(&s->changed);
	pthread_cond_destroy(&s->fired);
	pthread_mutex_destroy(&s->lock);
	mem_free(s->heap);
	mem_free(s);
}
