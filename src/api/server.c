/* SPDX-License-Identifier: Apache-2.0 */
#include "api/server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/route.h"
#include "api/request_life.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

#define POLL_MS 10
#define DESCRIPTORS_BESIDE 256 /* database, provider connections, files */

struct metric server_rejected = METRIC_COUNTER("review_fetcher_http_connections_rejected_total",
	"Connections above API_MAX_CONNECTIONS, answered 503.", "");
static struct metric connections =
	METRIC_GAUGE("review_fetcher_http_connections_open", "Open HTTP connections.", "");

/* ---- connections ---- */

static void read_peer(struct conn *c, const struct sockaddr *peer)
{
	const struct sockaddr_in *v4 = (const void *)peer;
	const struct sockaddr_in6 *v6 = (const void *)peer;

	snprintf(c->req.remote, sizeof(c->req.remote), "unknown");
	if (peer == NULL)
		return;
	if (peer->sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &v4->sin_addr, c->req.remote, sizeof(c->req.remote));
		c->is_loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	} else if (peer->sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, c->req.remote, sizeof(c->req.remote));
		c->is_loopback =
			IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
			(IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == 127);
	}
}

static struct conn *conn_new(struct api *api, struct MHD_Connection *mhd)
{
	struct conn *c = mem_alloc(sizeof(*c));

	c->api = api;
	c->mhd = mhd;
	c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	c->req.api = api;
	c->req.server = c;
	c->uri = c->uri_inline;
	read_peer(c, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
	rand_text(8, c->req.id); /* 11 characters; a number follows for each request */
	conn_enter(c, PHASE_FRESH);

	pthread_mutex_lock(&api->lock);
	c->is_surplus = api->n_conns >= (size_t)api->parts.settings->api_max_connections;
	api->n_conns++;
	c->next = api->conns;
	if (c->next)
		c->next->prev = c;
	api->conns = c;
	pthread_mutex_unlock(&api->lock);
	metric_add(&connections, 1);
	if (c->is_surplus)
		metric_add(&server_rejected, 1);
	return c;
}

static void conn_free(struct conn *c)
{
	struct api *api = c->api;

	pthread_mutex_lock(&api->lock);
	api->n_conns--;
	if (c->prev)
		c->prev->next = c->next;
	else
		api->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	pthread_mutex_unlock(&api->lock);
	metric_add(&connections, -1);
	server_answer_forget(c);
	mem_free(c);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
	enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = conn_new(cls, mhd);
	else if (*context)
		conn_free(TAKE(*context));
}

/* ---- requests ---- */

static struct conn *conn_of(struct MHD_Connection *mhd)
{
	return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void number_request(struct conn *c)
{
	static const char digits[] = "0123456789abcdef";
	char *at = c->req.id + 11;
	unsigned shift = 28;

	c->count++;
	*at++ = '-';
	while (shift > 0 && c->count >> shift == 0)
		shift -= 4;
	for (;; shift -= 4) {
		*at++ = digits[c->count >> shift & 15];
		if (shift == 0)
			break;
	}
	*at = '\0';
}

/*
 * The library would take the query apart into its own memory, and stall when there is not enough of
 * it. It hands out its read buffer here, which is as writable as it is ours to interpret: without a
 * query there is nothing to take apart.
 */
static void hide_query(const char *target, size_t len)
{
	const size_t path_len = strcspn(target, "?");
	char *writable;

	memcpy(&writable, &target, sizeof(writable));
	memset(writable + path_len, 0, len - path_len);
}

/* The first line is there. The target is copied: the library cuts and splits its own. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
	struct conn *c = conn_of(mhd);
	const size_t len = strlen(target);

	(void)cls;
	request_begin(&c->req);
	number_request(c);
	conn_enter(c, PHASE_READING);
	c->step = STEP_HEAD;
	c->is_decided = false;
	c->body_seen = 0;
	c->uri_len = len;
	if (2 * len + 2 > sizeof(c->uri_inline))
		c->uri = mem_alloc(2 * len + 2);
	memcpy(c->uri, target, len + 1);
	hide_query(target, len);
	atomic_store_explicit(&c->state, STATE_RUNNING, memory_order_relaxed);
	return c;
}

static size_t leave_escaped(void *cls, struct MHD_Connection *mhd, char *text)
{
	(void)cls;
	(void)mhd;
	return strlen(text);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
	const char *method, const char *version, const char *bytes, size_t *len, void **context)
{
	struct conn *c = *context;
	int result = MHD_NO;

	(void)cls;
	(void)mhd;
	(void)url;
	(void)version;
	switch (c->step) {
	case STEP_HEAD:
		result = server_take_head(c, method);
		break;
	case STEP_BODY:
		if (*len > 0) {
			result = server_take_body(c, bytes, len);
		} else {
			result = server_run(c);
		}
		break;
	case STEP_ANSWER: /* woken: what the finisher wrote is read behind this, its exchange's
			     other half */
		(void)atomic_load(&c->state);
		result = server_send(c);
		break;
	}
	return result == MHD_YES ? MHD_YES : MHD_NO;
}

static void on_completed(
	void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
	struct conn *c = *context;

	(void)cls;
	(void)mhd;
	(void)code;
	if (c == NULL)
		return;
	*context = NULL;
	(void)atomic_load(&c->state); /* as above: the client may have left meanwhile */
	request_done(&c->req);
	server_answer_sent(c);
	secret_wipe(c->uri, 2 * c->uri_len + 2); /* codes and tickets come in the query */
	if (c->uri != c->uri_inline)
		mem_free(c->uri);
	c->uri = c->uri_inline;
	conn_enter(c, PHASE_IDLE);
}

/* ---- the daemon ---- */

