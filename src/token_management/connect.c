/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to the provider: the start of a flow. Whatever a browser holds –
 * ticket, state, cookie – the database knows only by its hash, so that a copy of the database
 * starts nothing.
 */
#include "token_management/connect.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/grant.h"
#include "token_management/internal.h"
#include "token_management/sealed_column.h"
#include "vault/vault.h"

#define VERIFIER_BYTES 48 /* 64 characters (RFC 7636 section 4.1: 43 to 128) */
#define LOCATION_MAX 16384

bool connect_is_ours(const char *text)
{
	if (text == NULL)
		return false;
	return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
		       CONNECT_TEXT_SIZE - 1 &&
	       text[CONNECT_TEXT_SIZE - 1] == '\0';
}

void connect_hash(const char *text, uint8_t ret[static HASH_BLAKE2B_SIZE])
{
	hash_blake2b(text, strlen(text), ret);
}

/* The row of a verifier is its flow. */
static void seal_verifier(const struct token_management *tm, const uint8_t *state_hash,
	const struct secret *verifier, struct sealed *ret)
{
	struct db_value key = db_bytes(state_hash, HASH_BLAKE2B_SIZE);
	struct sealed_place place;

	sealed_place("code_verifier", &key, &place);
	vault_seal(tm->vault, &place.at, verifier, ret);
}

int connect_unseal_verifier(const struct token_management *tm, const uint8_t *state_hash,
	const struct sealed *sealed, struct secret *ret, struct fault *f)
{
	struct db_value key = db_bytes(state_hash, HASH_BLAKE2B_SIZE);
	struct sealed_place place;

	sealed_place("code_verifier", &key, &place);
	return vault_unseal(tm->vault, &place.at, sealed->bytes, sealed->len, ret, f);
}

/* ---- shared by links and flows ---- */

int connect_load_active(struct db *db, int64_t client_id, struct grant *ret, struct fault *f)
{
	int outcome;

	grant_done(ret);
	outcome = grant_load_by_id(db, client_id, ret, f);
	if (outcome < 0)
		return -1;
	if (outcome == 1 || !ret->is_active)
		return fault_raise(f, FAULT_MISSING, "Client not found or inactive");
	return 0;
}

/* Flows and tickets that ran out make room. */
static int sweep(struct db *db, struct fault *f)
{
	if (db_exec(db, "DELETE FROM connect_flows WHERE expires_at_ms < $1", NULL, f,
		    db_int(clock_wall_ms() - CONNECT_AGAIN_MS)) < 0)
		return -1;
	return tickets_sweep(db, f);
}

/* ---- flows ---- */

struct beginning {
	struct token_management *tm;
	int64_t client_id;
	const struct actor *who;
	bool has_ticket, chooses_account;
	const char *after; /* connect_again: the state of the flow before */
	uint8_t ticket_hash[HASH_BLAKE2B_SIZE];
	uint8_t state_hash[HASH_BLAKE2B_SIZE], browser_hash[HASH_BLAKE2B_SIZE];
	struct sealed verifier;
	struct grant grant;
	const struct provider *provider; /* as it was when the flow began */
};

static const char *wanted_scope(const struct beginning *x)
{
	return x->grant.wanted_scope != NULL ? x->grant.wanted_scope : x->provider->scopes;
}

static int put_flow(struct db *db, const struct beginning *x, struct fault *f)
{
	const struct provider *p = x->provider;
	int64_t now = clock_wall_ms();

	/* Where the code may be spent is fixed now (RFC 9700 section 4.4.2), whatever changes. */
	return db_exec(db,
		"INSERT INTO connect_flows (state_hash, client_id, browser_hash, code_verifier,"
		" provider, token_url, issuer, redirect_uri, scope, created_at_ms, expires_at_ms,"
		" ticket_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		NULL, f, db_bytes(x->state_hash, sizeof(x->state_hash)), db_int(x->client_id),
		db_bytes(x->browser_hash, sizeof(x->browser_hash)), db_sealed(&x->verifier),
		db_text(p->name), db_text(p->token_url), db_text(p->issuer),
		db_text(x->grant.redirect_uri), db_text(wanted_scope(x)), db_int(now),
		db_int(now + CONNECT_FLOW_MS),
		x->has_ticket ? db_bytes(x->ticket_hash, sizeof(x->ticket_hash)) : db_null());
}

/* ---- after a flow that ended otherwise than meant ---- */

struct before {
	struct beginning *x;
	bool is_good;
};

static int read_before(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct before *b = arg;
	struct beginning *x = b->x;

	(void)n_cols;
	(void)f;
	b->is_good = c[1].len == HASH_BLAKE2B_SIZE &&
		     hash_equal(c[1].bytes, x->browser_hash, HASH_BLAKE2B_SIZE) &&
		     c[3].type != DB_NULL &&
		     db_get_int(&c[4]) + CONNECT_AGAIN_MS > clock_wall_ms() &&
		     connect_may_begin_again(
			     db_get_text(&c[3]), db_get_text(&c[5]), &x->chooses_account);
	x->client_id = db_get_int(&c[0]);
	/* A link that connected the wrong account is used up; the page after still leads on. */
	x->has_ticket =
		c[2].len == HASH_BLAKE2B_SIZE && !text_equal(db_get_text(&c[3]), "connected");
	if (x->has_ticket)
		memcpy(x->ticket_hash, c[2].bytes, HASH_BLAKE2B_SIZE);
	return 1;
}

