/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The original's demo routes, on what the bundled simulator shows. All of it is asked for before
 * the first byte is sent, so a stream here ends when it has told what there is. A token chooses
 * what is shown, as it did in the original, and is used for nothing else; in an address it is
 * refused.
 */
#include <stdio.h>
#include <string.h>

#include "api/caller.h"
#include "api/route.h"
#include "api/scope.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "review_fetcher/review_fetcher_demo.h"

#define ID_BYTES 64
#define GOOGLE_ID_DIGITS 32
#define ITEMS 25
#define ITEMS_MOST 500
#define NESTED 500
#define WAIT_SEC 60
#define WAIT_SEC_LEAST 5
#define WAIT_SEC_MOST 600

/* One request while the simulator is asked. */
struct demo_call {
	struct request *req;
	const char *event; /* of an event stream of single items */
	char *job_id;      /* what is shown is drawn by it, unless a token draws; it is echoed */
	int64_t emit_ms, wait_ms;
	bool is_stream;
};

static void call_free(struct demo_call *c)
{
	mem_free(c->job_id);
	mem_free(c);
}

static void put_item(struct buf *to, const struct demo_items *d, size_t i)
{
	buf_add(to, d->text.data + d->items[i].at, d->items[i].len);
}

/* ---- a list ---- */

static void answer_list(struct request *req, const struct demo_items *d)
{
	struct buf *to = &req->answer.body;

	*to = BUF_INIT(LIMIT_RESPONSE_BYTES);
	for (size_t i = 0; i < d->n; i++) {
		buf_add_char(to, i > 0 ? ',' : '[');
		put_item(to, d, i);
	}
	buf_add_text(to, d->n > 0 ? "]" : "[]");
}

static void open_event(struct buf *to, int64_t id, const char *name)
{
	buf_addf(to, "id: %lld\nevent: %s\ndata: ", (long long)id, name);
}

static void set_sse(struct request *req)
{
	req->answer.content_type = "text/event-stream; charset=utf-8";
	answer_header(req, "X-Accel-Buffering", "no");
}

static void answer_events(struct request *req, const struct demo_items *d, const char *event)
{
	struct buf *to = &req->answer.body;
	int64_t id = 0;

	*to = BUF_INIT(LIMIT_RESPONSE_BYTES);
	for (size_t i = 0; i < d->n; i++) {
		open_event(to, ++id, event);
		put_item(to, d, i);
		buf_add_text(to, "\n\n");
	}
	open_event(to, ++id, "done");
	buf_add_text(to, "{}\n\n");
	set_sse(req);
}

/* ---- nested ---- */

/* The first n of the locations. */
static void write_nested(struct buf *to, const char *job_id, const struct demo_items *d, size_t n)
{
	struct json_out o = JSON_OUT(to);
	int64_t reviews = 0;

	json_open(&o, '{');
	json_add_text(&o, "job_id", job_id);
	json_key(&o, "account");
	json_put_raw(&o, d->account.data, d->account.len);
	json_key(&o, "locations");
	json_open(&o, '[');
	for (size_t i = 0; i < n; i++) {
		json_put_raw(&o, d->text.data + d->items[i].at, d->items[i].len);
		reviews += d->items[i].reviews;
	}
	json_close(&o, ']');
	json_key(&o, "stats");
	json_open(&o, '{');
	json_add_int(&o, "locations", (int64_t)n);
	json_add_int(&o, "reviews", reviews);
	json_close(&o, '}');
	json_key(&o, "joins_ok");
	json_open(&o, '{');
	json_add_bool(&o, "account.account_id == location.google_account_id", d->accounts_join);
	json_add_bool(&o, "location.location_id == review.location_id", d->locations_join);
	json_close(&o, '}');
	if (d->is_truncated)
		json_add_bool(&o, "truncated", true);
	json_close(&o, '}');
}

/* Each snapshot shows twice what the one before did, so that all of them are twice the last. */
struct growing {
	struct stream stream;
	struct caller caller;
	char *job_id;
	struct demo_items items;
	size_t shown;
	int64_t emit_ms, ends_ms, event_id;
	bool is_begun;
};

static void tell_job(struct growing *g, struct buf *out)
{
	struct json_out o = JSON_OUT(out);

	open_event(out, ++g->event_id, "job");
	json_open(&o, '{');
	json_add_text(&o, "job_id", g->job_id);
	json_close(&o, '}');
	buf_add_text(out, "\n\n");
	g->is_begun = true;
}

