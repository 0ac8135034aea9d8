/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back: a callback names a flow by its state, and proves that it comes from the browser
 * that began it. Only then, and once, the code is spent – where the flow says, with what the flow
 * says.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/limits.h"
#include "core/metrics.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/connect.h"
#include "token_management/grant.h"
#include "token_management/internal.h"

#define CODE_MAX 4096
#define EXCHANGE_MS 20000
#define STORE_TRIES 6
#define STORE_RETRY_MS 200 /* doubled each time: 6 tries take 6 s */

#define CONNECTS(label)                                                      \
	{                                                                    \
		label,                                                       \
			METRIC_COUNTER("review_fetcher_connects_total",      \
				"Consent flows that came back, by outcome.", \
				"outcome=\"" label "\""),                    \
	}
static struct {
	const char *name;
	struct metric metric;
} connects[] = {
	[CONNECT_DONE] = CONNECTS("connected"),
	[CONNECT_REFUSED] = CONNECTS("refused"),
	[CONNECT_BAD_STATE] = CONNECTS("bad_state"),
	[CONNECT_BAD_REQUEST] = CONNECTS("bad_request"),
	[CONNECT_MISSING_SCOPE] = CONNECTS("missing_scope"),
	[CONNECT_NO_REFRESH_TOKEN] = CONNECTS("no_refresh_token"),
	[CONNECT_FAILED] = CONNECTS("failed"),
};

/* The actor of what a browser does in a flow: the flow's own audit rows say who began it. */
static const struct actor browser_actor = {.name = "browser"};

struct exchange {
	struct work work;
	connect_done_fn *done;
	void *arg;
	const struct connect_reply *reply; /* until the state is spent */
	uint8_t state_hash[HASH_BLAKE2B_SIZE], browser_hash[HASH_BLAKE2B_SIZE];
	/* the flow, as begun */
	bool has_flow;
	char *provider, *token_url, *issuer, *redirect_uri, *scope;
	struct sealed verifier;
	struct grant grant;
	/* the exchange */
	struct secret code;
	bool uses_previous_secret;
	int64_t sent_wall_ms;
	struct token_reply answer;
	struct token_response response;
	struct identity identity;
	struct grant_tokens sealed;
	unsigned store_tries;
	/* how it ended */
	enum connect_outcome outcome;
	char provider_error[64];
	int64_t expires_at_ms;
	struct fault fault;
};

/* ---- ending ---- */

static void forget_flow(struct exchange *x)
{
	mem_freep(&x->provider);
	mem_freep(&x->token_url);
	mem_freep(&x->issuer);
	mem_freep(&x->redirect_uri);
	mem_freep(&x->scope);
	sealed_drop(&x->verifier);
	grant_done(&x->grant);
	x->has_flow = false;
}

static void exchange_free(struct exchange *x)
{
	forget_flow(x);
	secret_drop(&x->code);
	buf_drop(&x->answer.body);
	token_response_done(&x->response);
	secret_wipe(&x->identity, sizeof(x->identity));
	grant_tokens_done(&x->sealed);
	mem_free(x);
}

static void log_end(const struct exchange *x)
{
	if (x->outcome == CONNECT_DONE)
		log_event(LOG_INFO, "connect.done", F_STR("branch", x->grant.branch_id),
			F_STR("scope", x->sealed.scope));
	else if (x->outcome == CONNECT_FAILED)
		log_event(LOG_WARN, "connect.failed", F_STR("branch", x->grant.branch_id),
			F_STR("provider_error", x->provider_error), F_FAULT(&x->fault));
	else
		log_event(LOG_INFO, "connect.ended", F_STR("branch", x->grant.branch_id),
			F_STR("outcome", connects[x->outcome].name));
}

static void finish(struct exchange *x, enum connect_outcome outcome, bool is_work)
{
	struct connect_result result = {.outcome = outcome};

	x->outcome = outcome;
	metric_add(&connects[outcome].metric, 1);
	log_end(x);
	if (x->has_flow) {
		result.client_row = x->grant.client_row;
		result.client_oauth_id = grant_app_id(x->work.tm, &x->grant);
		result.branch_id = x->grant.branch_id;
		result.workspace_name = x->grant.workspace_name;
	}
	if (x->provider_error[0] != '\0')
		result.provider_error = x->provider_error;
	result.expires_at_ms = x->expires_at_ms;
	if (outcome == CONNECT_FAILED)
		result.fault = &x->fault;
	x->done(x->arg, &result);
	if (is_work)
		work_end(&x->work);
	exchange_free(x);
}

