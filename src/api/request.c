/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a request that knows nothing of the server: lookups, checks, copies. */
#include "api/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "api/negotiate.h"
#include "api/request_life.h"
#include "api/route.h"
#include "base/mem.h"
#include "base/text.h"

#define CURSOR_BYTES_MAX 512

struct request_copy {
	struct request_copy *next;
	char text[];
};

const char answer_plain_type[] = "application/json";

void request_begin(struct request *req)
{
	req->route = NULL;
	req->n_params = req->n_query = req->n_errors = 0;
	req->body = BUF_INIT_WIPED(LIMIT_BODY_BYTES);
	req->is_upload = false;
	req->is_whole = true;
	req->upload = NULL;
	req->has_key = req->has_session = false;
	req->errors = NULL;
	req->copies = NULL;
	answer_begin(&req->answer);
}

void answer_begin(struct answer *a)
{
	a->status = 200;
	a->content_type = answer_plain_type;
	a->body = BUF_INIT(LIMIT_RESPONSE_BYTES);
	a->n_headers = 0;
	a->stream = NULL;
	a->secret = false;
}

void answer_drop(struct answer *a)
{
	if (a->secret)
		a->body.wiped = true;
	buf_drop(&a->body);
	if (a->stream) {
		struct stream *unsent = TAKE(a->stream);

		unsent->close(unsent);
	}
}

void request_done(struct request *req)
{
	if (req->upload)
		req->upload_free(TAKE(req->upload));
	buf_drop(&req->body);
	answer_drop(&req->answer);
	mem_free(TAKE(req->errors));
	while (req->copies) {
		struct request_copy *copy = req->copies;
		req->copies = copy->next;
		mem_wipe_free(copy);
	}
}

static const char *find(const struct name_value *pairs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(pairs[i].name, name) == 0)
			return pairs[i].value;
	return NULL;
}

const char *request_param(const struct request *req, const char *name)
{
	return find(req->params, req->n_params, name);
}

const char *request_query(const struct request *req, const char *name)
{
	return find(req->query, req->n_query, name);
}

static char *copy_bytes(struct request *req, const char *bytes, size_t len)
{
	struct request_copy *copy = mem_alloc(sizeof(*copy) + len + 1);

	memcpy(copy->text, bytes, len);
	copy->next = req->copies;
	req->copies = copy;
	return copy->text;
}

const char *request_text(struct request *req, const char *text)
{
	return text ? copy_bytes(req, text, strlen(text)) : NULL;
}

const char *request_cookie(struct request *req, const char *name)
{
	char value[4096];

	if (!cookie_find(request_header(req, "Cookie"), name, value, sizeof(value)))
		return NULL;
	return request_text(req, value);
}

bool request_wants_html(const struct request *req)
{
	return accept_prefers_html(request_header(req, "Accept"));
}

void request_error(
	struct request *req, const char *where, const char *name, const char *format, ...)
{
	va_list args;

	if (req->n_errors == REQUEST_ERRORS_MAX)
		return;
	if (req->errors == NULL)
		req->errors = mem_alloc_array(REQUEST_ERRORS_MAX, sizeof(*req->errors));
	struct field_error *e = &req->errors[req->n_errors++];
	snprintf(e->loc[0], sizeof(e->loc[0]), "%s", where);
	snprintf(e->loc[1], sizeof(e->loc[1]), "%s", name);
	va_start(args, format);
	vsnprintf(e->msg, sizeof(e->msg), format, args);
	va_end(args);
}

int request_check(struct request *req, struct fault *f)
{
	if (req->n_errors == 0)
		return 0;
	const struct field_error *e = &req->errors[0];
	return fault_input(f, e->loc[1], "%s%s%s", e->loc[1], e->loc[1][0] ? " " : "", e->msg);
}

int64_t request_query_int(
	struct request *req, const char *name, int64_t least, int64_t most, int64_t fallback)
{
	const char *text = request_query(req, name);
	char shown[TEXT_EXCERPT_SIZE];
	int64_t value;

	if (text == NULL)
		return fallback;
	if (text_parse_int(text, &value) == 0 && value >= least && value <= most)
		return value;
	if (fallback < least || fallback > most) /* stands for "not given" */
		request_error(req, "query", name,
			"is '%s': give a whole number from %lld to %lld, or leave it out",
			text_excerpt(text, shown), (long long)least, (long long)most);
	else
		request_error(req, "query", name,
			"is '%s': give a whole number from %lld to %lld, or leave it out for %lld",
			text_excerpt(text, shown), (long long)least, (long long)most,
			(long long)fallback);
	return fallback;
}

int request_query_either(struct request *req, const char *name)
{
	static const char *const words[][2] = {{"false", "true"}, {"0", "1"}};
	const char *text = request_query(req, name);
	char shown[TEXT_EXCERPT_SIZE];

	if (text == NULL)
		return -1;
	for (size_t i = 0; i < 2 * ARRAY_LEN(words); i++)
		if (strcmp(text, words[i / 2][i % 2]) == 0)
			return (int)(i % 2);
	request_error(req, "query", name, "is '%s': give true or false", text_excerpt(text, shown));
	return -1;
}

