/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/due_gate.h"

#include <string.h>

#include "base/mem.h"
#include "base/rand.h"

#define STARTS_PER_PLACE 5 /* a second */
#define BURST_PARTS 20     /* of a second's starts at once */
#define LEAST_PAUSE_MS 10  /* between two looks at a spent budget */
#define FAILURES_TO_SHUT 3
#define SHUT_LEAST_MS 1000
#define SHUT_MOST_MS 60000
#define APP_LEAST_MS 30000
#define APP_MOST_MS (15 * 60 * 1000)
#define APPS_MOST 10000
#define DOUBLINGS_MOST 10

static int64_t doubled(int64_t least, int64_t most, int64_t times)
{
	int64_t wait = least << (times < DOUBLINGS_MOST ? times : DOUBLINGS_MOST);

	return wait < most ? wait : most;
}

/* ---- the provider ---- */

void due_gate_init(struct due_gate *g, int64_t cap, int64_t mono_ms)
{
	*g = (struct due_gate){
		.cap = cap, .allowed = cap, .budget_milli = 1000, .counted_mono_ms = mono_ms};
}

/* Starts are paced too: a provider that answers at once must not be asked as fast as it can. */
static void fill_budget(struct due_gate *g, int64_t mono_ms)
{
	int64_t second = g->cap * STARTS_PER_PLACE * 1000;
	int64_t most = second / BURST_PARTS > 1000 ? second / BURST_PARTS : 1000;
	int64_t elapsed = mono_ms - g->counted_mono_ms;

	g->counted_mono_ms = mono_ms;
	if (elapsed > 1000)
		elapsed = 1000;
	g->budget_milli += elapsed > 0 ? elapsed * second / 1000 : 0;
	if (g->budget_milli > most)
		g->budget_milli = most;
}

int64_t due_gate_wait_ms(struct due_gate *g, int64_t n_running, int64_t mono_ms)
{
	int64_t missing;

	if (n_running >= g->allowed)
		return -1;
	if (g->shut_until_mono_ms > mono_ms)
		return g->shut_until_mono_ms - mono_ms;
	fill_budget(g, mono_ms);
	if (g->budget_milli >= 1000)
		return 0;
	missing = (1000 - g->budget_milli) / (g->cap * STARTS_PER_PLACE) + 1;
	return missing > LEAST_PAUSE_MS ? missing : LEAST_PAUSE_MS;
}

void due_gate_start(struct due_gate *g)
{
	g->budget_milli -= 1000;
}

static enum due_news widen(struct due_gate *g)
{
	bool was_shut = g->pauses > 0;

	g->failures = g->pauses = 0;
	g->shut_until_mono_ms = 0;
	if (g->allowed < g->cap)
		g->allowed++;
	return was_shut ? DUE_OPEN : DUE_SAME;
}

enum due_news due_gate_hear(
	struct due_gate *g, bool failed, int64_t retry_after_ms, int64_t mono_ms)
{
	int64_t wait;

	if (!failed)
		return widen(g);
	g->failures++;
	if (g->allowed > 1)
		g->allowed /= 2;
	/* Those that ran when it shut say nothing new. */
	if (g->failures < FAILURES_TO_SHUT || g->shut_until_mono_ms > mono_ms)
		return DUE_SAME;
	g->allowed = 1;
	wait = doubled(SHUT_LEAST_MS, SHUT_MOST_MS, g->pauses);
	wait = wait / 2 + (int64_t)rand_below((uint64_t)wait / 2 + 1);
	g->shut_until_mono_ms = mono_ms + (retry_after_ms > wait ? retry_after_ms : wait);
	return g->pauses++ == 0 ? DUE_SHUT : DUE_SAME;
}

/* ---- the apps ---- */

struct due_app {
	int64_t probe_mono_ms, pauses;
	bool is_probing;
};

void due_apps_done(struct due_apps *a)
{
	map_drop_all(&a->failing, mem_free);
}

int64_t due_apps_wait_ms(struct due_apps *a, const char *app_id, int64_t mono_ms)
{
	struct due_app *g = map_get(&a->failing, app_id, strlen(app_id));

	if (g == NULL)
		return 0;
	if (g->probe_mono_ms > mono_ms)
		return g->probe_mono_ms - mono_ms;
	if (g->is_probing)
		return APP_LEAST_MS;
	g->is_probing = true;
	return 0;
}

void due_apps_probed(struct due_apps *a, const char *app_id)
{
	struct due_app *g = map_get(&a->failing, app_id, strlen(app_id));

	if (g != NULL)
		g->is_probing = false;
}

enum due_news due_apps_hear(struct due_apps *a, const char *app_id, bool refused, int64_t mono_ms)
{
	struct due_app *g = map_get(&a->failing, app_id, strlen(app_id));
	bool is_new = g == NULL;

	if (!refused) {
		mem_free(map_remove(&a->failing, app_id, strlen(app_id)));
		return is_new ? DUE_SAME : DUE_OPEN;
	}
	if (is_new && a->failing.count >= APPS_MOST)
		return DUE_SAME;
	if (is_new) {
		g = mem_alloc(sizeof(*g));
		map_put(&a->failing, app_id, strlen(app_id), g);
	}
	if (g->probe_mono_ms <= mono_ms)
		g->probe_mono_ms = mono_ms + doubled(APP_LEAST_MS, APP_MOST_MS, g->pauses++);
	return is_new ? DUE_SHUT : DUE_SAME;
}

static int retry_each(void *arg, const void *key, size_t len, void *value)
{
	struct due_app *g = value;

	(void)arg;
	(void)key;
	(void)len;
	g->probe_mono_ms = 0;
	return 0;
}

void due_apps_retry(struct due_apps *a)
{
	map_each(&a->failing, retry_each, NULL);
}
