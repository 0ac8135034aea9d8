/* SPDX-License-Identifier: Apache-2.0 */
/* One request, read whole, and its answer, made whole (or streamed) before the first byte leaves.
 */
#ifndef SIMULATOR_REQUEST_H
#define SIMULATOR_REQUEST_H

#include "base/attr.h"
#include "base/buf.h"
#include "simulator/faults.h"
#include "simulator/kind.h"
#include "simulator/params.h"

struct simulator;

#define REQUEST_ARGS_MAX 4
#define ANSWER_HEADERS_MAX 6
#define ANSWER_BYTES_MAX (64 * 1024 * 1024)

/* Makes a body piece by piece: appends to `piece`; false at the end (what was appended still
 * counts). */
struct stream {
	bool (*fill)(void *arg, struct buf *piece);
	void (*drop)(void *arg);
	void *arg;
};

struct answer {
	unsigned status;
	const char *content_type; /* static */
	struct buf body;
	struct stream stream; /* fill set: in place of body */
	struct answer_header {
		const char *name; /* static */
		char *value;      /* owned */
	} headers[ANSWER_HEADERS_MAX];
	size_t n_headers;
	bool is_throttled; /* a 429 of the quota */
};

struct request {
	struct simulator *sim;
	const char *method, *path, *target; /* target: path as it was asked, with the query */
	const char *authorization, *content_type, *host, *fetch_site; /* headers; NULL: absent */
	struct params query, form;
	bool form_is_bad; /* a form body that does not decode */
	struct buf body;
	enum kind kind;
	const char *args[REQUEST_ARGS_MAX]; /* what the stars of the route's pattern stood for */
	struct fault_plan plan;
	struct answer answer;
	int64_t now_ms; /* wall time at arrival */
};

typedef void handler_fn(struct request *r);

void answer_drop(struct answer *a);
void answer_header(struct answer *a, const char *name, const char *value);
/* Empties what there is and starts anew. */
struct buf *answer_start(struct request *r, unsigned status, const char *content_type);
#define ANSWER_JSON "application/json; charset=UTF-8"
#define ANSWER_HTML "text/html; charset=utf-8"

/*
 * Google's error body (google.rpc.Status). reason: adds an ErrorInfo detail; field: adds a
 * BadRequest violation with the message. Either may be NULL.
 */
struct google_error {
	unsigned status;
	const char *message;
	const char *reason, *service; /* ErrorInfo; service NULL: left out */
	const char *field;
	int64_t retry_info_sec;                   /* > 0: adds a RetryInfo detail */
	const char *consumer, *quota_limit_value; /* metadata, or NULL */
	bool is_v4_validation;                    /* adds v4's own ValidationError detail */
};
void answer_google_error(struct request *r, const struct google_error *e);
void answer_invalid(
	struct request *r, const char *field, const char *message); /* 400 INVALID_ARGUMENT */
void answer_not_found(struct request *r);                           /* 404 NOT_FOUND */
/* The word of a status: 404 → "NOT_FOUND". */
const char *google_status_name(unsigned status);

/* OAuth's error body (RFC 6749 section 5.2). description NULL: left out. */
void answer_oauth_error(
	struct request *r, unsigned status, const char *error, const char *description);

/* The control interface's: {"error": "…"} with the words for people. */
void answer_control_error(struct request *r, unsigned status, const char *format, ...)
	PRINTF_LIKE(3, 4);

#endif
