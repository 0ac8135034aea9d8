/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authorization endpoint. As at Google, a request that is wrong in itself ends on a page and
 * never goes back to the redirect URI; only what the person decides does.
 */
#include "simulator/authorize.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

bool scope_is_sign_in(const char *scope)
{
	return text_equal(scope, "openid") ||
	       text_equal(scope, "https://www.googleapis.com/auth/userinfo.email") ||
	       text_equal(scope, "https://www.googleapis.com/auth/userinfo.profile");
}

/* ---- checking ---- */

static bool refuse(struct request *r, const char *error, const char *description)
{
	refusal_page(r, error, description);
	return false;
}

static bool is_single(const char *name)
{
	return strcmp(name, "grant") != 0; /* the form's ticked boxes */
}

static bool is_loopback(const char *authority)
{
	static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		len = strlen(hosts[i]);
		if (strncmp(authority, hosts[i], len) == 0 && strchr(":/?", authority[len]))
			return true; /* strchr finds the end of the text too */
	}
	return false;
}

static bool redirect_is_sound(const char *uri)
{
	if (strchr(uri, '#') || strpbrk(uri, " \r\n\t\"<>\\"))
		return false;
	if (text_starts(uri, "https://"))
		return uri[8] && uri[8] != '/';
	return text_starts(uri, "http://") && is_loopback(uri + 7);
}

static bool check_client(struct request *r, const struct authorization *a)
{
	if (!a->client_id || !*a->client_id)
		return refuse(r, "invalid_request", "Required parameter is missing: client_id");
	if (!a->redirect_uri || !*a->redirect_uri)
		return refuse(r, "invalid_request", "Required parameter is missing: redirect_uri");
	if (!redirect_is_sound(a->redirect_uri))
		return refuse(r, "invalid_request",
			"The redirect URI must be https, or http on this machine, without a "
			"fragment.");
	switch (grants_check_redirect(&r->sim->grants, a->client_id, a->redirect_uri)) {
	case CLIENT_UNKNOWN:
		return refuse(r, "invalid_client", "The OAuth client was not found.");
	case CLIENT_DISABLED:
		return refuse(r, "disabled_client", "The OAuth client was disabled.");
	case CLIENT_BAD_REDIRECT:
		return refuse(r, "redirect_uri_mismatch",
			"The redirect URI in the request is not one that the client registered.");
	case CLIENT_GOOD:
	case CLIENT_NO_SECRET:
	case CLIENT_BAD_SECRET:
		return true;
	}
	return false;
}

