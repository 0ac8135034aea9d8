/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "core/pool.h"

struct job {
	struct task task;
	struct pool *pool;
	int children;
};

static atomic_int ran;

static void count_and_free(struct task *task)
{
	atomic_fetch_add(&ran, 1);
	mem_free(CONTAINER_OF(task, struct job, task));
}

static struct job *job_new(struct pool *p, void (*run)(struct task *task))
{
	struct job *j = mem_alloc(sizeof(*j));

	j->task.run = run;
	j->pool = p;
	return j;
}

static void every_task_runs_once_and_may_free_itself(void **state)
{
	struct pool *p = pool_new("test", 4);

	(void)state;
	atomic_store(&ran, 0);
	for (int i = 0; i < 20000; i++)
		pool_submit(p, &job_new(p, count_and_free)->task);
	pool_stop(p);
	assert_int_equal(atomic_load(&ran), 20000);
}

/* A chain: each task submits the next, also while the pool is stopping. */
static void submit_next(struct task *task)
{
	struct job *j = CONTAINER_OF(task, struct job, task);

	atomic_fetch_add(&ran, 1);
	if (j->children-- > 0)
		pool_submit(j->pool, task);
	else
		mem_free(j);
}

static void stopping_drains_what_tasks_submit_meanwhile(void **state)
{
	struct pool *p = pool_new("test", 3);

	(void)state;
	atomic_store(&ran, 0);
	for (int i = 0; i < 10; i++) {
		struct job *j = job_new(p, submit_next);

		j->children = 500;
		pool_submit(p, &j->task);
	}
	pool_stop(p);
	assert_int_equal(atomic_load(&ran), 10 * 501);
}

static sem_t entered, leave;
static char name_inside[16];

static void hold(struct task *task)
{
	(void)task;
	pthread_getname_np(pthread_self(), name_inside, sizeof(name_inside));
	sem_post(&entered);
	sem_wait(&leave);
}

static void depth_counts_what_waits_and_threads_bear_the_pools_name(void **state)
{
	struct pool *p = pool_new("a-name-longer-than-the-kernel-takes", 1);
	struct task first = {.run = hold};
	struct job *second = job_new(p, count_and_free);

	(void)state;
	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
	assert_int_equal(pool_depth(p), 0);
	pool_submit(p, &first);
	sem_wait(&entered);
	pool_submit(p, &second->task);
	assert_int_equal(pool_depth(p), 1);
	assert_string_equal(name_inside, "a-name-longer-t");
	sem_post(&leave);
	pool_stop(p);
	sem_destroy(&entered);
	sem_destroy(&leave);
}

static int order[100];

static void note_order(struct task *task)
{
	struct job *j = CONTAINER_OF(task, struct job, task);

	order[atomic_fetch_add(&ran, 1)] = j->children;
	mem_free(j);
}

static void one_worker_runs_tasks_in_the_order_they_came(void **state)
{
	struct pool *p = pool_new("test", 1);

	(void)state;
	atomic_store(&ran, 0);
	for (int i = 0; i < 100; i++) {
		struct job *j = job_new(p, note_order);

		j->children = i;
		pool_submit(p, &j->task);
	}
	pool_stop(p);
	for (int i = 0; i < 100; i++)
		assert_int_equal(order[i], i);
}

static void what_nobody_waits_for_runs_behind_everything_else(void **state)
{
	struct pool *p = pool_new("test", 1);
	struct task holding = {.run = hold};

	(void)state;
	atomic_store(&ran, 0);
	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
	pool_submit(p, &holding);
	sem_wait(&entered);
	for (int i = 0; i < 20; i++) {
		struct job *j = job_new(p, note_order);

		j->children = i;
		if (i < 10)
			pool_submit_behind(p, &j->task);
		else
			pool_submit(p, &j->task);
	}
	assert_int_equal(pool_depth(p), 20);
	sem_post(&leave);
	pool_stop(p);
	for (int i = 0; i < 20; i++)
		assert_int_equal(order[i], (i + 10) % 20);
	sem_destroy(&entered);
	sem_destroy(&leave);
}

static void an_idle_pool_stops_and_no_pool_is_fine(void **state)
{
	(void)state;
	pool_stop(pool_new("test", 8));
	pool_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_task_runs_once_and_may_free_itself),
		cmocka_unit_test(stopping_drains_what_tasks_submit_meanwhile),
		cmocka_unit_test(depth_counts_what_waits_and_threads_bear_the_pools_name),
		cmocka_unit_test(one_worker_runs_tasks_in_the_order_they_came),
		cmocka_unit_test(what_nobody_waits_for_runs_behind_everything_else),
		cmocka_unit_test(an_idle_pool_stops_and_no_pool_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
