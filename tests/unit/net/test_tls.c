/* SPDX-License-Identifier: Apache-2.0 */
/* Against a real TLS server, openssl's own, with certificates made for the test. */
#include "../test.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server.h"

extern char **environ;

struct tls_server {
	char folder[64], cert[128], key[128];
	pid_t pid;
	int port;
};

#define ARGS_MAX 20

/* args: NULL at the end. posix_spawn takes them without const, and leaves them alone. */
static pid_t spawn(const char *const args[ARGS_MAX], int out)
{
	posix_spawn_file_actions_t actions;
	char *argv[ARGS_MAX];
	pid_t pid;

	memcpy(argv, args, sizeof(argv));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&actions, out, 1);
	else
		posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	assert_int_equal(posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static void make_certificate(struct tls_server *s, const char *names)
{
	char ext[128];
	const char *const args[ARGS_MAX] = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test",
		"-addext", ext, "-keyout", s->key, "-out", s->cert};
	int status;

	snprintf(s->folder, sizeof(s->folder), "/tmp/test_tls-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	snprintf(s->cert, sizeof(s->cert), "%s/cert.pem", s->folder);
	snprintf(s->key, sizeof(s->key), "%s/key.pem", s->folder);
	snprintf(ext, sizeof(ext), "subjectAltName=%s", names);
	assert_int_equal(waitpid(spawn(args, -1), &status, 0) > 0 ? status : -1, 0);
}

/* Port 0 is a free one; openssl says which: "ACCEPT 127.0.0.1:40001". */
static void read_port(struct tls_server *s, int from)
{
	char text[512] = "";
	size_t len = 0;
	const char *at;
	ssize_t n;

	while ((at = strstr(text, "ACCEPT ")) == NULL || strchr(at, '\n') == NULL) {
		n = read(from, text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			fail_msg("openssl s_server ended: %s", text);
		len += (size_t)n;
		text[len] = '\0';
	}
	at = strrchr(at, ':');
	assert_non_null(at);
	s->port = (int)strtol(at + 1, NULL, 10);
	assert_in_range(s->port, 1, 65535);
}

static void tls_start(struct tls_server *s, const char *names)
{
	const char *const args[ARGS_MAX] = {"openssl", "s_server", "-www", "-accept", "127.0.0.1:0",
		"-cert", s->cert, "-key", s->key};
	int ends[2];

	make_certificate(s, names);
	assert_int_equal(pipe(ends), 0);
	s->pid = spawn(args, ends[1]);
	close(ends[1]);
	read_port(s, ends[0]);
	close(ends[0]);
}

/* Teardown, so that it also ends when the test fails. */
static int tls_stop(void **state)
{
	struct tls_server *s = *state;

	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	unlink(s->cert);
	unlink(s->key);
	rmdir(s->folder);
	return 0;
}

static int tls_none(void **state)
{
	static struct tls_server server;

	server = (struct tls_server){0};
	*state = &server;
	return 0;
}

/* What a GET to `host` at the server ends as, when only ca_file's certificates are trusted. */
static enum net_result get(const struct tls_server *s, const char *host, const char *ca_file)
{
	const struct net_options options = {.max_connections = 10,
		.max_host_connections = 10,
		.user_agent = "test/1",
		.ca_file = ca_file};
	struct fault f = {0};
	struct net *n = NULL;
	struct call c;
	char url[64];
	struct net_request r = {
		.method = "GET", .url = url, .timeout_ms = 10000, .max_reply_bytes = 65536};
	enum net_result result;

	if (net_start(&options, &n, &f) < 0)
		fail_msg("%s", f.text);
	snprintf(url, sizeof(url), "https://%s:%d/", host, s->port);
	call_send_with(n, &c, &r);
	call_wait(&c);
	result = c.reply.result;
	call_done(&c);
	net_free(n);
	return result;
}

static void a_certificate_that_nobody_vouches_for_ends_the_connection(void **state)
{
	struct tls_server *s = *state;

	tls_start(s, "IP:127.0.0.1,DNS:localhost");
	assert_int_equal(get(s, "127.0.0.1", s->cert), NET_ANSWERED);
	assert_int_equal(get(s, "localhost", s->cert), NET_ANSWERED);
	assert_int_equal(get(s, "127.0.0.1", NULL), NET_UNREACHABLE); /* the system's */
}

static void a_certificate_for_another_host_ends_the_connection(void **state)
{
	struct tls_server *s = *state;

	tls_start(s, "DNS:oauth2.example");
	assert_int_equal(get(s, "127.0.0.1", s->cert), NET_UNREACHABLE);
	assert_int_equal(get(s, "localhost", s->cert), NET_UNREACHABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tls_none, tls_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_certificate_that_nobody_vouches_for_ends_the_connection),
		TEST(a_certificate_for_another_host_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
