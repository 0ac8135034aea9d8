/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One page after the other. walk_ask → gate → ask_token → (tokens_obtain) → send → (net) →
 * read_answer → walk_ask … Each arrow may be another thread, never two at once: the walk belongs to
 * whoever holds it, and `step` says what its task does next.
 */
#include "review_fetcher/engine.h"
#include "review_fetcher/walks.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/backoff.h"
#include "core/metrics.h"
#include "token_management/token_management.h"

#define BATCHES_REFUSED_MOST 3

static struct metric calls_made = METRIC_COUNTER("review_fetcher_google_calls_total",
	"Calls to Google's review APIs, by what came of them.", "outcome=\"page\"");
static struct metric calls_failed = METRIC_COUNTER("review_fetcher_google_calls_total",
	"Calls to Google's review APIs, by what came of them.", "outcome=\"error\"");
static struct metric calls_throttled = METRIC_COUNTER("review_fetcher_google_calls_total",
	"Calls to Google's review APIs, by what came of them.", "outcome=\"throttled\"");

METRICS_FROM_START(&calls_made, &calls_failed, &calls_throttled)

static const char *const kind_names[WALK_KINDS] = {
	"accounts", "locations", "reviews", "batch", "review"};

const char *walk_kind_name(enum walk_kind kind)
{
	return kind_names[kind];
}

static enum google_api api_of(const struct walk *w)
{
	if (w->kind == WALK_ACCOUNTS)
		return GOOGLE_ACCOUNTS;
	return w->kind == WALK_LOCATIONS ? GOOGLE_LOCATIONS : GOOGLE_REVIEWS;
}

struct gate *walk_gate(const struct walk *w)
{
	return w->job->gates[api_of(w)];
}

static void run_step(struct task *task)
{
	struct walk *w = CONTAINER_OF(task, struct walk, task);

	w->step(w);
}

static void submit(struct walk *w, void (*step)(struct walk *w))
{
	w->step = step;
	w->task.run = run_step;
	pool_submit(w->job->rf->parts.pool, &w->task);
}

static void leave(struct walk *w)
{
	struct job *j = w->job;

	job_end_walk(w);
	job_plan(j);
	job_unref(j);
}

void walk_free(struct walk *w)
{
	mem_free(w->account_id);
	mem_free(w->location_id);
	mem_free(w->page_token);
	mem_free(w->mark_token);
	mem_free(w->probe_id);
	for (size_t i = 0; i < w->n_members; i++)
		mem_free(w->members[i]);
	mem_free(w->members);
	secret_drop(&w->bearer);
	buf_drop(&w->reply.body);
	mem_free(w);
}

/* Waits without a thread, then goes on with step. */
static void sleep_then(struct walk *w, int64_t ms, void (*step)(struct walk *w))
{
	struct review_fetcher *rf = w->job->rf;
	int64_t due_ms = clock_mono_ms() + ms;

	w->step = step;
	w->task.run = run_step;
	pthread_mutex_lock(&rf->lock);
	nap_until(rf, &w->nap, &w->task, due_ms);
	pthread_mutex_unlock(&rf->lock);
}

/* ---- what comes of an answer ---- */

/* The outcome of a transaction, and what is next. Logs a fault: this is the job runner's boundary.
 */
static void go_on(struct walk *w, int outcome, const struct walk_change *change,
	const struct fault *f, void (*again)(struct walk *w))
{
	struct job *j = w->job;

	switch (outcome) {
	case WALK_GOES_ON:
	case WALK_ENDED:
		w->store_failures = 0;
		if (change->cancelled)
			job_cancel(j);
		if (change->opened && outcome == WALK_GOES_ON)
			job_plan(j);
		if (outcome == WALK_GOES_ON)
			walk_ask(w);
		else
			leave(w);
		return;
	case WALK_LOST:
		job_lose(j);
		leave(w);
		return;
	default:
		break;
	}
	log_event(LOG_ERROR, "job.store_failed", F_STR("job", j->id), F_FAULT(f));
	if (f->kind != FAULT_STORE) {
		job_fail(j, "the page could not be stored: an internal error, see the log");
		leave(w);
		return;
	}
	/* Nothing was committed: the same step once more, when the database has had time. */
	sleep_then(w, backoff_delay_ms(j->rf->parts.settings, ++w->store_failures) + 1, again);
}

/* The reason waits in the walk, for the case that the database has to be asked again. */
static void give_up(struct walk *w)
{
	struct walk_change change = {0};
	struct fault f = {0};
	int outcome = walk_store_failure(w, w->why, (enum walk_park)w->park, &change, &f);

	go_on(w, outcome, &change, &f, give_up);
}

