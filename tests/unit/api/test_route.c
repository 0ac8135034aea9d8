/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdlib.h>

#include "api/route.h"

static char scratch[4096];

static enum route_outcome find(const char *method, const char *path, struct route_match *ret)
{
	assert_true(strlen(path) + 1 <= sizeof(scratch));
	return route_find(method, path, scratch, ret);
}

static void every_route_is_found_under_its_own_path(void *arg, const struct route *r)
{
	struct route_match m;
	char path[256];
	size_t n = 0;

	/* "{id}" is as good a value for a parameter as any. */
	for (const char *at = r->path; *at; at++)
		if (*at != '{' && *at != '}')
			path[n++] = *at;
	path[n] = '\0';
	assert_int_equal(find(r->method, path, &m), ROUTE_FOUND);
	assert_ptr_equal(m.route, r);
	++*(int *)arg;
}

static void each_route_of_the_table_is_found(void **state)
{
	int count = 0;

	(void)state;
	route_each(every_route_is_found_under_its_own_path, &count);
	assert_true(count > 10);
}

static void check_row(void *arg, const struct route *r)
{
	(void)arg;
	assert_true(r->path[0] == '/' && r->summary && *r->summary && r->handle);
	assert_true(r->mode == ROUTE_INLINE || r->mode == ROUTE_WORKER || r->mode == ROUTE_UPLOAD);
	assert_true(strlen(r->path) < 200);
}

static void each_row_is_complete(void **state)
{
	(void)state;
	route_each(check_row, NULL);
}

static void a_parameter_is_named_and_decoded(void **state)
{
	struct route_match m;

	(void)state;
	assert_int_equal(find("GET", "/token-management/tokens/a%2Fb%20%C3%A9", &m), ROUTE_FOUND);
	assert_int_equal(m.n_params, 1);
	assert_string_equal(m.params[0].name, "branch_id");
	assert_string_equal(m.params[0].value, "a/b \xC3\xA9");
}

static void a_literal_segment_may_be_escaped(void **state)
{
	struct route_match m;

	(void)state;
	assert_int_equal(find("GET", "/token%2Dmanagement/tokens/x", &m), ROUTE_FOUND);
	assert_string_equal(m.params[0].value, "x");
}

static void a_literal_without_the_method_does_not_hide_a_parameter(void **state)
{
	struct route_match m;

	(void)state;
	assert_int_equal(find("GET", "/token-management/tokens/refresh", &m), ROUTE_FOUND);
	assert_string_equal(m.route->path, "/token-management/tokens/{branch_id}");
	assert_string_equal(m.params[0].value, "refresh");
	assert_int_equal(find("POST", "/token-management/tokens/refresh", &m), ROUTE_FOUND);
	assert_string_equal(m.route->path, "/token-management/tokens/refresh");
}

static void head_is_answered_where_get_is(void **state)
{
	struct route_match m;

	(void)state;
	assert_int_equal(find("HEAD", "/api/v1/health", &m), ROUTE_FOUND);
	assert_string_equal(m.route->method, "GET");
}

static void a_wrong_method_lists_the_right_ones(void **state)
{
	struct route_match m;

	(void)state;
	assert_int_equal(find("PUT", "/token-management/clients", &m), ROUTE_NO_METHOD);
	assert_non_null(strstr(m.allow, "GET"));
	assert_non_null(strstr(m.allow, "HEAD"));
	assert_non_null(strstr(m.allow, "POST"));
	assert_non_null(strstr(m.allow, "OPTIONS"));
	assert_null(strstr(m.allow, "PUT"));
	assert_false(m.open);
	assert_int_equal(find("POST", "/api/v1/health", &m), ROUTE_NO_METHOD);
	assert_true(m.open);
}

static void unknown_paths_are_not_found(void **state)
{
	static const char *const paths[] = {"/nope", "/token-management",
		"/token-management/tokens", "/token-management/tokens/",
		"/token-management/tokens//", "//", "/api/v1//health",
		"/token-management/tokens/a/b", "/TOKEN-MANAGEMENT/clients",
		"/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p"};
	struct route_match m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		assert_int_equal(find("GET", paths[i], &m), ROUTE_NO_PATH);
}

static void a_slash_at_the_end_is_forgiven(void **state)
{
	struct route_match m;

	(void)state;
	assert_int_equal(find("GET", "/token-management/clients/", &m), ROUTE_FOUND);
	assert_int_equal(find("GET", "/", &m), ROUTE_FOUND);
	assert_int_equal(find("GET", "/token-management/clients//", &m), ROUTE_NO_PATH);
}

static void bad_percent_encoding_is_told_apart(void **state)
{
	static const char *const paths[] = {"/token-management/tokens/%",
		"/token-management/tokens/%2", "/token-management/tokens/%zz",
		"/token-management/tokens/%00", "/token-management/tokens/%ff",
		"/token-management/tokens/\xff", "/token-management/tokens/%ed%a0%80"};
	struct route_match m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		assert_int_equal(find("GET", paths[i], &m), ROUTE_BAD_ENCODING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_route_of_the_table_is_found),
		cmocka_unit_test(each_row_is_complete),
		cmocka_unit_test(a_parameter_is_named_and_decoded),
		cmocka_unit_test(a_literal_segment_may_be_escaped),
		cmocka_unit_test(a_literal_without_the_method_does_not_hide_a_parameter),
		cmocka_unit_test(head_is_answered_where_get_is),
		cmocka_unit_test(a_wrong_method_lists_the_right_ones),
		cmocka_unit_test(unknown_paths_are_not_found),
		cmocka_unit_test(a_slash_at_the_end_is_forgiven),
		cmocka_unit_test(bad_percent_encoding_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
