/* SPDX-License-Identifier: Apache-2.0 */
/* How people rate, by the day; and how far jobs are. */
#include "world.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "review_fetcher/review_find.h"

static const struct review_filter any = {
	.replied = -1, .deleted = -1, .since_us = INT64_MIN, .until_us = INT64_MAX};

static void walk(void)
{
	assert_string_equal(world_run(world_job()), "completed");
}

static int64_t count_listed(const struct review_filter *filter)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 24);
	AUTO(buf_drop) struct buf next = BUF_INIT(1024);
	AUTO(json_drop) json_t *json = NULL;
	const struct list_page page = {.limit = 500};
	struct json_out out = JSON_OUT(&text);
	struct fault f = {0};

	json_open(&out, '{');
	if (reviews_list(world.rf, filter, &page, &out, &next, &f) < 0)
		fail_msg("%s", f.text);
	json_close(&out, '}');
	if (json_parse(text.data, text.len, &json, &f) < 0)
		fail_msg("%s", f.text);
	return json_int(json, "count", -1);
}

/* The sum of a filter as JSON. */
static json_t *sum_of(const struct review_filter *filter)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 20);
	struct json_out out = JSON_OUT(&text);
	struct fault f = {0};
	json_t *json = NULL;

	json_open(&out, '{');
	if (reviews_sum(world.rf, filter, &out, &f) < 0)
		fail_msg("%s", f.text);
	json_close(&out, '}');
	if (json_parse(text.data, text.len, &json, &f) < 0)
		fail_msg("%s", f.text);
	return json;
}

/* Whatever is filtered: the chart tells of the reviews that the list has. */
static void check_sum(const struct review_filter *filter)
{
	AUTO(json_drop) json_t *sum = sum_of(filter);
	const json_t *days = json_member(sum, "days");
	int64_t total = 0, last = -1;

	for (size_t i = 0; i < json_array_size(days); i++) {
		const json_t *day = json_array_get(days, i);
		const json_t *ratings = json_member(day, "ratings");

		assert_true(json_int(day, "at", -1) > last);
		last = json_int(day, "at", -1);
		for (size_t k = 0; k < 6; k++)
			total += json_integer_value(json_array_get(ratings, k));
	}
	assert_int_equal(total, count_listed(filter));
	assert_int_equal(json_int(sum, "total", -1), total);
	assert_true(json_is_false(json_member(sum, "newest_only")));
	assert_true(json_is_null(json_member(sum, "counted_since")));
}

static void charts_follow_every_filter(void **state)
{
	static const char *const elsewhere[] = {"elsewhere"};
	struct review_filter filters[12];

	for (size_t i = 0; i < ARRAY_LEN(filters); i++)
		filters[i] = any;
	filters[1].replied = 1;
	filters[2].replied = 0;
	filters[3].deleted = 1;
	filters[4].ratings = REVIEW_STAR(4) | REVIEW_STAR(1);
	filters[5].since_us = 2 * REVIEW_DAY_US;
	filters[6].until_us = 2 * REVIEW_DAY_US;
	filters[7].since_us = 1000001;
	filters[8].location_id = "l000-0";
	filters[9].branch_id = "harbour";
	filters[10].scope = (struct review_scope){elsewhere, 1};
	filters[11].q = "fein*";
	filters[11].replied = 0;

	(void)state;
	walk();
	world_number("UPDATE reviews SET reply_text = 'Danke' WHERE id IN (1, 2) RETURNING 0");
	world_number("UPDATE reviews SET comment = '100 % fein_er' WHERE id = 3 RETURNING 0");
	world_number("UPDATE reviews SET deleted_at_ms = 5 WHERE id = 4 RETURNING 0");
	world_number("UPDATE reviews SET review_updated_us = 1000000 WHERE id = 5 RETURNING 0");
	world_number("UPDATE reviews SET rating = 1 WHERE id = 6 RETURNING 0");
	for (size_t i = 0; i < ARRAY_LEN(filters); i++)
		check_sum(&filters[i]);
}

/* The days say what the reviews say, whatever was done to them. */
static void assert_days(void)
{
	assert_int_equal(
		world_number("SELECT count(*) FROM (SELECT review_updated_us / 86400000000 AS day,"
			     " COALESCE(rating, 0) AS rating,"
			     " CASE WHEN reply_text IS NULL THEN 0 ELSE 1 END AS answered,"
			     " count(*) AS n FROM reviews WHERE deleted_at_ms IS NULL"
			     " AND review_updated_us > 0 GROUP BY 1, 2, 3) seen"
			     " FULL JOIN (SELECT day, rating, is_answered, sum(n) AS n"
			     " FROM review_days GROUP BY 1, 2, 3 HAVING sum(n) <> 0) kept"
			     " ON kept.day = seen.day AND kept.rating = seen.rating"
			     " AND kept.is_answered = seen.answered AND kept.n = seen.n"
			     " WHERE kept.n IS NULL OR seen.n IS NULL"),
		0);
}

