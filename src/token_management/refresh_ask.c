/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a refresh that spends the refresh token. From net_send on, the provider may have
 * replaced it: whatever comes back is durable before anybody sees the access token that came with
 * it, and is held in memory and stored again and again while the database fails.
 */
#include "token_management/refresh.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/backoff.h"
#include "core/metrics.h"
#include "store/store.h"
#include "token_management/internal.h"
#include "token_management/provider_metrics.h"
#include "token_management/provider_request.h"

#define ASK_MOST_MS 20000
#define STORE_HOLD_MS (10 * 60 * 1000)
#define STORE_RETRY_LEAST_MS 100
#define STORE_RETRY_MOST_MS 5000
#define STORE_TRIES_AT_STOP 5
#define RETRY_AFTER_MOST_MS (60 * 60 * 1000)

#define STORES(label)                                       \
	METRIC_COUNTER("review_fetcher_token_stores_total", \
		"Attempts to store refreshed tokens, by outcome.", "outcome=\"" label "\"")
static struct metric stores_done = STORES("done"), stores_failed = STORES("failed"),
		     stores_late = STORES("fence_lost"), stores_given_up = STORES("given_up");

static struct metric_timing asking = {
	.name = "review_fetcher_token_refresh_duration_seconds",
	.help = "How long providers took to answer a refresh request.",
};

METRICS_FROM_START(&stores_done, &stores_failed, &stores_late, &stores_given_up)
METRIC_TIMING_FROM_START(asking)

static void count(const struct refresh *r, enum token_class class)
{
	metric_add(&provider_metrics_of(r->grant.provider)->refreshes[class], 1);
}

static void forget_answer(struct refresh *r)
{
	token_response_done(&r->response);
	grant_tokens_done(&r->sealed);
	live_token_done(&r->fresh);
	buf_drop(&r->reply.body);
	r->store_tries = 0;
}

/* The row moved on while we asked: another process, a new consent, a revocation. It is the truth.
 */
static void look_again(struct refresh *r, const char *why)
{
	metric_add(&stores_late, 1);
	log_event(LOG_WARN, "grant.fence_lost", F_STR("branch", r->branch_id),
		F_INT("fence", r->fence), F_STR("result", why));
	forget_answer(r);
	work_submit(&r->work, refresh_look);
}

/* ---- failure ---- */

/* A misconfigured app does not heal by being asked again; a limit without a time gets a longer one.
 */
static int64_t failure_wait_ms(const struct refresh *r)
{
	static const int64_t least[TOKEN_CLASS_COUNT] = {
		[TOKEN_CLASS_MISCONFIGURED] = 30000,
		[TOKEN_CLASS_DOWN] = 250,
		[TOKEN_CLASS_LIMITED] = 5000,
	};
	unsigned attempt = r->grant.failures < 1000 ? (unsigned)r->grant.failures + 1 : 1000;
	int64_t wait = backoff_delay_ms(r->work.tm->settings, attempt);
	int64_t told = r->response.retry_after_ms;

	if (wait < least[r->response.class])
		wait = least[r->response.class];
	if (told > RETRY_AFTER_MOST_MS)
		told = RETRY_AFTER_MOST_MS;
	return wait > told ? wait : told;
}

static int fail_body(struct db *db, void *arg, struct fault *f)
{
	struct refresh *r = arg;
	struct grant_failure why = {
		.class = r->response.class,
		.reason = r->response.reason,
		.retry_at_ms = clock_wall_ms() + r->failing.wait_ms,
		.next_refresh_at_ms =
			due_after_failure(r->work.tm->settings, &r->grant, r->failing.wait_ms),
		.refresh = &r->sealed.refresh,
		.names = &r->sealed.names,
	};

	return grant_fail(db, &r->grant, r->fence, &why, f);
}

static void log_failure(const struct refresh *r, int64_t wait_ms)
{
	bool is_dead = r->response.class == TOKEN_CLASS_GRANT_DEAD;
	/* Loud once a state, quiet while it lasts. */
	enum log_level level = is_dead || r->grant.failures == 0 ? LOG_WARN : LOG_DEBUG;

	log_event(level, is_dead ? "grant.dead" : "grant.refresh_failed",
		F_STR("branch", r->branch_id), F_STR("class", token_class_name(r->response.class)),
		F_STR("reason", r->response.reason), F_INT("failures", r->grant.failures + 1),
		F_INT("retry_in_ms", is_dead ? -1 : wait_ms));
}

