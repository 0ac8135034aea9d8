/* SPDX-License-Identifier: Apache-2.0 */
/* The real server over loopback, with token management played in memory. */
#include "../test.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/route.h"
#include "base/json.h"
#include "base/log.h"
#include "fake_tokens.h"
#include "http.h"

static struct site site;
static struct reply reply;
static char value[256];

static int begin(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	site_init(&site);
	site_start(&site);
	fake_result = (struct token_result){
		.outcome = TOKEN_UNAVAILABLE, .reason = "down", .retry_after_ms = 5000};
	fake_connect_outcome = CONNECT_DONE;
	fake_register_fault = (struct fault){0};
	return 0;
}

static int end(void **state)
{
	(void)state;
	reply_done(&reply);
	site_stop(&site, 1000);
	return 0;
}

static void ask(const char *method, const char *target, const char *key, const char *body)
{
	reply_done(&reply);
	http_ask(&site, method, target, key, body, &reply);
}

static const char *text(void)
{
	return buf_text(&reply.body);
}

static void assert_problem(int status, const char *words)
{
	AUTO(json_drop) json_t *problem = NULL;
	struct fault f;

	assert_int_equal(reply.status, status);
	assert_string_equal(
		reply_header(&reply, "Content-Type", value), "application/problem+json");
	assert_int_equal(json_parse(text(), reply.body.len, &problem, &f), 0);
	assert_int_equal(json_int(problem, "status", 0), status);
	assert_non_null(json_text(problem, "title"));
	assert_non_null(json_text(problem, "request_id"));
	if (strstr(text(), words) == NULL)
		fail_msg("no '%s' in %s", words, text());
}

/* ---- keys ---- */

static void check_key(void *arg, const struct route *r)
{
	char path[256];
	size_t n = 0;

	(void)arg;
	for (const char *at = r->path; *at; at++)
		if (*at != '{' && *at != '}')
			path[n++] = *at;
	path[n] = '\0';
	const bool is_exempt =
		strcmp(path, "/api/v1/health") == 0 || strcmp(path, "/api/v1/ready") == 0 ||
		strncmp(path, "/docs", 5) == 0 || strcmp(path, "/openapi.json") == 0 ||
		strcmp(path, "/sign-in") == 0 ||
		strncmp(path, "/token-management/auth/callback", 31) == 0 ||
		strcmp(path, "/token-management/events/google") == 0 ||
		strcmp(path, "/api/v1/notifications/google") == 0;
	assert_int_equal(is_exempt, r->scope == 0);
	if (is_exempt || (r->scope & ROUTE_OR_LOOPBACK))
		return;
	ask(r->method, path, NULL, strcmp(r->method, "GET") == 0 ? NULL : "{}");
	assert_problem(401, "Authorization: Bearer rf_");
	assert_string_equal(
		reply_header(&reply, "WWW-Authenticate", value), "Bearer realm=\"review-fetcher\"");
	ask(r->method, path, "rf_wrong", strcmp(r->method, "GET") == 0 ? NULL : "{}");
	assert_problem(401, "not known");
}

static void every_route_but_the_exempt_ones_wants_a_key(void **state)
{
	(void)state;
	route_each(check_key, NULL);
}

static void a_key_that_is_no_good_is_told_why(void **state)
{
	(void)state;
	ask("GET", "/token-management/tokens/mine", "rf_expired", NULL);
	assert_problem(401, "has expired");
	ask("GET", "/token-management/tokens/mine", "rf_revoked", NULL);
	assert_problem(401, "was revoked");
	ask("GET", "/token-management/tokens/mine", "rf_fast", NULL);
	assert_problem(429, "requests per minute");
	assert_string_equal(reply_header(&reply, "Retry-After", value), "2");
	ask("DELETE", "/token-management/clients/1", "rf_tokens", NULL);
	assert_problem(403, "lacks the scope clients:write");
}

static void what_is_outside_a_bound_key_is_not_there(void **state)
{
	(void)state;
	ask("GET", "/token-management/tokens/mine", "rf_bound", NULL);
	assert_int_equal(reply.status, 200);
	ask("GET", "/token-management/tokens/yours", "rf_bound", NULL);
	assert_problem(404, "Client not found for branch yours");
	ask("GET", "/token-management/clients/1", "rf_bound", NULL);
	assert_int_equal(reply.status, 200);
	ask("GET", "/token-management/clients/2", "rf_bound", NULL);
	assert_problem(404, "Client not found or inactive");
	ask("DELETE", "/token-management/clients/2", "rf_bound", NULL);
	assert_problem(404, "Client not found or inactive");
	ask("GET", "/token-management/clients", "rf_bound", NULL);
	assert_non_null(strstr(text(), "\"mine\""));
	assert_null(strstr(text(), "\"yours\""));
	ask("POST", "/token-management/tokens/refresh", "rf_bound", "{\"client_id\":2}");
	assert_problem(404, "Client not found");
}

