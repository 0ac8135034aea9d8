/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request is read whole, served at once, and its answer held back for as long as the faults say:
 * the connection is suspended meanwhile, so that ten thousand slow requests cost sockets and no
 * threads. A request is processed before its delay, since that is the harder case for a caller that
 * dies while it waits: the refresh token has been rotated already.
 */
#include "simulator/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "simulator/simulator.h"
#include "simulator/timer.h"

#define BODY_MAX (16 * 1024 * 1024)
#define STREAM_PIECE (64 * 1024)
#define CONNECTION_MEMORY (64 * 1024) /* an Authorization header of 16 KiB and more has to fit */
#define IDLE_SEC 120
#define DESCRIPTORS_SPARE 64

struct server {
	struct simulator *sim;
	struct MHD_Daemon *daemon;
	struct timer *timer;
	int port;
};

struct exchange { /* one request on its way */
	struct request request;
	struct server *server;
	struct MHD_Connection *connection;
	char *target;
	bool is_served, is_counted;
};

/* ---- answering ---- */

struct piece_reader {
	struct stream stream;
	struct buf piece;
	size_t at;
	bool is_over;
};

static ssize_t read_stream(void *arg, uint64_t pos, char *to, size_t max)
{
	struct piece_reader *reader = arg;
	size_t n;

	(void)pos;
	while (reader->at == reader->piece.len) {
		if (reader->is_over)
			return MHD_CONTENT_READER_END_OF_STREAM;
		buf_reset(&reader->piece);
		reader->at = 0;
		reader->is_over = !reader->stream.fill(reader->stream.arg, &reader->piece);
	}
	n = reader->piece.len - reader->at < max ? reader->piece.len - reader->at : max;
	memcpy(to, reader->piece.data + reader->at, n);
	reader->at += n;
	return (ssize_t)n;
}

static void drop_stream(void *arg)
{
	struct piece_reader *reader = arg;

	if (reader->stream.drop)
		reader->stream.drop(reader->stream.arg);
	buf_drop(&reader->piece);
	mem_free(reader);
}

static struct MHD_Response *stream_response(struct answer *a)
{
	struct piece_reader *reader = mem_alloc(sizeof(*reader));

	reader->stream = a->stream;
	reader->piece = BUF_INIT(ANSWER_BYTES_MAX);
	a->stream = (struct stream){0};
	return MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, STREAM_PIECE, read_stream, reader, drop_stream);
}

/* Half of the body, then an end that is none. */
static ssize_t read_half(void *arg, uint64_t pos, char *to, size_t max)
{
	const struct buf *body = arg;
	size_t half = body->len / 2, n;

	if (pos >= half)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	n = half - (size_t)pos < max ? half - (size_t)pos : max;
	memcpy(to, body->data + pos, n);
	return (ssize_t)n;
}

static void drop_half(void *arg)
{
	buf_drop(arg);
	mem_free(arg);
}

static struct MHD_Response *half_response(struct answer *a)
{
	struct buf *body = mem_alloc(sizeof(*body));

	*body = a->body;
	a->body = BUF_INIT(0);
	return MHD_create_response_from_callback(
		body->len, STREAM_PIECE, read_half, body, drop_half);
}

static struct MHD_Response *whole_response(struct answer *a)
{
	struct buf body = a->body;

	a->body = BUF_INIT(0);
	if (!body.len) {
		buf_drop(&body);
		return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	}
	return MHD_create_response_from_buffer_with_free_callback(body.len, body.data, mem_free);
}

/* Linux: connecting a stream socket to nowhere drops it with a reset at once. */
static enum MHD_Result reset_connection(struct exchange *x)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	if (info && connect(info->connect_fd, &nowhere, sizeof(nowhere)) < 0)
		shutdown(info->connect_fd, SHUT_RDWR);
	return MHD_NO;
}

static enum MHD_Result answer(struct exchange *x)
{
	struct answer *a = &x->request.answer;
	const struct sim_fault *action = x->request.plan.action;
	struct MHD_Response *response;
	enum MHD_Result result;

	if (action && action->action == FAULT_DO_RESET)
		return reset_connection(x);
	if (a->stream.fill)
		response = stream_response(a);
	else if (action && action->action == FAULT_DO_TRUNCATE && a->body.len > 1)
		response = half_response(a);
	else
		response = whole_response(a);
	if (!response)
		return MHD_NO;
	if (a->content_type)
		MHD_add_response_header(response, "Content-Type", a->content_type);
	for (size_t i = 0; i < a->n_headers; i++)
		MHD_add_response_header(response, a->headers[i].name, a->headers[i].value);
	result = MHD_queue_response(x->connection, a->status, response);
	MHD_destroy_response(response);
	return result;
}

static void resume(void *connection)
{
	MHD_resume_connection(connection);
}

/* ---- reading ---- */

static enum MHD_Result note_param(
	void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void)kind;
	params_add(arg, name, value);
	return MHD_YES;
}

