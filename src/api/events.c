/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /api/v1/events: every change as it is stored, as an event stream or, for who accepts only
 * JSON, as a list. The id of an event is its position in the outbox, so Last-Event-ID resumes where
 * a connection broke, in whichever process.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/caller.h"
#include "api/route.h"
#include "api/scope.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "events/events_feed.h"

#define KINDS_MAX 16
#define KIND_BYTES_MAX 64
#define BRANCHES_MAX REQUEST_QUERY_MAX
#define RECONNECT_MS 3000
#define PROGRESS_MS 1000
#define LOOK_MS 15000 /* how soon a stream ends that hears nothing and whose caller is gone */
#define SCRATCH_KEEP_BYTES (64 * 1024)

/* What is wanted, with texts of its own: a stream outlives its request's memory. */
struct wish {
	char *kinds[KINDS_MAX];
	struct seen_branches branches;
	struct event_filter filter;
	size_t n_kinds;
	int64_t after; /* -1: not given */
	bool progress; /* of jobs that run, too */
};

struct listening {
	struct stream stream;
	struct event_feed *feed;
	struct caller caller;
	bool is_open;
	struct wish wish;
	struct event_listener listener;
	struct buf scratch;
	struct review_fetcher *reviews;
	int64_t progress_ms; /* when the jobs are looked at next, monotonic */
	int64_t told;        /* the id that the client knows */
	int64_t asked;       /* its Last-Event-ID, when that is none of ours; else 0 */
};

/* ---- what is wanted ---- */

static void wish_done(struct wish *w)
{
	for (size_t i = 0; i < w->n_kinds; i++)
		mem_free(w->kinds[i]);
	w->n_kinds = 0;
	seen_branches_done(&w->branches);
}

/* "review", "review." and "review.*" are all reviews; "review.new" is itself. */
static void add_kind(struct request *req, struct wish *w, const char *text, size_t len)
{
	static const char *const families[] = {"review", "connection", "job"};
	char kind[KIND_BYTES_MAX + 2], shown[TEXT_EXCERPT_SIZE];
	bool known = false;
	size_t head;

	snprintf(
		kind, sizeof(kind), "%.*s", len < KIND_BYTES_MAX ? (int)len : KIND_BYTES_MAX, text);
	head = strcspn(kind, ".");
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		known |= strlen(families[i]) == head && memcmp(kind, families[i], head) == 0;
	if (!known || w->n_kinds == KINDS_MAX) {
		request_error(req, "query", "kind",
			"has '%s': give up to %d of review, connection, job, or single kinds like "
			"review.new, with commas between",
			text_excerpt(kind, shown), KINDS_MAX);
		return;
	}
	if (kind[head] == '\0' || text_equal(kind + head, ".*"))
		memcpy(kind + head, ".", 2);
	w->kinds[w->n_kinds++] = mem_text(kind);
}

static void read_kinds(struct request *req, struct wish *w)
{
	const char *text = request_query(req, "kind");

	for (text = text ? text : ""; *text; text += strspn(text, ", ")) {
		const size_t len = strcspn(text, ", ");

		if (len > 0)
			add_kind(req, w, text, len);
		text += len;
	}
}

/* Those of ?branch_id= (it may be given several times), or all that a bound key has. */
static int read_branches(struct request *req, struct wish *w, struct fault *f)
{
	struct seen_branches *b = &w->branches;

	for (size_t i = 0; i < req->n_query; i++) {
		const char *one = req->query[i].value;

		if (!text_equal(req->query[i].name, "branch_id") || *one == '\0')
			continue;
		if (request_sees(req, one, "No client is registered for this branch", f) < 0)
			return -1;
		if (b->names == NULL)
			b->names = mem_alloc_array(BRANCHES_MAX, sizeof(*b->names));
		b->names[b->n++] = mem_text(one);
	}
	if (b->names == NULL)
		seen_branches_init(req, b);
	return 0;
}

static int64_t read_position(struct request *req, const char *where, const char *name,
	const char *text, int64_t fallback)
{
	int64_t position;

	if (text == NULL || *text == '\0')
		return fallback;
	if (text_parse_int(text, &position) == 0 && position >= 0)
		return position;
	request_error(req, where, name,
		"is not an id of this stream: send the last id that it gave, or none");
	return fallback;
}

