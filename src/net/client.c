/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The net thread. curl says which sockets it waits for and when it wants to be woken; an epoll set
 * holds the sockets, a timerfd the one timer, an eventfd the bell that net_send rings. So an event
 * costs the same with ten requests in flight as with ten thousand. Real time goes through the
 * timerfd and not through base/clock, because curl reads the system's clock itself.
 */
#include "net/net.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/metrics.h"
#include "net/transfer.h"

#define EVENTS_AT_ONCE 128
#define SWEEP_EVERY_MS 1000
/* All idle connections are too old for reuse by then; dropping them gives back their TLS memory. */
#define COOL_AFTER_MS 65000
/*
 * Debian's certificates in one file. libcurl's GnuTLS flavour reads its default, the folder, anew
 * for every connection: 20 ms of the net thread against 7 (measured; 140 certificates).
 */
#define SYSTEM_CERTIFICATES "/etc/ssl/certs/ca-certificates.crt"

#define REQUESTS(result)                                    \
	METRIC_COUNTER("review_fetcher_net_requests_total", \
		"Outgoing HTTP requests that ended, by how.", "result=\"" result "\"")
static struct metric requests_ended[] = {
	[NET_ANSWERED] = REQUESTS("answered"),
	[NET_UNREACHABLE] = REQUESTS("unreachable"),
	[NET_BROKEN] = REQUESTS("broken"),
	[NET_TOO_LARGE] = REQUESTS("too_large"),
	[NET_STOPPED] = REQUESTS("stopped"),
};
METRICS_FROM_START(&requests_ended[NET_ANSWERED], &requests_ended[NET_UNREACHABLE],
	&requests_ended[NET_BROKEN], &requests_ended[NET_TOO_LARGE], &requests_ended[NET_STOPPED])
static struct metric requests_in_flight = METRIC_GAUGE(
	"review_fetcher_net_requests_in_flight", "Outgoing HTTP requests that run or wait.", "");

struct net {
	struct net_options options;
	char *user_agent, *ca_file;
	pthread_t thread;
	int epoll, bell, timer;
	sem_t halted_sem;
	struct transfer *_Atomic incoming; /* newest first */
	atomic_uint in_flight;
	atomic_bool is_stopping, is_quitting;

	/* The net thread's own. */
	CURLM *multi;
	CURLSH *share; /* TLS sessions: a reconnect resumes instead of a whole handshake */
	struct queue queue;
	struct ring running;
	bool is_due;    /* curl wants to be called now */
	bool is_halted; /* every request is answered NET_STOPPED */
	bool is_warm;   /* the multi handle may hold idle connections */
	int64_t swept_ms, used_ms;
};

/* ---- curl's memory: wiped when freed, since copies of headers and bodies pass through it ---- */

static void *curl_mem_alloc(size_t size)
{
	return mem_alloc(size);
}

static void *curl_mem_alloc_array(size_t count, size_t size)
{
	return mem_alloc_array(count, size);
}

static char *curl_mem_text(const char *text)
{
	return mem_text(text);
}

static void *curl_mem_resize(void *old, size_t size)
{
	void *grown = mem_alloc(size);
	size_t old_size = old ? malloc_usable_size(old) : 0;

	if (old_size)
		memcpy(grown, old, old_size < size ? old_size : size);
	mem_wipe_free(old);
	return grown;
}

/* ---- what curl asks of the loop ---- */

