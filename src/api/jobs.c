/* SPDX-License-Identifier: Apache-2.0 */
/* Review jobs: started, watched, cancelled; and the sessions that streams are opened with. */
#include <string.h>

#include "api/route.h"
#include "api/scope.h"
#include "base/text.h"

static const char *read_mode(struct request *req, json_t *body)
{
	const char *mode = request_field_text(req, body, "mode", 1, 16, false);

	if (mode && !text_equal(mode, "quick") && !text_equal(mode, "full"))
		request_error(req, "body", "mode", "is '%s': give quick or full", mode);
	return mode ? mode : "full";
}

static int fetch_reviews(struct request *req, struct fault *f)
{
	AUTO(json_drop) json_t *body = NULL;
	struct job_input in = {0};
	char id[37];
	int started;

	if (request_json(req, &body, f) < 0)
		return -1;
	in.mode = read_mode(req, body);
	in.actor = request_actor(req).name;
	in.remote = request_actor(req).remote;
	if (job_source(req, body, &in, f) < 0)
		return -1;
	started = jobs_start(request_reviews(req), &in, id, f);
	secret_drop(&in.access_token);
	if (started < 0)
		return -1;
	struct json_out out = answer_json(req);
	req->answer.status = 202;
	json_add_text(&out, "job_id", id);
	json_add_text(&out, "status", "queued");
	json_add_text(&out, "message",
		started == 1 ? "An identical job is under way: joined"
			     : "Job enqueued for processing");
	json_add_bool(&out, "joined", started == 1);
	json_close(&out, '}');
	return 0;
}

static int get_status(struct request *req, struct fault *f)
{
	const char *id = request_param(req, "job_id");
	struct json_out out = JSON_OUT(&req->answer.body);

	if (job_check(req, id, f) < 0)
		return -1;
	return jobs_write(request_reviews(req), id, &out, f);
}

static int list_jobs(struct request *req, struct fault *f)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
	AUTO(seen_branches_done) struct seen_branches seen;
	struct list_page page;

	seen_branches_init(req, &seen);
	request_page(req, &page.limit, &page.cursor);
	if (request_check(req, f) < 0)
		return -1;
	const struct review_scope scope = seen_branches_scope(&seen);
	struct json_out out = answer_json(req);
	if (jobs_list(request_reviews(req), &scope, &page, &out, &cursor, f) < 0)
		return -1;
	list_end(&out, &cursor);
	return 0;
}

static int cancel_job(struct request *req, struct fault *f)
{
	const char *id = request_param(req, "id");
	const struct actor who = request_actor(req);

	if (job_check(req, id, f) < 0 || jobs_cancel(request_reviews(req), id, &who, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	req->answer.status = 202;
	json_add_text(&out, "job_id", id);
	json_add_text(&out, "message", "The job ends after its current page");
	json_close(&out, '}');
	return 0;
}

static int open_session(struct request *req, struct fault *f)
{
	AUTO(json_drop) json_t *body = NULL;
	struct job_input in = {.mode = "full"};
	char id[SESSION_ID_SIZE];
	int opened;

	if (request_json(req, &body, f) < 0)
		return -1;
	in.actor = request_actor(req).name;
	in.remote = request_actor(req).remote;
	if (job_source(req, body, &in, f) < 0)
		return -1;
	opened = sessions_open(request_reviews(req), &in, id, f);
	secret_drop(&in.access_token);
	if (opened < 0)
		return -1;
	req->answer.secret = true;
	struct json_out out = answer_json(req);
	req->answer.status = 201;
	json_add_text(&out, "session_id", id);
	json_add_int(&out, "expires_in_sec", SESSION_MS / 1000);
	json_close(&out, '}');
	return 0;
}

const struct route job_routes[] = {
	{"POST", "/api/v1/review-fetch", KEY_REVIEWS_FETCH, ROUTE_WORKER, fetch_reviews, NULL,
		"Fetch the reviews of a branch, or of an access token of your own"},
	{"GET", "/api/v1/status/{job_id}", KEY_REVIEWS_READ, ROUTE_WORKER, get_status, NULL,
		"How a job stands: counts, percent, errors per location"},
	{"GET", "/api/v1/jobs", KEY_REVIEWS_FETCH, ROUTE_WORKER, list_jobs, NULL,
		"List the jobs, newest first"},
	{"DELETE", "/api/v1/jobs/{id}", KEY_REVIEWS_FETCH, ROUTE_WORKER, cancel_job, NULL,
		"Cancel a job after its current page"},
	{"POST", "/api/v1/stream-session", KEY_REVIEWS_READ, ROUTE_WORKER, open_session, NULL,
		"A session id for /stream/nested that works once, for two minutes"},
	{0},
};