static int read_wish(struct request *req, struct wish *ret, struct fault *f)
{
	*ret = (struct wish){0};
	read_kinds(req, ret);
	ret->after = read_position(req, "query", "after", request_query(req, "after"), -1);
	ret->after = read_position(
		req, "header", "Last-Event-ID", request_header(req, "Last-Event-ID"), ret->after);
	ret->progress = request_query_either(req, "progress") == 1;
	if (request_check(req, f) < 0 || read_branches(req, ret, f) < 0)
		return -1;
	ret->filter = (struct event_filter){
		.branches = (const char *const *)ret->branches.names,
		.n_branches = ret->branches.n,
		.n_kinds = ret->n_kinds,
	};
	return 0;
}

/* Inside the wish as it lies now: it must not move any more. */
static void settle(struct wish *w)
{
	w->filter.kinds = w->n_kinds > 0 ? (const char *const *)w->kinds : NULL;
}

/* ---- the stream ---- */

static void write_id(struct buf *out, int64_t id)
{
	buf_addf(out, "id: %" PRId64 "\n", id);
}

/* A job that is told of may run now. */
static void write_event(void *arg, int64_t position, const char *kind, const char *json, size_t len)
{
	struct listening *l = arg;

	if (strncmp(kind, "job.", 4) == 0)
		l->progress_ms = 0;
	write_id(&l->scratch, position);
	buf_addf(&l->scratch, "event: %s\ndata: ", kind);
	buf_add(&l->scratch, json, len);
	buf_add_text(&l->scratch, "\n\n");
}

/* Said before the events that it still gets. */
static void write_lagged(struct buf *out, int64_t after, const char *detail)
{
	struct json_out o = JSON_OUT(out);

	buf_add_text(out, "event: lagged\ndata: ");
	json_open(&o, '{');
	json_add_int(&o, "after", after);
	json_add_text(&o, "detail", detail);
	json_close(&o, '}');
	buf_add_text(out, "\n\n");
}

static void write_beginning(struct listening *l, struct buf *out)
{
	l->is_open = true;
	if (l->asked > 0)
		write_lagged(out, l->asked,
			"This Last-Event-ID was not given by this database. The stream goes on "
			"with what happens from now on; read what you need again.");
	buf_addf(out, "retry: %d\n", RECONNECT_MS);
	write_id(out, l->listener.position);
	buf_add_text(out, "\n");
	l->told = l->listener.position;
}

/* ---- how far jobs are: said without an id, since it is no change that can be read again ---- */

static void write_progress(void *arg, const char *json, size_t len)
{
	struct buf *out = arg;

	buf_add_text(out, "event: progress\ndata: ");
	buf_add(out, json, len);
	buf_add_text(out, "\n\n");
}

/* Looking takes one part in ten of the time at most, however large the jobs are. */
static int tell_progress(struct listening *l, struct buf *out, int64_t *wait_ms, struct fault *f)
{
	const struct review_scope scope = seen_branches_scope(&l->wish.branches);
	const int64_t now_ms = clock_mono_ms();
	int64_t took_ms;
	int n;

	if (now_ms >= l->progress_ms) {
		n = jobs_progress(l->reviews, &scope, write_progress, out, f);
		if (n < 0)
			return -1;
		took_ms = clock_mono_ms() - now_ms;
		l->progress_ms = now_ms + (n == 0                             ? LOOK_MS
						  : took_ms > PROGRESS_MS / 9 ? took_ms * 10
									      : PROGRESS_MS);
	}
	if (*wait_ms > l->progress_ms - now_ms)
		*wait_ms = l->progress_ms - now_ms;
	return 0;
}

