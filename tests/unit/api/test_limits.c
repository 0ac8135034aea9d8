/* SPDX-License-Identifier: Apache-2.0 */
/* Time limits, connection limits and the end, on a clock that the test moves. */
#include "../test.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fake_tokens.h"
#include "http.h"

#define GET_MINE                                                                                  \
	"GET /token-management/tokens/mine HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " \
	"rf_all\r\n\r\n"
#define GET_SLOW                                                                                  \
	"GET /token-management/tokens/slow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " \
	"rf_all\r\n\r\n"

static struct site site;
static struct reply reply;
static _Atomic int64_t now_ms;

static int64_t read_now(void *arg)
{
	(void)arg;
	return now_ms;
}

/* The fake clock stands still while the other threads get their turn. */
static void let_others_run(void *arg, int64_t ms)
{
	(void)arg;
	(void)ms;
	sched_yield();
}

static const struct clock_source source = {
	.wall_ms = read_now, .mono_ms = read_now, .sleep_ms = let_others_run};

static int begin(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	now_ms = 1000000;
	clock_use(&source);
	site_init(&site);
	site.scheduler = scheduler_new_manual();
	return 0;
}

static int end(void **state)
{
	(void)state;
	reply_done(&reply);
	if (site.api)
		site_stop(&site, 0);
	clock_use(NULL);
	return 0;
}

/* Seconds pass one at a time, as the sweep sees them. */
static void pass(int seconds)
{
	for (int i = 0; i < seconds; i++) {
		now_ms += 1000;
		(void)scheduler_run_due(site.scheduler);
	}
}

static bool is_open(int fd)
{
	char byte;
	const ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	return n < 0;
}

static void assert_closed(int fd)
{
	for (int i = 0; i < 20000000 && is_open(fd); i++)
		sched_yield();
	assert_false(is_open(fd));
}

/* The server has taken up what was sent: an answer to a request sent later on another connection
 * shows. */
static void settle(void)
{
	struct reply other = {0};

	http_ask(&site, "GET", "/token-management/tokens/mine", "rf_all", NULL, &other);
	assert_int_equal(other.status, 200);
	reply_done(&other);
}

static void a_request_that_trickles_in_is_cut_off_after_thirty_seconds(void **state)
{
	(void)state;
	site_start(&site);
	const int fd = http_open(&site);
	http_send(fd, "GET /api/v1/health HTTP/1.1\r\n", 29);
	settle();
	for (int i = 0; i < 30; i++) {
		pass(1);
		http_send(fd, "A: b\r\n", 6);
	}
	assert_true(is_open(fd));
	pass(2);
	http_read(fd, &reply);
	assert_int_equal(reply.status, 408);
	assert_non_null(strstr(buf_text(&reply.body), "30 seconds"));
	close(fd);
}

static void a_connection_that_says_nothing_is_cut_off(void **state)
{
	(void)state;
	site_start(&site);
	const int fd = http_open(&site);
	settle();
	pass(30);
	assert_true(is_open(fd));
	pass(2);
	http_read(fd, &reply);
	assert_int_equal(reply.status, 408);
	close(fd);
}

static void an_idle_connection_is_kept_for_two_minutes(void **state)
{
	(void)state;
	site_start(&site);
	const int fd = http_open(&site);
	http_send(fd, GET_MINE, strlen(GET_MINE));
	http_read(fd, &reply);
	settle();
	pass(119);
	assert_true(is_open(fd));
	http_send(fd, GET_MINE, strlen(GET_MINE));
	reply_done(&reply);
	http_read(fd, &reply);
	assert_int_equal(reply.status, 200);
	settle();
	pass(122);
	assert_closed(fd);
	close(fd);
}

static void an_end_that_came_with_the_request_is_noticed(void **state)
{
	(void)state;
	site_start(&site);
	const int fd = http_open(&site);
	http_send(fd, GET_SLOW, strlen(GET_SLOW));
	shutdown(fd, SHUT_WR);
	while (fake_waiting == 0)
		let_others_run(NULL, 1);
	assert_true(fake_answer());
	http_read(fd, &reply);
	assert_int_equal(reply.status, 503);
	settle();
	pass(2);
	assert_closed(fd);
	close(fd);
}

static void a_request_that_is_worked_on_has_no_limit_here(void **state)
{
	(void)state;
	site_start(&site);
	const int fd = http_open(&site);
	http_send(fd, GET_SLOW, strlen(GET_SLOW));
	while (fake_waiting == 0)
		let_others_run(NULL, 1);
	pass(600);
	assert_true(fake_answer());
	http_read(fd, &reply);
	assert_int_equal(reply.status, 503);
	close(fd);
}

