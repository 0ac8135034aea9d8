/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hundred thousand scheduled locations: a look and what is done for a due one cost the same among
 * few and among many, and a branch's turn a glance at each of its own at most. Processor time, the
 * best of some, against a small table in the same process.
 */
#include "world.h"

#include <stdio.h>
#include <time.h>

#include "review_fetcher/engine.h"

#define DAY_MS 86400000LL

static void sql(const char *text)
{
	struct fault f = {0};
	struct db *db;

	assert_int_equal(store_take(world.store, &db, &f), 0);
	if (db_exec(db, text, NULL, &f) < 0)
		fail_msg("%s: %s", text, f.text);
	store_give(world.store, db);
}

/* Branches of 100 locations each and one of 20,000; all of them known, none due. */
static void fill(int locations)
{
	char text[1000];

	world_kill();
	sql("DELETE FROM location_schedules");
	sql("DELETE FROM branch_schedules");
	sql("DELETE FROM locations");
	sql("DELETE FROM branch_places");
	snprintf(text, sizeof(text),
		"INSERT INTO locations (location_id, raw, last_synced_at_ms, watermark_us,"
		" created_at_ms, updated_at_ms) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL"
		" SELECT i + 1 FROM n WHERE i < %d) SELECT 'l' || i, '{}', 1, 1, 1, 1 FROM n",
		locations);
	sql(text);
	snprintf(text, sizeof(text),
		"INSERT INTO location_parents (branch_id, account_id, location_id, listed_at_ms)"
		" SELECT CASE WHEN id %% 5 = 0 THEN 'big' ELSE 'b' || id %% %d END, 'a',"
		" location_id, %lld FROM locations",
		locations / 100, (long long)world.wall_ms);
	sql(text);
	sql("INSERT INTO location_schedules (location_id, branch_id, jitter, quick_due_ms,"
	    " full_due_ms) SELECT location_id, branch_id, 500, 9000000000000, 9000000000000"
	    " FROM location_parents");
	snprintf(text, sizeof(text),
		"INSERT INTO branch_places (branch_id, listed_at_ms)"
		" SELECT DISTINCT branch_id, %lld FROM location_parents",
		(long long)world.wall_ms);
	sql(text);
	snprintf(text, sizeof(text),
		"INSERT INTO branch_schedules (branch_id, due_ms, places_due_ms)"
		" SELECT branch_id, %lld, 9000000000000 FROM branch_places",
		(long long)world.wall_ms);
	sql(text);
}

static int64_t cpu_us(void)
{
	return (int64_t)clock() * 1000000 / CLOCKS_PER_SEC;
}

/* A turn of the large branch: `news` of its locations are due. */
static int64_t turn_us(int news)
{
	struct schedule_turn t = {.pace = {3600000, DAY_MS, DAY_MS}, .branch_id = "big"};
	struct fault f = {0};
	char text[300];
	int64_t began;

	sql("DELETE FROM jobs");
	sql("UPDATE branch_schedules SET due_ms = 0 WHERE branch_id = 'big'");
	snprintf(text, sizeof(text),
		"UPDATE location_schedules SET quick_due_ms = 0 WHERE location_id IN (SELECT"
		" location_id FROM location_schedules WHERE branch_id = 'big' LIMIT %d)",
		news);
	sql(text);
	began = cpu_us();
	assert_int_equal(store_transact(world.store, schedule_turn, &t, &f), 0);
	assert_int_equal(t.jobs, news > 0);
	return cpu_us() - began;
}

static int64_t peek_us(void)
{
	struct schedule_peek p = {.wait_ms = 3000};
	struct fault f = {0};
	int64_t began = cpu_us();

	assert_int_equal(store_use(world.store, schedule_peek, &p, &f), 0);
	return cpu_us() - began;
}

struct cost {
	int64_t peek, quiet, busy;
};

static struct cost measure(int locations)
{
	struct cost best = {INT64_MAX, INT64_MAX, INT64_MAX};

	fill(locations);
	for (int i = 0; i < 5; i++) {
		int64_t peek = peek_us(), quiet = turn_us(0), busy = turn_us(500);

		best.peek = peek < best.peek ? peek : best.peek;
		best.quiet = quiet < best.quiet ? quiet : best.quiet;
		best.busy = busy < best.busy ? busy : best.busy;
	}
	print_message(
		"%d locations: a look %lld us, a turn with nothing %lld us, with 500 due %lld us\n",
		locations, (long long)best.peek, (long long)best.quiet, (long long)best.busy);
	return best;
}

static void a_turn_among_a_hundred_thousand_locations_costs_what_is_due(void **state)
{
	struct cost few, many;

	(void)state;
	few = measure(5000);
	many = measure(100000);
	assert_true(many.peek < 1000 + 5 * few.peek);
	/* Twenty times as many of them are the branch's own. */
	assert_true(many.quiet < 10000 + 3 * 20 * few.quiet);
	assert_true(many.busy - many.quiet < 10000 + 5 * few.busy);
	world_begin();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_turn_among_a_hundred_thousand_locations_costs_what_is_due, world_up,
			world_down),
	};
	return cmocka_run_group_tests_name("review_fetcher/scale", tests, NULL, NULL);
}
