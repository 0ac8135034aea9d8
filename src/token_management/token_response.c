/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/token_response.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/limits.h"

#define SCOPE_MAX 8192
#define EXPIRES_IN_MAX_S INT64_C(31536000000) /* a thousand years; keeps later sums in range */

static const char *const class_names[TOKEN_CLASS_COUNT] = {
	[TOKEN_CLASS_GRANTED] = "granted",
	[TOKEN_CLASS_GRANT_DEAD] = "grant_dead",
	[TOKEN_CLASS_MISCONFIGURED] = "client_misconfigured",
	[TOKEN_CLASS_DOWN] = "provider_down",
	[TOKEN_CLASS_LIMITED] = "rate_limited",
};

const char *token_class_name(enum token_class c)
{
	return class_names[c];
}

static void conclude(struct token_response *r, enum token_class class, const char *format, ...)
	PRINTF_LIKE(3, 4);
static void conclude(struct token_response *r, enum token_class class, const char *format, ...)
{
	va_list args;

	r->class = class;
	va_start(args, format);
	vsnprintf(r->reason, sizeof(r->reason), format, args);
	va_end(args);
}

bool token_error_is_plain(const char *text, size_t max)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz_");

	return len > 0 && len < max && text[len] == '\0';
}

/* A string member without NUL characters inside, which would make it look like another. */
static const char *whole_text(const json_t *body, const char *key)
{
	const json_t *member = json_member(body, key);
	const char *text = json_string_value(member);

	return text != NULL && strlen(text) == json_string_length(member) ? text : NULL;
}

/* ---- a success ---- */

/* RFC 6749 appendix A.12: visible characters only, so that it can go into a header as it is. */
static bool is_token_text(const char *text, size_t max)
{
	size_t len = 0;

	for (; text[len] != '\0'; len++) {
		if (len >= max || text[len] <= 0x20 || text[len] > 0x7e)
			return false;
	}
	return len > 0;
}

static struct secret take_token(const json_t *body, const char *key)
{
	const char *text = whole_text(body, key);

	if (text == NULL || !is_token_text(text, LIMIT_ACCESS_TOKEN_BYTES))
		return (struct secret){0};
	return secret_from(text, strlen(text));
}

/* A number of seconds, which some providers send as a string or with a fraction. -1: not said. */
static int64_t take_seconds(const json_t *body, const char *key)
{
	const json_t *member = json_member(body, key);
	int64_t seconds = -1;
	double real;

	if (json_is_integer(member)) {
		seconds = json_integer_value(member);
	} else if (json_is_real(member)) {
		real = json_real_value(member);
		if (real >= 0 && real < (double)EXPIRES_IN_MAX_S)
			seconds = (int64_t)real;
		else
			seconds = real < 0 ? 0 : EXPIRES_IN_MAX_S;
	} else if (json_is_string(member)) {
		if (text_parse_int(json_string_value(member), &seconds) != 0)
			return -1;
	} else {
		return -1;
	}
	if (seconds < 0)
		return 0;
	return seconds < EXPIRES_IN_MAX_S ? seconds : EXPIRES_IN_MAX_S;
}

/* Scope tokens are visible characters between blanks (RFC 6749 section 3.3); anything else is not
 * kept. */
static char *take_scope(const json_t *body)
{
	const char *text = whole_text(body, "scope");
	size_t len = 0;

	if (text == NULL)
		return NULL;
	for (; text[len] != '\0'; len++) {
		if (len >= SCOPE_MAX || text[len] < 0x20 || text[len] > 0x7e)
			return NULL;
	}
	return len > 0 ? mem_text(text) : NULL;
}

static void read_success(const json_t *body, struct token_response *r)
{
	const json_t *type = json_member(body, "token_type");
	const char *type_name = whole_text(body, "token_type");

	r->refresh_token = take_token(body, "refresh_token");
	r->expires_in_s = take_seconds(body, "expires_in");
	r->refresh_expires_in_s = take_seconds(body, "refresh_token_expires_in");
	r->scope = take_scope(body);
	/* RFC 6749 section 7.1: a type that is not understood must not be used. */
	if (type != NULL && !json_is_null(type) &&
		(type_name == NULL || strcasecmp(type_name, "bearer") != 0)) {
		conclude(r, TOKEN_CLASS_MISCONFIGURED,
			"the provider gave a token of a type other than Bearer");
		return;
	}
	if (r->expires_in_s == 0) {
		conclude(r, TOKEN_CLASS_DOWN, "the provider gave a token that has expired already");
		return;
	}
	r->access_token = take_token(body, "access_token");
	if (!secret_is_set(&r->access_token)) {
		conclude(r, TOKEN_CLASS_DOWN, "the provider's answer has no usable access token");
		return;
	}
	r->id_token = take_token(body, "id_token");
	conclude(r, TOKEN_CLASS_GRANTED, "granted");
}

