/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /token-management/import: connections that have a refresh token already. One as a JSON object is
 * answered when the provider has verified it; many as JSON lines are taken in pieces, answered when
 * the last one is stored, and verified in the background.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/client_json.h"
#include "api/negotiate.h"
#include "api/problem.h"
#include "api/route.h"
#include "base/mem.h"
#include "base/text.h"
#include "token_management/token_management_import.h"

#define IMPORT_MISSING "Import not found"
#define REPORT_PAGE 500

/* ---- what an import is told as ---- */

static const char *state_of(const struct import_status *s)
{
	if (!s->is_whole)
		return s->is_interrupted ? "interrupted" : "receiving";
	return s->waiting > 0 ? "verifying" : "completed";
}

/* Of the lines received. 100 only when all is done. */
static int64_t percent(const struct import_status *s)
{
	const int64_t done = s->verified + s->failed + s->invalid + s->exists + s->app_refused;
	const int64_t all = done + s->waiting;
	const int64_t share = all > 0 ? done * 100 / all : 0;

	if (s->is_whole && s->waiting == 0)
		return 100;
	return share < 99 ? share : 99;
}

static void write_status(struct json_out *out, const struct import_status *s)
{
	char url[128];

	snprintf(url, sizeof(url), "/token-management/imports/%s/report", s->id);
	json_add_text(out, "import_id", s->id);
	json_add_text(out, "status", state_of(s));
	json_add_text(out, "on_conflict", s->replaces ? "replace" : "keep");
	json_add_int(out, "percent", percent(s));
	json_add_int(out, "lines", s->lines);
	json_add_int(out, "accepted", s->waiting + s->app_refused + s->verified + s->failed);
	json_add_int(out, "waiting", s->waiting);
	json_add_int(out, "verified", s->verified);
	json_add_int(out, "failed", s->failed);
	json_add_int(out, "app_refused", s->app_refused);
	json_add_int(out, "invalid", s->invalid);
	json_add_int(out, "exists", s->exists);
	json_add_text(out, "created_by", s->actor);
	json_add_time(out, "created_at", s->created_at_ms);
	json_add_time(out, "finished_at", s->is_whole ? s->settled_at_ms : 0);
	json_add_text(out, "report_url", url);
}

/* ---- who may ---- */

static bool sees_branch(void *arg, const char *branch_id)
{
	const struct request *req = arg;

	return keys_may_see(request_tokens(req), &req->key, branch_id, strlen(branch_id));
}

static struct import_options read_options(struct request *req, const struct actor *who)
{
	const char *conflict = request_query(req, "on_conflict");
	char shown[TEXT_EXCERPT_SIZE];

	if (conflict && strcmp(conflict, "keep") != 0 && strcmp(conflict, "replace") != 0)
		request_error(req, "query", "on_conflict",
			"is '%s': give keep (a branch that exists stays as it is; the default) or "
			"replace",
			text_excerpt(conflict, shown));
	return (struct import_options){
		.who = who,
		.replaces = conflict && strcmp(conflict, "replace") == 0,
		.sees = req->has_key && req->key.is_bound ? sees_branch : NULL,
		.arg = req,
	};
}

/* A key that is bound to branches sees the imports that it made itself. */
static int find_import(struct request *req, struct import_status *ret, struct fault *f)
{
	const struct actor who = request_actor(req);

	if (import_status(request_tokens(req), request_param(req, "id"), ret, f) < 0)
		return -1;
	if (req->has_key && req->key.is_bound && strcmp(ret->actor, who.name) != 0)
		return fault_raise(f, FAULT_MISSING, IMPORT_MISSING);
	return 0;
}

/* ---- one ---- */

struct single {
	struct import_one one;
	struct import_status status;
	char reason[512];
	int64_t client_row;
};

static int keep_reason(void *arg, const struct import_report_row *row, struct fault *f)
{
	struct single *s = arg;

	(void)f;
	s->client_row = row->client_row;
	snprintf(s->reason, sizeof(s->reason), "%s",
		row->reason ? row->reason : "the provider cannot be asked at the moment");
	return 0;
}

static int look(struct request *req, struct single *s, struct fault *f)
{
	if (import_status(request_tokens(req), s->one.id, &s->status, f) < 0)
		return -1;
	return import_report(request_tokens(req), s->one.id, 0, 1, true, keep_reason, s, f);
}

