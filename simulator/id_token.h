/* SPDX-License-Identifier: Apache-2.0 */
/* OpenID Connect's ID token, signed RS256 under a key that is made at the first use. Any thread. */
#ifndef SIMULATOR_ID_TOKEN_H
#define SIMULATOR_ID_TOKEN_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"

struct id_key;

struct id_key *id_key_new(void);
void id_key_free(struct id_key *k);
/* Appends the JWT of these claims (a JSON object's text); typ NULL: "JWT". -1: gnutls failed. */
MUST_CHECK int id_token_sign(struct id_key *k, const char *typ, const char *claims, size_t len,
	struct buf *ret, struct fault *f);
/* Signs under a new key, of another id, from now on; the old one is no longer published. */
MUST_CHECK int id_key_rotate(struct id_key *k, struct fault *f);
/* Appends the JWK set with the public key. */
MUST_CHECK int id_key_write(struct id_key *k, struct buf *ret, struct fault *f);

#endif
