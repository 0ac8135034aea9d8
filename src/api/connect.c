/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two browser ends of the consent flow. What happens at the end is read by a branch manager, so
 * each outcome has a page that says what to do next; programs get the same as JSON. No token in
 * either.
 */
#include <stdio.h>
#include <string.h>

#include "api/auth.h"
#include "api/connect_page.h"
#include "api/page.h"
#include "api/path.h"
#include "api/problem.h"
#include "api/route.h"
#include "base/text.h"

/* As long as a link is good: whoever pressed its button today can come back to it. */
#define FLOW_COOKIE "rf_flow"
/* The state of the flow that ended last: its page can be shown again, and a new try begun. */
#define RESULT_COOKIE "rf_result"
#define CALLBACK_PATH "/token-management/auth/callback"
#define NOT_FOUND "Client not found or inactive"

static void set_cookie(
	struct request *req, const char *name, const char *value, const char *path, int64_t life_ms)
{
	AUTO(buf_drop) struct buf cookie = BUF_INIT_WIPED(512);
	const bool is_https = text_starts(request_settings(req)->public_url, "https:");

	buf_addf(&cookie, "%s=%s; Path=%s; Max-Age=%lld; HttpOnly; SameSite=Lax%s", name, value,
		path, (long long)(life_ms / 1000), is_https ? "; Secure" : "");
	answer_header(req, "Set-Cookie", buf_text(&cookie));
}

/* ---- the start ---- */

static void say_missing(struct request *req, const struct fault *f)
{
	if (request_wants_html(req)) {
		const struct page page = {
			.title = "This branch is not here",
			.sentence = f->text,
			.next = "Ask the person who sent you the link for a new one.",
		};
		page_answer(req, 404, &page);
		return;
	}
	struct json_out out = problem_open(req, 404, f->text);
	json_add_text(&out, "error", f->text); /* the original's name for it */
	json_close(&out, '}');
	answer_header(req, "Referrer-Policy", "no-referrer");
}

static int check_binding(struct request *req, int64_t id, struct fault *f)
{
	AUTO(client_done) struct client c = {0};

	if (!req->has_key || !req->key.is_bound)
		return 0;
	if (clients_get(request_tokens(req), id, &c, f) < 0)
		return -1;
	return request_sees(req, c.branch_id, NOT_FOUND, f);
}

/*
 * A person, or a robot that looks at a link before a person does: the page comes first, and only
 * its button begins. Programs are sent on at once.
 */
static bool asks_first(struct request *req, const char *ticket)
{
	static const char *const robots[] = {
		"bot", "Bot", "preview", "Preview", "facebookexternalhit", "WhatsApp"};
	const char *agent = request_header(req, "User-Agent");

	if (ticket == NULL || strcmp(req->method, "POST") == 0)
		return false;
	for (size_t i = 0; agent && i < ARRAY_LEN(robots); i++)
		if (strstr(agent, robots[i]))
			return true;
	return request_wants_html(req) || strcmp(req->method, "HEAD") == 0;
}

static int ask_first(struct request *req, int64_t id, const char *ticket, struct fault *f)
{
	AUTO(client_done) struct client c = {0};
	const int outcome =
		connect_look(request_tokens(req), id, ticket, request_cookie(req, FLOW_COOKIE), f);

	if (outcome != LINK_GOOD)
		return outcome;
	if (clients_get(request_tokens(req), id, &c, f) < 0)
		return -1;
	connect_page_ask(req, &c, ticket);
	return LINK_GOOD;
}

static void send_off(struct request *req, const struct connect_start *start)
{
	/* 307 would repeat the POST at the provider. */
	req->answer.status = strcmp(req->method, "POST") == 0 ? 303 : 307;
	req->answer.content_type = NULL;
	set_cookie(req, FLOW_COOKIE, start->cookie, "/token-management", CONNECT_LINK_MS);
	answer_header(req, "Location", buf_text(&start->location));
	answer_header(req, "Referrer-Policy", "no-referrer");
}

static int begin_flow(struct request *req, int64_t id, const char *ticket, struct fault *f)
{
	AUTO(connect_start_done) struct connect_start start = {0};
	struct actor who = request_actor(req);

	if (ticket)
		who.name = "link";
	if (check_binding(req, id, f) < 0)
		return -1;
	const int outcome = connect_begin(
		request_tokens(req), id, ticket, request_cookie(req, FLOW_COOKIE), &who, &start, f);
	if (outcome == LINK_GOOD)
		send_off(req, &start);
	return outcome;
}

/* What a beginning came to becomes the answer. */
static int answer_start(struct request *req, int outcome, const struct fault *f)
{
	if (outcome > 0)
		connect_page_link(req, (enum link_outcome)outcome);
	else if (outcome < 0 && f->kind == FAULT_MISSING)
		say_missing(req, f);
	else
		return outcome;
	return 0;
}

