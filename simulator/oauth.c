/* SPDX-License-Identifier: Apache-2.0 */
/* The token and revocation endpoints, and the documents about them. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "simulator/id_token.h"
#include "simulator/simulator.h"

#define TEXT_MAX CLIENT_ID_SIZE

enum kind token_kind(const struct request *r)
{
	const char *type = params_get(&r->form, "grant_type");

	if (text_equal(type, "authorization_code"))
		return KIND_TOKEN_CODE;
	return text_equal(type, "refresh_token") ? KIND_TOKEN_REFRESH : KIND_TOKEN_OTHER;
}

/* ---- client authentication ---- */

struct credentials {
	char id[TEXT_MAX], secret[TEXT_MAX];
	bool has_secret;
};

static int base64_value(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Standard base64 (RFC 4648 section 4). 0 done; 1 malformed or too long. */
static int base64_decode(const char *text, char *ret, size_t size)
{
	uint32_t bits = 0;
	size_t n = 0;
	int have = 0, value;

	for (; *text && *text != '=' && *text != ' '; text++) {
		value = base64_value(*text);
		if (value < 0)
			return 1;
		bits = bits << 6 | (uint32_t)value;
		have += 6;
		if (have >= 8) {
			have -= 8;
			if (n + 1 >= size)
				return 1;
			ret[n++] = (char)(bits >> have & 0xff);
		}
	}
	ret[n] = '\0';
	return memchr(ret, '\0', n) != NULL;
}

/* RFC 6749 section 2.3.1: both halves are form-encoded before they are joined by ':'. */
static int read_basic(const char *header, struct credentials *ret)
{
	char joined[2 * TEXT_MAX];
	char *colon;
	size_t len;

	if (base64_decode(header, joined, sizeof(joined)) != 0 || !(colon = strchr(joined, ':')))
		return 1;
	*colon = '\0';
	if (strlen(joined) >= TEXT_MAX || strlen(colon + 1) >= TEXT_MAX)
		return 1;
	ret->has_secret = true;
	return text_percent_decode(joined, strlen(joined), true, ret->id, &len) != 0 ||
	       text_percent_decode(colon + 1, strlen(colon + 1), true, ret->secret, &len) != 0;
}

static bool refuse_client(struct request *r, const char *description)
{
	answer_oauth_error(r, 401, "invalid_client", description);
	answer_header(&r->answer, "WWW-Authenticate", "Basic realm=\"simulated Google\"");
	return false;
}

const char *token_client_id(const struct request *r, char ret[static CLIENT_ID_SIZE])
{
	const char *id = params_get(&r->form, "client_id");
	struct credentials basic;

	if (id || !r->authorization || strncasecmp(r->authorization, "Basic ", 6) != 0 ||
		read_basic(r->authorization + 6, &basic) != 0)
		return id;
	snprintf(ret, CLIENT_ID_SIZE, "%s", basic.id);
	return ret;
}

static bool read_credentials(struct request *r, struct credentials *ret)
{
	const char *id = params_get(&r->form, "client_id"),
		   *secret = params_get(&r->form, "client_secret");
	bool has_basic = r->authorization && strncasecmp(r->authorization, "Basic ", 6) == 0;

	*ret = (struct credentials){.has_secret = secret != NULL};
	if (has_basic && secret) {
		answer_oauth_error(r, 400, "invalid_request",
			"The client authenticated in two ways: in the header and in the body.");
		return false;
	}
	if (has_basic) {
		if (read_basic(r->authorization + 6, ret) != 0)
			return refuse_client(r, "The Authorization header is malformed.");
		if (id && strcmp(id, ret->id) != 0)
			return refuse_client(r, "The header and the body name two clients.");
		return true;
	}
	if (!id || !*id) {
		answer_oauth_error(
			r, 400, "invalid_request", "Could not determine client ID from request.");
		return false;
	}
	snprintf(ret->id, sizeof(ret->id), "%s", id);
	snprintf(ret->secret, sizeof(ret->secret), "%s", secret ? secret : "");
	return true;
}

static bool authenticate(struct request *r, struct credentials *ret)
{
	if (!read_credentials(r, ret))
		return false;
	switch (grants_check_client(
		&r->sim->grants, ret->id, ret->has_secret ? ret->secret : NULL)) {
	case CLIENT_GOOD:
		return true;
	case CLIENT_NO_SECRET:
		answer_oauth_error(r, 400, "invalid_request", "client_secret is missing.");
		return false;
	case CLIENT_UNKNOWN:
		return refuse_client(r, "The OAuth client was not found.");
	case CLIENT_DISABLED:
		answer_oauth_error(r, 401, "disabled_client", "The OAuth client was disabled.");
		return false;
	case CLIENT_BAD_SECRET:
	case CLIENT_BAD_REDIRECT:
		return refuse_client(r, "Unauthorized");
	}
	return false;
}

/* ---- the answer ---- */

static int add_id_token(struct request *r, const struct issued *issued, struct json_out *o)
{
	AUTO(buf_drop) struct buf claims = BUF_INIT(8192);
	AUTO(buf_drop) struct buf token = BUF_INIT(16384);
	struct json_out c = JSON_OUT(&claims);
	char sub[WORLD_ID_SIZE], email[WORLD_NAME_SIZE];
	struct tunables set = tunables(r->sim);
	struct fault f;

	world_user_sub(&r->sim->overlay.world, issued->user, sub);
	world_user_email(&r->sim->overlay.world, issued->user, email);
	json_open(&c, '{');
	json_add_text(&c, "iss", set.issuer);
	json_add_text(&c, "azp", issued->client_id);
	json_add_text(&c, "aud", issued->client_id);
	json_add_text(&c, "sub", sub);
	if (scope_has(issued->scope, "https://www.googleapis.com/auth/userinfo.email")) {
		json_add_text(&c, "email", email);
		json_add_bool(&c, "email_verified", true);
	}
	if (issued->nonce)
		json_add_text(&c, "nonce", issued->nonce);
	json_add_int(&c, "iat", r->now_ms / 1000);
	json_add_int(&c, "exp", r->now_ms / 1000 + 3600);
	json_close(&c, '}');
	if (id_token_sign(r->sim->id_key, NULL, buf_text(&claims), claims.len, &token, &f) < 0)
		return -1;
	json_add_text(o, "id_token", buf_text(&token));
	return 0;
}

/* Access tokens may have any size (RFC 6749 section 5.1 states none). */
static void add_access_token(struct json_out *o, const char *token, int64_t bytes)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 17);

	buf_add_text(&text, token);
	if ((int64_t)text.len < bytes)
		buf_add_char(&text, ACCESS_PADDING);
	while ((int64_t)text.len < bytes)
		buf_add_char(&text, (char)('a' + text.len % 26));
	json_add_text(o, "access_token", buf_text(&text));
}

