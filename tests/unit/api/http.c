/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/json.h"

#define ANSWER_MAX (64 * 1024 * 1024)
#define PATIENCE_SEC 20

static void give_up(const char *what)
{
	perror(what);
	exit(99);
}

/* ---- the server ---- */

static int check_database(void *arg, struct fault *f)
{
	const struct site *s = arg;

	if (s->database.kind == FAULT_NONE)
		return 0;
	*f = s->database;
	return -1;
}

void site_init(struct site *s)
{
	json_start();
	hash_init();
	*s = (struct site){.settings = {
				   .api_host = "127.0.0.1",
				   .api_workers = 1,
				   .api_max_connections = 256,
				   .api_auth = true,
				   .public_url = "http://localhost:8084",
			   }};
}

void site_start(struct site *s)
{
	struct fault f;

	s->pool = pool_new("test", 2);
	if (s->scheduler == NULL)
		s->scheduler = scheduler_new();
	const struct api_parts parts = {
		.settings = &s->settings,
		.pool = s->pool,
		.scheduler = s->scheduler,
		.check_database = check_database,
		.arg = s,
	};
	if (api_start(&parts, &s->api, &f) < 0) {
		fprintf(stderr, "%s\n", f.text);
		exit(99);
	}
}

void site_stop(struct site *s, int64_t drain_ms)
{
	api_drain(s->api, drain_ms);
	api_stop(s->api);
	pool_stop(s->pool);
	scheduler_stop(s->scheduler);
}

/* ---- the client ---- */

int http_open(const struct site *s)
{
	const struct timeval patience = {.tv_sec = PATIENCE_SEC};
	const struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)api_port(s->api)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		give_up("connect");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

/* A server that has had enough may close while we send: reading tells. */
void http_send(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		const ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		bytes += n;
		len -= (size_t)n;
	}
}

static bool read_some(int fd, struct buf *to)
{
	char piece[16384];
	const ssize_t n = recv(fd, piece, sizeof(piece), 0);

	if (n <= 0)
		return false;
	buf_add(to, piece, (size_t)n);
	return true;
}

/* Takes len bytes from the front of from. */
static void shift(struct buf *from, size_t len, struct buf *to)
{
	if (to)
		buf_add(to, from->data, len);
	memmove(from->data, from->data + len, from->len - len + 1);
	from->len -= len;
}

static bool read_line(int fd, struct buf *in, char *line, size_t size)
{
	const char *end;

	while ((end = strstr(buf_text(in), "\r\n")) == NULL)
		if (!read_some(fd, in))
			return false;
	snprintf(line, size, "%.*s", (int)(end - in->data), in->data);
	shift(in, (size_t)(end - in->data) + 2, NULL);
	return true;
}

static bool read_exactly(int fd, struct buf *in, size_t len, struct buf *to)
{
	while (in->len < len)
		if (!read_some(fd, in))
			return false;
	if (len > 0)
		shift(in, len, to);
	return true;
}

static bool read_chunks(int fd, struct buf *in, struct buf *to)
{
	char line[128];

	for (;;) {
		if (!read_line(fd, in, line, sizeof(line)))
			return false;
		const size_t len = strtoul(line, NULL, 16);
		if (!read_exactly(fd, in, len, to) || !read_line(fd, in, line, sizeof(line)))
			return false;
		if (len == 0)
			return true;
	}
}

const char *reply_header(const struct reply *r, const char *name, char ret[static 256])
{
	const size_t len = strlen(name);

	ret[0] = '\0';
	for (const char *at = buf_text(&r->head); *at;) {
		const size_t line = strcspn(at, "\n");
		if (strncasecmp(at, name, len) == 0 && at[len] == ':')
			snprintf(ret, 256, "%.*s", (int)(line - len - 2), at + len + 2);
		at += line + (at[line] == '\n');
	}
	return ret;
}

void http_read_head(int fd, struct reply *ret)
{
	AUTO(buf_drop) struct buf in = BUF_INIT(ANSWER_MAX);
	char line[4096];

	*ret = (struct reply){.head = BUF_INIT(ANSWER_MAX), .body = BUF_INIT(ANSWER_MAX)};
	if (!read_line(fd, &in, line, sizeof(line)) ||
		sscanf(line, "HTTP/1.1 %d", &ret->status) != 1)
		return;
	while (read_line(fd, &in, line, sizeof(line)) && line[0])
		buf_addf(&ret->head, "%s\n", line);
	ret->is_closed = strcasecmp(reply_header(ret, "Connection", (char[256]){0}), "close") == 0;
	if (in.len > 0) /* the start of the body, for http_read */
		buf_add(&ret->body, in.data, in.len);
}

void http_read(int fd, struct reply *ret)
{
	AUTO(buf_drop) struct buf in = BUF_INIT(ANSWER_MAX);
	char value[256];

	do {
		http_read_head(fd, ret);
		if (ret->status == 100) {
			/* What came behind it stays: the final answer may be there already. */
			if (ret->body.len > 0)
				give_up("an answer stuck to 100 Continue");
			reply_done(ret);
			ret->status = 100;
		}
	} while (ret->status == 100);
	if (ret->status == 0)
		return;
	in = ret->body;
	ret->body = BUF_INIT(ANSWER_MAX);
	if (strcasecmp(reply_header(ret, "Transfer-Encoding", value), "chunked") == 0) {
		if (!read_chunks(fd, &in, &ret->body))
			ret->is_closed = true;
	} else if (*reply_header(ret, "Content-Length", value)) {
		if (!read_exactly(fd, &in, strtoul(value, NULL, 10), &ret->body))
			ret->is_closed = true;
	}
}

bool http_read_until(int fd, const char *text, struct buf *ret)
{
	while (strstr(buf_text(ret), text) == NULL)
		if (!read_some(fd, ret))
			return false;
	return true;
}

void reply_done(struct reply *r)
{
	buf_drop(&r->head);
	buf_drop(&r->body);
	*r = (struct reply){0};
}

void http_ask(const struct site *s, const char *method, const char *target, const char *key,
	const char *body, struct reply *ret)
{
	AUTO(buf_drop) struct buf out = BUF_INIT(ANSWER_MAX);
	const int fd = http_open(s);

	buf_addf(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, target);
	if (key)
		buf_addf(&out, "Authorization: Bearer %s\r\n", key);
	if (body)
		buf_addf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
			strlen(body));
	buf_addf(&out, "\r\n%s", body ? body : "");
	http_send(fd, out.data, out.len);
	if (strcmp(method, "HEAD") == 0)
		http_read_head(fd, ret);
	else
		http_read(fd, ret);
	close(fd);
}
