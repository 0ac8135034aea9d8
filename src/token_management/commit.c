/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit. A commit waits for the disk, and one wait is enough for all that is written before
 * it. The first who comes writes; whoever comes while it waits is written together next. Each goes
 * on only when its own transaction is durable, so nothing that a refresh promises is weaker.
 */
#include "base/mem.h"
#include "token_management/internal.h"
#include "token_management/work.h"

#define BATCH_MOST 256

void commit_queue_init(struct commit_queue *q)
{
	*q = (struct commit_queue){0};
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->idle, NULL);
	q->last = &q->first;
}

void commit_queue_done(struct commit_queue *q)
{
	/* All work has ended, but whoever committed it may still be on the way out. */
	pthread_mutex_lock(&q->lock);
	while (q->is_running)
		pthread_cond_wait(&q->idle, &q->lock);
	pthread_mutex_unlock(&q->lock);
	pthread_cond_destroy(&q->idle);
	pthread_mutex_destroy(&q->lock);
}

struct batch {
	struct work *list[BATCH_MOST];
	size_t n;
	bool body_failed;
};

static int batch_body(struct db *db, void *arg, struct fault *f)
{
	struct batch *b = arg;

	b->body_failed = false;
	for (size_t i = 0; i < b->n; i++) {
		struct work *w = b->list[i];

		w->outcome = w->body(db, w->body_arg, f);
		if (w->outcome < 0) {
			b->body_failed = true;
			return -1;
		}
	}
	return 0;
}

static void commit_alone(struct token_management *tm, struct work *w)
{
	w->outcome = store_transact(tm->store, w->body, w->body_arg, &w->fault);
}

/* A database that is away fails all; a statement fails for one, and the others do without it. */
static void commit(struct token_management *tm, struct batch *b)
{
	struct fault f = {0};

	if (b->n == 1) {
		commit_alone(tm, b->list[0]);
		return;
	}
	if (store_transact(tm->store, batch_body, b, &f) >= 0)
		return;
	for (size_t i = 0; i < b->n; i++) {
		if (b->body_failed) {
			commit_alone(tm, b->list[i]);
			continue;
		}
		b->list[i]->outcome = -1;
		b->list[i]->fault = f;
	}
}

/* False: there is nobody, and the next who comes writes. */
static bool take_batch(struct commit_queue *q, struct batch *ret)
{
	*ret = (struct batch){0};
	pthread_mutex_lock(&q->lock);
	while (q->first != NULL && ret->n < BATCH_MOST) {
		ret->list[ret->n++] = q->first;
		q->first = q->first->next_commit;
	}
	if (q->first == NULL)
		q->last = &q->first;
	q->is_running = ret->n > 0;
	if (!q->is_running)
		pthread_cond_broadcast(&q->idle);
	pthread_mutex_unlock(&q->lock);
	return ret->n > 0;
}

void work_transact(struct work *w, store_body_fn *body, void *arg, void (*step)(struct work *w))
{
	struct token_management *tm = w->tm;
	struct commit_queue *q = &tm->commits;
	struct batch b;
	bool is_running;

	w->body = body;
	w->body_arg = arg;
	w->step = step;
	w->next_commit = NULL;
	w->fault = (struct fault){0};
	pthread_mutex_lock(&q->lock);
	*q->last = w;
	q->last = &w->next_commit;
	is_running = q->is_running;
	q->is_running = true;
	pthread_mutex_unlock(&q->lock);
	if (is_running)
		return;
	while (take_batch(q, &b)) {
		commit(tm, &b);
		for (size_t i = 0; i < b.n; i++)
			work_submit(b.list[i], b.list[i]->step);
	}
}
