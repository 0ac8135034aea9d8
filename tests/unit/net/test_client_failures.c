/* SPDX-License-Identifier: Apache-2.0 */
/* What can go wrong with a request, and whether the other side can have seen it. */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server.h"
#include "base/clock.h"

#define EMPTY_OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* One request to a script; how it ended, with the server's counts in *s. */
static enum net_result result_of(
	struct server *s, server_script *script, const char *method, const char *body)
{
	struct net *n = call_net();
	struct call c;

	server_start(s, script);
	call(n, &c, s, method, body);
	if (c.reply.result != NET_ANSWERED) {
		assert_int_equal(c.reply.status, 0);
		assert_true(strlen(c.reply.error) > 5);
		assert_null(strstr(c.reply.error, "q=1"));
		assert_null(c.reply.body.data);
	}
	call_done(&c);
	net_free(n);
	server_stop(s);
	return c.reply.result;
}

static void promise_more(struct server *s)
{
	server_answer_once(s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
}

static void break_a_chunk(struct server *s)
{
	server_answer_once(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
}

static void talk_nonsense(struct server *s)
{
	server_answer_once(s, "I am not a web server\r\n\r\n");
}

static void say_nothing(struct server *s)
{
	server_answer_once(s, "");
}

static void reset_unanswered(struct server *s)
{
	int fd = server_accept(s);

	server_read(s, fd);
	server_reset(&fd);
}

static void drown_in_headers(struct server *s)
{
	int fd = server_accept(s);

	server_read(s, fd);
	server_write(fd, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 5000; i++)
		server_write(
			fd, "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
	server_write(fd, "\r\n");
	server_close(&fd);
}

static void a_request_that_was_sent_and_failed_is_broken(void **state)
{
	static server_script *const scripts[] = {promise_more, break_a_chunk, talk_nonsense,
		say_nothing, reset_unanswered, drown_in_headers};
	struct server s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		assert_int_equal(result_of(&s, scripts[i], "GET", NULL), NET_BROKEN);
		assert_int_equal(s.requests, 1);
		assert_int_equal(result_of(&s, scripts[i], "POST", "a=b"), NET_BROKEN);
		assert_int_equal(s.requests, 1);
	}
}

static void announce_much(struct server *s)
{
	server_answer_once(s, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello");
}

static void stream_much(struct server *s)
{
	int fd = server_accept(s);

	server_read(s, fd);
	server_write(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 5000; i++)
		server_write(fd, "10\r\n0123456789abcdef\r\n");
	server_write(fd, "0\r\n\r\n");
	server_close(&fd);
}

static void a_reply_beyond_the_maximum_is_too_large(void **state)
{
	struct server s;

	(void)state;
	assert_int_equal(result_of(&s, announce_much, "GET", NULL), NET_TOO_LARGE);
	assert_int_equal(result_of(&s, stream_much, "GET", NULL), NET_TOO_LARGE);
	assert_int_equal(result_of(&s, stream_much, "POST", "a=b"), NET_TOO_LARGE);
}

static void do_nothing(struct server *s)
{
	(void)s;
}

static enum net_result send_to(const char *url, struct net_reply *ret)
{
	struct net *n = call_net();
	struct net_request r = {
		.method = "POST", .url = url, .timeout_ms = 5000, .body = BUF_INIT(10)};
	struct call c;

	buf_add_text(&r.body, "a=b");
	call_send_with(n, &c, &r);
	call_wait(&c);
	call_done(&c);
	net_free(n);
	*ret = c.reply;
	return c.reply.result;
}

static void what_cannot_be_reached_was_not_processed(void **state)
{
	static const char *const urls[] = {"http://nowhere.invalid/", "ftp://127.0.0.1/",
		"http://user:pass@127.0.0.1/", "nonsense://", "http://"};
	struct net_reply reply;
	struct server s;
	char url[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		assert_int_equal(send_to(urls[i], &reply), NET_UNREACHABLE);
		assert_true(strlen(reply.error) > 5);
		assert_null(strstr(reply.error, "pass"));
	}
	server_start(&s, do_nothing);
	server_stop(&s);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", s.port);
	assert_int_equal(send_to(url, &reply), NET_UNREACHABLE);
}

static void read_what_comes(struct server *s)
{
	int fd = server_accept(s);

	if (server_read(s, fd))
		server_write(fd, EMPTY_OK);
	server_close(&fd);
}

/* What came of a POST that may leave until then. */
static enum net_result sent_by(struct server *s, int64_t mono_ms, struct net_reply *ret)
{
	struct net *n = call_net();
	struct net_request r = {.method = "POST",
		.timeout_ms = 5000,
		.send_by_mono_ms = mono_ms,
		.body = BUF_INIT(10)};
	struct call c;
	char url[64];

	server_start(s, read_what_comes);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", s->port);
	r.url = url;
	buf_add_text(&r.body, "a=b");
	call_send_with(n, &c, &r);
	call_wait(&c);
	call_done(&c);
	net_free(n);
	server_stop(s);
	*ret = c.reply;
	return c.reply.result;
}

static void a_body_whose_time_to_leave_is_over_is_not_sent(void **state)
{
	int64_t now = clock_mono_ms();
	struct net_reply reply;
	struct server s;

	(void)state;
	assert_int_equal(sent_by(&s, now > 1 ? now - 1 : 1, &reply), NET_UNREACHABLE);
	assert_int_equal(s.requests, 0);
	assert_non_null(strstr(reply.error, "too late"));
	assert_int_equal(sent_by(&s, now + 60000, &reply), NET_ANSWERED);
	assert_int_equal(s.requests, 1);
}

static void talk_plain_to_tls(struct server *s)
{
	int fd = server_accept(s);
	char bytes[100];

	(void)!recv(fd, bytes, sizeof(bytes), 0);
	server_write(fd, "HTTP/1.1 400 No TLS here\r\n\r\n");
	server_close(&fd);
}

static void a_failed_handshake_means_that_nothing_was_sent(void **state)
{
	struct net_reply reply;
	struct server s;
	char url[64];

	(void)state;
	server_start(&s, talk_plain_to_tls);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", s.port);
	assert_int_equal(send_to(url, &reply), NET_UNREACHABLE);
	server_stop(&s);
}

static void a_token_with_a_line_break_forges_no_header(void **state)
{
	struct net *n = call_net();
	struct net_request r = {.method = "GET",
		.url = "http://127.0.0.1:1/",
		.timeout_ms = 1000,
		.bearer = secret_from("a\r\nX: y", 7)};
	struct call c;

	(void)state;
	call_send_with(n, &c, &r);
	call_wait(&c);
	assert_int_equal(c.reply.result, NET_UNREACHABLE);
	assert_non_null(strstr(c.reply.error, "bearer"));
	call_done(&c);
	net_free(n);
}

/* ---- connections that die between two requests ---- */

/* Answers one, reads the next on the same connection and dies; then answers what comes again. */
static void die_on_the_second(struct server *s)
{
	int fd = server_accept(s);

	if (server_read(s, fd))
		server_write(fd, EMPTY_OK);
	server_read(s, fd);
	server_close(&fd);
	while ((fd = server_accept(s)) >= 0) {
		while (server_read(s, fd))
			server_write(fd, EMPTY_OK);
		server_close(&fd);
	}
}

static void reset_on_the_second(struct server *s)
{
	int fd = server_accept(s);

	if (server_read(s, fd))
		server_write(fd, EMPTY_OK);
	server_read(s, fd);
	server_reset(&fd);
	while ((fd = server_accept(s)) >= 0) {
		while (server_read(s, fd))
			server_write(fd, EMPTY_OK);
		server_close(&fd);
	}
}

static enum net_result second_of(
	struct server *s, server_script *script, const char *method, const char *body)
{
	struct net *n = call_net();
	struct call c;

	server_start(s, script);
	call(n, &c, s, "GET", NULL);
	assert_int_equal(c.reply.status, 200);
	call_done(&c);
	call(n, &c, s, method, body);
	call_done(&c);
	net_free(n);
	server_stop(s);
	return c.reply.result;
}

static void what_changes_something_and_may_have_been_seen_is_never_sent_twice(void **state)
{
	static const char *const methods[] = {"POST", "PATCH", "PUT", "DELETE"};
	struct server s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		assert_int_equal(second_of(&s, die_on_the_second, methods[i], "a=b"), NET_BROKEN);
		assert_int_equal(s.requests, 2);
		assert_int_equal(second_of(&s, reset_on_the_second, methods[i], "a=b"), NET_BROKEN);
		assert_int_equal(s.requests, 2);
	}
}

/* Answers one connection after the other, one request each, but never closes from its side first.
 */
static void one_request_a_connection(struct server *s)
{
	int fd, first = server_accept(s);

	if (server_read(s, first))
		server_write(first, EMPTY_OK);
	fd = server_accept(s);
	if (fd >= 0 && server_read(s, fd))
		server_close(&fd);
	while ((fd = server_accept(s)) >= 0) {
		if (server_read(s, fd))
			server_write(fd, EMPTY_OK);
		server_close(&fd);
	}
	server_close(&first);
}

static void what_changes_something_without_a_body_takes_a_fresh_connection(void **state)
{
	static const char *const methods[] = {"POST", "DELETE"};
	struct server s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		assert_int_equal(
			second_of(&s, one_request_a_connection, methods[i], NULL), NET_BROKEN);
		assert_int_equal(s.requests, 2);
		assert_int_equal(s.connections, 2);
	}
}

static void what_only_reads_is_repeated(void **state)
{
	struct server s;

	(void)state;
	assert_int_equal(second_of(&s, die_on_the_second, "GET", NULL), NET_ANSWERED);
	assert_int_equal(s.requests, 3);
	assert_int_equal(s.connections, 2);
}

/* Answers one and closes; the test knows through `go` that it has. */
static void close_after_answer(struct server *s)
{
	int fd;

	while ((fd = server_accept(s)) >= 0) {
		if (server_read(s, fd))
			server_write(fd, EMPTY_OK);
		server_close(&fd);
		sem_post(&s->go);
	}
}

static void a_connection_that_was_closed_meanwhile_is_not_used(void **state)
{
	struct net *n = call_net();
	struct server s;
	struct call c;

	(void)state;
	server_start(&s, close_after_answer);
	for (int i = 0; i < 20; i++) {
		call(n, &c, &s, "POST", "a=b");
		assert_int_equal(c.reply.result, NET_ANSWERED);
		assert_int_equal(c.reply.status, 200);
		call_done(&c);
		sem_wait(&s.go);
	}
	net_free(n);
	server_stop(&s);
	assert_int_equal(s.requests, 20);
}

/* ---- time ---- */

static void read_and_wait(struct server *s)
{
	int fd = server_accept(s);

	server_read(s, fd);
	server_read(s, fd);
	server_close(&fd);
}

static enum net_result time_out(struct server *s, server_script *script, const char *scheme)
{
	struct net *n = call_net();
	char url[64];
	struct net_request r = {
		.method = "POST", .url = url, .timeout_ms = 150, .body = BUF_INIT(10)};
	struct call c;

	server_start(s, script);
	snprintf(url, sizeof(url), "%s://127.0.0.1:%d/", scheme, s->port);
	buf_add_text(&r.body, "a=b");
	call_send_with(n, &c, &r);
	call_wait(&c);
	call_done(&c);
	net_free(n);
	server_stop(s);
	return c.reply.result;
}

static void a_timeout_is_broken_after_sending_and_unreachable_before(void **state)
{
	struct server s;

	(void)state;
	assert_int_equal(time_out(&s, read_and_wait, "http"), NET_BROKEN);
	assert_int_equal(s.requests, 1);
	/* TLS: the server reads the hello and says nothing, so the request never leaves */
	assert_int_equal(time_out(&s, read_and_wait, "https"), NET_UNREACHABLE);
}

static int64_t fake_now_ms;

static int64_t fake_mono_ms(void *arg)
{
	(void)arg;
	return __atomic_load_n(&fake_now_ms, __ATOMIC_SEQ_CST);
}

static void hold_one(struct server *s)
{
	int fd = server_accept(s);

	server_read(s, fd);
	sem_wait(&s->go);
	server_write(fd, EMPTY_OK);
	server_close(&fd);
}

static void a_request_that_waits_for_a_connection_hears_in_time(void **state)
{
	const struct clock_source source = {.wall_ms = fake_mono_ms, .mono_ms = fake_mono_ms};
	struct net_options options = {
		.max_connections = 1, .max_host_connections = 1, .user_agent = "test/1"};
	struct net_request r = {.method = "POST", .timeout_ms = 19000, .body = BUF_INIT(10)};
	struct call held, waiting;
	struct server s;
	struct net *n;
	struct fault f;
	char url[64];

	(void)state;
	clock_use(&source);
	assert_int_equal(net_start(&options, &n, &f), 0);
	server_start(&s, hold_one);
	call_send(n, &held, &s, "GET", NULL); /* 20 s */
	sem_wait(&s.seen);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", s.port);
	r.url = url;
	buf_add_text(&r.body, "a=b");
	call_send_with(n, &waiting, &r);
	__atomic_store_n(&fake_now_ms, 19500, __ATOMIC_SEQ_CST);
	call_wait(&waiting);
	assert_int_equal(waiting.reply.result, NET_UNREACHABLE);
	sem_post(&s.go);
	call_wait(&held);
	assert_int_equal(held.reply.status, 200);
	call_done(&held);
	call_done(&waiting);
	net_free(n);
	server_stop(&s);
	clock_use(NULL);
}

/* Lets people in and says nothing. */
static void stay_silent(struct server *s)
{
	int fd = server_accept(s), next;

	sem_post(&s->seen);
	while ((next = server_accept(s)) >= 0)
		server_close(&next);
	server_close(&fd);
}

static void requests_that_wait_for_a_handshake_hear_in_time(void **state)
{
	const struct clock_source source = {.wall_ms = fake_mono_ms, .mono_ms = fake_mono_ms};
	struct net *n = call_net();
	struct call calls[5];
	struct server s;
	char url[64];

	(void)state;
	__atomic_store_n(&fake_now_ms, 0, __ATOMIC_SEQ_CST);
	clock_use(&source);
	server_start(&s, stay_silent);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", s.port);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct net_request r = {
			.method = "POST", .url = url, .timeout_ms = 60000, .body = BUF_INIT(10)};

		buf_add_text(&r.body, "a=b");
		call_send_with(n, &calls[i], &r);
	}
	sem_wait(&s.seen);
	__atomic_store_n(&fake_now_ms, 61000, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		call_wait(&calls[i]);
		assert_int_equal(calls[i].reply.result, NET_UNREACHABLE);
		call_done(&calls[i]);
	}
	net_free(n);
	server_stop(&s);
	clock_use(NULL);
}