static void the_loopback_needs_no_key_for_figures_unless_it_is_a_proxy(void **state)
{
	const char *const forwarded =
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n";
	const char *const rebound = "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n";
	int fd;

	(void)state;
	ask("GET", "/metrics", NULL, NULL);
	assert_int_equal(reply.status, 200);
	assert_non_null(strstr(text(), "review_fetcher_http_connections_open 1"));
	ask("GET", "/", NULL, NULL);
	assert_non_null(strstr(text(), "\"status\":\"running\",\"docs\":\"/docs\""));
	ask("GET", "/api/v1/metrics", "rf_tokens", NULL);
	assert_non_null(strstr(text(), "\"deque\":{\"enqueued\":"));
	fd = http_open(&site);
	http_send(fd, forwarded, strlen(forwarded));
	reply_done(&reply);
	http_read(fd, &reply);
	assert_problem(401, "needs an API key");
	http_send(fd, rebound, strlen(rebound));
	reply_done(&reply);
	http_read(fd, &reply);
	assert_problem(401, "needs an API key");
	close(fd);
}

static void without_keys_only_our_own_names_are_answered(void **state)
{
	const char *const rebound =
		"GET /token-management/tokens/mine HTTP/1.1\r\nHost: evil.example\r\n\r\n";

	(void)state;
	site.settings.api_auth = false;
	ask("GET", "/token-management/tokens/mine", NULL, NULL);
	assert_int_equal(reply.status, 200);
	const int fd = http_open(&site);
	http_send(fd, rebound, strlen(rebound));
	reply_done(&reply);
	http_read(fd, &reply);
	assert_problem(421, "API_AUTH is off");
	close(fd);
	site.settings.api_auth = true;
}

/* ---- methods and paths ---- */

static void unknown_paths_and_methods_have_their_problems(void **state)
{
	(void)state;
	ask("GET", "/nope", "rf_all", NULL);
	assert_problem(404, "check the path");
	ask("PUT", "/token-management/clients", "rf_all", "{}");
	assert_problem(405, "Allow");
	assert_string_equal(reply_header(&reply, "Allow", value), "GET, HEAD, POST, OPTIONS");
	ask("BREW", "/api/v1/health", NULL, NULL);
	assert_problem(405, "Allow");
	ask("GET", "/token-management/tokens/%zz", "rf_all", NULL);
	assert_problem(400, "percent-encoded");
	ask("GET", "/token-management/clients?q=%zz", "rf_all", NULL);
	assert_problem(400, "'q'");
	ask("GET", "/token-management/clients?limit=1&limit=2", "rf_all", NULL);
	assert_problem(400, "given twice");
}

static void options_lists_methods_to_those_who_have_a_key(void **state)
{
	(void)state;
	ask("OPTIONS", "/token-management/clients", "rf_tokens", NULL);
	assert_int_equal(reply.status, 204);
	assert_string_equal(reply_header(&reply, "Allow", value), "GET, HEAD, POST, OPTIONS");
	ask("OPTIONS", "/token-management/clients", NULL, NULL);
	assert_problem(401, "needs an API key");
	ask("OPTIONS", "/api/v1/health", NULL, NULL);
	assert_int_equal(reply.status, 204);
	ask("OPTIONS", "*", NULL, NULL);
	assert_int_equal(reply.status, 204);
}

static void head_has_the_head_and_no_body(void **state)
{
	(void)state;
	ask("HEAD", "/token-management/tokens/mine", "rf_all", NULL);
	assert_int_equal(reply.status, 200);
	assert_true(atoi(reply_header(&reply, "Content-Length", value)) > 100);
	assert_int_equal(reply.body.len, 0);
}

static void one_connection_serves_many_requests_with_ids_of_their_own(void **state)
{
	const char *const twice = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /b "
				  "HTTP/1.1\r\nHost: localhost\r\n\r\n";
	char first[64];
	const int fd = http_open(&site);

	(void)state;
	http_send(fd, twice, strlen(twice) / 2);
	http_read(fd, &reply);
	assert_problem(404, "");
	snprintf(first, sizeof(first), "%s", strstr(text(), "request_id"));
	http_send(fd, twice + strlen(twice) / 2, strlen(twice) / 2);
	reply_done(&reply);
	http_read(fd, &reply);
	assert_problem(404, "");
	assert_string_not_equal(first, strstr(text(), "request_id"));
	close(fd);
}

