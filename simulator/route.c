/* SPDX-License-Identifier: Apache-2.0 */
/* From method and path to a handler: one table, matched segment by segment. */
#include <string.h>

#include "base/mem.h"
#include "simulator/simulator.h"

struct route {
	const char *method, *pattern; /* '*' stands for one segment */
	enum kind kind;
	handler_fn *handle;
};

static const struct route routes[] = {
	{"POST", "token", KIND_TOKEN_OTHER, token_endpoint},
	{"GET", "v4/accounts/*/locations/*/reviews", KIND_REVIEWS, reviews_list},
	{"GET", "v4/accounts/*/locations/*/reviews/*", KIND_REVIEW, reviews_get},
	{"POST", "v4/accounts/*/locations:batchGetReviews", KIND_BATCH, reviews_batch},
	{"PUT", "v4/accounts/*/locations/*/reviews/*/reply", KIND_REPLY_PUT, reply_put},
	{"DELETE", "v4/accounts/*/locations/*/reviews/*/reply", KIND_REPLY_DELETE, reply_delete},
	{"GET", "v1/accounts", KIND_ACCOUNTS, accounts_list},
	{"GET", "v1/accounts/*/locations", KIND_LOCATIONS, locations_list},
	{"GET", "v1/accounts/*/notificationSetting", KIND_NOTIFICATION_GET, notification_get},
	{"PATCH", "v1/accounts/*/notificationSetting", KIND_NOTIFICATION_PATCH, notification_patch},
	{"GET", "o/oauth2/v2/auth", KIND_AUTHORIZE, authorize_page},
	{"POST", "o/oauth2/v2/auth/decide", KIND_DECIDE, authorize_decide},
	{"POST", "revoke", KIND_REVOKE, revoke_endpoint},
	{"GET", ".well-known/openid-configuration", KIND_DISCOVERY, discovery_document},
	{"GET", "oauth2/v3/certs", KIND_CERTS, certs_document},
	{"GET", "", KIND_HOME, home_page},
	{"GET", "_static/simulator.css", KIND_HOME, static_style},
	{"GET", "_control", KIND_CONTROL, control_help},
	{"GET", "_control/counts", KIND_CONTROL, control_counts},
	{"POST", "_control/counts/reset", KIND_CONTROL, control_counts_reset},
	{"GET", "_control/faults", KIND_CONTROL, control_faults_get},
	{"POST", "_control/faults", KIND_CONTROL, control_faults_post},
	{"DELETE", "_control/faults", KIND_CONTROL, control_faults_clear},
	{"DELETE", "_control/faults/*", KIND_CONTROL, control_fault_delete},
	{"GET", "_control/settings", KIND_CONTROL, control_settings_get},
	{"POST", "_control/settings", KIND_CONTROL, control_settings_post},
	{"GET", "_control/clients", KIND_CONTROL, control_clients_get},
	{"POST", "_control/clients", KIND_CONTROL, control_clients_post},
	{"DELETE", "_control/clients/*", KIND_CONTROL, control_client_delete},
	{"POST", "_control/tokens", KIND_CONTROL, control_tokens},
	{"GET", "_control/grants", KIND_CONTROL, control_grants},
	{"POST", "_control/sign", KIND_CONTROL, control_sign},
	{"POST", "_control/security_event", KIND_CONTROL, control_security_event},
	{"POST", "_control/keys", KIND_CONTROL, control_keys_post},
	{"POST", "_control/quota", KIND_CONTROL, control_quota},
	{"GET", "_control/world", KIND_CONTROL, control_world_get},
	{"POST", "_control/world", KIND_CONTROL, control_world_post},
	{"GET", "_control/world/users", KIND_CONTROL, control_world_users},
	{"GET", "_control/world/accounts", KIND_CONTROL, control_world_accounts},
	{"GET", "_control/world/locations", KIND_CONTROL, control_world_locations},
	{"GET", "_control/world/locations/*", KIND_CONTROL, control_world_location},
	{"GET", "_control/world/locations/*/reviews", KIND_CONTROL, control_world_location_reviews},
	{"GET", "_control/world/reviews", KIND_CONTROL, control_world_reviews},
	{"GET", "_control/demo/accounts", KIND_CONTROL, control_demo_accounts},
	{"GET", "_control/demo/locations", KIND_CONTROL, control_demo_locations},
	{"GET", "_control/demo/reviews", KIND_CONTROL, control_demo_reviews},
	{"GET", "_control/demo/places", KIND_CONTROL, control_demo_places},
};

