/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/refresh.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "core/metrics.h"
#include "store/store.h"
#include "token_management/internal.h"

/* How far the clocks of two processes may be apart before a lease is misjudged by wall time. */
#define LEASE_SKEW_MS (10 * 60 * 1000)
#define LEASE_POLL_LEAST_MS 50
#define LEASE_POLL_SPREAD_MS 200
/* After this long behind another process's lease, callers get the old token if it lives. */
#define LEASE_PATIENCE_MS 2000
/* No failure of the past holds a refresh off for longer, whatever a clock or a provider said. */
#define RETRY_AT_MOST_MS (60 * 60 * 1000)
#define STORE_PAUSE_MS 250

static struct metric waiters_total = METRIC_COUNTER("review_fetcher_token_waiters_total",
	"Callers answered by a load or a refresh of a token.", "");

METRICS_FROM_START(&waiters_total)

/* ---- beginning and ending ---- */

void refresh_hurry(struct refresh *r)
{
	atomic_store(&r->work.is_behind, false);
}

struct refresh *refresh_new(struct token_management *tm, struct slot *slot, bool is_behind)
{
	struct refresh *r = mem_alloc(sizeof(*r));

	r->work.tm = tm;
	atomic_store(&r->work.is_behind, is_behind);
	r->slot = slot;
	/* What cannot be a branch is looked up as one that does not exist, never cut to another. */
	if (slot->branch_len < sizeof(r->branch_id) &&
		text_is_utf8(slot->branch_id, slot->branch_len))
		memcpy(r->branch_id, slot->branch_id, slot->branch_len + 1);
	return r;
}

void refresh_start(struct refresh *r)
{
	work_begin(r->work.tm, &r->work);
	work_submit(&r->work, refresh_look);
}

static void refresh_free(struct refresh *r)
{
	grant_done(&r->grant);
	live_token_done(&r->token);
	live_token_done(&r->fresh);
	token_response_done(&r->response);
	grant_tokens_done(&r->sealed);
	buf_drop(&r->reply.body);
	mem_free(r);
}

static void deliver(struct refresh *r, struct waiter *w, const struct refresh_answer *a)
{
	const struct settings *s = r->work.tm->settings;
	char expires_text[CLOCK_TEXT_SIZE];
	struct token_view view;
	struct token_result result = {
		.outcome = a->outcome,
		.client_row = r->grant.client_row,
		.reason = a->reason,
		.retry_after_ms = (uint32_t)(a->retry_after_ms > 0 ? a->retry_after_ms : 0),
	};
	int64_t life = r->token.expires_at_ms - clock_wall_ms(), n = 0;
	struct waiter *next;

	if (a->outcome == TOKEN_READY) {
		clock_format_ms(r->token.expires_at_ms, expires_text);
		live_token_view(&r->token, r->branch_id, expires_text, false, &view);
		result.view = &view;
		result.client_row = r->token.client_row;
	}
	for (; w != NULL; w = next, n++) {
		next = w->next;
		view.degraded =
			a->degraded &&
			(w->force || !token_serves(s, life, r->token.lifetime_ms, w->min_ttl_ms));
		w->done(w->arg, &result);
		mem_free(w);
	}
	metric_add(&waiters_total, n);
}

void refresh_end(struct refresh *r, const struct refresh_answer *a, const struct slots_end *end)
{
	struct waiter *go = NULL;
	bool again = slots_finish(r->work.tm, r->slot, end, &go);

	deliver(r, go, a);
	if (again) {
		work_submit(&r->work, refresh_look);
		return;
	}
	work_end(&r->work);
	refresh_free(r);
}

/* One answer for all, unless something changed meanwhile. */
static void end_with(struct refresh *r, enum token_outcome outcome, const char *reason)
{
	struct refresh_answer a = {.outcome = outcome, .reason = reason};

	refresh_end(r, &a, &(struct slots_end){.epoch = r->demand.epoch});
}

