/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The waking. One nap until the next due time, a few seconds at most, since other processes write
 * due times too and connections come and go: the events tell which.
 */
#include "review_fetcher/schedule.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "events/events.h"
#include "review_fetcher/engine.h"
#include "store/store.h"
#include "token_management/token_management.h"

#define LOOK_EVERY_MS 3000
#define LEAST_MS 20
#define BRANCHES_AT_ONCE 20 /* a look; then other work has its turn */
#define REFUSED_WAIT_MS 3600000
#define SPREAD_MOST_MS 3600000
#define WAKES_AT_ONCE 500

struct branches {
	char *list[WAKES_AT_ONCE];
	size_t n;
};

static void branches_add(struct branches *b, const char *branch_id)
{
	for (size_t i = 0; i < b->n; i++) {
		if (text_equal(b->list[i], branch_id))
			return;
	}
	b->list[b->n++] = mem_text(branch_id);
}

static int wake_branches(
	struct review_fetcher *rf, struct branches *b, int64_t spread_ms, struct fault *f)
{
	struct schedule_wake wake = {(const char *const *)b->list, b->n, spread_ms};
	int done = b->n > 0 ? store_transact(rf->parts.store, schedule_wake, &wake, f) : 0;

	while (b->n > 0)
		mem_free(b->list[--b->n]);
	return done;
}

/* ---- connections ---- */

static bool is_usable(const struct client *c)
{
	static const char *const usable[] = {"connected", "expiring", "degraded"};

	for (size_t i = 0; i < ARRAY_LEN(usable); i++) {
		if (text_equal(c->status, usable[i]))
			return c->is_active;
	}
	return false;
}

struct listing {
	struct branches branches;
	int64_t last_id, seen;
};

static int note_client(void *arg, const struct client *c, struct fault *f)
{
	struct listing *l = arg;

	(void)f;
	l->last_id = c->id;
	l->seen++;
	if (is_usable(c))
		l->branches.list[l->branches.n++] = mem_text(c->branch_id);
	return 0;
}

/* Once, at the start: connections of before there was a schedule. They begin bit by bit. */
static int know_all(struct review_fetcher *rf, struct fault *f)
{
	struct schedule_pace pace = schedule_pace(rf->parts.settings);
	int64_t spread_ms = pace.quick_ms > 0 ? pace.quick_ms : pace.full_ms;
	struct listing *l = mem_alloc(sizeof(*l));
	int done = 0;

	spread_ms = spread_ms < SPREAD_MOST_MS ? spread_ms : SPREAD_MOST_MS;
	do {
		struct client_filter filter = {.after_id = l->last_id, .limit = WAKES_AT_ONCE};

		l->seen = 0;
		done = clients_list(rf->parts.token_management, &filter, note_client, l, f);
		if (wake_branches(rf, &l->branches, spread_ms, f) < 0)
			done = -1;
	} while (done >= 0 && l->seen == WAKES_AT_ONCE);
	mem_free(l);
	return done;
}

static int note_event(void *arg, const struct event_row *row, struct fault *f)
{
	(void)f;
	if (row->branch_id)
		branches_add(arg, row->branch_id);
	return 0;
}

/* Connections that moved: whatever they are now, their branch gets a turn. */
static int hear(struct review_fetcher *rf, struct fault *f)
{
	static const char *const kinds[] = {"connection."};
	struct event_filter filter = {.kinds = kinds, .n_kinds = 1};
	struct events_range range = {.after = rf->schedule.position};
	struct branches *b = mem_alloc(sizeof(*b));
	int done = events_order(rf->parts.store, f);

	do {
		if (done >= 0)
			done = events_read(
				rf->parts.store, &filter, WAKES_AT_ONCE, &range, note_event, b, f);
		if (done >= 0)
			done = wake_branches(rf, b, 0, f);
		if (done >= 0)
			rf->schedule.position = range.after;
	} while (done >= 0 && range.after < range.end);
	wake_branches(rf, b, 0, &(struct fault){0});
	mem_free(b);
	return done < 0 ? -1 : 0;
}