static void end_dead(struct refresh *r)
{
	struct refresh_answer a = {
		.outcome = TOKEN_NEEDS_RECONNECT,
		.reason =
			"The provider no longer accepts this connection; connect the branch again",
	};

	slots_forget(r->work.tm, r->branch_id);
	refresh_end(r, &a, &(struct slots_end){.is_final = true});
}

static void step_failed(struct work *w)
{
	struct refresh *r = CONTAINER_OF(w, struct refresh, work);

	if (w->outcome == 1) {
		look_again(r, token_class_name(r->response.class));
		return;
	}
	if (w->outcome < 0)
		refresh_store_fault(r, &w->fault);
	else
		due_hear_next(w->tm, r->grant.provider, clock_wall_ms() + r->failing.wait_ms);
	if (r->response.class == TOKEN_CLASS_GRANT_DEAD) {
		end_dead(r);
		return;
	}
	refresh_pause(r, &r->failing);
	refresh_end_failed(r, &r->failing);
}

static void record_failure(struct refresh *r)
{
	struct token_management *tm = r->work.tm;

	r->failing.wait_ms = failure_wait_ms(r);
	count(r, r->response.class);
	if (secret_is_set(&r->response.refresh_token))
		grant_seal(tm, "refresh_token", r->grant.client_row, &r->response.refresh_token,
			&r->sealed.refresh);
	refresh_names_of(&r->response.refresh_token, &r->sealed.names);
	snprintf(r->failing.reason, sizeof(r->failing.reason), "%s", r->response.reason);
	log_failure(r, r->failing.wait_ms);
	work_transact(&r->work, fail_body, r, step_failed);
}

/* ---- success ---- */

static int store_body(struct db *db, void *arg, struct fault *f)
{
	struct refresh *r = arg;

	return grant_store(db, &r->grant, r->fence, &r->sealed, f);
}

static void step_store(struct work *w);

static int64_t store_delay_ms(const struct refresh *r)
{
	int64_t delay = STORE_RETRY_LEAST_MS;

	for (unsigned n = 0; n < r->store_tries && delay < STORE_RETRY_MOST_MS; n++)
		delay *= 2;
	return delay < STORE_RETRY_MOST_MS ? delay : STORE_RETRY_MOST_MS;
}

static void store_later(struct refresh *r, const struct fault *f)
{
	struct slot_pause pause = {
		.wait_ms = store_delay_ms(r),
		.reason = "a new token came but cannot be stored at the moment",
	};
	bool over = clock_mono_ms() - r->store_since_mono_ms > STORE_HOLD_MS ||
		    (work_is_stopping(r->work.tm) && r->store_tries >= STORE_TRIES_AT_STOP);

	metric_add(over ? &stores_given_up : &stores_failed, 1);
	if (r->store_tries++ == 0 || over)
		log_event(LOG_ERROR, over ? "grant.store_given_up" : "grant.store_failed",
			F_STR("branch", r->branch_id), F_FAULT(f));
	refresh_pause(r, &pause);
	if (over) {
		refresh_end_failed(r, &pause);
		return;
	}
	refresh_answer_failed(r, &pause);
	work_later(&r->work, pause.wait_ms, step_store);
}

static void stored(struct refresh *r)
{
	struct token_management *tm = r->work.tm;
	struct refresh_answer a = {.outcome = TOKEN_READY};

	metric_add(&stores_done, 1);
	due_hear_next(r->work.tm, r->grant.provider, r->sealed.next_refresh_at_ms);
	log_event(LOG_DEBUG, "grant.refreshed", F_STR("branch", r->branch_id),
		F_INT("expires_at_ms", r->fresh.expires_at_ms),
		F_BOOL("rotated", secret_is_set(&r->response.refresh_token)),
		F_BOOL("lifetime_assumed", r->response.expires_in_s < 0));
	if (r->grant.failures > 0)
		log_event(LOG_INFO, "grant.recovered", F_STR("branch", r->branch_id),
			F_INT("failures", r->grant.failures));
	live_token_done(&r->token);
	r->token = r->fresh;
	r->fresh = (struct live_token){0};
	forget_answer(r);
	slots_calm(tm, r->slot);
	if (!slots_publish(tm, r->slot, &r->token, r->demand.epoch)) {
		/* Something changed what may be served; the row knows, and holds this token. */
		work_submit(&r->work, refresh_look);
		return;
	}
	refresh_end(r, &a, &(struct slots_end){.epoch = r->demand.epoch});
}

