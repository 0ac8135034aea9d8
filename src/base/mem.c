/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *p)
{
	if (!p) {
		fputs("{\"level\":\"error\",\"event\":\"memory.exhausted\"}\n", stderr);
		abort();
	}
	return p;
}

void *mem_alloc(size_t size)
{
	return or_die(calloc(1, size ? size : 1));
}

void *mem_alloc_array(size_t count, size_t size)
{
	return or_die(calloc(count ? count : 1, size ? size : 1));
}

void *mem_resize(void *p, size_t size)
{
	return or_die(realloc(p, size ? size : 1));
}

char *mem_text(const char *text)
{
	return mem_text_n(text, strlen(text));
}

char *mem_text_n(const char *bytes, size_t len)
{
	char *copy = or_die(malloc(len + 1));

	if (len)
		memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}

void mem_free(void *p)
{
	free(p);
}

void mem_wipe_free(void *p)
{
	if (!p)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

void mem_freep(void *pointer_to_pointer)
{
	void **p = pointer_to_pointer;

	free(*p);
	*p = NULL;
}
