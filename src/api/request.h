/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a handler sees of HTTP: a request in, an answer out, nothing of libmicrohttpd.
 *
 * A handler runs on an HTTP thread (ROUTE_INLINE: memory only) or on a worker (ROUTE_WORKER: may
 * use the database). It ends in one of three ways: it fills req->answer and returns 0; it returns
 * -1 with a fault, which becomes problem+json and is logged once; or it returns REQUEST_PENDING
 * after handing the request to someone who will call request_finish or request_fail later, from any
 * thread.
 */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include <stdatomic.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/json.h"
#include "core/limits.h"
#include "core/pool.h"
#include "token_management/token_management.h"

struct api;
struct event_feed;
struct review_fetcher;

enum {
	REQUEST_PENDING = 1,
	REQUEST_TO_WORKER = 2
}; /* TO_WORKER: an inline handler wants route->worker */

#define REQUEST_PARAMS_MAX 4
#define REQUEST_QUERY_MAX 32
#define REQUEST_HEADERS_MAX 8

struct name_value {
	const char *name, *value;
};

/*
 * A body made while it is sent. fill appends the next piece; it runs on a worker, one call at a
 * time. It answers STREAM_MORE (call again when this piece is sent), STREAM_WAIT with *ret_wait_ms
 * (call again after that time), STREAM_END, or -1: the stream breaks off and the fault is logged.
 * Fill may look at the request that it answers; close may not: the request can be gone by then.
 */
enum stream_step { STREAM_MORE, STREAM_WAIT, STREAM_END };
struct stream {
	int (*fill)(struct stream *s, struct buf *out, int64_t *ret_wait_ms, struct fault *f);
	void (*close)(struct stream *s); /* frees; worker or HTTP thread, after the last fill */
	bool is_sse;                     /* a comment is sent after 15 s without data */
	/*
	 * To be called before its wait is over: set news, then arm the timer for now. The timer is
	 * the server's, there from the first fill until close returns.
	 */
	_Atomic bool news;
	struct timer *timer;
};

struct answer {
	unsigned status;          /* 200 unless set */
	const char *content_type; /* static; default application/json */
	struct buf body; /* moved out by the server; make it wiped when it bears a secret */
	struct name_value headers[REQUEST_HEADERS_MAX]; /* values: static, or from request_text() */
	size_t n_headers;
	struct stream *stream; /* instead of body */
	bool secret;           /* Cache-Control: no-store, and the body is wiped after sending */
};

struct field_error { /* one entry of errors[] in a 422 */
	char loc[2][64];
	char msg[256];
};
#define REQUEST_ERRORS_MAX 16

struct request {
	struct api *api;
	const struct route *route;
	struct route_count *route_count; /* the server's */
	const char *method;
	const char *path; /* as sent, still encoded, without the query */
	struct name_value params[REQUEST_PARAMS_MAX]; /* from the route's {names}, decoded */
	size_t n_params;
	struct name_value query[REQUEST_QUERY_MAX]; /* decoded */
	size_t n_query;
	struct buf body;
	/*
	 * ROUTE_UPLOAD and NDJSON: the handler is called for each piece of the body, one call at a
	 * time, and once more with is_whole, when it answers as any other. What it keeps in between
	 * is upload; upload_free runs on any thread, also when the client has left.
	 */
	bool is_upload, is_whole;
	void *upload;
	void (*upload_free)(void *upload);
	struct key_grant key; /* when the route has a scope and auth is on */
	bool has_key;         /* by key, or by the session of one */
	bool has_session;     /* the key is that of a person's session: session_id */
	char session_id[16];
	int64_t session_until_ms;
	char id[24]; /* request_id */
	char remote[64];
	struct answer answer;
	struct field_error *errors; /* up to REQUEST_ERRORS_MAX, by request_error */
	size_t n_errors;
	struct request_copy *copies; /* of request_text, wiped with the request */
	struct task task;            /* the server's, and a pending handler's to use */
	void *server;                /* the server's own side of it */
};

/* Lookups; NULL when absent. Borrowed from the request. */
const char *request_param(const struct request *req, const char *name);
const char *request_query(const struct request *req, const char *name);
const char *request_header(
	const struct request *req, const char *name); /* while the request lives */
const char *request_cookie(struct request *req, const char *name);
/* A copy that lives as long as the request (headers of the answer need that). */
const char *request_text(struct request *req, const char *text);

/* Query numbers: absent gives fallback; not a number or out of bounds adds an error (see below). */
int64_t request_query_int(
	struct request *req, const char *name, int64_t least, int64_t most, int64_t fallback);
/* 1 for true or 1, 0 for false or 0, -1 when absent. Anything else adds an error. */
int request_query_either(struct request *req, const char *name);
/* limit and cursor of a list, with the contract's bounds. */
void request_page(struct request *req, int64_t *ret_limit, const char **ret_cursor);

/*
 * The body as a JSON object; *ret by json_drop. -1: not JSON, not an object, or wrong content type
 * (the fault says where and what). Fields are then taken one by one; every bad one is added to
 * req->errors, and request_check answers -1 (422 with all of them) when there is any.
 */
MUST_CHECK int request_json(struct request *req, json_t **ret, struct fault *f);
/* A string of min to max bytes, trimmed of ASCII blanks; NULL when absent (an error if required) or
 * bad. */
const char *request_field_text(
	struct request *req, json_t *body, const char *name, size_t min, size_t max, bool required);
int64_t request_field_int(struct request *req, json_t *body, const char *name, int64_t least,
	int64_t most, bool required, int64_t fallback);
bool request_field_bool(struct request *req, json_t *body, const char *name, bool fallback);
void request_error(struct request *req, const char *where, const char *name, const char *format,
	...) PRINTF_LIKE(4, 5); /* where: "body", "query", "path", "header" */
MUST_CHECK int request_check(struct request *req, struct fault *f);

/* Whether the caller may see a branch; a bound key's outside is a 404, raised here with `missing`
 * as text. */
MUST_CHECK int request_sees(
	struct request *req, const char *branch_id, const char *missing, struct fault *f);
/* "key:<id>" or "anonymous", for the audit. */
struct actor request_actor(struct request *req);
/* True when the caller is a browser asking for a page (Accept prefers text/html). */
bool request_wants_html(const struct request *req);

void answer_header(struct request *req, const char *name, const char *value); /* value copied */
/* Starts a JSON object answer in req->answer.body. */
struct json_out answer_json(struct request *req);

/* End a pending request. Any thread, exactly once. The fault is mapped, logged and sent. */
void request_finish(struct request *req);
void request_fail(struct request *req, const struct fault *f);

/* The wider world, for handlers. */
struct token_management *request_tokens(const struct request *req);
struct review_fetcher *request_reviews(const struct request *req);
struct event_feed *request_events(const struct request *req); /* may be NULL in tests */
const struct settings *request_settings(const struct request *req);

#endif