static void requests_sent_in_one_go_are_answered_in_order(void **state)
{
	AUTO(buf_drop) struct buf out = BUF_INIT(65536);
	AUTO(buf_drop) struct buf in = BUF_INIT(65536);
	const int fd = http_open(&site);
	const char *at;

	(void)state;
	for (int i = 1; i <= 20; i++)
		buf_addf(&out,
			"GET %s%d HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
			"rf_all\r\n\r\n",
			i % 2 ? "/token-management/clients/9" : "/token-management/tokens/nobody-",
			i);
	http_send(fd, out.data, out.len);
	assert_true(http_read_until(fd, "-14\"}", &in)); /* the id of the twentieth request */
	at = in.data;
	for (int i = 1; i <= 20; i++) {
		char words[64];
		snprintf(words, sizeof(words),
			i % 2 ? "Client not found or inactive" : "for branch nobody-%d\"", i);
		at = strstr(at, words);
		assert_non_null(at);
		at++;
	}
	close(fd);
}

/* ---- bodies ---- */

static void bad_bodies_are_told_apart(void **state)
{
	(void)state;
	ask("POST", "/token-management/clients", "rf_all", "{\"branch_id\": ");
	assert_problem(400, "line");
	ask("POST", "/token-management/clients", "rf_all", "");
	assert_problem(400, "empty");
	ask("POST", "/token-management/clients", "rf_all", "[]");
	assert_problem(422, "is not a JSON object");
	ask("POST", "/token-management/clients", "rf_all",
		"{\"branch_id\":7,\"client_secret\":\"\",\"workspace_name\":null}");
	assert_problem(422, "[\"body\",\"branch_id\"]");
	assert_non_null(strstr(text(), "[\"body\",\"client_secret\"]"));
	assert_non_null(strstr(text(), "[\"body\",\"workspace_email\"]"));
	assert_non_null(strstr(text(), "[\"body\",\"workspace_name\"]"));
}

static void send_body(int fd, const char *head, size_t len)
{
	static char piece[65536];

	http_send(fd, head, strlen(head));
	memset(piece, ' ', sizeof(piece));
	for (; len > 0; len -= len < sizeof(piece) ? len : sizeof(piece))
		http_send(fd, piece, len < sizeof(piece) ? len : sizeof(piece));
}

#define POST_HEAD                                                                              \
	"POST /token-management/clients HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " \
	"rf_all\r\n"

static void a_body_of_one_mebibyte_is_taken_and_more_is_413(void **state)
{
	const int fd = http_open(&site);

	(void)state;
	send_body(fd, POST_HEAD "Content-Length: 1048576\r\n\r\n", 1048576);
	http_read(fd, &reply);
	assert_problem(400, "");
	reply_done(&reply);
	send_body(fd, POST_HEAD "Content-Length: 1048577\r\n\r\n", 1048577);
	http_read(fd, &reply);
	assert_problem(413, "1048576");
	assert_false(reply.is_closed);
	close(fd);
}

static void a_huge_body_is_refused_before_it_comes(void **state)
{
	const char *const head = POST_HEAD "Content-Length: 99999999999\r\n\r\n";
	const int fd = http_open(&site);

	(void)state;
	http_send(fd, head, strlen(head));
	http_read(fd, &reply);
	assert_problem(413, "1048576");
	assert_true(reply.is_closed);
	close(fd);
}

static void a_client_that_asks_first_is_told_at_once(void **state)
{
	const char *const head =
		POST_HEAD "Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n";
	const char *const no_key = "POST /token-management/clients HTTP/1.1\r\nHost: localhost\r\n"
				   "Expect: 100-continue\r\nContent-Length: 20\r\n\r\n";
	int fd = http_open(&site);

	(void)state;
	http_send(fd, head, strlen(head));
	http_read(fd, &reply);
	assert_problem(413, "1048576");
	close(fd);
	fd = http_open(&site);
	http_send(fd, no_key, strlen(no_key));
	reply_done(&reply);
	http_read(fd, &reply);
	assert_problem(401, "needs an API key");
	close(fd);
}

static void a_chunked_body_is_counted_while_it_comes(void **state)
{
	static char chunk[65536 + 16];
	const char *const head = POST_HEAD "Transfer-Encoding: chunked\r\n\r\n";
	const int fd = http_open(&site);

	(void)state;
	http_send(fd, head, strlen(head));
	const int n = snprintf(chunk, sizeof(chunk), "10000\r\n%65536s\r\n", "");
	for (int i = 0; i < 17; i++)
		http_send(fd, chunk, (size_t)n);
	http_send(fd, "0\r\n\r\n", 5);
	http_read(fd, &reply);
	assert_problem(413, "1048576");
	close(fd);
}

/* ---- headers ---- */

