/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/due.h"

#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "token_management/due_rows.h"
#include "token_management/grant.h"
#include "token_management/internal.h"
#include "token_management/provider_metrics.h"

#define HORIZON_MS 60000  /* how far a window reaches; also how long a tick sleeps at most */
#define READ_LEAST_MS 250 /* between two readings of a window */
#define ADOPT_EVERY_MS (60 * 60 * 1000)
#define SPREAD_LEAST_MS 60000
#define APP_SPREAD_MS (2 * 60 * 1000)
#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)
#define IDLE_MOST_MS (30 * DAY_MS) /* Google lets a grant die after six months of disuse */
#define IDLE_SPREAD_MS (3 * DAY_MS)
#define FAILED_LEAST_MS 30000
#define FAILED_MOST_MS (15 * 60 * 1000)
#define RETRY_AFTER_MOST_MS (60 * 60 * 1000)
#define NEVER_MS INT64_MAX

/* ---- when ---- */

/* In [0, spread). */
static int64_t jitter_ms(int64_t client_row, int64_t spread_ms)
{
	uint64_t hash = hash_stable(&client_row, sizeof(client_row)) >> 32;

	return spread_ms > 0 ? (int64_t)((hash * (uint64_t)spread_ms) >> 32) : 0;
}

int64_t due_after_success(
	const struct settings *s, int64_t client_row, int64_t expires_at_ms, int64_t lifetime_ms)
{
	int64_t margin = token_margin_ms(s, lifetime_ms);
	int64_t spread = margin > SPREAD_LEAST_MS ? margin : SPREAD_LEAST_MS;

	if (!s->token_background_refresh)
		return clock_wall_ms() + IDLE_MOST_MS - jitter_ms(client_row, IDLE_SPREAD_MS);
	if (spread > lifetime_ms / 4)
		spread = lifetime_ms / 4;
	return expires_at_ms - margin - jitter_ms(client_row, spread);
}

int64_t due_after_failure(const struct settings *s, const struct grant *g, int64_t wait_ms)
{
	int64_t least =
		g->lifetime_ms / 16 < FAILED_LEAST_MS ? g->lifetime_ms / 16 : FAILED_LEAST_MS;
	int64_t times = g->failures < 10 ? g->failures : 10;
	int64_t wait = (least > 1000 ? least : 1000) << times;
	int64_t at;

	if (wait > FAILED_MOST_MS)
		wait = FAILED_MOST_MS;
	wait += jitter_ms(g->client_row, wait / 2);
	at = clock_wall_ms() + (wait > wait_ms ? wait : wait_ms);
	/* Nobody asked for more than the yearly exercise: a failed read does not make it urgent. */
	return !s->token_background_refresh && g->next_refresh_at_ms > at ? g->next_refresh_at_ms
									  : at;
}

/* ---- waking ---- */

static void step_tick(struct work *w);

struct due_tick {
	struct work work;
	struct due *due;
};

/* One tick at a time; what happens during one makes it look again. Any thread, without the lock. */
static void kick(struct due *d)
{
	struct due_tick *t;
	bool begins;

	pthread_mutex_lock(&d->lock);
	begins = d->is_started && !d->is_ticking;
	d->again = d->is_ticking;
	d->is_ticking = d->is_ticking || begins;
	pthread_mutex_unlock(&d->lock);
	if (!begins)
		return;
	t = mem_alloc(sizeof(*t));
	t->due = d;
	atomic_store(&t->work.is_behind, true);
	if (work_begin_unless_stopping(d->tm, &t->work))
		work_submit(&t->work, step_tick);
	else
		mem_free(t);
}

static void on_timer(struct timer *timer)
{
	kick(CONTAINER_OF(timer, struct due, timer));
}

/* False: something came up meanwhile, look again. */
static bool sleep_for(struct due *d, int64_t wait_ms)
{
	bool sleeps;

	pthread_mutex_lock(&d->lock);
	sleeps = !d->again || work_is_stopping(d->tm);
	d->again = false;
	if (sleeps) {
		d->is_ticking = false;
		d->wake_wall_ms = clock_wall_ms() + wait_ms;
		if (!work_is_stopping(d->tm))
			scheduler_arm(d->tm->scheduler, &d->timer, clock_mono_ms() + wait_ms);
	}
	pthread_mutex_unlock(&d->lock);
	return sleeps;
}

/* ---- the window ---- */

