/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server.h"
#include "base/mem.h"

#define EMPTY_OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void answer_teapot(struct server *s)
{
	server_answer_once(s,
		"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"
		"HTTP/1.1 418 Teapot\r\nContent-Type: application/json; charset=utf-8\r\n"
		"retry-after:  7 \r\nContent-Length: 5\r\n\r\nhello");
}

static void status_headers_and_body_arrive(void **state)
{
	struct net *n = call_net();
	struct server s;
	struct call c;

	(void)state;
	server_start(&s, answer_teapot);
	call(n, &c, &s, "GET", NULL);
	assert_int_equal(c.reply.result, NET_ANSWERED);
	assert_int_equal(c.reply.status, 418);
	assert_string_equal(buf_text(&c.reply.body), "hello");
	assert_string_equal(c.reply.content_type, "application/json; charset=utf-8");
	assert_int_equal(c.reply.retry_after_ms, 7000);
	assert_string_equal(c.reply.error, "");
	assert_true(strncmp(buf_text(&s.request), "GET /path?q=1 HTTP/1.1\r\n", 24) == 0);
	assert_non_null(strstr(buf_text(&s.request), "\r\nUser-Agent: test/1\r\n"));
	assert_null(strcasestr(buf_text(&s.request), "\r\nContent-Type:"));
	assert_null(strcasestr(buf_text(&s.request), "\r\nAuthorization:"));
	call_done(&c);
	server_stop(&s);
	net_free(n);
}

static void answer_empty(struct server *s)
{
	server_answer_once(s, EMPTY_OK);
}

/* *ret_request is what reached the server. */
static void send_with(struct net *n, struct net_request *r, struct buf *ret_request)
{
	char url[64];
	struct server s;
	struct call c;

	server_start(&s, answer_empty);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", s.port);
	r->url = url;
	r->timeout_ms = 20000;
	call_send_with(n, &c, r);
	assert_false(secret_is_set(&r->bearer) || secret_is_set(&r->basic) || r->body.data);
	call_wait(&c);
	assert_int_equal(c.reply.status, 200);
	assert_int_equal(c.reply.retry_after_ms, -1);
	buf_reset(ret_request);
	buf_add_text(ret_request, buf_text(&s.request));
	call_done(&c);
	server_stop(&s);
}