static int fill(struct stream *s, struct buf *out, int64_t *ret_wait_ms, struct fault *f)
{
	struct listening *l = CONTAINER_OF(s, struct listening, stream);
	const int64_t after = l->listener.position;
	const char *gone = caller_gone(&l->caller);
	bool is_lagged;
	int outcome;

	if (gone)
		return caller_say_closed(out, gone);
	if (!l->is_open)
		write_beginning(l, out);
	l->listener.timer = s->timer;
	buf_reset(&l->scratch);
	outcome = event_feed_pull(l->feed, &l->listener, write_event, l, &is_lagged, f);
	if (outcome < 0)
		return -1;
	if (is_lagged)
		write_lagged(out, after,
			"Events behind this id are older than they are kept and gone. The stream "
			"goes on with the oldest that is left; read what you need again.");
	buf_add(out, l->scratch.data, l->scratch.len);
	if (l->scratch.len > 0) {
		l->told = l->listener.position;
	} else if (l->told != l->listener.position && outcome == FEED_IDLE) {
		/* What did not concern it: so that it asks for no more than it must, later. */
		l->told = l->listener.position;
		write_id(out, l->told);
		buf_add_text(out, "\n");
	}
	if (l->scratch.cap > SCRATCH_KEEP_BYTES)
		buf_drop(&l->scratch);
	*ret_wait_ms = LOOK_MS;
	if (l->wish.progress && tell_progress(l, out, ret_wait_ms, f) < 0)
		return -1;
	return outcome == FEED_IDLE ? STREAM_WAIT : STREAM_MORE;
}

static void close_stream(struct stream *s)
{
	struct listening *l = CONTAINER_OF(s, struct listening, stream);

	event_feed_leave(l->feed, &l->listener);
	wish_done(&l->wish);
	buf_drop(&l->scratch);
	mem_free(l);
}

static int stream_events(struct request *req, struct wish *moved, int64_t end)
{
	struct listening *l = mem_alloc(sizeof(*l));

	l->stream = (struct stream){.fill = fill, .close = close_stream, .is_sse = true};
	l->feed = request_events(req);
	caller_init(&l->caller, req);
	l->reviews = request_reviews(req);
	l->scratch = BUF_INIT(LIMIT_RESPONSE_BYTES);
	l->wish = *moved;
	*moved = (struct wish){0};
	settle(&l->wish);
	l->asked = l->wish.after > end ? l->wish.after : 0;
	l->listener.filter = l->wish.filter;
	l->listener.news = &l->stream.news;
	l->listener.position = l->wish.after < 0 || l->asked > 0 ? end : l->wish.after;
	req->answer.content_type = "text/event-stream; charset=utf-8";
	answer_header(req, "X-Accel-Buffering", "no");
	req->answer.stream = &l->stream;
	return 0;
}

/* ---- the list ---- */

static void write_item(void *arg, int64_t position, const char *kind, const char *json, size_t len)
{
	(void)position, (void)kind;
	json_put_raw(arg, json, len);
}

static int list_events(struct request *req, struct wish *w, struct fault *f)
{
	struct events_range range;
	const char *cursor;
	int64_t limit;

	request_page(req, &limit, &cursor);
	range = (struct events_range){.after = w->after > 0 ? w->after : 0};
	if (cursor != NULL)
		range.after = list_cursor_read(req, cursor);
	if (request_check(req, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	json_key(&out, "events");
	json_open(&out, '[');
	if (event_feed_list(request_events(req), &w->filter, limit, &range, write_item, &out, f) <
		0)
		return -1;
	json_close(&out, ']');
	json_add_bool(&out, "lagged", range.is_lagged && (cursor != NULL || w->after >= 0));
	json_add_int(&out, "after", range.after);
	list_cursor_write(&out, range.after < range.end ? range.after : 0);
	json_close(&out, '}');
	return 0;
}

static bool wants_list(const struct request *req)
{
	const char *accept = request_header(req, "Accept");

	return accept && strstr(accept, "application/json") && !strstr(accept, "text/event-stream");
}

static int get_events(struct request *req, struct fault *f)
{
	AUTO(wish_done) struct wish w = {0};
	int64_t end;

	if (request_events(req) == NULL)
		return fault_raise(f, FAULT_STORE, "This process has no event feed");
	if (read_wish(req, &w, f) < 0)
		return -1;
	settle(&w);
	if (wants_list(req))
		return list_events(req, &w, f);
	if (event_feed_end(request_events(req), &end, f) < 0)
		return -1;
	return stream_events(req, &w, end);
}

const struct route event_routes[] = {
	{"GET", "/api/v1/events", KEY_REVIEWS_READ, ROUTE_WORKER, get_events, NULL,
		"Every change as it is stored: an event stream, or a list for Accept: "
		"application/json"},
	{0},
};