static void ask_with_header(size_t len, int count)
{
	AUTO(buf_drop) struct buf out = BUF_INIT(1 << 20);
	const int fd = http_open(&site);

	buf_add_text(&out, "GET /token-management/tokens/mine HTTP/1.1\r\nHost: localhost\r\n"
			   "Authorization: Bearer rf_all\r\n");
	for (int i = 0; i < count; i++) {
		buf_addf(&out, "X-%d: ", i);
		for (size_t filled = 0; filled < len / (size_t)count - 9; filled++)
			buf_add_char(&out, 'x');
		buf_add_text(&out, "\r\n");
	}
	buf_add_text(&out, "\r\n");
	http_send(fd, out.data, out.len);
	reply_done(&reply);
	http_read(fd, &reply);
	close(fd);
}

static void headers_of_sixteen_kibibytes_are_taken_and_more_is_431(void **state)
{
	(void)state;
	ask_with_header(16200, 1);
	assert_int_equal(reply.status, 200);
	ask_with_header(16200, 60);
	assert_int_equal(reply.status, 200);
	ask_with_header(16500, 1);
	assert_problem(431, "16384");
	ask_with_header(20000, 10);
	assert_problem(431, "16384");
	/* What does not fit into the library's memory at all gets its own page. */
	ask_with_header(60000, 3);
	assert_int_equal(reply.status, 431);
}

static void a_long_target_is_decoded_whole(void **state)
{
	static char target[9000];
	int n = snprintf(target, sizeof(target), "/token-management/tokens/");

	(void)state;
	while (n < 8000)
		n += snprintf(target + n, sizeof(target) - (size_t)n, "%%41");
	ask("GET", target, "rf_all", NULL);
	assert_problem(404, "AAAAAAAAAAAAAAAA...");
}

static void a_thousand_query_parameters_are_refused_at_once(void **state)
{
	static char target[9000];
	int n = snprintf(target, sizeof(target), "/token-management/clients?");

	(void)state;
	for (int i = 0; i < 1000; i++)
		n += snprintf(target + n, sizeof(target) - (size_t)n, "p%d?&", i);
	ask("GET", target, "rf_all", NULL);
	assert_problem(400, "more than 32");
	ask("GET", "/token-management/clients?limit=1&q=a?b=c", "rf_all", NULL);
	assert_int_equal(reply.status, 200);
}

/* ---- resources ---- */

static void a_token_is_handed_out_with_its_fields(void **state)
{
	AUTO(json_drop) json_t *token = NULL;
	struct fault f;

	(void)state;
	ask("GET", "/token-management/tokens/mine", "rf_tokens", NULL);
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply_header(&reply, "Cache-Control", value), "no-store");
	assert_string_equal(reply_header(&reply, "Warning", value), "");
	assert_int_equal(json_parse(text(), reply.body.len, &token, &f), 0);
	assert_int_equal(json_object_size(token), 10);
	assert_true(json_flag(token, "success", false));
	assert_string_equal(json_text(token, "access_token"), FAKE_ACCESS_TOKEN);
	assert_string_equal(json_text(token, "client_id"), "app.example");
	assert_string_equal(json_text(token, "branch_id"), "mine");
	assert_string_equal(json_text(token, "token_type"), "Bearer");
	assert_string_equal(json_text(token, "expires_at"), "2030-03-17T17:46:40Z");
	assert_true(json_is_null(json_member(token, "refresh_token")));
	assert_true(json_int(token, "expires_in", 0) > 0);
	ask("GET", "/token-management/tokens/mine?min_ttl=7", "rf_tokens", NULL);
	assert_non_null(strstr(text(), "\"degraded\":true}"));
	assert_int_equal(strncmp(reply_header(&reply, "Warning", value), "199 - \"", 7), 0);
	ask("GET", "/token-management/tokens/mine?min_ttl=86401", "rf_tokens", NULL);
	assert_problem(422, "[\"query\",\"min_ttl\"]");
}

static void answers_on_one_connection_do_not_mix(void **state)
{
	static const char branches[][16] = {
		"mine", "mine", "yours", "nobody", "mine", "mine?min_ttl=7", "yours", "mine"};
	const int fd = http_open(&site);
	char out[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(branches); i++) {
		snprintf(out, sizeof(out),
			"GET /token-management/tokens/%s HTTP/1.1\r\nHost: localhost\r\n"
			"Authorization: Bearer rf_all\r\n\r\n",
			branches[i]);
		http_send(fd, out, strlen(out));
		reply_done(&reply);
		http_read(fd, &reply);
		const bool is_known = strcmp(branches[i], "nobody") != 0;
		assert_int_equal(reply.status, is_known ? 200 : 404);
		assert_string_equal(reply_header(&reply, "Content-Type", value),
			is_known ? "application/json" : "application/problem+json");
		assert_string_equal(reply_header(&reply, "Cache-Control", value), "no-store");
		snprintf(out, sizeof(out), "\"branch_id\":\"%.*s\"", (int)strcspn(branches[i], "?"),
			branches[i]);
		assert_int_equal(strstr(text(), out) != NULL, is_known);
		assert_int_equal(
			strstr(text(), "degraded") != NULL, strchr(branches[i], '?') != NULL);
		assert_int_equal(text()[reply.body.len - 1], '}');
	}
	close(fd);
}