static void answer_issued(struct request *r, const struct issued *issued)
{
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	const struct fault_plan *plan = &r->plan;

	json_open(&o, '{');
	add_access_token(&o, issued->access, plan->token_bytes);
	if (!plan->omit_expires_in)
		json_add_int(&o, "expires_in", issued->expires_in);
	if (*issued->refresh && !plan->omit_refresh_token)
		json_add_text(&o, "refresh_token", issued->refresh);
	if (issued->refresh_expires_in > 0)
		json_add_int(&o, "refresh_token_expires_in", issued->refresh_expires_in);
	if (!plan->omit_scope)
		json_add_text(&o, "scope", *plan->scope ? plan->scope : issued->scope);
	json_add_text(&o, "token_type", *plan->token_type ? plan->token_type : "Bearer");
	if (scope_has(issued->scope, "openid") && add_id_token(r, issued, &o) < 0) {
		answer_oauth_error(r, 500, "server_error", "The ID token could not be signed.");
		return;
	}
	json_close(&o, '}');
	answer_header(&r->answer, "Cache-Control", "no-store");
	answer_header(&r->answer, "Pragma", "no-cache");
}

static void exchange_code(struct request *r, const char *client_id, const struct token_wish *wish)
{
	const char *code = params_get(&r->form, "code");
	struct issued issued = {0};

	if (!code || !*code) {
		answer_oauth_error(r, 400, "invalid_request", "Missing required parameter: code");
		return;
	}
	switch (grants_exchange(&r->sim->grants, client_id, code,
		params_get(&r->form, "redirect_uri"), params_get(&r->form, "code_verifier"), wish,
		r->now_ms, &issued)) {
	case GRANT_DONE:
		answer_issued(r, &issued);
		break;
	case GRANT_BAD_REDIRECT:
		answer_oauth_error(r, 400, "redirect_uri_mismatch", "Bad Request");
		break;
	case GRANT_BAD_VERIFIER:
		answer_oauth_error(r, 400, "invalid_grant",
			params_get(&r->form, "code_verifier") ? "Invalid code verifier."
							      : "Missing code verifier.");
		break;
	case GRANT_BAD_CODE:
	case GRANT_DEAD:
		answer_oauth_error(r, 400, "invalid_grant", "Malformed auth code.");
		break;
	}
	issued_drop(&issued);
}

