/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reply on its way: rows → gate (ahead of all scheduled work, out of the reserve) → token →
 * Google, twice: the change, and then the review as Google shows it, since an answer of 200 is no
 * proof of what it shows. When it cannot be read, Google's answer to the change is what we know.
 *
 * Where it is not known whether Google did it (no answer came, or a 5xx; or a process died over the
 * same key) the review is looked at: it shows our reply, so all is done; it shows what our row has,
 * so nothing was done; or somebody else's reply, over which nobody may write unasked.
 *
 * Nobody waits for long: what does not get its start within WAIT_MOST_MS is refused with the time
 * to ask again.
 */
#include "review_fetcher/replies.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

#define WAIT_MOST_MS 20000
#define RETRY_MS 5000
#define ANSWER_MAX (1024 * 1024)

static void ask(struct reply *x);

/* ---- life ---- */

static void unref(struct reply *x)
{
	struct review_fetcher *rf = x->rf;
	bool last;

	pthread_mutex_lock(&rf->lock);
	last = --x->refs == 0;
	if (last) {
		if (x->prev)
			x->prev->next = x->next;
		else
			rf->replies = x->next;
		if (x->next)
			x->next->prev = x->prev;
		if (x->gate)
			gate_unref(x->gate);
	}
	pthread_mutex_unlock(&rf->lock);
	if (!last)
		return;
	secret_drop(&x->bearer);
	buf_drop(&x->answer.body);
	buf_drop(&x->changed);
	buf_drop(&x->shown);
	mem_free(x->comment);
	mem_free(x->key);
	mem_free(x->actor);
	mem_free(x->branch_id);
	mem_free(x->account_id);
	mem_free(x->location_id);
	mem_free(x->review_id);
	mem_free(x->known);
	mem_free(x);
}

static void finish(struct reply *x)
{
	const struct reply_result r = {
		.review = buf_text(&x->shown), .len = x->shown.len, .replayed = x->replayed};

	x->done(x->arg, &r);
	unref(x);
}

static void fail(struct reply *x, const struct fault *f)
{
	const struct reply_result r = {.fault = f, .status = x->status};

	reply_release(x);
	x->done(x->arg, &r);
	unref(x);
}

static void fail_with(struct reply *x, enum fault_kind kind, uint32_t retry_ms, const char *why)
{
	struct fault f = {0};

	(void)fault_raise(&f, kind, "%s", why);
	f.retry_after_ms = retry_ms;
	fail(x, &f);
}

/* ---- what Google says ---- */

static void store(struct reply *x, const char *bytes, size_t len)
{
	struct fault f = {0};

	if (reply_store(x, bytes, len, &f) == 0) {
		finish(x);
		return;
	}
	if (bytes && f.kind == FAULT_UPSTREAM) { /* not a review: what the change said, then */
		store(x, NULL, 0);
		return;
	}
	fail(x, &f);
}

static void gate_told(struct reply *x, const struct google_error *e, int64_t *ret_pause_ms)
{
	struct review_fetcher *rf = x->rf;
	int64_t hint_ms = x->answer.retry_after_ms;

	pthread_mutex_lock(&rf->lock);
	if (!e)
		gate_answered(x->gate, clock_mono_ms());
	else if (e->class == GOOGLE_PROJECT_REFUSED)
		gate_diagnose(x->gate, e->text);
	else
		*ret_pause_ms = gate_throttle(
			x->gate, hint_ms >= 0 ? hint_ms : e->retry_after_ms, clock_mono_ms());
	pthread_mutex_unlock(&rf->lock);
}

static void heed(struct reply *x, const struct google_error *e)
{
	int64_t pause_ms = 0;

	switch (e->class) {
	case GOOGLE_THROTTLED:
		gate_told(x, e, &pause_ms);
		fail_with(x, FAULT_THROTTLED, (uint32_t)pause_ms, e->text);
		return;
	case GOOGLE_PROJECT_REFUSED:
		gate_told(x, e, &pause_ms);
		fail_with(x, FAULT_UPSTREAM, 0, e->text);
		return;
	case GOOGLE_TOKEN_REFUSED:
		if (x->token_tried) {
			fail_with(x, FAULT_CONFLICT, 0,
				"Google refuses this branch's tokens: connect it again");
			return;
		}
		x->token_tried = true;
		tokens_reject(x->rf->parts.token_management, x->branch_id, x->bearer.bytes,
			x->bearer.len);
		ask(x);
		return;
	case GOOGLE_TRANSIENT:
		fail_with(x, FAULT_UPSTREAM, RETRY_MS, e->text);
		return;
	case GOOGLE_TENANT_REFUSED:
	case GOOGLE_RESOURCE_REFUSED:
	case GOOGLE_STALE_PAGE:
	case GOOGLE_BUG:
		break;
	}
	if (x->answer.status == 404 || x->answer.status == 410) {
		fail_with(x, FAULT_MISSING, 0, "Google has no such review any more");
		return;
	}
	x->status = x->answer.status == 403 ? 403 : 409;
	fail_with(x, FAULT_CONFLICT, 0, e->text);
}