static void wait_for_waiters(int n)
{
	for (int i = 0; i < 20000000 && fake_waiting != n; i++)
		sched_yield();
	assert_int_equal(fake_waiting, n);
}

static void ask_slow_and_answer(const struct token_result *result)
{
	const char *const get = "GET /token-management/tokens/slow HTTP/1.1\r\nHost: localhost\r\n"
				"Authorization: Bearer rf_all\r\n\r\n";
	const int fd = http_open(&site);

	fake_result = *result;
	http_send(fd, get, strlen(get));
	wait_for_waiters(1);
	assert_true(fake_answer());
	reply_done(&reply);
	http_read(fd, &reply);
	close(fd);
}

static void each_outcome_of_a_wait_has_its_answer(void **state)
{
	(void)state;
	ask("GET", "/token-management/tokens/other", "rf_all", NULL);
	assert_problem(404, "Client not found for branch other");
	ask_slow_and_answer(&(struct token_result){
		.outcome = TOKEN_UNAVAILABLE, .reason = "Google is away", .retry_after_ms = 5000});
	assert_problem(503, "Google is away");
	assert_string_equal(reply_header(&reply, "Retry-After", value), "5");
	ask_slow_and_answer(&(struct token_result){
		.outcome = TOKEN_NEEDS_RECONNECT, .reason = "the grant is dead", .client_row = 3});
	assert_problem(409, "\"connection_status\":\"needs_reconnect\"");
	assert_non_null(strstr(text(),
		"\"reconnect_url\":\"http://localhost:8084/token-management/oauth/login/3\""));
	ask_slow_and_answer(
		&(struct token_result){.outcome = TOKEN_PENDING, .reason = "r", .client_row = 3});
	assert_problem(409, "\"connection_status\":\"pending\"");
	ask("POST", "/token-management/tokens/refresh", "rf_all", "{\"client_id\":1}");
	assert_int_equal(reply.status, 200);
	assert_non_null(strstr(text(), FAKE_ACCESS_TOKEN));
	ask("POST", "/token-management/tokens/refresh", "rf_all", "{\"client_id\":77}");
	assert_problem(404, "Client not found");
	ask("POST", "/token-management/tokens/refresh", "rf_all", "{\"client_id\":\"x\"}");
	assert_problem(422, "[\"body\",\"client_id\"]");
}

