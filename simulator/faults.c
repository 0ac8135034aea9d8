/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/faults.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "simulator/request.h"

void faults_init(struct faults *f)
{
	*f = (struct faults){0};
	pthread_mutex_init(&f->lock, NULL);
}

static void unref(struct sim_fault *x)
{
	if (!x || atomic_fetch_sub(&x->references, 1) != 1)
		return;
	mem_free(x->match);
	mem_free(x->error);
	mem_free(x->error_description);
	mem_free(x->reason);
	mem_free(x->message);
	mem_free(x->token_type);
	mem_free(x->scope);
	json_drop(&x->body);
	mem_free(x);
}

void faults_clear(struct faults *f)
{
	struct sim_fault *x, *next;

	pthread_mutex_lock(&f->lock);
	x = f->first;
	f->first = NULL;
	atomic_store(&f->is_any, false);
	pthread_mutex_unlock(&f->lock);
	for (; x; x = next) {
		next = x->next;
		unref(x);
	}
}

void faults_free(struct faults *f)
{
	faults_clear(f);
	pthread_mutex_destroy(&f->lock);
}

bool faults_remove(struct faults *f, int64_t id)
{
	struct sim_fault **at, *x;

	pthread_mutex_lock(&f->lock);
	for (at = &f->first; *at && (*at)->id != id; at = &(*at)->next)
		;
	x = *at;
	if (x)
		*at = x->next;
	atomic_store(&f->is_any, f->first != NULL);
	pthread_mutex_unlock(&f->lock);
	unref(x);
	return x != NULL;
}

/* ---- reading a description ---- */

enum field_type {
	FIELD_TARGET,
	FIELD_INT,
	FIELD_FLAG,
	FIELD_TEXT,
	FIELD_BODY,
	FIELD_STATUS,
	FIELD_ACTION
};
struct field {
	const char *name;
	enum field_type type;
	size_t offset;
	int64_t least, most;
	enum fault_action action;
};
#define INT_FIELD(n, member, low, high)                                                       \
	{                                                                                     \
		.name = (n), .type = FIELD_INT, .offset = offsetof(struct sim_fault, member), \
		.least = (low), .most = (high)                                                \
	}
#define FLAG_FIELD(n, member)                                                                 \
	{                                                                                     \
		.name = (n), .type = FIELD_FLAG, .offset = offsetof(struct sim_fault, member) \
	}
#define TEXT_FIELD(n, member)                                                                 \
	{                                                                                     \
		.name = (n), .type = FIELD_TEXT, .offset = offsetof(struct sim_fault, member) \
	}
#define ACTION_FIELD(n, what)                                       \
	{                                                           \
		.name = (n), .type = FIELD_ACTION, .action = (what) \
	}

static const struct field fields[] = {
	{.name = "target", .type = FIELD_TARGET},
	TEXT_FIELD("match", match),
	INT_FIELD("skip", skip, 0, 1000000000),
	INT_FIELD("count", count, -1, 1000000000),
	INT_FIELD("latency_ms", latency_ms, 0, 86400000),
	INT_FIELD("jitter_ms", jitter_ms, 0, 86400000),
	{.name = "status",
		.type = FIELD_STATUS,
		.offset = offsetof(struct sim_fault, status),
		.least = 200,
		.most = 599},
	{.name = "body", .type = FIELD_BODY},
	TEXT_FIELD("reason", reason),
	TEXT_FIELD("message", message),
	INT_FIELD("retry_after", retry_after_sec, 1, 1000000),
	INT_FIELD("retry_info", retry_info_sec, 1, 1000000),
	TEXT_FIELD("error", error),
	TEXT_FIELD("error_description", error_description),
	ACTION_FIELD("reset", FAULT_DO_RESET),
	ACTION_FIELD("truncate", FAULT_DO_TRUNCATE),
	ACTION_FIELD("non_json", FAULT_DO_NON_JSON),
	ACTION_FIELD("empty", FAULT_DO_EMPTY),
	FLAG_FIELD("after", is_after),
	FLAG_FIELD("omit_expires_in", omit_expires_in),
	FLAG_FIELD("omit_refresh_token", omit_refresh_token),
	FLAG_FIELD("omit_scope", omit_scope),
	FLAG_FIELD("rotate_refresh_tokens", rotate),
	FLAG_FIELD("reuse_detection", reuse_detection),
	INT_FIELD("expires_in", expires_in, 1, 1000000000),
	INT_FIELD("token_bytes", token_bytes, 1, 65536),
	FLAG_FIELD("retry_after_date", is_retry_date),
	TEXT_FIELD("token_type", token_type),
	TEXT_FIELD("scope", scope),
};

static int read_int(const struct field *field, const json_t *value, int64_t *ret, struct fault *f)
{
	int64_t n = json_is_integer(value) ? json_integer_value(value) : INT64_MIN;

	if (n < field->least || n > field->most)
		return fault_input(f, field->name, "%s must be a whole number from %lld to %lld",
			field->name, (long long)field->least, (long long)field->most);
	*ret = n;
	return 0;
}