/* It may be done or not. */
static void look_because(struct reply *x, const char *why)
{
	snprintf(x->why, sizeof(x->why), "%.*s", google_words_fit(why, sizeof(x->why) - 1), why);
	x->step = REPLY_LOOK;
	ask(x);
}

static void read_refusal(struct reply *x)
{
	struct google_error e;

	google_error_read(GOOGLE_REVIEWS, x->answer.status, buf_text(&x->answer.body),
		x->answer.body.len, false, &e);
	log_event(LOG_INFO, "reply.refused", F_INT("review", x->review),
		F_INT("status", x->answer.status), F_STR("class", google_class_name(e.class)),
		F_STR("reason", e.reason));
	/* Nothing to take away? The review shows it. */
	if (x->step == REPLY_CHANGE && !x->comment && x->answer.status == 404) {
		x->step = REPLY_READ;
		ask(x);
	} else if (x->is_changed && (e.class != GOOGLE_TOKEN_REFUSED || x->token_tried)) {
		store(x, NULL, 0);
	} else if (x->step == REPLY_CHANGE && e.class == GOOGLE_TRANSIENT) {
		look_because(x, e.text);
	} else {
		x->is_uncertain = x->is_uncertain && x->step != REPLY_CHANGE;
		heed(x, &e);
	}
}

/* No answer came. */
static void read_silence(struct reply *x)
{
	const enum net_result result = x->answer.result;

	if (x->is_changed) {
		store(x, NULL, 0);
	} else if (x->step == REPLY_CHANGE && (result == NET_BROKEN || result == NET_TOO_LARGE)) {
		look_because(x, x->answer.error);
	} else {
		if (x->step == REPLY_CHANGE && result == NET_UNREACHABLE)
			x->is_uncertain = false;
		fail_with(x, FAULT_UPSTREAM, RETRY_MS, x->answer.error);
	}
}

/* ---- the look ---- */

enum shown { SHOWN_DONE, SHOWN_AS_BEFORE, SHOWN_OTHER };
static const char *const shown_words[] = {"done", "as_before", "other"};

/* Google cuts blanks at the ends. */
static bool is_same_text(const char *a, const char *b)
{
	static const char blanks[] = " \t\r\n";
	size_t len_a, len_b;

	if (!a || !b)
		return a == b;
	a += strspn(a, blanks);
	b += strspn(b, blanks);
	for (len_a = strlen(a); len_a > 0 && strchr(blanks, a[len_a - 1]);)
		len_a--;
	for (len_b = strlen(b); len_b > 0 && strchr(blanks, b[len_b - 1]);)
		len_b--;
	return len_a == len_b && memcmp(a, b, len_a) == 0;
}

/* An enum shown, or -1. */
static int compare(const struct reply *x, struct fault *f)
{
	const struct buf *body = &x->answer.body;
	struct google_page page;
	const char *reply;
	int shown = SHOWN_OTHER;

	if (google_review_read(buf_text(body), body->len, &page, f) < 0)
		return -1;
	reply = page.reviews[0].has_reply ? page.reviews[0].reply_text : NULL;
	if (page.reviews[0].has_reply && !reply)
		reply = "";
	if (is_same_text(reply, x->comment))
		shown = SHOWN_DONE;
	else if (is_same_text(reply, x->known))
		shown = SHOWN_AS_BEFORE;
	google_page_done(&page);
	return shown;
}

