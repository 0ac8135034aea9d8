/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/scheduler.h"

static int64_t now_ms;

static int64_t fake_ms(void *arg)
{
	(void)arg;
	return now_ms;
}

static void fake_sleep(void *arg, int64_t ms)
{
	(void)arg;
	now_ms += ms;
}

static const struct clock_source fake_clock = {fake_ms, fake_ms, fake_sleep, NULL};

static int start(void **state)
{
	now_ms = 1000;
	clock_use(&fake_clock);
	*state = scheduler_new_manual();
	return 0;
}

static int stop(void **state)
{
	scheduler_stop(*state);
	clock_use(NULL);
	return 0;
}

struct mark {
	struct timer timer;
	struct scheduler *scheduler;
	int number;
	int64_t again_ms; /* armed again for that time when it fires; 0: not */
};

static int fired[64];
static size_t n_fired;

static void note(struct timer *t)
{
	struct mark *m = CONTAINER_OF(t, struct mark, timer);

	fired[n_fired++ % ARRAY_LEN(fired)] = m->number;
	if (m->again_ms != 0)
		scheduler_arm(m->scheduler, t, m->again_ms);
	m->again_ms = 0;
}

static void timers_fire_by_due_time_and_not_before(void **state)
{
	static const int64_t due[] = {1500, 1100, 1300, 1200, 1400};
	struct mark marks[ARRAY_LEN(due)] = {0};

	n_fired = 0;
	for (size_t i = 0; i < ARRAY_LEN(due); i++) {
		marks[i].timer.fire = note;
		marks[i].number = (int)due[i];
		scheduler_arm(*state, &marks[i].timer, due[i]);
	}
	assert_int_equal(scheduler_run_due(*state), 100);
	assert_int_equal(n_fired, 0);
	now_ms = 1300;
	assert_int_equal(scheduler_run_due(*state), 100);
	assert_int_equal(n_fired, 3);
	now_ms = 5000;
	assert_int_equal(scheduler_run_due(*state), -1);
	assert_int_equal(n_fired, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(fired[i], 1100 + 100 * i);
}

static void arming_an_armed_timer_moves_it_both_ways(void **state)
{
	struct mark a = {.timer.fire = note, .number = 1};
	struct mark b = {.timer.fire = note, .number = 2};

	n_fired = 0;
	scheduler_arm(*state, &a.timer, 2000);
	scheduler_arm(*state, &b.timer, 3000);
	scheduler_arm(*state, &a.timer, 4000);
	scheduler_arm(*state, &b.timer, 1500);
	now_ms = 3500;
	assert_int_equal(scheduler_run_due(*state), 500);
	assert_int_equal(n_fired, 1);
	assert_int_equal(fired[0], 2);
	now_ms = 4000;
	assert_int_equal(scheduler_run_due(*state), -1);
	assert_int_equal(fired[1], 1);
}

static void a_disarmed_timer_never_fires_and_says_whether_it_was_armed(void **state)
{
	struct mark a = {.timer.fire = note};

	n_fired = 0;
	assert_false(scheduler_disarm(*state, &a.timer));
	scheduler_arm(*state, &a.timer, 1500);
	assert_true(scheduler_disarm(*state, &a.timer));
	assert_false(scheduler_disarm(*state, &a.timer));
	now_ms = 2000;
	assert_int_equal(scheduler_run_due(*state), -1);
	scheduler_arm(*state, &a.timer, 2000);
	assert_int_equal(scheduler_run_due(*state), -1);
	assert_int_equal(n_fired, 1);
	assert_false(scheduler_disarm(*state, &a.timer));
}

static void a_timer_may_be_armed_again_while_it_fires(void **state)
{
	struct mark a = {.timer.fire = note, .scheduler = *state, .again_ms = 1700};

	n_fired = 0;
	scheduler_arm(*state, &a.timer, 1500);
	now_ms = 1500;
	assert_int_equal(scheduler_run_due(*state), 200);
	now_ms = 1700;
	assert_int_equal(scheduler_run_due(*state), -1);
	assert_int_equal(n_fired, 2);
}

static int64_t last_due;
static size_t n_late;

static void check_order(struct timer *t)
{
	assert_true(t->due_ms >= last_due);
	last_due = t->due_ms;
	n_late++;
}

static void a_million_timers_are_armed_moved_disarmed_and_fired_in_order(void **state)
{
	const size_t n = 1000000;
	struct timer *timers = mem_alloc_array(n, sizeof(*timers));
	uint64_t seed = 1;

	last_due = 0;
	n_late = 0;
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < n; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			timers[i].fire = check_order;
			scheduler_arm(*state, &timers[i], 2000 + (int64_t)(seed >> 44));
		}
	}
	for (size_t i = 0; i < n; i += 4)
		assert_true(scheduler_disarm(*state, &timers[i]));
	now_ms = 2000 + (1 << 20);
	assert_int_equal(scheduler_run_due(*state), -1);
	assert_int_equal(n_late, n - n / 4);
	mem_free(timers);
}

