/* SPDX-License-Identifier: Apache-2.0 */
/* The shared budget: its rows, as several processes see them, and the queue in front of it. */
#include "world.h"

#include <stdio.h>

#include "base/text.h"
#include "review_fetcher/engine.h"

#define MINUTE_MS 60000

/* ---- the rows ---- */

static struct budget_ask settled(struct budget_ask ask)
{
	struct fault f = {0};

	ask.project = "123456";
	ask.api = "reviews";
	if (!ask.paces.work.interval_us)
		ask.paces = budget_paces(300);
	if (store_transact(world.store, budget_settle, &ask, &f) < 0)
		fail_msg("%s", f.text);
	return ask;
}

static void pass_ms(int64_t ms)
{
	world.wall_ms += ms;
	world.mono_ms += ms;
}

/* Three processes that always want more than there is. */
static void processes_share_one_calendar(void **state)
{
	enum { PROCESSES = 3, MINUTES = 4, MOST = 300 * MINUTES };
	struct net_share shares[PROCESSES] = {{0}};
	static int64_t starts_ms[MOST + 1];
	int got[PROCESSES] = {0}, n = 0;
	int64_t ends_ms = world.wall_ms + MINUTES * MINUTE_MS;

	(void)state;
	for (; world.wall_ms < ends_ms; pass_ms(10)) {
		for (int p = 0; p < PROCESSES; p++) {
			if (shares[p].n == 0) {
				struct budget_ask a = settled((struct budget_ask){.n_work = 1 + p});

				shares[p] = (struct net_share){
					a.work_first_us, a.paces.work.interval_us, 1 + p};
			}
			if (net_share_take(&shares[p], world.wall_ms * 1000) != 0)
				continue;
			assert_true(n < MOST);
			starts_ms[n++] = world.wall_ms;
			got[p]++;
		}
	}
	/* Nine tenths of the quota: the rest is the reserve. Nothing of it is lost. */
	assert_true(n >= 264 * MINUTES && n <= 270 * MINUTES);
	for (int i = 270; i < n; i++)
		assert_true(starts_ms[i] - starts_ms[i - 270] >= MINUTE_MS);
	for (int i = 1; i < n; i++) /* no bursts */
		assert_true(starts_ms[i] - starts_ms[i - 1] >= 200);
	for (int p = 0; p < PROCESSES; p++)
		assert_true(got[p] >= n / 10);
}

static void a_429_in_one_process_pauses_all(void **state)
{
	struct budget_ask a = settled((struct budget_ask){.n_work = 1});

	(void)state;
	assert_false(a.paused);
	a = settled((struct budget_ask){.pause_us = 30000000});
	assert_true(a.paused && a.throttles == 1);
	pass_ms(100); /* another one, which was under way meanwhile */
	a = settled((struct budget_ask){.pause_us = 10000000});
	assert_true(a.throttles == 1);
	pass_ms(29800);
	a = settled((struct budget_ask){.n_work = 1, .n_reserve = 1});
	assert_true(a.paused);
	assert_int_equal(a.paused_until_us - a.now_us, 100000);
	pass_ms(100);
	a = settled((struct budget_ask){.n_work = 5, .n_reserve = 1});
	assert_false(a.paused);
	assert_true(a.work_first_us >= a.now_us && a.work_first_us <= a.now_us + 300000);
	/* nor does the reserve burst out behind it */
	a = settled((struct budget_ask){.n_reserve = 1});
	assert_true(a.reserve_first_us >= a.now_us + a.paces.reserve.interval_us - 1);
	a = settled((struct budget_ask){.answered = true});
	assert_int_equal(world_number("SELECT throttles FROM api_budgets"), 0);
	assert_true(world_number("SELECT answered_at_ms FROM api_budgets") == world.wall_ms);
}

static void a_diagnosis_stays_until_google_answers(void **state)
{
	(void)state;
	settled((struct budget_ask){.diagnosis = "not approved: ask for access"});
	settled((struct budget_ask){.n_work = 1});
	assert_string_equal(
		world_text("SELECT diagnosis FROM api_budgets"), "not approved: ask for access");
	settled((struct budget_ask){.answered = true});
	assert_int_equal(world_number("SELECT count(diagnosis) FROM api_budgets"), 0);
}

