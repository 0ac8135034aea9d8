/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/provider.h"

#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "net/net.h"

static const char *const auth_names[] = {
	[PROVIDER_AUTH_BODY] = "client_secret_post",
	[PROVIDER_AUTH_BASIC] = "client_secret_basic",
	[PROVIDER_AUTH_KEY] = "private_key_jwt",
	[PROVIDER_AUTH_NONE] = "none",
};

const char *provider_auth_name(enum provider_auth auth)
{
	return auth_names[auth];
}

bool provider_is_found(const struct provider *p)
{
	return p->auth_url != NULL && p->token_url != NULL;
}

/* offline + consent: Google gives a refresh token only then, on every consent. */
static const struct provider_param google_extra[] = {
	{"access_type", "offline"},
	{"prompt", "consent"},
};

void provider_google(const struct settings *s, struct provider *ret)
{
	*ret = (struct provider){
		.name = PROVIDER_GOOGLE,
		.title = "Google",
		.issuer = "https://accounts.google.com",
		.issuer_alias = "accounts.google.com",
		.auth_url = s->google_auth_url,
		.token_url = s->google_token_url,
		.revoke_url = s->google_revoke_url,
		.scopes = "openid email https://www.googleapis.com/auth/business.manage",
		.required_scopes = "https://www.googleapis.com/auth/business.manage",
		.extra = google_extra,
		.n_extra = ARRAY_LEN(google_extra),
		.auth = PROVIDER_AUTH_BODY,
		.revocation_ends = PROVIDER_ENDS_PROJECT,
		.assumed_lifetime_ms = 3600 * 1000,
		.max_lifetime_ms = 24 * 3600 * 1000,
	};
}

/* ---- what a record may not say ---- */

static const char *const protocol_params[] = {"response_type", "response_mode", "client_id",
	"client_secret", "redirect_uri", "scope", "state", "nonce", "code_challenge",
	"code_challenge_method", "request", "request_uri", "login_hint", NULL};
static const char *const token_params[] = {"grant_type", "code", "redirect_uri", "code_verifier",
	"client_id", "client_secret", "client_assertion", "client_assertion_type", "refresh_token",
	"scope", "token", "token_type_hint", "username", "password", "assertion", NULL};

static bool is_among(const char *const *names, const char *name, size_t len)
{
	for (; *names != NULL; names++) {
		if (strlen(*names) == len && memcmp(*names, name, len) == 0)
			return true;
	}
	return false;
}

/* The next name of a query string; NULL at the end. *at starts at the '?' or behind the last name.
 */
static const char *next_query_name(const char **at, size_t *ret_len)
{
	const char *name;

	if (*at == NULL || **at == '\0')
		return NULL;
	name = *at + 1;
	*ret_len = strcspn(name, "=&");
	*at = name + strcspn(name, "&");
	return name;
}

static bool query_has(const char *url, const char *wanted)
{
	const char *at = strchr(url, '?'), *name;
	size_t len;

	while ((name = next_query_name(&at, &len)) != NULL) {
		if (len == strlen(wanted) && memcmp(name, wanted, len) == 0)
			return true;
	}
	return false;
}

static int check_auth_query(const struct provider *p, struct fault *f)
{
	const char *at = strchr(p->auth_url, '?'), *name;
	size_t len;

	while ((name = next_query_name(&at, &len)) != NULL) {
		if (memchr(name, '%', len) != NULL || is_among(protocol_params, name, len))
			return fault_input(f, "authorization_url",
				"the query of %s's authorization URL may not set '%.*s'", p->name,
				(int)len, name);
	}
	return 0;
}

static int check_url(const char *url, const char *field, struct fault *f)
{
	return url == NULL ? 0 : net_url_check(url, NET_URL_PROVIDER, field, f);
}

static int check_extras(const struct provider_param *extra, size_t n, const char *const *taken,
	const char *field, struct fault *f)
{
	for (size_t i = 0; i < n; i++) {
		if (is_among(taken, extra[i].name, strlen(extra[i].name)))
			return fault_input(f, field,
				"extra parameters may not set '%s', which is the protocol's",
				extra[i].name);
	}
	return 0;
}

