/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work; /* a task came, or the last one ended while stopping */
	struct lane {
		struct task *head, **tail;
	} front, behind;
	size_t depth;
	unsigned running; /* workers inside a task: these may still submit */
	bool stopping;
	char name[16]; /* what the kernel allows */
	unsigned n_threads;
	pthread_t threads[];
};

/* With the lock held. NULL: stopping, the queue is dry and nobody is left who could fill it. */
static struct task *wait_for_task(struct pool *p)
{
	struct lane *lane;
	struct task *t;

	while (p->depth == 0 && !(p->stopping && p->running == 0))
		pthread_cond_wait(&p->work, &p->lock);
	lane = p->front.head != NULL ? &p->front : &p->behind;
	t = lane->head;
	if (t == NULL)
		return NULL;
	lane->head = t->next;
	if (lane->head == NULL)
		lane->tail = &lane->head;
	t->next = NULL;
	p->depth--;
	return t;
}

static void *work(void *arg)
{
	struct pool *p = arg;
	struct task *t;

	pthread_setname_np(pthread_self(), p->name);
	pthread_mutex_lock(&p->lock);
	while ((t = wait_for_task(p)) != NULL) {
		p->running++;
		pthread_mutex_unlock(&p->lock);
		t->run(t); /* t may be gone from here on */
		pthread_mutex_lock(&p->lock);
		p->running--;
		if (p->stopping && p->running == 0 && p->depth == 0)
			pthread_cond_broadcast(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pool *pool_new(const char *name, unsigned threads)
{
	struct pool *p = mem_alloc(sizeof(*p) + threads * sizeof(pthread_t));

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	p->front.tail = &p->front.head;
	p->behind.tail = &p->behind.head;
	snprintf(p->name, sizeof(p->name), "%s", name);
	for (unsigned i = 0; i < threads; i++) {
		int error = pthread_create(&p->threads[i], NULL, work, p);

		if (error != 0) {
			log_event(LOG_ERROR, "thread.refused", F_STR("name", name),
				F_STR("cause", strerror(error)));
			abort();
		}
		p->n_threads++;
	}
	return p;
}

static void submit(struct pool *p, struct lane *lane, struct task *task)
{
	task->next = NULL;
	pthread_mutex_lock(&p->lock);
	*lane->tail = task;
	lane->tail = &task->next;
	p->depth++;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void pool_submit(struct pool *p, struct task *task)
{
	submit(p, &p->front, task);
}

void pool_submit_behind(struct pool *p, struct task *task)
{
	submit(p, &p->behind, task);
}

size_t pool_depth(struct pool *p)
{
	size_t depth;

	pthread_mutex_lock(&p->lock);
	depth = p->depth;
	pthread_mutex_unlock(&p->lock);
	return depth;
}

void pool_stop(struct pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	mem_free(p);
}