/* The browser's cookie is the authority, and the link, if it was not used up, must be good. */
static int look_before(struct db *db, struct beginning *x, struct fault *f)
{
	struct before b = {.x = x};
	uint8_t hash[HASH_BLAKE2B_SIZE];

	connect_hash(x->after, hash);
	if (db_read(db,
		    "SELECT client_id, browser_hash, ticket_hash, ended_as, ended_at_ms,"
		    " ended_detail FROM connect_flows WHERE state_hash = $1",
		    read_before, &b, f, db_bytes(hash, sizeof(hash))) < 0)
		return -1;
	return b.is_good ? LINK_GOOD : LINK_FLOW_OVER;
}

/* ---- beginning ---- */

static int begin_body(struct db *db, void *arg, struct fault *f)
{
	struct beginning *x = arg;
	int outcome = LINK_GOOD;

	if (x->after != NULL)
		outcome = look_before(db, x, f);
	if (outcome == LINK_GOOD && x->has_ticket)
		outcome = ticket_take(db, x->ticket_hash, x->client_id, x->browser_hash, f);
	if (outcome != LINK_GOOD)
		return outcome;
	if (connect_load_active(db, x->client_id, &x->grant, f) < 0)
		return -1;
	x->provider = providers_ready(x->tm, x->grant.provider, f);
	if (x->provider == NULL)
		return -1;
	if (grant_app_id(x->tm, &x->grant) == NULL)
		return fault_raise(f, FAULT_CONFLICT,
			"This branch has no OAuth app: GOOGLE_CLIENT_ID is not set");
	if (sweep(db, f) < 0 || put_flow(db, x, f) < 0)
		return -1;
	return audit_write(db, x->who, "connect.started", x->grant.branch_id, NULL, f);
}

static void write_location(const struct beginning *x, const char *state,
	const struct secret *verifier, struct buf *ret)
{
	AUTO(buf_drop) struct buf challenge = BUF_INIT(64);
	struct authorize_request r = {
		.client_id = grant_app_id(x->tm, &x->grant),
		.redirect_uri = x->grant.redirect_uri,
		.scope = wanted_scope(x),
		.state = state,
		.login_hint = x->grant.workspace_email,
		.chooses_account = x->chooses_account,
	};

	provider_challenge(verifier->bytes, &challenge);
	r.challenge = buf_text(&challenge);
	*ret = BUF_INIT(LOCATION_MAX);
	provider_authorize_url(x->provider, &r, ret);
}

void connect_start_done(struct connect_start *s)
{
	buf_drop(&s->location);
	secret_wipe(s->cookie, sizeof(s->cookie));
}

static struct secret make_verifier(void)
{
	char text[RAND_TEXT_SIZE(VERIFIER_BYTES)];
	struct secret verifier;

	rand_text(VERIFIER_BYTES, text);
	verifier = secret_from(text, strlen(text));
	secret_wipe(text, sizeof(text));
	return verifier;
}

static int begin(
	struct beginning *x, const char *browser, struct connect_start *ret, struct fault *f)
{
	AUTO(secret_drop) struct secret verifier = make_verifier();
	char state[CONNECT_TEXT_SIZE];
	int result;

	*ret = (struct connect_start){0};
	/* A browser keeps its cookie, so that a second tab does not end the flow of the first. */
	if (connect_is_ours(browser))
		snprintf(ret->cookie, sizeof(ret->cookie), "%s", browser);
	else
		rand_text(CONNECT_RANDOM_BYTES, ret->cookie);
	rand_text(CONNECT_RANDOM_BYTES, state);
	connect_hash(state, x->state_hash);
	connect_hash(ret->cookie, x->browser_hash);
	seal_verifier(x->tm, x->state_hash, &verifier, &x->verifier);
	result = store_transact(x->tm->store, begin_body, x, f);
	if (result == LINK_GOOD)
		write_location(x, state, &verifier, &ret->location);
	else
		connect_start_done(ret);
	sealed_drop(&x->verifier);
	grant_done(&x->grant);
	secret_wipe(state, sizeof(state));
	return result;
}

int connect_begin(struct token_management *tm, int64_t client_id, const char *ticket,
	const char *browser, const struct actor *who, struct connect_start *ret, struct fault *f)
{
	struct beginning x = {
		.tm = tm, .client_id = client_id, .who = who, .has_ticket = ticket != NULL};

	if (ticket != NULL)
		connect_hash(ticket, x.ticket_hash);
	return begin(&x, browser, ret, f);
}

int connect_again(struct token_management *tm, const char *state, const char *browser,
	const struct actor *who, struct connect_start *ret, struct fault *f)
{
	struct beginning x = {.tm = tm, .who = who, .after = state};

	*ret = (struct connect_start){0};
	if (!connect_is_ours(state) || !connect_is_ours(browser))
		return LINK_FLOW_OVER;
	return begin(&x, browser, ret, f);
}

const char *connect_consent_url(const struct token_management *tm, const char *provider)
{
	const struct provider *p = provider_find(tm, provider);

	return p != NULL ? p->auth_url : NULL;
}