static void credentials_and_forms_are_sent_as_the_rfcs_say(void **state)
{
	AUTO(buf_drop) struct buf seen = BUF_INIT(65536);
	struct net *n = call_net();
	struct net_request r = {.method = "POST",
		.basic = secret_from("id:se%20cret", 12),
		.content_type = "application/x-www-form-urlencoded",
		.body = BUF_INIT(100)};

	(void)state;
	buf_add_text(&r.body, "grant_type=refresh_token");
	send_with(n, &r, &seen);
	assert_true(strncmp(buf_text(&seen), "POST / HTTP/1.1\r\n", 17) == 0);
	assert_non_null(strstr(buf_text(&seen), "\r\nAuthorization: Basic aWQ6c2UlMjBjcmV0\r\n"));
	assert_non_null(
		strstr(buf_text(&seen), "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
	assert_non_null(strstr(buf_text(&seen), "\r\n\r\ngrant_type=refresh_token"));
	r = (struct net_request){.method = "GET", .bearer = secret_from("ya29.tok", 8)};
	send_with(n, &r, &seen);
	assert_non_null(strstr(buf_text(&seen), "\r\nAuthorization: Bearer ya29.tok\r\n"));
	net_free(n);
}

static void every_method_is_spoken(void **state)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	AUTO(buf_drop) struct buf seen = BUF_INIT(1 << 22);
	struct net *n = call_net();
	char head[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(methods) * 2; i++) {
		struct net_request r = {
			.method = methods[i / 2], .body = BUF_INIT(2000000), .content_type = "a/b"};
		size_t body = i % 2 && i / 2 ? 1500000 : 0; /* large ones meet no 100-continue */

		for (size_t j = 0; j < body / 10; j++)
			buf_add_text(&r.body, "0123456789");
		send_with(n, &r, &seen);
		snprintf(head, sizeof(head), "%s / HTTP/1.1\r\n", methods[i / 2]);
		assert_true(strncmp(buf_text(&seen), head, strlen(head)) == 0);
		assert_null(strcasestr(buf_text(&seen), "\r\nExpect:"));
		assert_int_equal(
			strstr(buf_text(&seen), "\r\nContent-Type: a/b\r\n") != NULL, body > 0);
		assert_int_equal(strlen(strstr(buf_text(&seen), "\r\n\r\n") + 4), body);
	}
	net_free(n);
}

static void keep_answering(struct server *s)
{
	int fd;

	while ((fd = server_accept(s)) >= 0) {
		while (server_read(s, fd))
			server_write(fd, EMPTY_OK);
		server_close(&fd);
	}
}

static void one_connection_serves_many_requests(void **state)
{
	struct net *n = call_net();
	struct server s;
	struct call c;

	(void)state;
	server_start(&s, keep_answering);
	for (int i = 0; i < 50; i++) {
		call(n, &c, &s, i % 2 ? "GET" : "POST", i % 2 ? NULL : "a=b");
		assert_int_equal(c.reply.status, 200);
		call_done(&c);
	}
	net_free(n);
	server_stop(&s);
	assert_int_equal(s.requests, 50);
	assert_int_equal(s.connections, 1);
}

static void redirect(struct server *s)
{
	char text[256];
	int fd = server_accept(s);

	snprintf(text, sizeof(text),
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:%d/stolen\r\n"
		"Content-Length: 0\r\n\r\n",
		s->port);
	if (server_read(s, fd))
		server_write(fd, text);
	while (server_read(s, fd))
		;
	server_close(&fd);
	while ((fd = server_accept(s)) >= 0)
		server_close(&fd);
}

static void a_redirect_is_an_answer_and_is_not_followed(void **state)
{
	struct net *n = call_net();
	struct server s;
	struct call c;

	(void)state;
	server_start(&s, redirect);
	call(n, &c, &s, "POST", "refresh_token=secret");
	assert_int_equal(c.reply.result, NET_ANSWERED);
	assert_int_equal(c.reply.status, 307);
	call_done(&c);
	net_free(n);
	server_stop(&s);
	assert_int_equal(s.requests, 1);
	assert_int_equal(s.connections, 1);
}

/* ---- many at once ---- */

enum { CROWD = 1000 };

/* Answers none before all have come. */
static void gather_crowd(struct server *s)
{
	int fds[CROWD];

	for (int i = 0; i < CROWD; i++) {
		fds[i] = server_accept(s);
		server_read(s, fds[i]);
	}
	for (int i = 0; i < CROWD; i++) {
		server_write(fds[i], EMPTY_OK);
		server_close(&fds[i]);
	}
}

static void a_thousand_requests_run_at_once(void **state)
{
	struct call *calls = mem_alloc_array(CROWD, sizeof(*calls));
	struct net *n = call_net();
	struct rlimit files;
	struct server s;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	server_start(&s, gather_crowd);
	for (int i = 0; i < CROWD; i++)
		call_send(n, &calls[i], &s, "POST", "a=b");
	for (int i = 0; i < CROWD; i++) {
		call_wait(&calls[i]);
		assert_int_equal(calls[i].reply.status, 200);
		assert_int_equal(calls[i].times, 1);
		call_done(&calls[i]);
	}
	net_free(n);
	server_stop(&s);
	assert_int_equal(s.requests, CROWD);
	mem_free(calls);
}

/* ---- stopping ---- */

static void never_answer(struct server *s)
{
	int fds[64], n = 0;

	while (n < 64 && (fds[n] = server_accept(s)) >= 0)
		server_read(s, fds[n++]);
	while (n)
		server_close(&fds[--n]);
}

struct again {
	struct net *net;
	const struct server *server;
	struct call second;
	atomic_int times;
	enum net_result result;
};

static void send_again(void *arg, struct net_reply *reply)
{
	struct again *a = arg;

	a->result = reply->result;
	atomic_fetch_add(&a->times, 1);
	call_send(a->net, &a->second, a->server, "GET", NULL);
}

static void stopping_answers_all_that_wait_exactly_once(void **state)
{
	struct net *n = call_net();
	struct server s;
	struct call calls[40], late;
	struct again again = {.net = n, .server = &s};
	char url[64];
	struct net_request r = {.method = "GET", .url = url, .timeout_ms = 20000};

	(void)state;
	server_start(&s, never_answer);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", s.port);
	net_send(n, &r, send_again, &again);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		call_send(n, &calls[i], &s, i % 2 ? "GET" : "POST", i % 2 ? NULL : "a=b");
	sem_wait(&s.seen); /* one at least is under way */
	assert_int_equal(net_in_flight(n), 41);
	net_stop(n);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		assert_int_equal(calls[i].times, 1);
		assert_int_equal(calls[i].reply.result, NET_STOPPED);
		call_done(&calls[i]);
	}
	assert_int_equal(again.times, 1);
	assert_int_equal(again.result, NET_STOPPED);
	assert_int_equal(again.second.times, 1);
	assert_int_equal(again.second.reply.result, NET_STOPPED);
	call(n, &late, &s, "GET", NULL);
	assert_int_equal(late.reply.result, NET_STOPPED);
	net_free(n);
	assert_int_equal(late.times, 1);
	call_done(&late);
	call_done(&again.second);
	server_stop(&s);
}