static int begin(struct review_fetcher *rf, struct fault *f)
{
	if (events_end(rf->parts.store, &rf->schedule.position, f) < 0 || know_all(rf, f) < 0)
		return -1;
	rf->schedule.begun = true;
	return 0;
}

/* ---- turns ---- */

struct turn {
	struct review_fetcher *rf;
	struct schedule_turn rows;
};

/* What is to be done for the branch: one of the transactions of schedule_rows.c. */
static int choose(struct turn *t, store_body_fn **ret, struct fault *f)
{
	struct review_fetcher *rf = t->rf;
	struct schedule_project project = {0};
	struct client client = {0};
	int done = 0;

	if (clients_get_by_branch(rf->parts.token_management, t->rows.branch_id, &client, f) < 0) {
		*ret = schedule_drop;
		return f->kind == FAULT_MISSING ? 0 : -1;
	}
	*ret = is_usable(&client) ? schedule_turn : schedule_park;
	if (client.client_oauth_id && *ret == schedule_turn) {
		client.client_oauth_id[project_length(client.client_oauth_id)] = '\0';
		project.project = client.client_oauth_id;
		done = store_use(rf->parts.store, schedule_ask_project, &project, f);
		t->rows.wait_ms = REFUSED_WAIT_MS;
	}
	if (project.refused)
		*ret = schedule_postpone;
	client_done(&client);
	return done;
}

/* 1: there was one, so look again. *ret_wait_ms otherwise. */
static int one_turn(struct review_fetcher *rf, int64_t *ret_wait_ms, struct fault *f)
{
	struct schedule_peek peek = {.wait_ms = LOOK_EVERY_MS};
	struct turn t = {.rf = rf,
		.rows = {.pace = schedule_pace(rf->parts.settings), .branch_id = peek.branch_id}};
	store_body_fn *body;

	if (store_use(rf->parts.store, schedule_peek, &peek, f) < 0)
		return -1;
	*ret_wait_ms = peek.full ? LOOK_EVERY_MS : peek.wait_ms;
	if (peek.full || !*peek.branch_id)
		return 0;
	if (choose(&t, &body, f) < 0 || store_transact(rf->parts.store, body, &t.rows, f) < 0)
		return -1;
	if (t.rows.jobs > 0)
		log_event(LOG_DEBUG, "schedule.queued", F_STR("branch", peek.branch_id),
			F_INT("jobs", t.rows.jobs));
	return 1;
}

static int look(struct review_fetcher *rf, int64_t *ret_wait_ms, struct fault *f)
{
	int again = 1;

	if (!rf->schedule.begun && begin(rf, f) < 0)
		return -1;
	if (hear(rf, f) < 0)
		return -1;
	for (int i = 0; i < BRANCHES_AT_ONCE && again == 1; i++)
		again = one_turn(rf, ret_wait_ms, f);
	if (again == 1)
		*ret_wait_ms = 0;
	return again;
}

static void run(struct task *task)
{
	struct review_fetcher *rf = CONTAINER_OF(task, struct review_fetcher, schedule.task);
	struct fault f = {0};
	int64_t wait_ms = LOOK_EVERY_MS;

	if (look(rf, &wait_ms, &f) < 0) {
		log_event(LOG_ERROR, "schedule.failed", F_FAULT(&f));
		wait_ms = LOOK_EVERY_MS;
	}
	jobs_look(rf);
	pthread_mutex_lock(&rf->lock);
	if (!rf->stopping)
		nap_until(rf, &rf->schedule.nap, task,
			clock_mono_ms() + (wait_ms > LEAST_MS ? wait_ms : LEAST_MS));
	pthread_mutex_unlock(&rf->lock);
}

void schedule_start(struct review_fetcher *rf)
{
	struct schedule_pace pace = schedule_pace(rf->parts.settings);

	if (pace.quick_ms == 0 && pace.full_ms == 0)
		return;
	rf->schedule.task.run = run;
	pool_submit(rf->parts.pool, &rf->schedule.task);
}
