/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quota belongs to a Cloud project and is counted per API, so all jobs of a project queue at the
 * same gates, and all processes take their starts from the same row (budget.c): each a second's
 * worth at most, when somebody waits here, evenly spaced.
 *
 * Branches take turns, each start the next one's: a branch with 5,000 locations gets as many as one
 * with 3, as long as both wait. Ahead of them all go people and push, who also have a reserve.
 */
#include "review_fetcher/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"

#define SHARE_MOST_US 1000000 /* what we take for those who wait … */
#define SHARE_LEAST_US 200000 /* … and at least, so that a large quota costs few transactions */
#define ASK_AGAIN_MS 1000     /* after the database failed */
#define TELL_ANSWER_MS 600000

static const char *const api_keys[GOOGLE_APIS] = {
	[GOOGLE_ACCOUNTS] = "accounts",
	[GOOGLE_LOCATIONS] = "locations",
	[GOOGLE_REVIEWS] = "reviews",
	[GOOGLE_NOTIFICATIONS] = "notifications",
};

const char *gate_api_key(enum google_api api)
{
	return api_keys[api];
}

/* ---- who waits ---- */

static void sit(struct seats *s, struct seat *seat, struct task *task)
{
	*seat = (struct seat){.task = task, .line = seat->line, .on = true};
	if (!s->first)
		s->last = &s->first;
	*s->last = seat;
	s->last = &seat->next;
}

static bool rise(struct seats *s, struct seat *seat)
{
	struct seat **at = &s->first;

	while (*at && *at != seat)
		at = &(*at)->next;
	if (!*at)
		return false;
	*at = seat->next;
	if (s->last == &seat->next)
		s->last = at;
	*seat = (struct seat){0};
	return true;
}

static struct line *line_of(struct gate *g, const char *key)
{
	size_t len = strlen(key);
	struct line *l = map_get(&g->lines, key, len);

	if (l)
		return l;
	l = mem_alloc(sizeof(*l) + len);
	l->key_len = len;
	memcpy(l->key, key, len);
	map_put(&g->lines, key, len, l);
	if (!g->turn) {
		l->next = l->prev = g->turn = l;
		return l;
	}
	/* Behind all others: the turn comes round to it last. */
	l->next = g->turn;
	l->prev = g->turn->prev;
	l->prev->next = l->next->prev = l;
	return l;
}

static void line_end(struct gate *g, struct line *l)
{
	if (l->seats.first)
		return;
	map_remove(&g->lines, l->key, l->key_len);
	l->prev->next = l->next;
	l->next->prev = l->prev;
	if (g->turn == l)
		g->turn = l->next == l ? NULL : l->next;
	mem_free(l);
}

bool gate_leave(struct gate *g, struct seat *seat)
{
	struct line *l = seat->line;

	if (!seat->on)
		return false;
	if (!l) {
		g->n_ahead--;
		return rise(&g->ahead, seat);
	}
	g->n_waiting--;
	rise(&l->seats, seat);
	line_end(g, l);
	return true;
}

static void let_pass(struct gate *g, struct seat *seat)
{
	struct task *task = seat->task;

	if (seat->line)
		g->turn = seat->line->next;
	gate_leave(g, seat);
	pool_submit(g->rf->parts.pool, task);
}

/* ---- starts ---- */

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool has_untold(const struct gate *g)
{
	return g->untold_pause_us > 0 || g->untold_answer || *g->untold_diagnosis;
}

static void ask(struct gate *g)
{
	if (g->asking || g->rf->stopping)
		return;
	g->asking = true;
	pool_submit(g->rf->parts.pool, &g->ask_task);
}

static void wake_at(struct gate *g, int64_t at_us)
{
	if (g->due && !g->nap.on)
		return; /* it is in the pool already */
	g->due = true;
	nap_until(g->rf, &g->nap, &g->task, (at_us + 999) / 1000);
}

/* Whether a start is there for whoever is next. *ret_wait_us: else when, or -1: none is ours. */
static bool may_pass(struct gate *g, int64_t now_us, int64_t *ret_wait_us)
{
	int64_t reserve_us = g->n_ahead ? net_share_take(&g->reserve, now_us) : -1;
	int64_t work_us = reserve_us == 0 ? 0 : net_share_take(&g->work, now_us);

	*ret_wait_us =
		work_us < 0 || (reserve_us > 0 && reserve_us < work_us) ? reserve_us : work_us;
	return work_us == 0;
}

static bool lacks_starts(const struct gate *g)
{
	return g->work.n == 0 || (g->n_ahead && g->paces.has_reserve && g->reserve.n == 0);
}

/*
 * Lets pass who may; for the others there is a nap until the next start that is ours, or the rows
 * are asked for more.
 */
