/* SPDX-License-Identifier: Apache-2.0 */
/* What is read again by itself, and what is purged. */
#include "world.h"

#include <stdio.h>

#include "base/text.h"
#include "events/events.h"
#include "review_fetcher/engine.h"

#define HOUR_MS (3600LL * 1000)
#define DAY_MS (24 * HOUR_MS)
#define JOBS "SELECT count(*) FROM jobs"

static void begin_again(void)
{
	world_kill();
	world_begin();
}

#define LIVE JOBS " WHERE finished_at_ms IS NULL"

/* Sleeps through most of the time in which there is no job. */
static void run_for(int64_t ms)
{
	int64_t ends_ms = world.mono_ms + ms, chunk_ms = ms / 500 > 300000 ? ms / 500 : 300000;

	while (world.mono_ms < ends_ms) {
		if (world_is_quiet() && world_number(LIVE) == 0) {
			world.mono_ms += chunk_ms;
			world.wall_ms += chunk_ms;
		}
		do {
			assert_true(world_step());
		} while (!world_is_quiet());
	}
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

/* One registered branch, hourly and daily passes. */
static int scheduled_up(void **state)
{
	int up = world_up(state);

	world.settings.review_sync_interval_ms = HOUR_MS;
	world.settings.review_full_sync_interval_ms = DAY_MS;
	world.settings.review_retention_ms = 30 * DAY_MS;
	world.clients[0] = "harbour";
	begin_again();
	return up;
}

static void a_connected_branch_is_read_without_being_asked_for(void **state)
{
	(void)state;
	run_for(HOUR_MS + 60000);
	assert_true(world_number("SELECT count(*) FROM reviews") > 0);
	assert_int_equal(world_number("SELECT count(*) FROM jobs WHERE mode = 'full'"
				      " AND scope = 'all' AND origin = 'schedule'"),
		1);
	run_for(HOUR_MS);
	assert_int_equal(world_number("SELECT count(*) FROM location_schedules"), 4);
	assert_int_equal(world_number("SELECT count(*) FROM jobs WHERE status <> 'completed'"), 0);
}

static void nothing_is_read_by_itself_when_the_intervals_are_zero(void **state)
{
	(void)state;
	world.settings.review_sync_interval_ms = world.settings.review_full_sync_interval_ms = 0;
	begin_again();
	run_for(2 * DAY_MS);
	assert_int_equal(world_number(JOBS), 0);
}

static void every_location_is_read_whole_once_a_full_interval(void **state)
{
	int64_t oldest;

	(void)state;
	run_for(4 * DAY_MS);
	oldest = world_number("SELECT min(last_seen_ms) FROM reviews");
	assert_true(oldest > world.wall_ms - DAY_MS * 12 / 10);
	/* and not much more often */
	assert_true(world_number("SELECT count(*) FROM jobs WHERE mode = 'full'") <= 4 * 5);
}

static void locations_that_are_due_together_are_one_job(void **state)
{
	(void)state;
	world.accounts = 1;
	world.locations = 60;
	world.settings.review_full_sync_interval_ms = 0;
	run_for(2 * HOUR_MS);
	assert_int_equal(world_number("SELECT count(*) FROM location_schedules"), 60);
	sql("DELETE FROM job_walks");
	sql("DELETE FROM jobs");
	sql("UPDATE reviews SET review_updated_us = 1767225600000000"); /* news in all of them */
	sql("UPDATE location_schedules SET quick_due_ms = 1767225600000");
	run_for(24 * HOUR_MS);
	/* Each about hourly, though each has a jitter of its own: few jobs of many. */
	assert_true(world_number("SELECT count(*) FROM jobs WHERE scope = 'due'") <= 24 * 4);
	assert_true(world_number("SELECT min(locations) FROM jobs WHERE scope = 'due'") >= 1);
	assert_true(world_number("SELECT sum(locations) FROM jobs WHERE scope = 'due'") >= 60 * 20);
	assert_true(world_number("SELECT sum(locations) FROM jobs WHERE scope = 'due'") <= 60 * 32);
}

/* The 24th part of the time since the newest word, between the interval and 24 of them. */
static void a_location_that_changes_daily_is_asked_more_often_than_a_silent_one(void **state)
{
	static const char asked[] =
		"SELECT count(*) FROM job_walks w JOIN jobs j ON j.id = w.job_id"
		" WHERE j.scope = 'due' AND w.location_id = '%s'";
	char text[300], lively[64], silent[64], medium[64];
	int64_t n_lively, n_silent, n_medium;

	(void)state;
	world.settings.review_full_sync_interval_ms = 0;
	world.reviews = 1;
	run_for(2 * HOUR_MS);
	snprintf(
		lively, sizeof(lively), "%s", world_text("SELECT min(location_id) FROM locations"));
	snprintf(
		silent, sizeof(silent), "%s", world_text("SELECT max(location_id) FROM locations"));
	snprintf(text, sizeof(text),
		"SELECT min(location_id) FROM locations WHERE location_id > '%s'", lively);
	snprintf(medium, sizeof(medium), "%s", world_text(text));
	for (int hour = 0; hour < 72; hour++) {
		/* Google says nothing new; the rows do. */
		snprintf(text, sizeof(text),
			"UPDATE reviews SET review_updated_us = CASE location_id WHEN '%s' THEN "
			"%lld"
			" WHEN '%s' THEN %lld ELSE %lld END",
			lively, (long long)(world.wall_ms - 12 * HOUR_MS) * 1000, medium,
			(long long)(world.wall_ms - 6 * DAY_MS) * 1000,
			(long long)(world.wall_ms - 365 * DAY_MS) * 1000);
		sql(text);
		sql("UPDATE jobs SET walks_dropped = 1"); /* they are counted below */
		run_for(HOUR_MS);
	}
	snprintf(text, sizeof(text), asked, lively);
	n_lively = world_number(text);
	snprintf(text, sizeof(text), asked, medium);
	n_medium = world_number(text);
	snprintf(text, sizeof(text), asked, silent);
	n_silent = world_number(text);
	if (n_lively < 54 || n_lively > 96 || n_medium < 9 || n_medium > 20 || n_silent < 2 ||
		n_silent > 6)
		fail_msg("asked %d, %d and %d times", (int)n_lively, (int)n_medium, (int)n_silent);
}

static void branches_do_not_all_begin_at_the_start(void **state)
{
	struct schedule_wake wake;
	char names[100][16];
	const char *list[100];
	struct fault f = {0};

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(names[i], sizeof(names[i]), "branch-%d", i);
		list[i] = names[i];
	}
	wake = (struct schedule_wake){list, 100, HOUR_MS};
	assert_int_equal(store_transact(world.store, schedule_wake, &wake, &f), 0);
	for (int part = 0; part < 10; part++) {
		char text[200];

		snprintf(text, sizeof(text),
			"SELECT count(*) FROM branch_schedules WHERE branch_id LIKE 'branch-%%'"
			" AND due_ms >= %lld AND due_ms < %lld",
			(long long)(world.wall_ms + part * HOUR_MS / 10),
			(long long)(world.wall_ms + (part + 1) * HOUR_MS / 10));
		assert_true(world_number(text) <= 25);
	}
	/* A start that comes again moves nothing. */
	wake.spread_ms = 0;
	assert_int_equal(store_transact(world.store, schedule_wake, &wake, &f), 0);
	assert_true(world_number("SELECT max(due_ms) FROM branch_schedules") >
		    world.wall_ms + HOUR_MS / 2);
}

