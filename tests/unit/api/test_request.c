/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdio.h>

#include "api/request_life.h"

static struct request req;
static json_t *body;
static struct fault f;

static int begin(void **state)
{
	(void)state;
	json_start();
	req = (struct request){.method = "POST"};
	request_begin(&req);
	body = NULL;
	return 0;
}

static int end(void **state)
{
	(void)state;
	json_drop(&body);
	request_done(&req);
	return 0;
}

static int read_body(const char *text)
{
	buf_add_text(&req.body, text);
	return request_json(&req, &body, &f);
}

static void fields_are_trimmed_copies(void **state)
{
	(void)state;
	assert_int_equal(read_body("{\"a\":\"  x y\\t\\n\",\"n\":7,\"s\":\"8\",\"t\":true}"), 0);
	assert_string_equal(request_field_text(&req, body, "a", 1, 10, true), "x y");
	assert_int_equal(request_field_int(&req, body, "n", 1, 10, true, 0), 7);
	assert_int_equal(request_field_int(&req, body, "s", 1, 10, true, 0), 8);
	assert_true(request_field_bool(&req, body, "t", false));
	assert_null(request_field_text(&req, body, "absent", 1, 10, false));
	assert_int_equal(request_field_int(&req, body, "absent", 1, 10, false, 5), 5);
	assert_true(request_field_bool(&req, body, "absent", true));
	assert_int_equal(request_check(&req, &f), 0);
}

static void every_bad_field_is_listed(void **state)
{
	(void)state;
	assert_int_equal(read_body("{\"b\":5,\"c\":\"\",\"d\":\"toolong\",\"e\":null,\"n\":1.5,"
				   "\"o\":99,\"p\":\"no\"}"),
		0);
	assert_null(request_field_text(&req, body, "a", 1, 4, true));
	assert_null(request_field_text(&req, body, "b", 1, 4, true));
	assert_null(request_field_text(&req, body, "c", 1, 4, true));
	assert_null(request_field_text(&req, body, "d", 1, 4, false));
	assert_null(request_field_text(&req, body, "e", 1, 4, true));
	assert_int_equal(request_field_int(&req, body, "n", 1, 10, true, 3), 3);
	assert_int_equal(request_field_int(&req, body, "o", 1, 10, true, 3), 3);
	assert_false(request_field_bool(&req, body, "p", false));
	assert_int_equal(req.n_errors, 8);
	assert_string_equal(req.errors[0].loc[0], "body");
	assert_string_equal(req.errors[0].loc[1], "a");
	assert_string_equal(req.errors[0].msg, "is missing: it is required");
	assert_string_equal(req.errors[1].msg, "is a whole number: give a string of 1 to 4 bytes");
	assert_string_equal(req.errors[3].msg, "has 7 bytes: give 1 to 4");
	assert_string_equal(req.errors[4].msg, "is null: it is required");
	assert_string_equal(req.errors[6].msg, "is 99: give a whole number from 1 to 10");
	assert_int_equal(request_check(&req, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, "a");
}

static void a_bad_value_is_not_repeated(void **state)
{
	(void)state;
	assert_int_equal(read_body("{\"client_secret\":\"GOCSPX-very-secret\"}"), 0);
	assert_null(request_field_text(&req, body, "client_secret", 1, 4, true));
	assert_null(strstr(req.errors[0].msg, "GOCSPX"));
}

static void a_nul_inside_a_text_is_refused(void **state)
{
	(void)state;
	assert_int_equal(read_body("{\"a\":\"x\\u0000y\"}"), 0);
	assert_null(request_field_text(&req, body, "a", 1, 10, true));
	assert_int_equal(req.n_errors, 1);
}

static void more_errors_than_fit_are_dropped(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * REQUEST_ERRORS_MAX; i++)
		request_error(&req, "body", "x", "is bad %d", i);
	assert_int_equal(req.n_errors, REQUEST_ERRORS_MAX);
}

static void broken_json_says_where(void **state)
{
	(void)state;
	assert_int_equal(read_body("{\"a\":\n tru}"), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, "");
	assert_non_null(strstr(f.text, "line 2"));
}

static void an_empty_body_is_not_json(void **state)
{
	(void)state;
	assert_int_equal(read_body(""), -1);
	assert_non_null(strstr(f.text, "empty"));
}

static void a_body_that_is_no_object_is_refused(void **state)
{
	(void)state;
	assert_int_equal(read_body("[1,2]"), -1);
	assert_int_equal(req.n_errors, 1);
	assert_null(body);
}

static void query_numbers_keep_to_their_bounds(void **state)
{
	(void)state;
	req.query[0] = (struct name_value){"limit", "501"};
	req.query[1] = (struct name_value){"n", "12"};
	req.query[2] = (struct name_value){"cursor", ""};
	req.n_query = 3;
	const char *cursor;
	int64_t limit;
	request_page(&req, &limit, &cursor);
	assert_int_equal(limit, 50);
	assert_null(cursor);
	assert_int_equal(req.n_errors, 1);
	assert_string_equal(req.errors[0].loc[0], "query");
	assert_string_equal(req.errors[0].msg,
		"is '501': give a whole number from 1 to 500, or leave it out for 50");
	req.query[3] = (struct name_value){"rating", "7"};
	req.n_query = 4;
	assert_int_equal(request_query_int(&req, "rating", 1, 5, -1), -1);
	assert_string_equal(
		req.errors[1].msg, "is '7': give a whole number from 1 to 5, or leave it out");
	req.n_errors = 1;
	assert_int_equal(request_query_int(&req, "n", 0, 20, 1), 12);
	assert_int_equal(request_query_int(&req, "absent", 0, 20, 1), 1);
	assert_int_equal(req.n_errors, 1);
}

static void a_request_can_be_used_again(void **state)
{
	(void)state;
	request_error(&req, "body", "x", "is bad");
	(void)request_text(&req, "text");
	buf_add_text(&req.body, "{");
	answer_header(&req, "A", "b");
	request_done(&req);
	request_begin(&req);
	assert_int_equal(req.n_errors, 0);
	assert_int_equal(req.answer.n_headers, 0);
	assert_int_equal(req.answer.status, 200);
	assert_null(req.errors);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fields_are_trimmed_copies),
		TEST(every_bad_field_is_listed),
		TEST(a_bad_value_is_not_repeated),
		TEST(a_nul_inside_a_text_is_refused),
		TEST(more_errors_than_fit_are_dropped),
		TEST(broken_json_says_where),
		TEST(an_empty_body_is_not_json),
		TEST(a_body_that_is_no_object_is_refused),
		TEST(query_numbers_keep_to_their_bounds),
		TEST(a_request_can_be_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