static void pump(struct gate *g, int64_t now_ms)
{
	int64_t now_us = now_ms * 1000, wait_us = g->paused_until_us - now_us;
	bool paused = wait_us > 0;

	if (has_untold(g) && !g->store_fails)
		ask(g);
	while (!paused && g->n_ahead + g->n_waiting > 0 && may_pass(g, now_us, &wait_us))
		let_pass(g, g->n_ahead ? g->ahead.first : g->turn->seats.first);
	if (g->n_ahead + g->n_waiting == 0)
		return;
	if (wait_us > 0)
		wake_at(g, now_us + wait_us);
	if (!paused && !g->store_fails && lacks_starts(g))
		ask(g);
}

static void use_starts(struct task *task)
{
	struct gate *g = CONTAINER_OF(task, struct gate, task);
	struct review_fetcher *rf = g->rf;

	pthread_mutex_lock(&rf->lock);
	g->due = g->store_fails = false;
	if (!rf->stopping)
		pump(g, clock_mono_ms());
	pthread_mutex_unlock(&rf->lock);
}

/* ---- the rows ---- */

struct telling {
	struct budget_ask ask;
	char diagnosis[sizeof(((struct gate *)NULL)->untold_diagnosis)];
};

/* How many starts to take for so many who wait. */
static int64_t share_size(const struct net_pace *pace, int64_t n_waiting)
{
	int64_t most = SHARE_MOST_US / pace->interval_us + 1;
	int64_t floor = SHARE_LEAST_US / pace->interval_us + 1;

	if (n_waiting == 0)
		return 0;
	return n_waiting < floor ? floor : least(n_waiting, most);
}

static void begin_telling(struct gate *g, struct telling *t, int64_t now_ms)
{
	struct budget_ask *a = &t->ask;

	*t = (struct telling){.ask = {.project = g->project,
				      .api = api_keys[g->api],
				      .paces = g->paces,
				      .pause_us = g->untold_pause_us,
				      .answered = g->untold_answer}};
	memcpy(t->diagnosis, g->untold_diagnosis, sizeof(t->diagnosis));
	if (*t->diagnosis)
		a->diagnosis = t->diagnosis;
	g->untold_pause_us = 0;
	g->untold_answer = false;
	*g->untold_diagnosis = '\0';
	if (g->paused_until_us > now_ms * 1000)
		return;
	if (g->work.n == 0)
		a->n_work = share_size(&g->paces.work, g->n_waiting + g->n_ahead);
	if (g->reserve.n == 0 && g->n_ahead && g->paces.has_reserve)
		a->n_reserve = 1;
}

/* What was given, on our clock. Latency makes it later, never earlier, and by less than the slack.
 */
static void take_in(struct gate *g, const struct budget_ask *a, int64_t now_ms)
{
	int64_t ours_us = now_ms * 1000 - a->now_us;

	g->throttles = a->throttles;
	g->answered = a->answered_lately;
	if (a->paused) {
		g->paused_until_us = a->paused_until_us + ours_us;
		return;
	}
	if (a->n_work > 0)
		g->work = (struct net_share){
			a->work_first_us + ours_us, g->paces.work.interval_us, a->n_work};
	if (a->n_reserve > 0)
		g->reserve = (struct net_share){
			a->reserve_first_us + ours_us, g->paces.reserve.interval_us, a->n_reserve};
}

/* The database failed: what was to be said is said the next time. */
static void keep_untold(struct gate *g, const struct telling *t)
{
	if (g->untold_pause_us < t->ask.pause_us)
		g->untold_pause_us = t->ask.pause_us;
	g->untold_answer |= t->ask.answered;
	if (!*g->untold_diagnosis)
		memcpy(g->untold_diagnosis, t->diagnosis, sizeof(t->diagnosis));
}

static void run_ask(struct task *task)
{
	struct gate *g = CONTAINER_OF(task, struct gate, ask_task);
	struct review_fetcher *rf = g->rf;
	struct telling t;
	struct fault f = {0};
	int64_t now_ms;

	pthread_mutex_lock(&rf->lock);
	begin_telling(g, &t, clock_mono_ms());
	pthread_mutex_unlock(&rf->lock);
	if (store_transact(rf->parts.store, budget_settle, &t.ask, &f) < 0)
		log_event(LOG_WARN, "google.budget_failed", F_STR("api", api_keys[g->api]),
			F_FAULT(&f));
	now_ms = clock_mono_ms();
	pthread_mutex_lock(&rf->lock);
	g->asking = false;
	if (f.kind != FAULT_NONE) {
		keep_untold(g, &t);
		g->store_fails = true;
		if (!rf->stopping)
			wake_at(g, (now_ms + ASK_AGAIN_MS) * 1000);
	} else {
		take_in(g, &t.ask, now_ms);
		if (!rf->stopping)
			pump(g, now_ms);
	}
	pthread_mutex_unlock(&rf->lock);
	/* Whether Google told us or another process. */
	if (t.ask.paused)
		jobs_show_waiting(rf);
}

/* ---- life ---- */

struct gate *gate_ref(struct review_fetcher *rf, enum google_api api, const char *project)
{
	char key[sizeof(((struct gate *)NULL)->key)];
	int len = snprintf(key, sizeof(key), "%d:%.150s", (int)api, project);
	struct gate *g = map_get(&rf->gates, key, (size_t)len);