static void drop_window(struct due *d)
{
	for (; d->next_row < d->n_rows; d->next_row++)
		due_row_done(&d->rows[d->next_row]);
	d->next_row = d->n_rows = 0;
}

static bool is_in_flight(struct due *d, int64_t client_row)
{
	bool is_there;

	pthread_mutex_lock(&d->lock);
	is_there = map_get(&d->in_flight, &client_row, sizeof(client_row)) != NULL;
	pthread_mutex_unlock(&d->lock);
	return is_there;
}

/* Keeps what can be started; what cannot be refreshed at all is not due until it is made so. */
static int sift(struct due *d, size_t n, struct fault *f)
{
	struct due_move moves[DUE_MOVES_MOST];
	size_t n_moves = 0;
	int outcome = 0;

	for (size_t i = 0; i < n; i++) {
		struct due_row *r = &d->rows[i];

		if (!r->can_refresh)
			moves[n_moves++] =
				(struct due_move){.client_row = r->client_row, .from_ms = r->at_ms};
		if (r->can_refresh && !is_in_flight(d, r->client_row))
			d->rows[d->n_rows++] = *r;
		else
			due_row_done(r);
		if (n_moves == ARRAY_LEN(moves)) {
			outcome |= due_rows_move(d->tm, moves, n_moves, f);
			n_moves = 0;
		}
	}
	return outcome | due_rows_move(d->tm, moves, n_moves, f);
}

static int read_window(struct due *d, struct fault *f)
{
	int64_t now = clock_wall_ms();
	size_t n;

	drop_window(d);
	pthread_mutex_lock(&d->lock);
	d->earlier_wall_ms = NEVER_MS;
	d->window_end_wall_ms = now + HORIZON_MS;
	pthread_mutex_unlock(&d->lock);
	d->read_mono_ms = clock_mono_ms();
	if (due_rows_read(d->tm, d->provider, now + HORIZON_MS, DUE_WINDOW_MOST, d->rows, &n, f) <
		0)
		return -1;
	d->window_is_full = n == DUE_WINDOW_MOST;
	if (d->window_is_full) {
		pthread_mutex_lock(&d->lock);
		d->window_end_wall_ms = d->rows[n - 1].at_ms;
		pthread_mutex_unlock(&d->lock);
	}
	return sift(d, n, f);
}

/* Rows without a due time get one: once at the start, and seldom after that. */
static int adopt(struct due *d, struct fault *f)
{
	struct token_management *tm = d->tm;
	int outcome = 0;

	if (clock_mono_ms() < d->adopt_mono_ms)
		return 0;
	if (d->adopt_mono_ms == 0 && tm->settings->token_background_refresh &&
		due_rows_forget_far(tm, d->provider, f) < 0)
		return -1;
	for (int64_t after = 0; outcome == 0 && !work_is_stopping(tm);)
		outcome = due_rows_adopt(tm, d->provider, &after, f);
	d->adopt_mono_ms = clock_mono_ms() + ADOPT_EVERY_MS;
	return outcome < 0 ? -1 : 0;
}

/* ---- starting ---- */

struct run {
	struct due *due;
	int64_t client_row;
	char app_id[];
};

static void on_end(void *arg, const struct token_result *result)
{
	struct run *run = arg;
	struct due *d = run->due;
	bool wakes;

	(void)result;
	pthread_mutex_lock(&d->lock);
	map_remove(&d->in_flight, &run->client_row, sizeof(run->client_row));
	due_apps_probed(&d->apps, run->app_id);
	metric_set(&d->metrics->background_running, (int64_t)d->in_flight.count);
	wakes = d->wants_place;
	d->wants_place = false;
	pthread_mutex_unlock(&d->lock);
	if (wakes)
		kick(d);
	mem_free(run);
}

static void start_row(struct due *d, const struct due_row *r)
{
	size_t len = strlen(r->app_id) + 1;
	struct run *run = mem_alloc(sizeof(*run) + len);

	run->due = d;
	run->client_row = r->client_row;
	memcpy(run->app_id, r->app_id, len);
	pthread_mutex_lock(&d->lock);
	due_gate_start(&d->gate);
	map_put(&d->in_flight, &r->client_row, sizeof(r->client_row), run);
	metric_set(&d->metrics->background_running, (int64_t)d->in_flight.count);
	pthread_mutex_unlock(&d->lock);
	metric_add(&d->metrics->background_started, 1);
	slots_obtain_due(d->tm, r->branch_id, on_end, run);
}