static int add_event(struct db *db, void *arg, struct fault *f)
{
	const struct event e = {
		.kind = "connection.connected", .key = "again", .branch_id = "harbour", .ref = "7"};

	(void)arg;

	return events_add(db, &e, f) < 0 ? -1 : 0;
}

static void a_branch_that_cannot_be_read_waits_until_it_is_connected_again(void **state)
{
	struct fault f = {0};
	int64_t jobs;

	(void)state;
	run_for(3 * HOUR_MS);
	world.client_status = "needs_reconnect";
	run_for(30 * HOUR_MS); /* its turn comes, and what runs ends */
	jobs = world_number(JOBS);
	run_for(3 * DAY_MS);
	assert_int_equal(world_number(JOBS), jobs);
	assert_int_equal(world_number("SELECT count(due_ms) FROM branch_schedules"), 0);
	world.client_status = "connected";
	assert_int_equal(store_transact(world.store, add_event, NULL, &f), 0);
	run_for(10000);
	assert_true(world_number(JOBS) > jobs);
}

static void a_branch_takes_over_what_another_shows_too_when_that_one_ends(void **state)
{
	(void)state;
	world.all_share_one = true;
	world.clients[1] = "quay";
	begin_again();
	run_for(3 * HOUR_MS);
	assert_int_equal(world_number("SELECT count(DISTINCT branch_id) FROM location_parents"), 2);
	sql("UPDATE location_schedules SET branch_id = 'harbour'");
	world.dead_branch = "harbour";
	run_for(30 * HOUR_MS);
	assert_int_equal(world_number("SELECT count(*) FROM location_schedules"
				      " WHERE branch_id = 'quay'"),
		world_number("SELECT count(*) FROM locations"));
	assert_true(world_number("SELECT min(last_seen_ms) FROM reviews") >
		    world.wall_ms - 27 * HOUR_MS);
}

