/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of bounded size. Running out aborts: crash safety has to hold anyway, and half of all
 * error paths vanish. Whatever a peer can size goes through struct buf with a stated maximum
 * instead.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/attr.h"

/* Zeroed, never NULL. The caller frees with mem_free. Any thread. */
void *mem_alloc(size_t size) __attribute__((returns_nonnull, malloc));
void *mem_alloc_array(size_t count, size_t size) __attribute__((returns_nonnull, malloc));
/* As realloc, never NULL; the new part is not zeroed. */
void *mem_resize(void *p, size_t size) __attribute__((returns_nonnull));
char *mem_text(const char *text) __attribute__((returns_nonnull)); /* copy of a string */
char *mem_text_n(const char *bytes, size_t len)
	__attribute__((returns_nonnull)); /* … of len bytes, NUL added */
void mem_free(void *p);                   /* NULL is fine */
/* Wipes the whole allocation, then frees it. For memory that libraries fill with secrets. */
void mem_wipe_free(void *p);
void mem_freep(void *pointer_to_pointer); /* for AUTO: frees *(void **)arg */

#endif
