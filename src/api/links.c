/* SPDX-License-Identifier: Apache-2.0 */
/* /token-management/clients/{id}/connect-link(s): making, listing and revoking connect links. */
#include "api/path.h"
#include "api/route.h"

#define NOT_FOUND "Client not found or inactive"

/* The row of {id}, if the caller may see it. */
static int find_id(struct request *req, int64_t *ret, struct fault *f)
{
	AUTO(client_done) struct client c = {0};

	if (path_id(req, "id", ret, f) < 0 || clients_get(request_tokens(req), *ret, &c, f) < 0)
		return -1;
	return request_sees(req, c.branch_id, NOT_FOUND, f);
}

static int make_link(struct request *req, struct fault *f)
{
	AUTO(buf_drop) struct buf url = BUF_INIT_WIPED(LIMIT_URL_BYTES * 2);
	int64_t id, expires_at_ms = 0;

	if (find_id(req, &id, f) < 0)
		return -1;
	const struct actor who = request_actor(req);
	if (connect_link(request_tokens(req), id, &who, &url, &expires_at_ms, f) < 0)
		return -1;

	req->answer.secret = true;
	req->answer.body = BUF_INIT_WIPED(LIMIT_RESPONSE_BYTES);
	struct json_out out = answer_json(req);
	json_add_text(&out, "url", buf_text(&url));
	json_add_time(&out, "expires_at", expires_at_ms);
	json_close(&out, '}');
	return 0;
}

static int write_link(void *arg, const struct connect_link_row *row, struct fault *f)
{
	struct json_out *out = arg;

	(void)f;
	json_open(out, '{');
	json_add_text(out, "id", row->id);
	json_add_time(out, "created_at", row->created_at_ms);
	json_add_text(out, "created_by", row->made_by);
	json_add_time(out, "expires_at", row->expires_at_ms);
	json_add_bool(out, "opened", row->is_bound);
	json_close(out, '}');
	return 0;
}

static int list_links(struct request *req, struct fault *f)
{
	int64_t id;

	if (find_id(req, &id, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	json_key(&out, "links");
	json_open(&out, '[');
	if (connect_links_list(request_tokens(req), id, write_link, &out, f) < 0)
		return -1;
	json_close(&out, ']');
	json_close(&out, '}');
	return 0;
}

static int revoke_links(struct request *req, struct fault *f)
{
	int64_t id, n = 0;

	if (find_id(req, &id, f) < 0)
		return -1;
	const struct actor who = request_actor(req);
	if (connect_links_revoke(
		    request_tokens(req), id, request_param(req, "link_id"), &who, &n, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	json_add_bool(&out, "success", true);
	json_add_int(&out, "revoked", n);
	json_close(&out, '}');
	return 0;
}

const struct route link_routes[] = {
	{"POST", "/token-management/clients/{id}/connect-link", KEY_CLIENTS_WRITE, ROUTE_WORKER,
		make_link, NULL,
		"A one-time link by which a branch manager connects without a key"},
	{"GET", "/token-management/clients/{id}/connect-links", KEY_CLIENTS_WRITE, ROUTE_WORKER,
		list_links, NULL, "The links of a branch that still open something"},
	{"DELETE", "/token-management/clients/{id}/connect-links", KEY_CLIENTS_WRITE, ROUTE_WORKER,
		revoke_links, NULL, "Revoke all open links of a branch"},
	{"DELETE", "/token-management/clients/{id}/connect-links/{link_id}", KEY_CLIENTS_WRITE,
		ROUTE_WORKER, revoke_links, NULL, "Revoke one link"},
	{0},
};
