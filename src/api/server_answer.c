/* SPDX-License-Identifier: Apache-2.0 */
#include <microhttpd.h>
#include <string.h>

#include "api/request_life.h"
#include "api/route.h"
#include "api/server.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"

/* ---- plain answers: JSON without headers of their own, which is nearly all of them ---- */

#define KEPT_BYTES_MAX 4096

/*
 * A response object costs a dozen allocations, and those of one connection differ in their bytes
 * only. So the object is kept, over memory that is ours, and the next answer of the same length is
 * written into it. One connection has one answer at a time, and the bytes are wiped when it is
 * sent.
 */
static bool is_plain(const struct conn *c, const struct answer *a)
{
	return a->n_headers == 0 && !a->stream && a->content_type == answer_plain_type &&
	       a->body.len > 0 && a->body.len <= KEPT_BYTES_MAX && !c->is_surplus &&
	       !atomic_load_explicit(&c->api->is_draining, memory_order_relaxed);
}

static struct MHD_Response *kept_response(struct conn *c, size_t len)
{
	struct kept *k = &c->kept;

	if (k->response && k->len == len)
		return k->response;
	server_answer_forget(c);
	k->bytes = mem_alloc(len);
	k->len = len;
	k->response = MHD_create_response_from_buffer(len, k->bytes, MHD_RESPMEM_PERSISTENT);
	if (k->response == NULL ||
		MHD_add_response_header(k->response, "Content-Type", answer_plain_type) !=
			MHD_YES ||
		MHD_add_response_header(k->response, "Cache-Control", "no-store") != MHD_YES)
		return NULL;
	return k->response;
}

static int send_plain(struct conn *c)
{
	struct answer *a = &c->req.answer;
	struct MHD_Response *r = kept_response(c, a->body.len);

	if (r == NULL)
		return MHD_NO;
	memcpy(c->kept.bytes, a->body.data, a->body.len);
	c->kept.secret = a->secret || a->body.wiped ? a->body.len : 0;
	route_count(c->req.route_count, a->status);
	const int queued = (int)MHD_queue_response(c->mhd, a->status, r);
	conn_enter(c, PHASE_SENDING);
	return queued;
}

void server_answer_sent(struct conn *c)
{
	if (c->kept.secret > 0)
		secret_wipe(c->kept.bytes, c->kept.secret);
	c->kept.secret = 0;
}

void server_answer_forget(struct conn *c)
{
	if (c->kept.response)
		MHD_destroy_response(c->kept.response);
	mem_free(c->kept.bytes);
	c->kept = (struct kept){0};
}

/* ---- the others ---- */

/* The memory of the body goes to the library, which gives it back when the last byte is sent. */
static struct MHD_Response *body_response(struct answer *a)
{
	struct buf body = a->body;
	const bool is_wiped = body.wiped || a->secret;
	static char nothing[] = "";

	a->body = BUF_INIT(LIMIT_RESPONSE_BYTES);
	if (body.len == 0) {
		buf_drop(&body);
		return MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
	}
	struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback_cls(
		body.len, body.data, is_wiped ? mem_wipe_free : mem_free, body.data);
	if (r == NULL)
		buf_drop(&body);
	return r;
}

static bool has_header(const struct answer *a, const char *name)
{
	for (size_t i = 0; i < a->n_headers; i++)
		if (strcmp(a->headers[i].name, name) == 0)
			return true;
	return false;
}

static bool add_headers(struct MHD_Response *r, const struct answer *a)
{
	bool good = true;

	if (a->content_type)
		good &= MHD_add_response_header(r, "Content-Type", a->content_type) == MHD_YES;
	/* Answers here are about now, for one caller. */
	if (!has_header(a, "Cache-Control"))
		good &= MHD_add_response_header(r, "Cache-Control", "no-store") == MHD_YES;
	for (size_t i = 0; i < a->n_headers; i++)
		good &= MHD_add_response_header(r, a->headers[i].name, a->headers[i].value) ==
			MHD_YES;
	return good;
}

int server_send(struct conn *c)
{
	struct answer *a = &c->req.answer;
	int queued = MHD_NO;

	if (buf_failed(&a->body)) {
		log_event(LOG_ERROR, "http.answer_too_large", F_STR("request_id", c->req.id));
		return MHD_NO;
	}
	if (is_plain(c, a))
		return send_plain(c);
	const bool is_streamed = a->stream != NULL;
	struct MHD_Response *r = is_streamed ? server_stream_open(c) : body_response(a);
	if (r == NULL)
		return MHD_NO;
	/* The library would end a body that HEAD does not have with the last chunk, which the
	 * caller takes for the next answer. This way it closes the connection instead. */
	if (is_streamed && strcmp(c->req.method, "HEAD") == 0)
		(void)MHD_set_response_options(r, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
	if (c->is_surplus || atomic_load_explicit(&c->api->is_draining, memory_order_relaxed))
		(void)MHD_add_response_header(r, "Connection", "close");
	if (add_headers(r, a)) {
		route_count(c->req.route_count, a->status);
		queued = (int)MHD_queue_response(c->mhd, a->status, r);
	} else {
		log_event(LOG_ERROR, "http.bad_answer_header", F_STR("request_id", c->req.id));
	}
	MHD_destroy_response(r);
	conn_enter(c, PHASE_SENDING);
	return queued;
}