static int read_field(
	const struct field *field, json_t *value, struct sim_fault *x, struct fault *f)
{
	void *at = (char *)x + field->offset;
	int64_t n = 0;

	switch (field->type) {
	case FIELD_TARGET:
		x->kinds = json_is_string(value) ? kind_set(json_string_value(value)) : 0;
		return x->kinds ? 0
				: fault_input(f, "target",
					  "target must be a kind of request or a group of kinds");
	case FIELD_INT:
		return read_int(field, value, at, f);
	case FIELD_STATUS:
		if (read_int(field, value, &n, f) < 0)
			return -1;
		x->status = (unsigned)n;
		return 0;
	case FIELD_BODY:
		x->body = json_incref(value);
		return 0;
	case FIELD_TEXT:
		if (!json_is_string(value))
			return fault_input(f, field->name, "%s must be a string", field->name);
		*(char **)at = mem_text(json_string_value(value));
		return 0;
	case FIELD_FLAG:
	case FIELD_ACTION:
		if (!json_is_boolean(value))
			return fault_input(f, field->name, "%s must be true or false", field->name);
		if (field->type == FIELD_FLAG)
			*(bool *)at = json_is_true(value);
		else if (json_is_true(value))
			x->action = field->action;
		return 0;
	}
	return 0;
}

static int read_description(const json_t *described, struct sim_fault *x, struct fault *f)
{
	const char *key;
	json_t *value;
	size_t i;

	if (!json_is_object(described))
		return fault_input(f, "",
			"a fault is a JSON object, such as {\"target\":\"token\",\"status\":503}");
	json_object_foreach((json_t *)(uintptr_t)described, key, value)
	{
		for (i = 0; i < ARRAY_LEN(fields) && strcmp(fields[i].name, key) != 0; i++)
			;
		if (i == ARRAY_LEN(fields))
			return fault_input(f, key, "a fault has no field \"%.40s\"", key);
		if (read_field(&fields[i], value, x, f) < 0)
			return -1;
	}
	if (!x->kinds)
		return fault_input(
			f, "target", "target is missing: a kind of request, such as \"reviews\"");
	return 0;
}

static unsigned usual_status(const struct sim_fault *x)
{
	switch (x->action) {
	case FAULT_DO_ERROR:
		return strcmp(x->error, "invalid_client") == 0 ? 401 : 400;
	case FAULT_DO_STATUS:
		return x->reason ? 403 : 500;
	case FAULT_DO_NOTHING:
	case FAULT_DO_RESET:
	case FAULT_DO_TRUNCATE:
	case FAULT_DO_NON_JSON:
	case FAULT_DO_EMPTY:
		break;
	}
	return 200;
}

/* Which action the fields add up to, and the status that goes with it. */
static void settle(struct sim_fault *x)
{
	if (x->action == FAULT_DO_NOTHING && x->error)
		x->action = FAULT_DO_ERROR;
	if (x->action == FAULT_DO_NOTHING && (x->status || x->body || x->reason))
		x->action = FAULT_DO_STATUS;
	if (x->action == FAULT_DO_TRUNCATE)
		x->is_after = true;
	if (!x->status)
		x->status = usual_status(x);
}