static void a_client_that_leaves_while_it_waits_harms_nobody(void **state)
{
	const char *const get = "GET /token-management/tokens/slow HTTP/1.1\r\nHost: localhost\r\n"
				"Authorization: Bearer rf_all\r\n\r\n";
	const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	(void)state;
	for (int i = 0; i < 20; i++) {
		const int fd = http_open(&site);
		http_send(fd, get, strlen(get));
		wait_for_waiters(i + 1);
		if (i % 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(fd);
	}
	while (fake_answer())
		;
	ask("GET", "/token-management/tokens/mine", "rf_all", NULL);
	assert_int_equal(reply.status, 200);
}

static void clients_are_registered_read_listed_and_deleted(void **state)
{
	char next[256];

	(void)state;
	ask("POST", "/token-management/clients", "rf_all",
		"{\"client_id\":\"a\",\"client_secret\":\"b\",\"redirect_uri\":\"http://localhost/"
		"cb\","
		"\"branch_id\":\"mine\",\"workspace_email\":\"o@e.com\",\"workspace_name\":\"n\"}");
	assert_int_equal(reply.status, 201);
	assert_non_null(strstr(text(),
		"\"success\":true,\"message\":\"Client created successfully\","
		"\"client_id\":1,\"client_oauth_id\":\"app.example\",\"branch_id\":1,"
		"\"branch_identifier\":\"mine\",\"email\":\"owner@example.com\""));
	ask("GET", "/token-management/clients?limit=2", "rf_all", NULL);
	snprintf(next, sizeof(next), "/token-management/clients?limit=2&cursor=%.*s",
		(int)strcspn(strstr(text(), "\"next_cursor\":\"") + 15, "\""),
		strstr(text(), "\"next_cursor\":\"") + 15);
	ask("GET", next, "rf_all", NULL);
	assert_non_null(strstr(text(), "\"slow\""));
	assert_null(strstr(text(), "\"mine\""));
	assert_non_null(strstr(text(), "\"next_cursor\":null"));
	ask("GET", "/token-management/clients?cursor=!", "rf_all", NULL);
	assert_problem(422, "[\"query\",\"cursor\"]");
	ask("GET", "/token-management/clients?limit=0&status=odd", "rf_all", NULL);
	assert_problem(422, "[\"query\",\"limit\"]");
	assert_non_null(strstr(text(), "[\"query\",\"status\"]"));
	ask("GET", "/token-management/clients/99", "rf_all", NULL);
	assert_problem(404, "Client not found or inactive");
	ask("GET", "/token-management/clients/0", "rf_all", NULL);
	assert_problem(422, "[\"path\",\"id\"]");
	ask("DELETE", "/token-management/clients/1?revoke=perhaps", "rf_all", NULL);
	assert_problem(422, "give true or false");
	ask("DELETE", "/token-management/clients/1?force=true", "rf_all", NULL);
	assert_problem(422, "without revoke=true");
	ask("DELETE", "/token-management/clients/1", "rf_all", NULL);
	assert_int_equal(reply.status, 200);
	ask("POST", "/token-management/clients/1/connect-link", "rf_all", NULL);
	assert_non_null(strstr(text(), "\"url\":\"http://localhost/login/1?ticket=t\""));
}

static void siblings_are_named_only_to_who_may_see_them(void **state)
{
	static const struct {
		const char *method, *path;
	} ways[] = {
		{"POST", "/token-management/tokens/mine/revoke"},
		{"DELETE", "/token-management/clients/1?revoke=true"},
	};

	(void)state;
	fake_revoke_outcome = REVOKE_SHARED;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		ask(ways[i].method, ways[i].path, "rf_all", NULL);
		assert_problem(409, "Google would kill their grants too");
		assert_non_null(strstr(
			text(), "\"siblings\":[\"mine\",\"yours\",\"slow\"],\"siblings_total\":7"));
		ask(ways[i].method, ways[i].path, "rf_bound", NULL);
		assert_problem(409, "7 other connected branches");
		assert_non_null(strstr(text(), "\"siblings\":[\"mine\"],\"siblings_total\":7"));
	}
	ask("DELETE", "/token-management/clients/1?revoke=true&force=true", "rf_bound", NULL);
	assert_int_equal(reply.status, 200);
	assert_non_null(strstr(text(), "\"siblings_ended\":7"));
	assert_non_null(strstr(text(), "\"deleted\":true"));
	fake_revoke_outcome = REVOKE_WAITS;
	ask("DELETE", "/token-management/clients/1?revoke=true", "rf_all", NULL);
	assert_int_equal(reply.status, 202);
	assert_non_null(strstr(text(), "\"deleted\":false"));
	fake_revoke_outcome = REVOKE_DONE;
}

static void a_fault_from_inside_becomes_its_problem(void **state)
{
	const char *const body =
		"{\"branch_id\":\"mine\",\"workspace_email\":\"o@e.com\",\"workspace_name\":\"n\"}";

	(void)state;
	(void)fault_raise(&fake_register_fault, FAULT_CONFLICT, "Branch ID already exists");
	ask("POST", "/token-management/clients", "rf_all", body);
	assert_problem(409, "\"detail\":\"Branch ID already exists\"");
	(void)fault_input(
		&fake_register_fault, "workspace_email", "'o@e' has no domain: give name@domain");
	ask("POST", "/token-management/clients", "rf_all", body);
	assert_problem(
		422, "{\"loc\":[\"body\",\"workspace_email\"],\"msg\":\"'o@e' has no domain");
}

static void health_tells_the_truth_and_readiness_fails_without_a_database(void **state)
{
	(void)state;
	ask("GET", "/api/v1/health", NULL, NULL);
	assert_non_null(strstr(
		text(), "\"status\":\"healthy\",\"service\":\"review-fetcher\",\"version\":"));
	assert_non_null(strstr(text(), "\"kafka_connected\":false,\"memory_used_percent\":"));
	ask("GET", "/api/v1/ready", NULL, NULL);
	assert_int_equal(reply.status, 200);
	(void)fault_raise(&site.database, FAULT_STORE, "gone");
	ask("GET", "/api/v1/health", NULL, NULL);
	assert_int_equal(reply.status, 200);
	assert_non_null(strstr(text(), "\"status\":\"degraded\""));
	ask("GET", "/api/v1/ready", NULL, NULL);
	assert_problem(503, "database");
	assert_true(atoi(reply_header(&reply, "Retry-After", value)) > 0);
}

/* ---- the browser ---- */