static void connections_above_the_limit_hear_503(void **state)
{
	int fds[17];

	(void)state;
	site.settings.api_max_connections = 16;
	site_start(&site);
	for (size_t i = 0; i < 16; i++) {
		fds[i] = http_open(&site);
		http_send(fds[i], GET_MINE, strlen(GET_MINE));
		reply_done(&reply);
		http_read(fds[i], &reply);
		assert_int_equal(reply.status, 200);
	}
	fds[16] = http_open(&site);
	http_send(fds[16], GET_MINE, strlen(GET_MINE));
	reply_done(&reply);
	http_read(fds[16], &reply);
	assert_int_equal(reply.status, 503);
	assert_true(reply.is_closed);
	assert_non_null(strstr(buf_text(&reply.head), "Retry-After: "));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
}

static void accepted_sockets_give_up_on_peers_that_take_nothing(void **state)
{
	(void)state;
	site_start(&site);
	const int fd = http_open(&site);
	struct sockaddr_in mine, other;
	socklen_t len = sizeof(mine);
	int found = 0;

	/* The server's end is the descriptor whose peer is our end. */
	assert_int_equal(getsockname(fd, (struct sockaddr *)&mine, &len), 0);
	http_send(fd, GET_MINE, strlen(GET_MINE));
	http_read(fd, &reply);
	for (int i = 3; i < 64; i++) {
		int timeout_ms = 0;
		len = sizeof(other);
		if (getpeername(i, (struct sockaddr *)&other, &len) < 0 ||
			other.sin_port != mine.sin_port)
			continue;
		len = sizeof(timeout_ms);
		assert_int_equal(
			getsockopt(i, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &len), 0);
		assert_int_equal(timeout_ms, 120000);
		found++;
	}
	assert_int_equal(found, 1);
	close(fd);
}

static void a_taken_address_says_which_setting_to_change(void **state)
{
	struct settings settings;
	struct api *api;
	struct fault f;

	(void)state;
	site_start(&site);
	settings = site.settings;
	settings.api_port = api_port(site.api);
	const struct api_parts parts = {
		.settings = &settings, .pool = site.pool, .scheduler = site.scheduler};
	assert_int_equal(api_start(&parts, &api, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, "API_PORT");
	assert_non_null(strstr(f.text, "already in use"));
	settings.api_host = "203.0.113.7";
	assert_int_equal(api_start(&parts, &api, &f), -1);
	assert_string_equal(f.field, "API_HOST");
	settings.api_host = "not a host";
	assert_int_equal(api_start(&parts, &api, &f), -1);
	assert_string_equal(f.field, "API_HOST");
	settings.api_host = "127.0.0.1";
	settings.api_port = 0;
	settings.tls_cert = "/dev/null";
	assert_int_equal(api_start(&parts, &api, &f), -1);
	assert_string_equal(f.field, "TLS_KEY");
	settings.tls_key = "/dev/null";
	assert_int_equal(api_start(&parts, &api, &f), -1);
	assert_string_equal(f.field, "TLS_CERT");
	assert_non_null(strstr(f.text, "PEM"));
}

static void *drain(void *arg)
{
	(void)arg;
	api_drain(site.api, 60000);
	return NULL;
}

static void draining_answers_what_is_under_way_and_then_closes(void **state)
{
	pthread_t drainer;

	(void)state;
	site_start(&site);
	const int slow = http_open(&site), kept = http_open(&site);
	http_send(kept, GET_MINE, strlen(GET_MINE));
	http_read(kept, &reply);
	assert_false(reply.is_closed);
	http_send(slow, GET_SLOW, strlen(GET_SLOW));
	while (fake_waiting == 0)
		let_others_run(NULL, 1);
	assert_int_equal(pthread_create(&drainer, NULL, drain, NULL), 0);
	/* Until the socket is shut, new requests come in; from then on they are told to go. */
	do {
		http_send(kept, GET_MINE, strlen(GET_MINE));
		reply_done(&reply);
		http_read(kept, &reply);
		assert_int_equal(reply.status, 200);
	} while (!reply.is_closed);
	fake_answer();
	reply_done(&reply);
	http_read(slow, &reply);
	assert_int_equal(reply.status, 503);
	assert_true(reply.is_closed);
	assert_int_equal(pthread_join(drainer, NULL), 0);
	close(slow);
	close(kept);
}

static void several_threads_serve_as_one_does(void **state)
{
	(void)state;
	site.settings.api_workers = 3;
	site_start(&site);
	for (int i = 0; i < 20; i++) {
		reply_done(&reply);
		http_ask(&site, "GET", i % 2 ? "/api/v1/health" : "/token-management/tokens/mine",
			"rf_all", NULL, &reply);
		assert_int_equal(reply.status, 200);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_that_trickles_in_is_cut_off_after_thirty_seconds),
		TEST(a_connection_that_says_nothing_is_cut_off),
		TEST(an_idle_connection_is_kept_for_two_minutes),
		TEST(an_end_that_came_with_the_request_is_noticed),
		TEST(a_request_that_is_worked_on_has_no_limit_here),
		TEST(connections_above_the_limit_hear_503),
		TEST(accepted_sockets_give_up_on_peers_that_take_nothing),
		TEST(a_taken_address_says_which_setting_to_change),
		TEST(draining_answers_what_is_under_way_and_then_closes),
		TEST(several_threads_serve_as_one_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
