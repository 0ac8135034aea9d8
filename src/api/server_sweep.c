/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time limits of connections. The library's own timeout starts again with each byte, so a peer
 * that sends one byte a second would hold a connection for ever; here the limit is on the whole
 * request. Connections say in one atomic what they do and since when; a sweep each second reads it.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "api/server.h"
#include "base/clock.h"

#define SWEEP_MS 1000
#define LOOK_MS (3 * SWEEP_MS)

static struct metric too_slow = METRIC_COUNTER("review_fetcher_http_connections_timed_out_total",
	"Connections closed because no whole request came in time, by what they were doing.",
	"phase=\"request\"");
static struct metric too_idle = METRIC_COUNTER("review_fetcher_http_connections_timed_out_total",
	"Connections closed because no whole request came in time, by what they were doing.",
	"phase=\"idle\"");

void conn_enter(struct conn *c, enum conn_phase phase)
{
	const int64_t tick = atomic_load_explicit(&c->api->tick_ms, memory_order_relaxed);
	const int64_t both = tick * PHASES + (int64_t)phase;

	/* api_stop sets is_closed and then looks for WORKING; server_run does it the other way
	 * round. */
	if (phase == PHASE_WORKING)
		atomic_store(&c->phase, both);
	else
		atomic_store_explicit(&c->phase, both, memory_order_release);
}

enum conn_phase conn_phase(const struct conn *c)
{
	return (enum conn_phase)(atomic_load(&c->phase) % PHASES);
}

/*
 * Nothing was answered yet in this phase, so our bytes are the first of the answer. Under TLS they
 * would not be a record: the connection just ends.
 */
static void say_too_slow(const struct conn *c)
{
	static const char problem[] =
		"{\"type\":\"about:blank\",\"title\":\"Request Timeout\",\"status\":408,"
		"\"detail\":\"The request did not arrive whole within 30 seconds: send it in one "
		"go.\"}";
	char answer[512];

	if (c->api->tls_cert.len > 0)
		return;
	const int len = snprintf(answer, sizeof(answer),
		"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\n"
		"Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
		sizeof(problem) - 1, problem);
	(void)send(c->fd, answer, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/*
 * An end of the stream that came together with the last bytes of a request, or while the connection
 * was suspended between two pieces of an upload, raises no event of its own (the library listens
 * for edges), so it is looked for during a phase's first seconds. Seen by two sweeps in the same
 * phase, it is no request whose last bytes are just being read.
 */
static bool has_ended(struct conn *c, int64_t both)
{
	char byte;

	if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
		return false;
	if (c->ended_in == both)
		return true;
	c->ended_in = both;
	return false;
}

static void sweep_one(struct conn *c, int64_t now_ms)
{
	const int64_t both = atomic_load_explicit(&c->phase, memory_order_relaxed);
	const int64_t age_ms = now_ms - both / PHASES;

	switch ((enum conn_phase)(both % PHASES)) {
	case PHASE_FRESH:
	case PHASE_READING:
		if (age_ms <= LIMIT_REQUEST_MS) {
			if (age_ms > LOOK_MS || !has_ended(c, both))
				return;
			break;
		}
		say_too_slow(c);
		metric_add(&too_slow, 1);
		break;
	case PHASE_IDLE:
		if (age_ms <= LIMIT_IDLE_MS && (age_ms > LOOK_MS || !has_ended(c, both)))
			return;
		if (age_ms > LIMIT_IDLE_MS)
			metric_add(&too_idle, 1);
		break;
	case PHASE_WORKING:
	case PHASE_SENDING: /* the kernel watches: TCP_USER_TIMEOUT */
		return;
	}
	/* The library sees the end of the stream and closes; the lock keeps the descriptor ours
	 * till then. */
	(void)shutdown(c->fd, SHUT_RDWR);
	conn_enter(c, PHASE_SENDING);
}

static void sweep(struct timer *timer)
{
	struct api *api = CONTAINER_OF(timer, struct api, sweep);
	const int64_t now_ms = clock_mono_ms();

	atomic_store_explicit(&api->tick_ms, now_ms, memory_order_relaxed);
	pthread_mutex_lock(&api->lock);
	for (struct conn *c = api->conns; c; c = c->next)
		sweep_one(c, now_ms);
	pthread_mutex_unlock(&api->lock);
	if (!atomic_load(&api->is_closed))
		scheduler_arm(api->parts.scheduler, timer, now_ms + SWEEP_MS);
}

void server_sweep_start(struct api *api)
{
	metric_register(&too_slow);
	metric_register(&too_idle);
	atomic_store(&api->tick_ms, clock_mono_ms());
	api->sweep.fire = sweep;
	scheduler_arm(api->parts.scheduler, &api->sweep, clock_mono_ms() + SWEEP_MS);
}

void server_sweep_stop(struct api *api)
{
	scheduler_disarm(api->parts.scheduler, &api->sweep);
}
