/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "base/hash.h"
#include "token_management/provider_request.h"
#include "token_management/state.h"

static const struct settings settings = {
	.google_auth_url = "https://accounts.google.com/o/oauth2/v2/auth",
	.google_token_url = "https://oauth2.googleapis.com/token",
	.google_revoke_url = "https://oauth2.googleapis.com/revoke",
};

/* ---- the record ---- */

static void google_as_built_in_is_sound(void **state)
{
	struct provider p;
	struct fault f = {0};

	(void)state;
	provider_google(&settings, &p);
	assert_int_equal(provider_check(&p, &f), 0);
	assert_string_equal(p.issuer, "https://accounts.google.com");
	assert_int_equal(p.auth, PROVIDER_AUTH_BODY);
}

static void assert_refused(struct provider *p, const char *field, const char *word)
{
	struct fault f = {0};

	assert_int_equal(provider_check(p, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, field);
	assert_non_null(strstr(f.text, word));
}

static void no_extra_parameter_overrides_the_protocol(void **state)
{
	static const char *const names[] = {"state", "redirect_uri", "client_id", "code_challenge",
		"code_challenge_method", "response_type", "scope"};
	static const char *const token_names[] = {"grant_type", "code", "client_secret",
		"client_assertion", "code_verifier", "refresh_token", "redirect_uri"};
	struct provider p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct provider_param extra = {names[i], "evil"};

		provider_google(&settings, &p);
		p.extra = &extra;
		p.n_extra = 1;
		assert_refused(&p, "authorization_params", names[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(token_names); i++) {
		struct provider_param extra = {token_names[i], "evil"};

		provider_google(&settings, &p);
		p.token_extra = &extra;
		p.n_token_extra = 1;
		assert_refused(&p, "token_params", token_names[i]);
	}
}

static void nor_does_the_query_of_the_authorization_url(void **state)
{
	struct provider p;

	(void)state;
	provider_google(&settings, &p);
	p.auth_url = "https://a.example/auth?hl=en&state=x";
	assert_refused(&p, "authorization_url", "state");
	p.auth_url = "https://a.example/auth?st%61te=x";
	assert_refused(&p, "authorization_url", "st%61te");
}

static void only_https_and_no_fragment(void **state)
{
	struct provider p;

	(void)state;
	provider_google(&settings, &p);
	p.token_url = "http://oauth2.example/token";
	assert_refused(&p, "token_url", "https");
	provider_google(&settings, &p);
	p.auth_url = "https://a.example/auth#x";
	assert_refused(&p, "authorization_url", "");
	provider_google(&settings, &p);
	p.revoke_url = "ftp://a.example/revoke";
	assert_refused(&p, "revocation_url", "http");
}

/* ---- requests ---- */

static void the_challenge_is_that_of_rfc_7636_appendix_b(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(64);

	(void)state;
	provider_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", &b);
	assert_string_equal(buf_text(&b), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

static void the_query_of_an_authorization_url_is_kept(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(4096);
	struct authorize_request r = {.client_id = "a b&c",
		.redirect_uri = "https://x.example/cb?y=1",
		.scope = "a b",
		.state = "s",
		.challenge = "c"};
	struct provider p;

	(void)state;
	provider_google(&settings, &p);
	p.auth_url = "https://a.example/auth?hl=en&prompt=login";
	provider_authorize_url(&p, &r, &b);
	assert_string_equal(buf_text(&b),
		"https://a.example/auth?hl=en&prompt=login&response_type=code"
		"&client_id=a%20b%26c&redirect_uri=https%3A%2F%2Fx.example%2Fcb%3Fy%3D1"
		"&scope=a%20b"
		"&state=s&code_challenge=c&code_challenge_method=S256&access_type=offline");
}

static struct net_request ask(enum provider_auth auth, const char *id, const char *app_secret)
{
	struct buf form = BUF_INIT_WIPED(4096);
	AUTO(app_done)
	struct app app = {.id = id, .secret = secret_from(app_secret, strlen(app_secret))};
	struct net_request r;
	struct provider p;
	struct fault f = {0};

	provider_google(&settings, &p);
	p.auth = auth;
	net_form_add(&form, "grant_type", "x", 1);
	assert_int_equal(provider_request(&p, p.token_url, &app, &form, 1000, &r, &f), 0);
	assert_null(form.data); /* moved */
	return r;
}

static void a_request_shows_its_client_by_one_method_only(void **state)
{
	struct net_request r = ask(PROVIDER_AUTH_BODY, "id", "se:c+r%t");

	(void)state;
	assert_string_equal(r.method, "POST");
	assert_string_equal(r.url, "https://oauth2.googleapis.com/token");
	assert_string_equal(r.content_type, "application/x-www-form-urlencoded");
	assert_string_equal(
		buf_text(&r.body), "grant_type=x&client_id=id&client_secret=se%3Ac%2Br%25t");
	assert_false(secret_is_set(&r.basic));
	assert_false(secret_is_set(&r.bearer));
	buf_drop(&r.body);
	r = ask(PROVIDER_AUTH_BASIC, "id", "secret");
	assert_string_equal(buf_text(&r.body), "grant_type=x");
	assert_string_equal(r.basic.bytes, "id:secret");
	buf_drop(&r.body);
	secret_drop(&r.basic);
}

static void basic_credentials_are_form_encoded_first(void **state)
{
	struct net_request r = ask(PROVIDER_AUTH_BASIC, "i:d", "se:c+r%t\xc3\xa9");

	(void)state;
	assert_string_equal(r.basic.bytes, "i%3Ad:se%3Ac%2Br%25t%C3%A9");
	buf_drop(&r.body);
	secret_drop(&r.basic);
}

/* ---- scopes ---- */

static void assert_missing(const char *wanted, const char *granted, const char *missing)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(4096);

	scopes_missing(wanted, granted, &b);
	assert_string_equal(buf_text(&b), missing);
}

static void scopes_are_compared_word_by_word(void **state)
{
	(void)state;
	assert_missing("a b", "b a c", "");
	assert_missing("a b", "b", "a");
	assert_missing("a b c", "", "a b c");
	assert_missing("a", "aa ab", "a");
	assert_missing(" a  b ", " b", "a");
	assert_missing("", "a", "");
	assert_missing("openid email", "https://www.googleapis.com/auth/userinfo.email openid", "");
	assert_missing("https://www.googleapis.com/auth/userinfo.email", "email", "");
	assert_missing("email", "https://www.googleapis.com/auth/userinfo.profile", "email");
}

/* ---- states ---- */

static void states_move_only_along_their_table(void **state)
{
	static const char *const wanted[STATE_COUNT] = {
		[STATE_PENDING] = "connected needs_reconnect",
		[STATE_CONNECTED] = "pending degraded needs_reconnect revoking revoked",
		[STATE_DEGRADED] = "pending connected needs_reconnect revoking revoked",
		[STATE_NEEDS_RECONNECT] = "pending connected degraded revoking revoked",
		[STATE_REVOKING] = "connected revoked",
		[STATE_REVOKED] = "pending connected",
	};

	(void)state;
	for (unsigned from = 0; from < STATE_COUNT; from++) {
		AUTO(buf_drop) struct buf b = BUF_INIT(256);

		for (unsigned to = 0; to <= STATE_INACTIVE; to++) {
			if (!state_may_move((enum connection_state)from, (enum connection_state)to))
				continue;
			buf_addf(&b, "%s%s", b.len > 0 ? " " : "",
				state_name((enum connection_state)to));
		}
		assert_string_equal(buf_text(&b), wanted[from]);
		assert_int_equal(state_parse(state_name((enum connection_state)from)), from);
	}
	assert_int_equal(state_parse("expiring"), STATE_COUNT); /* derived, never stored */
	assert_int_equal(state_parse(NULL), STATE_COUNT);
	assert_false(state_may_move(STATE_INACTIVE, STATE_CONNECTED));
}

static int start(void **state)
{
	(void)state;
	hash_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(google_as_built_in_is_sound),
		cmocka_unit_test(no_extra_parameter_overrides_the_protocol),
		cmocka_unit_test(nor_does_the_query_of_the_authorization_url),
		cmocka_unit_test(only_https_and_no_fragment),
		cmocka_unit_test(the_challenge_is_that_of_rfc_7636_appendix_b),
		cmocka_unit_test(the_query_of_an_authorization_url_is_kept),
		cmocka_unit_test(a_request_shows_its_client_by_one_method_only),
		cmocka_unit_test(basic_credentials_are_form_encoded_first),
		cmocka_unit_test(scopes_are_compared_word_by_word),
		cmocka_unit_test(states_move_only_along_their_table),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