static void give_up_because(struct walk *w, enum walk_park park, const char *why)
{
	w->park = w->probe_id ? WALK_PARK_NOT : (int)park;
	if (w->kind == WALK_BATCH)
		w->job->batches_refused++;
	snprintf(w->why, sizeof(w->why), "%.*s", google_words_fit(why, sizeof(w->why) - 1), why);
	give_up(w);
}

static void begin_anew(struct walk *w)
{
	struct walk_change change = {0};
	struct fault f = {0};
	int outcome = walk_store_restart(w,
		"Google refused a page of this listing as out of date, again and again", &change,
		&f);

	go_on(w, outcome, &change, &f, begin_anew);
}

/* A failure that time may heal: the same page again, with full jitter, at most RETRY_MAX_RETRIES
 * times. */
static void try_later(struct walk *w, int64_t hint_ms, const char *why)
{
	const struct settings *s = w->job->rf->parts.settings;
	int64_t wait_ms;

	log_event(LOG_DEBUG, "job.retry", F_STR("job", w->job->id),
		F_STR("location", w->location_id), F_INT("attempt", w->attempts + 1),
		F_STR("cause", why));
	if (w->attempts >= (uint64_t)s->retry_max_retries) {
		give_up_because(w, WALK_PARK_TWICE, why);
		return;
	}
	wait_ms = backoff_delay_ms(s, ++w->attempts);
	sleep_then(w, hint_ms > wait_ms ? hint_ms : wait_ms, walk_ask);
}

static int read_page(const struct walk *w, struct google_page *ret, struct fault *f)
{
	const char *bytes = w->reply.body.data;
	size_t len = w->reply.body.len;

	if (w->kind == WALK_BATCH)
		return google_batch_read(bytes, len, ret, f);
	if (!w->probe_id)
		return google_page_read(api_of(w), bytes, len, ret, f);
	if (google_review_read(bytes, len, ret, f) < 0)
		return -1;
	if (text_equal(ret->reviews[0].id, w->probe_id))
		return 0;
	google_page_done(ret);
	return fault_raise(f, FAULT_UPSTREAM, "another review came than was asked for");
}

/* Google has answered a request as it should, and the rows were written or not. */
static void note_answer(struct walk *w, int outcome)
{
	struct review_fetcher *rf = w->job->rf;

	pthread_mutex_lock(&rf->lock);
	gate_answered(walk_gate(w), clock_mono_ms());
	if (outcome >= 0)
		w->job->waiting_until_ms = 0;
	pthread_mutex_unlock(&rf->lock);
	if (outcome >= 0)
		buf_drop(&w->reply.body);
}

static void store_page(struct walk *w)
{
	struct walk_change change = {0};
	struct google_page page;
	struct fault f = {0};
	int outcome;

	if (read_page(w, &page, &f) < 0) {
		metric_add(&calls_failed, 1);
		try_later(w, -1, f.text);
		return;
	}
	metric_add(&calls_made, 1);
	if (page.skipped)
		log_event(LOG_WARN, "job.items_skipped", F_STR("job", w->job->id),
			F_STR("location", w->location_id), F_INT("items", page.skipped));
	outcome = walk_store_page(w, &page, &change, &f);
	google_page_done(&page);
	if (w->kind == WALK_BATCH)
		w->job->batches_answered++;
	note_answer(w, outcome);
	go_on(w, outcome, &change, &f, store_page);
}

/* 404 to a review that was asked for by its name. */
static void store_absence(struct walk *w)
{
	struct walk_change change = {0};
	struct fault f = {0};
	int outcome = walk_store_absence(w, &change, &f);

	metric_add(&calls_made, 1);
	note_answer(w, outcome);
	go_on(w, outcome, &change, &f, store_absence);
}

static void end_job(struct walk *w, const char *why)
{
	job_fail(w->job, why);
	leave(w);
}

static void refuse_project(struct walk *w, const char *why)
{
	struct job *j = w->job;

	pthread_mutex_lock(&j->rf->lock);
	gate_diagnose(walk_gate(w), why);
	pthread_mutex_unlock(&j->rf->lock);
	log_event(LOG_WARN, "google.not_approved", F_STR("job", j->id),
		F_STR("api", google_api_name(api_of(w))), F_STR("cause", why));
	end_job(w, why);
}

static void refuse_token(struct walk *w)
{
	struct job *j = w->job;

	if (!j->branch_id) {
		end_job(w, "Google refuses this access token: it has expired or was revoked");
		return;
	}
	if (w->token_tried) {
		end_job(w, "Google refuses this branch's tokens, new ones too: connect it again");
		return;
	}
	w->token_tried = true;
	tokens_reject(j->rf->parts.token_management, j->branch_id, w->bearer.bytes, w->bearer.len);
	walk_ask(w);
}

