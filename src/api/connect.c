/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two browser ends of the consent flow. What happens at the end is read by a branch manager, so
 * each outcome has a page that says what to do next; programs get the same as JSON. No token in
 * either.
 */
#include <stdio.h>
#include <string.h>

#include "api/connect_page.h"
#include "api/page.h"
#include "api/path.h"
#include "api/problem.h"
#include "api/route.h"
#include "base/clock.h"
#include "base/text.h"

#define FLOW_COOKIE "rf_flow"
#define NOT_FOUND "Client not found or inactive"

static void set_flow_cookie(struct request *req, const char *value, int64_t max_age_ms)
{
	AUTO(buf_drop) struct buf cookie = BUF_INIT_WIPED(256);
	const bool is_https = text_starts(request_settings(req)->public_url, "https:");

	buf_addf(&cookie,
		FLOW_COOKIE "=%s; Path=/token-management; Max-Age=%lld; HttpOnly; SameSite=Lax%s",
		value, (long long)(max_age_ms / 1000), is_https ? "; Secure" : "");
	answer_header(req, "Set-Cookie", buf_text(&cookie));
}

/* ---- the start ---- */

static void say_cannot_start(struct request *req, const struct fault *f)
{
	const bool is_missing = f->kind == FAULT_MISSING;
	const unsigned status = is_missing ? 404 : 403;

	if (request_wants_html(req)) {
		const struct page page = {
			.title = is_missing ? "This branch is not here"
					    : "This link does not work any more",
			.sentence = f->text,
			.next = "Ask the person who sent you the link for a new one, and open it "
				"in this browser.",
		};
		page_answer(req, status, &page);
		return;
	}
	struct json_out out = problem_open(req, status, f->text);
	if (is_missing)
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

	if (connect_look(request_tokens(req), id, ticket, request_cookie(req, FLOW_COOKIE), f) <
			0 ||
		clients_get(request_tokens(req), id, &c, f) < 0)
		return -1;
	connect_page_ask(req, &c, ticket);
	return 0;
}

static int begin_flow(struct request *req, int64_t id, const char *ticket, struct fault *f)
{
	AUTO(connect_start_done) struct connect_start start = {0};
	struct actor who = request_actor(req);

	if (ticket)
		who.name = "link";
	if (check_binding(req, id, f) < 0 ||
		connect_begin(request_tokens(req), id, ticket, request_cookie(req, FLOW_COOKIE),
			&who, &start, f) < 0)
		return -1;
	/* 307 would repeat the POST at the provider. */
	req->answer.status = strcmp(req->method, "POST") == 0 ? 303 : 307;
	req->answer.content_type = NULL;
	set_flow_cookie(req, start.cookie, CONNECT_FLOW_MS);
	answer_header(req, "Location", buf_text(&start.location));
	answer_header(req, "Referrer-Policy", "no-referrer");
	return 0;
}

static int begin_login(struct request *req, struct fault *f)
{
	const char *ticket = req->has_key ? NULL : request_query(req, "ticket");
	int64_t id;

	if (path_id(req, "id", &id, f) < 0)
		return -1;
	if ((asks_first(req, ticket) ? ask_first(req, id, ticket, f)
				     : begin_flow(req, id, ticket, f)) == 0)
		return 0;
	if (f->kind != FAULT_MISSING && f->kind != FAULT_DENIED)
		return -1;
	say_cannot_start(req, f);
	return 0;
}

/* ---- the end ---- */

static void answer_done_json(struct request *req, const struct connect_result *r)
{
	struct json_out out = answer_json(req);

	json_add_bool(&out, "success", true);
	json_add_text(&out, "message", "Authentication successful");
	json_add_text(&out, "client_id", r->client_oauth_id);
	json_add_text(&out, "branch_id", r->branch_id);
	json_add_time(&out, "expires_at", r->expires_at_ms);
	json_close(&out, '}');
}

static void answer_problem_json(struct request *req, const struct connect_ending *e,
	const char *sentence, const struct connect_result *r)
{
	char detail[512];

	snprintf(detail, sizeof(detail), "%s %s", sentence, e->next);
	struct json_out out = problem_open(req, e->status, detail);
	if (r->branch_id)
		json_add_text(&out, "branch_id", r->branch_id);
	if (r->provider_error)
		json_add_text(&out, "provider_error", r->provider_error);
	json_close(&out, '}');
}

/* It was not Google: our database, or a bug. Logged and mapped like any fault, but readable. */
static void fail_here(struct request *req, const struct fault *f)
{
	static const struct page page = {
		.title = "Not connected: something went wrong here",
		.sentence = "The connection could not be stored.",
		.next = "Open the link again in a few minutes; if that does not help, tell the "
			"person who "
			"sent it to you.",
	};

	if (!request_wants_html(req)) {
		request_fail(req, f);
		return;
	}
	problem_answer(req, f);
	page_answer(req, req->answer.status, &page);
	request_finish(req);
}

static void on_finished(void *arg, const struct connect_result *r)
{
	struct request *req = arg;
	const struct connect_ending *e = connect_ending(r->outcome);
	const char *sentence = r->outcome == CONNECT_FAILED && r->fault && r->fault->text[0]
				       ? r->fault->text
				       : e->sentence;

	if (r->outcome == CONNECT_FAILED && r->fault && r->fault->kind != FAULT_UPSTREAM) {
		fail_here(req, r->fault);
		return;
	}
	if (request_wants_html(req))
		connect_page_end(req, r, sentence);
	else if (r->outcome == CONNECT_DONE)
		answer_done_json(req, r);
	else
		answer_problem_json(req, e, sentence, r);
	if (req->answer.content_type && !text_starts(req->answer.content_type, "text/html"))
		answer_header(req, "Referrer-Policy", "no-referrer");
	if (r->outcome == CONNECT_DONE)
		set_flow_cookie(req, "", 0);
	request_finish(req);
}

static int finish_login(struct request *req, struct fault *f)
{
	const struct connect_reply reply = {
		.state = request_query(req, "state"),
		.code = request_query(req, "code"),
		.error = request_query(req, "error"),
		.iss = request_query(req, "iss"),
		.browser = request_cookie(req, FLOW_COOKIE),
	};

	(void)f;
	if (req->n_query == 0 && request_wants_html(req) && connect_page_again(req))
		return 0;
	connect_finish(request_tokens(req), &reply, on_finished, req);
	return REQUEST_PENDING;
}

const struct route connect_routes[] = {
	{"GET", "/token-management/oauth/login/{id}", KEY_CLIENTS_WRITE | ROUTE_OR_TICKET,
		ROUTE_WORKER, begin_login, NULL, "Send the browser to Google's consent page"},
	{"POST", "/token-management/oauth/login/{id}", KEY_CLIENTS_WRITE | ROUTE_OR_TICKET,
		ROUTE_WORKER, begin_login, NULL,
		"The same, by the button of the page that a link opens"},
	{"GET", "/token-management/auth/callback", 0, ROUTE_WORKER, finish_login, NULL,
		"Where Google sends the browser back to"},
	{0},
};