static int say_verified(struct request *req, const struct single *s, struct fault *f)
{
	AUTO(client_done) struct client c = {0};

	if (clients_get_by_branch(request_tokens(req), s->one.branch_id, &c, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	req->answer.status = 201;
	json_add_bool(&out, "success", true);
	json_add_text(&out, "message", "Connection imported and verified");
	json_add_text(&out, "import_id", s->one.id);
	client_write_identity(&out, &c);
	client_write_state(&out, &c);
	json_close(&out, '}');
	return 0;
}

static void say_dead(struct request *req, const struct single *s)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(2048), url = BUF_INIT(LIMIT_URL_BYTES * 2);
	struct json_out out;

	buf_addf(&detail,
		"The provider does not accept this refresh_token: %s. The branch is registered: "
		"connect it by its link, or import another token with on_conflict=replace",
		s->reason);
	buf_addf(&url, "%s/token-management/oauth/login/%" PRId64,
		request_settings(req)->public_url, s->client_row);
	out = problem_open(req, 409, buf_text(&detail));
	json_add_text(&out, "connection_status", "needs_reconnect");
	json_add_text(&out, "reconnect_url", buf_text(&url));
	json_add_text(&out, "import_id", s->one.id);
	json_close(&out, '}');
}

static int say_refused(struct request *req, const struct single *s, struct fault *f)
{
	request_error(req, "body", "client_secret",
		"or client_id is not accepted by the provider: %.120s. Send the import again with "
		"the right one",
		s->reason);
	return request_check(req, f);
}

static void say_waiting(struct request *req, const struct single *s)
{
	struct json_out out = answer_json(req);

	req->answer.status = 202;
	json_add_bool(&out, "success", true);
	json_add_text(&out, "message",
		"The provider cannot be asked at the moment: the connection is stored and is "
		"verified as soon as it answers");
	json_add_text(&out, "reason", s->reason);
	write_status(&out, &s->status);
	json_close(&out, '}');
}

static int answer_single(struct request *req, enum token_outcome outcome, struct fault *f)
{
	struct single *s = req->upload;

	if (look(req, s, f) < 0)
		return -1;
	if (outcome == TOKEN_READY && s->status.verified > 0)
		return say_verified(req, s, f);
	if (s->status.app_refused > 0)
		return say_refused(req, s, f);
	if (s->status.failed > 0)
		say_dead(req, s);
	else
		say_waiting(req, s);
	return 0;
}

static void on_verified(void *arg, const struct token_result *result)
{
	struct request *req = arg;
	struct fault f = {0};

	if (answer_single(req, result->outcome, &f) < 0)
		request_fail(req, &f);
	else
		request_finish(req);
}

static int refuse_flaws(struct request *req, const struct import_one *one, struct fault *f)
{
	for (size_t i = 0; i < one->n_flaws; i++)
		request_error(req, "body", one->flaws[i].field, "%s", one->flaws[i].text);
	return request_check(req, f);
}

static int import_single(struct request *req, const struct import_options *options, struct fault *f)
{
	AUTO(json_drop) json_t *body = NULL;
	struct single *s = mem_alloc(sizeof(*s));
	int outcome;

	req->upload = s;
	req->upload_free = mem_free;
	if (request_json(req, &body, f) < 0)
		return -1;
	outcome = import_one(request_tokens(req), options, body, &s->one, f);
	if (outcome < 0)
		return -1;
	if (outcome == IMPORT_ONE_INVALID)
		return refuse_flaws(req, &s->one, f);
	if (outcome == IMPORT_ONE_EXISTS)
		return fault_raise(f, FAULT_CONFLICT,
			"Branch ID already exists: import it with on_conflict=replace to give it "
			"this refresh_token");
	tokens_obtain(request_tokens(req), s->one.branch_id, 0, false, on_verified, req);
	return REQUEST_PENDING;
}

/* ---- many ---- */

static void free_import(void *upload)
{
	import_free(upload);
}

static int import_piece(struct request *req, const struct import_options *options, struct fault *f)
{
	struct import *x = req->upload;
	struct import_status s;
	char location[128];

	if (x == NULL) {
		if (import_begin(request_tokens(req), options, &x, f) < 0)
			return -1;
		req->upload = x;
		req->upload_free = free_import;
	}
	if (import_take(x, buf_text(&req->body), req->body.len, f) < 0)
		return -1;
	if (!req->is_whole)
		return 0;
	if (import_end(x, f) < 0 || import_status(request_tokens(req), import_id(x), &s, f) < 0)
		return -1;
	snprintf(location, sizeof(location), "/token-management/imports/%s", s.id);
	struct json_out out = answer_json(req);
	req->answer.status = 202;
	answer_header(req, "Location", location);
	json_add_bool(&out, "success", true);
	json_add_text(&out, "message", "All lines are stored; their tokens are being verified");
	write_status(&out, &s);
	json_close(&out, '}');
	return 0;
}

static int import_connections(struct request *req, struct fault *f)
{
	const struct actor who = request_actor(req);
	const struct import_options options = read_options(req, &who);
	const char *type = request_header(req, "Content-Type");
	char shown[TEXT_EXCERPT_SIZE];

	if (request_check(req, f) < 0)
		return -1;
	if (req->is_upload)
		return import_piece(req, &options, f);
	if (content_type_is_json(type))
		return import_single(req, &options, f);
	req->answer.status = 415;
	return fault_raise(f, FAULT_INPUT,
		"Content-Type is '%s': send one connection as application/json, or one on each "
		"line as application/x-ndjson",
		text_excerpt(type, shown));
}

/* ---- reading ---- */

static int get_import(struct request *req, struct fault *f)
{
	struct import_status s;

	if (find_import(req, &s, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	write_status(&out, &s);
	json_close(&out, '}');
	return 0;
}

static int write_one(void *arg, const struct import_status *s, struct fault *f)
{
	struct json_out *out = arg;

	(void)f;
	json_open(out, '{');
	write_status(out, s);
	json_close(out, '}');
	return 0;
}

static int list_imports(struct request *req, struct fault *f)
{
	const struct actor who = request_actor(req);
	const int64_t limit =
		request_query_int(req, "limit", 1, LIMIT_LIST_MAX, LIMIT_LIST_DEFAULT);

	if (request_check(req, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	const char *only_by = req->has_key && req->key.is_bound ? who.name : NULL;
	json_key(&out, "imports");
	json_open(&out, '[');
	if (imports_list(request_tokens(req), only_by, limit, write_one, &out, f) < 0)
		return -1;
	json_close(&out, ']');
	json_close(&out, '}');
	return 0;
}

/* ---- the report ---- */

struct report {
	struct stream stream;
	struct token_management *tm;
	char id[IMPORT_ID_SIZE];
	int64_t last_line, n;
	bool all;
	struct buf *out;
};

static int write_row(void *arg, const struct import_report_row *row, struct fault *f)
{
	struct report *r = arg;
	struct json_out o = JSON_OUT(r->out);

	(void)f;
	json_open(&o, '{');
	json_add_int(&o, "line", row->line);
	json_add_text(&o, "branch_id", row->branch_id);
	json_add_text(&o, "state", row->state);
	json_add_text(&o, "reason", row->reason);
	json_key(&o, "client_id");
	if (row->client_row > 0)
		json_put_int(&o, row->client_row);
	else
		json_put_null(&o);
	json_close(&o, '}');
	buf_add_char(r->out, '\n');
	r->last_line = row->line;
	r->n++;
	return 0;
}

static int fill_report(struct stream *s, struct buf *out, int64_t *ret_wait_ms, struct fault *f)
{
	struct report *r = CONTAINER_OF(s, struct report, stream);

	(void)ret_wait_ms;
	r->out = out;
	r->n = 0;
	if (import_report(r->tm, r->id, r->last_line, REPORT_PAGE, r->all, write_row, r, f) < 0)
		return -1;
	return r->n == REPORT_PAGE ? STREAM_MORE : STREAM_END;
}

static void close_report(struct stream *s)
{
	mem_free(CONTAINER_OF(s, struct report, stream));
}

static int get_report(struct request *req, struct fault *f)
{
	const char *lines = request_query(req, "lines");
	char shown[TEXT_EXCERPT_SIZE];
	struct import_status s;
	struct report *r;

	if (lines && strcmp(lines, "all") != 0 && strcmp(lines, "unverified") != 0)
		request_error(req, "query", "lines",
			"is '%s': give unverified (the default) or all",
			text_excerpt(lines, shown));
	if (request_check(req, f) < 0 || find_import(req, &s, f) < 0)
		return -1;
	r = mem_alloc(sizeof(*r));
	r->stream = (struct stream){.fill = fill_report, .close = close_report};
	r->tm = request_tokens(req);
	memcpy(r->id, s.id, sizeof(r->id));
	r->all = lines && strcmp(lines, "all") == 0;
	req->answer.content_type = "application/x-ndjson";
	req->answer.stream = &r->stream;
	return 0;
}

const struct route import_routes[] = {
	{"POST", "/token-management/import", KEY_CLIENTS_WRITE, ROUTE_UPLOAD, import_connections,
		NULL,
		"Take in connections by the refresh tokens that they have: one as JSON, many as "
		"JSON lines"},
	{"GET", "/token-management/imports", KEY_CLIENTS_READ, ROUTE_WORKER, list_imports, NULL,
		"The imports of the last 30 days, the newest first"},
	{"GET", "/token-management/imports/{id}", KEY_CLIENTS_READ, ROUTE_WORKER, get_import, NULL,
		"How far an import is"},
	{"GET", "/token-management/imports/{id}/report", KEY_CLIENTS_READ, ROUTE_WORKER, get_report,
		NULL, "What became of each line, as JSON lines: those not verified, or all"},
	{0},
};
