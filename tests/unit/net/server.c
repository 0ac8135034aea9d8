/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void *serve(void *arg)
{
	struct server *s = arg;

	s->script(s);
	return NULL;
}

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "test server: %s: %s\n", what, strerror(errno));
	abort();
}

void server_start(struct server *s, server_script *script)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	*s = (struct server){.script = script, .request = BUF_INIT_WIPED(1 << 24)};
	sem_init(&s->seen, 0, 0);
	sem_init(&s->go, 0, 0);
	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(s->listen_fd >= 0, "socket");
	need(bind(s->listen_fd, (struct sockaddr *)&at, len) == 0, "bind");
	need(listen(s->listen_fd, 4096) == 0, "listen");
	need(getsockname(s->listen_fd, (struct sockaddr *)&at, &len) == 0, "getsockname");
	s->port = ntohs(at.sin_port);
	need(pthread_create(&s->thread, NULL, serve, s) == 0, "pthread_create");
}

void server_stop(struct server *s)
{
	shutdown(s->listen_fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listen_fd);
	sem_destroy(&s->seen);
	sem_destroy(&s->go);
	buf_drop(&s->request);
}

int server_accept(struct server *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		s->connections++;
	return fd;
}

static bool is_whole(const struct buf *request)
{
	const char *text = buf_text(request), *end = strstr(text, "\r\n\r\n");
	const char *length = strcasestr(text, "\r\ncontent-length:");

	if (!end)
		return false;
	if (!length || length > end)
		return true;
	return request->len >= (size_t)(end + 4 - text) + strtoul(length + 17, NULL, 10);
}

bool server_read(struct server *s, int fd)
{
	char bytes[4096];
	ssize_t n;

	buf_reset(&s->request);
	while (!is_whole(&s->request)) {
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			return false;
		buf_add(&s->request, bytes, (size_t)n);
		secret_wipe(bytes, sizeof(bytes));
	}
	s->requests++;
	sem_post(&s->seen);
	return true;
}

void server_write(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

void server_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void server_reset(int *fd)
{
	struct linger none = {.l_onoff = 1};

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	server_close(fd);
}

void server_answer_once(struct server *s, const char *text)
{
	int fd = server_accept(s);

	if (fd >= 0 && server_read(s, fd))
		server_write(fd, text);
	server_close(&fd);
}

static void on_done(void *arg, struct net_reply *reply)
{
	struct call *c = arg;

	c->reply = *reply;
	reply->body = (struct buf){0};
	c->times++;
	sem_post(&c->ended);
}

struct net *call_net(void)
{
	static const struct net_options options = {
		.max_connections = 2000, .max_host_connections = 2000, .user_agent = "test/1"};
	struct fault f = {0};
	struct net *n = NULL;

	need(net_start(&options, &n, &f) == 0, f.text);
	return n;
}

void call_send_with(struct net *n, struct call *c, struct net_request *moved)
{
	*c = (struct call){0};
	sem_init(&c->ended, 0, 0);
	net_send(n, moved, on_done, c);
}

void call_send(struct net *n, struct call *c, const struct server *to, const char *method,
	const char *body)
{
	char url[64];
	struct net_request r = {.method = method ? method : "GET",
		.url = url,
		.content_type = body ? "application/x-www-form-urlencoded" : NULL,
		.body = BUF_INIT_WIPED(1 << 20),
		.timeout_ms = 20000,
		.max_reply_bytes = 64 * 1024};

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/path?q=1", to->port);
	if (body)
		buf_add_text(&r.body, body);
	call_send_with(n, c, &r);
}

void call_wait(struct call *c)
{
	while (sem_wait(&c->ended) < 0)
		need(errno == EINTR, "sem_wait");
}

void call_done(struct call *c)
{
	buf_drop(&c->reply.body);
	sem_destroy(&c->ended);
}

void call(struct net *n, struct call *c, const struct server *to, const char *method,
	const char *body)
{
	call_send(n, c, to, method, body);
	call_wait(c);
}
