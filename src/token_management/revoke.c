/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ending a grant. The state `revoking` is durable before the provider is asked, so that nothing is
 * handed out any more and no crash forgets it; the tokens are kept until the provider has answered,
 * for they are what it is asked with.
 */
#include "token_management/revoke.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/backoff.h"
#include "core/limits.h"
#include "store/store.h"
#include "token_management/grant.h"
#include "token_management/internal.h"
#include "token_management/provider_request.h"
#include "token_management/siblings.h"

#define ASK_MS 20000
#define WAIT_LEAST_MS 1000
#define WAIT_MOST_MS (60 * 60 * 1000)
#define RESUME_MAX 10000
#define LOCAL_ONLY                                                                  \
	"revoked here only: the provider has no address to revoke at, so the grant" \
	" lives on there until the account takes the access back"

static const struct actor service = {.name = "service"};

struct revoke {
	struct work work;
	char branch_id[LIMIT_BRANCH_ID_BYTES + 1];
	struct actor who;
	revoke_done_fn *done; /* NULL: answered already, or nobody waits */
	void *arg;
	bool force, deletes;
	bool repeats; /* this one tries again; another one does for whoever asks beside it */
	unsigned attempt;
	struct grant grant;
	enum revoke_outcome outcome;
	struct siblings siblings; /* REVOKE_SHARED */
	bool is_deleted;
	bool is_local;       /* the provider has no address to revoke at */
	int64_t asked_at_ms; /* 0: there was nothing to ask with */
	int64_t siblings_ended;
	struct token_reply reply;
	char reason[200];
	int64_t wait_ms;
};

/* ---- ending ---- */

static void say(struct revoke *x, enum revoke_outcome outcome, const struct fault *f)
{
	const bool is_shared = outcome == REVOKE_SHARED;
	const struct provider *p = provider_find(x->work.tm, x->grant.provider);
	const struct revoke_result result = {
		.outcome = outcome,
		.client_row = x->grant.client_row,
		.branch_id = x->branch_id,
		.is_deleted = x->is_deleted,
		.is_local = x->is_local,
		.provider_title = p != NULL ? p->title : x->grant.provider,
		.siblings = (const char *const *)x->siblings.branches,
		.n_siblings = x->siblings.n,
		.siblings_total = is_shared ? x->siblings.total : x->siblings_ended,
		.retry_after_ms = (uint32_t)x->wait_ms,
		.reason = x->reason,
		.fault = f,
	};
	revoke_done_fn *done = x->done;

	x->done = NULL;
	if (done != NULL)
		done(x->arg, &result);
}

static void finish(struct revoke *x, enum revoke_outcome outcome, const struct fault *f)
{
	say(x, outcome, f);
	work_end(&x->work);
	grant_done(&x->grant);
	siblings_done(&x->siblings);
	buf_drop(&x->reply.body);
	mem_free(x);
}

static void step_begin(struct work *w);

/* It is not over: whoever waits hears it, and it is tried again. */
static void try_later(struct revoke *x)
{
	int64_t told = x->reply.retry_after_ms;

	x->wait_ms = backoff_delay_ms(x->work.tm->settings, ++x->attempt);
	if (x->wait_ms < told)
		x->wait_ms = told;
	if (x->wait_ms < WAIT_LEAST_MS)
		x->wait_ms = WAIT_LEAST_MS;
	if (x->wait_ms > WAIT_MOST_MS)
		x->wait_ms = WAIT_MOST_MS;
	log_event(x->attempt == 1 ? LOG_WARN : LOG_DEBUG, "grant.revoke_waits",
		F_STR("branch", x->branch_id), F_STR("reason", x->reason),
		F_INT("retry_in_ms", x->wait_ms));
	if (!x->repeats || work_is_stopping(x->work.tm)) {
		finish(x, REVOKE_WAITS, NULL);
		return;
	}
	say(x, REVOKE_WAITS, NULL);
	x->who = service; /* the caller's name went with the caller */
	x->deletes = false;
	work_later(&x->work, x->wait_ms, step_begin);
}

/* ---- after the answer ---- */

/* The client's row goes too, when that was asked for: from this state, or from any (NULL). */
static int delete_if_asked(
	struct db *db, struct revoke *x, const char *only_status, struct fault *f)
{
	struct client_deletion d = {
		.who = &x->who, .client_row = x->grant.client_row, .only_status = only_status};
	int result;

	x->is_deleted = false;
	if (!x->deletes)
		return 0;
	result = client_delete(db, &d, f);
	x->is_deleted = result == 0;
	return result < 0 ? -1 : 0;
}