static void step_stored(struct work *w)
{
	struct refresh *r = CONTAINER_OF(w, struct refresh, work);

	if (w->outcome < 0)
		store_later(r, &w->fault);
	else if (w->outcome == 1)
		look_again(r, "granted");
	else
		stored(r);
}

static void step_store(struct work *w)
{
	struct refresh *r = CONTAINER_OF(w, struct refresh, work);

	/* Meanwhile a rotation may have ended and the old key be forgotten. */
	if (r->store_tries > 0)
		grant_tokens_seal(w->tm, r->grant.client_row, &r->response, &r->sealed);
	work_transact(w, store_body, r, step_stored);
}

static void take_tokens(struct refresh *r)
{
	struct token_management *tm = r->work.tm;
	const struct provider *p = provider_find(tm, r->grant.provider);
	const char *scope = r->response.scope != NULL ? r->response.scope : r->grant.scope;

	count(r, TOKEN_CLASS_GRANTED);
	grant_tokens_from(tm, p, r->grant.client_row, &r->response, r->sent_wall_ms, &r->sealed);
	/* An imported grant gets to know its account here. */
	if (r->grant.subject == NULL &&
		id_token_read(&r->response.id_token, p->issuer, p->issuer_alias,
			grant_app_id(tm, &r->grant), &r->sealed.who) != 0)
		r->sealed.who = (struct identity){0};
	r->fresh = (struct live_token){
		.client_row = r->grant.client_row,
		.oauth_id = mem_text(grant_app_id(tm, &r->grant)),
		.token_type = mem_text(r->grant.token_type),
		.scope = mem_text(scope != NULL ? scope : ""),
		.access = secret_copy(&r->response.access_token),
		.expires_at_ms = r->sealed.expires_at_ms,
		.lifetime_ms = r->sealed.lifetime_ms,
	};
	r->store_since_mono_ms = clock_mono_ms();
	step_store(&r->work);
}

/* ---- asking ---- */

static int release_body(struct db *db, void *arg, struct fault *f)
{
	struct refresh *r = arg;

	return grant_release(db, &r->grant, r->fence, f);
}

/* Nothing was asked, or we stop: nobody has to wait for the lease, and nothing failed. */
static void release(struct refresh *r)
{
	static const struct slot_pause stopping = {
		.wait_ms = 1000, .reason = "the service is stopping"};
	struct fault f = {0};

	if (store_transact(r->work.tm->store, release_body, r, &f) < 0)
		refresh_store_fault(r, &f);
	forget_answer(r);
	refresh_end_failed(r, &stopping);
}

static void ask(struct refresh *r);

/*
 * While a secret is being changed, the provider may know the new one not yet, or the old one no
 * more. It checks the app before it looks at the grant, so the refresh token was not spent.
 */
static bool other_secret_may_help(const struct refresh *r)
{
	return r->response.class == TOKEN_CLASS_MISCONFIGURED &&
	       strcmp(r->response.error, "invalid_client") == 0 && !r->uses_previous_secret &&
	       grant_has_previous_secret(&r->grant);
}

static void hear_answer(struct refresh *r)
{
	struct token_management *tm = r->work.tm;

	due_hear_answer(tm, r->grant.provider, grant_app_id(tm, &r->grant), &r->response);
	if (r->response.class == TOKEN_CLASS_DOWN)
		providers_doubt(tm, r->grant.provider);
}

/* A grant that dies after a lost answer was perhaps not ended by anybody (RFC 9700 section 4.14.2).
 */
static void explain_death(struct refresh *r)
{
	const struct provider *p = provider_find(r->work.tm, r->grant.provider);
	struct token_response *t = &r->response;
	size_t len = strlen(t->reason);

	if (t->class == TOKEN_CLASS_GRANT_DEAD && p != NULL && p->rotates && r->grant.failures > 0)
		snprintf(t->reason + len, sizeof(t->reason) - len,
			"; its refresh tokens work once, and an earlier answer was lost");
}

