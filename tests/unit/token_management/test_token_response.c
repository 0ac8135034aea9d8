/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "token_management/token_response.h"

static struct token_response parse(long status, const char *body)
{
	struct token_answer in = {.result = NET_ANSWERED,
		.status = status,
		.body = body,
		.body_len = strlen(body),
		.retry_after_ms = -1};
	struct token_response r;

	token_response_parse(&in, &r);
	return r;
}

static void assert_class(long status, const char *body, enum token_class wanted)
{
	struct token_response r = parse(status, body);

	if (r.class != wanted)
		fail_msg("%ld %s is %s, not %s", status, body, token_class_name(r.class),
			token_class_name(wanted));
	assert_true(strlen(r.reason) > 0);
	assert_int_equal(secret_is_set(&r.access_token), wanted == TOKEN_CLASS_GRANTED);
	token_response_done(&r);
}

static void a_full_answer_is_read_whole(void **state)
{
	struct token_response r = parse(200,
		"{\"access_token\":\"ya29.a-b_c\",\"refresh_token\":\"1//0x\",\"expires_in\":3599,"
		"\"scope\":\"a b\",\"token_type\":\"Bearer\",\"id_token\":\"x.y.z\","
		"\"refresh_token_expires_in\":604799,\"unknown\":{\"deep\":[1,2]}}");

	(void)state;
	assert_int_equal(r.class, TOKEN_CLASS_GRANTED);
	assert_string_equal(r.access_token.bytes, "ya29.a-b_c");
	assert_string_equal(r.refresh_token.bytes, "1//0x");
	assert_string_equal(r.id_token.bytes, "x.y.z");
	assert_string_equal(r.scope, "a b");
	assert_int_equal(r.expires_in_s, 3599);
	assert_int_equal(r.refresh_expires_in_s, 604799);
	token_response_done(&r);
}

static void what_is_not_said_is_told_from_what_is(void **state)
{
	struct token_response r = parse(200, "{\"access_token\":\"a\"}");

	(void)state;
	assert_int_equal(r.class, TOKEN_CLASS_GRANTED);
	assert_int_equal(r.expires_in_s, -1);
	assert_int_equal(r.refresh_expires_in_s, -1);
	assert_null(r.scope);
	assert_false(secret_is_set(&r.refresh_token));
	token_response_done(&r);
}

static void bearer_is_taken_in_any_case_and_nothing_else(void **state)
{
	(void)state;
	assert_class(
		200, "{\"access_token\":\"a\",\"token_type\":\"bearer\"}", TOKEN_CLASS_GRANTED);
	assert_class(
		200, "{\"access_token\":\"a\",\"token_type\":\"BEARER\"}", TOKEN_CLASS_GRANTED);
	assert_class(
		200, "{\"access_token\":\"a\",\"token_type\":\"mac\"}", TOKEN_CLASS_MISCONFIGURED);
	assert_class(
		200, "{\"access_token\":\"a\",\"token_type\":\"DPoP\"}", TOKEN_CLASS_MISCONFIGURED);
	assert_class(200, "{\"access_token\":\"a\",\"token_type\":17}", TOKEN_CLASS_MISCONFIGURED);
	assert_class(200, "{\"access_token\":\"a\",\"token_type\":\"bearer\\u0000x\"}",
		TOKEN_CLASS_MISCONFIGURED);
	assert_class(200, "{\"access_token\":\"a\",\"token_type\":null}", TOKEN_CLASS_GRANTED);
}

static void unknown_members_of_an_answer_are_ignored(void **state)
{
	(void)state;
	assert_class(200,
		"{\"access_token\":\"a\",\"error_uri\":7,\"Error\":\"invalid_grant\",\"x\":[{}]}",
		TOKEN_CLASS_GRANTED);
	assert_class(400,
		"{\"x\":{\"error\":\"server_error\"},\"error\":\"invalid_grant\",\"y\":null}",
		TOKEN_CLASS_GRANT_DEAD);
}

static void the_words_beside_an_error_decide_nothing(void **state)
{
	(void)state;
	assert_class(400,
		"{\"error\":\"invalid_request\",\"error_description\":\"Token has been expired or "
		"revoked: invalid_grant\"}",
		TOKEN_CLASS_MISCONFIGURED);
	assert_class(400, "{\"error\":\"invalid_grant\",\"error_description\":\"Bad Request\"}",
		TOKEN_CLASS_GRANT_DEAD);
}

