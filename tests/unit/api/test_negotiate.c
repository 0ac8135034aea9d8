/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "api/negotiate.h"

static void browsers_get_pages_and_programs_do_not(void **state)
{
	(void)state;
	assert_true(accept_prefers_html(
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"));
	assert_true(accept_prefers_html("TEXT/HTML"));
	assert_true(accept_prefers_html("application/json;q=0.5, text/html"));
	assert_true(accept_prefers_html("text/html;level=1;q=0.7,application/json;q=0.2"));
	assert_false(accept_prefers_html(NULL));
	assert_false(accept_prefers_html(""));
	assert_false(accept_prefers_html("*/*"));
	assert_false(accept_prefers_html("application/json"));
	assert_false(accept_prefers_html("application/json, text/html"));
	assert_false(accept_prefers_html("application/json, text/html;q=0.9"));
	assert_false(accept_prefers_html("text/html;q=0, */*"));
	assert_false(accept_prefers_html("text/html;q=0.5, */*"));
	assert_false(accept_prefers_html("text/htmlx"));
	assert_false(accept_prefers_html(",;,;q=;,"));
	assert_false(accept_prefers_html("text/plain;"));
}

static void json_is_told_from_other_bodies(void **state)
{
	(void)state;
	assert_true(content_type_is_json(NULL));
	assert_true(content_type_is_json("application/json"));
	assert_true(content_type_is_json("Application/JSON; charset=UTF-8"));
	assert_true(content_type_is_json("application/json;charset=\"utf-8\""));
	assert_true(content_type_is_json("application/merge-patch+json"));
	assert_false(content_type_is_json(""));
	assert_false(content_type_is_json("text/plain"));
	assert_false(content_type_is_json("application/x-www-form-urlencoded"));
	assert_false(content_type_is_json("application/jsonx"));
	assert_false(content_type_is_json("application/json; charset=latin1"));
	assert_false(content_type_is_json("+json"));
}

static void a_cookie_is_found_among_others(void **state)
{
	char v[8];

	(void)state;
	assert_true(cookie_find("rf_flow=abc", "rf_flow", v, sizeof(v)));
	assert_string_equal(v, "abc");
	assert_true(cookie_find("a=1; rf_flow=x=y ; b", "rf_flow", v, sizeof(v)));
	assert_string_equal(v, "x=y");
	assert_true(cookie_find("rf_flow=", "rf_flow", v, sizeof(v)));
	assert_string_equal(v, "");
	assert_true(cookie_find("rf_flow=first; rf_flow=two", "rf_flow", v, sizeof(v)));
	assert_string_equal(v, "first");
	assert_false(cookie_find("xrf_flow=1; rf_flowx=2; RF_FLOW=3", "rf_flow", v, sizeof(v)));
	assert_false(cookie_find("rf_flow", "rf_flow", v, sizeof(v)));
	assert_false(cookie_find(";;; ;", "rf_flow", v, sizeof(v)));
	assert_false(cookie_find(NULL, "rf_flow", v, sizeof(v)));
	assert_false(cookie_find("rf_flow=12345678", "rf_flow", v, sizeof(v)));
}

static void a_bearer_token_is_taken_out_of_its_header(void **state)
{
	size_t len = 0;

	(void)state;
	assert_non_null(bearer_token("Bearer rf_x", &len));
	assert_int_equal(len, 4);
	assert_non_null(bearer_token("bearer   rf_xy  ", &len));
	assert_int_equal(len, 5);
	assert_null(bearer_token(NULL, &len));
	assert_null(bearer_token("", &len));
	assert_null(bearer_token("Bearer", &len));
	assert_null(bearer_token("Bearer   ", &len));
	assert_null(bearer_token("Bearerrf_x", &len));
	assert_null(bearer_token("Basic cmY6eA==", &len));
}

static void only_names_of_this_machine_and_our_own_are_ours(void **state)
{
	const char *ours = "https://reviews.example:8443";

	(void)state;
	assert_true(host_is_ours(NULL, ours));
	assert_true(host_is_ours("localhost", NULL));
	assert_true(host_is_ours("LocalHost:8084", NULL));
	assert_true(host_is_ours("127.0.0.1:8084", NULL));
	assert_true(host_is_ours("[::1]:8084", NULL));
	assert_true(host_is_ours("reviews.example", ours));
	assert_true(host_is_ours("reviews.example:443", ours));
	assert_false(host_is_ours("reviews.example", NULL));
	assert_false(host_is_ours("evil.example:8084", ours));
	assert_false(host_is_ours("127.evil.example", ours));
	assert_false(host_is_ours("localhost.evil.example", ours));
	assert_false(host_is_ours("[::1", ours));
	assert_false(host_is_ours("", ours));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(browsers_get_pages_and_programs_do_not),
		cmocka_unit_test(json_is_told_from_other_bodies),
		cmocka_unit_test(a_cookie_is_found_among_others),
		cmocka_unit_test(a_bearer_token_is_taken_out_of_its_header),
		cmocka_unit_test(only_names_of_this_machine_and_our_own_are_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