/* ---- an error ---- */

static const struct {
	const char *error;
	enum token_class class;
} known_errors[] = {
	{"invalid_grant", TOKEN_CLASS_GRANT_DEAD},
	{"temporarily_unavailable", TOKEN_CLASS_DOWN},
	{"server_error", TOKEN_CLASS_DOWN},
	{"internal_failure", TOKEN_CLASS_DOWN},
	{"slow_down", TOKEN_CLASS_LIMITED},
	{"rate_limit_exceeded", TOKEN_CLASS_LIMITED},
	{"too_many_requests", TOKEN_CLASS_LIMITED},
};

static void read_error(const char *error, long status, struct token_response *r)
{
	enum token_class class = TOKEN_CLASS_MISCONFIGURED;

	for (size_t i = 0; i < ARRAY_LEN(known_errors); i++) {
		if (strcmp(error, known_errors[i].error) == 0)
			class = known_errors[i].class;
	}
	if (token_error_is_plain(error, sizeof(r->error)))
		snprintf(r->error, sizeof(r->error), "%s", error);
	conclude(r, class, "the provider answered %ld with error %s", status,
		r->error[0] != '\0' ? r->error : "(not a plain word)");
}

/* ---- the whole ---- */

/* What no body can change: no answer at all, a limit, an outage, a redirect. True when decided. */
static bool decide_by_status(const struct token_answer *in, struct token_response *r)
{
	if (in->result != NET_ANSWERED) {
		conclude(r, TOKEN_CLASS_DOWN, "the provider could not be asked: %s",
			in->net_error != NULL ? in->net_error : "no answer");
	} else if (in->status == 429) {
		conclude(r, TOKEN_CLASS_LIMITED, "the provider asks for fewer requests (429)");
	} else if (in->status >= 500 || in->status == 408) {
		conclude(r, TOKEN_CLASS_DOWN, "the provider answered %ld", in->status);
	} else if (in->status < 200 || (in->status >= 300 && in->status < 400)) {
		conclude(r, TOKEN_CLASS_DOWN,
			"the token endpoint answered %ld, a redirect is not followed", in->status);
	} else {
		return false;
	}
	return true;
}

void token_response_parse(const struct token_answer *in, struct token_response *ret)
{
	AUTO(json_drop) json_t *body = NULL;
	struct fault ignored = {0};
	const char *error;

	*ret = (struct token_response){
		.class = TOKEN_CLASS_DOWN,
		.expires_in_s = -1,
		.refresh_expires_in_s = -1,
		.retry_after_ms = in->retry_after_ms,
	};
	if (decide_by_status(in, ret))
		return;
	if (json_parse(in->body, in->body_len, &body, &ignored) < 0 || !json_is_object(body)) {
		/* Whoever answered so is not a token endpoint: a proxy, a portal, a page of
		 * excuses. */
		conclude(ret, TOKEN_CLASS_DOWN, "the provider answered %ld without JSON",
			in->status);
		return;
	}
	error = whole_text(body, "error");
	if (in->status < 300 && (error == NULL || json_text(body, "access_token") != NULL))
		read_success(body, ret);
	else if (error != NULL)
		read_error(error, in->status, ret);
	else
		conclude(ret, TOKEN_CLASS_MISCONFIGURED,
			"the provider answered %ld without an error code", in->status);
}

void token_response_done(struct token_response *r)
{
	secret_drop(&r->access_token);
	secret_drop(&r->refresh_token);
	secret_drop(&r->id_token);
	mem_free(r->scope);
	*r = (struct token_response){0};
}

void token_reply_take(struct net_reply *moved, struct token_reply *ret)
{
	ret->result = moved->result;
	ret->status = moved->status;
	ret->body = moved->body;
	moved->body = (struct buf){0};
	ret->retry_after_ms = moved->retry_after_ms;
	snprintf(ret->net_error, sizeof(ret->net_error), "%s", moved->error);
}

void token_reply_parse(struct token_reply *moved, struct token_response *ret)
{
	struct token_answer answer = {
		.result = moved->result,
		.status = moved->status,
		.body = buf_text(&moved->body),
		.body_len = moved->body.len,
		.retry_after_ms = moved->retry_after_ms,
		.net_error = moved->net_error,
	};

	token_response_parse(&answer, ret);
	buf_drop(&moved->body);
}
