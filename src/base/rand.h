/* SPDX-License-Identifier: Apache-2.0 */
/* The one seam for randomness: the kernel's, or in tests a source put in by rand_use(). */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include "base/attr.h"

void rand_bytes(void *ret, size_t len); /* aborts when the kernel has none */
uint64_t rand_below(uint64_t bound);    /* uniform in [0, bound); bound > 0 */
/* base64url of n_bytes random bytes, NUL-terminated; ret must hold RAND_TEXT_SIZE(n_bytes). */
#define RAND_TEXT_SIZE(n_bytes) (((n_bytes)*4 + 2) / 3 + 1)
void rand_text(size_t n_bytes, char *ret);
#define RAND_UUID_SIZE 37
void rand_uuid4(char ret[static RAND_UUID_SIZE]);     /* RFC 9562 section 5.4, lower case */
void rand_use(void (*source)(void *ret, size_t len)); /* Tests; NULL restores the kernel's */

#endif