static int begin_login(struct request *req, struct fault *f)
{
	const char *ticket = req->has_key ? NULL : request_query(req, "ticket");
	int64_t id;

	if (path_id(req, "id", &id, f) < 0)
		return -1;
	if (req->has_session && auth_is_from_elsewhere(req)) {
		req->answer.status = 403;
		return fault_raise(f, FAULT_DENIED,
			"Another site has sent the browser here: open the console and begin "
			"there.");
	}
	const int outcome = asks_first(req, ticket) ? ask_first(req, id, ticket, f)
						    : begin_flow(req, id, ticket, f);
	return answer_start(req, outcome, f);
}

/* The button of a page after: the cookies say which flow, and SameSite keeps other sites out. */
static int begin_again(struct request *req, struct fault *f)
{
	AUTO(connect_start_done) struct connect_start start = {0};
	const struct actor who = {.name = "browser", .remote = req->remote};
	const int outcome = connect_again(request_tokens(req), request_cookie(req, RESULT_COOKIE),
		request_cookie(req, FLOW_COOKIE), &who, &start, f);

	if (outcome == LINK_GOOD)
		send_off(req, &start);
	return answer_start(req, outcome, f);
}

/* ---- the end ---- */

/* It was not the provider: our database, or a bug. Logged and mapped like any fault, but readable.
 */
static void fail_here(struct request *req, const struct connect_result *r)
{
	const struct connect_result unknown = {.outcome = CONNECT_FAILED};
	unsigned status;

	problem_answer(req, r->fault);
	if (!request_wants_html(req))
		return;
	status = req->answer.status;
	connect_page_end(req, &unknown);
	req->answer.status = status;
}

/*
 * Where the address bears a code or a state of a flow that was known, the browser is sent to the
 * bare address (RFC 9700 section 4.2.4), where the flow's row says what to show.
 */
static void leave_address(struct request *req, const struct connect_result *r)
{
	req->answer.status = 303;
	req->answer.content_type = NULL;
	set_cookie(req, RESULT_COOKIE, r->state, CALLBACK_PATH, CONNECT_AGAIN_MS);
	answer_header(req, "Location", CALLBACK_PATH);
	answer_header(req, "Referrer-Policy", "no-referrer");
}

static void on_finished(void *arg, const struct connect_result *r)
{
	struct request *req = arg;

	if (r->outcome == CONNECT_FAILED && r->fault) {
		fail_here(req, r);
	} else if (r->state && r->outcome != CONNECT_BAD_REQUEST && request_wants_html(req)) {
		leave_address(req, r);
	} else {
		connect_page_end(req, r);
		if (!request_wants_html(req))
			answer_header(req, "Referrer-Policy", "no-referrer");
	}
	request_finish(req);
}

static void on_recalled(void *arg, const struct connect_result *r)
{
	connect_page_end(arg, r);
}

/* The page after, at its bare address. 1: this browser has none. */
static int show_again(struct request *req, struct fault *f)
{
	const char *state = request_cookie(req, RESULT_COOKIE);
	const char *browser = request_cookie(req, FLOW_COOKIE);

	if (req->n_query > 0 || state == NULL || browser == NULL || !request_wants_html(req))
		return 1;
	return connect_recall(request_tokens(req), state, browser, on_recalled, req, f);
}

static int finish_login(struct request *req, struct fault *f)
{
	const struct connect_reply reply = {
		.state = request_query(req, "state"),
		.code = request_query(req, "code"),
		.error = request_query(req, "error"),
		.iss = request_query(req, "iss"),
		.browser = request_cookie(req, FLOW_COOKIE),
		.arrived = request_param(req, "provider"),
		.remote = req->remote,
	};

	const int shown = show_again(req, f);
	if (shown != 1)
		return shown;
	connect_finish(request_tokens(req), &reply, on_finished, req);
	return REQUEST_PENDING;
}

const struct route connect_routes[] = {
	{"GET", "/token-management/oauth/login/{id}", KEY_CLIENTS_WRITE | ROUTE_OR_TICKET,
		ROUTE_WORKER, begin_login, NULL, "Send the browser to Google's consent page"},
	{"POST", "/token-management/oauth/login/{id}", KEY_CLIENTS_WRITE | ROUTE_OR_TICKET,
		ROUTE_WORKER, begin_login, NULL,
		"The same, by the button of the page that a link opens"},
	{"POST", CALLBACK_PATH, 0, ROUTE_WORKER, begin_again, NULL,
		"Another try from the page after, in the browser that ended the first"},
	{"GET", "/token-management/auth/callback", 0, ROUTE_WORKER, finish_login, NULL,
		"Where Google sends the browser back to"},
	{"GET", "/token-management/auth/callback/{provider}", 0, ROUTE_WORKER, finish_login, NULL,
		"Where another provider sends the browser back to"},
	{0},
};
