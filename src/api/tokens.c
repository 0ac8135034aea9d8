/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing out tokens: the hot path. A token that is in memory is written straight into the answer
 * on the HTTP thread; everything else waits, without a thread, for tokens_obtain.
 */
#include <stdio.h>
#include <string.h>

#include "api/path.h"
#include "api/problem.h"
#include "api/revoking.h"
#include "api/route.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "token_management/token_management_audit.h"

#define NOT_FOUND "Client not found or inactive"
#define MIN_TTL_MAX_SEC 86400
#define ANSWER_REST_BYTES \
	320 /* the constant parts, times and quotes; growing costs time, no more */

static void start_secret_answer(struct request *req, size_t room)
{
	struct buf *body = &req->answer.body;

	req->answer.secret = true;
	*body = BUF_INIT_WIPED(LIMIT_RESPONSE_BYTES);
	body->data = mem_resize(NULL, room);
	body->data[0] = '\0';
	body->cap = room;
}

/* Member by member this is a quarter of the hot path: what is constant goes in in one piece. */
static void add_member(
	struct buf *body, const char *before, size_t before_len, const char *value, size_t len)
{
	struct json_out out = JSON_OUT(body);

	buf_add(body, before, before_len);
	json_put_bytes(&out, value, len);
}
#define ADD_MEMBER(body, before, value) \
	add_member((body), (before), sizeof(before) - 1, (value), strlen(value))

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static void add_life(struct buf *body, int64_t expires_at_ms)
{
	struct json_out out = JSON_OUT(body);
	const int64_t left_ms = expires_at_ms - clock_wall_ms();

	buf_add(body, ",\"expires_in\":", 14);
	json_put_int(&out, left_ms > 0 ? left_ms / 1000 : 0);
}

/* Runs under a lock of token management: formats, and nothing else. */
static void write_token(struct request *req, const struct token_view *view, const char *message)
{
	struct buf *body = &req->answer.body;
	const char *scope = or_empty(view->scope), *app = or_empty(view->client_oauth_id);

	start_secret_answer(req, view->access_token_len + strlen(scope) + strlen(view->branch_id) +
					 strlen(app) + ANSWER_REST_BYTES);
	ADD_MEMBER(body, "{\"success\":true,\"message\":", message);
	ADD_MEMBER(body, ",\"client_id\":", app);
	ADD_MEMBER(body, ",\"branch_id\":", view->branch_id);
	add_member(body, ",\"access_token\":", 16, view->access_token, view->access_token_len);
	ADD_MEMBER(
		body, ",\"refresh_token\":null,\"expires_at\":", or_empty(view->expires_at_text));
	ADD_MEMBER(body, ",\"token_type\":", or_empty(view->token_type));
	ADD_MEMBER(body, ",\"scope\":", scope);
	add_life(body, view->expires_at_ms);
	if (view->degraded) {
		buf_add_text(body, ",\"degraded\":true");
		answer_header(req, "Warning",
			"199 - \"refreshing this token fails; it is still valid, but has less life "
			"left than usual\"");
	}
	buf_add_char(body, '}');
}

struct handing { /* out, from memory */
	struct request *req;
	int64_t client_row;
};

static void copy_token(void *arg, const struct token_view *view)
{
	struct handing *h = arg;

	h->client_row = view->client_row;
	write_token(h->req, view, "Token retrieved successfully");
}

static void note_read(struct request *req, int64_t client_row)
{
	tokens_note_read(
		request_tokens(req), req->has_key ? &req->key : NULL, client_row, req->remote);
}

/* ---- when there is none ---- */

static void say_unknown(struct request *req, const char *branch_id)
{
	char detail[128], shown[TEXT_EXCERPT_SIZE];

	if (branch_id == NULL) {
		problem_say(req, 404, NOT_FOUND);
		return;
	}
	snprintf(detail, sizeof(detail), "Client not found for branch %s",
		text_excerpt(branch_id, shown));
	problem_say(req, 404, detail);
}

static const char *status_name(enum token_outcome outcome)
{
	switch (outcome) {
	case TOKEN_PENDING:
		return "pending";
	case TOKEN_INACTIVE:
		return "inactive";
	case TOKEN_REVOKED:
		return "revoked";
	default:
		return "needs_reconnect";
	}
}

/* `status` is the problem's own member, so the connection's state goes under another name. */
static void say_no_grant(struct request *req, const struct token_result *result)
{
	AUTO(buf_drop) struct buf url = BUF_INIT(LIMIT_URL_BYTES * 2);
	struct json_out out = problem_open(req, 409, result->reason);

	buf_addf(&url, "%s/token-management/oauth/login/%lld", request_settings(req)->public_url,
		(long long)result->client_row);
	json_add_text(&out, "connection_status", status_name(result->outcome));
	json_add_text(&out, "reconnect_url", buf_text(&url));
	json_close(&out, '}');
}

static void answer_result(struct request *req, const struct token_result *result,
	const char *branch_id, const char *message)
{
	switch (result->outcome) {
	case TOKEN_READY:
		write_token(req, result->view, message);
		note_read(req, result->view->client_row);
		break;
	case TOKEN_UNKNOWN:
		say_unknown(req, branch_id);
		break;
	case TOKEN_UNAVAILABLE:
		problem_say(req, 503, result->reason);
		problem_retry_after(req, result->retry_after_ms);
		break;
	case TOKEN_PENDING:
	case TOKEN_NEEDS_RECONNECT:
	case TOKEN_INACTIVE:
	case TOKEN_REVOKED:
		say_no_grant(req, result);
		break;
	}
}

