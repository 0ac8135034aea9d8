/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "base/clock.h"

static void instants_are_written_in_utc_with_z(void **state)
{
	char text[CLOCK_TEXT_SIZE];

	(void)state;
	assert_string_equal(clock_format_ms(0, text), "1970-01-01T00:00:00Z");
	assert_string_equal(clock_format_ms(1769860800123, text), "2026-01-31T12:00:00.123Z");
	assert_string_equal(clock_format_ms(-1, text), "1969-12-31T23:59:59.999Z");
}

static void instants_of_every_rfc_3339_form_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-01-31T12:00:00Z", 1769860800000000},
		{"2026-01-31t12:00:00.5z", 1769860800500000},
		{"2026-01-31T12:00:00.123456789Z", 1769860800123456},
		{"2026-01-31T14:30:00+02:30", 1769860800000000},
		{"2026-01-31T06:00:00.000-06:00", 1769860800000000},
		{"2024-02-29T00:00:00Z", 1709164800000000},
		{"2016-12-31T23:59:60Z", 1483228800000000},
		{"1969-12-31T23:59:59.000001Z", -999999},
	};
	int64_t us;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(clock_parse_us(cases[i].text, &us), 0);
		assert_int_equal(us, cases[i].us);
	}
}

static void what_is_not_an_instant_is_refused(void **state)
{
	static const char *const cases[] = {"", "2026", "2026-01-31", "2026-01-31T12:00:00",
		"2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-31T24:00:00Z",
		"2026-01-31T12:00:00.Z", "2026-01-31T12:00:00.1234567890Z",
		"2026-01-31T12:00:00+2:00", "2026-01-31T12:00:00Zx", "20260131T120000Z",
		"2026-00-10T00:00:00Z", "2026-01-00T00:00:00Z"};
	int64_t us = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(clock_parse_us(cases[i], &us), 1);
	assert_int_equal(us, 42);
}

static int64_t fixed(void *arg)
{
	return *(int64_t *)arg;
}

static void advance(void *arg, int64_t ms)
{
	*(int64_t *)arg += ms;
}

static void a_fake_source_replaces_all_time(void **state)
{
	int64_t now = 5000;
	struct clock_source fake = {fixed, fixed, advance, &now};

	(void)state;
	clock_use(&fake);
	clock_sleep_ms(250);
	assert_int_equal(clock_wall_ms(), 5250);
	assert_int_equal(clock_mono_ms(), 5250);
	clock_use(NULL);
	assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instants_are_written_in_utc_with_z),
		cmocka_unit_test(instants_of_every_rfc_3339_form_are_read),
		cmocka_unit_test(what_is_not_an_instant_is_refused),
		cmocka_unit_test(a_fake_source_replaces_all_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
