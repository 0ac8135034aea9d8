/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that are made while they are sent. The library pulls: when a piece is sent, the
 * connection is suspended and a worker fills the next one, so one piece is all that a slow reader
 * costs.
 *
 * A run is at each moment in one hand: SENDING – the HTTP thread's; FILLING – a worker's; WAITING –
 * the timer's. The timer may fire late or twice (the drain moves it to now, and so do news), so
 * what it does is decided by a compare-and-exchange from WAITING to FILLING.
 */
#include <microhttpd.h>
#include <string.h>

#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define BLOCK_BYTES (32 * 1024)
#define PIECE_KEEP_BYTES (256 * 1024) /* more is given back between pieces */
#define HEARTBEAT_MS 15000
#define HEARTBEAT ": keep-alive\n\n"

enum run_state { RUN_SENDING, RUN_FILLING, RUN_WAITING };

struct stream_run {
	struct stream_run *next, *prev; /* api->streams, under api->lock */
	struct api *api;
	struct conn *conn; /* while the answer is under way */
	struct stream *source;
	struct buf piece;
	size_t sent;
	int64_t fill_at_ms;      /* monotonic; 0: at once */
	int64_t heartbeat_at_ms; /* of an event stream */
	bool is_ended, is_broken;
	_Atomic int state;
	struct timer timer;
	struct task task;
};

static struct metric open_streams =
	METRIC_GAUGE("review_fetcher_http_streams_open", "Answers that are being streamed.", "");
METRICS_FROM_START(&open_streams)

static bool is_draining(const struct stream_run *run)
{
	return atomic_load(&run->api->is_draining);
}

/* The piece, or the end, is there: back to the HTTP thread. */
static void give_back(struct stream_run *run)
{
	struct conn *c = run->conn;

	atomic_store(&run->state, RUN_SENDING);
	server_resume(c->api, c->mhd);
}

/* Under the lock, so that neither the drain nor the end of the run comes between state and timer.
 */
static void wait_until_due(struct stream_run *run)
{
	struct api *api = run->api;
	int64_t due_ms = run->fill_at_ms;

	if (run->source->is_sse && run->heartbeat_at_ms < due_ms)
		due_ms = run->heartbeat_at_ms;
	pthread_mutex_lock(&api->lock);
	if (is_draining(run))
		due_ms = 0;
	atomic_store(&run->state, RUN_WAITING);
	scheduler_arm(api->parts.scheduler, &run->timer, due_ms);
	/* News that came before this found nobody waiting, and its arming may be undone just now.
	 */
	if (atomic_load(&run->source->news))
		scheduler_arm(api->parts.scheduler, &run->timer, 0);
	pthread_mutex_unlock(&api->lock);
}

static void fill(struct stream_run *run)
{
	struct fault f = {0};
	int64_t wait_ms = 0;
	const int step = run->source->fill(run->source, &run->piece, &wait_ms, &f);

	if (step < 0 || buf_failed(&run->piece)) {
		run->is_broken = true;
		log_event(LOG_WARN, "http.stream_broken", F_STR("request_id", run->conn->req.id),
			F_BOOL("too_large", buf_failed(&run->piece)), F_STR("cause", f.text));
	}
	run->is_ended = step == STREAM_END;
	run->fill_at_ms = step == STREAM_WAIT ? clock_mono_ms() + wait_ms : 0;
}

static void run_piece(struct task *task)
{
	struct stream_run *run = CONTAINER_OF(task, struct stream_run, task);
	const int64_t now_ms = clock_mono_ms();

	if (atomic_exchange(&run->source->news, false))
		run->fill_at_ms = 0;
	if (is_draining(run))
		run->is_ended = true;
	else if (run->fill_at_ms <= now_ms)
		fill(run);
	if (run->piece.len == 0 && run->source->is_sse && run->heartbeat_at_ms <= now_ms &&
		!run->is_ended && !run->is_broken)
		buf_add_text(&run->piece, HEARTBEAT);
	if (run->piece.len > 0 || run->is_ended || run->is_broken) {
		run->heartbeat_at_ms = now_ms + HEARTBEAT_MS;
		give_back(run);
	} else if (run->fill_at_ms == 0) {
		pool_submit(run->api->parts.pool, &run->task); /* STREAM_MORE with nothing in it */
	} else {
		wait_until_due(run);
	}
}

