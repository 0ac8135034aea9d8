/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two types that never convert by accident. struct secret is plaintext: it lives in memory only, is
 * wiped when dropped, and no log field takes it. struct sealed is ciphertext: all that the store
 * sees.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/attr.h"

struct secret {
	char *bytes; /* NUL-terminated behind len; NULL when there is none */
	size_t len;
};

struct sealed {
	uint8_t *bytes; /* NULL when there is none */
	size_t len;
};

struct secret secret_from(const char *bytes, size_t len); /* copies; the caller owns the copy */
struct secret secret_copy(const struct secret *s);
struct secret secret_take(struct secret *moved); /* moves, leaves *moved empty */
bool secret_is_set(const struct secret *s);
bool secret_equal(const struct secret *a, const struct secret *b); /* time depends on length only */
void secret_drop(struct secret *s);                                /* wipes and empties; for AUTO */

struct sealed sealed_from(const void *bytes, size_t len);
void sealed_drop(struct sealed *s);

/* Zeroes memory in a way the compiler may not remove. */
void secret_wipe(void *p, size_t len);

#endif
