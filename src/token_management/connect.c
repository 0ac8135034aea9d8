/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to the provider: links, tickets and the start of a flow. Whatever a browser holds –
 * ticket, state, cookie – the database knows only by its hash, so that a copy of the database
 * starts nothing.
 */
#include "token_management/connect.h"

#include <inttypes.h>
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
#define OVER_KEPT_MS \
	(3600 * 1000) /* what has run out is kept that long, for its own error message */
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

/* Inside a transaction. -1 FAULT_MISSING unless the client is there and switched on. */
static int load_active(struct db *db, int64_t client_id, struct grant *ret, struct fault *f)
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
	int64_t before = clock_wall_ms() - OVER_KEPT_MS;

	if (db_exec(db, "DELETE FROM connect_flows WHERE expires_at_ms < $1", NULL, f,
		    db_int(before)) < 0)
		return -1;
	return db_exec(
		db, "DELETE FROM link_tickets WHERE expires_at_ms < $1", NULL, f, db_int(before));
}

/* ---- links ---- */

struct linking {
	int64_t client_id;
	const struct actor *who;
	uint8_t hash[HASH_BLAKE2B_SIZE];
	int64_t expires_at_ms;
};

static int link_body(struct db *db, void *arg, struct fault *f)
{
	const struct linking *x = arg;
	AUTO(grant_done) struct grant g = {0};

	if (load_active(db, x->client_id, &g, f) < 0 || sweep(db, f) < 0)
		return -1;
	if (db_exec(db,
		    "INSERT INTO link_tickets (ticket_hash, client_id, created_at_ms, "
		    "expires_at_ms)"
		    " VALUES ($1, $2, $3, $4)",
		    NULL, f, db_bytes(x->hash, sizeof(x->hash)), db_int(x->client_id),
		    db_int(clock_wall_ms()), db_int(x->expires_at_ms)) < 0)
		return -1;
	return audit_write(db, x->who, "link.created", g.branch_id, NULL, f);
}

int connect_link(struct token_management *tm, int64_t client_id, const struct actor *who,
	struct buf *ret_url, int64_t *ret_expires_at_ms, struct fault *f)
{
	char ticket[CONNECT_TEXT_SIZE];
	struct linking x = {
		.client_id = client_id,
		.who = who,
		.expires_at_ms = clock_wall_ms() + CONNECT_LINK_MS,
	};

	rand_text(CONNECT_RANDOM_BYTES, ticket);
	connect_hash(ticket, x.hash);
	if (store_transact(tm->store, link_body, &x, f) < 0)
		return -1;
	buf_addf(ret_url, "%s/token-management/oauth/login/%" PRId64 "?ticket=%s",
		tm->settings->public_url, client_id, ticket);
	secret_wipe(ticket, sizeof(ticket));
	*ret_expires_at_ms = x.expires_at_ms;
	return 0;
}

/* ---- tickets ---- */

struct ticket {
	bool found, is_bound;
	int64_t client_id, expires_at_ms, used_at_ms;
	uint8_t browser_hash[HASH_BLAKE2B_SIZE];
};

static int read_ticket(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct ticket *t = arg;

	(void)n_cols;
	(void)f;
	t->found = true;
	t->client_id = db_get_int(&c[0]);
	t->expires_at_ms = db_get_int(&c[1]);
	t->used_at_ms = db_get_int(&c[2]);
	t->is_bound = c[3].type == DB_BYTES && c[3].len == sizeof(t->browser_hash);
	if (t->is_bound)
		memcpy(t->browser_hash, c[3].bytes, sizeof(t->browser_hash));
	return 1;
}

/* A ticket that can still start a flow of this client in this browser; browser_hash NULL: new. */
static int load_ticket(struct db *db, const uint8_t *hash, int64_t client_id,
	const uint8_t *browser_hash, struct ticket *ret, struct fault *f)
{
	if (db_read(db,
		    "SELECT client_id, expires_at_ms, used_at_ms, browser_hash FROM link_tickets"
		    " WHERE ticket_hash = $1",
		    read_ticket, ret, f, db_bytes(hash, HASH_BLAKE2B_SIZE)) < 0)
		return -1;
	if (!ret->found || ret->client_id != client_id)
		return fault_raise(f, FAULT_DENIED, "This link is not valid; ask for a new one");
	if (ret->used_at_ms != 0)
		return fault_raise(f, FAULT_DENIED,
			"This link has done its work: the branch was connected with it");
	if (ret->expires_at_ms <= clock_wall_ms())
		return fault_raise(f, FAULT_DENIED, "This link has expired; ask for a new one");
	if (ret->is_bound && (browser_hash == NULL || !hash_equal(ret->browser_hash, browser_hash,
							      HASH_BLAKE2B_SIZE)))
		return fault_raise(f, FAULT_DENIED,
			"This link was opened in another browser; ask for a new one");
	return 0;
}

/*
 * A ticket belongs to the browser that began a flow with it first, and lasts until a connection was
 * made with it: who was refused or ticked the wrong box can try again.
 */
