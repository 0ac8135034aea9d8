/* SPDX-License-Identifier: Apache-2.0 */
#include "jose/jose.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "jose/key.h"

#define ES256_BYTES 64

/* ---- reading ---- */

static const struct {
	const char *name;
	enum jose_alg alg;
} algs[] = {
	{"RS256", JOSE_RS256},
	{"ES256", JOSE_ES256},
};

/* Header members may be absent, but not be of another type or size. */
static bool copy_member(const json_t *header, const char *name, char *to, size_t size)
{
	const char *text = claim_text(header, name, size - 1);

	snprintf(to, size, "%s", text != NULL ? text : "");
	return text != NULL || json_member(header, name) == NULL;
}

static enum jws_outcome read_header(const json_t *header, unsigned allowed, struct jws *ret)
{
	const char *alg = claim_text(header, "alg", 16);

	if (!json_is_object(header) || json_member(header, "alg") == NULL ||
		!copy_member(header, "kid", ret->kid, sizeof(ret->kid)) ||
		!copy_member(header, "typ", ret->typ, sizeof(ret->typ)))
		return JWS_MALFORMED;
	/* RFC 7515 section 4.1.11: we understand no extension, so none may be critical; `b64`
	 * (RFC 7797) would change what is signed. */
	if (json_member(header, "crit") != NULL || json_member(header, "b64") != NULL)
		return JWS_REFUSED;
	for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
		if ((allowed & algs[i].alg) != 0 && text_equal(algs[i].name, alg)) {
			ret->alg = algs[i].alg;
			return JWS_GOOD;
		}
	}
	return JWS_REFUSED;
}

enum jws_outcome jws_read(const char *text, size_t len, unsigned allowed_algs, struct jws *ret)
{
	AUTO(buf_drop) struct buf header = BUF_INIT(JWS_HEADER_BYTES_MAX);
	AUTO(buf_drop) struct buf signature = BUF_INIT(sizeof(ret->signature));
	AUTO(json_drop) json_t *parsed = NULL;
	const char *payload, *last;
	struct fault ignored;

	*ret = (struct jws){.text = text};
	if (len > JWS_BYTES_MAX)
		return JWS_MALFORMED;
	payload = memchr(text, '.', len);
	last = payload != NULL ? memchr(payload + 1, '.', len - (size_t)(payload + 1 - text))
			       : NULL;
	if (last == NULL)
		return JWS_MALFORMED;
	ret->header_len = (size_t)(payload - text);
	ret->text_len = (size_t)(last - text);
	/* A third dot, as in JWE, is no digit of base64url. */
	if (text_base64url_decode(text, ret->header_len, &header) != 0 ||
		text_base64url_decode(last + 1, len - ret->text_len - 1, &signature) != 0 ||
		json_parse(buf_text(&header), header.len, &parsed, &ignored) < 0)
		return JWS_MALFORMED;
	ret->signature_len = signature.len;
	if (signature.len > 0)
		memcpy(ret->signature, signature.data, signature.len);
	return read_header(parsed, allowed_algs, ret);
}

/* ---- verifying ---- */

/* Into gnutls; the object is made anew each time, since threads may not share one. */
static int import(const struct jwk *k, gnutls_pubkey_t key)
{
	uint8_t copy_a[sizeof(k->a)], copy_b[sizeof(k->b)]; /* gnutls takes no const */
	gnutls_datum_t a = {copy_a, (unsigned)k->a_len}, b = {copy_b, (unsigned)k->b_len};

	memcpy(copy_a, k->a, k->a_len);
	memcpy(copy_b, k->b, k->b_len);
	if (k->alg == JOSE_RS256)
		return gnutls_pubkey_import_rsa_raw(key, &a, &b);
	return gnutls_pubkey_import_ecc_raw(key, GNUTLS_ECC_CURVE_SECP256R1, &a, &b);
}

static bool check(gnutls_pubkey_t key, const struct jws *j, const gnutls_datum_t *signature)
{
	gnutls_sign_algorithm_t alg =
		j->alg == JOSE_RS256 ? GNUTLS_SIGN_RSA_SHA256 : GNUTLS_SIGN_ECDSA_SHA256;
	const gnutls_datum_t text = {(unsigned char *)(uintptr_t)j->text, (unsigned)j->text_len};

	return gnutls_pubkey_verify_data2(key, alg, 0, &text, signature) >= 0;
}

/* RFC 7518 section 3.4: two numbers of 32 bytes, where gnutls wants DER. */
static bool check_ecdsa(gnutls_pubkey_t key, const struct jws *j)
{
	uint8_t numbers[ES256_BYTES];
	const gnutls_datum_t r = {numbers, ES256_BYTES / 2},
			     s = {numbers + ES256_BYTES / 2, ES256_BYTES / 2};
	gnutls_datum_t der;
	bool is_good;

	if (j->signature_len != ES256_BYTES)
		return false;
	memcpy(numbers, j->signature, sizeof(numbers));
	if (gnutls_encode_rs_value(&der, &r, &s) < 0)
		return false;
	is_good = check(key, j, &der);
	gnutls_free(der.data);
	return is_good;
}

static bool check_rsa(gnutls_pubkey_t key, const struct jws *j, const struct jwk *k)
{
	uint8_t copy[sizeof(j->signature)];
	const gnutls_datum_t signature = {copy, (unsigned)j->signature_len};

	/* RFC 8017 section 8.2.2 step 1; longer ones would only cost time. */
	if (j->signature_len == 0 || j->signature_len > k->a_len)
		return false;
	memcpy(copy, j->signature, j->signature_len);
	return check(key, j, &signature);
}

enum jws_outcome jws_verify(const struct jws *j, const struct jwk_set *keys)
{
	const struct jwk *k = jwk_find(keys, j->kid, j->alg);
	gnutls_pubkey_t key;
	bool is_good;

	if (k == NULL)
		return JWS_NO_KEY;
	if (gnutls_pubkey_init(&key) < 0)
		return JWS_BAD;
	is_good = import(k, key) >= 0 &&
		  (k->alg == JOSE_RS256 ? check_rsa(key, j, k) : check_ecdsa(key, j));
	gnutls_pubkey_deinit(key);
	return is_good ? JWS_GOOD : JWS_BAD;
}

int jws_claims(const struct jws *j, json_t **ret)
{
	AUTO(buf_drop) struct buf payload = BUF_INIT(JWS_BYTES_MAX);
	const char *part = j->text + j->header_len + 1;
	struct fault ignored;
	json_t *claims;

	if (text_base64url_decode(part, j->text_len - j->header_len - 1, &payload) != 0 ||
		json_parse(buf_text(&payload), payload.len, &claims, &ignored) < 0)
		return 1;
	if (!json_is_object(claims)) {
		json_drop(&claims);
		return 1;
	}
	*ret = claims;
	return 0;
}
