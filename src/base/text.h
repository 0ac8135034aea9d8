/* SPDX-License-Identifier: Apache-2.0 */
/* Small questions about text: numbers, UTF-8, percent-encoding, base64url. No allocation. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/attr.h"
#include "base/buf.h"

bool text_equal(const char *a, const char *b); /* NULL equals only NULL */
bool text_starts(const char *text, const char *prefix);
bool text_is_utf8(const char *bytes, size_t len); /* RFC 3629: no surrogates, no overlong */
/* A whole decimal integer with optional '-', nothing around it. 0 done, 1 not one or out of int64.
 */
MUST_CHECK int text_parse_int(const char *text, int64_t *ret);
/*
 * Percent-decoding (RFC 3986 section 2.1). plus_is_space for form data. 0 done; 1 bad escape, or a
 * NUL byte, or not UTF-8 afterwards. ret must hold len + 1 bytes and may be `bytes` itself.
 */
MUST_CHECK int text_percent_decode(
	const char *bytes, size_t len, bool plus_is_space, char *ret, size_t *ret_len);
/* Appends with everything but RFC 3986 unreserved characters escaped. */
void text_percent_encode(struct buf *b, const char *bytes, size_t len);
/* Unpadded base64url (RFC 4648 section 5). */
void text_base64url(struct buf *b, const void *bytes, size_t len);
MUST_CHECK int text_base64url_decode(
	const char *text, size_t len, struct buf *ret);         /* 0, or 1 malformed */
void text_base64(struct buf *b, const void *bytes, size_t len); /* padded, RFC 4648 section 4 */
/* Standard HTML escaping of & < > " ' appended to b. */
void text_html(struct buf *b, const char *text);
/* The start of a text for a message: at most 64 bytes of printable ASCII, other bytes become '?'.
 */
#define TEXT_EXCERPT_SIZE 68
const char *text_excerpt(const char *text, char ret[static TEXT_EXCERPT_SIZE]);

#endif
