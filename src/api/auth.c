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
#include <strings.h>
#include "api/negotiate.h"
#include "api/route.h"
#include "base/hash.h"
#include "base/text.h"

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

static int check_scope(struct request *req, unsigned scope, struct fault *f)
{
	if ((req->key.scopes & (scope | KEY_ADMIN) & ROUTE_ANY_KEY) == 0)
		return name_scope(req, scope & ROUTE_ANY_KEY, f);
	return 0;
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
	return check_scope(req, scope, f);
}

/* ---- people: a session instead of a key ---- */

const char *auth_session_cookie(const struct settings *settings)
{
	return text_starts(settings->public_url, "https:") ? "__Host-rf_session" : "rf_session";
}

/* host[:port] of an address */
static bool is_authority(const char *url, const char *authority)
{
	const char *at = url ? strstr(url, "://") : NULL;

	if (at == NULL || authority == NULL)
		return false;
	at += 3;
	return strlen(authority) == strcspn(at, "/?#") &&
	       strncasecmp(at, authority, strlen(authority)) == 0;
}

static bool is_our_origin(const struct request *req, const char *origin)
{
	const char *ours = request_settings(req)->public_url;
	const char *at = strstr(origin, "://");

	return is_authority(origin, request_header(req, "Host")) ||
	       (at && is_authority(ours, at + 3));
}

bool auth_is_same_origin(const struct request *req)
{
	const char *site = request_header(req, "Sec-Fetch-Site");
	const char *origin = request_header(req, "Origin");

	if (site && strcmp(site, "same-origin") != 0)
		return false;
	/* A page that sends no referrer sends "null"; a sandboxed one does too, but is cross-site.
	 */
	if (origin && strcmp(origin, "null") == 0)
		return site;
	if (origin && !is_our_origin(req, origin))
		return false;
	return site || origin;
}

bool auth_is_from_elsewhere(const struct request *req)
{
	const char *site = request_header(req, "Sec-Fetch-Site");

	return site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
}

void auth_form_token(const char *cookie, char ret[static AUTH_FORM_TOKEN_SIZE])
{
	AUTO(buf_drop) struct buf from = BUF_INIT_WIPED(256), text = BUF_INIT_WIPED(64);
	uint8_t digest[HASH_BLAKE2B_SIZE];

	buf_addf(&from, "form of %s", cookie);
	hash_blake2b(buf_text(&from), from.len, digest);
	text_base64url(&text, digest, sizeof(digest));
	snprintf(ret, AUTH_FORM_TOKEN_SIZE, "%s", buf_text(&text));
}

static bool is_safe(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
	       strcmp(method, "OPTIONS") == 0;
}

/*
 * A cookie is sent with whatever another site makes the browser do. SameSite=Lax keeps most of it
 * away; what changes something must prove besides that a page of ours sent it, in two ways: by what
 * the browser says of itself, and by what another site cannot add without our leave (a header that
 * is not on the CORS safelist), or cannot know (the token of a form).
 */
static int check_forgery(struct request *req, unsigned scope, struct fault *f)
{
	const char *with = request_header(req, "X-Requested-With");

	if (is_safe(req->method))
		return 0;
	if (!auth_is_same_origin(req))
		return deny(req, 403, f,
			"A session can change something only from this service's own pages: the "
			"browser says that another site sent this, or does not say who did.");
	if (!(scope & ROUTE_FORM) && (with == NULL || *with == '\0'))
		return deny(req, 403, f,
			"A request that changes something by a session needs the header "
			"X-Requested-With: review-fetcher");
	return 0;
}

/* 0: signed in. 1: not by a session. */
static int check_session(struct request *req, unsigned scope, struct fault *f)
{
	const char *cookies = request_header(req, "Cookie");
	struct session_grant session;
	char value[96];

	if (cookies == NULL || !cookie_find(cookies, auth_session_cookie(request_settings(req)),
				       value, sizeof(value)))
		return 1;
	const enum key_outcome outcome =
		sessions_check(request_tokens(req), value, strlen(value), &session);
	if (outcome == KEY_TOO_FAST)
		return refuse_key(req, outcome, session.key.retry_after_ms, f);
	if (outcome != KEY_GOOD)
		return 1;
	req->key = session.key;
	req->has_key = req->has_session = true;
	memcpy(req->session_id, session.id, sizeof(req->session_id));
	req->session_until_ms = session.expires_at_ms;
	if (check_forgery(req, scope, f) < 0)
		return -1;
	return check_scope(req, scope, f);
}

/* ---- */

static bool is_forwarded(const struct request *req)
{
	return request_header(req, "X-Forwarded-For") || request_header(req, "Forwarded");
}

/*
 * Nobody shows anything, so a page on the internet needs no cookie to give orders: a form that it
 * posts to this machine does. Programs that are no browser send neither header.
 */
static bool is_foreign_order(const struct request *req)
{
	return !is_safe(req->method) &&
	       (request_header(req, "Origin") || request_header(req, "Sec-Fetch-Site")) &&
	       !auth_is_same_origin(req);
}

static int check_without_keys(struct request *req, struct fault *f)
{
	if (!host_is_ours(request_header(req, "Host"), request_settings(req)->public_url))
		return deny(req, 421, f,
			"API_AUTH is off, so only requests to a name of this machine (localhost) "
			"or to the host "
			"of PUBLIC_URL are answered.");
	if (is_foreign_order(req))
		return deny(req, 403, f,
			"API_AUTH is off, and the browser says that another site sent this: "
			"nothing is changed for other sites.");
	return 0;
}

int auth_check(struct request *req, unsigned scope, bool is_loopback, struct fault *f)
{
	const struct settings *settings = request_settings(req);

	if (!settings->api_auth)
		return check_without_keys(req, f);
	if (scope == 0)
		return 0;
	const char *authorization = request_header(req, "Authorization");
	if (authorization)
		return check_key(req, scope, authorization, f);
	if ((scope & ROUTE_OR_TICKET) && request_query(req, "ticket"))
		return 0;
	const int session = check_session(req, scope, f);
	if (session <= 0)
		return session;
	if ((scope & ROUTE_PAGE) && request_wants_html(req))
		return 0;
	if ((scope & ROUTE_OR_LOOPBACK) && is_loopback && !is_forwarded(req) &&
		host_is_ours(request_header(req, "Host"), NULL))
		return 0;
	return deny(req, 401, f,
		"This address needs an API key: send it as 'Authorization: Bearer rf_...'. An "
		"operator makes one with 'review-fetcher key create'. People sign in at "
		"/sign-in.");
}
