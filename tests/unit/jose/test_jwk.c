/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdio.h>

#include "base/json.h"
#include "jose/jose.h"
#include "vectors.h"

static bool has(const char *text, const char *kid, enum jose_alg alg)
{
	AUTO(jwk_set_unrefp) struct jwk_set *keys = NULL;
	struct fault f = {0};

	if (jwk_set_parse(text, strlen(text), &keys, &f) < 0)
		fail_msg("%s", f.text);
	return jwk_set_has(keys, kid, alg);
}

#define RSA_WITH(more) "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" RSA_N "\"" more "}]}"

static void what_is_no_set_is_refused(void **state)
{
	static const char *const bad[] = {"", "{", "[]", "{}", "{\"keys\":{}}", "null", "\"keys\""};
	struct jwk_set *keys = NULL;
	struct fault f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(jwk_set_parse(bad[i], strlen(bad[i]), &keys, &f), -1);
	assert_null(keys);
}

static void a_set_of_too_many_keys_or_bytes_is_refused(void **state)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 20);
	struct jwk_set *keys = NULL;
	struct fault f;

	(void)state;
	buf_add_text(&text, "{\"keys\":[{}");
	for (int i = 0; i < JWK_KEYS_MAX; i++)
		buf_add_text(&text, ",{}");
	buf_add_text(&text, "]}");
	assert_int_equal(jwk_set_parse(text.data, text.len, &keys, &f), -1);
	buf_reset(&text);
	buf_addf(&text, "{\"keys\":[%*s]}", JWK_SET_BYTES_MAX, "");
	assert_int_equal(jwk_set_parse(text.data, text.len, &keys, &f), -1);
}

static void keys_that_cannot_be_used_are_passed_over(void **state)
{
	(void)state;
	assert_true(has(
		"{\"keys\":[7,null,{},{\"kty\":\"oct\",\"k\":\"AAAA\"},{\"kty\":\"OKP\"}," RSA_JWK
		"]}",
		"", JOSE_RS256));
	assert_false(has("{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}", "", JOSE_RS256));
	assert_false(has("{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" RSA_N "=\"}]}", "",
		JOSE_RS256));
	/* no curve but P-256, and no coordinate of another length */
	assert_true(has("{\"keys\":[" EC_JWK "]}", "", JOSE_ES256));
	assert_false(has("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" EC_X
			 "\",\"y\":\"" EC_Y "\"}]}",
		"", JOSE_ES256));
	assert_false(has("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"" EC_Y
			 "\"}]}",
		"", JOSE_ES256));
}

static void a_key_says_what_it_is_for(void **state)
{
	(void)state;
	assert_true(has(RSA_WITH(",\"use\":\"sig\",\"alg\":\"RS256\""), "", JOSE_RS256));
	assert_true(has(RSA_WITH(",\"key_ops\":[\"sign\",\"verify\"]"), "", JOSE_RS256));
	assert_false(has(RSA_WITH(",\"use\":\"enc\""), "", JOSE_RS256));
	assert_false(has(RSA_WITH(",\"alg\":\"RSA-OAEP\""), "", JOSE_RS256));
	assert_false(has(RSA_WITH(",\"key_ops\":[\"encrypt\"]"), "", JOSE_RS256));
	assert_false(has(RSA_WITH(""), "", JOSE_ES256));
}

static void short_and_broken_rsa_keys_are_none(void **state)
{
	static const char zeros[] =
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	AUTO(buf_drop) struct buf text = BUF_INIT(8192);

	(void)state;
	/* 1024 bits; padded by zeros to look longer */
	buf_addf(&text, "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"%.76s%.76s%.172s\"}]}",
		zeros, zeros, RSA_N);
	assert_false(has(buf_text(&text), "", JOSE_RS256));
	assert_false(has(
		"{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQ\",\"n\":\"" RSA_N "\"}]}", "", JOSE_RS256));
	assert_false(has("{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQABAAEB\",\"n\":\"" RSA_N "\"}]}",
		"", JOSE_RS256));
}

static void a_key_is_found_by_its_name(void **state)
{
	(void)state;
	assert_true(has(RSA_WITH(",\"kid\":\"one\""), "one", JOSE_RS256));
	assert_false(has(RSA_WITH(",\"kid\":\"one\""), "two", JOSE_RS256));
	assert_false(has(RSA_WITH(",\"kid\":1"), "", JOSE_RS256));
	assert_false(has("{\"keys\":[" RSA_JWK "," RSA_JWK "]}", "", JOSE_RS256));
}

static json_t *object(const char *text)
{
	struct fault f = {0};
	json_t *j;

	if (json_parse(text, strlen(text), &j, &f) < 0)
		fail_msg("%s", f.text);
	return j;
}

static void an_audience_is_compared_to_the_byte(void **state)
{
	AUTO(json_drop)
	json_t *one = object("{\"aud\":\"app\"}"), *many = object("{\"aud\":[1,\"x\",\"app\"]}"),
	       *odd = object("{\"aud\":\"app\\u0000x\"}"), *none = object("{}");

	(void)state;
	assert_true(claim_has_audience(one, "app"));
	assert_false(claim_has_audience(one, "ap"));
	assert_true(claim_has_audience(many, "app"));
	assert_false(claim_has_audience(many, "y"));
	assert_false(claim_has_audience(odd, "app"));
	assert_false(claim_has_audience(none, "app"));
}

static void times_are_numbers_within_reason(void **state)
{
	AUTO(json_drop)
	json_t *c = object("{\"a\":1508184845,\"b\":1.5,\"c\":\"1\",\"d\":-1,\"e\":1e300}");
	int64_t ms = 7;

	(void)state;
	assert_int_equal(claim_time_ms(c, "a", &ms), 0);
	assert_true(ms == INT64_C(1508184845000));
	assert_int_equal(claim_time_ms(c, "b", &ms), 0);
	assert_int_equal(ms, 1500);
	assert_int_equal(claim_time_ms(c, "c", &ms), 1);
	assert_int_equal(claim_time_ms(c, "d", &ms), 1);
	assert_int_equal(claim_time_ms(c, "e", &ms), 1);
	assert_int_equal(claim_time_ms(c, "f", &ms), 1);
	assert_int_equal(ms, 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_set_is_refused),
		cmocka_unit_test(a_set_of_too_many_keys_or_bytes_is_refused),
		cmocka_unit_test(keys_that_cannot_be_used_are_passed_over),
		cmocka_unit_test(a_key_says_what_it_is_for),
		cmocka_unit_test(short_and_broken_rsa_keys_are_none),
		cmocka_unit_test(a_key_is_found_by_its_name),
		cmocka_unit_test(an_audience_is_compared_to_the_byte),
		cmocka_unit_test(times_are_numbers_within_reason),
	};

	json_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
