/* SPDX-License-Identifier: Apache-2.0 */
/* Reviews that change while pages of them are on their way. */
#include "shop.h"
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "review_fetcher/reviews.h"

#define CHANGES "SELECT count(*) FROM review_changes WHERE kind <> 'new'"
#define LIVE "SELECT count(*) FROM reviews WHERE deleted_at_ms IS NULL"
#define HOUR_MS 3600000LL

static void fill(int n)
{
	shops_open(1, n);
	world.wall_ms += HOUR_MS;
	assert_string_equal(world_run(world_job()), "completed");
	assert_int_equal(world_number(LIVE), n);
	shops.shop[0].lie = shops.lists = shops.gets = 0;
	world.wall_ms += HOUR_MS;
}

/* Until Google has answered with that page, which is not stored yet. */
static void run_to_answer(const char *match)
{
	*world.last_url = '\0';
	while (!strstr(world.last_url, match))
		assert_true(world_step());
}

static int store_one(struct db *db, void *arg, struct fault *f)
{
	const struct google_review *r = arg;
	struct review_counts counts = {0};
	const struct review_place at = {.account_id = "100000000000000000000",
		.location_id = "l000-0",
		.branch_id = "harbour",
		.pass_started_ms = world.wall_ms,
		.now_ms = world.wall_ms};

	return review_store(db, &at, r, &counts, f);
}

/* As after a reply from here, or a push message: read by its name, and stored. */
static void read_by_name(int i)
{
	AUTO(buf_drop) struct buf json = BUF_INIT(1 << 20);
	struct google_page page;
	struct fault f = {0};

	world.wall_ms += 300;
	world.mono_ms += 300;
	shop_write(0, i, &json);
	assert_int_equal(google_review_read(json.data, json.len, &page, &f), 0);
	assert_int_equal(store_transact(world.store, store_one, &page.reviews[0], &f), 0);
	google_page_done(&page);
	world.wall_ms += 300;
	world.mono_ms += 300;
}

static const char *kind_of_last_change(void)
{
	return world_text("SELECT kind FROM review_changes ORDER BY detected_at_ms DESC, n DESC"
			  " LIMIT 1");
}

static void a_reply_from_here_outlives_a_page_from_before_it(void **state)
{
	struct shop_review *r = &shops.shop[0].reviews[3];
	const char *job;

	(void)state;
	fill(5);
	job = world_job();
	run_to_answer("l000-0/reviews?");
	r->reply = "Thanks";
	r->reply_s = world.wall_ms / 1000;
	read_by_name(3);
	assert_int_equal(world_number(CHANGES), 1);
	assert_string_equal(world_run(job), "completed"); /* with a page that has no reply */
	assert_int_equal(world_number(CHANGES), 1);
	assert_string_equal(
		world_text("SELECT reply_text FROM reviews WHERE review_id = 'r3'"), "Thanks");
	/* And taken away: a page that still has it does not bring it back. */
	job = world_job();
	run_to_answer("l000-0/reviews?");
	r->reply = NULL;
	read_by_name(3);
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(CHANGES), 2);
	assert_string_equal(kind_of_last_change(), "reply_removed");
	/* A page that was asked for later is believed. */
	r->reply = "By another hand";
	world.wall_ms += HOUR_MS;
	assert_string_equal(world_run(world_job()), "completed");
	assert_int_equal(world_number(CHANGES), 3);
	assert_string_equal(kind_of_last_change(), "reply_added");
}

static void an_edit_in_a_page_from_before_a_reply_is_not_lost(void **state)
{
	struct shop_review *r = &shops.shop[0].reviews[3];
	const char *job, *before;

	(void)state;
	fill(5);
	before = r->comment;
	r->comment = "Edited";
	job = world_job();
	run_to_answer("l000-0/reviews?");
	r->comment = before; /* what was read for the reply is older than the page */
	r->reply = "Thanks";
	r->reply_s = world.wall_ms / 1000;
	read_by_name(3);
	r->comment = "Edited";
	assert_string_equal(world_run(job), "completed");
	assert_string_equal(
		world_text("SELECT comment FROM reviews WHERE review_id = 'r3'"), "Edited");
	assert_string_equal(
		world_text("SELECT reply_text FROM reviews WHERE review_id = 'r3'"), "Thanks");
	assert_int_equal(world_number(CHANGES), 2);
}

static void a_review_that_is_read_again_after_a_purge_is_told_under_an_id_of_its_own(void **state)
{
	static const char told[] = "SELECT count(*) FROM events WHERE kind = 'review.new'";

	(void)state;
	fill(5);
	assert_int_equal(world_number(told), 5);
	world_number("DELETE FROM reviews");
	world_number("UPDATE locations SET watermark_us = NULL");
	assert_string_equal(world_run(world_job()), "completed");
	assert_int_equal(world_number(LIVE), 5);
	assert_int_equal(world_number(told), 10);
}