static const char *header(struct exchange *x, const char *name)
{
	return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result begin(struct server *s, struct MHD_Connection *connection, const char *path,
	const char *method, struct exchange *x)
{
	struct request *r = &x->request;

	x->server = s;
	x->connection = connection;
	r->sim = s->sim;
	r->method = method;
	r->path = path;
	r->target = x->target ? x->target : path;
	r->authorization = header(x, "Authorization");
	r->content_type = header(x, "Content-Type");
	r->host = header(x, "Host");
	r->fetch_site = header(x, "Sec-Fetch-Site");
	r->now_ms = clock_wall_ms();
	r->body = BUF_INIT(BODY_MAX);
	MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, note_param, &r->query);
	return MHD_YES;
}

static enum MHD_Result serve(struct exchange *x)
{
	struct request *r = &x->request;

	x->is_served = true;
	if (buf_failed(&r->body)) {
		r->kind = KIND_HOME;
		answer_control_error(r, 413, "the body is longer than %d bytes", BODY_MAX);
		return answer(x);
	}
	r->now_ms = clock_wall_ms();
	simulator_serve(r);
	x->is_counted = true;
	if (r->plan.latency_ms <= 0)
		return answer(x);
	MHD_suspend_connection(x->connection);
	if (!timer_add(x->server->timer, r->plan.latency_ms, resume, x->connection))
		MHD_resume_connection(x->connection);
	return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **state)
{
	struct exchange *x = *state;

	(void)version;
	if (!x->connection)
		return begin(cls, connection, url, method, x);
	if (*upload_size) {
		buf_add(&x->request.body, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	return x->is_served ? answer(x) : serve(x);
}

/* The target as it was asked, before anything is decoded. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
	struct exchange *x = mem_alloc(sizeof(*x));

	(void)cls, (void)connection;
	x->target = mem_text(target);
	return x;
}

static void on_done(void *cls, struct MHD_Connection *connection, void **state,
	enum MHD_RequestTerminationCode code)
{
	struct exchange *x = *state;

	(void)cls, (void)connection, (void)code;
	if (!x)
		return;
	if (x->is_counted)
		counts_end(&x->request.sim->counts, x->request.kind);
	answer_drop(&x->request.answer);
	fault_plan_drop(&x->request.plan);
	params_drop(&x->request.query);
	params_drop(&x->request.form);
	buf_drop(&x->request.body);
	mem_free(x->target);
	mem_free(x);
	*state = NULL;
}

/* ---- life ---- */

static int read_address(const char *host, int port, struct sockaddr_storage *ret, struct fault *f)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	if (text_equal(host, "localhost"))
		host = "127.0.0.1";
	*ret = (struct sockaddr_storage){0};
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		return 0;
	}
	return fault_input(
		f, "--host", "--host %s is not an address such as 127.0.0.1 or ::1", host);
}

/* Our own socket, so that "in use" can be told apart and said in words. */
static int listen_on(const struct server_options *o, struct fault *f)
{
	struct sockaddr_storage address;
	socklen_t len;
	int fd, on = 1;

	if (read_address(o->host, (int)o->port, &address, f) < 0)
		return -1;
	len = address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
					   : sizeof(struct sockaddr_in6);
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fault_raise(f, FAULT_BUG, "no socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, SOMAXCONN) < 0) {
		fault_raise(f, FAULT_CONFLICT, "cannot listen on %s port %lld: %s%s", o->host,
			(long long)o->port, strerror(errno),
			errno == EADDRINUSE ? " (choose another with --port, or 0 for any)" : "");
		close(fd);
		return -1;
	}
	return fd;
}

static int port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return 0;
	return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
						  : ((struct sockaddr_in6 *)&address)->sin6_port);
}

static unsigned raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur < 1000000 ? (unsigned)limit.rlim_cur : 1000000;
}

int server_start(struct simulator *sim, const struct server_options *options, struct server **ret,
	struct fault *f)
{
	unsigned descriptors = raise_descriptors();
	struct server *s;
	int fd = listen_on(options, f);

	if (fd < 0)
		return -1;
	s = mem_alloc(sizeof(*s));
	s->sim = sim;
	s->port = port_of(fd);
	snprintf(sim->url, sizeof(sim->url), "http://localhost:%d", s->port);
	s->timer = timer_start();
	if (s->timer)
		s->daemon = MHD_start_daemon(
			MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
			on_request, s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE,
			(unsigned)options->threads, MHD_OPTION_CONNECTION_LIMIT,
			descriptors - DESCRIPTORS_SPARE, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
			(size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
			(unsigned)IDLE_SEC, MHD_OPTION_URI_LOG_CALLBACK, on_target, NULL,
			MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL, MHD_OPTION_END);
	if (!s->daemon) {
		close(fd);
		server_stop(s);
		return fault_raise(
			f, FAULT_BUG, "the HTTP server did not start: %s", strerror(errno));
	}
	*ret = s;
	return 0;
}

int server_port(const struct server *s)
{
	return s->port;
}

void server_stop(struct server *s)
{
	if (!s)
		return;
	if (s->timer)
		timer_stop(s->timer); /* resumes all; libmicrohttpd must not stop with suspended
					 ones */
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	timer_free(s->timer);
	mem_free(s);
}