static void on_timer(struct timer *timer)
{
	struct stream_run *run = CONTAINER_OF(timer, struct stream_run, timer);
	int expected = RUN_WAITING;

	if (atomic_compare_exchange_strong(&run->state, &expected, RUN_FILLING))
		pool_submit(run->api->parts.pool, &run->task);
}

/* False: the service is ending, and so is the stream. */
static bool ask_for_piece(struct stream_run *run)
{
	struct conn *c = run->conn;

	if (run->piece.cap > PIECE_KEEP_BYTES)
		buf_drop(&run->piece);
	buf_reset(&run->piece);
	run->sent = 0;
	/* In this order: api_stop begins to drain, and then waits for off_thread to be nought. */
	atomic_fetch_add(&c->api->off_thread, 1);
	if (is_draining(run)) {
		atomic_fetch_sub(&c->api->off_thread, 1);
		return false;
	}
	MHD_suspend_connection(c->mhd);
	if (run->fill_at_ms > clock_mono_ms()) {
		wait_until_due(run);
	} else {
		atomic_store(&run->state, RUN_FILLING);
		pool_submit(c->api->parts.pool, &run->task);
	}
	return true;
}

static ssize_t on_read(void *cls, uint64_t pos, char *ret, size_t max)
{
	struct stream_run *run = cls;
	size_t n = run->piece.len - run->sent;

	(void)pos;
	if (n > 0) {
		n = n < max ? n : max;
		memcpy(ret, run->piece.data + run->sent, n);
		run->sent += n;
		return (ssize_t)n;
	}
	if (run->is_broken)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (run->is_ended || !ask_for_piece(run))
		return MHD_CONTENT_READER_END_OF_STREAM;
	return 0;
}

static void on_free(void *cls)
{
	struct stream_run *run = cls;
	struct api *api = run->api;

	pthread_mutex_lock(&api->lock);
	if (run->prev)
		run->prev->next = run->next;
	else
		api->streams = run->next;
	if (run->next)
		run->next->prev = run->prev;
	pthread_mutex_unlock(&api->lock);
	/* From then on nobody arms the timer for news. It may still be armed by the drain, or be
	 * firing in vain, since nothing waits now. */
	run->source->close(run->source);
	scheduler_disarm(api->parts.scheduler, &run->timer);
	buf_drop(&run->piece);
	metric_add(&open_streams, -1);
	mem_free(run);
}

struct MHD_Response *server_stream_open(struct conn *c)
{
	struct api *api = c->api;
	struct stream_run *run = mem_alloc(sizeof(*run));

	run->api = api;
	run->conn = c;
	run->source = TAKE(c->req.answer.stream);
	run->piece = BUF_INIT(LIMIT_RESPONSE_BYTES);
	run->heartbeat_at_ms = clock_mono_ms() + HEARTBEAT_MS;
	run->timer.fire = on_timer;
	run->task.run = run_piece;
	run->source->timer = &run->timer;
	metric_add(&open_streams, 1);
	pthread_mutex_lock(&api->lock);
	run->next = api->streams;
	if (run->next)
		run->next->prev = run;
	api->streams = run;
	pthread_mutex_unlock(&api->lock);

	struct MHD_Response *r = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_read, run, on_free);
	if (r == NULL)
		on_free(run);
	return r;
}

void server_streams_end(struct api *api)
{
	const int64_t now_ms = clock_mono_ms();

	pthread_mutex_lock(&api->lock);
	for (struct stream_run *run = api->streams; run; run = run->next)
		scheduler_arm(api->parts.scheduler, &run->timer, now_ms);
	pthread_mutex_unlock(&api->lock);
}
