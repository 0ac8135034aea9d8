/* SPDX-License-Identifier: Apache-2.0 */
/* More jobs than a process has room for, each longer than anybody wants to wait. */
#include "world.h"

#include <stdio.h>

#include "base/text.h"
#include "review_fetcher/engine.h"

#define MANY (JOBS_HELD_MOST + 40)

static char ids[MANY][37];

/* Each has a line of its own at the gates, like a branch. */
static void start_many(int n)
{
	for (int i = 0; i < n; i++) {
		struct job_input in = {.access_token = secret_from("own-token", 9), .mode = "full"};
		struct fault f = {0};

		assert_int_equal(jobs_start(world.rf, &in, ids[i], &f), 0);
	}
}

static void run_until(const char *sql, int64_t at_least)
{
	for (int i = 0; world_number(sql) < at_least; i++) {
		assert_true(i < 20000);
		for (int steps = 0; steps < 50; steps++)
			assert_true(world_step());
	}
}

/* The 513th and those behind it are not left waiting until one of 512 ends. */
static void any_number_of_long_jobs_moves_on_together(void **state)
{
	(void)state;
	world.accounts = world.locations = 1;
	world.reviews = 1000;
	world.page_size = 1;
	start_many(MANY);
	run_until("SELECT sum(pages) FROM jobs", MANY * 6LL);
	assert_int_equal(
		world_number("SELECT count(*) FROM jobs WHERE finished_at_ms IS NULL"), MANY);
	/* The first ones had the gate for themselves for a while. */
	assert_in_range(world_number("SELECT min(pages) FROM jobs"), 3, 6);
	assert_in_range(world_number("SELECT max(pages) FROM jobs"), 6, 18);
	assert_true(world_number("SELECT count(*) FROM jobs WHERE turn_ms IS NOT NULL") >= 40);
}

/* Accounts, locations, reviews: a short job would have ended with these. */
static void a_job_behind_many_long_ones_has_its_first_pages_within_minutes(void **state)
{
	char id[37];
	int64_t began_ms;

	(void)state;
	world.accounts = world.locations = 1;
	world.reviews = 1000;
	world.page_size = 1;
	start_many(MANY);
	run_until("SELECT sum(pages) FROM jobs", MANY * 4LL);
	assert_true(world_number("SELECT count(*) FROM jobs WHERE status = 'queued'") >= 40);
	began_ms = world.mono_ms;
	snprintf(id, sizeof(id), "%s", world_job());
	run_until("SELECT pages FROM jobs WHERE branch_id = 'harbour'", 3);
	assert_true(world.mono_ms - began_ms < 15 * 60000);
}

/* Making room loses nothing: no page is asked for twice, and each job ends as if it had never
 * stopped. */
static void a_job_that_made_room_goes_on_where_it_was(void **state)
{
	(void)state;
	world.accounts = world.locations = 1;
	world.reviews = 8;
	world.page_size = 1;
	start_many(MANY);
	run_until("SELECT count(*) FROM jobs WHERE finished_at_ms IS NOT NULL", MANY);
	assert_int_equal(
		world_number("SELECT count(*) FROM jobs WHERE status = 'completed'"), MANY);
	assert_int_equal(
		world_number("SELECT count(*) FROM jobs WHERE google_calls = 10 AND reviews = 8"),
		MANY);
	assert_int_equal(world.calls_all, 10 * MANY);
	assert_true(world_number("SELECT count(*) FROM jobs WHERE turn_ms IS NOT NULL") >= 40);
	/* It was told once that each is under way. */
	assert_int_equal(
		world_number("SELECT count(*) FROM events WHERE kind = 'job.running'"), MANY);
}

static void without_others_that_queue_nobody_makes_room(void **state)
{
	(void)state;
	world.accounts = world.locations = 1;
	world.reviews = 20;
	world.page_size = 1;
	start_many(JOBS_AT_ONCE);
	run_until("SELECT count(*) FROM jobs WHERE finished_at_ms IS NOT NULL", JOBS_AT_ONCE);
	assert_int_equal(world_number("SELECT count(*) FROM jobs WHERE turn_ms IS NOT NULL"), 0);
}

static void sql(const char *text)
{
	struct fault f = {0};
	struct db *db;

	assert_int_equal(store_take(world.store, &db, &f), 0);
	if (db_exec(db, text, NULL, &f) < 0)
		fail_msg("%s: %s", text, f.text);
	store_give(world.store, db);
}

/* What Google tells of is read at once, whoever else is at work. */
static void a_push_message_finds_room_where_there_is_none(void **state)
{
	int64_t began_ms;

	(void)state;
	world.accounts = world.locations = 1;
	world.reviews = 1000;
	world.page_size = 1;
	start_many(MANY);
	run_until("SELECT sum(pages) FROM jobs", MANY);
	began_ms = world.mono_ms;
	sql("INSERT INTO jobs (id, branch_id, mode, scope, origin, status, created_at_ms, patient,"
	    " locations) VALUES ('p', 'harbour', 'push', 'p', 'push', 'queued', 2000000000000, 0, "
	    "1)");
	sql("INSERT INTO job_walks (job_id, kind, account_id, location_id, probe_id, "
	    "pass_started_ms,"
	    " state) VALUES ('p', 'review', 'a', 'none', 'r1', 2000000000000, 'open')");
	world.rules[0] = (struct rule){.match = "/reviews/r1",
		.count = 1,
		.status = 404,
		.body = "{}",
		.retry_after_ms = -1};
	world_run("p");
	assert_true(world.mono_ms - began_ms < 15000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(any_number_of_long_jobs_moves_on_together),
		T(a_job_behind_many_long_ones_has_its_first_pages_within_minutes),
		T(a_job_that_made_room_goes_on_where_it_was),
		T(without_others_that_queue_nobody_makes_room),
		T(a_push_message_finds_room_where_there_is_none),
	};
	return cmocka_run_group_tests_name("review_fetcher/turns", tests, NULL, NULL);
}