static void lifetimes_come_as_numbers_texts_or_fractions(void **state)
{
	static const struct {
		const char *json;
		int64_t seconds;
	} cases[] = {{"3599", 3599}, {"\"3599\"", 3599}, {"3599.9", 3599}, {"1e300", 31536000000},
		{"9223372036854775807", 31536000000}, {"\"soon\"", -1}, {"null", -1}, {"[]", -1}};
	char body[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct token_response r;

		snprintf(body, sizeof(body), "{\"access_token\":\"a\",\"expires_in\":%s}",
			cases[i].json);
		r = parse(200, body);
		assert_int_equal(r.class, TOKEN_CLASS_GRANTED);
		assert_int_equal(r.expires_in_s, cases[i].seconds);
		token_response_done(&r);
	}
}

static void a_token_born_dead_is_not_taken(void **state)
{
	(void)state;
	assert_class(200, "{\"access_token\":\"a\",\"expires_in\":0}", TOKEN_CLASS_DOWN);
	assert_class(200, "{\"access_token\":\"a\",\"expires_in\":-5}", TOKEN_CLASS_DOWN);
	assert_class(200, "{\"access_token\":\"a\",\"expires_in\":\"-5\"}", TOKEN_CLASS_DOWN);
}

static void a_token_that_does_not_fit_into_a_header_is_not_taken(void **state)
{
	(void)state;
	assert_class(200, "{\"access_token\":\"\"}", TOKEN_CLASS_DOWN);
	assert_class(200, "{\"access_token\":\"a\\r\\nX: y\"}", TOKEN_CLASS_DOWN);
	assert_class(200, "{\"access_token\":\"a b\"}", TOKEN_CLASS_DOWN);
	assert_class(200, "{\"access_token\":\"a\\u0000b\"}", TOKEN_CLASS_DOWN);
	assert_class(200, "{\"access_token\":\"\\u00e9\"}", TOKEN_CLASS_DOWN);
	assert_class(200, "{\"access_token\":17}", TOKEN_CLASS_DOWN);
	assert_class(200, "{}", TOKEN_CLASS_DOWN);
}

static void only_invalid_grant_below_500_is_a_dead_grant(void **state)
{
	static const char dead[] = "{\"error\":\"invalid_grant\"}";

	(void)state;
	assert_class(400, dead, TOKEN_CLASS_GRANT_DEAD);
	assert_class(401, dead, TOKEN_CLASS_GRANT_DEAD);
	assert_class(200, dead, TOKEN_CLASS_GRANT_DEAD);
	assert_class(429, dead, TOKEN_CLASS_LIMITED);
	assert_class(500, dead, TOKEN_CLASS_DOWN);
	assert_class(503, dead, TOKEN_CLASS_DOWN);
	assert_class(302, dead, TOKEN_CLASS_DOWN);
	assert_class(400, "{\"error\":\"invalid_grant\\u0000\"}", TOKEN_CLASS_MISCONFIGURED);
	assert_class(400, "{\"error\":\"Invalid_Grant\"}", TOKEN_CLASS_MISCONFIGURED);
	assert_class(400, "{\"error_description\":\"invalid_grant\"}", TOKEN_CLASS_MISCONFIGURED);
	assert_class(400, "invalid_grant", TOKEN_CLASS_DOWN);
}

static void the_four_error_classes_are_told_apart(void **state)
{
	(void)state;
	assert_class(401, "{\"error\":\"invalid_client\"}", TOKEN_CLASS_MISCONFIGURED);
	assert_class(400, "{\"error\":\"unauthorized_client\"}", TOKEN_CLASS_MISCONFIGURED);
	assert_class(400, "{\"error\":\"invalid_request\"}", TOKEN_CLASS_MISCONFIGURED);
	assert_class(400, "{\"error\":\"admin_policy_enforced\"}", TOKEN_CLASS_MISCONFIGURED);
	assert_class(403, "{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\"}}",
		TOKEN_CLASS_MISCONFIGURED);
	assert_class(400, "{\"error\":\"temporarily_unavailable\"}", TOKEN_CLASS_DOWN);
	assert_class(400, "{\"error\":\"slow_down\"}", TOKEN_CLASS_LIMITED);
	assert_class(403, "{\"error\":\"rate_limit_exceeded\"}", TOKEN_CLASS_LIMITED);
	assert_class(404, "<html>", TOKEN_CLASS_DOWN);
	assert_class(200, "", TOKEN_CLASS_DOWN);
	assert_class(200, "[1]", TOKEN_CLASS_DOWN);
	assert_class(408, "", TOKEN_CLASS_DOWN);
}