void request_page(struct request *req, int64_t *ret_limit, const char **ret_cursor)
{
	const char *cursor = request_query(req, "cursor");

	*ret_limit = request_query_int(req, "limit", 1, LIMIT_LIST_MAX, LIMIT_LIST_DEFAULT);
	if (cursor && strlen(cursor) > CURSOR_BYTES_MAX)
		request_error(req, "query", "cursor",
			"has %zu bytes: give next_cursor of the previous answer unchanged (at most "
			"%d bytes)",
			strlen(cursor), CURSOR_BYTES_MAX);
	*ret_cursor = cursor && *cursor ? cursor : NULL;
}

int request_json(struct request *req, json_t **ret, struct fault *f)
{
	const char *type = request_header(req, "Content-Type");
	char shown[TEXT_EXCERPT_SIZE];
	json_t *body;

	if (!content_type_is_json(type)) {
		req->answer.status = 415;
		return fault_raise(f, FAULT_INPUT,
			"Content-Type is '%s': send JSON in UTF-8 with Content-Type: "
			"application/json",
			text_excerpt(type, shown));
	}
	if (req->body.len == 0)
		return fault_raise(f, FAULT_INPUT, "the body is empty: send a JSON object");
	if (json_parse(req->body.data, req->body.len, &body, f) < 0)
		return -1;
	if (!json_is_object(body)) {
		json_drop(&body);
		request_error(req, "body", "", "is not a JSON object: send {\"name\": value, ...}");
		return request_check(req, f);
	}
	*ret = body;
	return 0;
}

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a whole number";
	case JSON_REAL:
		return "a fraction";
	case JSON_NULL:
		return "null";
	default:
		return json_is_true(value) ? "true" : "false";
	}
}

/* The member, or NULL (with an error when it is required) for one that is absent or null. */
static const json_t *take_field(struct request *req, json_t *body, const char *name, bool required)
{
	const json_t *value = json_object_get(body, name);

	if (value && !json_is_null(value))
		return value;
	if (required)
		request_error(
			req, "body", name, "is %s: it is required", value ? "null" : "missing");
	return NULL;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

const char *request_field_text(
	struct request *req, json_t *body, const char *name, size_t min, size_t max, bool required)
{
	const json_t *value = take_field(req, body, name, required);

	if (value == NULL)
		return NULL;
	if (!json_is_string(value)) {
		request_error(req, "body", name, "is %s: give a string of %zu to %zu bytes",
			type_name(value), min, max);
		return NULL;
	}
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	/* Taken as C strings from here on, such a value would be stored cut. */
	if (memchr(text, '\0', len) != NULL) {
		request_error(req, "body", name, "holds a NUL character: leave it out");
		return NULL;
	}
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	while (len > 0 && is_blank(*text)) {
		text++;
		len--;
	}
	if (len < min || len > max) {
		request_error(req, "body", name, "has %zu bytes: give %zu to %zu", len, min, max);
		return NULL;
	}
	if (memchr(text, '\0', len)) {
		request_error(req, "body", name, "holds a NUL character (\\u0000): take it out");
		return NULL;
	}
	return copy_bytes(req, text, len);
}

int64_t request_field_int(struct request *req, json_t *body, const char *name, int64_t least,
	int64_t most, bool required, int64_t fallback)
{
	const json_t *value = take_field(req, body, name, required);
	int64_t number = 0;

	if (value == NULL)
		return fallback;
	/* The original took "12" for 12. */
	const bool is_number =
		json_is_integer(value) ||
		(json_is_string(value) && text_parse_int(json_string_value(value), &number) == 0);
	if (!is_number) {
		request_error(req, "body", name, "is %s: give a whole number from %lld to %lld",
			type_name(value), (long long)least, (long long)most);
		return fallback;
	}
	if (json_is_integer(value))
		number = json_integer_value(value);
	if (number < least || number > most) {
		request_error(req, "body", name, "is %lld: give a whole number from %lld to %lld",
			(long long)number, (long long)least, (long long)most);
		return fallback;
	}
	return number;
}

bool request_field_bool(struct request *req, json_t *body, const char *name, bool fallback)
{
	const json_t *value = take_field(req, body, name, false);

	if (value == NULL)
		return fallback;
	if (!json_is_boolean(value)) {
		request_error(req, "body", name, "is %s: give true or false", type_name(value));
		return fallback;
	}
	return json_is_true(value);
}

struct actor request_actor(struct request *req)
{
	char name[32];

	if (!req->has_key)
		return (struct actor){.name = "anonymous", .remote = req->remote};
	snprintf(name, sizeof(name), "key:%s", req->key.id);
	return (struct actor){.name = request_text(req, name), .remote = req->remote};
}

int request_sees(struct request *req, const char *branch_id, const char *missing, struct fault *f)
{
	if (!req->has_key || !req->key.is_bound ||
		keys_may_see(request_tokens(req), &req->key, branch_id, strlen(branch_id)))
		return 0;
	return fault_raise(f, FAULT_MISSING, "%s", missing);
}

void answer_header(struct request *req, const char *name, const char *value)
{
	struct answer *a = &req->answer;

	if (a->n_headers < REQUEST_HEADERS_MAX)
		a->headers[a->n_headers++] = (struct name_value){name, request_text(req, value)};
}

struct json_out answer_json(struct request *req)
{
	struct json_out out = JSON_OUT(&req->answer.body);

	req->answer.content_type = answer_plain_type;
	json_open(&out, '{');
	return out;
}
