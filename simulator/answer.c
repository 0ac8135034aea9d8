/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

void answer_drop(struct answer *a)
{
	buf_drop(&a->body);
	if (a->stream.fill && a->stream.drop)
		a->stream.drop(a->stream.arg);
	for (size_t i = 0; i < a->n_headers; i++)
		mem_free(a->headers[i].value);
	*a = (struct answer){0};
}

void answer_header(struct answer *a, const char *name, const char *value)
{
	if (a->n_headers == ANSWER_HEADERS_MAX)
		return;
	a->headers[a->n_headers++] = (struct answer_header){.name = name, .value = mem_text(value)};
}

struct buf *answer_start(struct request *r, unsigned status, const char *content_type)
{
	answer_drop(&r->answer);
	r->answer.status = status;
	r->answer.content_type = content_type;
	r->answer.body = BUF_INIT(ANSWER_BYTES_MAX);
	return &r->answer.body;
}

const char *google_status_name(unsigned status)
{
	static const struct {
		unsigned status;
		const char *name;
	} names[] = {{400, "INVALID_ARGUMENT"}, {401, "UNAUTHENTICATED"},
		{403, "PERMISSION_DENIED"}, {404, "NOT_FOUND"}, {409, "ABORTED"},
		{429, "RESOURCE_EXHAUSTED"}, {499, "CANCELLED"}, {500, "INTERNAL"},
		{501, "UNIMPLEMENTED"}, {503, "UNAVAILABLE"}, {504, "DEADLINE_EXCEEDED"}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].status == status)
			return names[i].name;
	return "UNKNOWN";
}

static void put_error_info(struct json_out *o, const struct google_error *e)
{
	json_open(o, '{');
	json_add_text(o, "@type", "type.googleapis.com/google.rpc.ErrorInfo");
	json_add_text(o, "reason", e->reason);
	json_add_text(o, "domain", "googleapis.com");
	json_key(o, "metadata");
	json_open(o, '{');
	if (e->service)
		json_add_text(o, "service", e->service);
	if (e->consumer)
		json_add_text(o, "consumer", e->consumer);
	if (e->quota_limit_value) {
		json_add_text(o, "quota_metric", "requests");
		json_add_text(o, "quota_limit", "RequestsPerMinutePerProject");
		json_add_text(o, "quota_limit_value", e->quota_limit_value);
	}
	json_close(o, '}');
	json_close(o, '}');
}

static void put_violation(struct json_out *o, const struct google_error *e)
{
	json_open(o, '{');
	json_add_text(o, "@type", "type.googleapis.com/google.rpc.BadRequest");
	json_key(o, "fieldViolations");
	json_open(o, '[');
	json_open(o, '{');
	json_add_text(o, "field", e->field);
	json_add_text(o, "description", e->message);
	json_close(o, '}');
	json_close(o, ']');
	json_close(o, '}');
}

static void put_retry_info(struct json_out *o, const struct google_error *e)
{
	char delay[32];

	snprintf(delay, sizeof(delay), "%llds", (long long)e->retry_info_sec);
	json_open(o, '{');
	json_add_text(o, "@type", "type.googleapis.com/google.rpc.RetryInfo");
	json_add_text(o, "retryDelay", delay);
	json_close(o, '}');
}

static void put_v4_validation(struct json_out *o, const struct google_error *e)
{
	json_open(o, '{');
	json_add_text(o, "@type", "type.googleapis.com/google.mybusiness.v4.ValidationError");
	json_key(o, "errorDetails");
	json_open(o, '[');
	json_open(o, '{');
	json_add_int(o, "code", 3);
	json_add_text(o, "field", e->field ? e->field : "name");
	json_add_text(o, "message", e->message);
	json_close(o, '}');
	json_close(o, ']');
	json_close(o, '}');
}

void answer_google_error(struct request *r, const struct google_error *e)
{
	struct json_out o = JSON_OUT(answer_start(r, e->status, ANSWER_JSON));

	json_open(&o, '{');
	json_key(&o, "error");
	json_open(&o, '{');
	json_add_int(&o, "code", e->status);
	json_add_text(&o, "message", e->message);
	json_add_text(&o, "status", google_status_name(e->status));
	if (e->reason || e->field || e->retry_info_sec > 0 || e->is_v4_validation) {
		json_key(&o, "details");
		json_open(&o, '[');
		if (e->reason)
			put_error_info(&o, e);
		if (e->field)
			put_violation(&o, e);
		if (e->retry_info_sec > 0)
			put_retry_info(&o, e);
		if (e->is_v4_validation)
			put_v4_validation(&o, e);
		json_close(&o, ']');
	}
	json_close(&o, '}');
	json_close(&o, '}');
}

void answer_invalid(struct request *r, const char *field, const char *message)
{
	answer_google_error(
		r, &(struct google_error){.status = 400, .message = message, .field = field});
}

void answer_not_found(struct request *r)
{
	answer_google_error(r, &(struct google_error){.status = 404,
				       .message = "Requested entity was not found."});
}

void answer_oauth_error(
	struct request *r, unsigned status, const char *error, const char *description)
{
	struct json_out o = JSON_OUT(answer_start(r, status, ANSWER_JSON));

	json_open(&o, '{');
	json_add_text(&o, "error", error);
	if (description)
		json_add_text(&o, "error_description", description);
	json_close(&o, '}');
}

void answer_control_error(struct request *r, unsigned status, const char *format, ...)
{
	char text[400];
	struct json_out o;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	o = JSON_OUT(answer_start(r, status, ANSWER_JSON));
	json_open(&o, '{');
	json_add_text(&o, "error", text);
	json_add_text(&o, "help", "GET /_control");
	json_close(&o, '}');
}