int provider_check(const struct provider *p, struct fault *f)
{
	if (check_url(p->issuer, "issuer", f) < 0 ||
		check_url(p->auth_url, "authorization_url", f) < 0 ||
		check_url(p->token_url, "token_url", f) < 0 ||
		check_url(p->revoke_url, "revocation_url", f) < 0 ||
		check_extras(p->extra, p->n_extra, protocol_params, "authorization_params", f) <
			0 ||
		check_extras(p->token_extra, p->n_token_extra, token_params, "token_params", f) < 0)
		return -1;
	return p->auth_url == NULL ? 0 : check_auth_query(p, f);
}

/* ---- scopes ---- */

/* Google answers the short OpenID scopes with these. */
static const struct provider_param scope_alias[] = {
	{"email", "https://www.googleapis.com/auth/userinfo.email"},
	{"profile", "https://www.googleapis.com/auth/userinfo.profile"},
};

static bool is_word(const char *word, size_t len, const char *text)
{
	return strlen(text) == len && memcmp(word, text, len) == 0;
}

static bool same_scope(const char *a, size_t a_len, const char *b, size_t b_len)
{
	if (a_len == b_len && memcmp(a, b, a_len) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(scope_alias); i++) {
		const char *brief = scope_alias[i].name, *full = scope_alias[i].value;

		if (is_word(a, a_len, brief) && is_word(b, b_len, full))
			return true;
		if (is_word(a, a_len, full) && is_word(b, b_len, brief))
			return true;
	}
	return false;
}

/* The next blank-separated word at *at; NULL at the end. */
static const char *next_word(const char **at, size_t *ret_len)
{
	const char *word = *at + strspn(*at, " ");

	*ret_len = strcspn(word, " ");
	*at = word + *ret_len;
	return *ret_len > 0 ? word : NULL;
}

static bool word_is_in(const char *granted, const char *scope, size_t scope_len)
{
	const char *word;
	size_t len;

	while ((word = next_word(&granted, &len)) != NULL) {
		if (same_scope(word, len, scope, scope_len))
			return true;
	}
	return false;
}

void scopes_missing(const char *wanted, const char *granted, struct buf *ret)
{
	const char *word;
	size_t len;

	while ((word = next_word(&wanted, &len)) != NULL) {
		if (word_is_in(granted, word, len))
			continue;
		if (ret->len > 0)
			buf_add_char(ret, ' ');
		buf_add(ret, word, len);
	}
}

/* ---- requests ---- */

/* Google otherwise takes the account that is signed in, without a word. */
static void add_choosing_prompt(const char *prompt, struct buf *ret)
{
	AUTO(buf_drop) struct buf both = BUF_INIT(256);

	buf_addf(&both, "select_account %s", prompt);
	net_url_add(ret, "prompt", buf_text(&both));
}

void provider_authorize_url(
	const struct provider *p, const struct authorize_request *r, struct buf *ret)
{
	buf_add_text(ret, p->auth_url);
	net_url_add(ret, "response_type", "code");
	net_url_add(ret, "client_id", r->client_id);
	net_url_add(ret, "redirect_uri", r->redirect_uri);
	if (r->scope[0] != '\0')
		net_url_add(ret, "scope", r->scope);
	net_url_add(ret, "state", r->state);
	if (!p->has_no_pkce) {
		net_url_add(ret, "code_challenge", r->challenge);
		net_url_add(ret, "code_challenge_method", "S256");
	}
	for (size_t i = 0; i < p->n_extra; i++) {
		if (query_has(p->auth_url, p->extra[i].name))
			continue;
		if (r->chooses_account && strcmp(p->extra[i].name, "prompt") == 0)
			add_choosing_prompt(p->extra[i].value, ret);
		else
			net_url_add(ret, p->extra[i].name, p->extra[i].value);
	}
	if (r->login_hint != NULL && r->login_hint[0] != '\0')
		net_url_add(ret, "login_hint", r->login_hint);
}

void provider_challenge(const char *verifier, struct buf *ret)
{
	uint8_t digest[HASH_SHA256_SIZE];

	hash_sha256(verifier, strlen(verifier), digest);
	text_base64url(ret, digest, sizeof(digest));
}