/* ---- the state ---- */

struct flow_row {
	struct exchange *x;
	int64_t client_row;
	bool found, is_over, is_ours;
};

static int read_flow(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct flow_row *row = arg;
	struct exchange *x = row->x;

	(void)n_cols;
	(void)f;
	row->found = true;
	row->client_row = db_get_int(&c[0]);
	row->is_ours = c[1].len == HASH_BLAKE2B_SIZE &&
		       hash_equal(c[1].bytes, x->browser_hash, HASH_BLAKE2B_SIZE);
	row->is_over = c[8].type != DB_NULL || db_get_int(&c[7]) <= clock_wall_ms();
	x->verifier = sealed_from(c[2].bytes, c[2].len);
	x->provider = row_copy_text(&c[3]);
	x->token_url = row_copy_text(&c[4]);
	x->issuer = row_copy_text(&c[5]);
	x->redirect_uri = row_copy_text(&c[6]);
	x->scope = row_copy_text(&c[9]);
	return 1;
}

/* 0: this flow, begun by this browser, not yet used. 1: anything else. */
static int load_flow(struct db *db, struct exchange *x, struct fault *f)
{
	struct flow_row row = {.x = x};

	if (db_read(db,
		    "SELECT client_id, browser_hash, code_verifier, provider, token_url, issuer,"
		    " redirect_uri, expires_at_ms, used_at_ms, scope FROM connect_flows"
		    " WHERE state_hash = $1",
		    read_flow, &row, f, db_bytes(x->state_hash, sizeof(x->state_hash))) < 0)
		return -1;
	if (!row.found || !row.is_ours || row.is_over)
		return 1;
	return grant_load_by_id(db, row.client_row, &x->grant, f);
}

/* 0: spent by us, now. 1: someone was first. */
static int spend_state(struct db *db, const struct exchange *x, struct fault *f)
{
	int64_t changed;

	if (db_exec(db,
		    "UPDATE connect_flows SET used_at_ms = $2 WHERE state_hash = $1"
		    " AND used_at_ms IS NULL",
		    &changed, f, db_bytes(x->state_hash, sizeof(x->state_hash)),
		    db_int(clock_wall_ms())) < 0)
		return -1;
	return changed == 1 ? 0 : 1;
}

/* RFC 9207 section 2.4: an answer of another issuer is neither spent nor believed. */
static bool is_wrong_issuer(const struct exchange *x, const struct provider *p)
{
	const char *iss = x->reply->iss;

	if (iss == NULL)
		return p->sends_iss;
	return x->issuer != NULL && strcmp(iss, x->issuer) != 0;
}

/* What the answer says, given that it belongs to this flow. CONNECT_DONE: spend the code. */
static enum connect_outcome read_reply(struct exchange *x)
{
	const struct connect_reply *reply = x->reply;
	const struct provider *p = provider_find(x->work.tm, x->provider);

	if (p == NULL || !x->grant.is_active) {
		fault_raise(&x->fault, FAULT_MISSING, "Client not found or inactive");
		return CONNECT_FAILED;
	}
	if (is_wrong_issuer(x, p)) {
		fault_raise(&x->fault, FAULT_INPUT,
			"the answer does not come from the issuer that was asked");
		return CONNECT_FAILED;
	}
	if (reply->error != NULL) {
		if (token_error_is_plain(reply->error, sizeof(x->provider_error)))
			snprintf(x->provider_error, sizeof(x->provider_error), "%s", reply->error);
		if (strcmp(reply->error, "access_denied") == 0)
			return CONNECT_REFUSED;
		fault_raise(&x->fault, FAULT_UPSTREAM, "the provider answered with error %s",
			x->provider_error[0] != '\0' ? x->provider_error : "(not a plain word)");
		return CONNECT_FAILED;
	}
	if (reply->code == NULL || reply->code[0] == '\0' || strlen(reply->code) > CODE_MAX)
		return CONNECT_BAD_REQUEST;
	return CONNECT_DONE;
}

static int take_body(struct db *db, void *arg, struct fault *f)
{
	struct exchange *x = arg;
	int outcome;

	forget_flow(x); /* of an earlier run of this body */
	x->outcome = CONNECT_BAD_STATE;
	outcome = load_flow(db, x, f);
	if (outcome != 0)
		return outcome < 0 ? -1 : 0;
	x->has_flow = true;
	x->outcome = read_reply(x);
	if (x->outcome == CONNECT_BAD_REQUEST) /* nothing was answered: the flow goes on */
		return 0;
	outcome = spend_state(db, x, f);
	if (outcome == 1) {
		x->outcome = CONNECT_BAD_STATE;
		x->has_flow = false;
	}
	return outcome < 0 ? -1 : 0;
}

