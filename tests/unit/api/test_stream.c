/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are made while they are sent. */
#include "../test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/route.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http.h"

static struct site site;
static struct reply reply;
static _Atomic int64_t now_ms;
static _Atomic int fills, closes;

static int64_t read_now(void *arg)
{
	(void)arg;
	return now_ms;
}

static void let_others_run(void *arg, int64_t ms)
{
	(void)arg;
	(void)ms;
	sched_yield();
}

static const struct clock_source source = {
	.wall_ms = read_now, .mono_ms = read_now, .sleep_ms = let_others_run};

/* ---- a source of pieces ---- */

struct counter {
	struct stream stream;
	int left, piece_bytes;
	enum stream_step then;
};

static int fill(struct stream *s, struct buf *out, int64_t *ret_wait_ms, struct fault *f)
{
	struct counter *c = CONTAINER_OF(s, struct counter, stream);

	fills++;
	if (c->left == 0 && c->then == STREAM_MORE)
		return fault_raise(f, FAULT_STORE, "the source broke");
	if (c->left == 0)
		return STREAM_END;
	if (c->then == STREAM_WAIT && c->left < 0) { /* never has anything */
		*ret_wait_ms = 3600000;
		return STREAM_WAIT;
	}
	c->left--;
	for (int i = 0; i < c->piece_bytes; i++)
		buf_add_char(out, (char)('a' + c->left % 26));
	if (c->then == STREAM_WAIT) {
		*ret_wait_ms = 1000;
		return STREAM_WAIT;
	}
	return STREAM_MORE;
}

static void close_counter(struct stream *s)
{
	closes++;
	mem_free(CONTAINER_OF(s, struct counter, stream));
}

static int start(struct request *req, struct fault *f)
{
	struct counter *c = mem_alloc(sizeof(*c));
	const char *kind = request_param(req, "kind");

	(void)f;
	c->stream = (struct stream){.fill = fill, .close = close_counter};
	c->left = 100;
	c->piece_bytes = 10000;
	c->then = STREAM_END;
	if (strcmp(kind, "broken") == 0) {
		c->left = 3;
		c->then = STREAM_MORE;
	} else if (strcmp(kind, "slow") == 0) {
		c->left = 3;
		c->piece_bytes = 1;
		c->then = STREAM_WAIT;
	} else if (strcmp(kind, "endless") == 0) {
		c->left = 1000;
		c->piece_bytes = 100000;
	} else if (strcmp(kind, "silent") == 0) {
		c->stream.is_sse = true;
		c->left = -1;
		c->then = STREAM_WAIT;
	}
	req->answer.content_type = "text/plain";
	req->answer.stream = &c->stream;
	return 0;
}

static const struct route stream_routes[] = {
	{"GET", "/stream/{kind}", 0, ROUTE_WORKER, start, NULL, "A stream"},
	{0},
};

/* ---- tests ---- */

static int begin(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	now_ms = 1000000;
	fills = closes = 0;
	clock_use(&source);
	site_init(&site);
	site.scheduler = scheduler_new_manual();
	site_start(&site);
	return 0;
}

static void *drain(void *arg)
{
	api_drain(site.api, 60000);
	atomic_store((_Atomic bool *)arg, true);
	return NULL;
}

/* Streams end by their timers, which are this thread's to fire. */
static void drain_all(void)
{
	_Atomic bool is_done = false;
	pthread_t drainer;

	assert_int_equal(pthread_create(&drainer, NULL, drain, &is_done), 0);
	while (!is_done) {
		(void)scheduler_run_due(site.scheduler);
		sched_yield();
	}
	assert_int_equal(pthread_join(drainer, NULL), 0);
}

static int end(void **state)
{
	(void)state;
	reply_done(&reply);
	drain_all();
	api_stop(site.api);
	pool_stop(site.pool);
	scheduler_stop(site.scheduler);
	clock_use(NULL);
	return 0;
}

static int open_stream(const char *kind)
{
	char out[128];
	const int fd = http_open(&site);

	snprintf(out, sizeof(out), "GET /stream/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", kind);
	http_send(fd, out, strlen(out));
	return fd;
}

static void wait_for(_Atomic int *counter, int least)
{
	for (int i = 0; i < 20000000 && *counter < least; i++)
		sched_yield();
	assert_true(*counter >= least);
}

static void every_piece_arrives_in_order(void **state)
{
	const int fd = open_stream("long");

	(void)state;
	http_read(fd, &reply);
	assert_int_equal(reply.status, 200);
	assert_false(reply.is_closed);
	assert_int_equal(reply.body.len, 1000000);
	for (size_t i = 0; i < reply.body.len; i++)
		assert_int_equal(reply.body.data[i], 'a' + (99 - (int)(i / 10000)) % 26);
	close(fd);
	wait_for(&closes, 1);
	assert_int_equal(fills, 101);
}