/* A clock that was set back makes what is stored look younger than any answer. */
static void a_deletion_is_believed_after_the_clock_was_set_back(void **state)
{
	(void)state;
	fill(5);
	world_number("UPDATE reviews SET updated_at_ms = updated_at_ms + 360000000");
	shops.shop[0].reviews[3].gone = true;
	assert_string_equal(world_run(world_job()), "completed");
	assert_int_equal(world_number(LIVE), 4);
}

static void a_review_that_returned_is_not_deleted_by_an_answer_from_before(void **state)
{
	struct shop_review *r = &shops.shop[0].reviews[3];
	const char *job;

	(void)state;
	fill(5);
	r->gone = true;
	job = world_job();
	run_to_answer("/reviews/r3");
	r->gone = false;
	r->comment = "Back again";
	read_by_name(3);
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(CHANGES), 1);
	assert_string_equal(kind_of_last_change(), "edited");
	assert_int_equal(world_number(LIVE), 5);
}

static void what_comes_while_pages_are_read_costs_the_first_page_again_and_not_all(void **state)
{
	const char *job;

	(void)state;
	world.page_size = 10;
	fill(200);
	for (int round = 0; round < 2; round++) {
		job = world_job();
		shops.lists = 0;
		run_to_answer("pageToken=p50");
		for (int i = 0; i < 3; i++)
			shop_add(0);
		/* Google counts them at once, and they move what is behind them. */
		assert_string_equal(world_run(job), "completed");
		assert_in_range(shops.lists, 21, 23);
		assert_int_equal(world_number(LIVE), 200 + 3 * (round + 1));
		world.wall_ms += HOUR_MS;
	}
	assert_int_equal(world_number(CHANGES), 0);
	assert_int_equal(shops.gets, 0);
}

/* One more with each page: no pass ever agrees with itself, but its top does. */
static void a_location_that_never_rests_is_read_completely_all_the_same(void **state)
{
	const char *job;
	int lists = 0;

	(void)state;
	world.page_size = 10;
	fill(200);
	job = world_job();
	shops.lists = 0;
	while (world_number("SELECT count(*) FROM jobs WHERE finished_at_ms IS NULL") > 0) {
		assert_true(world_step());
		if (shops.lists > lists && shops.lists < 21) {
			lists = shops.lists;
			world.wall_ms += 1000;
			world.mono_ms += 1000;
			shop_add(0);
		}
	}
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(LIVE), shops.shop[0].n);
	assert_true(shops.lists < 40);
}

static void a_deletion_while_pages_are_read_ends_as_a_deletion(void **state)
{
	const char *job;

	(void)state;
	world.page_size = 10;
	fill(100);
	job = world_job();
	run_to_answer("pageToken=p50");
	shops.shop[0].reviews[99].gone = true; /* it was on the first page */
	assert_string_equal(world_run(job), "completed");
	assert_int_equal(world_number(CHANGES), 1);
	assert_string_equal(kind_of_last_change(), "deleted");
	assert_int_equal(world_number(LIVE), 99);
}

/* Google counts what it does not show: the first full pass looks twice, the later ones once. */
static void a_count_that_never_agrees_costs_no_second_reading_each_time(void **state)
{
	static const int lists[] = {10 + 1 + 10 + 1, 10, 10};

	(void)state;
	world.page_size = 10;
	fill(100);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const char *job;

		shops.shop[0].lie = 2;
		shops.lists = 0;
		world.wall_ms += HOUR_MS;
		job = world_job();
		assert_string_equal(world_run(job), "partial");
		assert_non_null(strstr(world_status(job),
			"Google says this location has 102 reviews, and 100 came"));
		assert_int_equal(shops.lists, lists[i]);
	}
	shops.shop[0].lie = 3; /* another gap is looked at again */
	shops.lists = 0;
	world.wall_ms += HOUR_MS;
	assert_string_equal(world_run(world_job()), "partial");
	assert_int_equal(shops.lists, 22);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(a_reply_from_here_outlives_a_page_from_before_it),
		T(an_edit_in_a_page_from_before_a_reply_is_not_lost),
		T(a_review_that_is_read_again_after_a_purge_is_told_under_an_id_of_its_own),
		T(a_deletion_is_believed_after_the_clock_was_set_back),
		T(a_review_that_returned_is_not_deleted_by_an_answer_from_before),
		T(what_comes_while_pages_are_read_costs_the_first_page_again_and_not_all),
		T(a_location_that_never_rests_is_read_completely_all_the_same),
		T(a_deletion_while_pages_are_read_ends_as_a_deletion),
		T(a_count_that_never_agrees_costs_no_second_reading_each_time),
	};
	return cmocka_run_group_tests_name("review_fetcher/moving", tests, NULL, NULL);
}
