/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <stdio.h>

#include "base/json.h"
#include "base/text.h"

#define ALL_REVIEWS "SELECT count(*) FROM reviews"
#define TWICE                                                                                 \
	"SELECT count(*) FROM (SELECT 1 FROM reviews GROUP BY location_id, review_id HAVING " \
	"count(*) > 1) AS pairs"

/* What the world says there is: the second location of each account has one more. */
static int64_t truth(void)
{
	return (int64_t)world.accounts *
	       (world.locations * world.reviews + (world.locations > 1 && world.reviews ? 1 : 0));
}

static void assert_status_holds(const char *job, const char *text)
{
	if (!strstr(world_status(job), text))
		fail_msg("no %s in %s", text, world_status(job));
}

static void every_page_of_all_three_levels_is_walked(void **state)
{
	const char *job;

	(void)state;
	world.accounts = 23;
	world.locations = 3;
	world.reviews = 120;
	world.page_size = 2;
	world.reviews = 7;
	job = world_job();
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(ALL_REVIEWS), truth());
	assert_int_equal(world_number(TWICE), 0);
	assert_int_equal(world_number("SELECT count(*) FROM accounts"), 23);
	assert_int_equal(world_number("SELECT count(*) FROM locations"), 69);
	assert_int_equal(world.calls[0], 12);
	assert_int_equal(world.calls[1], 23 * 2);
	assert_int_equal(world.calls[2], 69 * 4);
	assert_int_equal(world.in_flight_most <= 4, true);
	assert_status_holds(job, "\"percent\":100");
	assert_status_holds(job, "\"google_calls\":334");
	assert_status_holds(job, "\"accounts\":23,\"locations\":69,\"reviews\":{\"total\":506,"
				 "\"new\":506,\"changed\":0,\"unchanged\":0}");
}

static void what_google_says_is_stored_as_it_is(void **state)
{
	(void)state;
	assert_string_equal(world_run(world_job()), "completed");
	assert_int_equal(world_number("SELECT count(*) FROM reviews WHERE rating IS NULL"), 4);
	assert_int_equal(world_number("SELECT count(*) FROM reviews WHERE comment IS NULL"), 12);
	assert_int_equal(
		world_number("SELECT review_updated_us FROM reviews LIMIT 1"), 1770091506123456);
	assert_string_equal(world_text("SELECT comment FROM reviews WHERE comment IS NOT NULL"),
		"Gut \xf0\x9f\x91\x8d");
	assert_string_equal(world_text("SELECT account_id FROM accounts ORDER BY account_id"),
		"100000000000000000000");
}

static void repeating_a_job_changes_nothing(void **state)
{
	const char *job;

	(void)state;
	assert_string_equal(world_run(world_job()), "completed");
	world.wall_ms += 5000;
	job = world_job();
	assert_string_equal(world_run(job), "completed");
	assert_status_holds(
		job, "\"reviews\":{\"total\":30,\"new\":0,\"changed\":0,\"unchanged\":30}");
	assert_int_equal(
		world_number("SELECT count(*) FROM reviews WHERE updated_at_ms > created_at_ms"),
		0);
}

/* The heart of it: whatever step is the last one, the next process finishes, and every review is
 * there once. */
static void a_process_that_dies_between_any_two_steps_loses_and_doubles_nothing(void **state)
{
	unsigned whole;

	(void)state;
	world.page_size = 3;
	world_run(world_job());
	whole = world.steps;
	world_down(NULL);
	/* Over a server each beginning takes its time: every sixth step there. */
	for (unsigned last = 1; last < whole; last += (world.has_server ? 6 : 1) + last / 40) {
		const char *job;

		world_up(NULL);
		world.page_size = 3;
		job = world_job();
		for (unsigned i = 0; i < last; i++)
			(void)world_step();
		world_kill();
		world_begin();
		if (!text_equal(world_run(job), "completed"))
			fail_msg("killed after step %u: %s", last, world_status(job));
		assert_int_equal(world_number(ALL_REVIEWS), truth());
		assert_int_equal(world_number(TWICE), 0);
		assert_int_equal(world_number("SELECT reviews FROM jobs"), truth());
		assert_int_equal(world_number("SELECT reviews_new FROM jobs"), truth());
		assert_int_equal(world_number("SELECT accounts * 100 + locations FROM jobs"), 204);
		/* accounts 1, locations 2, reviews 2 × (3 + 3) pages, and at most one more a walk
		 */
		assert_true(world.calls_all <= 15 + 4);
		world_down(NULL);
	}
	world_up(NULL);
}

