/* SPDX-License-Identifier: Apache-2.0 */
/* /token-management/clients: the branches and their Google connections. Never a secret in an
 * answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/client_json.h"
#include "api/path.h"
#include "api/problem.h"
#include "api/revoking.h"
#include "api/route.h"
#include "api/scope.h"
#include "base/text.h"

#define NOT_FOUND "Client not found or inactive"

/* What every answer about a client begins with; the names are the original's. */
void client_write_identity(struct json_out *out, const struct client *c)
{
	json_add_int(out, "client_id", c->id);
	json_add_text(out, "client_oauth_id", c->client_oauth_id);
	json_add_int(out, "branch_id", c->id);
	json_add_text(out, "branch_identifier", c->branch_id);
	json_add_text(out, "email", c->workspace_email);
	json_add_text(out, "workspace_name", c->workspace_name);
	json_add_text(out, "redirect_uri", c->redirect_uri);
	json_add_time(out, "created_at", c->created_at_ms);
}

static void write_words(struct json_out *out, const char *key, const char *words)
{
	json_key(out, key);
	if (words == NULL) {
		json_put_null(out);
		return;
	}
	json_open(out, '[');
	for (words += strspn(words, " "); *words; words += strspn(words, " ")) {
		const size_t len = strcspn(words, " ");
		json_put_bytes(out, words, len);
		words += len;
	}
	json_close(out, ']');
}

void client_write_state(struct json_out *out, const struct client *c)
{
	json_add_time(out, "updated_at", c->updated_at_ms);
	json_add_text(out, "provider", c->provider);
	json_add_text(out, "scope", c->scope);
	json_add_bool(out, "is_active", c->is_active);
	json_add_text(out, "status", c->status);
	json_add_text(out, "status_reason", c->status_reason);
	json_add_text(out, "connected_email", c->connected_email);
	write_words(out, "granted_scopes", c->granted_scopes);
	write_words(out, "missing_scopes", c->missing_scopes);
	json_add_time(out, "expires_at", c->expires_at_ms);
	json_add_time(out, "last_refreshed_at", c->last_refreshed_at_ms);
	json_add_time(out, "next_refresh_at", c->next_refresh_at_ms);
}

static int register_client(struct request *req, struct fault *f)
{
	AUTO(json_drop) json_t *body = NULL;
	AUTO(client_done) struct client c = {0};

	if (request_json(req, &body, f) < 0)
		return -1;
	const struct client_input in = {
		.client_id =
			request_field_text(req, body, "client_id", 1, LIMIT_CLIENT_ID_BYTES, false),
		.client_secret = request_field_text(
			req, body, "client_secret", 1, LIMIT_CLIENT_SECRET_BYTES, false),
		.provider = request_field_text(req, body, "provider", 1, LIMIT_NAME_BYTES, false),
		.scope = request_field_text(req, body, "scope", 1, LIMIT_SCOPE_BYTES, false),
		.private_key = request_field_text(
			req, body, "private_key", 1, LIMIT_PRIVATE_KEY_BYTES, false),
		.key_id = request_field_text(req, body, "key_id", 1, LIMIT_KEY_ID_BYTES, false),
		.redirect_uri =
			request_field_text(req, body, "redirect_uri", 1, LIMIT_URL_BYTES, false),
		.branch_id =
			request_field_text(req, body, "branch_id", 1, LIMIT_BRANCH_ID_BYTES, true),
		.workspace_email = request_field_text(
			req, body, "workspace_email", 3, LIMIT_EMAIL_BYTES, true),
		.workspace_name =
			request_field_text(req, body, "workspace_name", 1, LIMIT_NAME_BYTES, true),
	};
	const struct actor who = request_actor(req);
	if (request_check(req, f) < 0 ||
		request_sees(req, in.branch_id,
			"This key is bound to other branches: use one that covers "
			"this branch_id, or one that is not bound",
			f) < 0 ||
		clients_register(request_tokens(req), &in, &who, &c, f) < 0)
		return -1;

	struct json_out out = answer_json(req);
	req->answer.status = 201;
	json_add_bool(&out, "success", true);
	json_add_text(&out, "message", "Client created successfully");
	client_write_identity(&out, &c);
	json_close(&out, '}');
	return 0;
}

