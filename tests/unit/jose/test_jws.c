/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "jose/jose.h"
#include "vectors.h"

#define BOTH (JOSE_RS256 | JOSE_ES256)

static struct jwk_set *parse_keys(const char *text)
{
	struct jwk_set *keys;
	struct fault f = {0};

	if (jwk_set_parse(text, strlen(text), &keys, &f) < 0)
		fail_msg("%s", f.text);
	return keys;
}

static enum jws_outcome check(const char *token, size_t len, unsigned algs, const char *key_text)
{
	AUTO(jwk_set_unrefp) struct jwk_set *keys = parse_keys(key_text);
	struct jws j;
	enum jws_outcome outcome = jws_read(token, len, algs, &j);

	return outcome == JWS_GOOD ? jws_verify(&j, keys) : outcome;
}

#define CHECK_TEXT(token, algs, keys) check((token), strlen(token), (algs), (keys))

/* A token with this header before a payload and signature that would be good. */
static enum jws_outcome check_header(const char *header)
{
	AUTO(buf_drop) struct buf token = BUF_INIT(64 * 1024);

	text_base64url(&token, header, strlen(header));
	buf_add_text(&token, "." PAYLOAD "." RS256_SIGNATURE);
	return check(token.data, token.len, BOTH, BOTH_KEYS);
}

static void the_rsa_example_of_rfc_7515_verifies(void **state)
{
	AUTO(json_drop) json_t *claims = NULL;
	struct jws j;

	(void)state;
	assert_int_equal(CHECK_TEXT(RS256_TOKEN, JOSE_RS256, BOTH_KEYS), JWS_GOOD);
	assert_int_equal(jws_read(RS256_TOKEN, strlen(RS256_TOKEN), BOTH, &j), JWS_GOOD);
	assert_int_equal(jws_claims(&j, &claims), 0);
	assert_string_equal(claim_text(claims, "iss", 10), "joe");
}

static void the_ecdsa_example_of_rfc_7515_verifies(void **state)
{
	(void)state;
	assert_int_equal(CHECK_TEXT(ES256_TOKEN, JOSE_ES256, BOTH_KEYS), JWS_GOOD);
}

static void an_algorithm_that_is_not_allowed_is_refused_unseen(void **state)
{
	(void)state;
	assert_int_equal(CHECK_TEXT(ES256_TOKEN, JOSE_RS256, BOTH_KEYS), JWS_REFUSED);
	assert_int_equal(CHECK_TEXT(RS256_TOKEN, JOSE_ES256, BOTH_KEYS), JWS_REFUSED);
	assert_int_equal(CHECK_TEXT(HS256_TOKEN, BOTH, BOTH_KEYS), JWS_REFUSED);
	assert_int_equal(CHECK_TEXT(NONE_TOKEN, BOTH, BOTH_KEYS), JWS_REFUSED);
	assert_int_equal(check_header("{\"alg\":\"rs256\"}"), JWS_REFUSED);
	assert_int_equal(check_header("{\"alg\":\"RS256\\u0000\"}"), JWS_REFUSED);
	assert_int_equal(check_header("{\"alg\":\"PS256\"}"), JWS_REFUSED);
	assert_int_equal(check_header("{\"alg\":[\"RS256\"]}"), JWS_REFUSED);
	assert_int_equal(check_header("{}"), JWS_MALFORMED);
}

static void an_unsigned_token_under_the_name_of_a_real_algorithm_is_bad(void **state)
{
	(void)state;
	assert_int_equal(CHECK_TEXT("eyJhbGciOiJSUzI1NiJ9." PAYLOAD ".", BOTH, BOTH_KEYS), JWS_BAD);
	assert_int_equal(CHECK_TEXT("eyJhbGciOiJFUzI1NiJ9." PAYLOAD ".", BOTH, BOTH_KEYS), JWS_BAD);
}