static void a_database_clock_that_is_set_back_stalls_nobody(void **state)
{
	struct budget_ask a = settled((struct budget_ask){.n_work = 3, .n_reserve = 1});

	(void)state;
	world.wall_ms -= 3600000;
	a = settled((struct budget_ask){.n_work = 1, .n_reserve = 1});
	assert_int_equal(a.work_first_us, a.now_us);
	assert_true(a.reserve_first_us <= a.now_us + a.paces.reserve.interval_us);
}

static void a_profile_takes_ten_edits_a_minute(void **state)
{
	int64_t at_ms[64], wait_ms;
	struct fault f = {0};
	struct db *db;
	int n = 0;

	(void)state;
	assert_int_equal(store_take(world.store, &db, &f), 0);
	for (int64_t ends_ms = world.wall_ms + 5 * MINUTE_MS; world.wall_ms < ends_ms;
		pass_ms(wait_ms ? wait_ms : 10)) {
		assert_int_equal(budget_take_edit(db, "l1", &wait_ms, &f), 0);
		if (wait_ms == 0)
			at_ms[n++] = world.wall_ms;
		assert_true(n < 64);
	}
	assert_true(n >= 30); /* five at once, then six a minute */
	assert_true(at_ms[4] - at_ms[0] < 1000);
	for (int i = 10; i < n; i++)
		assert_true(at_ms[i] - at_ms[i - 10] >= MINUTE_MS);
	assert_int_equal(budget_take_edit(db, "l1", &wait_ms, &f), 0);
	assert_int_equal(budget_take_edit(db, "l2", &wait_ms, &f), 0);
	assert_int_equal(wait_ms, 0); /* another profile is another's business */
	store_give(world.store, db);
}

/* ---- the queue ---- */

static void start_own(const char *token, char id[static 37])
{
	struct job_input in = {.access_token = secret_from(token, strlen(token)), .mode = "full"};
	struct fault f = {0};

	assert_int_equal(jobs_start(world.rf, &in, id, &f), 0);
}

static bool has_ended(const char *id)
{
	char sql[160];

	snprintf(sql, sizeof(sql), "SELECT finished_at_ms FROM jobs WHERE id = '%s'", id);
	return world_number(sql) != 0;
}

/* Both jobs walk the same places; the small one has three, the large one five thousand. */
static void a_branch_with_five_thousand_locations_does_not_starve_one_with_three(void **state)
{
	int calls_large = 0, calls_small = 0, run_large = 0, seen = 0;
	char large[37], small[37];

	(void)state;
	world.accounts = 1;
	world.locations = 5000;
	world.reviews = 1;
	start_own("own-large", large);
	while (world.calls[2] < 40) /* it is well under way */
		assert_true(world_step());
	world.locations = 3;
	start_own("own-small", small);
	seen = world.calls_all;
	for (int i = 0; i < 100000 && !has_ended(small); i++) {
		assert_true(world_step());
		if (world.calls_all == seen)
			continue;
		seen = world.calls_all;
		if (text_equal(world.last_token, "own-small")) {
			calls_small++;
			run_large = 0;
		} else {
			calls_large++;
			/* four were under way when it came; from then on it is every second's turn,
			 * but while it has nothing to ask */
			assert_true(++run_large <= 8);
		}
	}
	assert_int_equal(calls_small, 1 + 1 + 3);
	assert_true(calls_large <= 20);
	assert_false(has_ended(large));
}

