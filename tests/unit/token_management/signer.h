/* SPDX-License-Identifier: Apache-2.0 */
/* Signs tokens as Google would, under a key made once a process. */
#ifndef TESTS_UNIT_TOKEN_MANAGEMENT_SIGNER_H
#define TESTS_UNIT_TOKEN_MANAGEMENT_SIGNER_H

#include "base/buf.h"

/* A compact JWS of these claims under that key id. */
void signer_sign(const char *kid, const char *claims, struct buf *ret);
/* The JWK set with the public key under these ids (NULL: only the first). */
void signer_keys(const char *kid, const char *another, struct buf *ret);

#endif
