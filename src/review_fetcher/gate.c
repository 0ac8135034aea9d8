/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quota belongs to a Cloud project and is counted per API, so all jobs of a project queue at the
 * same gates. First come, first served is fair among branches, since a job never has more than
 * WALKS_PER_JOB walks: one with 5,000 locations stands in line with as many as one with 3.
 *
 * A start is reserved before it is due and given to whoever is first by then. A pause that comes
 * between makes the reservation void.
 */
#include "review_fetcher/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

static void let_first_pass(struct gate *g)
{
	struct walk *w = g->first;

	g->first = w->gate_next;
	if (!g->first)
		g->last = &g->first;
	g->n_waiting--;
	w->gate_next = NULL;
	w->at_gate = false;
	pool_submit(g->rf->parts.pool, &w->task);
}

static void pump(struct gate *g, int64_t now_ms)
{
	while (g->first && !g->reserved) {
		int64_t wait_ms = net_budget_take(&g->budget, now_ms);

		if (wait_ms > 0) {
			g->reserved = true;
			nap_until(g->rf, &g->nap, &g->task, now_ms + wait_ms);
			return;
		}
		let_first_pass(g);
	}
}

static void use_reservation(struct task *task)
{
	struct gate *g = CONTAINER_OF(task, struct gate, task);
	struct review_fetcher *rf = g->rf;
	int64_t now_ms = clock_mono_ms();

	pthread_mutex_lock(&rf->lock);
	g->reserved = false;
	if (!rf->stopping) {
		if (g->first && g->budget.paused_until_us <= now_ms * 1000)
			let_first_pass(g);
		pump(g, now_ms);
	}
	pthread_mutex_unlock(&rf->lock);
}

struct gate *gate_ref(struct review_fetcher *rf, enum google_api api, const char *project)
{
	char key[sizeof(((struct gate *)NULL)->key)];
	int len = snprintf(key, sizeof(key), "%d:%.150s", (int)api, project);
	struct gate *g = map_get(&rf->gates, key, (size_t)len);

	if (!g) {
		g = mem_alloc(sizeof(*g));
		g->rf = rf;
		g->last = &g->first;
		g->task.run = use_reservation;
		memcpy(g->key, key, sizeof(key));
		/* No burst: Google asks for even pacing, and a minute never sees more than its
		 * share. */
		net_budget_init(&g->budget, rf->parts.settings->google_requests_per_minute, 1);
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
	if (g->refs || g->first || g->reserved || g->throttles || g->budget.next_us > t->now_us ||
		g->budget.paused_until_us > t->now_us)
		return 0;
	t->idle = g;
	return 1;
}

/* A gate that is made anew lets one pass at once, so one that would do so is worth nothing. */
void gates_tidy(struct review_fetcher *rf)
{
	struct tidying t = {.now_us = clock_mono_ms() * 1000};

	while (map_each(&rf->gates, find_idle, &t)) {
		map_remove(&rf->gates, t.idle->key, strlen(t.idle->key));
		mem_free(t.idle);
	}
}

static int free_gate(void *arg, const void *key, size_t len, void *value)
{
	(void)arg;
	(void)key;
	(void)len;
	mem_free(value);
	return 0;
}

void gates_free(struct review_fetcher *rf)
{
	map_each(&rf->gates, free_gate, NULL);
	map_drop(&rf->gates);
}

void gate_join(struct gate *g, struct walk *w, int64_t now_ms)
{
	w->at_gate = true;
	w->gate_next = NULL;
	*g->last = w;
	g->last = &w->gate_next;
	g->n_waiting++;
	pump(g, now_ms);
}

bool gate_leave(struct gate *g, struct walk *w)
{
	struct walk **at = &g->first;

	if (!w->at_gate)
		return false;
	while (*at != w)
		at = &(*at)->gate_next;
	*at = w->gate_next;
	if (g->last == &w->gate_next)
		g->last = at;
	g->n_waiting--;
	w->gate_next = NULL;
	w->at_gate = false;
	return true;
}

int64_t gate_wait_ms(const struct gate *g, int64_t now_ms)
{
	const struct net_budget *b = &g->budget;
	int64_t start_us = b->next_us > b->paused_until_us ? b->next_us : b->paused_until_us;
	int64_t wait_us = start_us > now_ms * 1000 ? start_us - now_ms * 1000 : 0;

	return (wait_us + (int64_t)g->n_waiting * b->interval_us) / 1000;
}

int64_t gate_throttle(struct gate *g, int64_t hint_ms, int64_t now_ms)
{
	int64_t pause_ms = THROTTLE_FLOOR_MS;
	bool paused = g->budget.paused_until_us > now_ms * 1000;

	/* Requests that were under way together are refused together: that is one 429, not several.
	 */
	if (!paused)
		g->throttles++;
	for (unsigned n = 1; n < g->throttles && pause_ms < THROTTLE_MAX_MS; n++)
		pause_ms *= 2;
	if (pause_ms > THROTTLE_MAX_MS)
		pause_ms = THROTTLE_MAX_MS;
	if (hint_ms >= 0)
		pause_ms = hint_ms > 1000 ? hint_ms : 1000;
	if (paused && hint_ms < 0)
		return g->budget.paused_until_us / 1000 - now_ms;
	net_budget_pause(&g->budget, now_ms + pause_ms);
	return pause_ms;
}

void gate_answered(struct gate *g)
{
	g->answered = true;
	g->throttles = 0;
}