static void get_page(const char *target)
{
	char out[512];
	const int fd = http_open(&site);

	snprintf(out, sizeof(out),
		"GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*;q=0.8\r\n\r\n",
		target);
	http_send(fd, out, strlen(out));
	reply_done(&reply);
	http_read(fd, &reply);
	close(fd);
}

static void a_login_link_leads_to_the_provider(void **state)
{
	(void)state;
	ask("GET", "/token-management/oauth/login/1?ticket=good", NULL, NULL);
	assert_int_equal(reply.status, 307);
	assert_string_equal(
		reply_header(&reply, "Location", value), "https://accounts.example/auth?state=s");
	assert_string_equal(reply_header(&reply, "Set-Cookie", value),
		"rf_flow=browser-1; Path=/token-management; Max-Age=86400; HttpOnly; SameSite=Lax");
	assert_string_equal(reply_header(&reply, "Referrer-Policy", value), "no-referrer");
	site.settings.public_url = "https://reviews.example";
	ask("GET", "/token-management/oauth/login/1?ticket=good", NULL, NULL);
	assert_non_null(strstr(reply_header(&reply, "Set-Cookie", value), "; Secure"));
	ask("GET", "/token-management/oauth/login/1?ticket=old", NULL, NULL);
	assert_problem(403, "This link has expired");
	ask("GET", "/token-management/oauth/login/9", "rf_all", NULL);
	assert_problem(404, "\"error\":\"Client not found or inactive\"");
	ask("GET", "/token-management/oauth/login/1", NULL, NULL);
	assert_problem(401, "needs an API key");
	ask("POST", "/token-management/oauth/login/1?ticket=good", NULL, "");
	assert_int_equal(reply.status, 303);
	assert_string_equal(
		reply_header(&reply, "Location", value), "https://accounts.example/auth?state=s");
	get_page("/token-management/oauth/login/1?ticket=old");
	assert_int_equal(reply.status, 403);
	assert_non_null(strstr(text(), "This link has expired"));
	assert_non_null(strstr(text(), "new one"));
}

static void a_link_shows_a_page_whose_button_begins(void **state)
{
	(void)state;
	site.settings.google_auth_url = "https://accounts.example/o/auth?x=1";
	get_page("/token-management/oauth/login/1?ticket=good");
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply_header(&reply, "Set-Cookie", value), "");
	assert_non_null(strstr(text(), "Example &lt;Ltd&gt;"));
	assert_non_null(strstr(text(), "Continue to Google"));
	assert_non_null(strstr(text(),
		"<form method=\"post\" action=\"/token-management/oauth/login/1?ticket=good\">"));
	assert_non_null(strstr(reply_header(&reply, "Content-Security-Policy", value),
		"form-action 'self' https://accounts.example"));
	assert_null(strstr(reply_header(&reply, "Content-Security-Policy", value), "/o/auth"));
	assert_string_equal(reply_header(&reply, "Cache-Control", value), "no-store");
}

/* What a browser does after the callback: follows the redirect with the cookie. */
static void get_result(const char *cookie)
{
	char out[4096];
	const int fd = http_open(&site);

	snprintf(out, sizeof(out),
		"GET /token-management/auth/callback HTTP/1.1\r\nHost: localhost\r\n"
		"Accept: text/html\r\nCookie: %s\r\n\r\n",
		cookie);
	http_send(fd, out, strlen(out));
	reply_done(&reply);
	http_read(fd, &reply);
	close(fd);
}