/* Fits the path to the pattern, leaving in args where each star's segment begins. */
static bool fits(const char *pattern, const char *path, const char *args[REQUEST_ARGS_MAX])
{
	size_t n = 0, len;

	for (;;) {
		len = strcspn(pattern, "/");
		if (len == 1 && pattern[0] == '*') {
			if (strcspn(path, "/") == 0)
				return false;
			args[n++] = path;
			path += strcspn(path, "/");
		} else {
			if (strncmp(pattern, path, len) != 0)
				return false;
			path += len;
		}
		pattern += len;
		if (*pattern != *path)
			return false;
		if (!*pattern)
			return true;
		pattern++;
		path++;
	}
}

static const struct route *find(const struct request *r, const char **args)
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		memset(args, 0, REQUEST_ARGS_MAX * sizeof(*args));
		if (strcmp(routes[i].method, r->method) == 0 &&
			fits(routes[i].pattern, r->path + 1, args))
			return &routes[i];
	}
	memset(args, 0, REQUEST_ARGS_MAX * sizeof(*args));
	return NULL;
}

/* Ends each star's segment in the request's own copy of the path. */
static void cut_args(struct request *r, char *path)
{
	for (size_t i = 0; i < REQUEST_ARGS_MAX && r->args[i]; i++)
		r->args[i] = path + (r->args[i] - r->path);
	for (size_t i = 0; i < REQUEST_ARGS_MAX && r->args[i]; i++)
		path[(size_t)(r->args[i] - path) + strcspn(r->args[i], "/")] = '\0';
}

static bool is_form(const struct request *r)
{
	return r->content_type &&
	       strncasecmp(r->content_type, "application/x-www-form-urlencoded", 33) == 0;
}

/* The control routes ask nobody who they are; a page of another site must not reach them all the
 * same. */
static bool is_foreign_page(const struct request *r)
{
	return r->kind == KIND_CONTROL && r->fetch_site && strcmp(r->fetch_site, "cross-site") == 0;
}

static void answer_with_handler(struct request *r, const struct route *route)
{
	if (is_foreign_page(r))
		answer_control_error(
			r, 403, "a page of another site may not control the simulator");
	else if (route)
		route->handle(r);
	else
		not_found_page(r);
}

void simulator_serve(struct request *r)
{
	const struct route *route = r->path[0] == '/' ? find(r, r->args) : NULL;
	AUTO(mem_freep) char *path = mem_text(r->path);
	char client_text[CLIENT_ID_SIZE];
	const char *client_id = NULL;

	cut_args(r, path);
	r->kind = route ? route->kind : KIND_UNKNOWN;
	if (is_form(r) && r->body.len)
		r->form_is_bad = params_parse(&r->form, r->body.data, r->body.len) != 0;
	if (r->kind == KIND_TOKEN_OTHER) {
		r->kind = token_kind(r);
		client_id = token_client_id(r, client_text);
	}
	counts_begin(&r->sim->counts, r->kind);
	faults_plan(&r->sim->faults, r->kind, r->target, client_id, &r->plan);
	if (r->plan.action && !r->plan.action->is_after) {
		faults_spoil(r);
	} else {
		answer_with_handler(r, route);
		if (r->plan.action)
			faults_spoil(r);
	}
	counts_answer(&r->sim->counts, r->kind,
		r->plan.action && r->plan.action->action == FAULT_DO_RESET ? 0 : r->answer.status);
}