static void end_ready(struct refresh *r)
{
	struct refresh_answer a = {.outcome = TOKEN_READY};

	refresh_end(r, &a, &(struct slots_end){.epoch = r->demand.epoch, .found = &r->token});
}

static struct refresh_answer failed_answer(struct refresh *r, const struct slot_pause *pause)
{
	snprintf(r->words, sizeof(r->words), "No valid token is left, and refreshing fails: %s",
		pause->reason);
	if (secret_is_set(&r->token.access) && r->token.expires_at_ms > clock_wall_ms())
		return (struct refresh_answer){.outcome = TOKEN_READY, .degraded = true};
	return (struct refresh_answer){
		.outcome = TOKEN_UNAVAILABLE,
		.retry_after_ms = pause->wait_ms > 0 ? pause->wait_ms : 1,
		.reason = r->words,
	};
}

void refresh_end_failed(struct refresh *r, const struct slot_pause *pause)
{
	struct refresh_answer a = failed_answer(r, pause);

	refresh_end(r, &a, &(struct slots_end){.is_final = true});
}

void refresh_answer_failed(struct refresh *r, const struct slot_pause *pause)
{
	struct refresh_answer a = failed_answer(r, pause);

	deliver(r, slots_take_waiters(r->work.tm, r->slot), &a);
}

void refresh_pause(struct refresh *r, const struct slot_pause *pause)
{
	slots_pause(r->work.tm, r->slot, secret_is_set(&r->token.access) ? &r->token : NULL,
		r->demand.epoch, pause);
}

void refresh_store_fault(struct refresh *r, const struct fault *f)
{
	bool is_known = atomic_exchange(&r->work.tm->database_fails, true);

	log_event(is_known ? LOG_DEBUG : LOG_ERROR, "grant.database_failed",
		F_STR("branch", r->branch_id), F_FAULT(f));
}

/* ---- reading the row ---- */

static int load_body(struct db *db, void *arg, struct fault *f)
{
	struct refresh *r = arg;

	grant_done(&r->grant);
	return grant_load(db, r->branch_id, &r->grant, f);
}

static bool is_rejected(const struct refresh *r, const struct secret *access)
{
	uint8_t hash[HASH_BLAKE2B_SIZE];

	if (!r->demand.has_rejected)
		return false;
	hash_blake2b(access->bytes, access->len, hash);
	return hash_equal(hash, r->demand.rejected, sizeof(hash));
}

/* The row's access token, if it lives and nobody saw it refused. */
static int read_token(struct refresh *r, struct fault *f)
{
	struct grant *g = &r->grant;
	AUTO(secret_drop) struct secret access = {0};

	live_token_done(&r->token);
	if (g->access.bytes == NULL || g->expires_at_ms <= clock_wall_ms())
		return 0;
	if (grant_unseal(r->work.tm, "access_token", g->client_row, &g->access, &access, f) < 0)
		return -1;
	if (is_rejected(r, &access))
		return 0;
	r->token = (struct live_token){
		.client_row = g->client_row,
		.oauth_id = mem_text(grant_app_id(r->work.tm, g)),
		.token_type = mem_text(g->token_type),
		.scope = mem_text(g->scope != NULL ? g->scope : ""),
		.access = secret_take(&access),
		.expires_at_ms = g->expires_at_ms,
		.lifetime_ms = g->lifetime_ms,
	};
	return 0;
}

/* ---- judging it ---- */

/* A connection that has no token to give, whatever the time. True when it ended the run. */
static bool end_without_token(struct refresh *r)
{
	const struct grant *g = &r->grant;

	if (g->client_row == 0)
		end_with(r, TOKEN_UNKNOWN, "No client is registered for this branch");
	else if (!g->is_active)
		end_with(r, TOKEN_INACTIVE, "This branch is switched off");
	else if (g->state == STATE_NEEDS_RECONNECT)
		end_with(r, TOKEN_NEEDS_RECONNECT,
			"The provider no longer accepts this connection; connect the branch again");
	else if (g->state == STATE_REVOKED || g->state == STATE_REVOKING)
		end_with(r, TOKEN_REVOKED, "The connection of this branch was revoked");
	else if (!g->has_tokens || (g->state == STATE_PENDING && g->refresh.bytes == NULL))
		end_with(r, TOKEN_PENDING, "This branch was never connected");
	else
		return false;
	return true;
}

