/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing: JWS in compact form (RFC 7515 section 3.1) with the private keys of OAuth apps (RFC
 * 7523, RFC 7518 sections 3.3 to 3.5). Keys are PEM texts in a struct secret; a call reads one,
 * uses it and forgets it. Pure computation, some milliseconds at most: any thread, but not one that
 * serves.
 */
#ifndef JOSE_JOSE_SIGN_H
#define JOSE_JOSE_SIGN_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/secret.h"

enum jose_sign_alg { JOSE_SIGN_RS256, JOSE_SIGN_PS256, JOSE_SIGN_ES256 };
#define JOSE_SIGN_ALG_COUNT 3
const char *jose_sign_alg_name(enum jose_sign_alg alg); /* "RS256", … */

/*
 * Whether a PEM (PKCS #8, PKCS #1 or SEC 1, without a passphrase) holds a key that can sign, and by
 * what: *wanted, or without a wish RS256 for an RSA key (2048 to 16384 bits) and ES256 for one on
 * P-256. -1 FAULT_INPUT on `field`; the text tells what is wrong and nothing of the key.
 */
MUST_CHECK int jose_sign_check(const struct secret *pem, const enum jose_sign_alg *wanted,
	const char *field, enum jose_sign_alg *ret, struct fault *f);

struct jose_claims { /* borrowed */
	enum jose_sign_alg alg;
	const char *key_id; /* `kid`; NULL: none */
	const char *json;   /* the claims, an object */
	size_t len;
};
/* Appends header.claims.signature. -1 FAULT_INPUT as jose_sign_check, or FAULT_BUG. */
MUST_CHECK int jose_sign(const struct secret *pem, const struct jose_claims *claims,
	struct buf *ret, struct fault *f);

#endif