struct tick {
	struct due_move moves[DUE_MOVES_MOST];
	size_t n_moves;
};

/* Milliseconds until something can be done; 0: go on. */
static int64_t start_next(struct due *d, struct tick *t)
{
	struct due_row *r = &d->rows[d->next_row];
	int64_t wait, app_wait = 0, now = clock_wall_ms();

	if (r->at_ms > now)
		return r->at_ms - now;
	pthread_mutex_lock(&d->lock);
	wait = due_gate_wait_ms(&d->gate, (int64_t)d->in_flight.count, clock_mono_ms());
	d->wants_place = wait < 0;
	if (wait == 0)
		app_wait = due_apps_wait_ms(&d->apps, r->app_id, clock_mono_ms());
	pthread_mutex_unlock(&d->lock);
	if (wait != 0)
		return wait < 0 ? HORIZON_MS : wait;
	if (app_wait == 0) {
		start_row(d, r);
	} else {
		t->moves[t->n_moves++] = (struct due_move){
			.client_row = r->client_row,
			.from_ms = r->at_ms,
			.to_ms = now + app_wait + jitter_ms(r->client_row, APP_SPREAD_MS),
		};
		metric_add(&d->metrics->background_put_off, 1);
	}
	due_row_done(r);
	d->next_row++;
	return 0;
}

/* ---- the tick ---- */

/* Whether the window has to be read, and if not, how long it lasts. */
static bool window_is_over(struct due *d, int64_t *ret_wait_ms)
{
	int64_t now = clock_wall_ms(), until;
	int64_t rest = d->read_mono_ms + READ_LEAST_MS - clock_mono_ms();
	bool is_used = d->next_row == d->n_rows, is_over;

	pthread_mutex_lock(&d->lock);
	until = d->earlier_wall_ms;
	if (is_used && d->window_is_full)
		until = 0;
	else if (is_used && d->window_end_wall_ms < until)
		until = d->window_end_wall_ms;
	pthread_mutex_unlock(&d->lock);
	if (until - now > HORIZON_MS)
		until = now + HORIZON_MS;
	is_over = until <= now && (rest <= 0 || (is_used && d->window_is_full));
	*ret_wait_ms = until > now ? until - now : rest;
	return is_over;
}

static int64_t failed(struct due *d, const struct fault *f)
{
	bool is_known = atomic_exchange(&d->tm->database_fails, true);

	log_event(is_known ? LOG_DEBUG : LOG_ERROR, "due.database_failed", F_FAULT(f));
	return 1000;
}

static int64_t tick(struct due *d, struct tick *t, struct fault *f)
{
	int64_t wait = 0, lasts;

	if (adopt(d, f) < 0)
		return failed(d, f);
	while (wait == 0 && t->n_moves < DUE_MOVES_MOST && !work_is_stopping(d->tm)) {
		if (window_is_over(d, &lasts)) {
			if (read_window(d, f) < 0)
				return failed(d, f);
		} else if (d->next_row == d->n_rows) {
			wait = lasts;
		} else {
			wait = start_next(d, t);
			wait = wait > lasts && lasts > 0 ? lasts : wait;
		}
	}
	if (due_rows_move(d->tm, t->moves, t->n_moves, f) < 0)
		return failed(d, f);
	return wait;
}

static void step_tick(struct work *w)
{
	struct due_tick *own = CONTAINER_OF(w, struct due_tick, work);
	struct due *d = own->due;
	struct tick *t = mem_alloc(sizeof(*t));
	struct fault f = {0};
	int64_t wait;

	do {
		t->n_moves = 0;
		wait = tick(d, t, &f);
	} while (!sleep_for(d, wait));
	mem_free(t);
	work_end(w);
	mem_free(own);
}

/* ---- what others tell ---- */

static bool is_refused(const struct token_response *r)
{
	return r->class == TOKEN_CLASS_MISCONFIGURED &&
	       (strcmp(r->error, "invalid_client") == 0 ||
		       strcmp(r->error, "unauthorized_client") == 0);
}

static void tell(const struct due *d, enum due_news provider, enum due_news app, const char *app_id,
	const struct token_response *r)
{
	if (provider == DUE_SHUT)
		log_event(LOG_WARN, "due.provider_failing", F_STR("provider", d->provider),
			F_STR("reason", r->reason));
	else if (provider == DUE_OPEN)
		log_event(LOG_INFO, "due.provider_answers", F_STR("provider", d->provider));
	if (app == DUE_SHUT)
		log_event(LOG_WARN, "due.app_refused", F_STR("provider", d->provider),
			F_STR("app", app_id), F_STR("reason", r->reason));
	else if (app == DUE_OPEN)
		log_event(LOG_INFO, "due.app_accepted", F_STR("provider", d->provider),
			F_STR("app", app_id));
}