/* ---- the end of a flow that made no connection ---- */

static const char *audit_name(enum connect_outcome outcome)
{
	switch (outcome) {
	case CONNECT_REFUSED:
		return "connect.refused";
	case CONNECT_MISSING_SCOPE:
		return "connect.missing_scope";
	case CONNECT_NO_REFRESH_TOKEN:
		return "connect.no_refresh_token";
	default:
		return "connect.failed";
	}
}

struct noting {
	const struct exchange *x;
	enum connect_outcome outcome;
};

static int note_body(struct db *db, void *arg, struct fault *f)
{
	const struct noting *n = arg;

	return audit_write(
		db, &browser_actor, audit_name(n->outcome), n->x->grant.branch_id, NULL, f);
}

static void finish_unconnected(struct exchange *x, enum connect_outcome outcome, bool is_work)
{
	struct noting n = {.x = x, .outcome = outcome};
	struct fault f = {0};

	if (store_transact(x->work.tm->store, note_body, &n, &f) < 0)
		log_event(LOG_ERROR, "audit.failed", F_STR("branch", x->grant.branch_id),
			F_FAULT(&f));
	finish(x, outcome, is_work);
}

/* ---- storing the connection ---- */

/* Without a new refresh token the stored one serves, if it lives and is of the same account. */
static bool may_keep_refresh(const struct exchange *x, const struct grant *now)
{
	const char *subject = now->subject != NULL ? now->subject : "";

	return now->refresh.bytes != NULL &&
	       (now->state == STATE_CONNECTED || now->state == STATE_DEGRADED) &&
	       strcmp(subject, x->identity.subject) == 0;
}

static int put_tokens(struct db *db, const struct exchange *x, struct fault *f)
{
	const struct grant_tokens *t = &x->sealed;
	const char *subject = x->identity.subject, *email = x->identity.email;

	/* The fence moves on, so that a refresh with the old grant can no longer write. */
	return db_exec(db,
		"INSERT INTO tokens (client_id, access_token, refresh_token, scope, "
		"requested_scope,"
		" google_subject, google_email, expires_at_ms, lifetime_ms, next_refresh_at_ms,"
		" refresh_token_expires_at_ms, last_refreshed_at_ms, created_at_ms, updated_at_ms)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $12)"
		" ON CONFLICT (client_id) DO UPDATE SET access_token = excluded.access_token,"
		" refresh_token = COALESCE(excluded.refresh_token, tokens.refresh_token),"
		" token_type = 'Bearer', scope = excluded.scope,"
		" requested_scope = excluded.requested_scope,"
		" google_subject = excluded.google_subject, google_email = excluded.google_email,"
		" expires_at_ms = excluded.expires_at_ms, lifetime_ms = excluded.lifetime_ms,"
		" next_refresh_at_ms = excluded.next_refresh_at_ms,"
		" refresh_token_expires_at_ms = excluded.refresh_token_expires_at_ms,"
		" is_valid = 1, is_revoked = 0, refresh_failures = 0, retry_at_ms = NULL,"
		" lease_owner = NULL, lease_until_ms = NULL, fence = tokens.fence + 1,"
		" last_refreshed_at_ms = excluded.last_refreshed_at_ms,"
		" updated_at_ms = excluded.updated_at_ms",
		NULL, f, db_int(x->grant.client_row), db_sealed(&t->access), db_sealed(&t->refresh),
		db_text(t->scope), db_text(x->scope), db_text(subject[0] != '\0' ? subject : NULL),
		db_text(email[0] != '\0' ? email : NULL), db_int(t->expires_at_ms),
		db_int(t->lifetime_ms), db_int(t->next_refresh_at_ms),
		db_int_or_null(t->refresh_expires_at_ms, t->refresh_expires_at_ms > 0),
		db_int(clock_wall_ms()));
}

static int use_up_tickets(struct db *db, const struct exchange *x, struct fault *f)
{
	return db_exec(db,
		"UPDATE link_tickets SET used_at_ms = $3 WHERE client_id = $1"
		" AND browser_hash = $2 AND used_at_ms IS NULL",
		NULL, f, db_int(x->grant.client_row),
		db_bytes(x->browser_hash, sizeof(x->browser_hash)), db_int(clock_wall_ms()));
}

