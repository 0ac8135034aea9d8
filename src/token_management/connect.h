/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the consent flow share. */
#ifndef TOKEN_MANAGEMENT_CONNECT_H
#define TOKEN_MANAGEMENT_CONNECT_H

#include "base/attr.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/rand.h"
#include "base/secret.h"

struct token_management;

#define CONNECT_RANDOM_BYTES 32 /* of a state, a ticket, a browser's cookie: 256 bits */
#define CONNECT_TEXT_SIZE RAND_TEXT_SIZE(CONNECT_RANDOM_BYTES)

/* A value of our own making by its shape: 43 characters of base64url. NULL is none. */
bool connect_is_ours(const char *text);
/* What the database keeps of a value that a browser holds. */
void connect_hash(const char *text, uint8_t ret[static HASH_BLAKE2B_SIZE]);

/* The code verifier of a flow, which is sealed under the flow's own place. */
MUST_CHECK int connect_unseal_verifier(const struct token_management *tm, const uint8_t *state_hash,
	const struct sealed *sealed, struct secret *ret, struct fault *f);

#endif
