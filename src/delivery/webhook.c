/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/webhook.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/backoff.h"
#include "delivery/parked.h"

#define RETRY_AFTER_LONGEST_MS 3600000
#define GONE_WAIT_MS 60000
#define WINDOW_BYTES ((size_t)16 * 1024 * 1024)

#define FAMILY "review_fetcher_deliveries_total"
#define HELP "Events for which a consumer has answered, by outcome."
struct metric webhook_delivered =
	METRIC_COUNTER(FAMILY, HELP, "consumer=\"webhook\",outcome=\"delivered\"");
struct metric webhook_failed =
	METRIC_COUNTER(FAMILY, HELP, "consumer=\"webhook\",outcome=\"failed\"");
struct metric webhook_parked =
	METRIC_COUNTER(FAMILY, HELP, "consumer=\"webhook\",outcome=\"parked\"");
METRICS_FROM_START(&webhook_delivered, &webhook_failed, &webhook_parked)

/* ---- the receiver as a whole ---- */

static void note_taken(struct webhook *w)
{
	w->n_taken++;
	w->failures = 0;
	w->pause_until_ms = 0;
	atomic_store(&w->is_up, true);
	metric_add(&webhook_delivered, 1);
	if (w->is_away)
		log_event(LOG_INFO, "webhook.works_again");
	w->is_away = false;
}

static const char *cause_of(struct webhook_item *i)
{
	if (i->result == NET_ANSWERED)
		snprintf(i->error, sizeof(i->error), "the receiver answered %ld%s", i->status,
			i->status >= 300 && i->status < 400 ? " (redirects are not followed)" : "");
	return i->error;
}

static void note_failure(struct webhook *w, struct webhook_item *i, int64_t now_ms)
{
	int64_t pause_ms = backoff_delay_ms(w->parts->settings, ++w->failures);

	if (i->retry_after_ms > pause_ms)
		pause_ms = i->retry_after_ms < RETRY_AFTER_LONGEST_MS ? i->retry_after_ms
								      : RETRY_AFTER_LONGEST_MS;
	w->pause_until_ms = now_ms + pause_ms;
	metric_add(&webhook_failed, 1);
	if (w->failures < WEBHOOK_OUTAGE)
		return;
	atomic_store(&w->is_up, false);
	if (!w->is_away)
		log_event(LOG_WARN, "webhook.lost", F_INT("status", i->status),
			F_STR("cause", cause_of(i)));
	w->is_away = true;
}

/* ---- one event ---- */

MUST_CHECK static int park(struct webhook *w, struct webhook_item *i, struct fault *f)
{
	const struct parked p = {.consumer = WEBHOOK_CONSUMER,
		.event_id = i->event_id,
		.kind = i->kind,
		.branch_id = i->branch_id,
		.ref = i->ref,
		.position = i->position,
		.tries = i->tries,
		.status = i->status,
		.error = cause_of(i)};

	if (parked_add(w->parts->store, &p, f) < 0)
		return -1;
	i->state = WEBHOOK_DONE;
	metric_add(&webhook_parked, 1);
	log_event(LOG_ERROR, "webhook.parked", F_STR("event_id", i->event_id),
		F_STR("event_kind", i->kind), F_STR("ref", i->ref), F_INT("tries", i->tries),
		F_INT("status", i->status), F_STR("cause", i->error));
	return 0;
}

/* Refused although others were taken, or nobody was there for too long. */
static bool is_hopeless(const struct webhook *w, const struct webhook_item *i, int64_t now_ms)
{
	const struct settings *s = w->parts->settings;

	return (i->tries >= s->webhook_max_tries && w->n_taken > i->taken_before) ||
	       now_ms - i->first_ms >= s->webhook_give_up_ms;
}

MUST_CHECK static int take_answer(struct webhook *w, struct webhook_item *i, struct fault *f)
{
	const int64_t now_ms = clock_mono_ms();

	if (i->result == NET_ANSWERED && i->status >= 200 && i->status < 300) {
		i->state = WEBHOOK_DONE;
		note_taken(w);
		return 0;
	}
	if (i->result == NET_STOPPED) {
		i->state = WEBHOOK_WAITING;
		i->tries--;
		return 0;
	}
	if (i->result == NET_ANSWERED && i->status == 410) {
		if (!w->is_gone)
			log_event(LOG_ERROR, "webhook.gone");
		w->is_gone = true;
		atomic_store(&w->is_up, false);
	} else {
		note_failure(w, i, now_ms);
	}
	/* Parked when this fails: the next round finds the answer still there. */
	if (!w->is_gone && is_hopeless(w, i, now_ms))
		return park(w, i, f);
	i->state = WEBHOOK_WAITING;
	i->due_ms = now_ms + backoff_delay_ms(w->parts->settings, i->tries);
	return 0;
}

static enum webhook_state state_of(struct webhook *w, const struct webhook_item *i)
{
	enum webhook_state state;

	pthread_mutex_lock(&w->lock);
	state = i->state;
	pthread_mutex_unlock(&w->lock);
	return state;
}

MUST_CHECK static int take_answers(struct webhook *w, struct fault *f)
{
	for (size_t i = 0; i < w->n; i++) {
		if (state_of(w, w->window[i]) == WEBHOOK_ANSWERED &&
			take_answer(w, w->window[i], f) < 0)
			return -1;
	}
	return 0;
}

/* ---- the window ---- */