static void jobs_that_wait_for_quota_hold_no_place_of_others(void **state)
{
	char waiting[JOBS_AT_ONCE + 6][37], other[37];
	struct fault f = {0};
	struct job_input in = {.branch_id = "harbour", .mode = "full", .actor = "test"};

	(void)state;
	world.accounts = world.locations = world.reviews = 1;
	world.rules[0] = (struct rule){
		.match = "/v1/accounts?", .count = 1, .status = 429, .retry_after_ms = 300000};
	for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
		start_own("own-token", waiting[i]);
	while (world.calls_all < 1)
		assert_true(world_step());
	/* All of them wait for the project of their tokens. This one is of another. */
	assert_int_equal(jobs_start(world.rf, &in, other, &f), 0);
	assert_string_equal(world_run(other), "completed");
	assert_true(world.mono_ms < 60000);
	assert_int_equal(world_number("SELECT count(*) FROM jobs WHERE status = 'waiting'"),
		(int)ARRAY_LEN(waiting));
	assert_true(
		world_number("SELECT min(waiting_until_ms) FROM jobs WHERE status = 'waiting'") >
		world.wall_ms + 200000);
	for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
		assert_string_equal(world_run(waiting[i]), "completed");
}

struct person {
	struct seat seat;
	struct task task;
	int64_t came_ms;
};

static void note_time(struct task *task)
{
	CONTAINER_OF(task, struct person, task)->came_ms = world.mono_ms;
}

/* With a long queue of work and none of the starts left that were taken for it. */
static void a_person_goes_ahead_of_work_and_has_a_reserve(void **state)
{
	struct person people[12] = {0};
	char ids[40][37];
	struct gate *g;
	int64_t since_ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		start_own("own-token", ids[i]);
	for (int i = 0; i < 200; i++)
		assert_true(world_step());
	since_ms = world.mono_ms;
	pthread_mutex_lock(&world.rf->lock);
	g = gate_ref(world.rf, GOOGLE_ACCOUNTS, "");
	assert_true(g->n_waiting > 20);
	for (size_t i = 0; i < ARRAY_LEN(people); i++) {
		people[i].task.run = note_time;
		gate_join_ahead(g, &people[i].seat, &people[i].task, since_ms);
	}
	assert_true(gate_leave(g, &people[11].seat));
	pthread_mutex_unlock(&world.rf->lock);
	while (!people[10].came_ms)
		assert_true(world_step());
	/* The reserve lets five go at once; the others take the next starts of the work. */
	assert_true(people[3].came_ms - since_ms <= 300);
	assert_true(people[10].came_ms - since_ms <= 7 * 230);
	assert_int_equal(people[11].came_ms, 0);
	pthread_mutex_lock(&world.rf->lock);
	gate_unref(g);
	pthread_mutex_unlock(&world.rf->lock);
}

static void what_the_project_lacks_is_kept_in_the_rows_until_google_answers(void **state)
{
	(void)state;
	world.rules[0] = (struct rule){.match = "/v4/",
		.count = 1,
		.status = 403,
		.retry_after_ms = -1,
		.body = "{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\",\"message\":"
			"\"x\",\"details\":[{\"reason\":\"SERVICE_DISABLED\"}]}}"};
	assert_string_equal(world_run(world_job()), "failed");
	while (!world_number("SELECT count(diagnosis) FROM api_budgets"))
		assert_true(world_step());
	assert_non_null(strstr(
		world_text("SELECT diagnosis FROM api_budgets WHERE project = '123456'"
			   " AND api = 'reviews'"),
		"not approved for the Google My Business API (v4): enable it, or ask Google"));
	assert_string_equal(world_run(world_job()), "completed");
	for (int i = 0; i < 50; i++)
		(void)world_step();
	assert_int_equal(world_number("SELECT count(diagnosis) FROM api_budgets"), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(processes_share_one_calendar),
		T(a_429_in_one_process_pauses_all),
		T(a_diagnosis_stays_until_google_answers),
		T(a_database_clock_that_is_set_back_stalls_nobody),
		T(a_profile_takes_ten_edits_a_minute),
		T(a_branch_with_five_thousand_locations_does_not_starve_one_with_three),
		T(jobs_that_wait_for_quota_hold_no_place_of_others),
		T(a_person_goes_ahead_of_work_and_has_a_reserve),
		T(what_the_project_lacks_is_kept_in_the_rows_until_google_answers),
	};

	return cmocka_run_group_tests_name("review_fetcher/budget", tests, NULL, NULL);
}