/* A refresh of another process that ended while we waited counts for callers who force one. */
static bool joined_another(const struct refresh *r)
{
	return r->held_fence != 0 && r->grant.fence >= r->held_fence &&
	       r->grant.lease_owner == NULL && r->grant.failures == 0;
}

static bool row_serves(const struct refresh *r)
{
	const struct live_token *t = &r->token;

	if (!secret_is_set(&t->access) || (r->demand.force && !joined_another(r)))
		return false;
	if (r->demand.due && r->grant.next_refresh_at_ms <= clock_wall_ms())
		return false;
	return token_serves(r->work.tm->settings, t->expires_at_ms - clock_wall_ms(),
		t->lifetime_ms, r->demand.min_ttl_ms);
}

/*
 * A lease ends by our own monotonic clock, counted from when we first saw it held: the clocks of
 * two processes need not agree. Wall time decides only when no skew can explain it.
 */
static bool is_held_by_another(struct refresh *r)
{
	const struct grant *g = &r->grant;
	int64_t mono = clock_mono_ms();

	if (g->lease_owner == NULL || strcmp(g->lease_owner, r->work.tm->instance) == 0)
		return false;
	if (g->lease_until_ms + LEASE_SKEW_MS < clock_wall_ms())
		return false;
	if (r->held_fence != g->fence) {
		r->held_fence = g->fence;
		r->held_since_mono_ms = mono;
	}
	return mono - r->held_since_mono_ms < r->work.tm->settings->token_refresh_lease_ms;
}

static void wait_for_lease(struct refresh *r)
{
	struct slot_pause pause = {
		.wait_ms = LEASE_POLL_LEAST_MS + (int64_t)rand_below(LEASE_POLL_SPREAD_MS)};

	if (secret_is_set(&r->token.access) &&
		clock_mono_ms() - r->held_since_mono_ms > LEASE_PATIENCE_MS)
		refresh_answer_failed(r, &pause);
	work_later(&r->work, pause.wait_ms, refresh_look);
}

/* The background has others to look after; who waits here stays. */
static void leave_to_another(struct refresh *r)
{
	struct refresh_answer a = {
		.outcome = TOKEN_UNAVAILABLE, .reason = "another process refreshes it"};

	refresh_end(r, &a, &(struct slots_end){.epoch = r->demand.epoch, .only_due = true});
}

static void store_failed(struct refresh *r, const struct fault *f)
{
	static const struct slot_pause pause = {
		.wait_ms = STORE_PAUSE_MS,
		.reason = "the database cannot be reached at the moment",
	};

	refresh_store_fault(r, f);
	slots_pause(r->work.tm, r->slot, NULL, r->demand.epoch, &pause);
	refresh_look(&r->work);
}

static int claim_body(struct db *db, void *arg, struct fault *f)
{
	struct refresh *r = arg;
	struct token_management *tm = r->work.tm;

	return grant_claim(db, &r->grant, tm->instance,
		clock_wall_ms() + tm->settings->token_refresh_lease_ms, f);
}

static void step_claimed(struct work *w)
{
	struct refresh *r = CONTAINER_OF(w, struct refresh, work);

	if (w->outcome < 0) {
		store_failed(r, &w->fault);
	} else if (w->outcome == 1) {
		refresh_look(w);
	} else {
		r->fence = r->grant.fence + 1;
		refresh_ask(r);
	}
}

static void claim(struct refresh *r)
{
	r->claimed_mono_ms = clock_mono_ms();
	work_transact(&r->work, claim_body, r, step_claimed);
}