static int grow(struct stream *s, struct buf *out, int64_t *ret_wait_ms, struct fault *f)
{
	struct growing *g = CONTAINER_OF(s, struct growing, stream);
	const char *gone = caller_gone(&g->caller);
	const bool is_late = clock_mono_ms() + g->emit_ms >= g->ends_ms;

	(void)f;
	if (gone)
		return caller_say_closed(out, gone);
	if (!g->is_begun)
		tell_job(g, out);
	g->shown = g->shown ? g->shown * 2 : 1;
	if (g->shown > g->items.n || is_late)
		g->shown = g->items.n;
	open_event(out, ++g->event_id, "nested");
	write_nested(out, g->job_id, &g->items, g->shown);
	buf_add_text(out, "\n\n");
	*ret_wait_ms = g->emit_ms;
	if (g->shown < g->items.n)
		return STREAM_WAIT;
	open_event(out, ++g->event_id, "done");
	buf_add_text(out, "{}\n\n");
	return STREAM_END;
}

static void close_growing(struct stream *s)
{
	struct growing *g = CONTAINER_OF(s, struct growing, stream);

	demo_items_done(&g->items);
	mem_free(g->job_id);
	mem_free(g);
}

static void stream_growing(struct demo_call *c, struct demo_items *moved)
{
	struct growing *g = mem_alloc(sizeof(*g));

	g->stream = (struct stream){.fill = grow, .close = close_growing, .is_sse = true};
	caller_init(&g->caller, c->req);
	g->job_id = TAKE(c->job_id);
	g->items = *moved;
	*moved = (struct demo_items){0};
	g->emit_ms = c->emit_ms;
	g->ends_ms = clock_mono_ms() + c->wait_ms;
	set_sse(c->req);
	c->req->answer.stream = &g->stream;
}

static void answer_nested(struct request *req, const char *job_id, const struct demo_items *d)
{
	req->answer.body = BUF_INIT(LIMIT_RESPONSE_BYTES);
	write_nested(&req->answer.body, job_id, d, d->n);
}

/* ---- asking ---- */

static void on_items(void *arg, struct demo_items *items, const struct fault *f)
{
	struct demo_call *c = arg;
	struct request *req = c->req;

	if (f != NULL) {
		call_free(c);
		request_fail(req, f);
		return;
	}
	if (c->event)
		answer_events(req, items, c->event);
	else if (c->job_id == NULL)
		answer_list(req, items);
	else if (c->is_stream)
		stream_growing(c, items);
	else
		answer_nested(req, c->job_id, items);
	call_free(c);
	request_finish(req);
}

static int ask(struct request *req, const struct demo_wish *wish, const struct demo_call *how,
	struct fault *f)
{
	struct demo_call *c;

	if (request_check(req, f) < 0) {
		mem_free(how->job_id);
		return -1;
	}
	c = mem_alloc(sizeof(*c));
	*c = *how;
	c->req = req;
	if (demo_ask(request_reviews(req), wish, on_items, c, f) == 0)
		return REQUEST_PENDING;
	call_free(c);
	return -1;
}

/* ---- what is asked ---- */

/* An id of Google's; the original's were whole numbers too, but ours are longer than 64 bits hold.
 */
static const char *read_google_id(struct request *req, const char *name)
{
	const char *id = request_query(req, name);
	char shown[TEXT_EXCERPT_SIZE];

	if (id == NULL)
		return NULL;
	if (*id && strspn(id, "0123456789") == strlen(id) && strlen(id) <= GOOGLE_ID_DIGITS)
		return id;
	request_error(req, "query", name, "is '%s': give an id of Google's, up to %d digits",
		text_excerpt(id, shown), GOOGLE_ID_DIGITS);
	return NULL;
}

/* Any name that the caller has for what it sees: the same one shows the same again. */
static const char *read_job_id(struct request *req)
{
	const char *id = request_query(req, "job_id");
	size_t len = id ? strlen(id) : 0;

	if (id == NULL)
		return NULL;
	for (size_t i = 0; i < strlen(id); i++)
		if (id[i] <= ' ' || id[i] > '~')
			len = 0;
	if (len == 0 || len > ID_BYTES)
		request_error(req, "query", "job_id",
			"must have 1 to %d printable ASCII characters without blanks", ID_BYTES);
	return id;
}

static int list_items(struct request *req, enum demo_kind kind, const char *parent, struct fault *f)
{
	const struct demo_wish wish = {
		.kind = kind,
		.limit = request_query_int(req, "limit", 1, ITEMS_MOST, ITEMS),
		.parent = parent,
		.wait_ms = WAIT_SEC * 1000,
	};

	return ask(req, &wish, &(struct demo_call){0}, f);
}

static int list_accounts(struct request *req, struct fault *f)
{
	return list_items(req, DEMO_ACCOUNTS, NULL, f);
}

static int list_locations(struct request *req, struct fault *f)
{
	return list_items(req, DEMO_LOCATIONS, read_google_id(req, "google_account_id"), f);
}

static int list_reviews(struct request *req, struct fault *f)
{
	return list_items(req, DEMO_REVIEWS, read_google_id(req, "location_id"), f);
}