static void on_library_log(void *cls, const char *format, va_list args) PRINTF_LIKE(2, 0);
static void on_library_log(void *cls, const char *format, va_list args)
{
	char text[256];

	(void)cls;
	if (!log_is_on(LOG_DEBUG))
		return;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\r\n")] = '\0';
	log_event(LOG_DEBUG, "http.library", F_STR("text", text));
}

static bool has_tls(const struct api *api)
{
	return api->tls_cert.len > 0;
}

static int read_tls_files(struct api *api, struct fault *f)
{
	const struct settings *s = api->parts.settings;

	if (s->tls_cert == NULL && s->tls_key == NULL)
		return 0;
	if (s->tls_cert == NULL || s->tls_key == NULL)
		return fault_input(f, s->tls_cert ? "TLS_KEY" : "TLS_CERT",
			"TLS_CERT and TLS_KEY go together: set both, or none for plain HTTP");
	if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
		return fault_input(f, "TLS_CERT",
			"this build of libmicrohttpd has no TLS: leave TLS_CERT unset and put a "
			"proxy in front");
	if (server_read_pem(s->tls_cert, "TLS_CERT", &api->tls_cert, f) < 0)
		return -1;
	return server_read_pem(s->tls_key, "TLS_KEY", &api->tls_key, f);
}

/* Some connections more than the limit, so that those above it hear why they are turned away. */
static unsigned connection_limit(int64_t max_connections, unsigned threads)
{
	const unsigned spare = 64 + (unsigned)max_connections / 16;

	return (unsigned)max_connections + spare + threads;
}

static int start_daemon(struct api *api, struct fault *f)
{
	const unsigned threads = (unsigned)api->parts.settings->api_workers;
	const unsigned limit = connection_limit(api->parts.settings->api_max_connections, threads);
	struct MHD_OptionItem more[8];
	unsigned flags =
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	size_t n = 0;

	if (threads > 1)
		more[n++] = (struct MHD_OptionItem){
			MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads, NULL};
	if (has_tls(api)) {
		static char priorities[] = "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1";
		flags |= MHD_USE_TLS;
		more[n++] =
			(struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, api->tls_cert.data};
		more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, api->tls_key.data};
		more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, priorities};
	}
	more[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	server_raise_descriptors(limit + DESCRIPTORS_BESIDE);
	/* The log comes first: it hears what the later options have to say. */
	api->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, api,
		MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET,
		api->listen_fd, MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_TIMEOUT,
		0U, /* server_sweep.c does it */
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)SERVER_CONNECTION_BYTES,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 0,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, api, MHD_OPTION_URI_LOG_CALLBACK,
		on_target, api, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_ARRAY, more,
		MHD_OPTION_END);
	if (api->daemon)
		return 0;
	return has_tls(api) ? fault_input(f, "TLS_CERT",
				      "TLS did not start: check that TLS_CERT is the certificate "
				      "chain and "
				      "TLS_KEY its unencrypted key, both PEM")
			    : fault_raise(f, FAULT_BUG,
				      "libmicrohttpd did not start with %u threads", threads);
}

static void api_free(struct api *api)
{
	if (api->listen_fd >= 0)
		close(api->listen_fd);
	buf_drop(&api->tls_cert);
	buf_drop(&api->tls_key);
	pthread_mutex_destroy(&api->lock);
	mem_free(api);
}

int api_start(const struct api_parts *parts, struct api **ret, struct fault *f)
{
	struct api *api = mem_alloc(sizeof(*api));

	api->parts = *parts;
	api->listen_fd = -1;
	pthread_mutex_init(&api->lock, NULL);
	metric_register(&server_rejected);
	metric_register(&connections);
	metric_register(&server_handed_over);
	metric_register(&server_taken_back);
	route_count_start();
	server_sweep_start(api);
	if (read_tls_files(api, f) < 0 ||
		server_listen(parts->settings->api_host, parts->settings->api_port, &api->listen_fd,
			&api->port, f) < 0 ||
		start_daemon(api, f) < 0) {
		server_sweep_stop(api);
		api_free(api);
		return -1;
	}
	*ret = api;
	return 0;
}

unsigned api_port(const struct api *api)
{
	return api->port;
}

/* Whether a request is in one of these phases (bits) on any connection, or with another thread. */
static bool is_busy(struct api *api, unsigned phases)
{
	bool busy = atomic_load(&api->off_thread) > 0;

	pthread_mutex_lock(&api->lock);
	for (const struct conn *c = api->conns; c && !busy; c = c->next)
		busy = (phases & 1u << conn_phase(c)) != 0;
	pthread_mutex_unlock(&api->lock);
	return busy;
}

void api_drain(struct api *api, int64_t drain_ms)
{
	const int64_t until_ms = clock_mono_ms() + drain_ms;
	const MHD_socket fd = MHD_quiesce_daemon(api->daemon);

	/* The library's threads have let go of the socket when quiescing returns. */
	if (fd != MHD_INVALID_SOCKET) {
		close(fd);
		api->listen_fd = -1;
	}
	atomic_store(&api->is_draining, true);
	server_streams_end(api);
	while (is_busy(api, 1u << PHASE_READING | 1u << PHASE_WORKING | 1u << PHASE_SENDING) &&
		clock_mono_ms() < until_ms)
		clock_sleep_ms(POLL_MS);
	atomic_store(&api->is_closed, true);
}

void api_stop(struct api *api)
{
	if (api == NULL)
		return;
	if (!atomic_load(&api->is_closed))
		api_drain(api, 0);
	/* A suspended connection cannot be stopped: whoever has its request must finish it. */
	while (is_busy(api, 1u << PHASE_WORKING))
		clock_sleep_ms(POLL_MS);
	MHD_stop_daemon(api->daemon);
	server_sweep_stop(api);
	api_free(api);
}
