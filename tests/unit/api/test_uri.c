/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdio.h>

#include "api/uri.h"

static char target[1024];

static int split(const char *text, char **path, char **query)
{
	snprintf(target, sizeof(target), "%s", text);
	return uri_split(target, path, query);
}

static void a_target_is_cut_at_the_first_question_mark(void **state)
{
	char *path, *query;

	(void)state;
	assert_int_equal(split("/a/b?c=d?e", &path, &query), 0);
	assert_string_equal(path, "/a/b");
	assert_string_equal(query, "c=d?e");
	assert_int_equal(split("/a", &path, &query), 0);
	assert_null(query);
	assert_int_equal(split("/a?", &path, &query), 0);
	assert_string_equal(query, "");
}

static void an_absolute_target_loses_its_authority(void **state)
{
	char *path, *query;

	(void)state;
	assert_int_equal(split("http://host:80/a?b", &path, &query), 0);
	assert_string_equal(path, "/a");
	assert_string_equal(query, "b");
	assert_int_equal(split("HTTPS://host?b", &path, &query), 0);
	assert_string_equal(path, "/");
	assert_string_equal(query, "b");
	assert_int_equal(split("http://host", &path, &query), 0);
	assert_string_equal(path, "/");
}

static void other_forms_are_refused(void **state)
{
	static const char *const bad[] = {"", "*", "a/b", "host:443", "ftp://host/a", "?a"};
	char *path, *query;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(split(bad[i], &path, &query), 1);
}

static int decode(const char *text, struct name_value *ret, size_t *n, struct fault *f)
{
	snprintf(target, sizeof(target), "%s", text);
	return query_decode(target, ret, REQUEST_QUERY_MAX, n, f);
}

static void pairs_are_decoded(void **state)
{
	struct name_value q[REQUEST_QUERY_MAX];
	struct fault f;
	size_t n;

	(void)state;
	assert_int_equal(decode("a=1&b=x%20y+z&&c&%64=%26%3d=", q, &n, &f), 0);
	assert_int_equal(n, 4);
	assert_string_equal(q[0].value, "1");
	assert_string_equal(q[1].value, "x y z");
	assert_string_equal(q[2].name, "c");
	assert_string_equal(q[2].value, "");
	assert_string_equal(q[3].name, "d");
	assert_string_equal(q[3].value, "&==");
	assert_int_equal(query_decode(NULL, q, REQUEST_QUERY_MAX, &n, &f), 0);
	assert_int_equal(n, 0);
}

static void a_bad_escape_names_the_parameter(void **state)
{
	static const char *const bad[] = {
		"limit=%", "limit=%4", "limit=%zz", "limit=%00", "limit=%c3", "limit=%ff"};
	struct name_value q[REQUEST_QUERY_MAX];
	struct fault f;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(decode(bad[i], q, &n, &f), -1);
		assert_int_equal(f.kind, FAULT_INPUT);
		assert_non_null(strstr(f.text, "'limit'"));
	}
	assert_int_equal(decode("a=1&%ff=2", q, &n, &f), -1);
	assert_non_null(strstr(f.text, "number 2"));
}

static void a_parameter_given_twice_is_refused(void **state)
{
	struct name_value q[REQUEST_QUERY_MAX];
	struct fault f;
	size_t n;

	(void)state;
	assert_int_equal(decode("state=a&code=b&st%61te=c", q, &n, &f), -1);
	assert_non_null(strstr(f.text, "'state' is given twice"));
}

static void too_many_parameters_are_refused(void **state)
{
	struct name_value q[4];
	struct fault f;
	size_t n;

	(void)state;
	snprintf(target, sizeof(target), "a&b&c&d");
	assert_int_equal(query_decode(target, q, 4, &n, &f), 0);
	assert_int_equal(n, 4);
	snprintf(target, sizeof(target), "a&b&c&d&e");
	assert_int_equal(query_decode(target, q, 4, &n, &f), -1);
	assert_non_null(strstr(f.text, "more than 4"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_target_is_cut_at_the_first_question_mark),
		cmocka_unit_test(an_absolute_target_loses_its_authority),
		cmocka_unit_test(other_forms_are_refused),
		cmocka_unit_test(pairs_are_decoded),
		cmocka_unit_test(a_bad_escape_names_the_parameter),
		cmocka_unit_test(a_parameter_given_twice_is_refused),
		cmocka_unit_test(too_many_parameters_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
