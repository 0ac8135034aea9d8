/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as Google would sign them, for tests to post where Google would post them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/rand.h"
#include "base/text.h"
#include "simulator/control.h"
#include "simulator/id_token.h"

#define TOKEN_MAX (64 * 1024)
#define PREFIX_LEN 16
#define RISC "https://schemas.openid.net/secevent/risc/event-type/"
#define OAUTH "https://schemas.openid.net/secevent/oauth/event-type/"

static void answer_signed(struct request *r, const json_t *claims, const char *typ)
{
	AUTO(buf_drop) struct buf token = BUF_INIT(TOKEN_MAX);
	char *text = json_dumps(claims, JSON_COMPACT);
	struct fault f;
	int result = id_token_sign(r->sim->id_key, typ, text, strlen(text), &token, &f);

	free(text); /* house: allow free: jansson made it */
	if (result < 0) {
		answer_control_error(r, 500, "%s", f.text);
		return;
	}
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	json_open(&o, '{');
	json_add_text(&o, "token", buf_text(&token));
	json_close(&o, '}');
}

void control_sign(struct request *r)
{
	static const char *const known[] = {"claims", "typ", NULL};
	AUTO(json_drop) json_t *body = NULL;

	if (!control_body(r, &body) || !control_keys(r, body, known))
		return;
	if (!json_is_object(json_member(body, "claims")))
		answer_control_error(r, 400, "claims must be an object");
	else
		answer_signed(r, json_member(body, "claims"), json_text(body, "typ"));
}

void control_keys_post(struct request *r)
{
	static const char *const known[] = {"rotate", "max_age_sec", NULL};
	AUTO(json_drop) json_t *body = NULL;
	struct fault f;

	if (!control_body(r, &body) || !control_keys(r, body, known))
		return;
	if (json_flag(body, "rotate", false) && id_key_rotate(r->sim->id_key, &f) < 0) {
		answer_control_error(r, 500, "%s", f.text);
		return;
	}
	pthread_mutex_lock(&r->sim->tunables_lock);
	r->sim->tunables_now.certs_max_age_sec =
		json_int(body, "max_age_sec", r->sim->tunables_now.certs_max_age_sec);
	pthread_mutex_unlock(&r->sim->tunables_lock);
	control_ok(r);
}

/* ---- security events ---- */

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text)
		json_object_set_new(object, key, json_string(text));
}

/* Google's two names of a token. */
static json_t *token_subject(const char *token, bool by_prefix)
{
	uint8_t once[HASH_SHA512_SIZE], twice[HASH_SHA512_SIZE];
	AUTO(buf_drop) struct buf name = BUF_INIT(256);
	json_t *subject = json_object();

	hash_sha512(token, strlen(token), once);
	hash_sha512(once, sizeof(once), twice);
	if (by_prefix)
		buf_add(&name, token, strlen(token) < PREFIX_LEN ? strlen(token) : PREFIX_LEN);
	else
		text_base64(&name, twice, sizeof(twice));
	set_text(subject, "subject_type", "oauth_token");
	set_text(subject, "token_type", "refresh_token");
	set_text(subject, "token_identifier_alg",
		by_prefix ? "prefix" : "hash_base64_sha512_sha512");
	set_text(subject, "token", buf_text(&name));
	return subject;
}

static json_t *user_subject(struct request *r, uint64_t user)
{
	json_t *subject = json_object();
	char sub[WORLD_ID_SIZE];

	world_user_sub(&r->sim->overlay.world, user, sub);
	set_text(subject, "subject_type", "iss-sub");
	set_text(subject, "iss", "https://accounts.google.com/");
	set_text(subject, "sub", sub);
	return subject;
}

static json_t *make_claims(struct request *r, const json_t *body, json_t *moved_event)
{
	json_t *claims = json_object(), *events = json_object();
	const char *type = json_text(body, "type");
	char uri[160], jti[RAND_TEXT_SIZE(16)];

	rand_text(16, jti);
	snprintf(uri, sizeof(uri), "%s%s", text_starts(type, "token") ? OAUTH : RISC, type);
	json_object_set_new(events, uri, moved_event);
	set_text(claims, "iss", "https://accounts.google.com/");
	set_text(claims, "aud", json_text(body, "client_id"));
	json_object_set_new(claims, "iat", json_integer(r->now_ms / 1000));
	set_text(claims, "jti", jti);
	json_object_set_new(claims, "events", events);
	json_object_update(claims, json_member(body, "claims"));
	return claims;
}

void control_security_event(struct request *r)
{
	static const char *const known[] = {"type", "client_id", "user", "refresh_token",
		"identifier", "reason", "state", "claims", "typ", NULL};
	AUTO(json_drop) json_t *body = NULL, *claims = NULL;
	const char *type, *token;
	uint64_t user;
	json_t *event;

	if (!control_body(r, &body) || !control_keys(r, body, known) ||
		!control_user(r, body, &user))
		return;
	type = json_text(body, "type");
	token = json_text(body, "refresh_token");
	if (!type || strlen(type) > 64) {
		answer_control_error(r, 400, "type must be that of an event");
		return;
	}
	event = json_object();
	if (token)
		json_object_set_new(event, "subject",
			token_subject(token, text_equal(json_text(body, "identifier"), "prefix")));
	else if (user != WORLD_NONE)
		json_object_set_new(event, "subject", user_subject(r, user));
	set_text(event, "reason", json_text(body, "reason"));
	set_text(event, "state", json_text(body, "state"));
	claims = make_claims(r, body, event);
	answer_signed(r, claims, json_text(body, "typ") ? json_text(body, "typ") : "secevent+jwt");
}
