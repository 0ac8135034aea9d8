/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing in and out. A person gives a key, or presses the button of a one-time link, and gets a
 * cookie; programs need none of this. The key itself is not kept by the browser.
 */
#include <string.h>

#include "api/auth.h"
#include "api/page.h"
#include "api/problem.h"
#include "api/route.h"
#include "api/sign_in.h"
#include "api/uri.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#define FORM_FIELDS_MAX 8
#define NEXT_MAX 512

/* ---- where to go then ---- */

/* A path of ours and nothing that a browser could take for another host. */
static bool is_path_of_ours(const char *next)
{
	if (next == NULL || next[0] != '/' || next[1] == '/' || strlen(next) > NEXT_MAX)
		return false;
	for (const unsigned char *c = (const unsigned char *)next; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || *c == '\\')
			return false;
	return true;
}

static const char *next_or_console(const char *next)
{
	return is_path_of_ours(next) ? next : "/console";
}

static void go_to(struct request *req, const char *path)
{
	req->answer.status = 303;
	req->answer.content_type = NULL;
	answer_header(req, "Location", path);
	answer_header(req, "Cache-Control", "no-store");
}

int sign_in_first(struct request *req)
{
	AUTO(buf_drop) struct buf to = BUF_INIT(4 * NEXT_MAX);

	if (req->has_key || !request_settings(req)->api_auth)
		return 0;
	buf_add_text(&to, "/sign-in?next=");
	if (is_path_of_ours(req->path))
		text_percent_encode(&to, req->path, strlen(req->path));
	go_to(req, buf_text(&to));
	return 1;
}

/* ---- the cookie ---- */

static void set_cookie(struct request *req, const char *value, int64_t life_ms)
{
	AUTO(buf_drop) struct buf cookie = BUF_INIT_WIPED(256);
	const struct settings *s = request_settings(req);

	buf_addf(&cookie, "%s=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Lax%s",
		auth_session_cookie(s), value, (long long)(life_ms / 1000),
		text_starts(s->public_url, "https:") ? "; Secure" : "");
	answer_header(req, "Set-Cookie", buf_text(&cookie));
}

static void give_cookie(struct request *req, const struct session_start *s)
{
	set_cookie(req, s->cookie.bytes, s->expires_at_ms - clock_wall_ms());
}

/* ---- the page ---- */

static void show_form(struct request *req, unsigned status, const char *next, const char *error)
{
	const struct name_value values[] = {{"form", "1"}, {"next", next}, {"error", error}};

	page_answer_template(req, "sign_in.html", values, ARRAY_LEN(values), "'self'");
	req->answer.status = status;
	req->answer.secret = true;
}

static int show_link(struct request *req, const char *link, const char *next, struct fault *f)
{
	AUTO(buf_drop) struct buf name = BUF_INIT(1024);
	const int outcome = sign_in_look(request_tokens(req), link, &name, f);
	const struct name_value values[] = {
		{"link", link}, {"next", next}, {"name", buf_text(&name)}};

	if (outcome < 0)
		return -1;
	if (outcome == 1) {
		show_form(req, 403, next,
			"This sign-in link was used already, has expired, or is not whole. Ask "
			"for a new one, or give a key.");
		return 0;
	}
	page_answer_template(req, "sign_in.html", values, ARRAY_LEN(values), "'self'");
	req->answer.secret = true;
	return 0;
}

/* Another process may have begun the session a moment ago: its row is read before asking again. */
static int is_signed_in(struct request *req, struct fault *f)
{
	const char *cookie = request_cookie(req, auth_session_cookie(request_settings(req)));
	struct session_grant ignored;

	if (!request_settings(req)->api_auth)
		return 1;
	if (cookie == NULL)
		return 0;
	if (sessions_learn(request_tokens(req), cookie, strlen(cookie), f) < 0)
		return -1;
	return sessions_check(request_tokens(req), cookie, strlen(cookie), &ignored) == KEY_GOOD;
}

static int show_sign_in(struct request *req, struct fault *f)
{
	const char *next = next_or_console(request_query(req, "next"));
	const char *link = request_query(req, "link");

	if (link)
		return show_link(req, link, next, f);
	const int is_in = is_signed_in(req, f);
	if (is_in < 0)
		return -1;
	if (is_in)
		go_to(req, next);
	else
		show_form(req, 200, next, NULL);
	return 0;
}

/* ---- signing in ---- */

static const char *form_field(const struct name_value *fields, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].value;
	return NULL;
}

static const char *why_not(enum key_outcome outcome)
{
	switch (outcome) {
	case KEY_EXPIRED:
		return "This key has expired. Ask for a new one.";
	case KEY_REVOKED:
		return "This key was revoked. Ask for a new one.";
	case KEY_TOO_FAST:
		return "This key has used up its requests for this minute. Wait a little.";
	default:
		return "This key is not known. It begins with rf_ and has 55 characters.";
	}
}