static int stream_items(
	struct request *req, enum demo_kind kind, const char *event, struct fault *f)
{
	const struct demo_wish wish = {
		.kind = kind,
		.limit = request_query_int(req, "max_items", 1, ITEMS_MOST, ITEMS),
		.seed = read_job_id(req),
		.wait_ms = 1000 * request_query_int(req, "max_wait_sec", WAIT_SEC_LEAST,
					  WAIT_SEC_MOST, WAIT_SEC),
	};

	return ask(req, &wish, &(struct demo_call){.event = event}, f);
}

static int stream_accounts(struct request *req, struct fault *f)
{
	return stream_items(req, DEMO_ACCOUNTS, "account", f);
}

static int stream_locations(struct request *req, struct fault *f)
{
	return stream_items(req, DEMO_LOCATIONS, "location", f);
}

static int stream_reviews(struct request *req, struct fault *f)
{
	return stream_items(req, DEMO_REVIEWS, "review", f);
}

static char *new_id(void)
{
	char id[RAND_UUID_SIZE];

	rand_uuid4(id);
	return mem_text(id);
}

static int stream_nested(struct request *req, struct fault *f)
{
	const char *job_id = read_job_id(req);
	char *id = job_id ? mem_text(job_id) : new_id();
	const struct demo_wish wish = {
		.kind = DEMO_PLACES,
		.limit = request_query_int(req, "max_locations", 1, DEMO_MOST, NESTED),
		.reviews = request_query_int(req, "max_reviews_per_location", 1, DEMO_MOST, NESTED),
		.seed = id,
		.wait_ms = 1000 * request_query_int(req, "max_wait_sec", WAIT_SEC_LEAST,
					  WAIT_SEC_MOST, WAIT_SEC),
	};
	const struct demo_call how = {
		.job_id = id,
		.emit_ms = request_query_int(req, "emit_interval_ms", 50, 2000, 250),
		.wait_ms = wish.wait_ms,
		.is_stream = true,
	};

	if (request_query(req, "access_token"))
		request_error(req, "query", "access_token",
			"is a secret, and addresses end up in logs and histories: leave it out, "
			"give job_id to see the same again, or send the token in the body of "
			"POST /api/v1/demo/nested");
	return ask(req, &wish, &how, f);
}

static int show_nested(struct request *req, struct fault *f)
{
	AUTO(json_drop) json_t *body = NULL;
	AUTO(secret_drop) struct secret token = {0};

	if (request_json(req, &body, f) < 0)
		return -1;
	const struct demo_wish bounds = {
		.kind = DEMO_PLACES,
		.limit = request_field_int(req, body, "max_locations", 1, DEMO_MOST, false, NESTED),
		.reviews = request_field_int(
			req, body, "max_reviews_per_location", 1, DEMO_MOST, false, NESTED),
		.wait_ms = 1000 * request_field_int(req, body, "max_wait_sec", WAIT_SEC_LEAST,
					  WAIT_SEC_MOST, false, 30),
	};
	if (body_token(req, body, &token, f) < 0)
		return -1;
	struct demo_wish wish = bounds;
	wish.seed = token.bytes;
	return ask(req, &wish, &(struct demo_call){.job_id = new_id()}, f);
}

const struct route demo_routes[] = {
	{"GET", "/api/v1/demo/accounts", KEY_REVIEWS_READ, ROUTE_WORKER, list_accounts, NULL,
		"Accounts of the simulator"},
	{"GET", "/api/v1/demo/locations", KEY_REVIEWS_READ, ROUTE_WORKER, list_locations, NULL,
		"Locations of the simulator"},
	{"GET", "/api/v1/demo/reviews", KEY_REVIEWS_READ, ROUTE_WORKER, list_reviews, NULL,
		"Reviews of the simulator"},
	{"POST", "/api/v1/demo/nested", KEY_REVIEWS_READ, ROUTE_WORKER, show_nested, NULL,
		"An account of the simulator with its locations and their reviews"},
	{"GET", "/api/v1/demo/stream/accounts", KEY_REVIEWS_READ, ROUTE_WORKER, stream_accounts,
		NULL, "Accounts of the simulator as an event stream"},
	{"GET", "/api/v1/demo/stream/locations", KEY_REVIEWS_READ, ROUTE_WORKER, stream_locations,
		NULL, "Locations of the simulator as an event stream"},
	{"GET", "/api/v1/demo/stream/reviews", KEY_REVIEWS_READ, ROUTE_WORKER, stream_reviews, NULL,
		"Reviews of the simulator as an event stream"},
	{"GET", "/api/v1/demo/stream/nested", KEY_REVIEWS_READ, ROUTE_WORKER, stream_nested, NULL,
		"An account of the simulator as it grows: an event stream"},
	{0},
};
