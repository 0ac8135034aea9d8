/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <string.h>

#include "net/transfer.h"

#define NOW_MS INT64_C(784111767500) /* Sun, 06 Nov 1994 08:49:27.5 GMT */
#define DAYS_30_MS (INT64_C(30) * 24 * 3600 * 1000)

static int64_t wait_ms(const char *value)
{
	return transfer_retry_after_ms(value, strlen(value), NOW_MS);
}

static void seconds_are_read(void **state)
{
	(void)state;
	assert_int_equal(wait_ms("120"), 120000);
	assert_int_equal(wait_ms(" \t120 \r\n"), 120000);
	assert_int_equal(wait_ms("0"), 0);
}

static void all_three_date_forms_are_read(void **state)
{
	(void)state;
	assert_int_equal(wait_ms("Sun, 06 Nov 1994 08:49:37 GMT"), 9500);
	assert_int_equal(wait_ms("Sunday, 06-Nov-94 08:49:37 GMT"), 9500);
	assert_int_equal(wait_ms("Sun Nov  6 08:49:37 1994"), 9500);
}

static void a_date_in_the_past_means_now(void **state)
{
	(void)state;
	assert_int_equal(wait_ms("Sun, 06 Nov 1994 08:00:00 GMT"), 0);
}

static void a_wait_beyond_reason_is_cut(void **state)
{
	(void)state;
	assert_int_equal(wait_ms("99999999999999999999999999"), DAYS_30_MS);
	assert_int_equal(wait_ms("2592001"), DAYS_30_MS);
	assert_int_equal(wait_ms("Fri, 31 Dec 2100 23:59:59 GMT"), DAYS_30_MS);
}

static void what_is_neither_is_none(void **state)
{
	static const char *const values[] = {"", " ", "-5", "1.5", "soon", "120 s",
		"Xyz, 99 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT and a lot of text that never seems to end"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		assert_int_equal(wait_ms(values[i]), -1);
	assert_int_equal(transfer_retry_after_ms("1\0002", 3, NOW_MS), -1);
}

static int64_t fresh_ms(const char *value)
{
	return transfer_max_age_ms(value, strlen(value));
}

static void max_age_is_found_among_directives(void **state)
{
	(void)state;
	assert_int_equal(
		fresh_ms(" public, max-age=19845, must-revalidate, no-transform\r\n"), 19845000);
	assert_int_equal(fresh_ms("Max-Age=0"), 0);
	assert_int_equal(fresh_ms("max-age=99999999999999999999"), INT64_C(31536000000));
}

static void what_may_not_be_kept_is_not(void **state)
{
	(void)state;
	assert_int_equal(fresh_ms("max-age=600, no-store"), 0);
	assert_int_equal(fresh_ms("No-Cache"), 0);
}

static void no_max_age_is_none(void **state)
{
	static const char *const values[] = {
		"", "public", "max-age", "max-age=", "max-age=-1", "max-age=1x", "s-maxage=7"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		assert_int_equal(fresh_ms(values[i]), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(max_age_is_found_among_directives),
		cmocka_unit_test(what_may_not_be_kept_is_not),
		cmocka_unit_test(no_max_age_is_none),
		cmocka_unit_test(seconds_are_read),
		cmocka_unit_test(all_three_date_forms_are_read),
		cmocka_unit_test(a_date_in_the_past_means_now),
		cmocka_unit_test(a_wait_beyond_reason_is_cut),
		cmocka_unit_test(what_is_neither_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
