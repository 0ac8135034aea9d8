/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON is jansson's work, through the getters below; its memory is wiped when freed (call
 * json_start() once), since token responses pass through it. Writing is a small writer over struct
 * buf, which needs no tree: exports of any size and the hot path use it.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"

#define JSON_DEPTH_MAX 64

void json_start(void); /* before the first parse, before threads; idempotent */

/* *ret is owned by the caller (json_drop). -1 FAULT_INPUT with line, column and what was expected.
 */
MUST_CHECK int json_parse(const char *bytes, size_t len, json_t **ret, struct fault *f);
void json_drop(json_t **j); /* for AUTO */

/* Lenient getters: the default (NULL, or fallback) when absent or of another type. Borrowed. */
const char *json_text(const json_t *object, const char *key);
int64_t json_int(const json_t *object, const char *key, int64_t fallback);
bool json_flag(const json_t *object, const char *key, bool fallback);
json_t *json_member(const json_t *object, const char *key);

/* The writer. Commas are its business; nesting is the caller's. */
struct json_out {
	struct buf *to;
	bool comma;
};
#define JSON_OUT(buffer) ((struct json_out){.to = (buffer)})

void json_open(struct json_out *o, char bracket);  /* '{' or '[' */
void json_close(struct json_out *o, char bracket); /* '}' or ']' */
void json_key(struct json_out *o, const char *key);
void json_put_text(
	struct json_out *o, const char *text); /* NULL writes null; bad UTF-8 becomes U+FFFD */
void json_put_bytes(struct json_out *o, const char *bytes, size_t len);
void json_put_int(struct json_out *o, int64_t value);
void json_put_double(struct json_out *o, double value);
void json_put_bool(struct json_out *o, bool value);
void json_put_null(struct json_out *o);
void json_put_time(struct json_out *o, int64_t wall_ms); /* RFC 3339; 0 or less writes null */
void json_put_raw(struct json_out *o, const char *json, size_t len); /* JSON already made */

/* Member shorthands: key and value in one call. */
void json_add_text(struct json_out *o, const char *key, const char *text);
void json_add_int(struct json_out *o, const char *key, int64_t value);
void json_add_bool(struct json_out *o, const char *key, bool value);
void json_add_time(struct json_out *o, const char *key, int64_t wall_ms);
void json_add_null(struct json_out *o, const char *key);

#endif
