/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the head of a request to its answer.
 *
 * Who ends a pending request is settled by one atomic. It starts as RUNNING. The HTTP thread that
 * must wait suspends the connection and moves it to SUSPENDED; the one who finishes moves it to
 * FINISHED and looks at what was there: SUSPENDED means that the connection has to be woken,
 * RUNNING that the HTTP thread has not suspended it yet and will find out by itself.
 */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/auth.h"
#include "api/negotiate.h"
#include "api/problem.h"
#include "api/request_life.h"
#include "api/route.h"
#include "api/server.h"
#include "api/uri.h"
#include "base/mem.h"

struct metric server_handed_over = METRIC_COUNTER("review_fetcher_http_requests_queued_total",
	"Requests handed from HTTP threads to workers.", "");
struct metric server_taken_back = METRIC_COUNTER(
	"review_fetcher_http_requests_dequeued_total", "Requests that workers took up.", "");

static struct conn *conn_of(struct request *req)
{
	return req->server;
}

const char *request_header(const struct request *req, const char *name)
{
	const struct conn *c = req->server;

	return c ? MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, name) : NULL;
}

struct token_management *request_tokens(const struct request *req)
{
	return req->api->parts.token_management;
}

struct event_feed *request_events(const struct request *req)
{
	return req->api->parts.events;
}

struct review_fetcher *request_reviews(const struct request *req)
{
	return req->api->parts.review_fetcher;
}

const struct settings *request_settings(const struct request *req)
{
	return req->api->parts.settings;
}

/* ---- the head ---- */

static void decide(struct conn *c, const struct fault *f)
{
	problem_answer(&c->req, f);
	c->is_decided = true;
}

static void refuse(struct conn *c, unsigned status, const char *detail)
{
	problem_say(&c->req, status, detail);
	c->is_decided = true;
}

static void answer_other_method(struct conn *c, const struct route_match *match)
{
	struct request *req = &c->req;
	struct fault f;

	if (strcmp(req->method, "OPTIONS") == 0) {
		if (auth_check(req, match->open ? 0 : ROUTE_ANY_KEY, c->is_loopback, &f) < 0) {
			decide(c, &f);
			return;
		}
		req->answer.status = 204;
		req->answer.content_type = NULL;
		c->is_decided = true;
	} else {
		refuse(c, 405, "This address has no such method: Allow lists those that it has.");
	}
	answer_header(req, "Allow", match->allow);
}

/* True when the route is known. The answer is decided otherwise. */
static bool find_route(struct conn *c, const char *path)
{
	struct request *req = &c->req;
	struct route_match match;

	req->path = path;
	switch (route_find(req->method, path, c->uri + c->uri_len + 1, &match)) {
	case ROUTE_FOUND:
		break;
	case ROUTE_NO_METHOD:
		answer_other_method(c, &match);
		return false;
	case ROUTE_BAD_ENCODING:
		refuse(c, 400,
			"The path is not percent-encoded UTF-8: write each byte outside A-Z a-z "
			"0-9 - . _ ~ "
			"as %XX, and no NUL.");
		return false;
	case ROUTE_NO_PATH:
		refuse(c, 404, "There is nothing at this address: check the path.");
		return false;
	}
	req->route = match.route;
	req->route_count = match.count;
	req->n_params = match.n_params;
	for (size_t i = 0; i < match.n_params; i++)
		req->params[i] = match.params[i];
	return true;
}

static bool is_header_too_large(const struct conn *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	return info && info->header_size > LIMIT_HEADER_BYTES;
}

static void refuse_closed(struct conn *c)
{
	refuse(c, 503, "The service is shutting down: try again in a few seconds.");
	problem_retry_after(&c->req, 2000);
}

/* Routes that need neither keys nor rows. */
static bool can_answer_while_waiting(const char *path)
{
	return strcmp(path, "/") == 0 || strcmp(path, "/api/v1/health") == 0 ||
	       strcmp(path, "/api/v1/ready") == 0;
}

static void refuse_waiting(struct conn *c)
{
	refuse(c, 503,
		"The database cannot be reached yet: try again in a few seconds. "
		"/api/v1/ready tells the cause.");
	problem_retry_after(&c->req, 2000);
}