static void stopping_nothing_is_fine(void **state)
{
	struct net *n = call_net();

	(void)state;
	net_stop(n);
	net_stop(n);
	net_free(n);
	net_stop(NULL);
	net_free(NULL);
}

/* ---- secrets in memory ---- */

/* The needle is stored inverted, so that looking for it does not plant it. */
#define NEEDLE_BYTES 40

static size_t count_needle(const char *haystack, size_t len, const char *inverted)
{
	size_t found = 0;

	for (size_t i = 0; i + NEEDLE_BYTES <= len; i++) {
		size_t j = 0;

		while (j < NEEDLE_BYTES && haystack[i + j] == (char)~inverted[j])
			j++;
		found += j == NEEDLE_BYTES;
	}
	return found;
}

/* How often the needle is in the writable memory of this process, freed blocks included. */
static size_t search_memory(const char *inverted)
{
	enum { CHUNK = 1 << 20 };
	static char chunk[CHUNK];
	FILE *maps = fopen("/proc/self/maps", "r");
	int mem = open("/proc/self/mem", O_RDONLY);
	unsigned long from, to;
	char line[512], mode[8];
	size_t found = 0;

	assert_true(maps && mem >= 0);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[1] != 'w' ||
			to - from > (1UL << 30))
			continue;
		for (; from < to; from += CHUNK - NEEDLE_BYTES) {
			size_t want = to - from < CHUNK ? to - from : CHUNK;
			ssize_t got = pread(mem, chunk, want, (off_t)from);

			if (got <= 0 || (unsigned long)(uintptr_t)chunk == from)
				break;
			found += count_needle(chunk, (size_t)got, inverted);
		}
	}
	memset(chunk, 0, sizeof(chunk));
	fclose(maps);
	close(mem);
	return found;
}

static struct secret reveal(const char *inverted)
{
	char plain[NEEDLE_BYTES];
	struct secret s;

	for (int i = 0; i < NEEDLE_BYTES; i++)
		plain[i] = (char)~inverted[i];
	s = secret_from(plain, NEEDLE_BYTES);
	secret_wipe(plain, sizeof(plain));
	return s;
}

static void echo_body(struct server *s)
{
	char head[100];
	const char *body;
	int fd = server_accept(s);

	if (server_read(s, fd)) {
		body = strstr(buf_text(&s->request), "\r\n\r\n") + 4;
		snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
			strlen(body));
		server_write(fd, head);
		server_write(fd, body);
	}
	server_close(&fd);
}

static void bearer_body_and_reply_do_not_linger_in_memory(void **state)
{
	char inverted[2][NEEDLE_BYTES], url[64];
	struct net *n = call_net();
	struct net_request r = {
		.method = "POST", .url = url, .timeout_ms = 20000, .max_reply_bytes = 1000};
	struct secret word;
	struct server s;
	struct call c;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* minutes of reading what that sanitizer keeps for itself */
#endif
	for (int i = 0; i < NEEDLE_BYTES; i++) {
		inverted[0][i] = (char)~('A' + i * 7 % 26);
		inverted[1][i] = (char)~('a' + i * 11 % 26);
	}
	server_start(&s, echo_body);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", s.port);
	r.bearer = reveal(inverted[0]);
	assert_true(search_memory(inverted[0]) > 0); /* the search does find it */
	word = reveal(inverted[1]);
	r.body = BUF_INIT_WIPED(100);
	buf_add(&r.body, word.bytes, word.len);
	secret_drop(&word);
	call_send_with(n, &c, &r);
	call_wait(&c);
	assert_int_equal(c.reply.body.len, NEEDLE_BYTES);
	call_done(&c);
	server_stop(&s);
	net_stop(n); /* the net thread has let go of the request */
	assert_int_equal(search_memory(inverted[0]), 0);
	assert_int_equal(search_memory(inverted[1]), 0);
	net_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_headers_and_body_arrive),
		cmocka_unit_test(credentials_and_forms_are_sent_as_the_rfcs_say),
		cmocka_unit_test(every_method_is_spoken),
		cmocka_unit_test(one_connection_serves_many_requests),
		cmocka_unit_test(a_redirect_is_an_answer_and_is_not_followed),
		cmocka_unit_test(a_thousand_requests_run_at_once),
		cmocka_unit_test(stopping_answers_all_that_wait_exactly_once),
		cmocka_unit_test(stopping_nothing_is_fine),
		cmocka_unit_test(bearer_body_and_reply_do_not_linger_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