static void a_critical_extension_is_refused_and_others_are_ignored(void **state)
{
	(void)state;
	assert_int_equal(
		check_header("{\"alg\":\"RS256\",\"crit\":[\"exp\"],\"exp\":1}"), JWS_REFUSED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"crit\":[]}"), JWS_REFUSED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"crit\":null}"), JWS_REFUSED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"b64\":false}"), JWS_REFUSED);
	/* Signed by nobody, so bad; but read. A key that a header brings is never looked at. */
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"x\":1}"), JWS_BAD);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"jwk\":" RSA_JWK "}"), JWS_BAD);
	assert_int_equal(
		check_header("{\"alg\":\"RS256\",\"jku\":\"https://evil.example/k\"}"), JWS_BAD);
}

static void header_members_have_their_types_and_sizes(void **state)
{
	AUTO(buf_drop) struct buf header = BUF_INIT(4096);

	(void)state;
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"kid\":7}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"typ\":[]}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"kid\":\"a\\u0000b\"}"), JWS_MALFORMED);
	assert_int_equal(check_header("[]"), JWS_MALFORMED);
	assert_int_equal(check_header("\"RS256\""), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\""), JWS_MALFORMED);
	assert_int_equal(check_header(""), JWS_MALFORMED);
	buf_add_text(&header, "{\"alg\":\"RS256\",\"kid\":\"");
	for (int i = 0; i < JOSE_KID_BYTES_MAX + 1; i++)
		buf_add_char(&header, 'k');
	buf_add_text(&header, "\"}");
	assert_int_equal(check_header(buf_text(&header)), JWS_MALFORMED);
	buf_reset(&header);
	buf_addf(&header, "{\"alg\":\"RS256\",\"x\":\"%*s\"}", JWS_HEADER_BYTES_MAX, "");
	assert_int_equal(check_header(buf_text(&header)), JWS_MALFORMED);
}

static void a_token_has_three_parts_of_strict_base64url(void **state)
{
	static const char *const bad[] = {"", ".", "..", "eyJhbGciOiJSUzI1NiJ9",
		"eyJhbGciOiJSUzI1NiJ9." PAYLOAD, RS256_TOKEN ".", RS256_TOKEN ".AA",
		RS256_TOKEN "=", RS256_TOKEN "\n", " " RS256_TOKEN,
		"eyJhbGciOiJSUzI1NiJ9=." PAYLOAD "." RS256_SIGNATURE,
		"eyJhbGciOiJSUzI1NiJ9+." PAYLOAD "." RS256_SIGNATURE,
		/* the last digit holds bits that belong to no byte */
		"eyJhbGciOiJFUzI1NiJ9." PAYLOAD
		".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
		"Kg6NU1R"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(CHECK_TEXT(bad[i], BOTH, BOTH_KEYS), JWS_MALFORMED);
}

static void a_token_past_the_limit_is_not_even_split(void **state)
{
	AUTO(buf_drop) struct buf token = BUF_INIT(2 * JWS_BYTES_MAX);

	(void)state;
	buf_add_text(&token, "eyJhbGciOiJSUzI1NiJ9.");
	while (token.len < JWS_BYTES_MAX - 400)
		buf_add_text(&token, "AAAA");
	buf_add_text(&token, "." RS256_SIGNATURE);
	assert_true(token.len <= JWS_BYTES_MAX);
	assert_int_equal(check(token.data, token.len, BOTH, BOTH_KEYS), JWS_BAD);
	while (token.len <= JWS_BYTES_MAX)
		buf_add_text(&token, "AAAA");
	assert_int_equal(check(token.data, token.len, BOTH, BOTH_KEYS), JWS_MALFORMED);
}

/* Whatever character of a good token is exchanged for another digit, it is good no more. */
static void try_mutations(const char *good)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	AUTO(jwk_set_unrefp) struct jwk_set *keys = parse_keys(BOTH_KEYS);
	AUTO(mem_freep) char *token = mem_text(good);
	size_t len = strlen(good);

	for (size_t i = 0; i < len; i++) {
		const char was = token[i];
		struct jws j;

		token[i] = was == '.'
				   ? 'A'
				   : digits[(strchr(digits, was) - digits + 1 + (int)i % 63) % 64];
		if (token[i] != was && jws_read(token, len, BOTH, &j) == JWS_GOOD)
			assert_int_not_equal(jws_verify(&j, keys), JWS_GOOD);
		token[i] = was;
	}
	for (size_t cut = 1; cut < len; cut++) {
		struct jws j;

		if (jws_read(good, len - cut, BOTH, &j) == JWS_GOOD)
			assert_int_not_equal(jws_verify(&j, keys), JWS_GOOD);
	}
}