static void on_read(void *arg, const struct token_result *result)
{
	struct request *req = arg;

	answer_result(req, result, request_param(req, "branch_id"), "Token retrieved successfully");
	request_finish(req);
}

static int get_token(struct request *req, struct fault *f)
{
	const char *branch_id = request_param(req, "branch_id");
	struct handing handing = {.req = req};
	int64_t min_ttl_ms = 0;

	if (req->n_query > 0) {
		min_ttl_ms = request_query_int(req, "min_ttl", 0, MIN_TTL_MAX_SEC, 0) * 1000;
		if (request_check(req, f) < 0)
			return -1;
	}
	if (req->has_key && req->key.is_bound && request_sees(req, branch_id, "", f) < 0) {
		say_unknown(req, branch_id);
		return 0;
	}
	if (tokens_read(request_tokens(req), branch_id, strlen(branch_id), min_ttl_ms, copy_token,
		    &handing)) {
		note_read(req, handing.client_row);
		return 0;
	}
	tokens_obtain(request_tokens(req), branch_id, min_ttl_ms, false, on_read, req);
	return REQUEST_PENDING;
}

/* ---- refreshing by hand ---- */

static void on_refreshed(void *arg, const struct token_result *result)
{
	struct request *req = arg;

	answer_result(req, result, NULL,
		result->outcome == TOKEN_READY && result->view->degraded
			? "The token could not be refreshed now; the old one still works"
			: "Token refreshed successfully");
	request_finish(req);
}

static int note_refresh(struct request *req, const struct client *c, struct fault *f)
{
	const struct actor who = request_actor(req);
	char detail[48];

	snprintf(detail, sizeof(detail), "{\"client\":%lld}", (long long)c->id);
	return audit_note(request_tokens(req), &who, "token.refresh", c->branch_id, detail, f);
}

static int refresh_token(struct request *req, struct fault *f)
{
	AUTO(json_drop) json_t *body = NULL;
	AUTO(client_done) struct client c = {0};

	if (request_json(req, &body, f) < 0)
		return -1;
	const int64_t id = request_field_int(req, body, "client_id", 1, INT64_MAX, true, 0);
	if (request_check(req, f) < 0 || clients_get(request_tokens(req), id, &c, f) < 0 ||
		request_sees(req, c.branch_id, NOT_FOUND, f) < 0 || note_refresh(req, &c, f) < 0)
		return -1;
	/* c goes when this returns: tokens_obtain keeps what it needs. */
	tokens_obtain(request_tokens(req), c.branch_id, 0, true, on_refreshed, req);
	return REQUEST_PENDING;
}

/* ---- revoking ---- */

static void say_revoked(struct request *req, const struct revoke_result *r, bool purges)
{
	struct json_out out = answer_json(req);

	revoking_write(req, &out, r,
		r->outcome == REVOKE_DONE && r->is_local
			? "The tokens were dropped here only: the provider has no address to "
			  "revoke at, so the grant lives on there until the account takes it back"
		: r->outcome == REVOKE_DONE
			? "The connection was revoked"
			: "The provider cannot be asked at the moment; this is tried until it is "
			  "done, and no token is handed out meanwhile");
	json_add_text(&out, "branch_id", r->branch_id);
	json_add_bool(&out, "purging_reviews", purges);
	json_close(&out, '}');
}

static void say_ended(struct request *req, const struct revoke_result *r, bool purges)
{
	if (r->outcome == REVOKE_UNKNOWN)
		say_unknown(req, request_param(req, "branch_id"));
	else if (r->outcome == REVOKE_NOTHING)
		problem_say(
			req, 409, "This branch was never connected: there is nothing to revoke");
	else
		say_revoked(req, r, purges);
}

static void on_revoked(void *arg, const struct revoke_result *r)
{
	revoking_finish(arg, r, say_ended);
}

static int revoke_token(struct request *req, struct fault *f)
{
	const char *branch_id = request_param(req, "branch_id");
	const struct actor who = request_actor(req);
	const struct revoke_wish wish = {
		.branch_id = branch_id,
		.who = &who,
		.force = request_query_flag(req, "force"),
	};

	(void)request_query_flag(req, "purge"); /* a wrong one is said before anything is done */
	if (request_check(req, f) < 0)
		return -1;
	if (strlen(branch_id) > LIMIT_BRANCH_ID_BYTES || request_sees(req, branch_id, "", f) < 0) {
		say_unknown(req, branch_id);
		return 0;
	}
	tokens_revoke(request_tokens(req), &wish, on_revoked, req);
	return REQUEST_PENDING;
}

const struct route token_routes[] = {
	{"GET", "/token-management/tokens/{branch_id}", KEY_TOKENS_READ, ROUTE_INLINE, get_token,
		NULL, "A token of this branch that works now"},
	{"POST", "/token-management/tokens/refresh", KEY_TOKENS_MANAGE, ROUTE_WORKER, refresh_token,
		NULL, "Refresh the token of a client now"},
	{"POST", "/token-management/tokens/{branch_id}/revoke", KEY_TOKENS_MANAGE, ROUTE_WORKER,
		revoke_token, NULL,
		"End the connection of a branch, at the provider and here; with purge=true its "
		"reviews go too"},
	{0},
};