static void pieces_are_not_made_before_they_can_be_sent(void **state)
{
	const int fd = open_stream("endless");
	int still = 0;

	(void)state;
	wait_for(&fills, 1);
	/* The buffers of the two sockets fill up; then it stands still, far from the end. */
	while (still < 20000) {
		const int before = fills;
		sched_yield();
		still = before == fills ? still + 1 : 0;
	}
	assert_true(fills < 500);
	close(fd);
	wait_for(&closes, 1);
}

static void a_broken_source_breaks_the_answer(void **state)
{
	const int fd = open_stream("broken");

	(void)state;
	http_read(fd, &reply);
	assert_int_equal(reply.status, 200);
	assert_true(reply.is_closed); /* no last chunk: the client knows that it is not whole */
	close(fd);
	wait_for(&closes, 1);
}

static bool is_readable(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
}

/* Fires what is due until the server has sent something. */
static void fire_until_readable(int fd)
{
	while (!is_readable(fd)) {
		(void)scheduler_run_due(site.scheduler);
		sched_yield();
	}
}

static void fire_many_times(void)
{
	for (int i = 0; i < 1000; i++) {
		(void)scheduler_run_due(site.scheduler);
		sched_yield();
	}
}

static void a_wait_is_as_long_as_the_source_says(void **state)
{
	AUTO(buf_drop) struct buf in = BUF_INIT(65536);
	const int fd = open_stream("slow");

	(void)state;
	assert_true(http_read_until(fd, "c\r\n", &in));
	for (int i = 1; i <= 3; i++) {
		now_ms += 999;
		fire_many_times();
		assert_int_equal(fills, i);
		now_ms += 1;
		fire_until_readable(fd);
		assert_true(http_read_until(fd,
			i == 1   ? "b\r\n"
			: i == 2 ? "a\r\n"
				 : "0\r\n\r\n",
			&in));
	}
	close(fd);
}

static void a_silent_event_stream_is_kept_alive_every_fifteen_seconds(void **state)
{
	AUTO(buf_drop) struct buf in = BUF_INIT(65536);
	const int fd = open_stream("silent");

	(void)state;
	assert_true(http_read_until(fd, "\r\n\r\n", &in));
	for (int i = 0; i < 2; i++) {
		now_ms += 14999;
		fire_many_times();
		assert_false(is_readable(fd));
		now_ms += 1;
		fire_until_readable(fd);
		buf_reset(&in);
		assert_true(http_read_until(fd, ": keep-alive\n\n\r\n", &in));
	}
	assert_int_equal(fills, 1);
	close(fd);
}

static void the_head_of_a_stream_starts_nothing(void **state)
{
	const char *const head = "HEAD /stream/long HTTP/1.1\r\nHost: localhost\r\n\r\n";
	const int fd = http_open(&site);

	(void)state;
	http_send(fd, head, strlen(head));
	http_read_head(fd, &reply);
	assert_int_equal(reply.status, 200);
	wait_for(&closes, 1);
	assert_int_equal(fills, 0);
	close(fd);
}

static void draining_ends_streams(void **state)
{
	const int fds[] = {open_stream("silent"), open_stream("silent"), open_stream("silent")};

	(void)state;
	wait_for(&fills, 3);
	drain_all();
	wait_for(&closes, 3);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		reply_done(&reply);
		http_read(fds[i], &reply);
		assert_int_equal(reply.status, 200);
		close(fds[i]);
	}
}

static void a_client_that_leaves_ends_its_stream_at_the_next_word(void **state)
{
	const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	const int fd = open_stream("silent");

	(void)state;
	wait_for(&fills, 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
	for (int i = 0; i < 1000000 && closes < 1; i++) {
		now_ms += 15000;
		(void)scheduler_run_due(site.scheduler);
		sched_yield();
	}
	assert_int_equal(closes, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_piece_arrives_in_order),
		TEST(pieces_are_not_made_before_they_can_be_sent),
		TEST(a_broken_source_breaks_the_answer),
		TEST(a_wait_is_as_long_as_the_source_says),
		TEST(a_silent_event_stream_is_kept_alive_every_fifteen_seconds),
		TEST(the_head_of_a_stream_starts_nothing),
		TEST(draining_ends_streams),
		TEST(a_client_that_leaves_ends_its_stream_at_the_next_word),
	};

	route_use(stream_routes);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