static void fail_and_recover(struct server *s)
{
	for (;;) {
		int fd = server_accept(s);

		if (fd < 0)
			return;
		if (server_read(s, fd))
			server_write(fd, s->requests % 2
						 ? "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
						 : EMPTY_OK);
		server_close(&fd);
	}
}

static void after_a_failure_the_client_works_on(void **state)
{
	struct net *n = call_net();
	struct server s;
	struct call c;

	(void)state;
	server_start(&s, fail_and_recover);
	for (int i = 0; i < 10; i++) {
		struct net_request r = {
			.method = "GET", .url = "http://nowhere.invalid/", .timeout_ms = 5000};

		call(n, &c, &s, "GET", NULL);
		assert_int_equal(c.reply.result, NET_BROKEN);
		call_done(&c);
		call(n, &c, &s, "POST", "a=b");
		assert_int_equal(c.reply.result, NET_ANSWERED);
		call_done(&c);
		call_send_with(n, &c, &r);
		call_wait(&c);
		assert_int_equal(c.reply.result, NET_UNREACHABLE);
		assert_non_null(strstr(c.reply.error, "resolve"));
		call_done(&c);
	}
	net_free(n);
	server_stop(&s);
}

static void certificates_that_cannot_be_read_stop_the_start(void **state)
{
	const struct net_options options = {.user_agent = "x", .ca_file = "/nonexistent/ca.pem"};
	struct fault f = {0};
	struct net *n;

	(void)state;
	assert_int_equal(net_start(&options, &n, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_non_null(strstr(f.text, "/nonexistent/ca.pem"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_that_was_sent_and_failed_is_broken),
		cmocka_unit_test(a_reply_beyond_the_maximum_is_too_large),
		cmocka_unit_test(what_cannot_be_reached_was_not_processed),
		cmocka_unit_test(a_body_whose_time_to_leave_is_over_is_not_sent),
		cmocka_unit_test(a_failed_handshake_means_that_nothing_was_sent),
		cmocka_unit_test(a_token_with_a_line_break_forges_no_header),
		cmocka_unit_test(what_changes_something_and_may_have_been_seen_is_never_sent_twice),
		cmocka_unit_test(what_changes_something_without_a_body_takes_a_fresh_connection),
		cmocka_unit_test(what_only_reads_is_repeated),
		cmocka_unit_test(a_connection_that_was_closed_meanwhile_is_not_used),
		cmocka_unit_test(a_timeout_is_broken_after_sending_and_unreachable_before),
		cmocka_unit_test(a_request_that_waits_for_a_connection_hears_in_time),
		cmocka_unit_test(requests_that_wait_for_a_handshake_hear_in_time),
		cmocka_unit_test(after_a_failure_the_client_works_on),
		cmocka_unit_test(certificates_that_cannot_be_read_stop_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