static void step_answer(struct work *w)
{
	struct refresh *r = CONTAINER_OF(w, struct refresh, work);

	if (r->reply.result == NET_STOPPED) {
		release(r);
		return;
	}
	token_reply_parse(&r->reply, &r->response);
	if (other_secret_may_help(r)) {
		count(r, r->response.class);
		log_event(LOG_DEBUG, "grant.other_secret", F_STR("branch", r->branch_id),
			F_STR("reason", r->response.reason));
		r->uses_previous_secret = true;
		ask(r);
		return;
	}
	hear_answer(r);
	explain_death(r);
	if (r->response.class == TOKEN_CLASS_GRANTED)
		take_tokens(r);
	else
		record_failure(r);
}

/* Net thread. */
static void on_reply(void *arg, struct net_reply *reply)
{
	struct refresh *r = arg;

	metric_timing_add(&asking, clock_mono_ms() - r->asked_mono_ms);
	token_reply_take(reply, &r->reply);
	work_submit(&r->work, step_answer);
}

static int prepare(struct refresh *r, struct net_request *ret, struct fault *f)
{
	AUTO(buf_drop) struct buf form = BUF_INIT_WIPED(4 * LIMIT_ACCESS_TOKEN_BYTES);
	AUTO(secret_drop) struct secret token = {0};
	AUTO(app_done) struct app app = {0};
	struct token_management *tm = r->work.tm;
	const struct provider *p = providers_ready(tm, r->grant.provider, f);
	int64_t lease = tm->settings->token_refresh_lease_ms;
	int64_t timeout = lease * 2 / 3 < ASK_MOST_MS ? lease * 2 / 3 : ASK_MOST_MS;

	if (p == NULL || grant_unseal(tm, "refresh_token", r->grant.client_row, &r->grant.refresh,
				 &token, f) < 0)
		return -1;
	if (grant_app(tm, p, &r->grant, r->uses_previous_secret, &app, f) < 0)
		return -1;
	net_form_add(&form, "grant_type", "refresh_token", strlen("refresh_token"));
	net_form_add(&form, "refresh_token", token.bytes, token.len);
	provider_add_token_params(p, &form);
	return provider_request(p, p->token_url, &app, &form, (uint32_t)timeout, ret, f);
}

/* What keeps us from asking at all is our own fault, or the provider's, never the grant's. */
static void cannot_ask(struct refresh *r, const struct fault *f)
{
	bool is_away = f->kind == FAULT_UPSTREAM; /* its metadata cannot be read */

	r->response = (struct token_response){
		.class = is_away ? TOKEN_CLASS_DOWN : TOKEN_CLASS_MISCONFIGURED,
		.retry_after_ms = -1,
		.expires_in_s = -1,
	};
	snprintf(r->response.reason, sizeof(r->response.reason), "%.*s",
		(int)sizeof(r->response.reason) - 1, f->text);
	if (is_away)
		hear_answer(r);
	record_failure(r);
}

static void ask(struct refresh *r)
{
	struct token_management *tm = r->work.tm;
	struct net_request request = {0};
	struct fault f = {0};

	forget_answer(r);
	if (prepare(r, &request, &f) < 0) {
		cannot_ask(r, &f);
		return;
	}
	/*
	 * A process that was stopped for a while after its claim must not spend a token that
	 * another one may have spent since. net looks once more when the first byte is to leave.
	 */
	request.send_by_mono_ms = r->claimed_mono_ms + tm->settings->token_refresh_lease_ms / 3;
	if (clock_mono_ms() > request.send_by_mono_ms) {
		buf_drop(&request.body);
		secret_drop(&request.basic);
		work_submit(&r->work, refresh_look);
		return;
	}
	r->sent_wall_ms = clock_wall_ms();
	if (!work_send_begin(tm)) {
		buf_drop(&request.body);
		secret_drop(&request.basic);
		release(r);
		return;
	}
	r->asked_mono_ms = clock_mono_ms();
	net_send(tm->net, &request, on_reply, r);
	work_send_end(tm);
}

void refresh_ask(struct refresh *r)
{
	r->uses_previous_secret = false;
	ask(r);
}