int faults_add(struct faults *f, const json_t *described, int64_t *ret_id, struct fault *fault)
{
	struct sim_fault *x = mem_alloc(sizeof(*x)), **at;

	atomic_init(&x->references, 1);
	x->count = -1;
	if (read_description(described, x, fault) < 0) {
		unref(x);
		return -1;
	}
	settle(x);
	pthread_mutex_lock(&f->lock);
	*ret_id = x->id = ++f->last_id;
	for (at = &f->first; *at; at = &(*at)->next)
		;
	*at = x;
	atomic_store(&f->is_any, true);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

/* ---- showing ---- */

static void write_field(const struct field *field, const struct sim_fault *x, struct json_out *o)
{
	const void *at = (const char *)x + field->offset;

	switch (field->type) {
	case FIELD_INT:
		if (*(const int64_t *)at)
			json_add_int(o, field->name, *(const int64_t *)at);
		return;
	case FIELD_FLAG:
		if (*(const bool *)at)
			json_add_bool(o, field->name, true);
		return;
	case FIELD_TEXT:
		if (*(char *const *)at)
			json_add_text(o, field->name, *(char *const *)at);
		return;
	case FIELD_STATUS:
		if (x->status)
			json_add_int(o, field->name, x->status);
		return;
	case FIELD_ACTION:
		if (x->action == field->action)
			json_add_bool(o, field->name, true);
		return;
	case FIELD_TARGET:
		json_key(o, "kinds");
		json_open(o, '[');
		for (unsigned k = 0; k < KIND_COUNTED; k++)
			if (x->kinds >> k & 1)
				json_put_text(o, kind_name(k));
		json_close(o, ']');
		return;
	case FIELD_BODY:
		return;
	}
}

void faults_write(struct faults *f, struct json_out *o)
{
	json_open(o, '[');
	pthread_mutex_lock(&f->lock);
	for (const struct sim_fault *x = f->first; x; x = x->next) {
		json_open(o, '{');
		json_add_int(o, "id", x->id);
		json_add_int(o, "hits", x->hits);
		for (size_t i = 0; i < ARRAY_LEN(fields); i++)
			write_field(&fields[i], x, o);
		json_close(o, '}');
	}
	pthread_mutex_unlock(&f->lock);
	json_close(o, ']');
}

/* ---- doing ---- */

static void take_in(struct fault_plan *p, struct sim_fault *x)
{
	p->latency_ms += x->latency_ms;
	if (x->jitter_ms > 0)
		p->latency_ms += (int64_t)rand_below((uint64_t)x->jitter_ms + 1);
	p->omit_expires_in |= x->omit_expires_in;
	p->omit_refresh_token |= x->omit_refresh_token;
	p->omit_scope |= x->omit_scope;
	p->rotate |= x->rotate;
	p->reuse_detection |= x->reuse_detection;
	if (x->expires_in)
		p->expires_in = x->expires_in;
	if (x->token_bytes)
		p->token_bytes = x->token_bytes;
	if (x->token_type)
		snprintf(p->token_type, sizeof(p->token_type), "%s", x->token_type);
	if (x->scope)
		snprintf(p->scope, sizeof(p->scope), "%s", x->scope);
	if (!p->action && x->action != FAULT_DO_NOTHING) {
		p->action = x;
		atomic_fetch_add(&x->references, 1);
	}
}

static bool fits(
	const struct sim_fault *x, enum kind kind, const char *target, const char *client_id)
{
	if (!(x->kinds >> kind & 1) || x->count == 0)
		return false;
	return !x->match || strstr(target, x->match) || (client_id && strstr(client_id, x->match));
}

void faults_plan(struct faults *f, enum kind kind, const char *target, const char *client_id,
	struct fault_plan *ret)
{
	if (kind >= KIND_COUNTED || !atomic_load_explicit(&f->is_any, memory_order_relaxed))
		return;
	pthread_mutex_lock(&f->lock);
	for (struct sim_fault *x = f->first; x; x = x->next) {
		/* A request that one fault ends does not use up the next one's count. */
		if (!fits(x, kind, target, client_id) ||
			(ret->action && x->action != FAULT_DO_NOTHING))
			continue;
		if (x->skip > 0) {
			x->skip--;
			continue;
		}
		if (x->count > 0)
			x->count--;
		x->hits++;
		take_in(ret, x);
		atomic_fetch_add(&f->applied, 1);
	}
	pthread_mutex_unlock(&f->lock);
}

void fault_plan_drop(struct fault_plan *p)
{
	unref(p->action);
	*p = (struct fault_plan){0};
}

static void spoil_with_status(struct request *r, const struct sim_fault *x)
{
	struct json_out o;
	char *text;

	if (x->body) {
		o = JSON_OUT(answer_start(r, x->status, ANSWER_JSON));
		text = json_dumps(x->body, JSON_COMPACT | JSON_ENCODE_ANY);
		if (text)
			buf_add_text(o.to, text);
		mem_free(text);
	} else if (kind_is_token(r->kind) || r->kind == KIND_REVOKE) {
		answer_oauth_error(r, x->status,
			x->status == 429 ? "rate_limit_exceeded" : "temporarily_unavailable",
			x->message);
	} else {
		answer_google_error(r,
			&(struct google_error){.status = x->status,
				.message = x->message ? x->message
						      : "A fault of the simulator was switched on.",
				.reason = x->reason,
				.retry_info_sec = x->retry_info_sec});
	}
}

static void add_retry_after(struct request *r, const struct sim_fault *x)
{
	time_t at = (time_t)(r->now_ms / 1000 + x->retry_after_sec);
	char text[64];
	struct tm parts;

	if (x->is_retry_date)
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &parts));
	else
		snprintf(text, sizeof(text), "%lld", (long long)x->retry_after_sec);
	answer_header(&r->answer, "Retry-After", text);
}

void faults_spoil(struct request *r)
{
	const struct sim_fault *x = r->plan.action;

	switch (x->action) {
	case FAULT_DO_STATUS:
		spoil_with_status(r, x);
		break;
	case FAULT_DO_ERROR:
		answer_oauth_error(r, x->status, x->error, x->error_description);
		break;
	case FAULT_DO_NON_JSON:
		buf_add_text(answer_start(r, x->status, ANSWER_HTML),
			"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>That’s an "
			"error."
			"</h1><p>A page where JSON was expected (the simulator was told "
			"so).</p></body></html>");
		break;
	case FAULT_DO_EMPTY:
		answer_start(r, x->status, ANSWER_JSON);
		break;
	case FAULT_DO_NOTHING:
	case FAULT_DO_RESET:
	case FAULT_DO_TRUNCATE:
		return;
	}
	if (x->retry_after_sec > 0)
		add_retry_after(r, x);
}
