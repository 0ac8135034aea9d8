/* SPDX-License-Identifier: Apache-2.0 */
#include "api/scope.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

void seen_branches_init(struct request *req, struct seen_branches *ret)
{
	*ret = (struct seen_branches){0};
	if (!req->has_key || !req->key.is_bound)
		return;
	ret->n = keys_branches(request_tokens(req), &req->key, &ret->names);
	if (ret->names == NULL) /* bound, but revoked or changed meanwhile: it sees nothing */
		ret->names = mem_alloc(sizeof(*ret->names));
}

void seen_branches_done(struct seen_branches *s)
{
	for (size_t i = 0; i < s->n; i++)
		mem_free(s->names[i]);
	mem_free(s->names);
	*s = (struct seen_branches){0};
}

struct review_scope seen_branches_scope(const struct seen_branches *s)
{
	return (struct review_scope){.branches = (const char *const *)s->names, .n = s->n};
}

int job_check(struct request *req, const char *id, struct fault *f)
{
	AUTO(buf_drop) struct buf branch = BUF_INIT(LIMIT_BRANCH_ID_BYTES);
	AUTO(buf_drop) struct buf missing = BUF_INIT(256);

	buf_addf(&missing, "Job %.80s not found", id);
	if (jobs_branch(request_reviews(req), id, &branch, f) < 0)
		return -1;
	return request_sees(req, buf_text(&branch), buf_text(&missing), f);
}

/* The original told a blank token from a missing one: 401 against 422. */
static bool is_blank(const json_t *token)
{
	const char *text = json_string_value(token);

	return text && *text && text[strspn(text, " \t\n\v\f\r")] == '\0';
}

static int refuse(struct request *req, unsigned status, const char *detail, struct fault *f)
{
	req->answer.status = status;
	return fault_raise(f, FAULT_DENIED, "%s", detail);
}

/* What a header can carry (RFC 6750 section 2.1, with room for what providers invent). */
static bool is_visible(const char *text)
{
	while (*text > ' ' && *text <= '~')
		text++;
	return *text == '\0';
}

int body_token(struct request *req, json_t *body, struct secret *ret, struct fault *f)
{
	const char *token;

	if (is_blank(json_member(body, "access_token")))
		return refuse(req, 401, "Invalid access token", f);
	token = request_field_text(req, body, "access_token", 1, LIMIT_ACCESS_TOKEN_BYTES, true);
	if (token && !is_visible(token))
		request_error(req, "body", "access_token",
			"holds blanks, control characters or characters outside ASCII: give the "
			"token alone, as the provider gave it");
	if (request_check(req, f) < 0)
		return -1;
	*ret = secret_from(token, strlen(token));
	return 0;
}

static int take_token(struct request *req, json_t *body, struct job_input *ret, struct fault *f)
{
	AUTO(secret_drop) struct secret token = {0};

	if (body_token(req, body, &token, f) < 0)
		return -1;
	if (req->has_key && req->key.is_bound)
		return refuse(req, 403,
			"This key is bound to branches, so it cannot bring an access token of its "
			"own: "
			"give branch_id",
			f);
	ret->access_token = secret_take(&token);
	return 0;
}

int job_source(struct request *req, json_t *body, struct job_input *ret, struct fault *f)
{
	const json_t *token = json_member(body, "access_token");
	const json_t *branch = json_member(body, "branch_id");
	const bool has_token = token && !json_is_null(token);
	const bool has_branch = branch && !json_is_null(branch);

	if (has_token && has_branch)
		request_error(req, "body", "access_token",
			"is given beside branch_id: give one of the two");
	if (!has_token && !has_branch)
		request_error(req, "body", "branch_id",
			"is missing: give branch_id, or an access_token of your own");
	if (request_check(req, f) < 0)
		return -1;
	if (has_token)
		return take_token(req, body, ret, f);
	ret->branch_id = request_field_text(req, body, "branch_id", 1, LIMIT_BRANCH_ID_BYTES, true);
	if (request_check(req, f) < 0)
		return -1;
	return request_sees(req, ret->branch_id, "No client is registered for this branch", f);
}

void list_end(struct json_out *out, const struct buf *cursor)
{
	json_add_text(out, "next_cursor", cursor->len ? buf_text(cursor) : NULL);
	json_close(out, '}');
}

int64_t list_cursor_read(struct request *req, const char *cursor)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(64);
	int64_t id;

	if (cursor == NULL)
		return 0;
	if (text_base64url_decode(cursor, strlen(cursor), &text) == 0 && !buf_failed(&text) &&
		text_parse_int(buf_text(&text), &id) == 0 && id > 0)
		return id;
	request_error(req, "query", "cursor",
		"is not one of ours: give next_cursor of the previous answer unchanged, or leave "
		"it out");
	return 0;
}

void list_cursor_write(struct json_out *out, int64_t id)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(64);
	char text[24];

	if (id == 0) {
		json_add_null(out, "next_cursor");
		return;
	}
	snprintf(text, sizeof(text), "%lld", (long long)id);
	text_base64url(&cursor, text, strlen(text));
	json_add_text(out, "next_cursor", buf_text(&cursor));
}