static void slow_down(struct walk *w, const struct google_error *e)
{
	struct job *j = w->job;
	struct review_fetcher *rf = j->rf;
	struct gate *g = walk_gate(w);
	int64_t hint_ms =
		w->reply.retry_after_ms >= 0 ? w->reply.retry_after_ms : e->retry_after_ms;
	int64_t pause_ms;
	bool hopeless;
	char why[200];

	metric_add(&calls_throttled, 1);
	pthread_mutex_lock(&rf->lock);
	pause_ms = gate_throttle(g, hint_ms, clock_mono_ms());
	hopeless = !g->answered && g->throttles >= THROTTLES_BEFORE_DIAGNOSIS;
	pthread_mutex_unlock(&rf->lock);
	log_event(LOG_WARN, "google.throttled", F_STR("job", j->id),
		F_STR("api", google_api_name(api_of(w))), F_INT("pause_ms", pause_ms));
	if (!hopeless) {
		walk_ask(w);
		return;
	}
	snprintf(why, sizeof(why),
		"Google answers 429 to every call: the Cloud project is not approved for the %s "
		"(its quota is 0): ask Google for access to it",
		google_api_name(api_of(w)));
	refuse_project(w, why);
}

/* This listing, or this location, cannot be read now; a batch is not worth asking twice. */
static void refuse(struct walk *w, const struct google_error *e)
{
	if (e->class == GOOGLE_STALE_PAGE && w->kind != WALK_BATCH)
		begin_anew(w);
	else
		give_up_because(w, WALK_PARK, e->text);
}

static void heed(struct walk *w, const struct google_error *e)
{
	switch (e->class) {
	case GOOGLE_THROTTLED:
		slow_down(w, e);
		return;
	case GOOGLE_TOKEN_REFUSED:
		refuse_token(w);
		return;
	case GOOGLE_PROJECT_REFUSED:
		refuse_project(w, e->text);
		return;
	case GOOGLE_TENANT_REFUSED:
		end_job(w, e->text);
		return;
	case GOOGLE_STALE_PAGE:
	case GOOGLE_RESOURCE_REFUSED:
	case GOOGLE_BUG:
		refuse(w, e);
		return;
	case GOOGLE_TRANSIENT:
		break;
	}
	try_later(w, w->reply.retry_after_ms >= 0 ? w->reply.retry_after_ms : e->retry_after_ms,
		e->text);
}

static void read_error(struct walk *w)
{
	struct google_error e;

	google_error_read(api_of(w), w->reply.status, w->reply.body.data, w->reply.body.len,
		w->page_token != NULL, &e);
	buf_drop(&w->reply.body);
	log_event(LOG_DEBUG, "google.refused", F_STR("job", w->job->id),
		F_STR("location", w->location_id), F_INT("status", w->reply.status),
		F_STR("class", google_class_name(e.class)), F_STR("reason", e.reason));
	if (w->probe_id && (w->reply.status == 404 || w->reply.status == 410)) {
		store_absence(w);
		return;
	}
	/* The batch may be gone where the listing still is. */
	if (w->kind == WALK_BATCH && w->reply.status == 501)
		e.class = GOOGLE_BUG;
	if (e.class != GOOGLE_THROTTLED)
		metric_add(&calls_failed, 1);
	heed(w, &e);
}

static void read_answer(struct walk *w)
{
	char why[160];

	w->job->answers++;
	if (!job_goes_on(w->job)) {
		leave(w);
		return;
	}
	if (w->reply.result == NET_TOO_LARGE) {
		give_up_because(w, WALK_PARK, "the page is larger than a page of Google's can be");
		return;
	}
	if (w->reply.result != NET_ANSWERED) {
		metric_add(&calls_failed, 1);
		snprintf(why, sizeof(why), "%s", w->reply.error);
		try_later(w, -1, why);
		return;
	}
	if (w->reply.status != 200) {
		read_error(w);
		return;
	}
	store_page(w);
}

/* ---- asking ---- */

/* Net thread. */
static void take_reply(void *arg, struct net_reply *reply)
{
	struct walk *w = arg;

	buf_drop(&w->reply.body);
	w->reply = *reply;
	reply->body = (struct buf){0};
	submit(w, read_answer);
}