static void a_refused_project_is_probed_once_an_hour(void **state)
{
	(void)state;
	world.rules[0] = (struct rule){.match = "/v1/accounts?",
		.count = 10000,
		.status = 403,
		.retry_after_ms = -1,
		.body = "{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\",\"message\":"
			"\"x\",\"details\":[{\"reason\":\"SERVICE_DISABLED\"}]}}"};
	run_for(3 * DAY_MS);
	assert_true(world.calls_all >= 2 && world.calls_all <= 72);
}

static void a_job_that_was_asked_for_reads_all_though_a_scheduled_one_runs(void **state)
{
	char id[37];

	(void)state;
	run_for(3 * HOUR_MS);
	sql("UPDATE location_schedules SET full_due_ms = 0");
	sql("UPDATE branch_schedules SET due_ms = 0");
	while (world_number(JOBS " WHERE scope = 'due' AND finished_at_ms IS NULL"
				 " AND mode = 'full'") == 0)
		assert_true(world_step());
	snprintf(id, sizeof(id), "%s", world_job());
	assert_int_equal(world_number(JOBS " WHERE scope = 'all' AND finished_at_ms IS NULL"), 1);
	assert_string_equal(world_run(id), "completed");
	assert_non_null(strstr(world_status(id), "\"accounts\":2,\"locations\":4"));
}

static void an_overdue_hundred_thousand_does_not_become_a_hundred_thousand_jobs(void **state)
{
	(void)state;
	world.settings.google_requests_per_minute = 100000;
	begin_again();
	sql("INSERT INTO branch_schedules (branch_id, due_ms) WITH RECURSIVE n (i) AS"
	    " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
	    " SELECT 'b' || i, 1000 + i FROM n");
	run_for(4000);
	assert_true(world_number(LIVE) <= 220);
	/* the oldest first */
	assert_int_equal(world_number(JOBS " WHERE branch_id = 'b2000'"), 0);
	assert_int_equal(world_number(JOBS " WHERE branch_id = 'b1'"), 1);
}

/* The first listing failed: there is nothing else to do for this branch, so it is soon tried again.
 */
static void a_branch_that_could_not_be_listed_at_first_is_listed_within_hours(void **state)
{
	(void)state;
	world.rules[0] = (struct rule){
		.match = "/v1/accounts?", .count = 8, .status = 503, .retry_after_ms = -1};
	run_for(HOUR_MS); /* it begins within the hour */
	assert_in_range(world_number(JOBS " WHERE status = 'failed'"), 1, 2);
	assert_int_equal(world_number("SELECT count(*) FROM reviews"), 0);
	run_for(4 * HOUR_MS);
	assert_int_equal(world_number("SELECT count(*) FROM reviews"), 30);
}

/* Once a day, by a job that reads nothing but what is new. */
static void places_are_listed_daily_beside_the_passes(void **state)
{
	(void)state;
	run_for(20 * HOUR_MS);
	world.locations = 3; /* one more in each account */
	run_for(10 * HOUR_MS);
	assert_int_equal(world_number("SELECT count(*) FROM location_schedules"), 6);
	assert_int_equal(world_number("SELECT count(DISTINCT location_id) FROM reviews"), 6);
	assert_int_equal(world_number(JOBS " WHERE mode = 'places'"), 1);
	assert_int_equal(world_number(JOBS " WHERE mode = 'places' AND status = 'completed'"
					   " AND locations = 2 AND google_calls = 5"),
		1);
	run_for(24 * HOUR_MS);
	assert_int_equal(world_number(JOBS " WHERE mode = 'places'"), 2);
	assert_int_equal(world_number(JOBS " WHERE mode = 'places' AND google_calls = 3"), 1);
}

static void a_branch_that_returns_after_its_purge_is_read_at_once(void **state)
{
	struct fault f = {0};

	(void)state;
	run_for(3 * HOUR_MS);
	world.client_status = "needs_reconnect";
	assert_int_equal(reviews_purge_branch(world.rf, "harbour", &f), 0);
	run_for(HOUR_MS);
	assert_int_equal(world_number("SELECT count(*) FROM locations"), 0);
	world.client_status = "connected";
	assert_int_equal(store_transact(world.store, add_event, NULL, &f), 0);
	run_for(HOUR_MS);
	assert_int_equal(world_number("SELECT count(*) FROM reviews"), 30);
}

/* ---- retention ---- */

static void what_is_not_read_again_in_time_is_purged(void **state)
{
	(void)state;
	world.settings.review_sync_interval_ms = world.settings.review_full_sync_interval_ms = 0;
	begin_again();
	assert_string_equal(world_run(world_job()), "completed");
	run_for(29 * DAY_MS);
	assert_int_equal(world_number("SELECT count(*) FROM reviews"), 30);
	run_for(2 * DAY_MS);
	assert_int_equal(world_number("SELECT count(*) FROM reviews"), 0);
	assert_int_equal(world_number("SELECT count(*) FROM locations"), 4);
	assert_string_equal(world_run(world_job()), "completed"); /* it all comes again */
	assert_int_equal(world_number("SELECT count(*) FROM reviews"), 30);
}