static int end_body(struct db *db, void *arg, struct fault *f)
{
	struct revoke *x = arg;
	const struct state_change move = {
		.client_row = x->grant.client_row,
		.to = STATE_REVOKED,
		.reason = x->is_local ? LOCAL_ONLY : NULL,
		.who = &x->who,
	};
	int64_t changed;

	/* A new consent has moved the state, and stays. */
	if (db_exec(db,
		    "UPDATE tokens SET access_token = NULL, refresh_token = NULL, is_valid = 0,"
		    " is_revoked = 1, expires_at_ms = NULL, updated_at_ms = $2,"
		    " refresh_hash = NULL, refresh_prefix = NULL"
		    " WHERE client_id = $1"
		    " AND (SELECT status FROM clients WHERE id = $1) = 'revoking'",
		    &changed, f, db_int(x->grant.client_row), db_int(clock_wall_ms())) < 0)
		return -1;
	if (changed > 0 && state_move(db, &move, f) < 0)
		return -1;
	return delete_if_asked(db, x, state_name(STATE_REVOKED), f);
}

/* Before our own state moves on, which ends the retries. */
static int end_siblings(struct revoke *x, struct fault *f)
{
	const struct provider *p = provider_find(x->work.tm, x->grant.provider);
	long status = x->reply.status;
	struct siblings_fate fate = {
		/* Elsewhere 2xx says less: the token may have been unknown, or ended alone. */
		.is_ended_now = p != NULL && p->revocation_ends == PROVIDER_ENDS_PROJECT &&
				status >= 200 && status < 300,
		.asked_at_ms = x->asked_at_ms,
		.who = &x->who,
	};
	int result;

	if (x->asked_at_ms == 0)
		return 0;
	result = siblings_end(x->work.tm, &x->grant, &fate, f);
	x->siblings_ended += fate.n_ended;
	if (fate.n_ended + fate.n_doubted > 0)
		log_event(LOG_WARN, "grant.siblings_ended", F_STR("branch", x->branch_id),
			F_INT("siblings", fate.n_ended), F_INT("doubted", fate.n_doubted));
	return result;
}

static void end_here(struct revoke *x)
{
	struct fault f = {0};

	if (end_siblings(x, &f) < 0 || store_transact(x->work.tm->store, end_body, x, &f) < 0) {
		snprintf(x->reason, sizeof(x->reason), "the database failed: %.150s", f.text);
		try_later(x);
		return;
	}
	slots_forget(x->work.tm, x->branch_id);
	log_event(LOG_INFO, "grant.revoked", F_STR("branch", x->branch_id),
		F_BOOL("here_only", x->is_local));
	finish(x, REVOKE_DONE, NULL);
}

/* An access token without a refresh token, at a provider that ends only those: it dies by itself.
 */
static bool is_beyond_reach(const struct revoke *x, const struct token_response *r)
{
	return x->grant.refresh.bytes == NULL && strcmp(r->error, "unsupported_token_type") == 0;
}

/* RFC 7009 section 2.2: 200 also for a token it does not know. Google calls that invalid_token. */
static bool is_over(struct revoke *x)
{
	struct token_response r = {0};
	long status = x->reply.status;
	bool is_answer = x->reply.result == NET_ANSWERED;
	bool over;

	token_reply_parse(&x->reply, &r);
	over = is_answer && ((status >= 200 && status < 300) ||
				    (status == 400 && strcmp(r.error, "invalid_token") == 0) ||
				    (status == 400 && is_beyond_reach(x, &r)));
	snprintf(x->reason, sizeof(x->reason), "%s", r.reason);
	token_response_done(&r);
	return over;
}

static void step_answer(struct work *w)
{
	struct revoke *x = CONTAINER_OF(w, struct revoke, work);

	if (is_over(x))
		end_here(x);
	else
		try_later(x);
}

/* Net thread. */
static void on_reply(void *arg, struct net_reply *reply)
{
	struct revoke *x = arg;

	token_reply_take(reply, &x->reply);
	work_submit(&x->work, step_answer);
}

/* ---- asking ---- */

static int prepare(
	struct revoke *x, const struct provider *p, struct net_request *ret, struct fault *f)
{
	struct token_management *tm = x->work.tm;
	bool by_refresh = x->grant.refresh.bytes != NULL;
	const char *column = by_refresh ? "refresh_token" : "access_token";
	AUTO(buf_drop) struct buf form = BUF_INIT_WIPED(4 * LIMIT_ACCESS_TOKEN_BYTES);
	AUTO(secret_drop) struct secret token = {0};
	AUTO(app_done) struct app app = {0};

	if (grant_unseal(tm, column, x->grant.client_row,
		    by_refresh ? &x->grant.refresh : &x->grant.access, &token, f) < 0 ||
		grant_app(tm, p, &x->grant, false, &app, f) < 0)
		return -1;
	net_form_add(&form, "token", token.bytes, token.len);
	net_form_add(&form, "token_type_hint", column, strlen(column));
	return provider_request(p, p->revoke_url, &app, &form, ASK_MS, ret, f);
}