static void watch(struct net *n, int op, curl_socket_t fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	if (epoll_ctl(n->epoll, op, fd, &e) == 0)
		return;
	/* curl may close a socket before it says so, and get the same number for the next one */
	if (op == EPOLL_CTL_ADD && errno == EEXIST)
		epoll_ctl(n->epoll, EPOLL_CTL_MOD, fd, &e);
	else if (op == EPOLL_CTL_MOD && errno == ENOENT)
		epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &e);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct net *n = arg;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		watch(n, EPOLL_CTL_DEL, fd, 0);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	watch(n, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, events);
	if (!known)
		curl_multi_assign(n->multi, fd, n);
	return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct net *n = arg;
	struct itimerspec at = {0};

	(void)multi;
	n->is_due = timeout_ms == 0;
	if (timeout_ms > 0) {
		at.it_value.tv_sec = timeout_ms / 1000;
		at.it_value.tv_nsec = timeout_ms % 1000 * 1000000;
	}
	timerfd_settime(n->timer, 0, &at, NULL);
	return 0;
}

/* ---- the multi handle ---- */

static int open_multi(struct net *n)
{
	CURLMcode bad = 0;

	n->multi = curl_multi_init();
	if (!n->multi)
		return -1;
	bad |= curl_multi_setopt(n->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	bad |= curl_multi_setopt(n->multi, CURLMOPT_SOCKETDATA, n);
	bad |= curl_multi_setopt(n->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	bad |= curl_multi_setopt(n->multi, CURLMOPT_TIMERDATA, n);
	if (n->options.max_connections)
		bad |= curl_multi_setopt(
			n->multi, CURLMOPT_MAXCONNECTS, (long)n->options.max_connections);
	return bad ? -1 : 0;
}

static void close_multi(struct net *n)
{
	if (n->multi)
		curl_multi_cleanup(n->multi);
	n->multi = NULL;
	n->is_warm = n->is_due = false;
}

/*
 * A handle serves one request: curl 7.88 may leave the last request's buffer on a handle whose
 * connection goes on with others (HTTP/2), and its size does not survive curl_easy_reset. A new one
 * costs little; connections, names and TLS sessions live in the multi and share handles.
 */
static CURL *new_handle(struct net *n)
{
	CURL *easy = curl_easy_init();

	if (easy && n->share)
		curl_easy_setopt(easy, CURLOPT_SHARE, n->share);
	return easy;
}

/* ---- one request ---- */

static void answer(struct net *n, struct transfer *t, struct net_reply *reply)
{
	if (t->easy) {
		curl_multi_remove_handle(n->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	queue_leave(&n->queue, t);
	metric_add(&requests_ended[reply->result], 1);
	metric_add(&requests_in_flight, -1);
	t->done(t->arg, reply);
	buf_drop(&reply->body);
	transfer_free(t);
	atomic_fetch_sub(&n->in_flight, 1);
}

static void end(struct net *n, struct transfer *t, CURLcode code)
{
	struct net_reply reply;

	transfer_judge(t, code, &reply);
	answer(n, t, &reply);
}

static void end_stopped(void *arg, struct transfer *t)
{
	struct net_reply reply = {.result = NET_STOPPED,
		.retry_after_ms = -1,
		.fresh_ms = -1,
		.error = "the service is stopping"};

	answer(arg, t, &reply);
}

static void end_if_late(void *arg, struct transfer *t)
{
	struct net *n = arg;

	if (t->deadline_ms < n->swept_ms)
		end(n, t, CURLE_OPERATION_TIMEDOUT);
}

static void refuse(struct net *n, struct transfer *t, const char *why)
{
	struct net_reply reply = {.result = NET_UNREACHABLE, .retry_after_ms = -1, .fresh_ms = -1};

	snprintf(reply.error, sizeof(reply.error), "%s", why);
	answer(n, t, &reply);
}

static void start(struct net *n, struct transfer *t)
{
	CURL *easy = n->multi || open_multi(n) == 0 ? new_handle(n) : NULL;
	const char *flaw = "out of memory";

	if (easy)
		flaw = transfer_prepare(t, easy, &n->options, clock_mono_ms());
	if (!flaw && curl_multi_add_handle(n->multi, easy) != CURLM_OK)
		flaw = "curl does not take the request";
	if (flaw) {
		if (easy)
			curl_easy_cleanup(easy);
		refuse(n, t, flaw);
		return;
	}
	t->easy = easy;
	ring_append(&n->running, &t->in_ring);
	n->is_warm = true;
	n->used_ms = clock_mono_ms();
}

/* ---- all requests ---- */

/* From newest first to the order of sending, into the queue. */
static void queue_incoming(struct net *n)
{
	struct transfer *newest = atomic_exchange(&n->incoming, NULL), *oldest = NULL, *t;

	while ((t = newest)) {
		newest = t->older;
		t->older = oldest;
		oldest = t;
	}
	while ((t = oldest)) {
		oldest = t->older;
		queue_add(&n->queue, t);
	}
}

static void end_done(struct net *n)
{
	struct transfer *t;
	CURLMsg *m;
	int left;

	while (n->multi && (m = curl_multi_info_read(n->multi, &left))) {
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		end(n, t, code);
	}
}

static void end_all_stopped(struct net *n)
{
	while (!ring_is_empty(&n->running))
		end_stopped(n, CONTAINER_OF(n->running.next, struct transfer, in_ring));
	queue_each_waiting(&n->queue, end_stopped, n);
}

/* A callback may have sent the next request meanwhile. */
static void halt(struct net *n)
{
	n->is_halted = true;
	do {
		queue_incoming(n);
		end_all_stopped(n);
	} while (atomic_load(&n->incoming));
	sem_post(&n->halted_sem);
}

static void start_queued(struct net *n)
{
	struct transfer *t;

	queue_incoming(n);
	if (n->is_halted)
		end_all_stopped(n);
	while ((t = queue_take(&n->queue)))
		start(n, t);
}

/*
 * curl looks at the timeout of a request only once it has a connection: not while the request waits
 * to learn whether the connection that another one is making takes both. Neither those nor the ones
 * in the queue may be forgotten, for whoever sent them may hold a lease. Also lets a quiet client
 * cool down.
 */
static void sweep(struct net *n)
{
	int64_t now_ms = clock_mono_ms();
	struct ring *next;

	if (now_ms - n->swept_ms < SWEEP_EVERY_MS)
		return;
	n->swept_ms = now_ms;
	queue_each_waiting(&n->queue, end_if_late, n);
	for (struct ring *r = n->running.next; r != &n->running; r = next) {
		next = r->next;
		end_if_late(n, CONTAINER_OF(r, struct transfer, in_ring));
	}
	if (n->is_warm && ring_is_empty(&n->running) && now_ms - n->used_ms > COOL_AFTER_MS) {
		close_multi(n);
		malloc_trim(0);
	}
}

/* ---- the loop ---- */

static void drain(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static void handle_event(struct net *n, const struct epoll_event *e)
{
	int mask = 0, running;

	if (e->data.fd == n->bell) {
		drain(n->bell);
		return;
	}
	if (e->data.fd == n->timer) {
		drain(n->timer);
		n->is_due = true;
		return;
	}
	if (e->events & EPOLLIN)
		mask |= CURL_CSELECT_IN;
	if (e->events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (e->events & (EPOLLERR | EPOLLHUP))
		mask |= CURL_CSELECT_ERR;
	if (n->multi)
		curl_multi_socket_action(n->multi, e->data.fd, mask, &running);
}

static void *run(void *arg)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	struct net *n = arg;
	int running;

	while (!atomic_load(&n->is_quitting)) {
		int wait_ms = n->is_due ? 0 : n->is_warm ? SWEEP_EVERY_MS : -1;
		int count = epoll_wait(n->epoll, events, EVENTS_AT_ONCE, wait_ms);

		for (int i = 0; i < count; i++)
			handle_event(n, &events[i]);
		if (n->is_due && n->multi) {
			n->is_due = false;
			curl_multi_socket_action(n->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		}
		end_done(n);
		start_queued(n);
		sweep(n);
		if (atomic_load(&n->is_stopping) && !n->is_halted)
			halt(n);
	}
	close_multi(n);
	queue_done(&n->queue);
	return NULL;
}

static void ring(struct net *n)
{
	uint64_t one = 1;

	while (write(n->bell, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- the door ---- */

static int listen_to(struct net *n, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return fd < 0 ? -1 : epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &e);
}

/* With all signals blocked: they are the main thread's. curl's own threads inherit that. */
static int start_thread(struct net *n)
{
	sigset_t all, old;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&n->thread, NULL, run, n);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		return -1;
	pthread_setname_np(n->thread, "net");
	return 0;
}

static void release(struct net *n)
{
	if (n->share)
		curl_share_cleanup(n->share);
	curl_global_cleanup();
	if (n->epoll >= 0)
		close(n->epoll);
	if (n->bell >= 0)
		close(n->bell);
	if (n->timer >= 0)
		close(n->timer);
	sem_destroy(&n->halted_sem);
	mem_free(n->user_agent);
	mem_free(n->ca_file);
	mem_free(n);
}

static struct net *net_new(const struct net_options *options)
{
	struct net *n = mem_alloc(sizeof(*n));
	const char *ca_file = options->ca_file;

	if (!ca_file && access(SYSTEM_CERTIFICATES, R_OK) == 0)
		ca_file = SYSTEM_CERTIFICATES;
	n->options = *options;
	n->options.user_agent = n->user_agent = mem_text(options->user_agent);
	if (ca_file)
		n->options.ca_file = n->ca_file = mem_text(ca_file);
	ring_init(&n->running);
	queue_init(&n->queue, options->max_connections, options->max_host_connections);
	sem_init(&n->halted_sem, 0, 0);
	n->epoll = epoll_create1(EPOLL_CLOEXEC);
	n->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	n->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	n->share = curl_share_init();
	if (n->share)
		curl_share_setopt(n->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	return n;
}

int net_start(const struct net_options *options, struct net **ret, struct fault *f)
{
	struct net *n;

	if (options->ca_file && access(options->ca_file, R_OK) < 0)
		return fault_raise(f, FAULT_INPUT, "cannot read the certificates in %s: %s",
			options->ca_file, strerror(errno));
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_mem_alloc, mem_wipe_free,
		    curl_mem_resize, curl_mem_text, curl_mem_alloc_array) != CURLE_OK)
		return fault_raise(f, FAULT_BUG, "libcurl does not start");
	n = net_new(options);
	if (n->epoll < 0 || listen_to(n, n->bell) < 0 || listen_to(n, n->timer) < 0 ||
		start_thread(n) < 0) {
		int error = errno;

		release(n);
		return fault_raise(
			f, FAULT_BUG, "the net thread does not start: %s", strerror(error));
	}
	*ret = n;
	return 0;
}

void net_send(struct net *n, struct net_request *moved, net_done_fn *done, void *arg)
{
	struct transfer *t = transfer_new(moved, done, arg);
	struct transfer *head = atomic_load(&n->incoming);

	atomic_fetch_add(&n->in_flight, 1);
	metric_add(&requests_in_flight, 1);
	do {
		t->older = head;
	} while (!atomic_compare_exchange_weak(&n->incoming, &head, t));
	/* t is the net thread's now. Whoever put the first one in has rung, or will. */
	if (!head)
		ring(n);
}

unsigned net_in_flight(const struct net *n)
{
	return atomic_load(&n->in_flight);
}

void net_stop(struct net *n)
{
	if (!n || atomic_exchange(&n->is_stopping, true))
		return;
	ring(n);
	while (sem_wait(&n->halted_sem) < 0 && errno == EINTR)
		;
}

void net_free(struct net *n)
{
	if (!n)
		return;
	net_stop(n);
	atomic_store(&n->is_quitting, true);
	ring(n);
	pthread_join(n->thread, NULL);
	release(n);
}