/* ---- the thread, on the system's clock ---- */

struct gate {
	struct timer timer;
	sem_t entered, leave;
	atomic_bool left;
};

static void enter(struct timer *t)
{
	struct gate *g = CONTAINER_OF(t, struct gate, timer);

	sem_post(&g->entered);
	sem_wait(&g->leave);
	atomic_store(&g->left, true);
}

static void *open_gate(void *arg)
{
	sem_post(&((struct gate *)arg)->leave);
	return NULL;
}

static void disarming_waits_for_a_timer_that_is_firing(void **state)
{
	struct scheduler *s = scheduler_new();
	struct gate g = {.timer.fire = enter};
	pthread_t opener;

	(void)state;
	sem_init(&g.entered, 0, 0);
	sem_init(&g.leave, 0, 0);
	scheduler_arm(s, &g.timer, clock_mono_ms());
	sem_wait(&g.entered);
	pthread_create(&opener, NULL, open_gate, &g);
	assert_false(scheduler_disarm(s, &g.timer));
	assert_true(atomic_load(&g.left));
	pthread_join(opener, NULL);
	scheduler_stop(s);
	sem_destroy(&g.entered);
	sem_destroy(&g.leave);
}

static void the_thread_wakes_for_a_timer_armed_before_the_one_it_waits_for(void **state)
{
	struct scheduler *s = scheduler_new();
	struct gate far = {.timer.fire = enter};
	struct gate near = {.timer.fire = enter};

	(void)state;
	sem_init(&near.entered, 0, 0);
	sem_init(&near.leave, 0, 1);
	scheduler_arm(s, &far.timer, clock_mono_ms() + 3600000);
	scheduler_arm(s, &near.timer, clock_mono_ms() + 5);
	sem_wait(&near.entered);
	assert_true(scheduler_disarm(s, &far.timer));
	scheduler_disarm(s, &near.timer);
	scheduler_stop(s);
	sem_destroy(&near.entered);
	sem_destroy(&near.leave);
}

static void stopping_leaves_armed_timers_unfired(void **state)
{
	struct scheduler *s = scheduler_new();
	struct mark a = {.timer.fire = note};

	(void)state;
	n_fired = 0;
	scheduler_arm(s, &a.timer, clock_mono_ms() + 3600000);
	scheduler_stop(s);
	assert_int_equal(n_fired, 0);
	scheduler_stop(NULL);
}

static void a_halted_scheduler_takes_timers_and_fires_none(void **state)
{
	struct scheduler *s = scheduler_new();
	struct mark a = {.timer.fire = note};

	(void)state;
	n_fired = 0;
	scheduler_halt(s);
	scheduler_arm(s, &a.timer, clock_mono_ms() - 1);
	assert_true(scheduler_disarm(s, &a.timer));
	scheduler_arm(s, &a.timer, clock_mono_ms() - 1);
	scheduler_halt(s);
	scheduler_stop(s);
	assert_int_equal(n_fired, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			timers_fire_by_due_time_and_not_before, start, stop),
		cmocka_unit_test_setup_teardown(
			arming_an_armed_timer_moves_it_both_ways, start, stop),
		cmocka_unit_test_setup_teardown(
			a_disarmed_timer_never_fires_and_says_whether_it_was_armed, start, stop),
		cmocka_unit_test_setup_teardown(
			a_timer_may_be_armed_again_while_it_fires, start, stop),
		cmocka_unit_test_setup_teardown(
			a_million_timers_are_armed_moved_disarmed_and_fired_in_order, start, stop),
		cmocka_unit_test(disarming_waits_for_a_timer_that_is_firing),
		cmocka_unit_test(the_thread_wakes_for_a_timer_armed_before_the_one_it_waits_for),
		cmocka_unit_test(stopping_leaves_armed_timers_unfired),
		cmocka_unit_test(a_halted_scheduler_takes_timers_and_fires_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