static int sign_in_by_key(struct request *req, const char *key, const char *next, struct fault *f)
{
	AUTO(session_start_done) struct session_start s = {0};
	struct key_grant grant;

	key += strspn(key, " \t\r\n");
	const enum key_outcome outcome =
		keys_check(request_tokens(req), key, strcspn(key, " \t\r\n"), &grant);
	if (outcome != KEY_GOOD) {
		show_form(req, outcome == KEY_TOO_FAST ? 429 : 401, next, why_not(outcome));
		return 0;
	}
	if (sessions_begin(request_tokens(req), grant.id, req->remote, &s, f) < 0)
		return -1;
	give_cookie(req, &s);
	go_to(req, next);
	return 0;
}

static int sign_in_by_link(struct request *req, const char *link, const char *next, struct fault *f)
{
	AUTO(session_start_done) struct session_start s = {0};
	const int outcome = sign_in_take(request_tokens(req), link, req->remote, &s, f);

	if (outcome < 0)
		return -1;
	if (outcome == 1) {
		show_form(req, 403, next,
			"This sign-in link was used already or has expired. Ask for a new one, or "
			"give a key.");
		return 0;
	}
	give_cookie(req, &s);
	go_to(req, next);
	return 0;
}

/* Signing a person in as somebody else is a forgery too. */
static int check_own_form(struct request *req, struct fault *f)
{
	if (auth_is_same_origin(req))
		return 0;
	req->answer.status = 403;
	return fault_raise(f, FAULT_DENIED,
		"This form was not sent by a page of this service. Programs sign in with POST "
		"/session.");
}

static int sign_in(struct request *req, struct fault *f)
{
	struct name_value fields[FORM_FIELDS_MAX];
	size_t n = 0;

	buf_add_char(&req->body, '\0');
	if (check_own_form(req, f) < 0 ||
		query_decode(req->body.data, fields, FORM_FIELDS_MAX, &n, f) < 0)
		return -1;
	const char *next = next_or_console(form_field(fields, n, "next"));
	const char *link = form_field(fields, n, "link");
	const char *key = form_field(fields, n, "key");
	if (link)
		return sign_in_by_link(req, link, next, f);
	return sign_in_by_key(req, key ? key : "", next, f);
}

static int sign_out(struct request *req, struct fault *f)
{
	struct name_value fields[FORM_FIELDS_MAX];
	char token[AUTH_FORM_TOKEN_SIZE];
	size_t n = 0;

	buf_add_char(&req->body, '\0');
	if (query_decode(req->body.data, fields, FORM_FIELDS_MAX, &n, f) < 0)
		return -1;
	if (req->has_session) {
		const struct actor who = request_actor(req);
		const char *shown = form_field(fields, n, "csrf");
		auth_form_token(
			request_cookie(req, auth_session_cookie(request_settings(req))), token);
		if (shown == NULL || strcmp(shown, token) != 0) {
			req->answer.status = 403;
			return fault_raise(
				f, FAULT_DENIED, "The form's token is not that of this session.");
		}
		if (sessions_end(request_tokens(req), req->session_id, NULL, &who, f) < 0)
			return -1;
	}
	set_cookie(req, "", 0);
	go_to(req, "/sign-in");
	return 0;
}

/* ---- for programs and the console ---- */

static void write_branches(struct request *req, struct json_out *out)
{
	char **names;
	const size_t n = keys_branches(request_tokens(req), &req->key, &names);

	json_key(out, "branches");
	if (!req->key.is_bound) {
		json_put_null(out);
		return;
	}
	json_open(out, '[');
	for (size_t i = 0; i < n; i++) {
		json_put_text(out, names[i]);
		mem_free(names[i]);
	}
	mem_free(names);
	json_close(out, ']');
}

static void write_identity(
	struct request *req, struct json_out *out, const char *session, int64_t expires_at_ms)
{
	json_add_text(out, "session_id", session);
	json_add_text(out, "key_id", req->key.id);
	json_key(out, "scopes");
	json_open(out, '[');
	for (unsigned bit = 1; bit <= KEY_ADMIN; bit <<= 1)
		if (req->key.scopes & bit)
			json_put_text(out, key_scope_name((enum key_scope)bit));
	json_close(out, ']');
	write_branches(req, out);
	json_add_time(out, "expires_at", expires_at_ms);
	json_add_int(out, "idle_seconds", request_settings(req)->session_idle_ms / 1000);
	json_close(out, '}');
}

