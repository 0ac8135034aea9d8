/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

static const struct review_filter any = {
	.rating = -1, .replied = -1, .deleted = -1, .since_us = INT64_MIN, .until_us = INT64_MAX};

/* One page as JSON; *cursor is replaced by the next. -1 with *f. */
static json_t *page_of(
	const struct review_filter *filter, int64_t limit, struct buf *cursor, struct fault *f)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 24);
	AUTO(buf_drop) struct buf next = BUF_INIT(1024);
	struct list_page page = {.cursor = cursor->len ? buf_text(cursor) : NULL, .limit = limit};
	struct json_out out = JSON_OUT(&text);
	json_t *json = NULL;

	json_open(&out, '{');
	if (reviews_list(world.rf, filter, &page, &out, &next, f) < 0)
		return NULL;
	json_close(&out, '}');
	if (json_parse(text.data, text.len, &json, f) < 0)
		fail_msg("%s: %s", f->text, buf_text(&text));
	buf_reset(cursor);
	buf_add_text(cursor, buf_text(&next));
	return json;
}

/* How many reviews a filter finds, over pages of `limit`; that none comes twice and order holds is
 * checked. */
static int64_t count_pages(const struct review_filter *filter, int64_t limit)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
	int64_t found = 0, last = 0;
	char time[40] = "";
	struct fault f = {0};

	do {
		AUTO(json_drop) json_t *json = page_of(filter, limit, &cursor, &f);
		const json_t *reviews = json_member(json, "reviews");

		if (!json)
			fail_msg("%s", f.text);
		assert_int_equal(json_int(json, "count", -1), json_array_size(reviews));
		for (size_t i = 0; i < json_array_size(reviews); i++, found++) {
			const json_t *one = json_array_get(reviews, i);
			int64_t id = json_int(one, "id", -1);
			int order = strcmp(time, json_text(one, "review_updated_time"));

			if (order == 0)
				order = id < last ? 1 : -1;
			if (found > 0)
				assert_true(filter->oldest_first ? order < 0 : order > 0);
			last = id;
			snprintf(time, sizeof(time), "%s", json_text(one, "review_updated_time"));
		}
		if (cursor.len)
			assert_int_equal(json_array_size(reviews), limit);
	} while (cursor.len);
	return found;
}

static void walk(void)
{
	assert_string_equal(world_run(world_job()), "completed");
}

static void pages_hold_every_review_once_in_both_orders(void **state)
{
	struct review_filter filter = any;

	(void)state;
	walk();
	assert_int_equal(count_pages(&filter, 7), 30);
	assert_int_equal(count_pages(&filter, 30), 30);
	assert_int_equal(count_pages(&filter, 500), 30);
	filter.oldest_first = true;
	assert_int_equal(count_pages(&filter, 4), 30);
}

static void a_page_stays_where_it_was_when_rows_come(void **state)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
	struct fault f = {0};
	json_t *json;
	int64_t last;

	(void)state;
	walk();
	json = page_of(&any, 10, &cursor, &f);
	last = json_int(json_array_get(json_member(json, "reviews"), 9), "id", -1);
	assert_int_equal(json_int(json, "total_reviews", -1), 30);
	json_drop(&json);
	world_number(
		"INSERT INTO reviews (location_id, review_id, account_id, raw, content_hash,"
		" created_at_ms, updated_at_ms, last_seen_ms, review_updated_us) VALUES"
		" ('l000-0', 'late', '1', '{}', x'00', 1, 1, 1, 9000000000000000) RETURNING 0");
	json = page_of(&any, 10, &cursor, &f);
	assert_int_equal(
		json_int(json_array_get(json_member(json, "reviews"), 0), "id", -1), last - 1);
	json_drop(&json);
}