enum { STORED, NO_REFRESH_TOKEN, CLIENT_GONE };

static int connect_body(struct db *db, void *arg, struct fault *f)
{
	struct exchange *x = arg;
	AUTO(grant_done) struct grant now = {0};
	struct state_change move = {
		.client_row = x->grant.client_row, .to = STATE_CONNECTED, .who = &browser_actor};
	int outcome = grant_load_by_id(db, x->grant.client_row, &now, f);

	if (outcome < 0)
		return -1;
	if (outcome == 1 || !now.is_active)
		return CLIENT_GONE;
	if (x->sealed.refresh.bytes == NULL && !may_keep_refresh(x, &now))
		return NO_REFRESH_TOKEN;
	if (put_tokens(db, x, f) < 0 || use_up_tickets(db, x, f) < 0)
		return -1;
	outcome = state_move(db, &move, f);
	if (outcome < 0)
		return -1;
	if (outcome == STATE_WAS_THERE &&
		audit_write(db, &browser_actor, "connection.renewed", now.branch_id, NULL, f) < 0)
		return -1;
	/* Even where nothing moved: others hold the old token in memory. */
	return store_note_change(db, CHANGE_CLIENT, now.branch_id, f) < 0 ? -1 : STORED;
}

static void publish(struct exchange *x)
{
	struct token_management *tm = x->work.tm;
	const char *app_id = grant_app_id(tm, &x->grant);
	struct live_token t = {
		.client_row = x->grant.client_row,
		.oauth_id = mem_text(app_id != NULL ? app_id : ""),
		.token_type = mem_text("Bearer"),
		.scope = mem_text(x->sealed.scope),
		.access = secret_copy(&x->response.access_token),
		.expires_at_ms = x->sealed.expires_at_ms,
		.lifetime_ms = x->sealed.lifetime_ms,
	};

	slots_replace(tm, x->grant.branch_id, &t);
	due_hear_next(tm, x->sealed.next_refresh_at_ms);
	live_token_done(&t);
}

static void step_store(struct work *w)
{
	struct exchange *x = CONTAINER_OF(w, struct exchange, work);
	int outcome;

	/* Meanwhile a rotation may have ended and the old key be forgotten. */
	if (x->store_tries > 0)
		grant_tokens_seal(w->tm, x->grant.client_row, &x->response, &x->sealed);
	outcome = store_transact(w->tm->store, connect_body, x, &x->fault);
	if (outcome < 0 && ++x->store_tries < STORE_TRIES) {
		work_later(w, STORE_RETRY_MS << (x->store_tries - 1), step_store);
	} else if (outcome < 0) {
		finish(x, CONNECT_FAILED, true);
	} else if (outcome == CLIENT_GONE) {
		fault_raise(&x->fault, FAULT_MISSING, "Client not found or inactive");
		finish(x, CONNECT_FAILED, true);
	} else if (outcome == NO_REFRESH_TOKEN) {
		finish_unconnected(x, CONNECT_NO_REFRESH_TOKEN, true);
	} else {
		publish(x);
		x->expires_at_ms = x->sealed.expires_at_ms;
		finish(x, CONNECT_DONE, true);
	}
}

/* ---- the exchange ---- */

static void take_tokens(struct exchange *x)
{
	struct token_management *tm = x->work.tm;
	const struct provider *p = provider_find(tm, x->provider);
	const char *granted = x->response.scope != NULL ? x->response.scope : x->scope;
	AUTO(buf_drop) struct buf missing = BUF_INIT(16384);

	scopes_missing(p->required_scopes, granted, &missing);
	if (missing.len > 0) {
		finish_unconnected(x, CONNECT_MISSING_SCOPE, true);
		return;
	}
	if (id_token_read(&x->response.id_token, x->issuer, p->issuer_alias,
		    grant_app_id(tm, &x->grant), &x->identity) != 0)
		x->identity = (struct identity){0};
	grant_tokens_from(tm, p, x->grant.client_row, &x->response, x->sent_wall_ms, &x->sealed);
	if (x->sealed.scope == NULL) /* RFC 6749 section 5.1: as asked for */
		x->sealed.scope = mem_text(granted);
	step_store(&x->work);
}

static int ask(struct exchange *x);

