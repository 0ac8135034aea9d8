/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as a signed token, and as a set of keys: what a stranger may post. Whatever comes: no
 * crash, and nothing verifies that was not signed. The key is the public one of RFC 7515 A.2.
 */
#include <stdlib.h>
#include <string.h>

#include "../../unit/jose/vectors.h"
#include "base/json.h"
#include "jose/jose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static bool is_signed(const char *text, size_t len)
{
	static const char *const known[] = {RS256_TOKEN, ES256_TOKEN};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (len == strlen(known[i]) && memcmp(text, known[i], len) == 0)
			return true;
	return false;
}

static void try_token(const char *text, size_t len)
{
	AUTO(jwk_set_unrefp) struct jwk_set *keys = NULL;
	AUTO(json_drop) json_t *claims = NULL;
	struct fault f;
	struct jws j;

	demand(jwk_set_parse(BOTH_KEYS, strlen(BOTH_KEYS), &keys, &f) == 0);
	if (jws_read(text, len, JOSE_RS256 | JOSE_ES256, &j) != JWS_GOOD)
		return;
	demand(j.header_len < j.text_len && j.text_len < len && len <= JWS_BYTES_MAX);
	demand(j.signature_len <= sizeof(j.signature));
	demand((jws_verify(&j, keys) == JWS_GOOD) == is_signed(text, len));
	if (jws_claims(&j, &claims) == 0)
		demand(json_is_object(claims));
}

static void try_keys(const char *text, size_t len)
{
	AUTO(jwk_set_unrefp) struct jwk_set *keys = NULL;
	struct fault f;
	struct jws j;

	if (jwk_set_parse(text, len, &keys, &f) < 0)
		return;
	demand(jws_read(RS256_TOKEN, strlen(RS256_TOKEN), JOSE_RS256, &j) == JWS_GOOD);
	demand(jws_verify(&j, keys) != JWS_REFUSED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_start();
	try_token((const char *)data, size);
	try_keys((const char *)data, size);
	return 0;
}