static void filters_leave_what_they_say(void **state)
{
	struct review_filter filter = any;

	(void)state;
	walk();
	world_number("UPDATE reviews SET reply_text = 'Danke' WHERE id IN (1, 2) RETURNING 0");
	world_number("UPDATE reviews SET comment = '100 % fein_er' WHERE id = 3 RETURNING 0");
	world_number("UPDATE reviews SET deleted_at_ms = 5 WHERE id = 4 RETURNING 0");
	world_number("UPDATE reviews SET review_updated_us = 1000000 WHERE id = 5 RETURNING 0");
	assert_int_equal(count_pages(&filter, 9), 29);
	filter.deleted = 1;
	assert_int_equal(count_pages(&filter, 9), 1);
	filter = any;
	filter.rating = 4;
	assert_int_equal(
		count_pages(&filter, 9) + world_number("SELECT count(*) FROM reviews WHERE rating "
						       "IS NULL AND deleted_at_ms IS NULL"),
		29);
	filter.rating = 1;
	assert_int_equal(count_pages(&filter, 9), 0);
	filter = any;
	filter.replied = 1;
	assert_int_equal(count_pages(&filter, 9), 2);
	filter.replied = 0;
	assert_int_equal(count_pages(&filter, 9), 27);
	filter = any;
	filter.until_us = 2000000;
	assert_int_equal(count_pages(&filter, 9), 1);
	filter.since_us = 1000001;
	assert_int_equal(count_pages(&filter, 9), 0);
	filter = any;
	filter.location_id = "l000-1";
	assert_true(count_pages(&filter, 3) >= 7);
	filter.account_id = "100000000000000000001";
	assert_int_equal(count_pages(&filter, 3), 0);
}

static void words_are_looked_for_as_they_are_written(void **state)
{
	struct review_filter filter = any;

	(void)state;
	walk();
	world_number(
		"UPDATE reviews SET comment = '100 % fein_er \\ Kaffee' WHERE id = 3 RETURNING 0");
	world_number("UPDATE reviews SET reviewer_name = 'O''Hara' WHERE id = 9 RETURNING 0");
	filter.q = "%";
	assert_int_equal(count_pages(&filter, 9), 1);
	filter.q = "_";
	assert_int_equal(count_pages(&filter, 9), 1);
	filter.q = "\\";
	assert_int_equal(count_pages(&filter, 9), 1);
	filter.q = "kaff";
	assert_int_equal(count_pages(&filter, 9), 1);
	filter.q = "o'h";
	assert_int_equal(count_pages(&filter, 9), 1);
	filter.q = "Gut \xf0\x9f\x91\x8d";
	assert_true(count_pages(&filter, 9) > 10);
}

static void a_bound_caller_sees_its_branches_only(void **state)
{
	static const char *const others[] = {"elsewhere"}, *const both[] = {"elsewhere", "harbour"};
	struct review_filter filter = any;
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 20);
	struct json_out out = JSON_OUT(&text);
	struct fault f = {0};

	(void)state;
	walk();
	filter.scope = (struct review_scope){others, 1};
	assert_int_equal(count_pages(&filter, 9), 0);
	assert_int_equal(reviews_write(world.rf, &filter.scope, 1, &out, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	filter.branch_id = "harbour"; /* asking for it by name does not help */
	assert_int_equal(count_pages(&filter, 9), 0);
	filter.scope = (struct review_scope){others, 0}; /* bound to nothing any more */
	assert_int_equal(count_pages(&filter, 9), 0);
	filter.scope = (struct review_scope){both, 2};
	assert_int_equal(count_pages(&filter, 9), 30);
	assert_int_equal(reviews_write(world.rf, &filter.scope, 1, &out, &f), 0);
	assert_non_null(strstr(buf_text(&text), "\"google_review_id\":\"l"));
	assert_non_null(strstr(buf_text(&text), "\"raw\":{\"reviewId\":"));
	assert_non_null(
		strstr(buf_text(&text), "\"review_updated_time\":\"2026-02-03T04:05:06.123456Z\""));
}

static void many_locations_are_listed_like_few(void **state)
{
	struct review_filter filter = any;

	(void)state;
	world.accounts = 1;
	world.locations = 230;
	world.reviews = 2;
	world.settings.google_requests_per_minute = 60000;
	walk();
	filter.branch_id = "harbour";
	assert_int_equal(count_pages(&filter, 50), 461);
	filter.account_id = "100000000000000000000";
	assert_int_equal(count_pages(&filter, 50), 461);
	filter.branch_id = "elsewhere";
	assert_int_equal(count_pages(&filter, 50), 0);
}

static void a_cursor_of_another_list_is_refused(void **state)
{
	static const char *const odd[] = {"x", "bjEsMQ", "!!", "", "bjEs", "bizEsMSw"};
	AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
	struct review_filter filter = any;
	struct fault f = {0};
	json_t *json;

	(void)state;
	walk();
	json = page_of(&any, 3, &cursor, &f);
	json_drop(&json);
	filter.oldest_first = true;
	assert_null(page_of(&filter, 3, &cursor, &f));
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, "cursor");
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		if (!*odd[i])
			continue;
		buf_reset(&cursor);
		buf_add_text(&cursor, odd[i]);
		json = page_of(&any, 3, &cursor, &f);
		if (json) /* a cursor by accident is one, and leads somewhere */
			json_drop(&json);
		else
			assert_int_equal(f.kind, FAULT_INPUT);
	}
}