static void read_look(struct reply *x)
{
	struct fault f = {0};
	const int shown = compare(x, &f);

	if (shown >= 0)
		log_event(LOG_INFO, "reply.looked", F_INT("review", x->review),
			F_STR("shown", shown_words[shown]));
	switch (shown) {
	case SHOWN_DONE:
		store(x, buf_text(&x->answer.body), x->answer.body.len);
		return;
	case SHOWN_AS_BEFORE:
		if (*x->why) { /* it may still come: the next try looks again */
			fail_with(x, FAULT_UPSTREAM, RETRY_MS, x->why);
			return;
		}
		x->step = REPLY_CHANGE;
		ask(x);
		return;
	case SHOWN_OTHER:
		fail_with(x, FAULT_CONFLICT, 0,
			"it is not known what became of this request, and Google shows another "
			"reply now: read the review, and take a new key to replace that");
		return;
	default:
		fail(x, &f);
	}
}

static void read_answer(struct task *task)
{
	struct reply *x = CONTAINER_OF(task, struct reply, task);

	if (x->answer.result != NET_ANSWERED) {
		read_silence(x);
		return;
	}
	if (x->answer.status != 200) {
		read_refusal(x);
		return;
	}
	gate_told(x, NULL, NULL);
	if (x->step == REPLY_READ) {
		store(x, buf_text(&x->answer.body), x->answer.body.len);
		return;
	}
	if (x->step == REPLY_LOOK) {
		read_look(x);
		return;
	}
	x->is_changed = true;
	x->changed = x->answer.body;
	x->answer.body = (struct buf){0};
	x->step = REPLY_READ;
	ask(x);
}

/* Net thread. */
static void take_reply(void *arg, struct net_reply *reply)
{
	struct reply *x = arg;

	buf_drop(&x->answer.body);
	x->answer = *reply;
	reply->body = (struct buf){0};
	x->task.run = read_answer;
	pool_submit(x->rf->parts.pool, &x->task);
}

/* ---- asking ---- */

static void send(struct reply *x)
{
	const bool is_change = x->step == REPLY_CHANGE;
	AUTO(buf_drop) struct buf url = BUF_INIT(LIMIT_URL_BYTES * 4);
	struct net_request request = {
		.method = !is_change   ? "GET"
			  : x->comment ? "PUT"
				       : "DELETE",
		.bearer = secret_copy(&x->bearer),
		.timeout_ms = GOOGLE_TIMEOUT_MS,
		.send_by_mono_ms = is_change ? x->send_by_mono_ms : 0,
		.max_reply_bytes = ANSWER_MAX,
	};

	x->is_uncertain |= is_change;
	google_review_url(&url, x->rf->parts.settings->google_reviews_url, x->account_id,
		x->location_id, x->review_id);
	if (is_change)
		buf_add_text(&url, "/reply");
	if (is_change && x->comment) {
		request.content_type = "application/json";
		request.body = BUF_INIT(8 * REPLY_BYTES_MAX);
		struct json_out o = JSON_OUT(&request.body);
		json_open(&o, '{');
		json_add_text(&o, "comment", x->comment);
		json_close(&o, '}');
	}
	request.url = buf_text(&url);
	net_send(x->rf->parts.net, &request, take_reply, x);
}

/* Worker. */
static void take_token(void *arg, const struct token_result *result)
{
	struct reply *x = arg;

	secret_drop(&x->bearer);
	if (x->step == REPLY_CHANGE && clock_mono_ms() > x->send_by_mono_ms) {
		fail_with(x, FAULT_THROTTLED, RETRY_MS, "it took too long: ask again");
	} else if (result->outcome == TOKEN_READY) {
		x->bearer = secret_from(result->view->access_token, result->view->access_token_len);
		send(x);
	} else if (x->is_changed) {
		store(x, NULL, 0);
	} else if (result->outcome == TOKEN_UNAVAILABLE) {
		fail_with(x, FAULT_UPSTREAM,
			result->retry_after_ms ? result->retry_after_ms : RETRY_MS, result->reason);
	} else {
		fail_with(x, FAULT_CONFLICT, 0, result->reason);
	}
}

/* Its start has come. */
static void begin(struct task *task)
{
	struct reply *x = CONTAINER_OF(task, struct reply, task);
	struct review_fetcher *rf = x->rf;

	pthread_mutex_lock(&rf->lock);
	x->refs -= nap_end(rf, &x->nap);
	pthread_mutex_unlock(&rf->lock);
	tokens_obtain(
		rf->parts.token_management, x->branch_id, GOOGLE_TIMEOUT_MS, false, take_token, x);
}

static void end_waiting(struct reply *x)
{
	if (x->is_changed)
		store(x, NULL, 0);
	else
		fail_with(x, FAULT_THROTTLED, RETRY_MS,
			"Google's quota is used up at the moment: ask again later");
}

