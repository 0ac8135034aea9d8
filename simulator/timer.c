/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/timer.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

struct wait {
	int64_t due_ms;
	void (*done)(void *arg);
	void *arg;
};

struct timer {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	struct wait *heap; /* the earliest first */
	size_t n, cap;
	bool is_stopping;
};

static void swap(struct wait *a, struct wait *b)
{
	struct wait c = *a;

	*a = *b;
	*b = c;
}

static void push(struct timer *t, struct wait w)
{
	size_t at = t->n++;

	if (t->n > t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->heap = mem_resize(t->heap, t->cap * sizeof(*t->heap));
	}
	t->heap[at] = w;
	for (; at > 0 && t->heap[at].due_ms < t->heap[(at - 1) / 2].due_ms; at = (at - 1) / 2)
		swap(&t->heap[at], &t->heap[(at - 1) / 2]);
}

static struct wait pop(struct timer *t)
{
	struct wait first = t->heap[0];
	size_t at = 0, child;

	t->heap[0] = t->heap[--t->n];
	while ((child = 2 * at + 1) < t->n) {
		if (child + 1 < t->n && t->heap[child + 1].due_ms < t->heap[child].due_ms)
			child++;
		if (t->heap[at].due_ms <= t->heap[child].due_ms)
			break;
		swap(&t->heap[at], &t->heap[child]);
		at = child;
	}
	return first;
}

static void wait_for_first(struct timer *t)
{
	struct timespec until;

	if (!t->n) {
		pthread_cond_wait(&t->changed, &t->lock);
		return;
	}
	until = (struct timespec){
		.tv_sec = t->heap[0].due_ms / 1000, .tv_nsec = t->heap[0].due_ms % 1000 * 1000000};
	pthread_cond_timedwait(&t->changed, &t->lock, &until);
}

static void *run(void *arg)
{
	struct timer *t = arg;
	struct wait w;

	pthread_mutex_lock(&t->lock);
	while (t->n || !t->is_stopping) {
		if (!t->n || (!t->is_stopping && t->heap[0].due_ms > clock_mono_ms())) {
			wait_for_first(t);
			continue;
		}
		w = pop(t);
		pthread_mutex_unlock(&t->lock);
		w.done(w.arg);
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

struct timer *timer_start(void)
{
	struct timer *t = mem_alloc(sizeof(*t));
	pthread_condattr_t attributes;

	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (pthread_create(&t->thread, NULL, run, t) != 0) {
		timer_free(t);
		return NULL;
	}
	return t;
}

bool timer_add(struct timer *t, int64_t delay_ms, void (*done)(void *arg), void *arg)
{
	bool is_taken;

	pthread_mutex_lock(&t->lock);
	is_taken = !t->is_stopping;
	if (is_taken) {
		push(t, (struct wait){clock_mono_ms() + delay_ms, done, arg});
		pthread_cond_signal(&t->changed);
	}
	pthread_mutex_unlock(&t->lock);
	return is_taken;
}

void timer_stop(struct timer *t)
{
	pthread_mutex_lock(&t->lock);
	t->is_stopping = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
}

void timer_free(struct timer *t)
{
	if (!t)
		return;
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	mem_free(t->heap);
	mem_free(t);
}
