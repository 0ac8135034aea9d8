/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/provider_request.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/rand.h"
#include "base/text.h"
#include "core/limits.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
/* RFC 7523 section 3 wants an end; a minute covers the way there and clocks that differ. */
#define ASSERTION_LIFE_S 60
#define ASSERTION_MAX 16384

void app_done(struct app *a)
{
	secret_drop(&a->secret);
	*a = (struct app){0};
}

/* "id:secret", each form-encoded first (RFC 6749 section 2.3.1). */
static struct secret basic_credentials(const struct app *app)
{
	AUTO(buf_drop)
	struct buf b = BUF_INIT_WIPED(4 * (LIMIT_CLIENT_ID_BYTES + LIMIT_CLIENT_SECRET_BYTES));

	text_percent_encode(&b, app->id, strlen(app->id));
	buf_add_char(&b, ':');
	text_percent_encode(&b, app->secret.bytes, app->secret.len);
	return secret_from(buf_text(&b), b.len);
}

static void add_text(struct buf *form, const char *key, const char *value)
{
	net_form_add(form, key, value, strlen(value));
}

/*
 * RFC 7523 sections 2.2 and 3. The audience is the issuer where it is known, since an assertion for
 * an address could be asked for by another server that names that address as its own.
 */
static int add_assertion(
	const struct provider *p, const struct app *app, struct buf *form, struct fault *f)
{
	AUTO(buf_drop) struct buf claims = BUF_INIT(4096), jws = BUF_INIT_WIPED(ASSERTION_MAX);
	struct jose_claims signing = {.key_id = app->key_id};
	struct json_out o = JSON_OUT(&claims);
	char id[RAND_UUID_SIZE];
	int64_t now_s = clock_wall_ms() / 1000;
	bool by_url = p->audience_is_token_url || p->issuer == NULL;

	if (jose_sign_check(
		    &app->secret, p->has_alg ? &p->alg : NULL, "private_key", &signing.alg, f) < 0)
		return -1;
	rand_uuid4(id);
	json_open(&o, '{');
	json_add_text(&o, "iss", app->id);
	json_add_text(&o, "sub", app->id);
	json_add_text(&o, "aud", by_url ? p->token_url : p->issuer);
	json_add_text(&o, "jti", id);
	json_add_int(&o, "iat", now_s);
	json_add_int(&o, "exp", now_s + ASSERTION_LIFE_S);
	json_close(&o, '}');
	signing.json = buf_text(&claims);
	signing.len = claims.len;
	if (jose_sign(&app->secret, &signing, &jws, f) < 0)
		return -1;
	add_text(form, "client_id", app->id);
	add_text(form, "client_assertion_type", ASSERTION_TYPE);
	net_form_add(form, "client_assertion", buf_text(&jws), jws.len);
	return 0;
}

int provider_request(const struct provider *p, const char *url, const struct app *app,
	struct buf *moved_form, uint32_t timeout_ms, struct net_request *ret, struct fault *f)
{
	*ret = (struct net_request){
		.method = "POST",
		.url = url,
		.content_type = "application/x-www-form-urlencoded",
		.timeout_ms = timeout_ms,
		.max_reply_bytes = LIMIT_TOKEN_RESPONSE_BYTES,
	};
	switch (p->auth) {
	case PROVIDER_AUTH_BASIC:
		ret->basic = basic_credentials(app);
		break;
	case PROVIDER_AUTH_BODY:
		add_text(moved_form, "client_id", app->id);
		net_form_add(moved_form, "client_secret", app->secret.bytes, app->secret.len);
		break;
	case PROVIDER_AUTH_KEY:
		if (add_assertion(p, app, moved_form, f) < 0)
			return -1;
		break;
	case PROVIDER_AUTH_NONE:
		add_text(moved_form, "client_id", app->id);
		break;
	}
	ret->body = *moved_form;
	*moved_form = (struct buf){0};
	return 0;
}

void provider_add_token_params(const struct provider *p, struct buf *form)
{
	for (size_t i = 0; i < p->n_token_extra; i++)
		add_text(form, p->token_extra[i].name, p->token_extra[i].value);
}
