/* SPDX-License-Identifier: Apache-2.0 */
#include "jose/jose.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "jose/key.h"

#define EXPONENT_BYTES_MAX 4

/* ---- claims and members ---- */

static bool is_exact(const json_t *value, const char *wanted)
{
	return json_is_string(value) && json_string_length(value) == strlen(wanted) &&
	       memcmp(json_string_value(value), wanted, strlen(wanted)) == 0;
}

const char *claim_text(const json_t *claims, const char *name, size_t max)
{
	const json_t *value = json_member(claims, name);
	size_t len = json_string_length(value);

	if (!json_is_string(value) || len > max || strlen(json_string_value(value)) != len)
		return NULL;
	return json_string_value(value);
}

bool claim_has_audience(const json_t *claims, const char *audience)
{
	const json_t *aud = json_member(claims, "aud"), *one;
	size_t i;

	if (is_exact(aud, audience))
		return true;
	json_array_foreach(aud, i, one)
	{
		if (is_exact(one, audience))
			return true;
	}
	return false;
}

int claim_time_ms(const json_t *claims, const char *name, int64_t *ret_ms)
{
	const json_t *value = json_member(claims, name);
	double seconds = json_number_value(value);

	if (!json_is_number(value) || !(seconds >= 0 && seconds < 1e11))
		return 1;
	*ret_ms = json_is_integer(value) ? json_integer_value(value) * 1000
					 : (int64_t)(seconds * 1000);
	return 0;
}

/* ---- one key ---- */

/* Big-endian bytes of at most max; false: absent, malformed, empty or longer. */
static bool read_bytes(
	const json_t *jwk, const char *name, size_t max, uint8_t *ret, size_t *ret_len)
{
	AUTO(buf_drop) struct buf bytes = BUF_INIT(max);
	const char *text = claim_text(jwk, name, JWK_SET_BYTES_MAX);

	if (text == NULL || text_base64url_decode(text, strlen(text), &bytes) != 0 ||
		bytes.len == 0)
		return false;
	memcpy(ret, bytes.data, bytes.len);
	*ret_len = bytes.len;
	return true;
}

static size_t count_bits(const uint8_t *bytes, size_t len)
{
	size_t n = len * 8;

	for (; n > 0 && (bytes[len - (n + 7) / 8] >> ((n - 1) % 8) & 1) == 0; n--)
		;
	return n;
}

static bool read_rsa(const json_t *jwk, struct jwk *ret)
{
	size_t bits;

	if (!read_bytes(jwk, "n", sizeof(ret->a), ret->a, &ret->a_len) ||
		!read_bytes(jwk, "e", EXPONENT_BYTES_MAX, ret->b, &ret->b_len))
		return false;
	ret->alg = JOSE_RS256;
	bits = count_bits(ret->a, ret->a_len);
	/* An even modulus or exponent, or an exponent of 1, is no key. */
	return bits >= JWK_RSA_BITS_MIN && (ret->a[ret->a_len - 1] & 1) != 0 &&
	       (ret->b[ret->b_len - 1] & 1) != 0 && count_bits(ret->b, ret->b_len) > 1;
}

static bool read_p256(const json_t *jwk, struct jwk *ret)
{
	ret->alg = JOSE_ES256;
	return is_exact(json_member(jwk, "crv"), "P-256") &&
	       read_bytes(jwk, "x", 32, ret->a, &ret->a_len) && ret->a_len == 32 &&
	       read_bytes(jwk, "y", 32, ret->b, &ret->b_len) && ret->b_len == 32;
}

/* RFC 7517 sections 4.2 to 4.4: what it says of its use must allow ours. */
static bool is_for_verifying(const json_t *jwk, const char *alg)
{
	const json_t *use = json_member(jwk, "use"), *ops = json_member(jwk, "key_ops"), *op;
	const json_t *its_alg = json_member(jwk, "alg");
	bool may = ops == NULL;
	size_t i;

	json_array_foreach(ops, i, op) may |= is_exact(op, "verify");
	return may && (use == NULL || is_exact(use, "sig")) &&
	       (its_alg == NULL || is_exact(its_alg, alg));
}

static bool read_key(const json_t *jwk, struct jwk *ret)
{
	const char *kid = claim_text(jwk, "kid", JOSE_KID_BYTES_MAX);
	const json_t *kty = json_member(jwk, "kty");

	*ret = (struct jwk){0};
	if (kid == NULL && json_member(jwk, "kid") != NULL)
		return false;
	snprintf(ret->kid, sizeof(ret->kid), "%s", kid != NULL ? kid : "");
	if (is_exact(kty, "RSA"))
		return is_for_verifying(jwk, "RS256") && read_rsa(jwk, ret);
	if (is_exact(kty, "EC"))
		return is_for_verifying(jwk, "ES256") && read_p256(jwk, ret);
	return false;
}

/* ---- the set ---- */

int jwk_set_parse(const char *bytes, size_t len, struct jwk_set **ret, struct fault *f)
{
	AUTO(json_drop) json_t *parsed = NULL;
	struct fault ignored;
	struct jwk_set *s;
	const json_t *list;

	if (len > JWK_SET_BYTES_MAX)
		return fault_raise(
			f, FAULT_UPSTREAM, "the key set has more than %d bytes", JWK_SET_BYTES_MAX);
	if (json_parse(bytes, len, &parsed, &ignored) < 0)
		return fault_raise(f, FAULT_UPSTREAM, "the key set is not JSON");
	list = json_member(parsed, "keys");
	if (!json_is_array(list) || json_array_size(list) > JWK_KEYS_MAX)
		return fault_raise(f, FAULT_UPSTREAM,
			"the key set has no array \"keys\" of at most %d", JWK_KEYS_MAX);
	s = mem_alloc(sizeof(*s) + json_array_size(list) * sizeof(s->keys[0]));
	s->refs = 1;
	for (size_t i = 0; i < json_array_size(list); i++)
		s->n += read_key(json_array_get(list, i), &s->keys[s->n]);
	*ret = s;
	return 0;
}

struct jwk_set *jwk_set_ref(struct jwk_set *s)
{
	if (s != NULL)
		atomic_fetch_add(&s->refs, 1);
	return s;
}

void jwk_set_unref(struct jwk_set *s)
{
	if (s != NULL && atomic_fetch_sub(&s->refs, 1) == 1)
		mem_free(s);
}

void jwk_set_unrefp(struct jwk_set **s)
{
	jwk_set_unref(*s);
}

const struct jwk *jwk_find(const struct jwk_set *s, const char *kid, enum jose_alg alg)
{
	const struct jwk *found = NULL;

	for (size_t i = 0; s != NULL && i < s->n; i++) {
		const struct jwk *k = &s->keys[i];

		if (k->alg != alg || (kid[0] != '\0' && strcmp(k->kid, kid) != 0))
			continue;
		if (found != NULL) /* two of one name, or none named among many */
			return NULL;
		found = k;
	}
	return found;
}

bool jwk_set_has(const struct jwk_set *s, const char *kid, enum jose_alg alg)
{
	return jwk_find(s, kid, alg) != NULL;
}