static int begin_session(struct request *req, struct fault *f)
{
	AUTO(session_start_done) struct session_start s = {0};

	if (!req->has_key || req->has_session) {
		req->answer.status = 409;
		return fault_raise(f, FAULT_CONFLICT,
			"There is a session already, or no key was shown: send the key as "
			"'Authorization: Bearer rf_...'");
	}
	if (sessions_begin(request_tokens(req), req->key.id, req->remote, &s, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	req->answer.status = 201;
	req->answer.secret = true;
	write_identity(req, &out, s.id, s.expires_at_ms);
	give_cookie(req, &s);
	return 0;
}

static int get_session(struct request *req, struct fault *f)
{
	struct json_out out = answer_json(req);

	(void)f;
	if (!req->has_key) /* API_AUTH=off */
		req->key = (struct key_grant){.scopes = KEY_ADMIN * 2 - 1};
	write_identity(req, &out, req->has_session ? req->session_id : NULL,
		req->has_session ? req->session_until_ms : 0);
	return 0;
}

static void say_ended(struct request *req)
{
	struct json_out out = answer_json(req);

	json_add_bool(&out, "success", true);
	json_add_text(&out, "message", "The session has ended");
	json_close(&out, '}');
}

static int end_session(struct request *req, struct fault *f)
{
	const struct actor who = request_actor(req);

	if (!req->has_session)
		return fault_raise(f, FAULT_MISSING, "There is no session to end");
	if (sessions_end(request_tokens(req), req->session_id, NULL, &who, f) < 0)
		return -1;
	say_ended(req);
	set_cookie(req, "", 0);
	return 0;
}

/* An admin who is bound to nothing sees all; everybody else those of the same key. */
static const char *only_key(const struct request *req)
{
	const bool sees_all =
		!req->has_key || ((req->key.scopes & KEY_ADMIN) && !req->key.is_bound);

	return sees_all ? NULL : req->key.id;
}

struct listing {
	const struct request *req;
	struct json_out *out;
};

static int write_session(void *arg, const struct session_row *row, struct fault *f)
{
	const struct listing *l = arg;

	(void)f;
	json_open(l->out, '{');
	json_add_text(l->out, "id", row->id);
	json_add_text(l->out, "key_id", row->key_id);
	json_add_text(l->out, "key_name", row->key_name);
	json_add_text(l->out, "remote", row->remote);
	json_add_time(l->out, "created_at", row->created_at_ms);
	json_add_time(l->out, "last_used_at", row->last_used_at_ms);
	json_add_time(l->out, "expires_at", row->expires_at_ms);
	json_add_bool(
		l->out, "current", l->req->has_session && strcmp(l->req->session_id, row->id) == 0);
	json_close(l->out, '}');
	return 0;
}

static int list_sessions(struct request *req, struct fault *f)
{
	struct json_out out = answer_json(req);
	struct listing l = {.req = req, .out = &out};

	json_key(&out, "sessions");
	json_open(&out, '[');
	if (sessions_list(request_tokens(req), only_key(req), write_session, &l, f) < 0)
		return -1;
	json_close(&out, ']');
	json_close(&out, '}');
	return 0;
}

static int end_other_session(struct request *req, struct fault *f)
{
	const struct actor who = request_actor(req);

	if (sessions_end(request_tokens(req), request_param(req, "session_id"), only_key(req), &who,
		    f) < 0)
		return -1;
	say_ended(req);
	return 0;
}

const struct route session_routes[] = {
	{"GET", "/sign-in", 0, ROUTE_WORKER, show_sign_in, NULL,
		"The page on which people sign in"},
	{"POST", "/sign-in", 0, ROUTE_WORKER, sign_in, NULL,
		"What that page's form sends: a key, or a one-time link"},
	{"POST", "/sign-out", ROUTE_ANY_KEY | ROUTE_PAGE | ROUTE_FORM, ROUTE_WORKER, sign_out, NULL,
		"The sign-out button of the pages"},
	{"POST", "/session", ROUTE_ANY_KEY, ROUTE_WORKER, begin_session, NULL,
		"Sign in with a key: a cookie for a browser"},
	{"GET", "/session", ROUTE_ANY_KEY, ROUTE_WORKER, get_session, NULL,
		"Who is signed in, with which rights, until when"},
	{"DELETE", "/session", ROUTE_ANY_KEY, ROUTE_WORKER, end_session, NULL, "Sign out"},
	{"GET", "/sessions", ROUTE_ANY_KEY, ROUTE_WORKER, list_sessions, NULL,
		"Who is signed in: all of them for an admin, else those of the same key"},
	{"DELETE", "/sessions/{session_id}", ROUTE_ANY_KEY, ROUTE_WORKER, end_other_session, NULL,
		"End somebody's session"},
	{0},
};
