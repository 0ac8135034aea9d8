/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "base/rand.h"
#include "core/backoff.h"

static uint64_t drawn;

static void draw(void *ret, size_t len)
{
	assert_int_equal(len, sizeof(drawn));
	memcpy(ret, &drawn, len);
}

static struct settings retry_settings(double multiplier)
{
	return (struct settings){
		.retry_initial_backoff_ms = 1000,
		.retry_max_backoff_ms = 60000,
		.retry_backoff_multiplier = multiplier,
	};
}

static int64_t longest_seen(const struct settings *s, unsigned attempt)
{
	int64_t longest = 0;

	rand_use(NULL);
	for (int i = 0; i < 5000; i++) {
		int64_t delay = backoff_delay_ms(s, attempt);

		assert_true(delay >= 0);
		longest = delay > longest ? delay : longest;
	}
	return longest;
}

static void a_delay_ranges_from_nothing_to_its_attempts_bound(void **state)
{
	static const int64_t bounds[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
	struct settings s = retry_settings(2.0);

	(void)state;
	rand_use(draw);
	for (unsigned i = 0; i < ARRAY_LEN(bounds); i++) {
		drawn = (uint64_t)(bounds[i] + 1) << 40; /* a multiple: the least of the range */
		assert_int_equal(backoff_delay_ms(&s, i + 1), 0);
		drawn--;
		assert_int_equal(backoff_delay_ms(&s, i + 1), bounds[i]);
	}
	rand_use(NULL);
}

static void delays_are_spread_over_the_whole_range(void **state)
{
	struct settings s = retry_settings(2.0);
	int64_t longest = longest_seen(&s, 4);

	(void)state;
	assert_in_range(longest, 7200, 8000);
}

static void a_huge_attempt_number_stays_at_the_maximum(void **state)
{
	struct settings growing = retry_settings(10.0);
	struct settings constant = retry_settings(1.0);

	(void)state;
	assert_true(longest_seen(&growing, UINT32_MAX) <= 60000);
	assert_true(longest_seen(&constant, UINT32_MAX) <= 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_delay_ranges_from_nothing_to_its_attempts_bound),
		cmocka_unit_test(delays_are_spread_over_the_whole_range),
		cmocka_unit_test(a_huge_attempt_number_stays_at_the_maximum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
