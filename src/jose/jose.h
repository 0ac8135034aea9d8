/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what others signed: compact JWS (RFC 7515) under the public keys of a JWK set (RFC 7517).
 * Who verifies says which algorithms will do; the token only chooses among them, and a key serves
 * the one algorithm of its kind. So neither `none` nor an HMAC keyed with a public key gets
 * anywhere. Nothing in a token's header ever names or brings a key but by `kid`.
 *
 * No I/O, no clock: keys are fetched, and claims judged, by the caller. Any thread.
 */
#ifndef JOSE_JOSE_H
#define JOSE_JOSE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/json.h"

/* What a peer can make us hold or compute. */
#define JWS_BYTES_MAX (16 * 1024)
#define JWS_HEADER_BYTES_MAX 1024 /* decoded */
#define JOSE_KID_BYTES_MAX 255
#define JOSE_TYPE_BYTES_MAX 63
#define JWK_SET_BYTES_MAX (64 * 1024)
#define JWK_KEYS_MAX 32
#define JWK_RSA_BITS_MIN 2048 /* RFC 7518 section 3.3 */
#define JWK_RSA_BITS_MAX 8192

enum jose_alg { /* a set of bits */
	JOSE_RS256 = 1 << 0,
	JOSE_ES256 = 1 << 1,
};

/* ---- keys ---- */

struct jwk_set; /* never changes; counted */
/*
 * Keys of other kinds, for other uses, too short or malformed are passed over (RFC 7517 section 5):
 * a set may hold none that we can use. -1 FAULT_UPSTREAM: not a JWK set, or more than the limits.
 * *ret is the caller's, given back by jwk_set_unref.
 */
MUST_CHECK int jwk_set_parse(const char *bytes, size_t len, struct jwk_set **ret, struct fault *f);
struct jwk_set *jwk_set_ref(struct jwk_set *s);
void jwk_set_unref(struct jwk_set *s);   /* NULL is fine */
void jwk_set_unrefp(struct jwk_set **s); /* for AUTO */
/* Whether a key of this id and algorithm is there. kid "": whether there is just one for alg. */
bool jwk_set_has(const struct jwk_set *s, const char *kid, enum jose_alg alg);

/* ---- tokens ---- */

struct jws { /* jws_done; borrows the text that it was read from */
	enum jose_alg alg;
	char kid[JOSE_KID_BYTES_MAX + 1];  /* "": none */
	char typ[JOSE_TYPE_BYTES_MAX + 1]; /* "": none */
	const char *text;                  /* the signing input: header.payload */
	size_t text_len, header_len;
	uint8_t signature[JWK_RSA_BITS_MAX / 8];
	size_t signature_len;
};
enum jws_outcome {
	JWS_GOOD,
	JWS_MALFORMED, /* not three parts of strict base64url, too long, a header that is none */
	JWS_REFUSED,   /* an algorithm that is not allowed, or extensions that must be understood */
	JWS_NO_KEY,    /* the set has none of this id and kind */
	JWS_BAD,       /* the signature is not of that key */
};
/*
 * Splits a token and reads its header. Cheap: nothing is computed of it. JWS_GOOD, JWS_MALFORMED or
 * JWS_REFUSED (RFC 7515 sections 4.1.11, 5.2; RFC 8725 sections 3.1, 3.2).
 */
MUST_CHECK enum jws_outcome jws_read(
	const char *text, size_t len, unsigned allowed_algs, struct jws *ret);
/* JWS_GOOD, JWS_NO_KEY or JWS_BAD (RFC 7515 section 5.2 point 8; RFC 7518 sections 3.3, 3.4). */
MUST_CHECK enum jws_outcome jws_verify(const struct jws *j, const struct jwk_set *keys);
/*
 * The claims (RFC 7519 section 7.2), which only a verified token has: *ret is an object, for
 * json_drop. 0; 1: the payload is none.
 */
MUST_CHECK int jws_claims(const struct jws *j, json_t **ret);

/* ---- claims ---- */

/* A string member of at most max bytes without a NUL; NULL: absent, or another thing. Borrowed. */
const char *claim_text(const json_t *claims, const char *name, size_t max);
/* Whether `aud`, one string or an array of them (RFC 7519 section 4.1.3), has this one. */
bool claim_has_audience(const json_t *claims, const char *audience);
/* A NumericDate (RFC 7519 section 2) as epoch ms. 0; 1: absent, no number, or out of all bounds. */
MUST_CHECK int claim_time_ms(const json_t *claims, const char *name, int64_t *ret_ms);

#endif
