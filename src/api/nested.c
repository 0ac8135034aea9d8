/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /api/v1/stream/nested: the original's event stream. `job` (with a session), then whole
 * `nested` snapshots, then `done` when the job ends or the time is up.
 *
 * A snapshot says again what the one before said. One for each page would send the square of a job;
 * so the next is sent when the job has grown by an eighth, which sends nine times the last one at
 * most, and where nothing was sent for a while.
 */
#include <string.h>

#include "api/caller.h"
#include "api/route.h"
#include "api/scope.h"
#include "base/clock.h"
#include "base/mem.h"

/* Making a snapshot may take at most one part in five of the time, however large the job is. */
#define REST_FACTOR 4
#define GROWTH_PART 8
#define SILENCE_MS 10000 /* then a smaller step is shown too */

struct nested {
	struct stream stream;
	struct review_fetcher *reviews;
	struct caller caller;
	char job_id[37];
	struct nested_bounds bounds;
	int64_t emit_ms, ends_ms, rests_until_ms, told_ms, event_id;
	struct nested_seen seen;
	bool tell_job;
};

static void open_event(struct nested *n, struct buf *out, const char *name)
{
	buf_addf(out, "id: %lld\nevent: %s\ndata: ", (long long)++n->event_id, name);
}

static void write_job(struct nested *n, struct buf *out)
{
	struct json_out o = JSON_OUT(out);

	open_event(n, out, "job");
	json_open(&o, '{');
	json_add_text(&o, "job_id", n->job_id);
	json_close(&o, '}');
	buf_add_text(out, "\n\n");
	n->tell_job = false;
}

/* How many pages the job must have stored for the next snapshot, if it has not ended. */
static int64_t least_pages(const struct nested *n, int64_t now_ms)
{
	if (now_ms < n->ends_ms && now_ms < n->rests_until_ms)
		return INT64_MAX;
	if (now_ms >= n->ends_ms || now_ms - n->told_ms >= SILENCE_MS)
		return n->seen.pages + 1;
	return n->seen.pages + 1 + n->seen.pages / GROWTH_PART;
}

/* Appends the snapshot when it is time for one. */
static int write_nested(struct nested *n, struct buf *out, struct fault *f)
{
	AUTO(buf_drop) struct buf data = BUF_INIT(LIMIT_RESPONSE_BYTES);
	const int64_t started_ms = clock_mono_ms();

	if (nested_write(n->reviews, n->job_id, &n->bounds, least_pages(n, started_ms), &data,
		    &n->seen, f) < 0)
		return -1;
	if (data.len == 0)
		return 0;
	n->told_ms = clock_mono_ms();
	n->rests_until_ms = n->told_ms + (n->told_ms - started_ms) * REST_FACTOR;
	open_event(n, out, "nested");
	buf_add(out, data.data, data.len);
	buf_add_text(out, "\n\n");
	return 0;
}

static int fill(struct stream *s, struct buf *out, int64_t *ret_wait_ms, struct fault *f)
{
	struct nested *n = CONTAINER_OF(s, struct nested, stream);
	const char *gone = caller_gone(&n->caller);
	int64_t left_ms;

	if (gone)
		return caller_say_closed(out, gone);
	if (n->tell_job)
		write_job(n, out);
	left_ms = n->ends_ms - clock_mono_ms();
	if (write_nested(n, out, f) < 0)
		return -1;
	if (n->seen.has_ended || left_ms <= 0) {
		open_event(n, out, "done");
		buf_add_text(out, "{}\n\n");
		return STREAM_END;
	}
	*ret_wait_ms = n->emit_ms < left_ms ? n->emit_ms : left_ms;
	return STREAM_WAIT;
}

static void close_stream(struct stream *s)
{
	mem_free(CONTAINER_OF(s, struct nested, stream));
}

/* Whose stream it is: a job that is there, or one that the session starts. */
static int find_job(struct request *req, struct nested *n, struct fault *f)
{
	const char *job_id = request_query(req, "job_id");
	const char *session_id = request_query(req, "session_id");

	if ((job_id == NULL) == (session_id == NULL)) {
		req->answer.status = 400;
		return fault_raise(f, FAULT_INPUT, "Provide exactly one of job_id or session_id");
	}
	if (job_id && !*job_id)
		request_error(req, "query", "job_id", "is empty: give the id of a job");
	if (session_id && !*session_id)
		request_error(req, "query", "session_id", "is empty: give the id of a session");
	if (request_check(req, f) < 0)
		return -1;
	if (session_id) {
		n->tell_job = true;
		if (sessions_start_job(n->reviews, session_id, n->job_id, f) < 0)
			return -1;
		return job_check(req, n->job_id, f); /* another key's session */
	}
	if (job_check(req, job_id, f) < 0)
		return -1;
	/* It is there, so it is one of our ids, which fit. */
	memcpy(n->job_id, job_id, strnlen(job_id, sizeof(n->job_id) - 1));
	return 0;
}

static int stream_nested(struct request *req, struct fault *f)
{
	const int sample = request_query_either(req, "sample");
	struct nested *n = mem_alloc(sizeof(*n));

	n->stream = (struct stream){.fill = fill, .close = close_stream, .is_sse = true};
	n->reviews = request_reviews(req);
	caller_init(&n->caller, req);
	n->seen.pages = -1;
	n->told_ms = clock_mono_ms();
	n->ends_ms = n->told_ms + 1000 * request_query_int(req, "max_wait_sec", 5, 600, 60);
	n->bounds = (struct nested_bounds){
		.max_accounts = request_query_int(req, "max_accounts", 1, 500, 50),
		.max_locations_total =
			request_query_int(req, "max_locations_total", 1, 10000, 2000),
		.max_reviews_per_location =
			request_query_int(req, "max_reviews_per_location", 1, 5000, 200),
	};
	n->bounds.is_sample = sample >= 0 ? sample : request_settings(req)->mock_google_api;
	n->emit_ms = request_query_int(req, "emit_interval_ms", 50, 2000, 250);
	if (find_job(req, n, f) < 0) {
		mem_free(n);
		return -1;
	}
	req->answer.content_type = "text/event-stream; charset=utf-8";
	answer_header(req, "X-Accel-Buffering", "no");
	req->answer.stream = &n->stream;
	return 0;
}

const struct route nested_routes[] = {
	{"GET", "/api/v1/stream/nested", KEY_REVIEWS_READ, ROUTE_WORKER, stream_nested, NULL,
		"Accounts, locations and reviews of a job as it goes: an event stream"},
	{0},
};