static void a_job_that_dies_at_every_turn_still_ends(void **state)
{
	const char *job;

	(void)state;
	world.page_size = 2;
	job = world_job();
	for (int i = 0; i < 30; i++) {
		for (int step = 0; step < 25 + i; step++)
			(void)world_step();
		world_kill();
		world_begin();
	}
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(ALL_REVIEWS), truth());
}

static void a_token_that_ends_mid_job_is_replaced_and_no_page_is_lost(void **state)
{
	const char *job;

	(void)state;
	world.page_size = 2;
	world.max_per_run = 6;
	job = world_job();
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(ALL_REVIEWS), truth());
	assert_true(world.tokens_rejected >= 2);
}

static void a_grant_that_is_dead_ends_the_job_and_says_reconnect(void **state)
{
	const char *job = world_job();

	(void)state;
	world.token_outcome = TOKEN_NEEDS_RECONNECT;
	assert_string_equal(world_run(job), "failed");
	assert_status_holds(job, "the grant was revoked; reconnect this branch");
	assert_int_equal(world.calls_all, 0);
}

static void tokens_that_google_keeps_refusing_end_the_job_after_one_retry(void **state)
{
	const char *job = world_job();

	(void)state;
	world.rules[0] = (struct rule){
		.match = "/v1/accounts?", .count = 100, .status = 401, .retry_after_ms = -1};
	assert_string_equal(world_run(job), "failed");
	assert_int_equal(world.calls_all, 2);
	assert_int_equal(world.tokens_rejected, 1);
	assert_status_holds(job, "connect it again");
}

static void a_provider_outage_delays_the_job_only(void **state)
{
	const char *job = world_job();

	(void)state;
	world.token_outcome = TOKEN_UNAVAILABLE;
	for (int i = 0; i < 12; i++)
		(void)world_step();
	world.token_outcome = TOKEN_READY;
	assert_string_equal(world_run(job), "completed");
}

static void failures_that_pass_are_retried(void **state)
{
	const char *job = world_job();

	(void)state;
	world.rules[0] = (struct rule){
		.match = "/v1/accounts?", .count = 2, .status = 503, .retry_after_ms = -1};
	world.rules[1] = (struct rule){
		.match = "/locations?", .count = 1, .result = NET_BROKEN, .retry_after_ms = -1};
	world.rules[2] = (struct rule){.match = "/v4/",
		.skip = 2,
		.count = 2,
		.status = 200,
		.body = "{\"reviews\":[{\"reviewId\":",
		.retry_after_ms = -1};
	world.rules[3] = (struct rule){.match = "/v4/",
		.skip = 5,
		.count = 1,
		.status = 200,
		.body = "<html>Sorry</html>",
		.retry_after_ms = -1};
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(ALL_REVIEWS), truth());
}

static void one_bad_location_is_parked_and_its_neighbours_are_read(void **state)
{
	const char *job = world_job();

	(void)state;
	world.rules[0] = (struct rule){
		.match = "/locations/l000-0/", .count = 100, .status = 500, .retry_after_ms = -1};
	world.rules[1] = (struct rule){.match = "/locations/l001-0/",
		.count = 100,
		.status = 404,
		.retry_after_ms = -1,
		.body = "{\"error\":{\"code\":404,\"message\":\"Requested entity was not "
			"found.\",\"status\":\"NOT_FOUND\"}}"};
	assert_string_equal(world_run(job), "partial");
	assert_int_equal(world_number(ALL_REVIEWS), truth() - 14);
	assert_status_holds(job, "\"errors_total\":2");
	assert_status_holds(job, "\"location_id\":\"l001-0\",\"location_title\":\"A "
				 "place\",\"error\":\"Google answered 404");
	assert_status_holds(job, "\"percent\":50");
	assert_int_equal(
		world_number("SELECT count(*) FROM locations WHERE last_error IS NOT NULL"), 2);
	/* 500: once and three retries. 404: once. */
	assert_int_equal(world.calls_all, 1 + 2 + 2 + 4 + 1);
	/* … and the next job that reads it clears the error. */
	world.rules[0].match = world.rules[1].match = NULL;
	assert_string_equal(world_run(world_job()), "completed");
	assert_int_equal(
		world_number("SELECT count(*) FROM locations WHERE last_error IS NOT NULL"), 0);
}

