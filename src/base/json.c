/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

void json_start(void)
{
	json_set_alloc_funcs(malloc, mem_wipe_free);
	json_object_seed(0);
}

/*
 * jansson recurses; its own limit (2048) is past what a small thread stack bears with sanitizers
 * on, so depth is measured first. Brackets inside strings do not count.
 */
static bool too_deep(const char *bytes, size_t len)
{
	int depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (quoted) {
			if (bytes[i] == '\\')
				i++;
			else if (bytes[i] == '"')
				quoted = false;
		} else if (bytes[i] == '"') {
			quoted = true;
		} else if (bytes[i] == '{' || bytes[i] == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if (bytes[i] == '}' || bytes[i] == ']') {
			depth--;
		}
	}
	return false;
}

/* jansson's words quote the input near the error, which may be a secret: cut them off. */
static int clean_length(const char *text)
{
	const char *near = strstr(text, " near '");

	return (int)(near ? near - text : (ptrdiff_t)strlen(text));
}

int json_parse(const char *bytes, size_t len, json_t **ret, struct fault *f)
{
	json_error_t error;
	json_t *parsed;

	if (too_deep(bytes, len))
		return fault_raise(
			f, FAULT_INPUT, "JSON is nested deeper than %d levels", JSON_DEPTH_MAX);
	parsed = json_loadb(bytes, len, JSON_ALLOW_NUL, &error);
	if (!parsed)
		return fault_raise(f, FAULT_INPUT, "not valid JSON: line %d, column %d: %.*s",
			error.line, error.column, clean_length(error.text), error.text);
	*ret = parsed;
	return 0;
}

void json_drop(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}

json_t *json_member(const json_t *object, const char *key)
{
	return json_object_get(object, key);
}

const char *json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

int64_t json_int(const json_t *object, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool json_flag(const json_t *object, const char *key, bool fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_boolean(value) ? json_is_true(value) : fallback;
}

static void separate(struct json_out *o)
{
	if (o->comma)
		buf_add_char(o->to, ',');
	o->comma = true;
}

void json_open(struct json_out *o, char bracket)
{
	separate(o);
	buf_add_char(o->to, bracket);
	o->comma = false;
}

void json_close(struct json_out *o, char bracket)
{
	buf_add_char(o->to, bracket);
	o->comma = true;
}

/* Characters that JSON (RFC 8259 section 7) wants escaped. */
static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c != '"' && c != '\\' && c < 0x7F;
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/*
 * Whether one of eight bytes may need an escape: its high bit comes out set for 0x7F and above,
 * below 0x20, '"' and '\\'. Carries and borrows start only from such bytes, so zero means none.
 */
static uint64_t special_bytes(const char *bytes)
{
	uint64_t w;

	memcpy(&w, bytes, sizeof(w));
	return (w | (w + EACH_BYTE(1)) | (w - EACH_BYTE(0x20)) |
		       ((w ^ EACH_BYTE('"')) - EACH_BYTE(1)) |
		       ((w ^ EACH_BYTE('\\')) - EACH_BYTE(1))) &
	       EACH_BYTE(0x80);
}

/* How many bytes from the start need no escape. Nearly all of them do not: eight at a time. */
static size_t plain_run(const char *bytes, size_t len)
{
	size_t run = 0;

	while (run + 8 <= len && special_bytes(bytes + run) == 0)
		run += 8;
	if (len >= 8 && len - run < 8 && special_bytes(bytes + len - 8) == 0)
		return len;
	while (run < len && is_plain((uint8_t)bytes[run]))
		run++;
	return run;
}

static void add_escape(struct buf *b, uint8_t c)
{
	switch (c) {
	case '"':
		buf_add_text(b, "\\\"");
		break;
	case '\\':
		buf_add_text(b, "\\\\");
		break;
	case '\n':
		buf_add_text(b, "\\n");
		break;
	case '\r':
		buf_add_text(b, "\\r");
		break;
	case '\t':
		buf_add_text(b, "\\t");
		break;
	default:
		buf_addf(b, "\\u%04x", c);
	}
}

static void add_string(struct buf *b, const char *bytes, size_t len)
{
	size_t run = plain_run(bytes, len), n;
	char *at;

	if (run == len) {
		at = buf_extend(b, len + 2);
		if (at == NULL)
			return;
		at[0] = at[len + 1] = '"';
		if (len)
			memcpy(at + 1, bytes, len);
		return;
	}
	buf_add_char(b, '"');
	for (size_t i = 0; i < len; i += run) {
		run = plain_run(bytes + i, len - i);
		if (run) {
			buf_add(b, bytes + i, run);
			continue;
		}
		run = 1;
		if ((uint8_t)bytes[i] < 0x80) {
			add_escape(b, (uint8_t)bytes[i]);
			continue;
		}
		for (n = 2; n <= 4 && i + n <= len && !text_is_utf8(bytes + i, n); n++)
			;
		if (n > 4 || i + n > len) {
			buf_add_text(b, "\xEF\xBF\xBD");
			continue;
		}
		buf_add(b, bytes + i, n);
		run = n;
	}
	buf_add_char(b, '"');
}

void json_put_bytes(struct json_out *o, const char *bytes, size_t len)
{
	separate(o);
	add_string(o->to, bytes, len);
}

void json_put_text(struct json_out *o, const char *text)
{
	if (text)
		json_put_bytes(o, text, strlen(text));
	else
		json_put_null(o);
}

void json_key(struct json_out *o, const char *key)
{
	json_put_text(o, key);
	buf_add_char(o->to, ':');
	o->comma = false;
}

void json_put_raw(struct json_out *o, const char *json, size_t len)
{
	separate(o);
	buf_add(o->to, json, len);
}

void json_put_int(struct json_out *o, int64_t value)
{
	char digits[24], *at = digits + sizeof(digits);
	uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	do
		*--at = (char)('0' + left % 10);
	while ((left /= 10) > 0);
	if (value < 0)
		*--at = '-';
	json_put_raw(o, at, (size_t)(digits + sizeof(digits) - at));
}

void json_put_double(struct json_out *o, double value)
{
	char digits[40];
	int n = 0;

	if (!isfinite(value)) {
		json_put_null(o);
		return;
	}
	for (int precision = 6; precision <= 17; precision++) { /* the shortest that reads back */
		n = snprintf(digits, sizeof(digits), "%.*g", precision, value);
		if (strtod(digits, NULL) == value)
			break;
	}
	json_put_raw(o, digits, (size_t)n);
}

void json_put_bool(struct json_out *o, bool value)
{
	json_put_raw(o, value ? "true" : "false", value ? 4 : 5);
}

void json_put_null(struct json_out *o)
{
	json_put_raw(o, "null", 4);
}

void json_put_time(struct json_out *o, int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];

	if (wall_ms <= 0)
		json_put_null(o);
	else
		json_put_text(o, clock_format_ms(wall_ms, text));
}

void json_add_text(struct json_out *o, const char *key, const char *text)
{
	json_key(o, key);
	json_put_text(o, text);
}

void json_add_int(struct json_out *o, const char *key, int64_t value)
{
	json_key(o, key);
	json_put_int(o, value);
}

void json_add_bool(struct json_out *o, const char *key, bool value)
{
	json_key(o, key);
	json_put_bool(o, value);
}

void json_add_time(struct json_out *o, const char *key, int64_t wall_ms)
{
	json_key(o, key);
	json_put_time(o, wall_ms);
}

void json_add_null(struct json_out *o, const char *key)
{
	json_key(o, key);
	json_put_null(o);
}
