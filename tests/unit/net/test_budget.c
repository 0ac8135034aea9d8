/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "net/net.h"

#define SECOND_US 1000000

static void starts_are_evenly_spaced(void **state)
{
	struct net_pace p = net_pace(300, 1);
	struct net_share s = {.next_us = 5 * SECOND_US, .interval_us = p.interval_us, .n = 1000};

	(void)state;
	assert_int_equal(p.interval_us, 203334); /* 61 s / 300, rounded up */
	assert_int_equal(p.lead_us, 0);
	for (int i = 0; i < 1000; i++) {
		int64_t due_us = 5 * SECOND_US + i * p.interval_us;

		if (i > 0)
			assert_int_equal(net_share_take(&s, due_us - 50), 50);
		assert_int_equal(net_share_take(&s, due_us), 0);
	}
	assert_int_equal(net_share_take(&s, 1000 * SECOND_US), -1);
}

/* The most starts of a GCRA calendar that any minute can hold when each is late by chance. */
static int most_in_a_minute(int per_minute, int burst)
{
	enum { STARTS = 400 };
	struct net_pace p = net_pace(per_minute, burst);
	int64_t arrives_us[STARTS], next_us = 0;
	int most = 0;

	for (int i = 0; i < STARTS; i++) {
		int64_t start_us = next_us - p.lead_us > 0 ? next_us - p.lead_us : 0;

		next_us = (next_us > start_us ? next_us : start_us) + p.interval_us;
		arrives_us[i] = start_us + (i * 7919) % NET_START_SLACK_US;
	}
	for (int i = 0; i < STARTS; i++) {
		int n = 0;

		for (int j = 0; j < STARTS; j++)
			n += arrives_us[j] >= arrives_us[i] &&
			     arrives_us[j] < arrives_us[i] + 60 * SECOND_US;
		most = n > most ? n : most;
	}
	return most;
}

static void no_minute_sees_more_than_the_budget(void **state)
{
	static const int cases[][2] = {
		{1, 1}, {7, 1}, {7, 3}, {10, 5}, {30, 5}, {60, 60}, {300, 1}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int most = most_in_a_minute(cases[i][0], cases[i][1]);

		assert_true(most <= cases[i][0]);
		assert_true(most >= cases[i][0] - 1 - cases[i][0] / 50);
	}
}

static void a_start_that_comes_late_is_used_and_one_that_comes_too_late_is_lost(void **state)
{
	struct net_share s = {.next_us = 0, .interval_us = 100000, .n = 50};

	(void)state;
	assert_int_equal(net_share_take(&s, NET_START_SLACK_US), 0);
	/* those of 0.1 to 2.0 s are lost, the one of 2.1 s is not */
	assert_int_equal(net_share_take(&s, 2100000 + NET_START_SLACK_US), 0);
	assert_int_equal(s.next_us, 2200000);
	assert_int_equal(s.n, 50 - 22);
	assert_int_equal(net_share_take(&s, 60 * SECOND_US), -1);
	assert_int_equal(s.n, 0);
}

static void senseless_values_count_as_one(void **state)
{
	struct net_pace p = net_pace(0, -4);

	(void)state;
	assert_int_equal(p.interval_us, 61 * SECOND_US);
	assert_int_equal(p.lead_us, 0);
	p = net_pace(3, 100);
	assert_int_equal(p.interval_us, 61 * SECOND_US);
	assert_int_equal(p.lead_us, 2 * 61 * SECOND_US);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_are_evenly_spaced),
		cmocka_unit_test(no_minute_sees_more_than_the_budget),
		cmocka_unit_test(
			a_start_that_comes_late_is_used_and_one_that_comes_too_late_is_lost),
		cmocka_unit_test(senseless_values_count_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
