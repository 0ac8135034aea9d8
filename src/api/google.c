/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Google posts to us by itself. No key is shown here but Google's signature, so strangers are
 * turned away on the HTTP thread as far as that is cheap, and learn nothing but that they were.
 */
#include <string.h>

#include "api/problem.h"
#include "api/route.h"
#include "token_management/token_management_google.h"

/* RFC 8935 section 2.3. */
static void refuse_event(struct request *req, const char *err, const char *words)
{
	struct json_out out = answer_json(req);

	req->answer.status = 400;
	json_add_text(&out, "err", err);
	json_add_text(&out, "description", words);
	json_close(&out, '}');
}

static void say_later(struct request *req, unsigned status, const char *words, uint32_t ms)
{
	problem_say(req, status, words);
	problem_retry_after(req, ms);
}

static void on_taken(void *arg, const struct security_event_result *r)
{
	struct request *req = arg;

	switch (r->outcome) {
	case SECURITY_EVENT_TAKEN:
		req->answer.status = 202;
		req->answer.content_type = NULL;
		break;
	case SECURITY_EVENT_REFUSED:
		refuse_event(req, r->err, r->words);
		break;
	case SECURITY_EVENT_LATER:
		say_later(req, 503,
			"Google's keys cannot be had at the moment: send the event again",
			r->retry_after_ms);
		break;
	case SECURITY_EVENT_FAILED:
		request_fail(req, r->fault);
		return;
	}
	request_finish(req);
}

static int look_at_event(struct request *req, struct fault *f)
{
	(void)f;
	switch (google_jwt_look(request_tokens(req), buf_text(&req->body), req->body.len)) {
	case GOOGLE_JWT_LOOKS_FINE:
		return REQUEST_TO_WORKER;
	case GOOGLE_JWT_IS_NONE:
		refuse_event(req, "invalid_request", "the body is no token signed with RS256");
		return 0;
	case GOOGLE_JWT_TOO_MANY:
		break;
	}
	say_later(req, 429, "Too many events come at once: send this one again", 1000);
	return 0;
}

static int take_event(struct request *req, struct fault *f)
{
	(void)f;
	security_event_take(
		request_tokens(req), buf_text(&req->body), req->body.len, on_taken, req);
	return REQUEST_PENDING;
}

const struct route google_routes[] = {
	{"POST", "/token-management/events/google", 0, ROUTE_INLINE, look_at_event, take_event,
		"Take a security event that Google signed (RFC 8935)"},
	{0},
};