static void ask(struct revoke *x)
{
	struct token_management *tm = x->work.tm; /* x may be gone once it is sent */
	const struct provider *p;
	struct net_request request = {0};
	struct fault f = {0};

	x->reply = (struct token_reply){.retry_after_ms = -1};
	p = providers_ready(x->work.tm, x->grant.provider, &f);
	if (p != NULL && p->revoke_url == NULL) {
		x->is_local = true;
		end_here(x);
	} else if (p == NULL || prepare(x, p, &request, &f) < 0) {
		snprintf(x->reason, sizeof(x->reason), "%.190s", f.text);
		try_later(x);
	} else if (!work_send_begin(x->work.tm)) {
		buf_drop(&request.body);
		secret_drop(&request.basic);
		snprintf(x->reason, sizeof(x->reason), "the service is stopping");
		try_later(x);
	} else {
		x->asked_at_ms = clock_wall_ms();
		net_send(tm->net, &request, on_reply, x);
		work_send_end(tm);
	}
}

/* Nobody loses a grant unheard. What is being revoked already was agreed to. */
static int look_for_siblings(struct db *db, struct revoke *x, struct fault *f)
{
	siblings_done(&x->siblings);
	if (x->force || x->grant.state == STATE_REVOKING)
		return 0;
	if (siblings_find(db, x->work.tm, &x->grant, &x->siblings, f) < 0)
		return -1;
	if (x->siblings.total > 0)
		x->outcome = REVOKE_SHARED;
	return 0;
}

static int begin_body(struct db *db, void *arg, struct fault *f)
{
	struct revoke *x = arg;
	struct state_change move = {.to = STATE_REVOKING, .who = &x->who};
	int moved;

	grant_done(&x->grant);
	if (grant_load(db, x->branch_id, &x->grant, f) < 0)
		return -1;
	x->outcome = x->grant.client_row == 0                                  ? REVOKE_UNKNOWN
		     : x->grant.state == STATE_REVOKED                         ? REVOKE_DONE
		     : x->grant.state == STATE_PENDING || !x->grant.has_tokens ? REVOKE_NOTHING
									       : REVOKE_WAITS;
	if (x->outcome == REVOKE_DONE || x->outcome == REVOKE_NOTHING)
		return delete_if_asked(db, x, NULL, f);
	/* Of a retry: something else, a new consent, has come in between. */
	if (x->outcome != REVOKE_WAITS || (x->attempt > 0 && x->grant.state != STATE_REVOKING))
		return 0;
	if (look_for_siblings(db, x, f) < 0)
		return -1;
	if (x->outcome == REVOKE_SHARED)
		return 0;
	move.client_row = x->grant.client_row;
	moved = state_move(db, &move, f);
	if (moved < 0)
		return -1;
	x->repeats |= moved == STATE_MOVED;
	return db_exec(db,
		"UPDATE tokens SET next_refresh_at_ms = NULL, retry_at_ms = NULL"
		" WHERE client_id = $1",
		NULL, f, db_int(x->grant.client_row));
}

static void step_begin(struct work *w)
{
	struct revoke *x = CONTAINER_OF(w, struct revoke, work);
	bool is_retry = x->attempt > 0;
	struct fault f = {0};

	if (is_retry && work_is_stopping(w->tm)) {
		finish(x, REVOKE_WAITS, NULL);
	} else if (store_transact(w->tm->store, begin_body, x, &f) < 0) {
		snprintf(x->reason, sizeof(x->reason), "%.190s", f.text);
		if (is_retry)
			try_later(x);
		else
			finish(x, REVOKE_FAILED, &f);
	} else if (x->outcome != REVOKE_WAITS || (is_retry && x->grant.state != STATE_REVOKING)) {
		if (x->is_deleted)
			slots_forget(w->tm, x->branch_id);
		finish(x, x->outcome, NULL);
	} else {
		slots_forget(w->tm, x->branch_id);
		if (x->grant.refresh.bytes != NULL || x->grant.access.bytes != NULL)
			ask(x);
		else
			end_here(x);
	}
}

static struct revoke *make(struct token_management *tm, const char *branch_id)
{
	struct revoke *x = mem_alloc(sizeof(*x));

	snprintf(x->branch_id, sizeof(x->branch_id), "%s", branch_id);
	x->reply.retry_after_ms = -1;
	work_begin(tm, &x->work);
	return x;
}

void tokens_revoke(struct token_management *tm, const struct revoke_wish *wish,
	revoke_done_fn *done, void *arg)
{
	struct revoke *x = make(tm, wish->branch_id);

	x->who = *wish->who;
	x->force = wish->force;
	x->deletes = wish->deletes;
	x->done = done;
	x->arg = arg;
	step_begin(&x->work);
}

/* ---- after a restart ---- */

static int resume_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct revoke *x = make(arg, db_get_text(&cols[0]));

	(void)n_cols;
	(void)f;
	x->who = service;
	x->repeats = true;
	x->attempt = 1;
	work_submit(&x->work, step_begin);
	return 0;
}

static int resume_body(struct db *db, void *arg, struct fault *f)
{
	return db_read(db,
		"SELECT branch_id FROM clients WHERE status = 'revoking' ORDER BY id LIMIT $1",
		resume_row, arg, f, db_int(RESUME_MAX));
}

int revoke_resume(struct token_management *tm, struct fault *f)
{
	return store_use(tm->store, resume_body, tm, f);
}