/* The wait was too long, unless the start came at the same time. */
static void be_late(struct task *task)
{
	struct reply *x = CONTAINER_OF(task, struct reply, late_task);
	struct review_fetcher *rf = x->rf;
	bool waits;

	pthread_mutex_lock(&rf->lock);
	waits = gate_leave(x->gate, &x->seat);
	pthread_mutex_unlock(&rf->lock);
	if (waits)
		end_waiting(x);
	unref(x);
}

static void ask(struct reply *x)
{
	struct review_fetcher *rf = x->rf;
	const int64_t now_ms = clock_mono_ms();
	bool goes_on;

	x->task.run = begin;
	x->late_task.run = be_late;
	pthread_mutex_lock(&rf->lock);
	goes_on = !rf->stopping && !x->nap.on &&
		  x->gate->paused_until_us / 1000 < now_ms + WAIT_MOST_MS;
	if (goes_on) {
		x->refs++; /* the nap's */
		nap_until(rf, &x->nap, &x->late_task, now_ms + WAIT_MOST_MS);
		gate_join_ahead(x->gate, &x->seat, &x->task, now_ms);
	}
	pthread_mutex_unlock(&rf->lock);
	if (!goes_on)
		end_waiting(x);
}

void replies_stop(struct review_fetcher *rf)
{
	struct reply *x;
	bool seated;

	do {
		seated = false;
		pthread_mutex_lock(&rf->lock);
		for (x = rf->replies; x && !seated; x = seated ? x : x->next) {
			seated = x->gate && gate_leave(x->gate, &x->seat);
			if (seated)
				x->refs -= nap_end(rf, &x->nap);
		}
		pthread_mutex_unlock(&rf->lock);
		if (seated)
			end_waiting(x);
	} while (seated);
}

/* ---- the beginning ---- */

static int choose_branch(struct reply *x, struct reply_branches *b, struct fault *f)
{
	for (size_t i = 0; i < b->n; i++) {
		if (job_check_branch(x->rf, b->branches[i], f) < 0)
			continue;
		x->branch_id = TAKE(b->branches[i]);
		x->account_id = TAKE(b->accounts[i]);
		return 0;
	}
	return -1;
}

static int find_gate(struct reply *x, struct fault *f)
{
	struct client client = {0};

	if (clients_get_by_branch(x->rf->parts.token_management, x->branch_id, &client, f) < 0)
		return -1;
	x->client_id = client.id;
	if (client.client_oauth_id)
		client.client_oauth_id[project_length(client.client_oauth_id)] = '\0';
	pthread_mutex_lock(&x->rf->lock);
	x->gate = gate_ref(
		x->rf, GOOGLE_REVIEWS, client.client_oauth_id ? client.client_oauth_id : "");
	pthread_mutex_unlock(&x->rf->lock);
	client_done(&client);
	return 0;
}

static int prepare(struct reply *x, const struct reply_ask *ask, struct fault *f)
{
	AUTO(reply_branches_done) struct reply_branches branches = {0};

	if (reply_find(x, &ask->scope, &branches, f) < 0 || choose_branch(x, &branches, f) < 0 ||
		find_gate(x, f) < 0)
		return -1;
	return reply_begin(x, ask->who, f);
}

void replies_ask(
	struct review_fetcher *rf, const struct reply_ask *wish, reply_done_fn *done, void *arg)
{
	struct reply *x = mem_alloc(sizeof(*x));
	struct fault f = {0};
	int prepared;

	*x = (struct reply){.rf = rf,
		.review = wish->review,
		.comment = wish->comment ? mem_text(wish->comment) : NULL,
		.key = wish->idempotency_key ? mem_text(wish->idempotency_key) : NULL,
		.actor = mem_text(wish->who->name),
		.refs = 1,
		.shown = BUF_INIT((size_t)LIMIT_RESPONSE_BYTES),
		.done = done,
		.arg = arg};
	pthread_mutex_lock(&rf->lock);
	x->next = rf->replies;
	if (x->next)
		x->next->prev = x;
	rf->replies = x;
	pthread_mutex_unlock(&rf->lock);
	prepared = prepare(x, wish, &f);
	if (prepared < 0) {
		const struct reply_result r = {.fault = &f};

		done(arg, &r); /* the key is not ours: it is not given back */
		unref(x);
	} else if (prepared > 0) {
		x->replayed = true;
		finish(x);
	} else {
		ask(x);
	}
}
