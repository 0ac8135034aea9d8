/* SPDX-License-Identifier: Apache-2.0 */
/* A body of JSON lines that is taken in pieces while it comes. */
#include "../test.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/limits.h"
#include "fake_import.h"
#include "http.h"

#define HEAD                                                                                  \
	"POST /token-management/import HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " \
	"rf_all\r\nContent-Type: application/x-ndjson\r\n"

static struct site site;
static struct reply reply;

static int begin(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	fake_import = (struct fake_import){0};
	site_init(&site);
	site_start(&site);
	return 0;
}

static int end(void **state)
{
	(void)state;
	reply_done(&reply);
	site_stop(&site, 1000);
	return 0;
}

static void send_bytes(int fd, size_t len)
{
	static char piece[65536];

	memset(piece, 'x', sizeof(piece));
	for (; len > 0; len -= len < sizeof(piece) ? len : sizeof(piece))
		http_send(fd, piece, len < sizeof(piece) ? len : sizeof(piece));
}

static void send_head(int fd, const char *rest)
{
	http_send(fd, HEAD, sizeof(HEAD) - 1);
	http_send(fd, rest, strlen(rest));
}

static void a_body_beyond_all_limits_of_others_comes_in_pieces(void **state)
{
	const int fd = http_open(&site);

	(void)state;
	send_head(fd, "Content-Length: 12000000\r\n\r\n");
	send_bytes(fd, 12000000);
	http_read(fd, &reply);
	assert_int_equal(reply.status, 202);
	assert_non_null(strstr(buf_text(&reply.body), "\"import_id\":\"an-import\""));
	assert_int_equal(fake_import.n_bytes, 12000000);
	assert_int_equal(fake_import.n_begun, 1);
	assert_int_equal(fake_import.n_ended, 1);
	assert_true(fake_import.n_pieces > 20);
	assert_true(fake_import.largest_piece < 2 * LIMIT_UPLOAD_PIECE_BYTES);
	assert_false(reply.is_closed);
	/* The same connection serves on. */
	reply_done(&reply);
	send_head(fd, "Content-Length: 10\r\n\r\n0123456789");
	http_read(fd, &reply);
	assert_int_equal(reply.status, 202);
	assert_int_equal(fake_import.n_bytes, 10);
	close(fd);
	while (fake_import.n_freed < 2)
		sched_yield();
}

static void chunks_come_in_pieces_too(void **state)
{
	static char chunk[65536 + 16];
	const int fd = http_open(&site);
	const int n = snprintf(chunk, sizeof(chunk), "10000\r\n%65536s\r\n", "");

	(void)state;
	send_head(fd, "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 40; i++)
		http_send(fd, chunk, (size_t)n);
	http_send(fd, "0\r\n\r\n", 5);
	http_read(fd, &reply);
	assert_int_equal(reply.status, 202);
	assert_int_equal(fake_import.n_bytes, 40 * 65536);
	close(fd);
}

static void a_piece_that_fails_ends_it_with_the_problem(void **state)
{
	const int fd = http_open(&site);

	(void)state;
	fake_import.fails_behind = 600000;
	send_head(fd, "Content-Length: 4000000\r\n\r\n");
	send_bytes(fd, 4000000);
	http_read(fd, &reply);
	assert_int_equal(reply.status, 503);
	assert_int_equal(fake_import.n_ended, 0);
	assert_true(fake_import.n_bytes < 1200000);
	close(fd);
}

static void a_client_that_leaves_leaves_nothing_behind(void **state)
{
	const int fd = http_open(&site);
	const int64_t begun_ms = clock_mono_ms();

	(void)state;
	send_head(fd, "Content-Length: 4000000\r\n\r\n");
	send_bytes(fd, 1000000);
	close(fd);
	while (fake_import.n_freed == 0)
		sched_yield();
	assert_true(
		clock_mono_ms() - begun_ms < LIMIT_REQUEST_MS); /* not only when its time is up */
	assert_int_equal(fake_import.n_begun, 1);
	assert_int_equal(fake_import.n_ended, 0);
}

static void more_than_the_stated_limit_is_refused_before_it_comes(void **state)
{
	const int fd = http_open(&site);

	(void)state;
	send_head(fd, "Content-Length: 4294967297\r\n\r\n");
	http_read(fd, &reply);
	assert_int_equal(reply.status, 413);
	assert_non_null(strstr(buf_text(&reply.body), "4294967296"));
	assert_int_equal(fake_import.n_begun, 0);
	close(fd);
}

static void other_bodies_of_the_route_keep_the_limit_of_all(void **state)
{
	static const char head[] = "POST /token-management/import HTTP/1.1\r\nHost: localhost\r\n"
				   "Authorization: Bearer rf_all\r\n"
				   "Content-Type: application/json\r\n"
				   "Content-Length: 1048577\r\n\r\n";
	const int fd = http_open(&site);

	(void)state;
	http_send(fd, head, sizeof(head) - 1);
	send_bytes(fd, 1048577);
	http_read(fd, &reply);
	assert_int_equal(reply.status, 413);
	assert_int_equal(fake_import.n_begun, 0);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_body_beyond_all_limits_of_others_comes_in_pieces),
		TEST(chunks_come_in_pieces_too),
		TEST(a_piece_that_fails_ends_it_with_the_problem),
		TEST(a_client_that_leaves_leaves_nothing_behind),
		TEST(more_than_the_stated_limit_is_refused_before_it_comes),
		TEST(other_bodies_of_the_route_keep_the_limit_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
