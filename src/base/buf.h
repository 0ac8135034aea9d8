/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a stated maximum and a sticky failure: append freely, check once with
 * buf_failed(). Passing the maximum keeps what was there and refuses the rest. A wiped buffer
 * zeroes all memory that it ever held, also when it grows.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/attr.h"

struct buf {
	char *data; /* NUL-terminated once anything was added; NULL before */
	size_t len, cap, max;
	bool failed, wiped;
};

#define BUF_INIT(max_bytes) ((struct buf){.max = (max_bytes)})
#define BUF_INIT_WIPED(max_bytes) ((struct buf){.max = (max_bytes), .wiped = true})

void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_add_text(struct buf *b, const char *text);
void buf_add_char(struct buf *b, char c);
/* Makes it len bytes longer and answers where they are to be written; NULL when that failed. */
char *buf_extend(struct buf *b, size_t len);
void buf_addf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
bool buf_failed(const struct buf *b);
const char *buf_text(const struct buf *b); /* borrowed, "" when empty, never NULL */
void buf_reset(struct buf *b);             /* empties, keeps memory, clears failed */
void buf_drop(struct buf *b);              /* for AUTO; the buffer can be used again */

#endif