/* 1: since it was read, a consent or an import has brought a refresh token. */
static int unrefreshable_body(struct db *db, void *arg, struct fault *f)
{
	struct refresh *r = arg;
	AUTO(grant_done) struct grant now = {0};
	struct state_change move = {
		.client_row = r->grant.client_row,
		.to = STATE_NEEDS_RECONNECT,
		.reason = "there is no refresh token",
	};

	if (grant_load(db, r->branch_id, &now, f) < 0)
		return -1;
	if (now.client_row != r->grant.client_row || now.refresh.bytes != NULL)
		return 1;
	return state_move(db, &move, f) < 0 ? -1 : 0;
}

/* No refresh token: what lives is served to its end; after that only a person can help. */
static void end_unrefreshable(struct refresh *r)
{
	struct slot_pause pause = {.wait_ms = r->token.expires_at_ms - clock_wall_ms()};
	struct fault f = {0};
	int outcome;

	if (secret_is_set(&r->token.access)) {
		refresh_pause(r, &pause);
		refresh_end_failed(r, &pause);
		return;
	}
	outcome = store_transact(r->work.tm->store, unrefreshable_body, r, &f);
	if (outcome < 0) {
		store_failed(r, &f);
		return;
	}
	if (outcome == 1) {
		work_submit(&r->work, refresh_look);
		return;
	}
	end_with(r, TOKEN_NEEDS_RECONNECT,
		"This connection has no refresh token; connect the branch again");
}

/* The row says how long the provider is left alone, and why. */
static struct slot_pause row_pause(const struct refresh *r)
{
	struct slot_pause pause = {.wait_ms = r->grant.retry_at_ms - clock_wall_ms()};

	if (pause.wait_ms > RETRY_AT_MOST_MS)
		pause.wait_ms = 0;
	snprintf(pause.reason, sizeof(pause.reason), "%s",
		r->grant.reason != NULL ? r->grant.reason : "refreshing fails at the moment");
	return pause;
}

static void judge(struct refresh *r)
{
	static const struct slot_pause stopping = {
		.wait_ms = 1000, .reason = "the service is stopping"};
	struct token_management *tm = r->work.tm;
	struct slot_pause pause = row_pause(r);

	if (row_serves(r)) {
		if (slots_publish(tm, r->slot, &r->token, r->demand.epoch) && r->demand.force)
			slots_calm(tm, r->slot);
		end_ready(r);
	} else if (pause.wait_ms > 0) {
		refresh_pause(r, &pause);
		refresh_end_failed(r, &pause);
	} else if (r->grant.refresh.bytes == NULL) {
		end_unrefreshable(r);
	} else if (work_is_stopping(tm)) {
		refresh_end_failed(r, &stopping);
	} else if (is_held_by_another(r)) {
		if (r->demand.due_only && r->grant.lease_until_ms > clock_wall_ms())
			leave_to_another(r);
		else
			wait_for_lease(r);
	} else {
		claim(r);
	}
}

static void ask_row(struct refresh *r)
{
	struct fault f = {0};

	if (store_use(r->work.tm->store, load_body, r, &f) < 0) {
		store_failed(r, &f);
		return;
	}
	atomic_store(&r->work.tm->database_fails, false);
	if (end_without_token(r))
		return;
	if (read_token(r, &f) < 0) /* the vault cannot open it; a refresh brings another */
		log_event(
			LOG_ERROR, "grant.unreadable", F_STR("branch", r->branch_id), F_FAULT(&f));
	judge(r);
}

void refresh_look(struct work *w)
{
	struct refresh *r = CONTAINER_OF(w, struct refresh, work);
	struct slot_pause pause;

	live_token_done(&r->token);
	switch (slots_look(w->tm, r->slot, &r->demand, &r->token, &pause)) {
	case SLOT_SERVES:
		end_ready(r);
		break;
	case SLOT_DEGRADED:
	case SLOT_UNAVAILABLE:
		refresh_end_failed(r, &pause);
		break;
	case SLOT_ASK_ROW:
		ask_row(r);
		break;
	}
}