static int take_ticket(struct db *db, const char *text, int64_t client_id,
	const uint8_t *browser_hash, struct fault *f)
{
	struct ticket t = {0};
	uint8_t hash[HASH_BLAKE2B_SIZE];
	int64_t changed;

	connect_hash(text, hash);
	if (load_ticket(db, hash, client_id, browser_hash, &t, f) < 0)
		return -1;
	if (t.is_bound)
		return 0;
	if (db_exec(db,
		    "UPDATE link_tickets SET browser_hash = $2 WHERE ticket_hash = $1"
		    " AND browser_hash IS NULL",
		    &changed, f, db_bytes(hash, sizeof(hash)),
		    db_bytes(browser_hash, HASH_BLAKE2B_SIZE)) < 0)
		return -1;
	return changed == 1 ? 0
			    : fault_raise(f, FAULT_DENIED,
				      "This link was opened in another browser; ask for a new one");
}

struct looking {
	int64_t client_id;
	const char *ticket, *browser;
};

static int look_body(struct db *db, void *arg, struct fault *f)
{
	const struct looking *x = arg;
	AUTO(grant_done) struct grant g = {0};
	uint8_t hash[HASH_BLAKE2B_SIZE], browser_hash[HASH_BLAKE2B_SIZE];
	struct ticket t = {0};
	bool has_browser = connect_is_ours(x->browser);

	if (load_active(db, x->client_id, &g, f) < 0)
		return -1;
	connect_hash(x->ticket, hash);
	if (has_browser)
		connect_hash(x->browser, browser_hash);
	return load_ticket(db, hash, x->client_id, has_browser ? browser_hash : NULL, &t, f);
}

int connect_look(struct token_management *tm, int64_t client_id, const char *ticket,
	const char *browser, struct fault *f)
{
	struct looking x = {.client_id = client_id, .ticket = ticket, .browser = browser};

	return store_use(tm->store, look_body, &x, f);
}

/* ---- flows ---- */

struct beginning {
	struct token_management *tm;
	int64_t client_id;
	const char *ticket;
	const struct actor *who;
	uint8_t state_hash[HASH_BLAKE2B_SIZE], browser_hash[HASH_BLAKE2B_SIZE];
	struct sealed verifier;
	struct grant grant;
};

static int put_flow(
	struct db *db, const struct beginning *x, const struct provider *p, struct fault *f)
{
	int64_t now = clock_wall_ms();

	/* Where the code may be spent is fixed now (RFC 9700 section 4.4.2), whatever changes. */
	return db_exec(db,
		"INSERT INTO connect_flows (state_hash, client_id, browser_hash, code_verifier,"
		" provider, token_url, issuer, redirect_uri, scope, created_at_ms, expires_at_ms)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
		NULL, f, db_bytes(x->state_hash, sizeof(x->state_hash)), db_int(x->client_id),
		db_bytes(x->browser_hash, sizeof(x->browser_hash)), db_sealed(&x->verifier),
		db_text(p->name), db_text(p->token_url), db_text(p->issuer),
		db_text(x->grant.redirect_uri), db_text(p->scopes), db_int(now),
		db_int(now + CONNECT_FLOW_MS));
}

static int begin_body(struct db *db, void *arg, struct fault *f)
{
	struct beginning *x = arg;
	const struct provider *p;

	if (load_active(db, x->client_id, &x->grant, f) < 0)
		return -1;
	p = provider_find(x->tm, x->grant.provider);
	if (p == NULL || grant_app_id(x->tm, &x->grant) == NULL)
		return fault_raise(f, FAULT_CONFLICT,
			"This branch has no OAuth app: its provider is unknown or GOOGLE_CLIENT_ID"
			" is not set");
	if (x->ticket != NULL && take_ticket(db, x->ticket, x->client_id, x->browser_hash, f) < 0)
		return -1;
	if (sweep(db, f) < 0 || put_flow(db, x, p, f) < 0)
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
		.state = state,
		.login_hint = x->grant.workspace_email,
	};

	provider_challenge(verifier->bytes, &challenge);
	r.challenge = buf_text(&challenge);
	*ret = BUF_INIT(LOCATION_MAX);
	provider_authorize_url(provider_find(x->tm, x->grant.provider), &r, ret);
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

int connect_begin(struct token_management *tm, int64_t client_id, const char *ticket,
	const char *browser, const struct actor *who, struct connect_start *ret, struct fault *f)
{
	AUTO(secret_drop) struct secret verifier = make_verifier();
	struct beginning x = {.tm = tm, .client_id = client_id, .ticket = ticket, .who = who};
	char state[CONNECT_TEXT_SIZE];
	int result;

	*ret = (struct connect_start){0};
	/* A browser keeps its cookie, so that a second tab does not end the flow of the first. */
	if (connect_is_ours(browser))
		snprintf(ret->cookie, sizeof(ret->cookie), "%s", browser);
	else
		rand_text(CONNECT_RANDOM_BYTES, ret->cookie);
	rand_text(CONNECT_RANDOM_BYTES, state);
	connect_hash(state, x.state_hash);
	connect_hash(ret->cookie, x.browser_hash);
	seal_verifier(tm, x.state_hash, &verifier, &x.verifier);
	result = store_transact(tm->store, begin_body, &x, f);
	if (result >= 0)
		write_location(&x, state, &verifier, &ret->location);
	else
		connect_start_done(ret);
	sealed_drop(&x.verifier);
	grant_done(&x.grant);
	secret_wipe(state, sizeof(state));
	return result < 0 ? -1 : 0;
}