/* The address of what is asked for next and, for a batch, the body. */
static void address(const struct walk *w, struct buf *url, struct net_request *request)
{
	const struct settings *s = w->job->rf->parts.settings;

	if (w->kind == WALK_ACCOUNTS) {
		google_accounts_url(url, s->google_accounts_url, w->page_token);
	} else if (w->kind == WALK_LOCATIONS) {
		google_locations_url(url, s->google_locations_url, w->account_id, w->page_token);
	} else if (w->kind == WALK_BATCH) {
		google_batch_url(url, s->google_reviews_url, w->account_id);
		request->method = "POST";
		request->content_type = "application/json";
		request->body = BUF_INIT(LIMIT_GOOGLE_PAGE_BYTES);
		google_batch_body(
			&request->body, w->account_id, w->members, w->n_members, w->page_token);
	} else if (w->probe_id) {
		google_review_url(
			url, s->google_reviews_url, w->account_id, w->location_id, w->probe_id);
	} else {
		google_reviews_url(
			url, s->google_reviews_url, w->account_id, w->location_id, w->page_token);
	}
}

static void send(struct walk *w)
{
	struct review_fetcher *rf = w->job->rf;
	AUTO(buf_drop) struct buf url = BUF_INIT(64 * 1024);
	struct net_request request = {
		.method = "GET",
		.bearer = secret_copy(&w->bearer),
		.timeout_ms = GOOGLE_TIMEOUT_MS,
		.max_reply_bytes = LIMIT_GOOGLE_PAGE_BYTES,
	};

	address(w, &url, &request);
	if (buf_failed(&url) || buf_failed(&request.body)) {
		secret_drop(&request.bearer);
		buf_drop(&request.body);
		give_up_because(
			w, WALK_PARK, "Google's page token is longer than an address can be");
		return;
	}
	request.url = buf_text(&url);
	w->calls++;
	w->asked_mono_ms = clock_mono_ms();
	net_send(rf->parts.net, &request, take_reply, w);
}

/* Worker, inside tokens_obtain's answer. */
static void take_token(void *arg, const struct token_result *result)
{
	struct walk *w = arg;
	char why[200];

	secret_drop(&w->bearer);
	switch (result->outcome) {
	case TOKEN_READY:
		w->bearer = secret_from(result->view->access_token, result->view->access_token_len);
		send(w);
		return;
	case TOKEN_UNAVAILABLE:
		snprintf(why, sizeof(why), "no token could be had: %.*s",
			google_words_fit(result->reason, 150), result->reason);
		try_later(w, result->retry_after_ms, why);
		return;
	case TOKEN_UNKNOWN:
		end_job(w, "this branch is not registered any more");
		return;
	case TOKEN_PENDING:
	case TOKEN_NEEDS_RECONNECT:
	case TOKEN_INACTIVE:
	case TOKEN_REVOKED:
		break;
	}
	snprintf(why, sizeof(why), "%.*s; reconnect this branch, then start a new job",
		google_words_fit(result->reason, 130), result->reason);
	end_job(w, why);
}

static void ask_token(struct walk *w)
{
	struct job *j = w->job;
	bool goes_on;

	pthread_mutex_lock(&j->rf->lock);
	goes_on = job_may_ask(j);
	pthread_mutex_unlock(&j->rf->lock);
	if (!goes_on) {
		leave(w);
		return;
	}
	if (!j->branch_id) {
		secret_drop(&w->bearer);
		w->bearer = secret_copy(&j->token);
		send(w);
		return;
	}
	tokens_obtain(j->rf->parts.token_management, j->branch_id, GOOGLE_TIMEOUT_MS, false,
		take_token, w);
}

void walk_ask(struct walk *w)
{
	struct job *j = w->job;
	struct review_fetcher *rf = j->rf;
	int64_t now_ms = clock_mono_ms(), wait_ms;

	/* Batches that are never answered are not worth their calls. */
	if (w->kind == WALK_BATCH && !j->batches_answered &&
		j->batches_refused >= BATCHES_REFUSED_MOST) {
		give_up_because(w, WALK_PARK_NOT, "Google answers no batches");
		return;
	}
	w->step = ask_token;
	w->task.run = run_step;
	pthread_mutex_lock(&rf->lock);
	/* Under the lock, so that whoever ends the job finds all that sit. */
	if (!job_may_ask(j)) {
		pthread_mutex_unlock(&rf->lock);
		leave(w);
		return;
	}
	wait_ms = gate_wait_ms(walk_gate(w), now_ms);
	j->refs++; /* from here on the walk may go its way, and end the job with it */
	if (w->kind == WALK_ONE)
		gate_join_ahead(walk_gate(w), &w->seat, &w->task, now_ms);
	else
		gate_join(walk_gate(w), w, now_ms);
	pthread_mutex_unlock(&rf->lock);
	if (wait_ms > WAIT_SHOWN_MS)
		job_show_waiting(j);
	job_unref(j);
}
