/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/world.h"

#include <stdio.h>

#include "base/text.h"
#include "../test.h"

static const struct world world = {.seed = 7,
	.users = 3,
	.accounts = 4,
	.locations = 50,
	.reviews = 300,
	.end_us = INT64_C(1767225600000000)};

static void every_id_leads_back_to_its_number(void **state)
{
	char id[WORLD_ID_SIZE];

	(void)state;
	for (uint64_t n = 0; n < world_account_count(&world); n++) {
		world_account_id(&world, n, id);
		assert_int_equal(strlen(id), 21);
		assert_int_equal(world_account_find(&world, id, strlen(id)), n);
	}
	for (uint64_t n = 0; n < world_location_count(&world); n++) {
		world_location_id(&world, n, id);
		assert_in_range(strlen(id), 19, 21);
		assert_int_equal(world_location_find(&world, id, strlen(id)), n);
	}
}

static void a_changed_id_leads_nowhere(void **state)
{
	char id[WORLD_ID_SIZE], review[WORLD_REVIEW_ID_SIZE], broken[WORLD_REVIEW_ID_SIZE];
	uint32_t index;

	(void)state;
	world_location_id(&world, 11, id);
	for (size_t i = 0; id[i]; i++) {
		snprintf(broken, sizeof(broken), "%s", id);
		broken[i] = broken[i] == '9' ? '1' : (char)(broken[i] + 1);
		assert_true(world_location_find(&world, broken, strlen(broken)) == WORLD_NONE);
	}
	world_review_id(&world, 11, 5, review);
	for (size_t i = 0; review[i]; i++) {
		snprintf(broken, sizeof(broken), "%s", review);
		broken[i] = broken[i] == 'x' ? 'y' : 'x';
		assert_int_equal(
			world_review_find(&world, 11, broken, strlen(broken), 300, &index), 1);
	}
	assert_int_equal(world_review_find(&world, 12, review, strlen(review), 300, &index), 1);
	assert_int_equal(world_review_find(&world, 11, review, strlen(review), 5, &index), 1);
	assert_int_equal(world_review_find(&world, 11, review, strlen(review), 6, &index), 0);
	assert_int_equal(index, 5);
}

static void a_seed_decides_everything_and_another_seed_something_else(void **state)
{
	struct world same = world, other = world;
	char a[WORLD_REVIEW_ID_SIZE], b[WORLD_REVIEW_ID_SIZE], c[WORLD_REVIEW_ID_SIZE];
	AUTO(buf_drop) struct buf x = BUF_INIT(1 << 20);
	AUTO(buf_drop) struct buf y = BUF_INIT(1 << 20);

	(void)state;
	other.seed++;
	for (uint32_t i = 0; i < 100; i++) {
		world_review_id(&world, 3, i, a);
		world_review_id(&same, 3, i, b);
		world_review_id(&other, 3, i, c);
		assert_string_equal(a, b);
		assert_string_not_equal(a, c);
		world_comment(&world, 3, i, &x);
		world_comment(&same, 3, i, &y);
	}
	assert_string_equal(buf_text(&x), buf_text(&y));
}

static void update_times_rise_with_the_index_and_never_pass_the_end(void **state)
{
	(void)state;
	for (uint64_t l = 0; l < 20; l++) {
		uint32_t n = world_review_count(&world, l);
		int64_t before = INT64_MIN;

		for (uint32_t i = 0; i < n; i++) {
			struct review r;

			world_review(&world, l, i, &r);
			assert_true(r.update_us > before);
			assert_true(r.create_us <= r.update_us && r.update_us <= world.end_us);
			assert_true(!r.reply.is_there || r.reply.update_us <= world.end_us);
			before = r.update_us;
		}
	}
}

static void the_star_sum_is_the_sum_of_the_stars(void **state)
{
	struct world big = world;

	(void)state;
	big.reviews = 2000;
	for (uint64_t l = 0; l < 20; l++) {
		uint32_t n = world_review_count(&big, l);
		int64_t sum, rated, own = 0, counted = 0;

		for (uint32_t i = 0; i < n; i++) {
			int star = world_star(&big, l, i);

			assert_in_range(star, 0, 5);
			own += star;
			counted += star > 0;
		}
		world_star_sum(&big, l, n, &sum, &rated);
		assert_int_equal(sum, own);
		assert_int_equal(rated, counted);
	}
}

static void counts_vary_around_the_mean_unless_exact(void **state)
{
	struct world exact = world;
	int64_t sum = 0, empty = 0;

	(void)state;
	for (uint64_t l = 0; l < 600; l++) {
		uint32_t n = world_review_count(&world, l);

		assert_true(n <= 480);
		sum += n;
		empty += n == 0;
	}
	assert_in_range(sum, 600 * 300 * 9 / 10, 600 * 300 * 11 / 10);
	assert_in_range(empty, 10, 80);
	exact.reviews_exact = true;
	for (uint64_t l = 0; l < 600; l++)
		assert_int_equal(world_review_count(&exact, l), 300);
}

static void comments_are_utf8_of_at_most_4096_bytes_and_some_have_just_that(void **state)
{
	int64_t longest = 0;

	(void)state;
	for (uint32_t i = 0; i < 2000; i++) {
		AUTO(buf_drop) struct buf text = BUF_INIT(8192);

		world_comment(&world, 1, i, &text);
		assert_in_range(text.len, 1, WORLD_COMMENT_MAX);
		assert_true(text_is_utf8(text.data, text.len));
		longest += text.len == WORLD_COMMENT_MAX;
	}
	assert_in_range(longest, 10, 40);
}

static void users_are_found_by_their_address_only(void **state)
{
	char email[WORLD_NAME_SIZE];

	(void)state;
	world_user_email(&world, 2, email);
	assert_int_equal(world_user_find(&world, email), 2);
	assert_true(world_user_find(&world, "manager-4@shop.example") == WORLD_NONE);
	assert_true(world_user_find(&world, "manager-03@shop.example") == WORLD_NONE);
	assert_true(world_user_find(&world, "manager-1@shop.example ") == WORLD_NONE);
	assert_true(world_user_find(&world, NULL) == WORLD_NONE);
}

static void shared_locations_show_in_the_other_accounts_of_the_same_user(void **state)
{
	struct world shared = world;

	(void)state;
	shared.shared = 2;
	assert_int_equal(world_visible_count(&shared, 0), 50);
	assert_int_equal(world_visible_count(&shared, 1), 52);
	assert_int_equal(world_visible_at(&shared, 1, 50), 0);
	assert_int_equal(world_visible_at(&shared, 5, 51), 201);
	assert_true(world_is_visible(&shared, 1, 1));
	assert_false(world_is_visible(&shared, 1, 2));
	assert_false(world_is_visible(&shared, 5, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_id_leads_back_to_its_number),
		cmocka_unit_test(a_changed_id_leads_nowhere),
		cmocka_unit_test(a_seed_decides_everything_and_another_seed_something_else),
		cmocka_unit_test(update_times_rise_with_the_index_and_never_pass_the_end),
		cmocka_unit_test(the_star_sum_is_the_sum_of_the_stars),
		cmocka_unit_test(counts_vary_around_the_mean_unless_exact),
		cmocka_unit_test(comments_are_utf8_of_at_most_4096_bytes_and_some_have_just_that),
		cmocka_unit_test(users_are_found_by_their_address_only),
		cmocka_unit_test(shared_locations_show_in_the_other_accounts_of_the_same_user),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
