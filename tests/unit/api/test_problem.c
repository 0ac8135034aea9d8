/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdio.h>

#include "api/problem.h"
#include "api/request_life.h"
#include "base/log.h"

static struct request req;
static json_t *answer;
static char logged[2048];
static int log_lines;

static void take_log(const char *line, size_t len)
{
	snprintf(logged, sizeof(logged), "%.*s", (int)len, line);
	log_lines++;
}

static int begin(void **state)
{
	(void)state;
	json_start();
	req = (struct request){.method = "POST", .id = "request-1"};
	request_begin(&req);
	answer = NULL;
	logged[0] = '\0';
	log_lines = 0;
	log_use(take_log);
	log_set_level(LOG_INFO);
	return 0;
}

static int end(void **state)
{
	(void)state;
	log_use(NULL);
	json_drop(&answer);
	request_done(&req);
	return 0;
}

static void say(enum fault_kind kind, const char *text, uint32_t retry_after_ms)
{
	struct fault f = {0}, parse;

	(void)fault_raise(&f, kind, "%s", text);
	f.retry_after_ms = retry_after_ms;
	problem_answer(&req, &f);
	json_drop(&answer);
	assert_int_equal(json_parse(req.answer.body.data, req.answer.body.len, &answer, &parse), 0);
	assert_int_equal(json_int(answer, "status", 0), req.answer.status);
	assert_string_equal(json_text(answer, "request_id"), "request-1");
	assert_string_equal(json_text(answer, "type"), "about:blank");
	assert_string_equal(req.answer.content_type, "application/problem+json");
}

static const char *header(const char *name)
{
	for (size_t i = 0; i < req.answer.n_headers; i++)
		if (strcmp(req.answer.headers[i].name, name) == 0)
			return req.answer.headers[i].value;
	return NULL;
}

static void each_kind_has_its_status(void **state)
{
	static const struct {
		enum fault_kind kind;
		uint32_t retry_after_ms;
		unsigned status;
	} rows[] = {
		{FAULT_INPUT, 0, 400},
		{FAULT_DENIED, 0, 401},
		{FAULT_MISSING, 0, 404},
		{FAULT_CONFLICT, 0, 409},
		{FAULT_THROTTLED, 100, 429},
		{FAULT_UPSTREAM, 0, 502},
		{FAULT_UPSTREAM, 100, 503},
		{FAULT_STORE, 0, 503},
		{FAULT_BUG, 0, 500},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		answer_drop(&req.answer);
		answer_begin(&req.answer);
		say(rows[i].kind, "words", rows[i].retry_after_ms);
		assert_int_equal(req.answer.status, rows[i].status);
		assert_string_equal(json_text(answer, "title"), problem_title(rows[i].status));
		assert_string_not_equal(json_text(answer, "title"), "Error");
	}
}

static void the_status_of_the_handler_wins(void **state)
{
	(void)state;
	req.answer.status = 415;
	say(FAULT_INPUT, "words", 0);
	assert_int_equal(req.answer.status, 415);
}

static void a_401_says_how_to_sign_in_and_a_key_makes_it_403(void **state)
{
	(void)state;
	say(FAULT_DENIED, "words", 0);
	assert_string_equal(header("WWW-Authenticate"), "Bearer realm=\"review-fetcher\"");
	answer_drop(&req.answer);
	answer_begin(&req.answer);
	req.has_key = true;
	say(FAULT_DENIED, "words", 0);
	assert_int_equal(req.answer.status, 403);
}

static void bad_fields_are_listed(void **state)
{
	(void)state;
	request_error(&req, "body", "email", "is missing");
	request_error(&req, "query", "limit", "is 0");
	say(FAULT_INPUT, "words", 0);
	assert_int_equal(req.answer.status, 422);
	const json_t *errors = json_member(answer, "errors");
	assert_int_equal(json_array_size(errors), 2);
	const json_t *first = json_array_get(errors, 0);
	assert_string_equal(
		json_string_value(json_array_get(json_member(first, "loc"), 0)), "body");
	assert_string_equal(
		json_string_value(json_array_get(json_member(first, "loc"), 1)), "email");
	assert_string_equal(json_text(first, "msg"), "is missing");
}

static void a_field_named_further_inside_is_listed_too(void **state)
{
	struct fault f;

	(void)state;
	(void)fault_input(&f, "redirect_uri", "must be https");
	problem_answer(&req, &f);
	assert_int_equal(req.answer.status, 422);
	assert_non_null(strstr(req.answer.body.data,
		"\"errors\":[{\"loc\":[\"body\",\"redirect_uri\"],\"msg\":\"must be https\"}]"));
	req.query[0] = (struct name_value){"redirect_uri", "x"};
	req.n_query = 1;
	answer_drop(&req.answer);
	answer_begin(&req.answer);
	problem_answer(&req, &f);
	assert_non_null(strstr(req.answer.body.data, "[\"query\",\"redirect_uri\"]"));
}

static void the_inside_stays_inside(void **state)
{
	(void)state;
	say(FAULT_STORE, "disk I/O error in /var/secret.db", 0);
	assert_null(strstr(req.answer.body.data, "secret.db"));
	assert_string_equal(header("Retry-After"), "2");
	answer_drop(&req.answer);
	answer_begin(&req.answer);
	say(FAULT_BUG, "slot 7 is gone", 0);
	assert_null(strstr(req.answer.body.data, "slot 7"));
}

static void five_hundreds_are_logged_once_and_the_rest_is_not(void **state)
{
	(void)state;
	say(FAULT_MISSING, "not there", 0);
	say(FAULT_INPUT, "wrong", 0);
	assert_int_equal(log_lines, 0);
	answer_drop(&req.answer);
	answer_begin(&req.answer);
	say(FAULT_STORE, "disk I/O error", 0);
	assert_int_equal(log_lines, 1);
	assert_non_null(strstr(logged, "\"warn\""));
	assert_non_null(strstr(logged, "request-1"));
	assert_non_null(strstr(logged, "disk I/O error"));
}

static void retry_after_is_in_whole_seconds(void **state)
{
	static const struct {
		uint32_t ms;
		const char *seconds;
	} rows[] = {{0, "1"}, {1, "1"}, {1000, "1"}, {1001, "2"}, {59999, "60"},
		{UINT32_MAX, "4294968"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		req.answer.n_headers = 0;
		problem_retry_after(&req, rows[i].ms);
		assert_string_equal(header("Retry-After"), rows[i].seconds);
	}
}

static struct stream *closed;

static void close_it(struct stream *s)
{
	closed = s;
}

/* The caller went before the first byte, say. */
static void a_stream_that_is_never_sent_is_closed_once(void **state)
{
	struct stream stream = {.close = close_it};

	(void)state;
	req.answer.stream = &stream;
	answer_drop(&req.answer);
	assert_ptr_equal(closed, &stream);
	assert_null(req.answer.stream);
	closed = NULL;
	answer_drop(&req.answer);
	assert_null(closed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_kind_has_its_status),
		TEST(the_status_of_the_handler_wins),
		TEST(a_401_says_how_to_sign_in_and_a_key_makes_it_403),
		TEST(bad_fields_are_listed),
		TEST(a_field_named_further_inside_is_listed_too),
		TEST(the_inside_stays_inside),
		TEST(five_hundreds_are_logged_once_and_the_rest_is_not),
		TEST(retry_after_is_in_whole_seconds),
		TEST(a_stream_that_is_never_sent_is_closed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
