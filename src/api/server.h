/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the server, shared by server*.c.
 *
 * A connection carries one request at a time, so its request is a part of it and nothing is
 * allocated on the hot path. While a request is with a worker or with a callback its connection is
 * suspended: the library then neither reads nor closes it, which is what makes the request outlive
 * a client that left.
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include "api/api.h"
#include "api/request.h"
#include "core/metrics.h"

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

/*
 * What one connection may hold in the library: request headers, and response headers behind them.
 * The library zeroes all of it after each request, which is the largest single cost of a small
 * answer: 64 KiB instead of 24 cost a tenth of the hot path. Headers from LIMIT_HEADER_BYTES to
 * about 22 KiB are refused by us in problem+json. The library's own HTML text remains for what
 * never gets as far as here: larger headers (431), a malformed request line, header,
 * Content-Length or chunk (400), no Host (400), another HTTP version (505); with some 400 cookies
 * it closes without a word.
 */
#define SERVER_CONNECTION_BYTES (24 * 1024)
/* Of a body that is refused: read and thrown away, so that the refusal is read. */
#define SERVER_DISCARD_BYTES (8 * LIMIT_BODY_BYTES)

/* WORKING ends when the answer is with the library. PHASES is a power of two above them. */
enum conn_phase { PHASE_FRESH, PHASE_READING, PHASE_WORKING, PHASE_SENDING, PHASE_IDLE };
#define PHASES 8
enum conn_step { STEP_HEAD, STEP_BODY, STEP_ANSWER };
enum conn_state { STATE_RUNNING, STATE_SUSPENDED, STATE_FINISHED };

#define URI_INLINE_BYTES 768

struct conn {
	struct conn *next, *prev; /* api->conns, under api->lock */
	struct api *api;
	struct MHD_Connection *mhd;
	int fd;
	bool is_surplus, is_loopback;
	_Atomic int64_t phase; /* enum conn_phase and the tick at which it began: see conn_enter */
	int64_t ended_in;      /* the sweep's: the phase in which it saw the end of the stream */
	_Atomic int state;     /* who ends the request: see server_request.c */
	enum conn_step step;
	bool is_decided; /* the answer is there already; the body is thrown away */
	int64_t body_seen;
	char *uri; /* target as sent, and behind it room for decoding; uri_inline or allocated */
	size_t uri_len;
	uint32_t count; /* requests on this connection, for their ids */
	struct kept {   /* server_answer.c: the last plain answer, to be used again */
		struct MHD_Response *response;
		char *bytes;
		size_t len, secret; /* of the response; how many to wipe when it is sent */
	} kept;
	char uri_inline[URI_INLINE_BYTES];
	struct request req;
};

struct stream_run;

struct api {
	struct api_parts parts;
	struct MHD_Daemon *daemon;
	int listen_fd;
	unsigned port;
	struct buf tls_cert, tls_key;
	pthread_mutex_t lock; /* conns, n_conns, streams */
	struct conn *conns;
	size_t n_conns;
	struct stream_run *streams;
	_Atomic int64_t tick_ms; /* monotonic time, a second coarse: no clock on the hot path */
	struct timer sweep;
	_Atomic bool is_draining; /* answers close their connection, streams end */
	_Atomic bool is_closed;   /* requests are refused */
	_Atomic int off_thread;   /* requests and stream pieces that are not with an HTTP thread */
};

extern struct metric server_rejected, server_handed_over, server_taken_back;

void conn_enter(struct conn *c, enum conn_phase phase);
enum conn_phase conn_phase(const struct conn *c);

/* server_listen.c. The socket listens, non-blocking. -1 FAULT_INPUT says which setting to change.
 */
MUST_CHECK int server_listen(
	const char *host, int64_t port, int *ret_fd, unsigned *ret_port, struct fault *f);
/* Reads a PEM file of at most 256 KiB; the buffer is wiped when dropped. */
MUST_CHECK int server_read_pem(
	const char *path, const char *setting, struct buf *ret, struct fault *f);
/* Lets the process hold that many descriptors, as far as the hard limit goes. */
void server_raise_descriptors(size_t wanted);

/* server_request.c: from the head of a request to its answer. Plain ints are enum MHD_Result. */
int server_take_head(struct conn *c, const char *method);
/* *len is 0 then, or what it was: the connection waits, and the bytes come again. */
int server_take_body(struct conn *c, const char *bytes, size_t *len);
int server_run(struct conn *c);
/* Suspended connections go on; the last touch of api is the count of off_thread. */
void server_resume(struct api *api, struct MHD_Connection *mhd);

/* server_answer.c */
int server_send(struct conn *c);
void server_answer_sent(struct conn *c); /* or broken off: wipes what was kept of it */
void server_answer_forget(struct conn *c);

/* server_stream.c: the response that pulls a stream; takes the stream out of the answer. */
struct MHD_Response *server_stream_open(struct conn *c);
void server_streams_end(struct api *api);

/* server_sweep.c: closes connections that are too slow, from the scheduler's thread, every second.
 */
void server_sweep_start(struct api *api);
void server_sweep_stop(struct api *api);

#endif