	if (!g) {
		g = mem_alloc(sizeof(*g));
		g->rf = rf;
		g->api = api;
		g->project = mem_text(key + 2);
		g->paces = budget_paces(rf->parts.settings->google_requests_per_minute);
		g->paused_until_us = g->told_answer_ms = INT64_MIN / 2;
		g->task.run = use_starts;
		g->ask_task.run = run_ask;
		memcpy(g->key, key, sizeof(key));
		map_put(&rf->gates, g->key, (size_t)len, g);
	}
	g->refs++;
	return g;
}

void gate_unref(struct gate *g)
{
	if (g)
		g->refs--;
}

static void gate_free(void *gate)
{
	struct gate *g = gate;

	while (g->turn) {
		struct line *l = g->turn;

		l->seats.first = NULL;
		line_end(g, l);
	}
	map_drop(&g->lines);
	mem_free(g->project);
	mem_free(g);
}

struct tidying {
	int64_t now_us;
	struct gate *idle;
};

static int find_idle(void *arg, const void *key, size_t len, void *value)
{
	struct tidying *t = arg;
	struct gate *g = value;

	(void)key;
	(void)len;
	if (g->refs || g->n_ahead || g->n_waiting || g->due || g->asking || has_untold(g) ||
		g->paused_until_us > t->now_us)
		return 0;
	t->idle = g;
	return 1;
}

/* The rows remember: one that is made anew knows as much. */
void gates_tidy(struct review_fetcher *rf)
{
	struct tidying t = {.now_us = clock_mono_ms() * 1000};

	while (map_each(&rf->gates, find_idle, &t)) {
		map_remove(&rf->gates, t.idle->key, strlen(t.idle->key));
		gate_free(t.idle);
		t.idle = NULL;
	}
}

void gates_free(struct review_fetcher *rf)
{
	map_drop_all(&rf->gates, gate_free);
}

/* ---- what walks and people do ---- */

void gate_join(struct gate *g, struct walk *w, int64_t now_ms)
{
	const struct job *j = w->job;

	w->seat.line = line_of(g, j->branch_id ? j->branch_id : j->id);
	sit(&w->seat.line->seats, &w->seat, &w->task);
	g->n_waiting++;
	pump(g, now_ms);
}

void gate_join_ahead(struct gate *g, struct seat *seat, struct task *task, int64_t now_ms)
{
	seat->line = NULL;
	sit(&g->ahead, seat, task);
	g->n_ahead++;
	pump(g, now_ms);
}

int64_t gate_wait_ms(const struct gate *g, int64_t now_ms)
{
	int64_t start_us = now_ms * 1000, wait_us;

	if (g->work.n > 0 && g->work.next_us > start_us)
		start_us = g->work.next_us;
	if (g->paused_until_us > start_us)
		start_us = g->paused_until_us;
	wait_us = start_us - now_ms * 1000;
	return (wait_us + (int64_t)(g->n_waiting + g->n_ahead) * g->paces.work.interval_us) / 1000;
}

int64_t gate_throttle(struct gate *g, int64_t hint_ms, int64_t now_ms)
{
	int64_t pause_ms = THROTTLE_FLOOR_MS, until_us;
	bool paused = g->paused_until_us > now_ms * 1000;

	/* Requests that were under way together are refused together: that is one 429, not several.
	 */
	if (!paused)
		g->throttles++;
	for (int64_t n = 1; n < g->throttles && pause_ms < THROTTLE_MAX_MS; n++)
		pause_ms *= 2;
	pause_ms = least(pause_ms, THROTTLE_MAX_MS);
	if (hint_ms >= 0)
		pause_ms = least(hint_ms > 1000 ? hint_ms : 1000, THROTTLE_HINT_MAX_MS);
	if (paused && hint_ms < 0)
		return g->paused_until_us / 1000 - now_ms;
	until_us = (now_ms + pause_ms) * 1000;
	if (until_us > g->paused_until_us)
		g->paused_until_us = until_us;
	g->work.n = g->reserve.n = 0;
	if (g->untold_pause_us < pause_ms * 1000)
		g->untold_pause_us = pause_ms * 1000;
	pump(g, now_ms);
	return pause_ms;
}

void gate_answered(struct gate *g, int64_t now_ms)
{
	bool news = g->throttles > 0 || g->told_answer_ms < now_ms - TELL_ANSWER_MS;

	g->answered = true;
	g->throttles = 0;
	if (!news)
		return;
	g->told_answer_ms = now_ms;
	g->untold_answer = true;
	pump(g, now_ms);
}

void gate_diagnose(struct gate *g, const char *why)
{
	snprintf(g->untold_diagnosis, sizeof(g->untold_diagnosis), "%.*s",
		google_words_fit(why, sizeof(g->untold_diagnosis) - 1), why);
	g->told_answer_ms = INT64_MIN / 2; /* the next answer is news again */
	pump(g, clock_mono_ms());
}
