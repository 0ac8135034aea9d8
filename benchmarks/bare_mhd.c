/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick of ./bench: bare_mhd ANSWER_FILE
 *
 * A libmicrohttpd program that does nothing but answer: no key, no branch, no memory of tokens.
 * Every request gets the bytes and headers of ANSWER_FILE, which is an answer of the service as it
 * was captured, from one response object made at the start. What the service reaches of this speed
 * is what its own work leaves over. Listens on a free port of loopback and prints its number; ends
 * on SIGTERM.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX 65536
#define CONNECTIONS 1024

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **context)
{
	static int seen;

	(void)url, (void)method, (void)version, (void)upload, (void)upload_size;
	if (*context == NULL) { /* the first of two calls: headers only */
		*context = &seen;
		return MHD_YES;
	}
	return MHD_queue_response(connection, MHD_HTTP_OK, arg);
}

/* Headers that the library writes itself must not come twice. */
static int is_own(const char *name)
{
	static const char *const own[] = {"Date", "Connection", "Content-Length", "Keep-Alive"};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strcasecmp(name, own[i]) == 0)
			return 1;
	return 0;
}

/* NULL when the text is no HTTP answer. */
static struct MHD_Response *read_answer(char *text)
{
	char *body = strstr(text, "\r\n\r\n");
	char *line, *rest = NULL;

	if (body == NULL)
		return NULL;
	*body = '\0';
	body += 4;
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_COPY);
	strtok_r(text, "\r\n", &rest); /* the status line */
	while ((line = strtok_r(NULL, "\r\n", &rest)) != NULL) {
		char *value = strchr(line, ':');

		if (value == NULL)
			continue;
		*value++ = '\0';
		value += strspn(value, " ");
		if (!is_own(line))
			MHD_add_response_header(response, line, value);
	}
	return response;
}

static struct MHD_Response *load_answer(const char *path)
{
	static char text[ANSWER_MAX];
	FILE *file = fopen(path, "rb");

	if (file == NULL)
		return NULL;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return read_answer(text);
}

int main(int argc, char *argv[])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct MHD_Response *response = argc == 2 ? load_answer(argv[1]) : NULL;
	sigset_t ends;
	int signal_number;

	if (response == NULL) {
		fprintf(stderr, "usage: bare_mhd ANSWER_FILE (an HTTP answer as captured)\n");
		return 2;
	}
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL,
		answer, response, MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_CONNECTION_LIMIT,
		CONNECTIONS, MHD_OPTION_LISTEN_BACKLOG_SIZE, CONNECTIONS, MHD_OPTION_END);
	if (daemon == NULL) {
		perror("bare_mhd");
		return 1;
	}
	printf("%u\n", (unsigned)MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
	fflush(stdout);
	sigwait(&ends, &signal_number);
	MHD_stop_daemon(daemon);
	MHD_destroy_response(response);
	return 0;
}