typedef int list_fn(
	const struct list_page *page, struct json_out *out, struct buf *next, struct fault *f);

static int list_accounts(
	const struct list_page *page, struct json_out *out, struct buf *next, struct fault *f)
{
	return accounts_list(world.rf, NULL, page, out, next, f);
}

static int list_locations(
	const struct list_page *page, struct json_out *out, struct buf *next, struct fault *f)
{
	return locations_list(world.rf, NULL, NULL, page, out, next, f);
}

static int list_jobs(
	const struct list_page *page, struct json_out *out, struct buf *next, struct fault *f)
{
	return jobs_list(world.rf, NULL, page, out, next, f);
}

/* All items of a list over pages of two, as one array. */
static json_t *collect(list_fn *list, const char *name)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(4096);
	json_t *all = json_array();
	struct fault f = {0};

	do {
		AUTO(buf_drop) struct buf text = BUF_INIT(1 << 20);
		AUTO(buf_drop) struct buf next = BUF_INIT(4096);
		AUTO(json_drop) json_t *json = NULL;
		struct list_page page = {
			.cursor = cursor.len ? buf_text(&cursor) : NULL, .limit = 2};
		struct json_out out = JSON_OUT(&text);

		json_open(&out, '{');
		if (list(&page, &out, &next, &f) < 0)
			fail_msg("%s", f.text);
		json_close(&out, '}');
		if (json_parse(text.data, text.len, &json, &f) < 0)
			fail_msg("%s", f.text);
		json_array_extend(all, json_member(json, name));
		buf_reset(&cursor);
		buf_add_text(&cursor, buf_text(&next));
	} while (cursor.len);
	return all;
}

static void accounts_and_locations_say_what_was_found(void **state)
{
	AUTO(json_drop) json_t *accounts = NULL;
	AUTO(json_drop) json_t *locations = NULL;
	const json_t *shared = NULL;

	(void)state;
	world.accounts = 5;
	world.all_share_one = true;
	walk();
	accounts = collect(list_accounts, "accounts");
	assert_int_equal(json_array_size(accounts), 5);
	assert_string_equal(
		json_text(json_array_get(accounts, 4), "account_id"), "100000000000000000004");
	assert_int_equal(json_int(json_array_get(accounts, 0), "locations", -1), 3);
	assert_int_equal(json_int(json_array_get(accounts, 0), "review_count", -1), 22);
	locations = collect(list_locations, "locations");
	assert_int_equal(json_array_size(locations), 11);
	for (size_t i = 0; i < json_array_size(locations); i++) {
		const json_t *one = json_array_get(locations, i);

		assert_int_equal(
			json_int(one, "review_count", -1), json_int(one, "total_review_count", -2));
		assert_non_null(json_text(one, "last_synced_at"));
		if (text_equal(json_text(one, "location_id"), "shared"))
			shared = one;
	}
	assert_int_equal(json_array_size(json_member(shared, "parents")), 5);
}

static void jobs_are_listed_newest_first(void **state)
{
	AUTO(json_drop) json_t *jobs = NULL;

	(void)state;
	for (int i = 0; i < 5; i++) {
		world.wall_ms += 1000;
		walk();
	}
	jobs = collect(list_jobs, "jobs");
	assert_int_equal(json_array_size(jobs), 5);
	for (size_t i = 1; i < 5; i++)
		assert_true(strcmp(json_text(json_array_get(jobs, i - 1), "created_at"),
				    json_text(json_array_get(jobs, i), "created_at")) > 0);
}

/* ---- the nested snapshot ---- */

static json_t *nested(
	const char *job, const struct nested_bounds *bounds, int64_t *version, bool *done)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 26);
	struct fault f = {0};
	json_t *json = NULL;

	if (nested_write(world.rf, job, bounds, &text, version, done, &f) < 0)
		fail_msg("%s", f.text);
	if (text.len && json_parse(text.data, text.len, &json, &f) < 0)
		fail_msg("%s: %s", f.text, buf_text(&text));
	return json;
}

static const struct nested_bounds wide = {500, 10000, 5000};

