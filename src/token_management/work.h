/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that outlives the call that began it: a refresh, a code exchange. It moves between the pool,
 * the net thread and the scheduler, one step at a time, and is on a list from work_begin to
 * work_end, so that a stop can wait for it. Whoever runs a step owns the work until it hands it on.
 */
#ifndef TOKEN_MANAGEMENT_WORK_H
#define TOKEN_MANAGEMENT_WORK_H

#include <pthread.h>

#include "base/attr.h"
#include "core/pool.h"
#include "core/scheduler.h"
#include "store/store.h"

struct token_management;

struct work {
	struct task task;
	struct timer timer;
	struct token_management *tm;
	struct work *prev, *next;
	bool waits;             /* its timer is armed */
	_Atomic bool is_behind; /* nobody waits for it: others go first */
	void (*step)(struct work *w);
	/* work_transact; outcome and fault are for the next step */
	store_body_fn *body;
	void *body_arg;
	struct work *next_commit;
	int outcome;
	struct fault fault;
};

/* Those who wait to be committed. */
struct commit_queue {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct work *first, **last;
	bool is_running;
};
void commit_queue_init(struct commit_queue *q);
void commit_queue_done(struct commit_queue *q);

struct work_list {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct work *first;
	unsigned n_sending; /* between work_send_begin and work_send_end */
	bool stopping;
};

void work_list_init(struct work_list *l);
void work_list_done(struct work_list *l);

void work_begin(struct token_management *tm, struct work *w);
/* False: stopping, it did not begin. */
bool work_begin_unless_stopping(struct token_management *tm, struct work *w);
/* Off the list; the caller frees it and does not touch tm any more, which may be gone. */
void work_end(struct work *w);
/* Next step on a worker, now or after a delay (at once when stopping). Any thread. */
void work_submit(struct work *w, void (*step)(struct work *w));
void work_later(struct work *w, int64_t delay_ms, void (*step)(struct work *w));

/*
 * Group commit: body runs in a transaction that it may share with those of others, then the next
 * step runs, with what body answered in outcome, or -1 and fault. When it runs, what body wrote is
 * durable. Body may run more than once, on another thread. Worker.
 */
void work_transact(struct work *w, store_body_fn *body, void *arg, void (*step)(struct work *w));

/* False: stopping, nothing may be sent. True: call work_send_end right after net_send. */
bool work_send_begin(struct token_management *tm);
void work_send_end(struct token_management *tm);
bool work_is_stopping(struct token_management *tm);

#endif