static void no_mutation_of_a_token_verifies(void **state)
{
	(void)state;
	try_mutations(RS256_TOKEN);
	try_mutations(ES256_TOKEN);
}

static void a_signature_of_another_length_is_bad(void **state)
{
	AUTO(buf_drop) struct buf token = BUF_INIT(16 * 1024);
	AUTO(buf_drop) struct buf signature = BUF_INIT(2048);

	(void)state;
	/* one zero byte before the number changes no number */
	buf_add_char(&signature, '\0');
	assert_int_equal(
		text_base64url_decode(RS256_SIGNATURE, strlen(RS256_SIGNATURE), &signature), 0);
	buf_add_text(&token, "eyJhbGciOiJSUzI1NiJ9." PAYLOAD ".");
	text_base64url(&token, signature.data, signature.len);
	assert_int_equal(check(token.data, token.len, BOTH, BOTH_KEYS), JWS_BAD);
	assert_int_equal(CHECK_TEXT("eyJhbGciOiJFUzI1NiJ9." PAYLOAD "." ES256_SIGNATURE "AAAA",
				 BOTH, BOTH_KEYS),
		JWS_BAD);
}

static void the_key_is_the_one_that_kid_names(void **state)
{
	static const char named[] =
		"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"e\":\"AQAB\",\"n\":\"" RSA_N
		"\"},{\"kty\":\"RSA\",\"kid\":\"b\",\"e\":\"AAEC\",\"n\":\"" RSA_N "\"}]}";

	(void)state;
	/* No kid, and more than one key that could be meant. */
	assert_int_equal(
		CHECK_TEXT(RS256_TOKEN, BOTH, "{\"keys\":[" RSA_JWK "," RSA_JWK "]}"), JWS_NO_KEY);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"kid\":\"c\"}"), JWS_NO_KEY);
	/* An even exponent is no key, so that the other one stands alone. */
	assert_int_equal(CHECK_TEXT(RS256_TOKEN, BOTH, named), JWS_GOOD);
	assert_int_equal(CHECK_TEXT(RS256_TOKEN, BOTH, "{\"keys\":[]}"), JWS_NO_KEY);
	assert_int_equal(CHECK_TEXT(RS256_TOKEN, BOTH, "{\"keys\":[" EC_JWK "]}"), JWS_NO_KEY);
	assert_int_equal(CHECK_TEXT(ES256_TOKEN, BOTH, "{\"keys\":[" RSA_JWK "]}"), JWS_NO_KEY);
}

static void a_payload_that_is_no_object_has_no_claims(void **state)
{
	static const char *const bad[] = {"", "W10", "bnVsbA", "e30x", "e30=", "e"};
	json_t *claims = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(buf_drop) struct buf token = BUF_INIT(1024);
		struct jws j;

		buf_addf(&token, "eyJhbGciOiJSUzI1NiJ9.%s.AAAA", bad[i]);
		assert_int_equal(jws_read(token.data, token.len, BOTH, &j), JWS_GOOD);
		assert_int_equal(jws_claims(&j, &claims), 1);
		assert_null(claims);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rsa_example_of_rfc_7515_verifies),
		cmocka_unit_test(the_ecdsa_example_of_rfc_7515_verifies),
		cmocka_unit_test(an_algorithm_that_is_not_allowed_is_refused_unseen),
		cmocka_unit_test(an_unsigned_token_under_the_name_of_a_real_algorithm_is_bad),
		cmocka_unit_test(a_critical_extension_is_refused_and_others_are_ignored),
		cmocka_unit_test(header_members_have_their_types_and_sizes),
		cmocka_unit_test(a_token_has_three_parts_of_strict_base64url),
		cmocka_unit_test(a_token_past_the_limit_is_not_even_split),
		cmocka_unit_test(no_mutation_of_a_token_verifies),
		cmocka_unit_test(a_signature_of_another_length_is_bad),
		cmocka_unit_test(the_key_is_the_one_that_kid_names),
		cmocka_unit_test(a_payload_that_is_no_object_has_no_claims),
	};

	json_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
