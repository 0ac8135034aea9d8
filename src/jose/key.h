/* SPDX-License-Identifier: Apache-2.0 */
/* A public key as the files of this module share it. */
#ifndef JOSE_KEY_H
#define JOSE_KEY_H

#include "jose/jose.h"

struct jwk {
	enum jose_alg alg; /* the only one it serves */
	char kid[JOSE_KID_BYTES_MAX + 1];
	/* RSA: modulus and exponent; P-256: the coordinates. Big-endian. */
	uint8_t a[JWK_RSA_BITS_MAX / 8], b[32];
	size_t a_len, b_len;
};

struct jwk_set {
	_Atomic int refs;
	size_t n;
	struct jwk keys[];
};

/* The key for a token; NULL: none, or no telling which. */
const struct jwk *jwk_find(const struct jwk_set *s, const char *kid, enum jose_alg alg);

#endif