/* ---- reading ---- */

/* The client of {id}, if the caller may see it; *ret by client_done, whatever the outcome. */
static int find_client(struct request *req, struct client *ret, struct fault *f)
{
	int64_t id;

	if (path_id(req, "id", &id, f) < 0 || clients_get(request_tokens(req), id, ret, f) < 0)
		return -1;
	return request_sees(req, ret->branch_id, NOT_FOUND, f);
}

static int get_client(struct request *req, struct fault *f)
{
	AUTO(client_done) struct client c = {0};

	if (find_client(req, &c, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	client_write_identity(&out, &c);
	client_write_state(&out, &c);
	json_close(&out, '}');
	return 0;
}

/* ---- changing ---- */

/* What a connection hangs on is not changed under it: another app or branch is another client. */
static void refuse_fixed(struct request *req, const json_t *body)
{
	static const char *const fixed[] = {"client_id", "branch_id", "provider", "scope"};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (json_member(body, fixed[i]))
			request_error(req, "body", fixed[i],
				"cannot be changed: register a new client instead");
}

static void read_change(
	struct request *req, json_t *body, bool *is_active, struct client_change *ret)
{
	const json_t *active = json_member(body, "is_active");

	*is_active = request_field_bool(req, body, "is_active", true);
	*ret = (struct client_change){
		.client_secret = request_field_text(
			req, body, "client_secret", 1, LIMIT_CLIENT_SECRET_BYTES, false),
		.private_key = request_field_text(
			req, body, "private_key", 1, LIMIT_PRIVATE_KEY_BYTES, false),
		.key_id = request_field_text(req, body, "key_id", 1, LIMIT_KEY_ID_BYTES, false),
		.redirect_uri =
			request_field_text(req, body, "redirect_uri", 1, LIMIT_URL_BYTES, false),
		.workspace_email = request_field_text(
			req, body, "workspace_email", 3, LIMIT_EMAIL_BYTES, false),
		.workspace_name =
			request_field_text(req, body, "workspace_name", 1, LIMIT_NAME_BYTES, false),
		.is_active = active && !json_is_null(active) ? is_active : NULL,
	};
	refuse_fixed(req, body);
	if (req->n_errors == 0 && !ret->client_secret && !ret->private_key && !ret->redirect_uri &&
		!ret->workspace_email && !ret->workspace_name && !ret->is_active)
		request_error(req, "body", "client_secret",
			"or another field to change is missing: give client_secret, redirect_uri, "
			"workspace_email, workspace_name or is_active");
}

static int change_client(struct request *req, struct fault *f)
{
	AUTO(json_drop) json_t *body = NULL;
	AUTO(client_done) struct client c = {0}, changed = {0};
	struct client_change change;
	bool is_active;

	if (request_json(req, &body, f) < 0)
		return -1;
	read_change(req, body, &is_active, &change);
	if (request_check(req, f) < 0 || find_client(req, &c, f) < 0)
		return -1;
	const struct actor who = request_actor(req);
	if (clients_change(request_tokens(req), c.id, &change, &who, &changed, f) < 0)
		return -1;

	struct json_out out = answer_json(req);
	json_add_bool(&out, "success", true);
	json_add_text(&out, "message", "Client updated successfully");
	client_write_identity(&out, &changed);
	client_write_state(&out, &changed);
	json_close(&out, '}');
	return 0;
}

/* Deleting is not revoking: what the provider granted lives on there. Appends nothing when nothing
 * does. */
static void what_lives_on(const struct client *c, struct buf *ret)
{
	const bool is_google = strcmp(c->provider, "google") == 0;

	if (c->expires_at_ms == 0 || strcmp(c->status, "revoked") == 0 ||
		strcmp(c->status, "pending") == 0)
		return;
	buf_addf(ret,
		"The grant at %s lives on: it can be taken back in the %s account%s. Next time "
		"delete with revoke=true.",
		c->provider_title, c->provider_title,
		is_google ? " (myaccount.google.com/permissions)" : "");
}

static void say_deleted(
	struct request *req, int64_t id, const char *branch_id, const char *warning, bool purges)
{
	struct json_out out = answer_json(req);

	json_add_bool(&out, "success", true);
	json_add_text(&out, "message", "Client deleted successfully");
	json_add_int(&out, "client_id", id);
	json_add_text(&out, "branch_identifier", branch_id);
	json_add_text(&out, "warning", warning);
	json_add_bool(&out, "purging_reviews", purges);
	json_close(&out, '}');
}

static void say_revoked(struct request *req, const struct revoke_result *r, bool purges)
{
	struct json_out out = answer_json(req);

	revoking_write(req, &out, r,
		r->is_local ? "The tokens were dropped here and the client deleted; the provider "
			      "has no address to revoke at, so the grant lives on there"
		: r->is_deleted
			? "The connection was revoked and the client deleted"
			: "The provider cannot be asked at the moment; revoking is tried until "
			  "it is done, and no token is handed out meanwhile. The client was not "
			  "deleted: delete it again when its status is revoked");
	json_add_text(&out, "branch_identifier", r->branch_id);
	json_add_bool(&out, "deleted", r->is_deleted);
	json_add_bool(&out, "purging_reviews", purges);
	json_close(&out, '}');
}

static void say_ended(struct request *req, const struct revoke_result *r, bool purges)
{
	if (r->outcome == REVOKE_UNKNOWN)
		problem_say(req, 404, NOT_FOUND);
	else if (r->outcome == REVOKE_NOTHING)
		say_deleted(req, r->client_row, r->branch_id, NULL, purges);
	else if (r->outcome == REVOKE_DONE && !r->is_deleted)
		problem_say(req, 409,
			"The grant was revoked, but the client was connected again or deleted "
			"meanwhile, so nothing was deleted here: look at it and try again");
	else
		say_revoked(req, r, purges);
}

static void on_revoked(void *arg, const struct revoke_result *r)
{
	revoking_finish(arg, r, say_ended);
}

static int delete_client(struct request *req, struct fault *f)
{
	const bool revokes = request_query_flag(req, "revoke");
	const bool force = request_query_flag(req, "force");
	AUTO(client_done) struct client c = {0};
	AUTO(buf_drop) struct buf warning = BUF_INIT(1024);
	int purges;

	(void)request_query_flag(req, "purge"); /* a wrong one is said before anything is done */
	if (force && !revokes)
		request_error(req, "query", "force", "does nothing without revoke=true");
	if (request_check(req, f) < 0 || find_client(req, &c, f) < 0)
		return -1;
	const struct actor who = request_actor(req);
	if (revokes) {
		const struct revoke_wish wish = {
			.branch_id = c.branch_id, .who = &who, .force = force, .deletes = true};
		tokens_revoke(request_tokens(req), &wish, on_revoked, req);
		return REQUEST_PENDING;
	}
	if (clients_delete(request_tokens(req), c.id, &who, f) < 0)
		return -1;
	purges = revoking_purge(req, c.branch_id, f);
	if (purges < 0)
		return -1;
	what_lives_on(&c, &warning);
	say_deleted(
		req, c.id, c.branch_id, warning.len > 0 ? buf_text(&warning) : NULL, purges == 1);
	return 0;
}

const struct route client_routes[] = {
	{"POST", "/token-management/clients", KEY_CLIENTS_WRITE, ROUTE_WORKER, register_client,
		NULL, "Register a branch and the Google app that it connects through"},
	{"GET", "/token-management/clients", KEY_CLIENTS_READ, ROUTE_WORKER, client_list_handle,
		NULL, "List the branches, with the state of their connections"},
	{"GET", "/token-management/clients/{id}", KEY_CLIENTS_READ, ROUTE_WORKER, get_client, NULL,
		"One branch, with the state of its connection"},
	{"PATCH", "/token-management/clients/{id}", KEY_CLIENTS_WRITE, ROUTE_WORKER, change_client,
		NULL, "Change a branch: the app's secret, addresses, names, on or off"},
	{"DELETE", "/token-management/clients/{id}", KEY_CLIENTS_WRITE, ROUTE_WORKER, delete_client,
		NULL,
		"Forget a branch and its tokens; with revoke=true the provider ends its grant "
		"first, with purge=true its reviews go too"},
	{0},
};