/* RFC 7636 section 4.2: the challenge of S256 is 43 characters of base64url. */
static bool check_pkce(struct request *r, const struct authorization *a)
{
	const char *method = params_get(a->params, "code_challenge_method");

	if (!a->challenge)
		return !method || refuse(r, "invalid_request", "code_challenge is missing.");
	if (!text_equal(method, "S256"))
		return refuse(r, "invalid_request", "code_challenge_method must be S256.");
	if (strlen(a->challenge) != 43 ||
		strspn(a->challenge,
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != 43)
		return refuse(
			r, "invalid_request", "code_challenge must be 43 characters of base64url.");
	return true;
}

static const char *full_scope(const char *word)
{
	if (strcmp(word, "email") == 0)
		return "https://www.googleapis.com/auth/userinfo.email";
	return strcmp(word, "profile") == 0 ? "https://www.googleapis.com/auth/userinfo.profile"
					    : word;
}

static bool read_scopes(struct request *r, struct authorization *a)
{
	const char *scope = params_get(a->params, "scope");
	char *at, *word;
	bool is_known;

	a->scope_text = BUF_INIT(8192);
	buf_add_text(&a->scope_text, scope ? scope : "");
	if (buf_failed(&a->scope_text))
		return refuse(r, "invalid_scope", "The scope is too long.");
	for (at = a->scope_text.data; at && (word = strtok_r(at, " ", &at));) {
		word = (char *)(uintptr_t)full_scope(word);
		is_known = false;
		for (size_t i = 0; i < a->n_scopes; i++)
			is_known |= strcmp(a->scopes[i], word) == 0;
		if (!is_known && a->n_scopes < SCOPES_MAX)
			a->scopes[a->n_scopes++] = word;
	}
	return a->n_scopes > 0 || refuse(r, "invalid_request", "Missing required parameter: scope");
}

static bool has_word(const char *list, const char *word)
{
	return list && scope_has(list, word);
}

static bool read_authorization(struct request *r, const struct params *p, struct authorization *a)
{
	const char *doubled = params_doubled(p, is_single), *prompt = params_get(p, "prompt");

	*a = (struct authorization){
		.params = p,
		.client_id = params_get(p, "client_id"),
		.redirect_uri = params_get(p, "redirect_uri"),
		.state = params_get(p, "state"),
		.challenge = params_get(p, "code_challenge"),
		.nonce = params_get(p, "nonce"),
		.login_hint = params_get(p, "login_hint"),
		.is_offline = text_equal(params_get(p, "access_type"), "offline"),
		.is_prompted = has_word(prompt, "consent"),
		.is_silent = has_word(prompt, "none"),
		.includes_granted = text_equal(params_get(p, "include_granted_scopes"), "true"),
	};
	if (doubled)
		return refuse(
			r, "invalid_request", "OAuth 2 parameters can only have a single value.");
	if (!check_client(r, a))
		return false;
	if (!text_equal(params_get(p, "response_type"), "code"))
		return refuse(r,
			params_get(p, "response_type") ? "unsupported_response_type"
						       : "invalid_request",
			"response_type must be code.");
	return check_pkce(r, a) && read_scopes(r, a);
}

/* ---- going back ---- */

static void redirect(struct request *r, const struct buf *location)
{
	answer_start(r, 302, ANSWER_HTML);
	answer_header(&r->answer, "Location", buf_text(location));
	answer_header(&r->answer, "Cache-Control", "no-store");
	answer_header(&r->answer, "Referrer-Policy", "no-referrer");
}

static void add_state_and_issuer(struct request *r, const struct authorization *a, struct buf *url)
{
	struct tunables set = tunables(r->sim);

	if (a->state)
		params_url_add(url, "state", a->state);
	if (set.send_iss)
		params_url_add(url, "iss", set.issuer);
}

static void go_back_with_error(struct request *r, const struct authorization *a, const char *error)
{
	AUTO(buf_drop) struct buf url = BUF_INIT(64 * 1024);

	buf_add_text(&url, a->redirect_uri);
	params_url_add(&url, "error", error);
	add_state_and_issuer(r, a, &url);
	redirect(r, &url);
}

static void go_back_with_code(
	struct request *r, const struct authorization *a, uint64_t user, const char *scope)
{
	struct consent consent = {.client_id = a->client_id,
		.redirect_uri = a->redirect_uri,
		.challenge = a->challenge,
		.nonce = a->nonce,
		.user = user,
		.scope = scope,
		.is_offline = a->is_offline,
		.is_prompted = a->is_prompted,
		.includes_granted = a->includes_granted};
	AUTO(buf_drop) struct buf url = BUF_INIT(64 * 1024);
	char code[GRANTS_CODE_SIZE];

	grants_code(&r->sim->grants, &consent, r->now_ms, code);
	buf_add_text(&url, a->redirect_uri);
	add_state_and_issuer(r, a, &url);
	params_url_add(&url, "code", code);
	params_url_add(&url, "scope", scope);
	params_url_add(&url, "authuser", "0");
	params_url_add(&url, "prompt", a->is_prompted ? "consent" : "none");
	redirect(r, &url);
}

/* ---- deciding ---- */

struct decision {
	bool is_yes;
	const char *error; /* in place of access_denied; NULL */
	const char *account;
	const char *scopes; /* blank-separated; NULL: all that was asked */
};

static void decide(struct request *r, const struct authorization *a, const struct decision *d)
{
	AUTO(buf_drop) struct buf scope = BUF_INIT(8192);
	uint64_t user = world_user_find(&r->sim->overlay.world, d->account);

	if (d->error || !d->is_yes) {
		go_back_with_error(r, a, d->error ? d->error : "access_denied");
		return;
	}
	if (user == WORLD_NONE) {
		refusal_page(
			r, "invalid_request", "There is no such account in this simulated world.");
		return;
	}
	for (size_t i = 0; i < a->n_scopes; i++) {
		if (!scope_is_sign_in(a->scopes[i]) && d->scopes &&
			!scope_has(d->scopes, a->scopes[i]))
			continue;
		buf_addf(&scope, "%s%s", scope.len ? " " : "", a->scopes[i]);
	}
	if (!scope.len)
		go_back_with_error(r, a, "access_denied");
	else
		go_back_with_code(r, a, user, buf_text(&scope));
}

/* What the query (simulate=…) or the auto_consent setting decides without a page. False: ask. */
static bool decided_already(struct request *r, const struct authorization *a,
	char account[static WORLD_NAME_SIZE], struct decision *ret)
{
	const char *simulate = params_get(a->params, "simulate");
	const char *chosen = params_get(a->params, "simulate_account");
	struct tunables set = tunables(r->sim);

	*ret = (struct decision){.error = params_get(a->params, "simulate_error"),
		.scopes = params_get(a->params, "simulate_scopes"),
		.account = account};
	if (!chosen && world_user_find(&r->sim->overlay.world, a->login_hint) != WORLD_NONE)
		chosen = a->login_hint;
	if (!chosen && *set.auto_account)
		chosen = set.auto_account;
	if (chosen)
		snprintf(account, WORLD_NAME_SIZE, "%s", chosen);
	else
		world_user_email(&r->sim->overlay.world, 0, account);
	ret->is_yes = simulate ? text_equal(simulate, "allow") : set.auto_consent == CONSENT_ALLOW;
	return simulate || ret->error || set.auto_consent != CONSENT_ASK;
}

/* OpenID Connect Core section 3.1.2.1: prompt=none answers at once or fails. */
static void answer_silently(struct request *r, const struct authorization *a)
{
	uint64_t user = world_user_find(&r->sim->overlay.world, a->login_hint);
	struct decision d = {.is_yes = true, .account = a->login_hint};

	if (user == WORLD_NONE)
		d.error = "login_required";
	else if (!grants_has_consent(&r->sim->grants, a->client_id, user))
		d.error = "consent_required";
	decide(r, a, &d);
}

void authorize_page(struct request *r)
{
	char account[WORLD_NAME_SIZE];
	struct authorization a;
	struct decision d;

	if (read_authorization(r, &r->query, &a)) {
		if (decided_already(r, &a, account, &d))
			decide(r, &a, &d);
		else if (a.is_silent)
			answer_silently(r, &a);
		else
			consent_page(r, &a);
	}
	buf_drop(&a.scope_text);
}

void authorize_decide(struct request *r)
{
	const char *other = params_get(&r->form, "other_account");
	AUTO(buf_drop) struct buf granted = BUF_INIT(8192);
	struct authorization a;
	struct decision d = {
		.is_yes = text_equal(params_get(&r->form, "decision"), "allow"),
		.account = other && *other ? other : params_get(&r->form, "account"),
	};

	for (size_t i = 0; i < r->form.n; i++)
		if (strcmp(r->form.rows[i].name, "grant") == 0)
			buf_addf(&granted, "%s ", r->form.rows[i].value);
	d.scopes = buf_text(&granted);
	if (read_authorization(r, &r->form, &a))
		decide(r, &a, &d);
	buf_drop(&a.scope_text);
}