static int add_item(void *arg, const struct event_row *row, struct fault *f)
{
	struct webhook *w = arg;
	size_t bytes = 0;

	(void)f;
	w->window[w->n++] = webhook_item_new(w, row);
	for (size_t i = 0; i < w->n; i++)
		bytes += w->window[i]->body.len;
	return w->n == WEBHOOK_WINDOW || bytes > WINDOW_BYTES;
}

MUST_CHECK static int fill(struct webhook *w, struct fault *f)
{
	struct events_range range = {.after = w->read_to};

	if (w->n > WEBHOOK_WINDOW / 2)
		return 0;
	if (courier_read(&w->courier, NULL, (int64_t)(WEBHOOK_WINDOW - w->n), &range, add_item, w,
		    f) < 0)
		return -1;
	w->read_to = range.after;
	w->end = range.end;
	return 0;
}

static bool is_free(struct webhook *w, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (state_of(w, w->window[i]) != WEBHOOK_DONE &&
			strcmp(w->window[i]->ref, w->window[at]->ref) == 0)
			return false; /* an older one of the same review comes first */
	}
	return true;
}

static unsigned count_sent(struct webhook *w)
{
	unsigned n;

	pthread_mutex_lock(&w->lock);
	n = w->n_sent;
	pthread_mutex_unlock(&w->lock);
	return n;
}

/* After a failure one at a time asks whether the receiver is well again. Ms until more is due. */
static int64_t send_due(struct webhook *w)
{
	const unsigned together = w->failures > 0 ? 1 : WEBHOOK_TOGETHER;
	const int64_t now_ms = clock_mono_ms();
	int64_t wait_ms = COURIER_POLL_MS;

	if (w->pause_until_ms > now_ms) {
		const int64_t left = w->pause_until_ms - now_ms;

		return left < COURIER_POLL_MS ? left : COURIER_POLL_MS;
	}
	for (size_t i = 0; i < w->n && count_sent(w) < together; i++) {
		struct webhook_item *item = w->window[i];

		if (state_of(w, item) != WEBHOOK_WAITING || !is_free(w, i))
			continue;
		if (item->due_ms <= now_ms)
			webhook_item_send(item);
		else if (item->due_ms - now_ms < wait_ms)
			wait_ms = item->due_ms - now_ms;
	}
	return wait_ms;
}

/* Stores how far it is, then forgets what is done with from the oldest on. */
MUST_CHECK static int move_on(struct webhook *w, struct fault *f)
{
	int64_t position = courier_position(&w->courier);
	size_t n = 0;

	while (n < w->n && state_of(w, w->window[n]) == WEBHOOK_DONE)
		position = w->window[n++]->position;
	if (n == w->n)
		position = w->read_to;
	if (courier_advance(&w->courier, position, f) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		webhook_item_free(w->window[i]);
	memmove(w->window, w->window + n, (w->n - n) * sizeof(w->window[0]));
	w->n -= n;
	return 0;
}

static int64_t work(void *arg, struct fault *f)
{
	struct webhook *w = arg;
	int64_t wait_ms;

	if (take_answers(w, f) < 0 || move_on(w, f) < 0)
		return -1;
	if (w->is_gone)
		return GONE_WAIT_MS / 10;
	if (fill(w, f) < 0)
		return -1;
	if (w->n == 0 && w->read_to < w->end)
		return 0;
	wait_ms = send_due(w);
	return wait_ms;
}

static void drop_window(struct webhook *w)
{
	for (size_t i = 0; i < w->n; i++)
		webhook_item_free(w->window[i]);
	w->n = 0;
}

static void enter(void *arg)
{
	struct webhook *w = arg;

	w->read_to = w->end = courier_position(&w->courier);
}

void webhook_settle(struct webhook *w, int64_t wait_ms)
{
	struct timespec until;

	/* house: allow clock_gettime: a condition's own clock, which no test replaces */
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	pthread_mutex_lock(&w->lock);
	while (w->n_sent > 0 && pthread_cond_timedwait(&w->settled, &w->lock, &until) == 0)
		;
	pthread_mutex_unlock(&w->lock);
}

/* What was under way ends by itself, within its time-out; what was taken meanwhile counts. */
static void leave(void *arg)
{
	struct webhook *w = arg;
	struct fault f;

	while (count_sent(w) > 0)
		webhook_settle(w, 1000);
	if (take_answers(w, &f) < 0 || move_on(w, &f) < 0)
		log_event(LOG_WARN, "delivery.store_failed", F_STR("consumer", WEBHOOK_CONSUMER),
			F_FAULT(&f));
	drop_window(w);
}

const struct courier_ops webhook_ops = {.enter = enter, .work = work, .leave = leave};

int webhook_init(struct webhook *w, const struct delivery_parts *parts, struct fault *f)
{
	pthread_condattr_t attr;

	w->parts = parts;
	w->send = net_send;
	atomic_store(&w->is_up, true);
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->settled, &attr);
	pthread_condattr_destroy(&attr);
	return webhook_read_secrets(&parts->settings->webhook_secret, w->secrets, f);
}

void webhook_done(struct webhook *w)
{
	drop_window(w);
	for (size_t i = 0; i < WEBHOOK_SECRETS; i++)
		secret_drop(&w->secrets[i]);
	pthread_cond_destroy(&w->settled);
	pthread_mutex_destroy(&w->lock);
}