static void a_project_that_is_not_approved_fails_the_job_with_what_to_do(void **state)
{
	const char *job = world_job();

	(void)state;
	world.rules[0] = (struct rule){.match = "/v4/",
		.count = 100,
		.status = 403,
		.retry_after_ms = -1,
		.body = "{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\",\"message\":"
			"\"x\",\"details\":[{\"reason\":\"SERVICE_DISABLED\"}]}}"};
	assert_string_equal(world_run(job), "failed");
	assert_status_holds(
		job, "the Cloud project is not approved for the Google My Business API (v4)");
	assert_true(world.calls[2] == 0 && world.calls_all <= 3 + 4);
}

static void a_throttled_job_waits_says_until_when_and_goes_on(void **state)
{
	const char *job = world_job();
	bool shown = false;

	(void)state;
	world.rules[0] = (struct rule){
		.match = "/v4/", .skip = 1, .count = 4, .status = 429, .retry_after_ms = 45000};
	for (int i = 0; i < 400 && !shown; i++) {
		(void)world_step();
		shown = strstr(world_status(job), "\"status\":\"waiting\"") != NULL;
	}
	assert_true(shown);
	assert_status_holds(job, "\"waiting_until\":\"2026-01-01T00:0");
	assert_true(world_number("SELECT waiting_until_ms FROM jobs") > world.wall_ms + 40000);
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(ALL_REVIEWS), truth());
	assert_status_holds(job, "\"waiting_until\":null");
	assert_true(world.mono_ms > 45000);
}

static void without_a_hint_a_429_pauses_for_thirty_seconds_and_all_walks_with_it(void **state)
{
	const char *job = world_job();

	(void)state;
	world.rules[0] =
		(struct rule){.match = "/v4/", .count = 1, .status = 429, .retry_after_ms = -1};
	assert_string_equal(world_run(job), "completed");
	assert_true(world.mono_ms >= 31000 && world.mono_ms < 60000);
}

static void a_project_that_only_ever_says_429_is_diagnosed(void **state)
{
	const char *job = world_job();

	(void)state;
	world.rules[0] = (struct rule){
		.match = "/v1/accounts?", .count = 100, .status = 429, .retry_after_ms = 1000};
	assert_string_equal(world_run(job), "failed");
	assert_status_holds(job, "answers 429 to every call: the Cloud project is not approved");
	assert_int_equal(world.calls_all, 5);
}

static void requests_are_paced_evenly_over_all_walks(void **state)
{
	int64_t began = world.mono_ms;

	(void)state;
	world.accounts = 1;
	world.locations = 50;
	world.reviews = 1;
	world.settings.google_requests_per_minute = 60;
	world_kill();
	world_begin();
	assert_string_equal(world_run(world_job()), "completed");
	assert_true(world.mono_ms - began >= 49 * 1000);
	assert_true(world.mono_ms - began <= 70 * 1000);
}

static void a_stale_page_token_restarts_that_listing_alone(void **state)
{
	const char *job = world_job();

	(void)state;
	world.page_size = 3;
	world.rules[0] = (struct rule){.match = "l000-1/reviews",
		.skip = 1,
		.count = 1,
		.status = 400,
		.retry_after_ms = -1,
		.body = "{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"message\":"
			"\"Request contains an invalid argument.\"}}"};
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(ALL_REVIEWS), truth());
	assert_int_equal(world_number("SELECT reviews FROM jobs"), truth());
	assert_int_equal(world_number("SELECT reviews_new FROM jobs"), truth());
	assert_int_equal(world_number("SELECT sum(pass) FROM job_walks"), 7 + 1);
	/* 1 + 2 + 4 × 3, the refused page, and the first page again */
	assert_int_equal(world.calls_all, 15 + 2);
}

static void a_listing_that_stays_stale_is_given_up(void **state)
{
	const char *job = world_job();

	(void)state;
	world.page_size = 3;
	world.rules[0] = (struct rule){.match = "pageToken=p3",
		.count = 1000,
		.status = 400,
		.retry_after_ms = -1,
		.body = "{\"error\":{\"status\":\"INVALID_ARGUMENT\",\"message\":\"bad page "
			"token\"}}"};
	assert_string_equal(world_run(job), "partial");
	assert_status_holds(job, "out of date, again and again");
	assert_true(world.calls_all < 60);
}

