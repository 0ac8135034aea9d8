/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "net/net.h"

static void starts_are_evenly_spaced(void **state)
{
	struct net_budget b;

	(void)state;
	net_budget_init(&b, 300, 1); /* one every 200 ms */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(net_budget_take(&b, 5000), i * 200);
	/* the thousand starts are reserved: whoever comes later waits behind them */
	assert_int_equal(net_budget_take(&b, 5000 + 1000 * 200 - 50), 50);
}

static void quiet_time_is_not_saved_up_beyond_the_burst(void **state)
{
	struct net_budget b;

	(void)state;
	net_budget_init(&b, 60, 3);
	assert_int_equal(net_budget_take(&b, 0), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(net_budget_take(&b, 3600000), 0);
	assert_int_equal(net_budget_take(&b, 3600000), 1000);
	assert_int_equal(net_budget_take(&b, 3600000), 2000);
}

static void no_minute_sees_more_than_the_budget(void **state)
{
	enum { PER_MINUTE = 7 };
	struct net_budget b;
	int64_t starts[200], now_ms = 1;

	(void)state;
	net_budget_init(&b, PER_MINUTE, 1);
	for (int i = 0; i < 200; i++) {
		starts[i] = now_ms + net_budget_take(&b, now_ms);
		now_ms += i % 3 ? 17 : 9000;
		if (i >= PER_MINUTE)
			assert_true(starts[i] - starts[i - PER_MINUTE] >= 60000);
	}
}

static void a_pause_holds_and_no_burst_follows_it(void **state)
{
	struct net_budget b;

	(void)state;
	net_budget_init(&b, 600, 5); /* one every 100 ms */
	assert_int_equal(net_budget_take(&b, 1000), 0);
	net_budget_pause(&b, 31000);
	assert_int_equal(net_budget_take(&b, 1000), 30000);
	assert_int_equal(net_budget_take(&b, 31000), 100);
	assert_int_equal(net_budget_take(&b, 31000), 200);
}

static void a_shorter_pause_does_not_end_a_longer_one(void **state)
{
	struct net_budget b;

	(void)state;
	net_budget_init(&b, 600, 1);
	net_budget_pause(&b, 60000);
	net_budget_pause(&b, 10000);
	assert_int_equal(net_budget_take(&b, 0), 60000);
}

static void senseless_values_count_as_one(void **state)
{
	struct net_budget b;

	(void)state;
	net_budget_init(&b, 0, -4);
	assert_int_equal(net_budget_take(&b, 0), 0);
	assert_int_equal(net_budget_take(&b, 0), 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_are_evenly_spaced),
		cmocka_unit_test(quiet_time_is_not_saved_up_beyond_the_burst),
		cmocka_unit_test(no_minute_sees_more_than_the_budget),
		cmocka_unit_test(a_pause_holds_and_no_burst_follows_it),
		cmocka_unit_test(a_shorter_pause_does_not_end_a_longer_one),
		cmocka_unit_test(senseless_values_count_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