static void days_are_counted_as_reviews_change(void **state)
{
	static const char *const steps[] = {
		"UPDATE reviews SET reply_text = 'Danke' WHERE id IN (1, 2) RETURNING 0",
		"UPDATE reviews SET reply_text = 'Danke sehr' WHERE id = 1 RETURNING 0",
		"UPDATE reviews SET reply_text = NULL WHERE id = 1 RETURNING 0",
		"UPDATE reviews SET rating = 1 WHERE id = 3 RETURNING 0",
		"UPDATE reviews SET rating = NULL WHERE id = 3 RETURNING 0",
		"UPDATE reviews SET deleted_at_ms = 5, rating = 2 WHERE id = 4 RETURNING 0",
		"UPDATE reviews SET deleted_at_ms = NULL WHERE id = 4 RETURNING 0",
		"UPDATE reviews SET review_updated_us = 1000000 WHERE id = 5 RETURNING 0",
		"UPDATE reviews SET review_updated_us = 0 WHERE id = 5 RETURNING 0",
		"UPDATE reviews SET review_updated_us = 9000000000000000 WHERE id = 5 RETURNING 0",
		"DELETE FROM reviews WHERE id IN (1, 7) RETURNING 0",
		"DELETE FROM reviews RETURNING 0",
	};

	(void)state;
	walk();
	assert_days();
	assert_int_equal(world_number("SELECT CAST(sum(n) AS BIGINT) FROM review_days"), 30);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		world_number(steps[i]);
		assert_days();
	}
	assert_int_equal(world_number("SELECT CAST(sum(n) AS BIGINT) FROM review_days"), 0);
}

/* More than are looked at, a second each, of the one location that is filtered for. */
static void of_very_many_the_newest_are_counted_and_it_is_said(void **state)
{
	struct review_filter filter = any;

	(void)state;
	if (world.has_server) /* storing so many takes it a minute; the statements ran above */
		skip();
	walk();
	world_number(
		"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50010)"
		" INSERT INTO reviews (location_id, review_id, account_id, raw, content_hash,"
		" created_at_ms, updated_at_ms, last_seen_ms, review_updated_us, rating)"
		" SELECT 'l000-0', 'r' || i, '1', '{}', (SELECT content_hash FROM reviews LIMIT 1),"
		" 1, 1, 1, 1900000000000000 + i * CAST(1000000000 AS BIGINT), 3 FROM n RETURNING "
		"0");
	filter.location_id = "l000-0";
	for (int i = 0; i < 2; i++) {
		AUTO(json_drop) json_t *sum = sum_of(&filter);

		assert_int_equal(json_int(sum, "total", -1), 50000);
		assert_true(json_is_true(json_member(sum, "newest_only")));
		assert_string_equal(json_text(sum, "counted_since"), "2030-03-17T00:00:00Z");
		filter = any; /* a time that is no day's beginning: no days tell it */
		filter.since_us = 1;
	}
	assert_days();
	AUTO(json_drop) json_t *all = sum_of(&any);
	assert_int_equal(json_int(all, "total", -1), 50040);
	assert_true(json_is_false(json_member(all, "newest_only")));
}

struct heard {
	int n;
	int64_t percent;
};

static void hear(void *arg, const char *text, size_t len)
{
	AUTO(json_drop) json_t *json = NULL;
	struct heard *h = arg;
	struct fault f = {0};

	if (json_parse(text, len, &json, &f) < 0)
		fail_msg("%s", f.text);
	h->n++;
	h->percent = json_int(json, "percent", -1);
	assert_string_equal(json_text(json, "status"), "running");
	assert_null(json_member(json, "errors"));
}

static void a_job_that_runs_says_how_far_it_is(void **state)
{
	static const char *const elsewhere[] = {"elsewhere"};
	const struct review_scope all = {0}, others = {elsewhere, 1};
	struct heard heard = {0};
	int64_t most = 0;
	struct fault f = {0};
	const char *id = world_job();

	(void)state;
	while (!*world_text("SELECT id FROM jobs WHERE finished_at_ms IS NOT NULL")) {
		assert_true(world_step());
		assert_int_equal(jobs_progress(world.rf, &others, hear, &heard, &f), 0);
		heard.percent = -1;
		if (jobs_progress(world.rf, &all, hear, &heard, &f) < 0)
			fail_msg("%s", f.text);
		assert_true(heard.percent == -1 || heard.percent >= most);
		most = heard.percent > most ? heard.percent : most;
	}
	assert_true(heard.n > 3);
	assert_in_range(most, 20, 99);
	assert_string_equal(world_run(id), "completed");
	assert_int_equal(jobs_progress(world.rf, &all, hear, &heard, &f), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(charts_follow_every_filter),
		T(days_are_counted_as_reviews_change),
		T(of_very_many_the_newest_are_counted_and_it_is_said),
		T(a_job_that_runs_says_how_far_it_is),
	};
	return cmocka_run_group_tests_name("review_fetcher/charts", tests, NULL, NULL);
}