static struct due *due_of(struct token_management *tm, const char *provider)
{
	struct provider_entry *e = providers_entry(tm, provider);

	return e != NULL ? &e->due : NULL;
}

void due_hear_answer(struct token_management *tm, const char *provider_name, const char *app_id,
	const struct token_response *response)
{
	struct due *d = due_of(tm, provider_name);
	bool is_away =
		response->class == TOKEN_CLASS_DOWN || response->class == TOKEN_CLASS_LIMITED;
	int64_t later = response->retry_after_ms < RETRY_AFTER_MOST_MS ? response->retry_after_ms
								       : RETRY_AFTER_MOST_MS;
	enum due_news provider, app = DUE_SAME;

	if (d == NULL)
		return;
	if (app_id == NULL)
		app_id = "";
	pthread_mutex_lock(&d->lock);
	provider = due_gate_hear(&d->gate, is_away, later, clock_mono_ms());
	if (!is_away)
		app = due_apps_hear(&d->apps, app_id, is_refused(response), clock_mono_ms());
	metric_set(&d->metrics->background_failing, d->gate.pauses > 0);
	metric_set(&d->metrics->background_refused, (int64_t)d->apps.failing.count);
	pthread_mutex_unlock(&d->lock);
	tell(d, provider, app, app_id, response);
	if (provider == DUE_OPEN)
		kick(d);
}

void due_hear_next(struct token_management *tm, const char *provider, int64_t next_refresh_at_ms)
{
	struct due *d = due_of(tm, provider);
	bool wakes = false;

	if (d == NULL)
		return;
	pthread_mutex_lock(&d->lock);
	if (next_refresh_at_ms < d->window_end_wall_ms && next_refresh_at_ms < d->earlier_wall_ms) {
		d->earlier_wall_ms = next_refresh_at_ms;
		wakes = next_refresh_at_ms < d->wake_wall_ms;
	}
	pthread_mutex_unlock(&d->lock);
	if (wakes)
		kick(d);
}

void due_hear_now(struct token_management *tm)
{
	for (size_t i = 0; i < tm->providers.n; i++)
		due_hear_next(tm, tm->providers.entries[i].own->p.name, clock_wall_ms());
}

void due_hear_change(struct token_management *tm)
{
	for (size_t i = 0; i < tm->providers.n; i++) {
		struct due *d = &tm->providers.entries[i].due;

		pthread_mutex_lock(&d->lock);
		due_apps_retry(&d->apps);
		pthread_mutex_unlock(&d->lock);
	}
}

/* ---- life ---- */

void due_init(struct due *d, struct token_management *tm, const char *provider)
{
	d->tm = tm;
	d->provider = provider;
	d->metrics = provider_metrics_of(provider);
	pthread_mutex_init(&d->lock, NULL);
	d->timer.fire = on_timer;
	d->earlier_wall_ms = NEVER_MS;
	due_gate_init(&d->gate, tm->settings->token_refresh_concurrency, clock_mono_ms());
}

void token_management_refresh_due(struct token_management *tm)
{
	for (size_t i = 0; i < tm->providers.n; i++) {
		struct due *d = &tm->providers.entries[i].due;

		pthread_mutex_lock(&d->lock);
		d->rows = mem_alloc_array(DUE_WINDOW_MOST, sizeof(*d->rows));
		d->is_started = true;
		pthread_mutex_unlock(&d->lock);
		kick(d);
	}
}

void due_stop(struct token_management *tm)
{
	for (size_t i = 0; i < tm->providers.n; i++) {
		struct due *d = &tm->providers.entries[i].due;
		bool is_started;

		pthread_mutex_lock(&d->lock);
		is_started = d->is_started;
		pthread_mutex_unlock(&d->lock);
		if (is_started)
			scheduler_disarm(tm->scheduler, &d->timer);
	}
}

void due_done(struct due *d)
{
	if (d->rows != NULL)
		drop_window(d);
	mem_free(d->rows);
	map_drop(&d->in_flight);
	due_apps_done(&d->apps);
	pthread_mutex_destroy(&d->lock);
}
