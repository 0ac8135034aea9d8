/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "base/json.h"

static void nesting_keys_and_commas_come_out_right(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(1000);
	struct json_out o = JSON_OUT(&b);

	(void)state;
	json_open(&o, '{');
	json_add_text(&o, "a", "x");
	json_key(&o, "list");
	json_open(&o, '[');
	json_put_int(&o, INT64_MIN);
	json_put_bool(&o, true);
	json_open(&o, '{');
	json_close(&o, '}');
	json_put_null(&o);
	json_close(&o, ']');
	json_add_text(&o, "none", NULL);
	json_add_time(&o, "at", 1769860800000);
	json_add_time(&o, "never", 0);
	json_close(&o, '}');
	assert_string_equal(buf_text(&b),
		"{\"a\":\"x\",\"list\":[-9223372036854775808,true,{},null],\"none\":null,"
		"\"at\":\"2026-01-31T12:00:00Z\",\"never\":null}");
}

static void strings_are_escaped_and_bad_utf8_is_replaced(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(1000);
	struct json_out o = JSON_OUT(&b);

	(void)state;
	json_put_text(&o,
		"q\" b\\ n\n t\t e\x1b d\x7f \xC3\xA4 \xF0\x9F\x98\x80 \xFF \xC0\x80 \xED\xA0\x80");
	assert_string_equal(buf_text(&b),
		"\"q\\\" b\\\\ n\\n t\\t e\\u001b d\\u007f \xC3\xA4 \xF0\x9F\x98\x80 \xEF\xBF\xBD "
		"\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

/* Eight bytes are looked at together: one that needs an escape is found wherever it stands. */
static void each_byte_is_escaped_at_each_place_or_nowhere(void **state)
{
	(void)state;
	for (size_t len = 1; len <= 25; len++) {
		for (size_t at = 0; at < len; at++) {
			for (int c = 0; c < 0x80; c++) {
				AUTO(buf_drop) struct buf b = BUF_INIT(100);
				struct json_out o = JSON_OUT(&b);
				char text[26];

				memset(text, c == 'z' ? 'y' : 'z', len);
				text[at] = (char)c;
				json_put_bytes(&o, text, len);
				const bool is_raw =
					b.len == len + 2 && memcmp(b.data + 1, text, len) == 0;
				const bool must_escape =
					c < 0x20 || c == '"' || c == '\\' || c == 0x7F;
				assert_int_equal(is_raw, !must_escape);
				assert_int_equal(
					memchr(b.data + 1 + at, '\\', 1) != NULL, must_escape);
			}
		}
	}
}

static void numbers_read_back_as_written(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(1000);
	struct json_out o = JSON_OUT(&b);

	(void)state;
	json_open(&o, '[');
	json_put_double(&o, 4.3);
	json_put_double(&o, 0.1 + 0.2);
	json_put_double(&o, 1.0 / 0.0);
	json_put_int(&o, 0);
	json_put_int(&o, -7);
	json_put_int(&o, INT64_MAX);
	json_close(&o, ']');
	assert_string_equal(
		buf_text(&b), "[4.3,0.30000000000000004,null,0,-7,9223372036854775807]");
}

static void a_parse_error_names_the_place_and_never_quotes_the_input(void **state)
{
	struct fault f = {0};
	json_t *j = NULL;
	const char *text = "{\"secret\": \"abc\", canary}";

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), &j, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_non_null(strstr(f.text, "line 1"));
	assert_null(strstr(f.text, "canary"));
	assert_null(j);
}

static void deep_nesting_is_refused_before_it_costs_a_stack(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 4];
	struct fault f = {0};
	json_t *j = NULL;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_int_equal(json_parse(text, 2 * JSON_DEPTH_MAX + 2, &j, &f), -1);
	assert_non_null(strstr(f.text, "nested deeper"));
	assert_int_equal(json_parse(text + 1, 2 * JSON_DEPTH_MAX, &j, &f), 0);
	json_drop(&j);
	assert_int_equal(json_parse("[\"[[[[\\\"[[[\"]", 13, &j, &f), 0);
	json_drop(&j);
}

static void getters_fall_back_on_absent_and_mistyped_members(void **state)
{
	struct fault f = {0};
	AUTO(json_drop) json_t *j = NULL;
	const char *text = "{\"n\": 5, \"s\": \"t\", \"b\": true, \"z\": null}";

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), &j, &f), 0);
	assert_int_equal(json_int(j, "n", -1), 5);
	assert_int_equal(json_int(j, "s", -1), -1);
	assert_string_equal(json_text(j, "s"), "t");
	assert_null(json_text(j, "n"));
	assert_null(json_text(j, "z"));
	assert_true(json_flag(j, "b", false));
	assert_true(json_flag(j, "absent", true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nesting_keys_and_commas_come_out_right),
		cmocka_unit_test(strings_are_escaped_and_bad_utf8_is_replaced),
		cmocka_unit_test(each_byte_is_escaped_at_each_place_or_nowhere),
		cmocka_unit_test(numbers_read_back_as_written),
		cmocka_unit_test(a_parse_error_names_the_place_and_never_quotes_the_input),
		cmocka_unit_test(deep_nesting_is_refused_before_it_costs_a_stack),
		cmocka_unit_test(getters_fall_back_on_absent_and_mistyped_members),
	};

	json_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