/* While a secret is being changed, as in a refresh: a refused app has not spent the code. */
static bool other_secret_may_help(const struct exchange *x)
{
	return x->response.class == TOKEN_CLASS_MISCONFIGURED &&
	       strcmp(x->response.error, "invalid_client") == 0 && !x->uses_previous_secret &&
	       grant_has_previous_secret(&x->grant);
}

static void step_answer(struct work *w)
{
	struct exchange *x = CONTAINER_OF(w, struct exchange, work);

	token_response_done(&x->response);
	token_reply_parse(&x->answer, &x->response);
	if (x->response.class == TOKEN_CLASS_GRANTED) {
		take_tokens(x);
		return;
	}
	if (other_secret_may_help(x)) {
		x->uses_previous_secret = true;
		if (ask(x) == 0)
			return;
	}
	snprintf(x->provider_error, sizeof(x->provider_error), "%s", x->response.error);
	fault_raise(&x->fault, FAULT_UPSTREAM, "%s", x->response.reason);
	if (x->response.retry_after_ms > 0 && x->response.retry_after_ms < UINT32_MAX)
		x->fault.retry_after_ms = (uint32_t)x->response.retry_after_ms;
	finish_unconnected(x, CONNECT_FAILED, true);
}

/* Net thread. */
static void on_reply(void *arg, struct net_reply *reply)
{
	struct exchange *x = arg;

	token_reply_take(reply, &x->answer);
	work_submit(&x->work, step_answer);
}

static int prepare(struct exchange *x, struct net_request *ret, struct fault *f)
{
	AUTO(buf_drop) struct buf form = BUF_INIT_WIPED(4 * LIMIT_HEADER_BYTES);
	AUTO(secret_drop) struct secret verifier = {0}, app_secret = {0};
	struct token_management *tm = x->work.tm;
	const char *app_id;

	if (connect_unseal_verifier(tm, x->state_hash, &x->verifier, &verifier, f) < 0 ||
		grant_app(tm, &x->grant, &app_id, &app_secret, f) < 0)
		return -1;
	if (x->uses_previous_secret) {
		secret_drop(&app_secret);
		if (grant_previous_secret(tm, &x->grant, &app_secret, f) < 0)
			return -1;
	}
	net_form_add(&form, "grant_type", "authorization_code", strlen("authorization_code"));
	net_form_add(&form, "code", x->code.bytes, x->code.len);
	net_form_add(&form, "redirect_uri", x->redirect_uri, strlen(x->redirect_uri));
	net_form_add(&form, "code_verifier", verifier.bytes, verifier.len);
	provider_token_request(provider_find(tm, x->provider), x->token_url, app_id, &app_secret,
		&form, EXCHANGE_MS, ret);
	return 0;
}

/* 0: under way. -1: nothing was sent, x->fault says why. */
static int ask(struct exchange *x)
{
	struct token_management *tm = x->work.tm;
	struct net_request request = {0};

	if (prepare(x, &request, &x->fault) < 0)
		return -1;
	if (!work_send_begin(tm)) {
		buf_drop(&request.body);
		secret_drop(&request.basic);
		return fault_raise(&x->fault, FAULT_UPSTREAM, "the service is stopping; try again");
	}
	x->sent_wall_ms = clock_wall_ms();
	net_send(tm->net, &request, on_reply, x);
	work_send_end(tm);
	return 0;
}

static void spend_code(struct exchange *x, const char *code)
{
	x->code = secret_from(code, strlen(code));
	work_begin(x->work.tm, &x->work);
	if (ask(x) < 0)
		finish_unconnected(x, CONNECT_FAILED, true);
}

void connect_finish(struct token_management *tm, const struct connect_reply *reply,
	connect_done_fn *done, void *arg)
{
	struct exchange *x = mem_alloc(sizeof(*x));

	x->work.tm = tm;
	x->done = done;
	x->arg = arg;
	x->reply = reply;
	if (!connect_is_ours(reply->state) || !connect_is_ours(reply->browser)) {
		finish(x, CONNECT_BAD_STATE, false);
		return;
	}
	connect_hash(reply->state, x->state_hash);
	connect_hash(reply->browser, x->browser_hash);
	if (store_transact(tm->store, take_body, x, &x->fault) < 0) {
		finish(x, CONNECT_FAILED, false);
		return;
	}
	x->reply = NULL;
	if (x->outcome == CONNECT_DONE)
		spend_code(x, reply->code);
	else if (x->outcome == CONNECT_REFUSED || x->outcome == CONNECT_FAILED)
		finish_unconnected(x, x->outcome, false);
	else
		finish(x, x->outcome, false);
}
