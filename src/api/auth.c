/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two things here guard against the operator's own browser. A page on the internet can make it call
 * addresses on this machine, and by DNS rebinding under a name of the page's choosing. So wherever
 * being on loopback is enough, the Host header must be a name of this machine too; and a peer that
 * says that it forwards for somebody else is a proxy, not the operator.
 */
#include "api/auth.h"

#include <stdio.h>
#include <string.h>
#include "api/negotiate.h"
#include "api/route.h"

static int deny(struct request *req, unsigned status, struct fault *f, const char *text)
{
	req->answer.status = status;
	return fault_raise(f, FAULT_DENIED, "%s", text);
}

static int refuse_key(
	struct request *req, enum key_outcome outcome, uint32_t retry_after_ms, struct fault *f)
{
	switch (outcome) {
	case KEY_EXPIRED:
		return deny(req, 401, f,
			"This API key has expired: ask an operator for a new one (review-fetcher "
			"key create).");
	case KEY_REVOKED:
		return deny(req, 401, f,
			"This API key was revoked: ask an operator for a new one (review-fetcher "
			"key create).");
	case KEY_TOO_FAST:
		req->answer.status = 429;
		(void)fault_raise(f, FAULT_THROTTLED,
			"This API key has used up its requests per minute: wait as Retry-After "
			"says.");
		f->retry_after_ms = retry_after_ms ? retry_after_ms : 1000;
		return -1;
	default:
		return deny(req, 401, f,
			"This API key is not known: check that the whole key was sent (rf_...), or "
			"ask an operator "
			"for a new one (review-fetcher key create).");
	}
}

/* The scope that would open the route: the first of its bits. */
static int name_scope(struct request *req, unsigned scope, struct fault *f)
{
	const char *name = key_scope_name((enum key_scope)(scope & -scope));

	req->answer.status = 403;
	return fault_raise(f, FAULT_DENIED,
		"This API key lacks the scope %s: use a key that has it, or ask an operator for "
		"one "
		"(review-fetcher key create --scope %s).",
		name, name);
}

static int check_key(
	struct request *req, unsigned scope, const char *authorization, struct fault *f)
{
	size_t len;
	const char *key = bearer_token(authorization, &len);

	if (key == NULL)
		return deny(req, 401, f,
			"The Authorization header is not of the form 'Bearer rf_...': send the API "
			"key that way.");
	const enum key_outcome outcome = keys_check(request_tokens(req), key, len, &req->key);
	if (outcome != KEY_GOOD)
		return refuse_key(req, outcome, req->key.retry_after_ms, f);
	req->has_key = true;
	if ((req->key.scopes & (scope | KEY_ADMIN) & ROUTE_ANY_KEY) == 0)
		return name_scope(req, scope & ROUTE_ANY_KEY, f);
	return 0;
}

static bool is_forwarded(const struct request *req)
{
	return request_header(req, "X-Forwarded-For") || request_header(req, "Forwarded");
}

int auth_check(struct request *req, unsigned scope, bool is_loopback, struct fault *f)
{
	const struct settings *settings = request_settings(req);

	if (!settings->api_auth) {
		if (host_is_ours(request_header(req, "Host"), settings->public_url))
			return 0;
		return deny(req, 421, f,
			"API_AUTH is off, so only requests to a name of this machine (localhost) "
			"or to the host "
			"of PUBLIC_URL are answered.");
	}
	if (scope == 0)
		return 0;
	const char *authorization = request_header(req, "Authorization");
	if (authorization)
		return check_key(req, scope, authorization, f);
	if ((scope & ROUTE_OR_TICKET) && request_query(req, "ticket"))
		return 0;
	if ((scope & ROUTE_OR_LOOPBACK) && is_loopback && !is_forwarded(req) &&
		host_is_ours(request_header(req, "Host"), NULL))
		return 0;
	return deny(req, 401, f,
		"This address needs an API key: send it as 'Authorization: Bearer rf_...'. An "
		"operator makes one "
		"with 'review-fetcher key create'.");
}