static void the_snapshot_has_the_originals_shape(void **state)
{
	const char *job;
	AUTO(json_drop) json_t *json = NULL;
	const json_t *account, *location, *review;
	int64_t version = -1;
	bool done;

	(void)state;
	walk();
	job = world_text("SELECT id FROM jobs");
	json = nested(job, &wide, &version, &done);
	assert_true(done);
	assert_int_equal(json_int(json_member(json, "stats"), "accounts", -1), 2);
	assert_int_equal(json_int(json_member(json, "stats"), "locations", -1), 4);
	assert_int_equal(json_int(json_member(json, "stats"), "reviews", -1), 30);
	assert_true(json_flag(json_member(json, "joins_ok"),
		"account.account_id == location.google_account_id", false));
	assert_true(json_flag(json_member(json, "joins_ok"),
		"location.location_id == review.location_id", false));
	account = json_array_get(json_member(json, "accounts"), 1);
	assert_string_equal(json_text(json_member(account, "account"), "google_account_name"),
		"accounts/100000000000000000001");
	assert_int_equal(json_int(json_member(account, "account"), "client_id", -1), 7);
	assert_int_equal(json_int(json_member(account, "stats"), "reviews", -1), 15);
	location = json_array_get(json_member(account, "locations"), 0);
	assert_string_equal(json_text(location, "google_account_id"), "100000000000000000001");
	review = json_array_get(json_member(location, "reviews"), 0);
	assert_string_equal(json_text(review, "location_id"), json_text(location, "location_id"));
	assert_non_null(json_text(review, "google_review_id"));
}

static void the_snapshot_keeps_its_bounds_and_is_made_only_for_news(void **state)
{
	static const struct nested_bounds narrow = {1, 1, 3};
	const char *job = world_job();
	int64_t version = -1;
	unsigned made = 0;
	bool done = false;
	json_t *json = NULL;

	(void)state;
	world.page_size = 3;
	while (!done) {
		json_t *next;

		(void)world_step();
		next = nested(job, &narrow, &version, &done);
		if (!next)
			continue;
		json_decref(json);
		json = next;
		made++;
	}
	/* pages, and once at the start and at the end */
	assert_true(made <= (unsigned)world_number("SELECT pages FROM jobs") + 2);
	assert_int_equal(json_int(json_member(json, "stats"), "accounts", -1), 1);
	assert_int_equal(json_int(json_member(json, "stats"), "locations", -1), 1);
	assert_int_equal(json_int(json_member(json, "stats"), "reviews", -1), 3);
	json_decref(json);
	assert_null(nested(job, &narrow, &version, &done));
}

/* ---- sessions ---- */

static void a_session_works_once_and_for_two_minutes(void **state)
{
	struct job_input in = {.access_token = secret_from("own-token", 9), .actor = "test"};
	char session[SESSION_ID_SIZE], job[37];
	struct fault f = {0};

	(void)state;
	assert_int_equal(sessions_open(world.rf, &in, session, &f), 0);
	assert_int_equal(strlen(session), SESSION_ID_SIZE - 1);
	assert_int_equal(sessions_start_job(world.rf, session, job, &f), 0);
	assert_int_equal(sessions_start_job(world.rf, session, job, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	assert_string_equal(world_run(job), "completed");
	in.access_token = secret_from("own-token", 9);
	assert_int_equal(sessions_open(world.rf, &in, session, &f), 0);
	world.mono_ms += SESSION_MS;
	assert_int_equal(sessions_start_job(world.rf, session, job, &f), -1);
}

static void sessions_are_bounded_and_make_room_when_they_expire(void **state)
{
	struct job_input in = {.branch_id = "harbour", .actor = "test"};
	char session[SESSION_ID_SIZE];
	struct fault f = {0};
	int opened = 0;

	(void)state;
	while (sessions_open(world.rf, &in, session, &f) == 0)
		opened++;
	assert_int_equal(opened, 1000);
	assert_int_equal(f.kind, FAULT_THROTTLED);
	assert_true(f.retry_after_ms > 0);
	world.mono_ms += SESSION_MS;
	assert_int_equal(sessions_open(world.rf, &in, session, &f), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(pages_hold_every_review_once_in_both_orders),
		T(a_page_stays_where_it_was_when_rows_come),
		T(filters_leave_what_they_say),
		T(words_are_looked_for_as_they_are_written),
		T(a_bound_caller_sees_its_branches_only),
		T(many_locations_are_listed_like_few),
		T(a_cursor_of_another_list_is_refused),
		T(accounts_and_locations_say_what_was_found),
		T(jobs_are_listed_newest_first),
		T(the_snapshot_has_the_originals_shape),
		T(the_snapshot_keeps_its_bounds_and_is_made_only_for_news),
		T(a_session_works_once_and_for_two_minutes),
		T(sessions_are_bounded_and_make_room_when_they_expire),
	};
	return cmocka_run_group_tests_name("review_fetcher/lists", tests, NULL, NULL);
}
