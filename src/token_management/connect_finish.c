/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back: a callback names a flow by its state, and proves that it comes from the browser
 * that began it. Only then, and once, the code is spent – where the flow says, with what the flow
 * says.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/limits.h"
#include "core/metrics.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/connect_exchange.h"

#define EXCHANGE_MS 20000

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
	[CONNECT_EXPIRED] = CONNECTS("expired"),
	[CONNECT_REPLAYED] = CONNECTS("replayed"),
	[CONNECT_OTHER_BROWSER] = CONNECTS("other_browser"),
	[CONNECT_LINK_REVOKED] = CONNECTS("link_revoked"),
	[CONNECT_LINK_USED] = CONNECTS("link_used"),
	[CONNECT_BAD_REQUEST] = CONNECTS("bad_request"),
	[CONNECT_MISSING_SCOPE] = CONNECTS("missing_scope"),
	[CONNECT_NO_REFRESH_TOKEN] = CONNECTS("no_refresh_token"),
	[CONNECT_WRONG_ACCOUNT] = CONNECTS("wrong_account"),
	[CONNECT_UNAVAILABLE] = CONNECTS("unavailable"),
	[CONNECT_MISCONFIGURED] = CONNECTS("misconfigured"),
	[CONNECT_FAILED] = CONNECTS("failed"),
};

METRICS_FROM_START(&connects[CONNECT_DONE].metric, &connects[CONNECT_REFUSED].metric,
	&connects[CONNECT_MISSING_SCOPE].metric, &connects[CONNECT_WRONG_ACCOUNT].metric,
	&connects[CONNECT_NO_REFRESH_TOKEN].metric, &connects[CONNECT_UNAVAILABLE].metric,
	&connects[CONNECT_MISCONFIGURED].metric, &connects[CONNECT_FAILED].metric)

/* ---- ending ---- */

void connect_forget_flow(struct exchange *x)
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

const char *connect_outcome_name(enum connect_outcome outcome)
{
	return connects[outcome].name;
}

static void exchange_free(struct exchange *x)
{
	connect_forget_flow(x);
	secret_drop(&x->code);
	buf_drop(&x->answer.body);
	token_response_done(&x->response);
	secret_wipe(&x->identity, sizeof(x->identity));
	grant_tokens_done(&x->sealed);
	mem_free(x->missing);
	mem_free(x);
}

static void log_end(const struct exchange *x)
{
	if (x->outcome == CONNECT_DONE)
		log_event(LOG_INFO, "connect.done", F_STR("branch", x->grant.branch_id),
			F_STR("scope", x->sealed.scope));
	else if (x->outcome == CONNECT_FAILED || x->outcome == CONNECT_UNAVAILABLE ||
		 x->outcome == CONNECT_MISCONFIGURED)
		log_event(LOG_WARN, "connect.failed", F_STR("branch", x->grant.branch_id),
			F_STR("provider_error", x->provider_error), F_FAULT(&x->fault));
	else
		log_event(LOG_INFO, "connect.ended", F_STR("branch", x->grant.branch_id),
			F_STR("outcome", connects[x->outcome].name));
	if (x->is_wrong_account)
		log_event(LOG_WARN, "connect.wrong_account", F_STR("branch", x->grant.branch_id),
			F_STR("outcome", connects[x->outcome].name), F_INT("siblings", x->siblings),
			F_BOOL("given_back", x->is_given_back));
}

static void describe(const struct exchange *x, struct connect_result *ret)
{
	const struct provider *p = provider_find(x->work.tm, x->provider);

	ret->client_row = x->grant.client_row;
	ret->client_oauth_id = grant_app_id(x->work.tm, &x->grant);
	ret->branch_id = x->grant.branch_id;
	ret->workspace_name = x->grant.workspace_name;
	ret->workspace_email = x->grant.workspace_email;
	ret->provider = x->provider;
	ret->provider_title = p != NULL ? p->title : NULL;
	ret->state = x->state;
	ret->missing_scopes = x->missing;
	ret->account = x->identity.email[0] != '\0' ? x->identity.email : NULL;
	ret->is_wrong_account = x->is_wrong_account;
}

void connect_end(struct exchange *x, enum connect_outcome outcome)
{
	struct connect_result result = {.outcome = outcome, .was_done = x->was_done};

	x->outcome = outcome;
	metric_add(&connects[outcome].metric, 1);
	log_end(x);
	if (x->has_flow)
		describe(x, &result);
	if (x->provider_error[0] != '\0')
		result.provider_error = x->provider_error;
	result.expires_at_ms = x->expires_at_ms;
	if (x->fault.kind != FAULT_NONE)
		result.fault = &x->fault;
	x->done(x->arg, &result);
	if (x->is_work)
		work_end(&x->work);
	exchange_free(x);
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
	case CONNECT_WRONG_ACCOUNT:
		return "connect.wrong_account";
	case CONNECT_LINK_REVOKED:
	case CONNECT_LINK_USED:
		return "connect.link_over";
	default:
		return "connect.failed";
	}
}

struct noting {
	const struct exchange *x;
	enum connect_outcome outcome;
};

