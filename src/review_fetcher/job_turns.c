/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time slices. A process has room for so many jobs, and some of them last for days, since quota is
 * what they wait for. When others queue, those that were here longest make room: pages under way
 * are stored, and the row goes back into the queue behind all others, with the cursors as they
 * stand. Each one got an answer first, so every job moves on, however many there are.
 */
#include "review_fetcher/engine.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"

#define TURNS_A_BEAT 64
#define TURN_LONGEST_MS (30 * 60 * 1000) /* then whatever it is in the middle of */

/* ---- whose turn is over ---- */

struct turns {
	struct review_fetcher *rf;
	int64_t now_ms, queued;
	struct job *jobs[TURNS_A_BEAT]; /* those begun first, in that order */
	size_t n;
	bool only_working;
};

/* A page that fails is tried so many times and no more: that count is not begun again. */
static bool is_retrying(const struct job *j)
{
	for (const struct walk *w = j->walks; w; w = w->next) {
		if (w->attempts > 0 || w->store_failures > 0)
			return true;
	}
	return false;
}

/* Google has closed the gate of each of its walks, so that there is no answer to wait for. */
static bool is_shut_out(const struct job *j, int64_t now_ms)
{
	for (const struct walk *w = j->walks; w; w = w->next) {
		if (!w->seat.on || walk_gate(w)->paused_until_us / 1000 < now_ms + TURN_MS)
			return false;
	}
	return j->walks != NULL;
}

static bool is_over(const struct turns *t, const struct job *j)
{
	int64_t held_ms = t->now_ms - j->begun_mono_ms;

	if (held_ms < TURN_MS || j->is_push || j->yields || j->cancelled || j->lost || *j->failure)
		return false;
	if (t->only_working && j->waiting_until_ms != 0)
		return false;
	if (held_ms >= TURN_LONGEST_MS)
		return true;
	return !is_retrying(j) && (j->answers > 0 || is_shut_out(j, t->now_ms));
}

static int note_job(void *arg, const void *key, size_t len, void *value)
{
	struct turns *t = arg;
	struct job *j = value;
	size_t at = t->n;

	(void)key;
	(void)len;
	if (!is_over(t, j))
		return 0;
	while (at > 0 && t->jobs[at - 1]->begun_mono_ms > j->begun_mono_ms)
		at--;
	if (at == ARRAY_LEN(t->jobs))
		return 0;
	if (t->n < ARRAY_LEN(t->jobs))
		t->n++;
	memmove(t->jobs + at + 1, t->jobs + at, (t->n - 1 - at) * sizeof(struct job *));
	t->jobs[at] = j;
	return 0;
}

static int read_queued(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct turns *t = arg;

	(void)n_cols;
	(void)f;
	t->queued = db_get_int(&cols[0]);
	return 0;
}

static int count_body(struct db *db, void *arg, struct fault *f)
{
	struct turns *t = arg;
	int64_t now_us;

	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	return db_read(db,
		"SELECT count(*) FROM (SELECT 1 AS one FROM jobs WHERE" CLAIMABLE
		" AND mode <> 'push' LIMIT $2) a",
		read_queued, t, f, db_text(t->rf->owner), db_int(TURNS_A_BEAT),
		db_int(now_us / 1000));
}

void jobs_take_turns(struct review_fetcher *rf)
{
	struct turns t = {.rf = rf, .now_ms = clock_mono_ms()};
	struct fault f = {0};
	bool has_room, held_most;

	pthread_mutex_lock(&rf->lock);
	has_room = jobs_have_room(rf, &held_most);
	t.only_working = !held_most;
	pthread_mutex_unlock(&rf->lock);
	/* The beat says it when the database is away. */
	if (has_room || store_use(rf->parts.store, count_body, &t, &f) < 0 || t.queued == 0)
		return;
	pthread_mutex_lock(&rf->lock);
	if (!rf->stopping)
		map_each(&rf->jobs, note_job, &t);
	if ((int64_t)t.n > t.queued)
		t.n = (size_t)t.queued;
	for (size_t i = 0; i < t.n; i++) {
		t.jobs[i]->refs++;
		t.jobs[i]->yields = true;
		job_wake(t.jobs[i]);
	}
	pthread_mutex_unlock(&rf->lock);
	for (size_t i = 0; i < t.n; i++) {
		job_plan(t.jobs[i]);
		job_unref(t.jobs[i]);
	}
}

/* ---- back into the queue ---- */

int job_give_back(struct db *db, const struct job *j, struct fault *f)
{
	/* A token of its own is in this process's memory: nobody else may take the job. */
	static const char sql[] =
		"UPDATE jobs SET status = 'queued', waiting_until_ms = NULL, turn_ms = $3,"
		" lease_owner = $4, lease_until_ms = $5 WHERE id = $1 AND fence = $2";
	bool own = j->branch_id == NULL;
	int64_t now_us;

	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	return db_exec(db, sql, NULL, f, db_text(j->id), db_int(j->fence), db_int(now_us / 1000),
		db_text(own ? j->rf->owner : NULL), db_int_or_null(now_us / 1000 + LEASE_MS, own));
}

void job_let_go(struct job *j)
{
	struct review_fetcher *rf = j->rf;
	struct secret *kept = NULL;

	pthread_mutex_lock(&rf->lock);
	if (map_get(&rf->jobs, j->id, strlen(j->id)) == j) {
		map_remove(&rf->jobs, j->id, strlen(j->id));
		if (j->yields && !j->branch_id) {
			kept = mem_alloc(sizeof(*kept));
			*kept = secret_copy(&j->token);
			map_put(&rf->tokens, j->id, strlen(j->id), kept);
		}
	}
	pthread_mutex_unlock(&rf->lock);
}

void job_hold_again(struct job *j)
{
	struct review_fetcher *rf = j->rf;
	struct secret *kept;

	pthread_mutex_lock(&rf->lock);
	kept = map_remove(&rf->tokens, j->id, strlen(j->id));
	map_put(&rf->jobs, j->id, strlen(j->id), j);
	pthread_mutex_unlock(&rf->lock);
	if (kept)
		secret_drop(kept);
	mem_free(kept);
}
