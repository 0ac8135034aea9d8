/* SPDX-License-Identifier: Apache-2.0 */
#include "api/problem.h"

#include <stdio.h>
#include <string.h>
#include "api/request_life.h"
#include "api/route.h"
#include "base/log.h"

#define STORE_RETRY_MS 2000

/*
 * A status of 400 or more that the handler had already put into the answer wins. FAULT_INPUT is 422
 * when it names a field (or request_error was called), else 400.
 */
static unsigned status_of(const struct request *req, const struct fault *f)
{
	if (req->answer.status >= 400)
		return req->answer.status;
	switch (f->kind) {
	case FAULT_INPUT:
		return f->field[0] || req->n_errors > 0 ? 422 : 400;
	case FAULT_DENIED:
		return req->has_key ? 403 : 401;
	case FAULT_MISSING:
		return 404;
	case FAULT_CONFLICT:
		return 409;
	case FAULT_THROTTLED:
		return 429;
	case FAULT_UPSTREAM:
		return f->retry_after_ms ? 503 : 502;
	case FAULT_STORE:
		return 503;
	case FAULT_NONE:
	case FAULT_BUG:
		break;
	}
	return 500;
}

const char *problem_title(unsigned status)
{
	static const struct {
		unsigned status;
		const char *title;
	} titles[] = {
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{413, "Content Too Large"},
		{415, "Unsupported Media Type"},
		{421, "Misdirected Request"},
		{422, "Unprocessable Content"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
	};

	for (size_t i = 0; i < ARRAY_LEN(titles); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "Error";
}

/* What the operator reads in the log is not always for the caller. */
static const char *public_detail(const struct fault *f, unsigned status)
{
	if (f->kind == FAULT_STORE)
		return "The database does not answer as it should: try again in a few seconds.";
	if (status == 500)
		return "Something went wrong inside the service: its log says what, under this "
		       "request_id.";
	return f->text;
}

struct json_out problem_open(struct request *req, unsigned status, const char *detail)
{
	answer_drop(&req->answer);
	answer_begin(&req->answer);
	req->answer.status = status;
	if (status == 401)
		answer_header(req, "WWW-Authenticate", "Bearer realm=\"review-fetcher\"");

	struct json_out out = answer_json(req);
	req->answer.content_type = "application/problem+json";
	json_add_text(&out, "type", "about:blank");
	json_add_text(&out, "title", problem_title(status));
	json_add_int(&out, "status", status);
	json_add_text(&out, "detail", detail);
	json_add_text(&out, "request_id", req->id);
	return out;
}

void problem_say(struct request *req, unsigned status, const char *detail)
{
	struct json_out out = problem_open(req, status, detail);

	json_close(&out, '}');
}

void problem_retry_after(struct request *req, uint32_t ms)
{
	char seconds[16];

	snprintf(seconds, sizeof(seconds), "%u", ms <= 1000 ? 1u : ms / 1000 + (ms % 1000 != 0));
	answer_header(req, "Retry-After", seconds);
}

static void add_error(struct json_out *out, const char *where, const char *name, const char *msg)
{
	json_open(out, '{');
	json_key(out, "loc");
	json_open(out, '[');
	json_put_text(out, where);
	if (*name)
		json_put_text(out, name);
	json_close(out, ']');
	json_add_text(out, "msg", msg);
	json_close(out, '}');
}

/* Where a field named by a fault from further inside was given. */
static const char *place_of(const struct request *req, const char *field)
{
	if (request_query(req, field))
		return "query";
	if (request_param(req, field))
		return "path";
	return strcmp(req->method, "GET") == 0 || strcmp(req->method, "DELETE") == 0 ? "query"
										     : "body";
}

static void add_errors(struct json_out *out, const struct request *req, const struct fault *f)
{
	json_key(out, "errors");
	json_open(out, '[');
	for (size_t i = 0; i < req->n_errors; i++) {
		const struct field_error *e = &req->errors[i];
		add_error(out, e->loc[0], e->loc[1], e->msg);
	}
	if (req->n_errors == 0)
		add_error(out, place_of(req, f->field), f->field, f->text);
	json_close(out, ']');
}

static void log_problem(const struct request *req, unsigned status, const struct fault *f)
{
	const enum log_level level = status == 500  ? LOG_ERROR
				     : status > 500 ? LOG_WARN
						    : LOG_DEBUG;

	if (!log_is_on(level))
		return;
	log_event(level, "http.failed", F_STR("request_id", req->id), F_STR("method", req->method),
		F_STR("route", req->route ? req->route->path : ""), F_INT("status", status),
		F_FAULT(f));
}

void problem_answer(struct request *req, const struct fault *f)
{
	const unsigned status = status_of(req, f);

	log_problem(req, status, f);
	struct json_out out = problem_open(req, status, public_detail(f, status));
	if (status == 422)
		add_errors(&out, req, f);
	json_close(&out, '}');
	if (f->retry_after_ms || f->kind == FAULT_STORE)
		problem_retry_after(req, f->retry_after_ms ? f->retry_after_ms : STORE_RETRY_MS);
}