static void refresh(struct request *r, const char *client_id, const struct token_wish *wish)
{
	const char *token = params_get(&r->form, "refresh_token");
	struct issued issued = {0};

	if (!token || !*token)
		answer_oauth_error(
			r, 400, "invalid_request", "Missing required parameter: refresh_token");
	else if (grants_refresh(&r->sim->grants, client_id, token, wish, r->now_ms, &issued) ==
		 GRANT_DONE)
		answer_issued(r, &issued);
	else
		answer_oauth_error(r, 400, "invalid_grant", "Token has been expired or revoked.");
	issued_drop(&issued);
}

static bool is_single(const char *name)
{
	(void)name;
	return true;
}

void token_endpoint(struct request *r)
{
	struct token_wish wish = {.access_ttl_sec = r->plan.expires_in,
		.rotate = r->plan.rotate,
		.reuse_detection = r->plan.reuse_detection};
	const char *doubled = params_doubled(&r->form, is_single);
	struct credentials client;

	if (r->form_is_bad || doubled || r->query.n) {
		answer_oauth_error(r, 400, "invalid_request",
			r->query.n ? "Parameters belong into the body."
			: doubled  ? "A parameter comes more than once."
				   : "The body is not form-encoded.");
		return;
	}
	if (r->kind == KIND_TOKEN_OTHER) {
		answer_oauth_error(r, 400,
			params_get(&r->form, "grant_type") ? "unsupported_grant_type"
							   : "invalid_request",
			"grant_type must be authorization_code or refresh_token.");
		return;
	}
	if (!authenticate(r, &client))
		return;
	if (r->kind == KIND_TOKEN_CODE)
		exchange_code(r, client.id, &wish);
	else
		refresh(r, client.id, &wish);
}

/* Google's: no client authentication, 400 for a token it does not know. */
void revoke_endpoint(struct request *r)
{
	const char *token = params_get(&r->form, "token");

	if (!token)
		token = params_get(&r->query, "token");
	if (!token || !*token)
		answer_oauth_error(r, 400, "invalid_request", "Missing required parameter: token");
	else if (!grants_revoke(&r->sim->grants, token, r->now_ms))
		answer_oauth_error(r, 400, "invalid_token", "Token expired or revoked");
	else
		buf_add_text(answer_start(r, 200, ANSWER_JSON), "{}");
}

/* ---- documents ---- */

static void add_url(struct json_out *o, const char *key, const char *base, const char *path)
{
	char url[512];

	snprintf(url, sizeof(url), "%s%s", base, path);
	json_add_text(o, key, url);
}

static void add_list(struct json_out *o, const char *key, const char *const *words)
{
	json_key(o, key);
	json_open(o, '[');
	for (; *words; words++)
		json_put_text(o, *words);
	json_close(o, ']');
}

void discovery_document(struct request *r)
{
	static const char *const responses[] = {"code", NULL}, *const subjects[] = {"public", NULL};
	static const char *const algorithms[] = {"RS256", NULL}, *const methods[] = {"S256", NULL};
	static const char *const scopes[] = {"openid", "email", "profile", SCOPE_REVIEWS, NULL};
	static const char *const auth[] = {"client_secret_post", "client_secret_basic", NULL};
	static const char *const grant_types[] = {"authorization_code", "refresh_token", NULL};
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	const char *base = r->sim->url;

	json_open(&o, '{');
	json_add_text(&o, "issuer", tunables(r->sim).issuer);
	add_url(&o, "authorization_endpoint", base, "/o/oauth2/v2/auth");
	add_url(&o, "token_endpoint", base, "/token");
	add_url(&o, "revocation_endpoint", base, "/revoke");
	add_url(&o, "jwks_uri", base, "/oauth2/v3/certs");
	add_list(&o, "response_types_supported", responses);
	add_list(&o, "subject_types_supported", subjects);
	add_list(&o, "id_token_signing_alg_values_supported", algorithms);
	add_list(&o, "scopes_supported", scopes);
	add_list(&o, "token_endpoint_auth_methods_supported", auth);
	add_list(&o, "code_challenge_methods_supported", methods);
	add_list(&o, "grant_types_supported", grant_types);
	json_close(&o, '}');
}

void certs_document(struct request *r)
{
	char kept[64];
	struct fault f;

	snprintf(kept, sizeof(kept), "public, max-age=%lld, must-revalidate",
		(long long)tunables(r->sim).certs_max_age_sec);
	answer_header(&r->answer, "Cache-Control", kept);
	if (id_key_write(r->sim->id_key, answer_start(r, 200, ANSWER_JSON), &f) < 0)
		answer_oauth_error(r, 500, "server_error", "There is no signing key.");
}