static void write_detail(const struct noting *n, struct buf *ret)
{
	const struct exchange *x = n->x;
	struct json_out o = JSON_OUT(ret);

	json_open(&o, '{');
	if (x->provider_error[0] != '\0')
		json_add_text(&o, "provider_error", x->provider_error);
	if (x->missing != NULL)
		json_add_text(&o, "missing", x->missing);
	if (n->outcome == CONNECT_WRONG_ACCOUNT) {
		json_add_text(&o, "account", x->identity.email);
		json_add_text(&o, "expected", x->grant.workspace_email);
		json_add_int(&o, "siblings", x->siblings);
		json_add_bool(&o, "given_back", x->is_given_back);
	}
	json_close(&o, '}');
}

static int note_body(struct db *db, void *arg, struct fault *f)
{
	const struct noting *n = arg;
	AUTO(buf_drop) struct buf detail = BUF_INIT(16384);

	write_detail(n, &detail);
	if (connect_note_end(db, n->x, n->outcome, f) < 0)
		return -1;
	return audit_write(db, &n->x->who, audit_name(n->outcome), n->x->grant.branch_id,
		buf_text(&detail), f);
}

void connect_end_unconnected(struct exchange *x, enum connect_outcome outcome)
{
	struct noting n = {.x = x, .outcome = outcome};
	struct fault f = {0};

	if (store_transact(x->work.tm->store, note_body, &n, &f) < 0)
		log_event(LOG_ERROR, "audit.failed", F_STR("branch", x->grant.branch_id),
			F_FAULT(&f));
	connect_end(x, outcome);
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
		x->missing = mem_text(buf_text(&missing));
		connect_end_unconnected(x, CONNECT_MISSING_SCOPE);
		return;
	}
	if (id_token_read(&x->response.id_token, x->issuer, p->issuer_alias,
		    grant_app_id(tm, &x->grant), &x->identity) != 0)
		x->identity = (struct identity){0};
	if (connect_refuses_account(x)) {
		connect_give_back(x);
		return;
	}
	grant_tokens_from(tm, p, x->grant.client_row, &x->response, x->sent_wall_ms, &x->sealed);
	if (x->sealed.scope == NULL) /* RFC 6749 section 5.1: as asked for */
		x->sealed.scope = mem_text(granted);
	connect_store(x);
}

static int ask(struct exchange *x);

/* While a secret is being changed, as in a refresh: a refused app has not spent the code. */
static bool other_secret_may_help(const struct exchange *x)
{
	return x->response.class == TOKEN_CLASS_MISCONFIGURED &&
	       strcmp(x->response.error, "invalid_client") == 0 && !x->uses_previous_secret &&
	       grant_has_previous_secret(&x->grant);
}

/* invalid_grant: the code had run out, or was spent elsewhere. Another consent brings another. */
static enum connect_outcome how_it_failed(const struct token_response *r)
{
	if (r->class == TOKEN_CLASS_GRANT_DEAD)
		return CONNECT_EXPIRED;
	return r->class == TOKEN_CLASS_MISCONFIGURED ? CONNECT_MISCONFIGURED : CONNECT_UNAVAILABLE;
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
	connect_end_unconnected(x, how_it_failed(&x->response));
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
	AUTO(secret_drop) struct secret verifier = {0};
	AUTO(app_done) struct app app = {0};
	struct token_management *tm = x->work.tm;
	const struct provider *p = provider_find(tm, x->provider);

	if (connect_unseal_verifier(tm, x->state_hash, &x->verifier, &verifier, f) < 0 ||
		grant_app(tm, p, &x->grant, x->uses_previous_secret, &app, f) < 0)
		return -1;
	net_form_add(&form, "grant_type", "authorization_code", strlen("authorization_code"));
	net_form_add(&form, "code", x->code.bytes, x->code.len);
	net_form_add(&form, "redirect_uri", x->redirect_uri, strlen(x->redirect_uri));
	if (!p->has_no_pkce)
		net_form_add(&form, "code_verifier", verifier.bytes, verifier.len);
	provider_add_token_params(p, &form);
	return provider_request(p, x->token_url, &app, &form, EXCHANGE_MS, ret, f);
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
	x->is_work = true;
	if (ask(x) < 0)
		connect_end_unconnected(x, CONNECT_FAILED);
}

void connect_finish(struct token_management *tm, const struct connect_reply *reply,
	connect_done_fn *done, void *arg)
{
	struct exchange *x = mem_alloc(sizeof(*x));

	x->work.tm = tm;
	x->done = done;
	x->arg = arg;
	x->reply = reply;
	snprintf(x->remote, sizeof(x->remote), "%s", reply->remote != NULL ? reply->remote : "");
	x->who = (struct actor){
		.name = "browser", .remote = x->remote[0] != '\0' ? x->remote : NULL};
	if (!connect_is_ours(reply->state)) {
		connect_end(x, CONNECT_BAD_STATE);
		return;
	}
	if (!connect_is_ours(reply->browser)) {
		connect_end(x, CONNECT_OTHER_BROWSER);
		return;
	}
	snprintf(x->state, sizeof(x->state), "%s", reply->state);
	connect_hash(reply->state, x->state_hash);
	connect_hash(reply->browser, x->browser_hash);
	if (connect_take(x, &x->fault) < 0) {
		connect_end(x, CONNECT_FAILED);
		return;
	}
	x->reply = NULL;
	if (x->outcome == CONNECT_DONE)
		spend_code(x, reply->code);
	else if (x->has_flow && x->outcome != CONNECT_BAD_REQUEST)
		connect_end_unconnected(x, x->outcome);
	else
		connect_end(x, x->outcome);
}