static void a_retention_of_zero_keeps_everything(void **state)
{
	(void)state;
	world.settings.review_sync_interval_ms = world.settings.review_full_sync_interval_ms = 0;
	world.settings.review_retention_ms = 0;
	begin_again();
	assert_string_equal(world_run(world_job()), "completed");
	run_for(100 * DAY_MS);
	assert_int_equal(world_number("SELECT count(*) FROM reviews"), 30);
}

static void the_schedule_refreshes_in_time_for_the_retention(void **state)
{
	struct schedule_pace pace;

	(void)state;
	world.settings.review_full_sync_interval_ms = 365 * DAY_MS;
	pace = schedule_pace(&world.settings);
	assert_true(pace.full_ms <= 25 * DAY_MS);
	world.settings.review_full_sync_interval_ms = 0;
	assert_true(schedule_pace(&world.settings).full_ms == pace.full_ms);
	begin_again();
	run_for(32 * DAY_MS);
	assert_true(world_number("SELECT min(last_seen_ms) FROM reviews") >
		    world.wall_ms - 30 * DAY_MS);
	assert_int_equal(world_number("SELECT count(*) FROM reviews"), 30);
}

static void purging_a_branch_leaves_what_another_branch_shows(void **state)
{
	struct fault f = {0};

	(void)state;
	world.settings.review_sync_interval_ms = world.settings.review_full_sync_interval_ms = 0;
	begin_again();
	world.reviews = 600; /* more than a piece */
	assert_string_equal(world_run(world_job()), "completed");
	sql("INSERT INTO location_parents (branch_id, account_id, location_id)"
	    " SELECT 'quay', '1', min(location_id) FROM locations");
	sql("INSERT INTO event_consumers (name, position, fence, updated_at_ms)"
	    " VALUES ('slow', 1000, 0, 0)");
	assert_int_equal(reviews_purge_branch(world.rf, "harbour", &f), 0);
	begin_again(); /* asked for is asked for */
	run_for(4 * HOUR_MS);
	assert_int_equal(world_number("SELECT count(*) FROM locations"), 1);
	assert_int_equal(world_number("SELECT count(*) FROM reviews"), 600);
	assert_int_equal(world_number("SELECT count(*) FROM location_parents"), 1);
	assert_int_equal(world_number("SELECT count(*) FROM accounts"), 0);
	assert_int_equal(world_number("SELECT count(*) FROM purges"), 0);
	assert_int_equal(world_number("SELECT count(*) FROM review_changes"), 600);
	if (!world.has_server)
		assert_int_equal(
			world_number(
				"SELECT count(*) FROM review_words WHERE review_words MATCH 'gut'"),
			world_number("SELECT count(*) FROM reviews WHERE comment LIKE 'Gut%'"));
	/* What was told of it goes too, but for what a consumer has still to take. */
	assert_int_equal(world_number("SELECT count(*) FROM events WHERE kind LIKE 'review.%'"),
		world_number("SELECT count(*) FROM events WHERE kind LIKE 'review.%' AND position "
			     "> 1000"));
	assert_true(world_number("SELECT count(*) FROM events WHERE kind LIKE 'review.%'") > 100);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scheduled_up, world_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_connected_branch_is_read_without_being_asked_for),
		T(nothing_is_read_by_itself_when_the_intervals_are_zero),
		T(every_location_is_read_whole_once_a_full_interval),
		T(locations_that_are_due_together_are_one_job),
		T(a_location_that_changes_daily_is_asked_more_often_than_a_silent_one),
		T(branches_do_not_all_begin_at_the_start),
		T(a_branch_that_cannot_be_read_waits_until_it_is_connected_again),
		T(a_branch_takes_over_what_another_shows_too_when_that_one_ends),
		T(a_refused_project_is_probed_once_an_hour),
		T(a_job_that_was_asked_for_reads_all_though_a_scheduled_one_runs),
		T(an_overdue_hundred_thousand_does_not_become_a_hundred_thousand_jobs),
		T(a_branch_that_could_not_be_listed_at_first_is_listed_within_hours),
		T(places_are_listed_daily_beside_the_passes),
		T(a_branch_that_returns_after_its_purge_is_read_at_once),
		T(what_is_not_read_again_in_time_is_purged),
		T(a_retention_of_zero_keeps_everything),
		T(the_schedule_refreshes_in_time_for_the_retention),
		T(purging_a_branch_leaves_what_another_branch_shows),
	};

	return cmocka_run_group_tests_name("review_fetcher/schedule", tests, NULL, NULL);
}
