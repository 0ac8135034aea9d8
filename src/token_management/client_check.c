/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/client_check.h"

#include <string.h>

#include "base/text.h"
#include "core/limits.h"
#include "net/net.h"

int client_check_text(const char *text, size_t max, const char *field, struct fault *f)
{
	size_t len = text != NULL ? strlen(text) : 0;

	if (len == 0 || len > max)
		return fault_input(
			f, field, "%s must have 1 to %zu bytes, not %zu", field, max, len);
	if (!text_is_utf8(text, len))
		return fault_input(f, field, "%s must be UTF-8", field);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i], next = (unsigned char)text[i + 1];

		if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0))
			return fault_input(f, field,
				"%s must not contain control characters (byte %zu)", field, i + 1);
	}
	return 0;
}

int client_check_credential(const char *text, size_t max, const char *field, struct fault *f)
{
	size_t len = strlen(text);

	if (len == 0 || len > max)
		return fault_input(
			f, field, "%s must have 1 to %zu bytes, not %zu", field, max, len);
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] > 0x7e)
			return fault_input(
				f, field, "%s must be printable ASCII (byte %zu)", field, i + 1);
	}
	return 0;
}

int client_check_email(const char *text, struct fault *f)
{
	char shown[TEXT_EXCERPT_SIZE];
	const char *at, *dot;

	if (client_check_text(text, LIMIT_EMAIL_BYTES, "workspace_email", f) < 0)
		return -1;
	at = strrchr(text, '@');
	dot = at != NULL ? strrchr(at, '.') : NULL;
	if (at == NULL || at == text || at - text > 64 || strchr(text, '@') != at ||
		strpbrk(text, " ,;<>()[]\\\"") != NULL || dot == NULL || dot == at + 1 ||
		dot[1] == '\0' || at[1] == '.' || strstr(at, "..") != NULL)
		return fault_input(f, "workspace_email",
			"workspace_email is '%s': give an address like name@example.com",
			text_excerpt(text, shown));
	return 0;
}

int client_check_redirect(const char *url, struct fault *f)
{
	struct fault flaw = {0};
	char shown[TEXT_EXCERPT_SIZE];

	if (net_url_check(url, NET_URL_REDIRECT, "redirect_uri", &flaw) == 0)
		return 0;
	if (strchr(url, '@') != NULL)
		return fault_input(f, "redirect_uri", "redirect_uri %s", flaw.text);
	return fault_input(
		f, "redirect_uri", "redirect_uri '%s' %s", text_excerpt(url, shown), flaw.text);
}

/* The part of a callback's address that names the provider: "" for none; NULL: another address. */
static const char *callback_name(const char *url)
{
	const char *at = strstr(url, CLIENT_CALLBACK_PATH);

	if (at == NULL)
		return NULL;
	at += strlen(CLIENT_CALLBACK_PATH);
	return *at == '/' ? at + 1 : *at == '\0' || *at == '?' ? "" : NULL;
}

int client_check_callback(const char *url, const struct provider *p, struct fault *f)
{
	bool is_google = strcmp(p->name, PROVIDER_GOOGLE) == 0;
	const char *name = callback_name(url);
	bool is_own = name != NULL && strcspn(name, "?/") == strlen(p->name) &&
		      strncmp(name, p->name, strlen(p->name)) == 0;

	if (is_own || (is_google && (name == NULL || name[0] == '\0')))
		return 0;
	if (p->sends_iss && (name == NULL || name[0] == '\0'))
		return 0;
	if (is_google)
		return fault_input(f, "redirect_uri",
			"redirect_uri is the callback of another provider than google: leave out"
			" what follows " CLIENT_CALLBACK_PATH);
	return fault_input(f, "redirect_uri",
		"redirect_uri must end with " CLIENT_CALLBACK_PATH
		"/%s, so that answers of this provider cannot be taken for another's",
		p->name);
}

int client_check_scope(const char *scope, const struct provider *p, struct fault *f)
{
	AUTO(buf_drop) struct buf lacking = BUF_INIT(LIMIT_SCOPE_BYTES);
	size_t len = strlen(scope);

	if (len == 0 || len > LIMIT_SCOPE_BYTES)
		return fault_input(f, "scope", "scope must have 1 to %d bytes, not %zu",
			LIMIT_SCOPE_BYTES, len);
	for (size_t i = 0; i < len; i++) {
		if (scope[i] < 0x20 || scope[i] > 0x7e || scope[i] == '"' || scope[i] == '\\' ||
			(scope[i] == ' ' && (i == 0 || scope[i + 1] == ' ' || i + 1 == len)))
			return fault_input(f, "scope",
				"scope must be scopes with one blank between them (byte %zu)",
				i + 1);
	}
	scopes_missing(p->required_scopes, scope, &lacking);
	if (lacking.len > 0)
		return fault_input(f, "scope", "scope lacks what %s cannot do without: %.120s",
			p->name, buf_text(&lacking));
	return 0;
}

static int check_unwanted(const char *value, const char *field, const struct provider *p,
	const char *wanted, struct fault *f)
{
	if (value == NULL)
		return 0;
	return fault_input(f, field, "%s cannot be used: provider %s knows its clients by %s%s",
		field, p->name, provider_auth_name(p->auth), wanted);
}

static int check_private_key(const struct client_credentials *c, const struct provider *p,
	bool may_lack, struct fault *f)
{
	AUTO(secret_drop) struct secret pem = {0};
	enum jose_sign_alg alg;

	if (c->private_key == NULL) {
		if (c->key_id != NULL)
			return fault_input(f, "key_id", "key_id must come with private_key");
		return may_lack || secret_is_set(&p->key)
			       ? 0
			       : fault_input(f, "private_key",
					 "private_key is required: provider %s knows its clients"
					 " by private_key_jwt",
					 p->name);
	}
	if (strlen(c->private_key) > LIMIT_PRIVATE_KEY_BYTES)
		return fault_input(f, "private_key", "private_key must have at most %d bytes",
			LIMIT_PRIVATE_KEY_BYTES);
	if (c->key_id != NULL &&
		client_check_credential(c->key_id, LIMIT_KEY_ID_BYTES, "key_id", f) < 0)
		return -1;
	pem = secret_from(c->private_key, strlen(c->private_key));
	return jose_sign_check(&pem, p->has_alg ? &p->alg : NULL, "private_key", &alg, f);
}

int client_check_credentials(const struct client_credentials *c, const struct provider *p,
	bool may_lack, struct fault *f)
{
	bool by_key = p->auth == PROVIDER_AUTH_KEY;

	if (p->auth == PROVIDER_AUTH_NONE || by_key) {
		if (check_unwanted(c->client_secret, "client_secret", p,
			    by_key ? ": give private_key" : ": give none", f) < 0)
			return -1;
	}
	if (!by_key) {
		if (check_unwanted(c->private_key, "private_key", p, "", f) < 0 ||
			check_unwanted(c->key_id, "key_id", p, "", f) < 0)
			return -1;
	}
	if (by_key)
		return check_private_key(c, p, may_lack, f);
	if (p->auth == PROVIDER_AUTH_NONE || (c->client_secret == NULL && may_lack))
		return 0;
	if (c->client_secret == NULL)
		return fault_input(f, "client_secret", "client_secret must come with client_id");
	return client_check_credential(
		c->client_secret, LIMIT_CLIENT_SECRET_BYTES, "client_secret", f);
}
