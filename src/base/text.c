/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool text_equal(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool text_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/*
 * The well-formed sequences of RFC 3629 section 4, by their first byte; the bounds of the second
 * keep out what is overlong, a surrogate, or past U+10FFFF.
 */
static const struct utf8_form {
	uint8_t first, last; /* first byte */
	uint8_t least, most; /* second byte */
	uint8_t len;
} utf8_forms[] = {
	{0xC2, 0xDF, 0x80, 0xBF, 2},
	{0xE0, 0xE0, 0xA0, 0xBF, 3},
	{0xE1, 0xEC, 0x80, 0xBF, 3},
	{0xED, 0xED, 0x80, 0x9F, 3},
	{0xEE, 0xEF, 0x80, 0xBF, 3},
	{0xF0, 0xF0, 0x90, 0xBF, 4},
	{0xF1, 0xF3, 0x80, 0xBF, 4},
	{0xF4, 0xF4, 0x80, 0x8F, 4},
};

/* Length of the well-formed sequence at p, 0 when it is not one. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
	const struct utf8_form *form = utf8_forms, *end = utf8_forms + ARRAY_LEN(utf8_forms);

	if (p[0] < 0x80)
		return 1;
	while (form < end && p[0] > form->last)
		form++;
	if (form == end || p[0] < form->first || form->len > left)
		return 0;
	if (p[1] < form->least || p[1] > form->most)
		return 0;
	for (size_t i = 2; i < form->len; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return form->len;
}

bool text_is_utf8(const char *bytes, size_t len)
{
	const uint8_t *p = (const uint8_t *)bytes;
	size_t n;

	while (len) {
		n = utf8_sequence(p, len);
		if (!n)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

int text_parse_int(const char *text, int64_t *ret)
{
	const char *digits = text + (text[0] == '-');
	char *end;
	long long value;

	if (!*digits || digits[strspn(digits, "0123456789")])
		return 1;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno)
		return 1;
	*ret = value;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int text_percent_decode(
	const char *bytes, size_t len, bool plus_is_space, char *ret, size_t *ret_len)
{
	size_t out = 0;
	int high, low;

	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];

		if (c == '+' && plus_is_space) {
			c = ' ';
		} else if (c == '%') {
			if (len - i < 3)
				return 1;
			high = hex_digit(bytes[i + 1]);
			low = hex_digit(bytes[i + 2]);
			if (high < 0 || low < 0)
				return 1;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (!c)
			return 1;
		ret[out++] = c;
	}
	ret[out] = '\0';
	*ret_len = out;
	return text_is_utf8(ret, out) ? 0 : 1;
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

void text_percent_encode(struct buf *b, const char *bytes, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t run;

	for (size_t i = 0; i < len; i += run) {
		for (run = 0; i + run < len && is_unreserved(bytes[i + run]); run++)
			;
		if (run) {
			buf_add(b, bytes + i, run);
			continue;
		}
		buf_add(b, (char[]){'%', hex[(uint8_t)bytes[i] >> 4], hex[bytes[i] & 15]}, 3);
		run = 1;
	}
}

static void add_base64(struct buf *b, const void *bytes, size_t len, int variant)
{
	const uint8_t *p = bytes;
	char piece[sodium_base64_ENCODED_LEN(48, sodium_base64_VARIANT_ORIGINAL)];
	size_t take;

	for (; len; p += take, len -= take) {
		take = len < 48 ? len : 48; /* a multiple of 3: padding comes at the end only */
		buf_add_text(b, sodium_bin2base64(piece, sizeof(piece), p, take, variant));
	}
	sodium_memzero(piece, sizeof(piece));
}

void text_base64url(struct buf *b, const void *bytes, size_t len)
{
	add_base64(b, bytes, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void text_base64(struct buf *b, const void *bytes, size_t len)
{
	add_base64(b, bytes, len, sodium_base64_VARIANT_ORIGINAL);
}

int text_base64url_decode(const char *text, size_t len, struct buf *ret)
{
	unsigned char piece[48];
	size_t take, n;

	for (; len; text += take, len -= take) {
		take = len < 64 ? len : 64; /* 64 digits are 48 whole bytes */
		if (sodium_base642bin(piece, sizeof(piece), text, take, NULL, &n, NULL,
			    sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
			return 1;
		buf_add(ret, piece, n);
	}
	sodium_memzero(piece, sizeof(piece));
	return buf_failed(ret) ? 1 : 0;
}

void text_html(struct buf *b, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			buf_add_text(b, "&amp;");
			break;
		case '<':
			buf_add_text(b, "&lt;");
			break;
		case '>':
			buf_add_text(b, "&gt;");
			break;
		case '"':
			buf_add_text(b, "&quot;");
			break;
		case '\'':
			buf_add_text(b, "&#39;");
			break;
		default:
			buf_add_char(b, *text);
		}
	}
}

#define EXCERPT_BYTES 64

const char *text_excerpt(const char *text, char ret[static TEXT_EXCERPT_SIZE])
{
	size_t n = 0;

	for (; text[n] && n < EXCERPT_BYTES; n++)
		ret[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
	snprintf(ret + n, TEXT_EXCERPT_SIZE - n, "%s", text[n] ? "..." : "");
	return ret;
}