static void decide_early(struct conn *c)
{
	char *path, *query = NULL;
	struct fault f = {0};

	if (c->is_surplus) {
		refuse(c, 503,
			"Too many connections are open: try again in a few seconds, and keep "
			"connections "
			"open between requests.");
		problem_retry_after(&c->req, 2000);
	} else if (is_header_too_large(c)) {
		refuse(c, 431,
			"The request line and headers have more than 16384 bytes together: send "
			"less.");
	} else if (strcmp(c->uri, "*") == 0 && strcmp(c->req.method, "OPTIONS") == 0) {
		c->req.answer.status = 204;
		c->req.answer.content_type = NULL;
		c->is_decided = true;
	} else if (uri_split(c->uri, &path, &query) != 0) {
		refuse(c, 400, "The request target is not a path: it must start with '/'.");
	} else if (c->api->parts.is_waiting && !can_answer_while_waiting(path)) {
		refuse_waiting(c);
	} else if (find_route(c, path)) {
		if (query_decode(query, c->req.query, REQUEST_QUERY_MAX, &c->req.n_query, &f) < 0 ||
			auth_check(&c->req, c->req.route->scope, c->is_loopback, &f) < 0)
			decide(c, &f);
	}
}

static bool has_body(const char *method)
{
	return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

/* Whoever may be anybody gets little memory: each of thousands of connections may hold as much. */
static bool is_stranger(const struct request *req)
{
	return !req->has_key && request_settings(req)->api_auth;
}

static unsigned long long body_limit(const struct conn *c)
{
	if (c->req.is_upload)
		return LIMIT_UPLOAD_BYTES;
	return is_stranger(&c->req) ? LIMIT_STRANGER_BODY_BYTES : LIMIT_BODY_BYTES;
}

static void refuse_length(struct conn *c)
{
	char words[80];

	snprintf(words, sizeof(words), "The body has more than %llu bytes: send %s.", body_limit(c),
		c->req.is_upload ? "it in parts" : "less");
	refuse(c, 413, words);
}

/*
 * A refused body is read all the same, within bounds, since closing on unread bytes resets the
 * connection before the client has read why. Not when the client waits for our word before sending
 * it.
 */
static bool must_answer_now(struct conn *c)
{
	const char *length = request_header(&c->req, "Content-Length");
	const unsigned long long announced = length ? strtoull(length, NULL, 10) : 0;

	if (announced > body_limit(c) && !c->is_decided)
		refuse_length(c);
	const char *expect = c->is_decided ? request_header(&c->req, "Expect") : NULL;
	return c->is_decided && (announced > SERVER_DISCARD_BYTES ||
					(expect && strcasecmp(expect, "100-continue") == 0));
}

int server_take_head(struct conn *c, const char *method)
{
	c->req.method = method;
	c->step = STEP_BODY;
	decide_early(c);
	c->req.is_upload = !c->is_decided && c->req.route->mode == ROUTE_UPLOAD &&
			   content_type_is_ndjson(request_header(&c->req, "Content-Type"));
	c->req.is_whole = !c->req.is_upload;
	if (has_body(method) && must_answer_now(c)) {
		c->step = STEP_ANSWER;
		return server_send(c);
	}
	return MHD_YES;
}

/* ---- a body that is taken in pieces ---- */

/* What is left of it is thrown away within the same bounds as any refused body. */
static void break_off(struct conn *c)
{
	c->is_decided = true;
	c->body_seen = 0;
	buf_reset(&c->req.body);
}

static void run_piece(struct task *task)
{
	struct request *req = CONTAINER_OF(task, struct request, task);
	struct conn *c = conn_of(req);
	struct api *api = c->api;
	struct MHD_Connection *mhd = c->mhd;
	struct fault f = {0};

	metric_add(&server_taken_back, 1);
	if (atomic_load(&api->is_draining)) {
		refuse_closed(c);
		break_off(c);
	} else if (req->route->handle(req, &f) < 0) {
		problem_answer(req, &f);
		break_off(c);
	}
	buf_reset(&req->body);
	conn_enter(c, PHASE_READING);
	atomic_store(&c->state, STATE_RUNNING);
	server_resume(api, mhd);
}

static void hand_piece_over(struct conn *c)
{
	metric_add(&server_handed_over, 1);
	conn_enter(c, PHASE_WORKING);
	atomic_fetch_add(&c->api->off_thread, 1);
	MHD_suspend_connection(c->mhd);
	atomic_store(&c->state, STATE_SUSPENDED);
	c->req.task.run = run_piece;
	pool_submit(c->api->parts.pool, &c->req.task);
}

/*
 * A piece goes to a worker when it is full and more has come: bytes that are left with the library
 * keep it from calling again while the connection is suspended.
 */
int server_take_body(struct conn *c, const char *bytes, size_t *len)
{
	(void)atomic_load(&c->state); /* what the worker wrote of the piece before */
	if (!c->is_decided && c->req.is_upload && c->req.body.len >= LIMIT_UPLOAD_PIECE_BYTES) {
		hand_piece_over(c);
		return MHD_YES;
	}
	c->body_seen += (int64_t)*len;
	if (!c->is_decided && (unsigned long long)c->body_seen <= body_limit(c))
		buf_add(&c->req.body, bytes, *len);
	*len = 0;
	if (c->is_decided)
		return c->body_seen > SERVER_DISCARD_BYTES ? MHD_NO : MHD_YES;
	if ((unsigned long long)c->body_seen > body_limit(c) || buf_failed(&c->req.body)) {
		buf_drop(&c->req.body);
		refuse_length(c);
	}
	return MHD_YES;
}

/* ---- running ---- */

/* Woken connections are the library's again, so api->off_thread is the last thing that is touched.
 */
void server_resume(struct api *api, struct MHD_Connection *mhd)
{
	MHD_resume_connection(mhd);
	atomic_fetch_sub(&api->off_thread, 1);
}

void request_finish(struct request *req)
{
	struct conn *c = conn_of(req);
	struct api *api = c->api;
	struct MHD_Connection *mhd = c->mhd;

	/* The exchange is the last that is done to the connection here: it hands it over. */
	if (atomic_exchange(&c->state, STATE_FINISHED) == STATE_SUSPENDED)
		server_resume(api, mhd);
}

void request_fail(struct request *req, const struct fault *f)
{
	problem_answer(req, f);
	request_finish(req);
}

static void run_on_worker(struct task *task)
{
	struct request *req = CONTAINER_OF(task, struct request, task);
	const struct route *route = req->route;
	struct fault f = {0};

	metric_add(&server_taken_back, 1);
	const int done =
		route->mode == ROUTE_INLINE ? route->worker(req, &f) : route->handle(req, &f);
	if (done < 0)
		request_fail(req, &f);
	else if (done == 0)
		request_finish(req);
}

static int hand_over(struct conn *c)
{
	metric_add(&server_handed_over, 1);
	atomic_fetch_add(&c->api->off_thread, 1);
	MHD_suspend_connection(c->mhd);
	atomic_store(&c->state, STATE_SUSPENDED);
	c->req.task.run = run_on_worker;
	pool_submit(c->api->parts.pool, &c->req.task);
	return MHD_YES;
}

static int wait_for_finish(struct conn *c)
{
	int expected = STATE_RUNNING;

	if (atomic_load(&c->state) == STATE_FINISHED)
		return server_send(c);
	atomic_fetch_add(&c->api->off_thread, 1);
	MHD_suspend_connection(c->mhd);
	if (!atomic_compare_exchange_strong(&c->state, &expected, STATE_SUSPENDED))
		server_resume(c->api, c->mhd);
	return MHD_YES;
}

static int run_inline(struct conn *c)
{
	struct fault f = {0};
	const int done = c->req.route->handle(&c->req, &f);

	if (done == REQUEST_PENDING)
		return wait_for_finish(c);
	if (done == REQUEST_TO_WORKER)
		return hand_over(c);
	if (done < 0)
		problem_answer(&c->req, &f);
	return server_send(c);
}

int server_run(struct conn *c)
{
	c->step = STEP_ANSWER;
	conn_enter(c, PHASE_WORKING);
	if (!c->is_decided && atomic_load(&c->api->is_closed))
		refuse_closed(c);
	if (c->is_decided)
		return server_send(c);
	c->req.is_whole = true;
	return c->req.route->mode == ROUTE_INLINE ? run_inline(c) : hand_over(c);
}
