/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/params.h"

#include "../test.h"

static void a_form_is_decoded_in_order(void **state)
{
	static const char form[] = "a=1&&b=%C3%A4+%26&c&a=2&=x&d=";
	struct params p = {0};

	(void)state;
	assert_int_equal(params_parse(&p, form, strlen(form)), 0);
	assert_int_equal(p.n, 6);
	assert_string_equal(params_get(&p, "a"), "1");
	assert_string_equal(params_get(&p, "b"), "ä &");
	assert_string_equal(params_get(&p, "c"), "");
	assert_string_equal(params_get(&p, "d"), "");
	assert_null(params_get(&p, "e"));
	params_drop(&p);
}

static void a_bad_escape_is_refused(void **state)
{
	static const char *const wrong[] = {"a=%", "a=%4", "a=%zz", "%=a", "a=%00", "a=%ff"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct params p = {0};

		assert_int_equal(params_parse(&p, wrong[i], strlen(wrong[i])), 1);
		params_drop(&p);
	}
}

static bool is_x(const char *name)
{
	return name[0] == 'x';
}

static void a_doubled_name_is_found_where_it_must_be_single(void **state)
{
	struct params p = {0};

	(void)state;
	params_add(&p, "a", "1");
	params_add(&p, "a", "2");
	assert_null(params_doubled(&p, is_x));
	params_add(&p, "x", "1");
	params_add(&p, "x", "1");
	assert_string_equal(params_doubled(&p, is_x), "x");
	params_drop(&p);
}

static void a_url_keeps_its_query(void **state)
{
	AUTO(buf_drop) struct buf url = BUF_INIT(200);

	(void)state;
	buf_add_text(&url, "http://h/p?q=1");
	params_url_add(&url, "a b", "ä&");
	assert_string_equal(buf_text(&url), "http://h/p?q=1&a%20b=%C3%A4%26");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_form_is_decoded_in_order),
		cmocka_unit_test(a_bad_escape_is_refused),
		cmocka_unit_test(a_doubled_name_is_found_where_it_must_be_single),
		cmocka_unit_test(a_url_keeps_its_query),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