static void pages_that_run_in_a_circle_do_not_run_for_ever(void **state)
{
	(void)state;
	for (int s = 0; s < 2; s++) {
		const char *job;

		world_down(NULL);
		world_up(NULL);
		world.page_size = 3;
		world.circle_is_short = s;
		world.circling_location = "l000-0";
		job = world_job();
		assert_string_equal(world_run(job), "partial");
		assert_status_holds(job, "in a circle");
		assert_true(world.calls_all < 80);
		/* The others are whole. */
		assert_int_equal(
			world_number("SELECT count(*) FROM reviews WHERE location_id <> 'l000-0'"),
			truth() - 7);
	}
}

static void a_location_of_several_accounts_is_walked_once_with_all_its_parents(void **state)
{
	const char *job;

	(void)state;
	world.all_share_one = true;
	job = world_job();
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number("SELECT count(*) FROM locations"), 5);
	assert_int_equal(world_number("SELECT locations FROM jobs"), 5);
	assert_int_equal(
		world_number("SELECT count(*) FROM location_parents WHERE location_id = 'shared'"),
		2);
	assert_int_equal(
		world_number("SELECT count(*) FROM job_walks WHERE location_id = 'shared'"), 1);
	assert_int_equal(world.calls[2], 5);
}

static void a_count_that_disagrees_is_read_again_and_then_said(void **state)
{
	const char *job = world_job();

	(void)state;
	world.lying_location = "l000-0";
	world.lie = 2;
	world.lies = 100;
	assert_string_equal(world_run(job), "partial");
	assert_status_holds(job, "Google says this location has 9 reviews, and 7 came");
	assert_int_equal(world.calls[2], 5);
	assert_int_equal(world_number("SELECT reviews FROM jobs"), truth());
	/* What came is kept. */
	assert_int_equal(world_number(ALL_REVIEWS), truth());
}

static void a_count_that_agrees_the_second_time_is_complete(void **state)
{
	const char *job = world_job();

	(void)state;
	world.lying_location = "l000-0";
	world.lie = 2;
	world.lies = 1;
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world.calls[2], 5);
}

static void a_review_that_moves_while_pages_are_read_is_found_by_the_second_pass(void **state)
{
	const char *job = world_job();

	(void)state;
	world.page_size = 3;
	world.moving_location = "l000-0";
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(ALL_REVIEWS), truth());
	assert_int_equal(world_number("SELECT reviews_new FROM jobs"), truth());
}

static void places_without_anything_are_fine(void **state)
{
	(void)state;
	world.reviews = 0;
	assert_string_equal(world_run(world_job()), "completed");
	world.locations = 0;
	assert_string_equal(world_run(world_job()), "completed");
	world.accounts = 0;
	assert_string_equal(world_run(world_job()), "completed");
	assert_int_equal(world_number(ALL_REVIEWS), 0);
}

