/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <sodium.h>
#include <string.h>

#include "base/mem.h"

void secret_wipe(void *p, size_t len)
{
	explicit_bzero(p, len);
}

struct secret secret_from(const char *bytes, size_t len)
{
	return (struct secret){.bytes = mem_text_n(bytes, len), .len = len};
}

struct secret secret_copy(const struct secret *s)
{
	if (!s->bytes)
		return (struct secret){0};
	return secret_from(s->bytes, s->len);
}

struct secret secret_take(struct secret *moved)
{
	struct secret taken = *moved;

	*moved = (struct secret){0};
	return taken;
}

bool secret_is_set(const struct secret *s)
{
	return s->bytes != NULL;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	if (!a->bytes || !b->bytes)
		return a->bytes == b->bytes;
	return a->len == b->len && sodium_memcmp(a->bytes, b->bytes, a->len) == 0;
}

void secret_drop(struct secret *s)
{
	if (s->bytes)
		secret_wipe(s->bytes, s->len);
	mem_free(s->bytes);
	*s = (struct secret){0};
}

struct sealed sealed_from(const void *bytes, size_t len)
{
	return (struct sealed){.bytes = (uint8_t *)mem_text_n(bytes, len), .len = len};
}

void sealed_drop(struct sealed *s)
{
	mem_free(s->bytes);
	*s = (struct sealed){0};
}