static void no_answer_at_all_is_an_outage(void **state)
{
	static const enum net_result results[] = {
		NET_UNREACHABLE, NET_BROKEN, NET_TOO_LARGE, NET_STOPPED};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		struct token_answer in = {
			.result = results[i], .body = "", .retry_after_ms = -1, .net_error = "why"};
		struct token_response r;

		token_response_parse(&in, &r);
		assert_int_equal(r.class, TOKEN_CLASS_DOWN);
		assert_non_null(strstr(r.reason, "why"));
		token_response_done(&r);
	}
}

static void what_a_provider_echoes_is_not_repeated(void **state)
{
	struct token_response r =
		parse(400, "{\"error\":\"1//0CANARY-token\",\"error_description\":\"CANARY\"}");

	(void)state;
	assert_string_equal(r.error, "");
	assert_null(strstr(r.reason, "CANARY"));
	token_response_done(&r);
	r = parse(400, "{\"error\":\"invalid_scope\"}");
	assert_string_equal(r.error, "invalid_scope");
	token_response_done(&r);
}

static void a_refresh_token_survives_an_answer_that_is_of_no_use(void **state)
{
	struct token_response r = parse(
		200, "{\"refresh_token\":\"next\",\"token_type\":\"mac\",\"access_token\":\"a\"}");

	(void)state;
	assert_int_equal(r.class, TOKEN_CLASS_MISCONFIGURED);
	assert_string_equal(r.refresh_token.bytes, "next");
	token_response_done(&r);
	r = parse(400, "{\"refresh_token\":\"next\",\"error\":\"invalid_grant\"}");
	assert_false(secret_is_set(&r.refresh_token));
	token_response_done(&r);
}

/* ---- ID tokens ---- */

static int read_id(const char *payload, struct identity *ret)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(4096);
	AUTO(secret_drop) struct secret jwt = {0};

	buf_add_text(&text, "e30.");
	text_base64url(&text, payload, strlen(payload));
	buf_add_text(&text, ".");
	jwt = secret_from(buf_text(&text), text.len);
	*ret = (struct identity){0};
	return id_token_read(
		&jwt, "https://accounts.google.com", "accounts.google.com", "app", ret);
}

static void an_id_token_tells_who_consented(void **state)
{
	struct identity who;

	(void)state;
	assert_int_equal(read_id("{\"iss\":\"accounts.google.com\",\"aud\":[\"x\",\"app\"],"
				 "\"sub\":\"109\",\"email\":\"a@b.c\"}",
				 &who),
		0);
	assert_string_equal(who.subject, "109");
	assert_string_equal(who.email, "a@b.c");
	assert_int_equal(
		read_id("{\"iss\":\"https://accounts.google.com\",\"aud\":\"app\"}", &who), 0);
	assert_string_equal(who.subject, "");
}

static void an_id_token_for_somebody_else_tells_nothing(void **state)
{
	struct identity who;
	AUTO(secret_drop) struct secret bad = secret_from("no dots", 7);

	(void)state;
	assert_int_equal(read_id("{\"iss\":\"https://evil.example\",\"aud\":\"app\"}", &who), 1);
	assert_int_equal(read_id("{\"iss\":\"accounts.google.com\",\"aud\":\"other\"}", &who), 1);
	assert_int_equal(read_id("{\"iss\":\"accounts.google.com\"}", &who), 1);
	assert_int_equal(read_id("not json", &who), 1);
	assert_int_equal(id_token_read(&bad, "i", NULL, "app", &who), 1);
	assert_int_equal(id_token_read(&(struct secret){0}, "i", NULL, "app", &who), 1);
}

static int start(void **state)
{
	(void)state;
	hash_init();
	json_start();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_answer_is_read_whole),
		cmocka_unit_test(what_is_not_said_is_told_from_what_is),
		cmocka_unit_test(bearer_is_taken_in_any_case_and_nothing_else),
		cmocka_unit_test(unknown_members_of_an_answer_are_ignored),
		cmocka_unit_test(the_words_beside_an_error_decide_nothing),
		cmocka_unit_test(lifetimes_come_as_numbers_texts_or_fractions),
		cmocka_unit_test(a_token_born_dead_is_not_taken),
		cmocka_unit_test(a_token_that_does_not_fit_into_a_header_is_not_taken),
		cmocka_unit_test(only_invalid_grant_below_500_is_a_dead_grant),
		cmocka_unit_test(the_four_error_classes_are_told_apart),
		cmocka_unit_test(no_answer_at_all_is_an_outage),
		cmocka_unit_test(what_a_provider_echoes_is_not_repeated),
		cmocka_unit_test(a_refresh_token_survives_an_answer_that_is_of_no_use),
		cmocka_unit_test(an_id_token_tells_who_consented),
		cmocka_unit_test(an_id_token_for_somebody_else_tells_nothing),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