static void each_ending_has_a_page_and_a_problem(void **state)
{
	static const struct {
		enum connect_outcome outcome;
		int status;
		const char *words;
		const char *account;
	} rows[] = {
		{CONNECT_DONE, 200, "Example &lt;Ltd&gt; is connected", NULL},
		{CONNECT_DONE, 200, "you@example.net; o•••••r@example.com was expected",
			"you@example.net"},
		{CONNECT_REFUSED, 400, "choose Allow", NULL},
		{CONNECT_EXPIRED, 400, "within ten minutes", NULL},
		{CONNECT_LINK_REVOKED, 403, "was withdrawn", NULL},
		{CONNECT_LINK_USED, 403, "has done its work", NULL},
		{CONNECT_MISSING_SCOPE, 403,
			"See, edit, create and delete your Google business listings\nodd", NULL},
		{CONNECT_WRONG_ACCOUNT, 403, "You signed in as you@example.net", "you@example.net"},
		{CONNECT_WRONG_ACCOUNT, 403, "did not say which account", NULL},
		{CONNECT_NO_REFRESH_TOKEN, 409, "myaccount.google.com/permissions", NULL},
		{CONNECT_UNAVAILABLE, 503, "Wait a few minutes", NULL},
		{CONNECT_MISCONFIGURED, 502,
			"Google answered invalid_client (The token endpoint answered 500.): check "
			"client id and secret",
			NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		fake_connect_outcome = rows[i].outcome;
		fake_connect_account = rows[i].account;
		get_page("/token-management/auth/callback?state=s&code=c");
		assert_int_equal(reply.status, 303);
		assert_string_equal(
			reply_header(&reply, "Location", value), "/token-management/auth/callback");
		assert_string_equal(reply_header(&reply, "Referrer-Policy", value), "no-referrer");
		assert_non_null(strstr(buf_text(&reply.head), "rf_result=s;"));
		get_result("rf_result=s; rf_flow=browser-1");
		get_result("rf_result=s; rf_flow=browser-1"); /* a reload */
		assert_int_equal(reply.status, rows[i].status);
		assert_string_equal(
			reply_header(&reply, "Content-Type", value), "text/html; charset=utf-8");
		assert_string_equal(reply_header(&reply, "Referrer-Policy", value), "no-referrer");
		if (strstr(text(), rows[i].words) == NULL)
			fail_msg("no '%s' in %s", rows[i].words, text());
		assert_null(strstr(text(), "owner@example.com")); /* masked */
		ask("GET", "/token-management/auth/callback?state=s&code=c", NULL, NULL);
		assert_int_equal(reply.status, rows[i].status);
		assert_string_equal(reply_header(&reply, "Referrer-Policy", value), "no-referrer");
		if (rows[i].outcome != CONNECT_DONE)
			assert_problem(rows[i].status, "\"detail\":");
		else if (rows[i].account == NULL)
			assert_string_equal(text(),
				"{\"success\":true,\"message\":\"Authentication successful\","
				"\"client_id\":\"app.example\",\"branch_id\":\"mine\","
				"\"expires_at\":\"2023-11-14T22:13:20Z\"}");
	}
	fake_connect_account = NULL;
}

static void an_answer_that_belongs_to_nothing_has_its_page(void **state)
{
	(void)state;
	ask("GET", "/token-management/auth/callback", NULL, NULL);
	assert_problem(400, "There is nothing to see here");
	get_result("rf_result=s; rf_flow=another"); /* nobody sees what another browser saw */
	assert_int_equal(reply.status, 400);
	assert_non_null(strstr(text(), "There is nothing to see here"));
	fake_connect_outcome = CONNECT_FAILED;
	get_page("/token-management/auth/callback?state=s&code=c");
	assert_int_equal(reply.status, 502);
	assert_non_null(strstr(text(), "Something went wrong here"));
	fake_connect_outcome = CONNECT_BAD_REQUEST;
	get_page("/token-management/auth/callback?state=s");
	assert_int_equal(reply.status, 400);
	assert_non_null(strstr(text(), "without a code"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_route_but_the_exempt_ones_wants_a_key),
		TEST(a_key_that_is_no_good_is_told_why),
		TEST(what_is_outside_a_bound_key_is_not_there),
		TEST(the_loopback_needs_no_key_for_figures_unless_it_is_a_proxy),
		TEST(without_keys_only_our_own_names_are_answered),
		TEST(unknown_paths_and_methods_have_their_problems),
		TEST(options_lists_methods_to_those_who_have_a_key),
		TEST(head_has_the_head_and_no_body),
		TEST(one_connection_serves_many_requests_with_ids_of_their_own),
		TEST(requests_sent_in_one_go_are_answered_in_order),
		TEST(bad_bodies_are_told_apart),
		TEST(a_body_of_one_mebibyte_is_taken_and_more_is_413),
		TEST(a_huge_body_is_refused_before_it_comes),
		TEST(a_client_that_asks_first_is_told_at_once),
		TEST(a_chunked_body_is_counted_while_it_comes),
		TEST(headers_of_sixteen_kibibytes_are_taken_and_more_is_431),
		TEST(a_long_target_is_decoded_whole),
		TEST(a_thousand_query_parameters_are_refused_at_once),
		TEST(a_token_is_handed_out_with_its_fields),
		TEST(answers_on_one_connection_do_not_mix),
		TEST(each_outcome_of_a_wait_has_its_answer),
		TEST(a_client_that_leaves_while_it_waits_harms_nobody),
		TEST(clients_are_registered_read_listed_and_deleted),
		TEST(siblings_are_named_only_to_who_may_see_them),
		TEST(a_fault_from_inside_becomes_its_problem),
		TEST(health_tells_the_truth_and_readiness_fails_without_a_database),
		TEST(a_login_link_leads_to_the_provider),
		TEST(a_link_shows_a_page_whose_button_begins),
		TEST(each_ending_has_a_page_and_a_problem),
		TEST(an_answer_that_belongs_to_nothing_has_its_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
