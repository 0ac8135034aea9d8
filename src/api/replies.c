/* SPDX-License-Identifier: Apache-2.0 */
/* Replies to reviews. */
#include <string.h>

#include "api/path.h"
#include "api/route.h"
#include "api/scope.h"
#include "base/text.h"
#include "review_fetcher/review_fetcher_reply.h"

static void on_reply(void *arg, const struct reply_result *r)
{
	struct request *req = arg;

	if (r->fault) {
		if (r->status)
			req->answer.status = r->status;
		request_fail(req, r->fault);
		return;
	}
	buf_add(&req->answer.body, r->review, r->len);
	if (r->replayed)
		answer_header(req, "Idempotency-Replayed", "true");
	request_finish(req);
}

/* What a header can carry, and a person can compare. */
static void check_key(struct request *req)
{
	const char *key = request_header(req, "Idempotency-Key");
	size_t len = key ? strlen(key) : 0;

	if (key == NULL)
		return;
	for (size_t i = 0; i < len; i++)
		if (key[i] < ' ' || key[i] > '~')
			len = 0;
	if (len == 0 || len > REPLY_KEY_BYTES)
		request_error(req, "header", "Idempotency-Key",
			"must have 1 to %d printable ASCII characters", REPLY_KEY_BYTES);
}

/* A line may end; whatever else is no character to be read has come by mistake. */
static void check_comment(struct request *req, const char *comment)
{
	for (const char *c = comment ? comment : ""; *c != '\0'; c++) {
		if ((*c >= ' ' && *c != 0x7f) || *c < 0 || strchr("\n\r\t", *c) != NULL)
			continue;
		request_error(req, "body", "comment",
			"holds the control character \\u%04x: take it out", (unsigned)*c);
		return;
	}
}

static int ask_google(struct request *req, int64_t id, const char *comment)
{
	AUTO(seen_branches_done) struct seen_branches seen;
	const struct actor who = request_actor(req);

	seen_branches_init(req, &seen);
	const struct reply_ask ask = {
		.review = id,
		.comment = comment,
		.idempotency_key = request_header(req, "Idempotency-Key"),
		.scope = seen_branches_scope(&seen),
		.who = &who,
	};
	replies_ask(request_reviews(req), &ask, on_reply, req);
	return REQUEST_PENDING;
}

static int put_reply(struct request *req, struct fault *f)
{
	AUTO(json_drop) json_t *body = NULL;
	const char *comment;
	int64_t id;

	if (path_id(req, "id", &id, f) < 0 || request_json(req, &body, f) < 0)
		return -1;
	/* Google counts bytes, so an umlaut is two. */
	comment = request_field_text(req, body, "comment", 1, REPLY_BYTES_MAX, true);
	check_comment(req, comment);
	check_key(req);
	if (request_check(req, f) < 0)
		return -1;
	return ask_google(req, id, comment);
}

static int delete_reply(struct request *req, struct fault *f)
{
	int64_t id;

	if (path_id(req, "id", &id, f) < 0)
		return -1;
	check_key(req);
	if (request_check(req, f) < 0)
		return -1;
	return ask_google(req, id, NULL);
}

const struct route reply_routes[] = {
	{"PUT", "/api/v1/reviews/{id}/reply", KEY_REVIEWS_REPLY, ROUTE_WORKER, put_reply, NULL,
		"Reply to a review, or change the reply, at Google"},
	{"DELETE", "/api/v1/reviews/{id}/reply", KEY_REVIEWS_REPLY, ROUTE_WORKER, delete_reply,
		NULL, "Take the reply to a review away, at Google"},
	{0},
};
