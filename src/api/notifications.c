/* SPDX-License-Identifier: Apache-2.0 */
/* Google's notifications of reviews: taken by push, and switched on and off for an account. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/problem.h"
#include "api/route.h"
#include "api/scope.h"
#include "base/text.h"
#include "review_fetcher/review_fetcher_push.h"
#include "token_management/token_management_google.h"

#define TOPIC_MAX 600

/* ---- push ---- */

static const char *bearer(const struct request *req)
{
	const char *header = request_header(req, "Authorization");

	return header && strncasecmp(header, "Bearer ", 7) == 0 ? header + 7 : "";
}

static void refuse_caller(struct request *req)
{
	problem_say(req, 401,
		"A push message shows an OpenID Connect token of Google's, for the audience and "
		"service account that are set here");
	answer_header(req, "WWW-Authenticate", "Bearer realm=\"review-fetcher push\"");
}

static void say_later(struct request *req, unsigned status, const char *words, uint32_t ms)
{
	problem_say(req, status, words);
	problem_retry_after(req, ms);
}

static int look_at_push(struct request *req, struct fault *f)
{
	const char *token = bearer(req);

	(void)f;
	if (request_settings(req)->google_push_account == NULL) {
		problem_say(req, 403, "Push is not set up here: GOOGLE_PUSH_ACCOUNT is not set");
		return 0;
	}
	switch (google_jwt_look(request_tokens(req), token, strlen(token))) {
	case GOOGLE_JWT_LOOKS_FINE:
		return REQUEST_TO_WORKER;
	case GOOGLE_JWT_IS_NONE:
		refuse_caller(req);
		return 0;
	case GOOGLE_JWT_TOO_MANY:
		break;
	}
	say_later(req, 429, "Too many messages come at once: send this one again", 1000);
	return 0;
}

static void on_caller(void *arg, enum google_caller caller, uint32_t retry_after_ms)
{
	struct request *req = arg;
	struct fault f = {0};

	if (caller == GOOGLE_CALLER_IS_NOT) {
		refuse_caller(req);
	} else if (caller == GOOGLE_CALLER_UNKNOWN) {
		say_later(req, 503,
			"Google's keys cannot be had at the moment: send the message again",
			retry_after_ms);
	} else if (push_take(request_reviews(req), buf_text(&req->body), req->body.len, &f) < 0) {
		request_fail(req, &f);
		return;
	} else {
		req->answer.status = 204;
		req->answer.content_type = NULL;
	}
	request_finish(req);
}

static int take_push(struct request *req, struct fault *f)
{
	const struct google_caller_wish wish = {
		.audience = request_settings(req)->google_push_audience,
		.email = request_settings(req)->google_push_account,
	};
	const char *token = bearer(req);

	(void)f;
	google_caller_check(request_tokens(req), token, strlen(token), &wish, on_caller, req);
	return REQUEST_PENDING;
}

/* ---- the setting of an account ---- */

static void on_setting(void *arg, const struct notification_result *r)
{
	struct request *req = arg;

	if (r->setting == NULL) {
		request_fail(req, r->fault);
		return;
	}
	struct json_out out = JSON_OUT(&req->answer.body);
	json_put_raw(&out, r->setting, r->len);
	request_finish(req);
}

static int ask_google(struct request *req, enum notification_wish wish, const char *topic)
{
	AUTO(seen_branches_done) struct seen_branches seen;
	const struct actor who = request_actor(req);

	seen_branches_init(req, &seen);
	const struct notification_ask ask = {
		.wish = wish,
		.account_id = request_param(req, "id"),
		.topic = topic,
		.scope = seen_branches_scope(&seen),
		.who = &who,
	};
	notifications_ask(request_reviews(req), &ask, on_setting, req);
	return REQUEST_PENDING;
}

static int show_setting(struct request *req, struct fault *f)
{
	(void)f;
	return ask_google(req, NOTIFICATIONS_SHOW, NULL);
}

static bool is_topic(const char *text)
{
	const char *at = text_starts(text, "projects/") ? strstr(text, "/topics/") : NULL;

	return at && at > text + strlen("projects/") && at[strlen("/topics/")] != '\0';
}

static int put_setting(struct request *req, struct fault *f)
{
	AUTO(json_drop) json_t *body = NULL;
	const char *topic;

	if (req->body.len > 0 && request_json(req, &body, f) < 0)
		return -1;
	topic = request_field_text(req, body, "topic", 1, TOPIC_MAX, false);
	if (topic == NULL)
		topic = request_settings(req)->google_pubsub_topic;
	if (topic == NULL)
		request_error(req, "body", "topic",
			"is missing: give projects/{project}/topics/{topic}, or set "
			"GOOGLE_PUBSUB_TOPIC");
	else if (!is_topic(topic))
		request_error(
			req, "body", "topic", "must look like projects/{project}/topics/{topic}");
	if (request_check(req, f) < 0)
		return -1;
	return ask_google(req, NOTIFICATIONS_SET, topic);
}

static int remove_setting(struct request *req, struct fault *f)
{
	(void)f;
	return ask_google(req, NOTIFICATIONS_REMOVE, NULL);
}

const struct route notification_routes[] = {
	{"POST", "/api/v1/notifications/google", 0, ROUTE_INLINE, look_at_push, take_push,
		"Take a Pub/Sub push message of a new or changed review"},
	{"GET", "/api/v1/accounts/{id}/notifications", KEY_REVIEWS_FETCH, ROUTE_WORKER,
		show_setting, NULL, "What Google notifies of for an account, and where to"},
	{"PUT", "/api/v1/accounts/{id}/notifications", KEY_REVIEWS_FETCH, ROUTE_WORKER, put_setting,
		NULL, "Have Google notify a topic of the account's new and changed reviews"},
	{"DELETE", "/api/v1/accounts/{id}/notifications", KEY_REVIEWS_FETCH, ROUTE_WORKER,
		remove_setting, NULL, "Have Google notify no longer"},
	{0},
};