static void a_cancelled_job_ends_even_while_it_waits(void **state)
{
	const char *job = world_job();
	struct fault f = {0};

	(void)state;
	world.rules[0] = (struct rule){
		.match = "/v4/", .count = 1000, .status = 429, .retry_after_ms = 3600000};
	for (int i = 0; i < 80; i++)
		(void)world_step();
	assert_status_holds(job, "\"status\":\"waiting\"");
	int64_t began = world.mono_ms;
	assert_int_equal(jobs_cancel(world.rf, job, NULL, &f), 0);
	assert_string_equal(world_run(job), "cancelled");
	assert_int_equal(world.mono_ms, began);
	assert_int_equal(jobs_cancel(world.rf, job, NULL, &f), -1);
	assert_int_equal(f.kind, FAULT_CONFLICT);
	assert_int_equal(jobs_cancel(world.rf, "none", NULL, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	assert_string_equal(f.text, "Job none not found");
}

static void a_job_cancelled_before_a_restart_stays_cancelled(void **state)
{
	const char *job = world_job();
	struct fault f = {0};

	(void)state;
	for (int i = 0; i < 20; i++)
		(void)world_step();
	assert_int_equal(jobs_cancel(world.rf, job, NULL, &f), 0);
	world_kill();
	world_begin();
	assert_string_equal(world_run(job), "cancelled");
}

static void an_identical_job_is_joined_until_it_ends(void **state)
{
	struct job_input in = {.branch_id = "harbour", .mode = "full"};
	struct job_input quick = {.branch_id = "harbour", .mode = "quick"};
	char first[37], second[37];
	struct fault f = {0};

	(void)state;
	assert_int_equal(jobs_start(world.rf, &in, first, &f), 0);
	assert_int_equal(jobs_start(world.rf, &in, second, &f), 1);
	assert_string_equal(first, second);
	assert_int_equal(jobs_start(world.rf, &quick, second, &f), 0);
	assert_string_equal(world_run(first), "completed");
	assert_string_equal(world_run(second), "completed");
	assert_int_equal(jobs_start(world.rf, &in, second, &f), 0);
	assert_string_not_equal(first, second);
}

static void branches_that_cannot_be_read_start_no_job(void **state)
{
	struct job_input in = {.branch_id = "nowhere", .mode = "full"};
	struct fault f = {0};
	char id[37];

	(void)state;
	assert_int_equal(jobs_start(world.rf, &in, id, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	in.branch_id = "harbour";
	world.client_status = "pending";
	assert_int_equal(jobs_start(world.rf, &in, id, &f), -1);
	assert_int_equal(f.kind, FAULT_CONFLICT);
	assert_non_null(strstr(f.text, "connect link"));
	world.client_status = "needs_reconnect";
	assert_int_equal(jobs_start(world.rf, &in, id, &f), -1);
	assert_int_equal(f.kind, FAULT_CONFLICT);
	assert_int_equal(world_number("SELECT count(*) FROM jobs"), 0);
}

static void start_own(char id[static 37])
{
	struct job_input in = {.access_token = secret_from("own-token", 9), .mode = "full"};
	struct fault f = {0};

	assert_int_equal(jobs_start(world.rf, &in, id, &f), 0);
	assert_null(in.access_token.bytes);
}

static void a_job_with_a_token_of_its_own_uses_that_and_stores_it_nowhere(void **state)
{
	char id[37];

	(void)state;
	start_own(id);
	assert_string_equal(world_run(id), "completed");
	assert_int_equal(world.tokens_asked, 0);
	assert_int_equal(world_number(ALL_REVIEWS), truth());
	assert_int_equal(world_number("SELECT count(*) FROM accounts WHERE branch_id = ''"), 2);
	assert_null(strstr(world_status(id), "own-token"));
}

static void a_token_of_its_own_that_is_refused_ends_the_job(void **state)
{
	char id[37];

	(void)state;
	start_own(id);
	world.rules[0] = (struct rule){
		.match = "/v4/", .skip = 2, .count = 1, .status = 401, .retry_after_ms = -1};
	assert_string_equal(world_run(id), "failed");
	assert_status_holds(id, "refuses this access token");
}

static void a_restart_fails_jobs_whose_token_was_in_memory_and_says_why(void **state)
{
	char id[37];

	(void)state;
	start_own(id);
	for (int i = 0; i < 25; i++)
		(void)world_step();
	world_kill();
	world_begin();
	assert_string_equal(world_run(id), "failed");
	assert_status_holds(id, "held in memory only");
}

static void a_job_whose_lease_another_process_took_writes_nothing_more(void **state)
{
	const char *job = world_job();
	struct fault f = {0};

	(void)state;
	for (int i = 0; i < 30; i++)
		(void)world_step();
	assert_int_equal(world_number("UPDATE jobs SET fence = fence + 1, lease_owner = 'other',"
				      " lease_until_ms = 9999999999999 RETURNING 0"),
		0);
	for (int i = 0; i < 300; i++)
		(void)world_step();
	assert_string_equal(world_text("SELECT status FROM jobs"), "running");
	(void)job;
	(void)f;
}

static void many_jobs_run_at_once_and_more_wait_their_turn(void **state)
{
	char ids[70][37];

	(void)state;
	world.accounts = world.locations = world.reviews = 1;
	world.settings.google_requests_per_minute = 100000; /* nobody waits for quota */
	for (int i = 0; i < 70; i++)
		start_own(ids[i]);
	assert_int_equal(world_number("SELECT count(*) FROM jobs WHERE status = 'queued'"), 6);
	for (int i = 0; i < 70; i++)
		assert_string_equal(world_run(ids[i]), "completed");
}

/* Whichever transactions fail, the steps they belong to come again, and nothing is lost or counted
 * twice. */
static void a_database_that_fails_anywhere_delays_the_job_and_loses_nothing(void **state)
{
	(void)state;
	for (int n = 0; n < 45; n++) {
		const char *job;

		world_down(NULL);
		world_up(NULL);
		world.page_size = 3;
		job = world_job();
		world.store_fails_in = n;
		world.store_fails = 3;
		if (!text_equal(world_run(job), "completed"))
			fail_msg("transaction %d: %s", n, world_status(job));
		assert_int_equal(world_number(ALL_REVIEWS), truth());
		assert_int_equal(world_number("SELECT reviews_new FROM jobs"), truth());
		assert_int_equal(world_number("SELECT pages FROM jobs"), 15);
	}
}

static void a_page_too_large_or_too_full_is_given_up_not_swallowed(void **state)
{
	AUTO(buf_drop) struct buf page = BUF_INIT(1 << 20);
	const char *job = world_job();

	(void)state;
	buf_add_text(&page, "{\"reviews\":[{}");
	for (int i = 0; i < 5000; i++)
		buf_add_text(&page, ",{}");
	buf_add_text(&page, "]}");
	world.rules[0] = (struct rule){.match = "l000-0/reviews",
		.count = 100,
		.status = 200,
		.body = buf_text(&page),
		.retry_after_ms = -1};
	world.rules[1] = (struct rule){.match = "l001-0/reviews",
		.count = 100,
		.result = NET_TOO_LARGE,
		.retry_after_ms = -1};
	assert_string_equal(world_run(job), "partial");
	assert_status_holds(job, "5001 items, more than a page can");
	assert_status_holds(job, "larger than a page of Google's can be");
	assert_int_equal(world_number(ALL_REVIEWS), truth() - 14);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(every_page_of_all_three_levels_is_walked),
		T(what_google_says_is_stored_as_it_is),
		T(repeating_a_job_changes_nothing),
		T(a_process_that_dies_between_any_two_steps_loses_and_doubles_nothing),
		T(a_job_that_dies_at_every_turn_still_ends),
		T(a_token_that_ends_mid_job_is_replaced_and_no_page_is_lost),
		T(a_grant_that_is_dead_ends_the_job_and_says_reconnect),
		T(tokens_that_google_keeps_refusing_end_the_job_after_one_retry),
		T(a_provider_outage_delays_the_job_only),
		T(failures_that_pass_are_retried),
		T(one_bad_location_is_parked_and_its_neighbours_are_read),
		T(a_project_that_is_not_approved_fails_the_job_with_what_to_do),
		T(a_throttled_job_waits_says_until_when_and_goes_on),
		T(without_a_hint_a_429_pauses_for_thirty_seconds_and_all_walks_with_it),
		T(a_project_that_only_ever_says_429_is_diagnosed),
		T(requests_are_paced_evenly_over_all_walks),
		T(a_stale_page_token_restarts_that_listing_alone),
		T(a_listing_that_stays_stale_is_given_up),
		T(pages_that_run_in_a_circle_do_not_run_for_ever),
		T(a_location_of_several_accounts_is_walked_once_with_all_its_parents),
		T(a_count_that_disagrees_is_read_again_and_then_said),
		T(a_count_that_agrees_the_second_time_is_complete),
		T(a_review_that_moves_while_pages_are_read_is_found_by_the_second_pass),
		T(places_without_anything_are_fine),
		T(a_cancelled_job_ends_even_while_it_waits),
		T(a_job_cancelled_before_a_restart_stays_cancelled),
		T(an_identical_job_is_joined_until_it_ends),
		T(branches_that_cannot_be_read_start_no_job),
		T(a_job_with_a_token_of_its_own_uses_that_and_stores_it_nowhere),
		T(a_token_of_its_own_that_is_refused_ends_the_job),
		T(a_restart_fails_jobs_whose_token_was_in_memory_and_says_why),
		T(a_job_whose_lease_another_process_took_writes_nothing_more),
		T(many_jobs_run_at_once_and_more_wait_their_turn),
		T(a_database_that_fails_anywhere_delays_the_job_and_loses_nothing),
		T(a_page_too_large_or_too_full_is_given_up_not_swallowed),
	};
	return cmocka_run_group_tests_name("review_fetcher/walk", tests, NULL, NULL);
}
