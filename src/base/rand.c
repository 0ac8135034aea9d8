/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/secret.h"

static void (*source)(void *ret, size_t len); /* NULL: the kernel's; set before threads start */

static void from_kernel(void *ret, size_t len)
{
	uint8_t *at = ret;
	ssize_t n;

	while (len) {
		n = getrandom(at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();
		at += n;
		len -= (size_t)n;
	}
}

void rand_bytes(void *ret, size_t len)
{
	(source ? source : from_kernel)(ret, len);
}

uint64_t rand_below(uint64_t bound)
{
	uint64_t x, least = -bound % bound; /* below it lies the uneven rest of 2^64 */

	do
		rand_bytes(&x, sizeof(x));
	while (x < least);
	return x % bound;
}

void rand_text(size_t n_bytes, char *ret)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t raw[3];
	size_t take;

	for (; n_bytes; n_bytes -= take) {
		take = n_bytes < 3 ? n_bytes : 3;
		memset(raw, 0, sizeof(raw));
		rand_bytes(raw, take);
		*ret++ = digits[raw[0] >> 2];
		*ret++ = digits[(raw[0] & 3) << 4 | raw[1] >> 4];
		if (take > 1)
			*ret++ = digits[(raw[1] & 15) << 2 | raw[2] >> 6];
		if (take > 2)
			*ret++ = digits[raw[2] & 63];
	}
	*ret = '\0';
	secret_wipe(raw, sizeof(raw));
}

void rand_uuid4(char ret[static RAND_UUID_SIZE])
{
	uint8_t b[16];

	rand_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(ret, RAND_UUID_SIZE,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
}

void rand_use(void (*replacement)(void *ret, size_t len))
{
	source = replacement;
}
