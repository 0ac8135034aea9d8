/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job under way: which of its walks run, and how it ends. Planning happens on one worker at a
 * time; whoever comes meanwhile leaves word (plan_again) and goes.
 */
#include "review_fetcher/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/backoff.h"
#include "store/store.h"

/* ---- ending ---- */

struct tally {
	int64_t failed, open, listed, locations;
	char error[200];
};

struct ending {
	struct job *job;
	const char *failure;
	bool yields, cancelled, gone, unfinished;
	struct tally tally;
	const char *status;
	char words[240];
};

static int count_walks(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct tally *t = arg;
	const char *kind = db_get_text(&cols[0]), *state = db_get_text(&cols[1]);
	int64_t n = db_get_int(&cols[2]);

	(void)n_cols;
	(void)f;
	if (text_equal(kind, "locations") && text_equal(state, "done"))
		t->listed += n;
	if (text_equal(kind, "reviews"))
		t->locations += n;
	if (text_equal(state, "open"))
		t->open += n;
	if (!text_equal(state, "failed"))
		return 0;
	t->failed += n;
	if (!*t->error && db_get_text(&cols[3]))
		snprintf(t->error, sizeof(t->error), "%s", db_get_text(&cols[3]));
	return 0;
}

static int read_flag(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct ending *e = arg;

	(void)n_cols;
	(void)f;
	e->gone = false;
	e->cancelled |= db_get_int(&cols[0]) != 0;
	return 0;
}

/* Completed means: every listing was read to its end and every count agreed. */
static void judge(struct ending *e)
{
	const struct tally *t = &e->tally;

	*e->words = '\0';
	if (*e->failure) {
		e->status = "failed";
		snprintf(e->words, sizeof(e->words), "%s", e->failure);
	} else if (e->cancelled) {
		e->status = "cancelled";
	} else if (t->failed && !t->locations && !t->listed) {
		e->status = "failed";
		snprintf(e->words, sizeof(e->words), "%s", t->error);
	} else if (t->failed) {
		e->status = "partial";
		snprintf(e->words, sizeof(e->words),
			"%lld listings could not be read completely; `errors` says which and why",
			(long long)t->failed);
	} else {
		e->status = "completed";
	}
}

static int end_body(struct db *db, void *arg, struct fault *f)
{
	static const char tally_sql[] = "SELECT kind, state, count(*), min(error) FROM job_walks"
					" WHERE job_id = $1 GROUP BY kind, state";
	static const char end_sql[] =
		"UPDATE jobs SET status = $3, error = $4, finished_at_ms = $5, waiting_until_ms = "
		"NULL,"
		" lease_owner = NULL, lease_until_ms = NULL, fence = fence + 1"
		" WHERE id = $1 AND fence = $2";
	struct ending *e = arg;
	const struct job *j = e->job;

	e->gone = true;
	e->tally = (struct tally){0};
	if (db_read(db, "SELECT cancel_requested FROM jobs WHERE id = $1 AND fence = $2", read_flag,
		    e, f, db_text(j->id), db_int(j->fence)) < 0 ||
		db_read(db, tally_sql, count_walks, &e->tally, f, db_text(j->id)) < 0)
		return -1;
	/* A walk may have opened others and left between our look and now. */
	e->unfinished = !e->cancelled && !*e->failure && e->tally.open > 0;
	if (e->unfinished && e->yields && !e->gone)
		return job_give_back(db, j, f);
	if (e->gone || e->unfinished)
		return 0;
	judge(e);
	if (db_exec(db, end_sql, NULL, f, db_text(j->id), db_int(j->fence), db_text(e->status),
		    db_text(*e->words ? e->words : NULL), db_int(clock_wall_ms())) < 0)
		return -1;
	return job_tell(db, j->id, f);
}

static void run_plan(struct task *task)
{
	struct job *j = CONTAINER_OF(task, struct job, task);

	pthread_mutex_lock(&j->rf->lock);
	j->plan_due = false;
	pthread_mutex_unlock(&j->rf->lock);
	job_plan(j);
	job_unref(j);
}

/* The database failed: look again later. */
static void plan_later(struct job *j, const struct fault *f)
{
	struct review_fetcher *rf = j->rf;
	int64_t wait_ms;

	log_event(LOG_ERROR, "job.store_failed", F_STR("job", j->id), F_FAULT(f));
	pthread_mutex_lock(&rf->lock);
	wait_ms = backoff_delay_ms(rf->parts.settings, ++j->failures) + 1;
	if (!j->plan_due) {
		j->plan_due = true;
		j->refs++;
		j->task.run = run_plan;
		nap_until(rf, &j->nap, &j->task, clock_mono_ms() + wait_ms);
	}
	pthread_mutex_unlock(&rf->lock);
}

static void forget(struct job *j)
{
	struct review_fetcher *rf = j->rf;

	job_let_go(j);
	pthread_mutex_lock(&rf->lock);
	if (nap_end(rf, &j->nap)) /* it had come back by itself meanwhile */
		j->refs--;
	pthread_mutex_unlock(&rf->lock);
	job_unref(j);
	jobs_look(rf);
}

enum end_outcome { END_DONE, END_LATER, END_NOT_YET };

static enum end_outcome end_job(struct job *j)
{
	struct ending e = {.job = j};
	struct fault f = {0};
	bool lost;

	pthread_mutex_lock(&j->rf->lock);
	e.failure = j->failure; /* set once, before the last walk left */
	e.cancelled = j->cancelled;
	e.yields = j->yields;
	lost = j->lost;
	pthread_mutex_unlock(&j->rf->lock);
	if (e.yields)
		job_let_go(j);
	if (!lost && store_transact(j->rf->parts.store, end_body, &e, &f) < 0) {
		if (e.yields)
			job_hold_again(j);
		plan_later(j, &f);
		return END_LATER;
	}
	if (e.unfinished && !lost && !e.yields)
		return END_NOT_YET;
	if (e.yields && (lost || !e.unfinished))
		job_drop_token(j->rf, j->id);
	if (lost || e.gone)
		log_event(LOG_WARN, "job.lost", F_STR("job", j->id));
	else if (e.unfinished)
		log_event(LOG_DEBUG, "job.yielded", F_STR("job", j->id));
	else
		log_event(LOG_INFO, "job.ended", F_STR("job", j->id), F_STR("status", e.status),
			F_STR("cause", e.words));
	return END_DONE;
}

/* ---- planning ---- */

struct opening {
	struct job *job;
	struct walk *list, **last;
	int64_t active[WALKS_PER_JOB];
	unsigned n_active, room;
};

static enum walk_kind kind_of(const char *name)
{
	for (int kind = 0; kind < WALK_KINDS; kind++) {
		if (text_equal(name, walk_kind_name((enum walk_kind)kind)))
			return (enum walk_kind)kind;
	}
	return WALK_REVIEWS;
}

static char *copy(const struct db_value *col)
{
	const char *text = db_get_text(col);

	return text ? mem_text(text) : NULL;
}

static int read_walk(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct opening *o = arg;
	struct walk *w;

	(void)n_cols;
	(void)f;
	for (unsigned i = 0; i < o->n_active; i++) {
		if (o->active[i] == db_get_int(&cols[0]))
			return 0;
	}
	w = mem_alloc(sizeof(*w));
	w->job = o->job;
	w->id = db_get_int(&cols[0]);
	w->kind = kind_of(db_get_text(&cols[1]));
	w->account_id = copy(&cols[2]);
	w->location_id = copy(&cols[3]);
	w->page_token = copy(&cols[4]);
	w->mark_token = copy(&cols[5]);
	w->pass = db_get_int(&cols[6]);
	w->pass_pages = db_get_int(&cols[7]);
	w->pass_started_ms = db_get_int(&cols[8]);
	w->recounts = db_get_int(&cols[9]);
	w->rows_seen = db_get_int(&cols[10]);
	w->rows_expected = cols[11].type == DB_NULL ? -1 : db_get_int(&cols[11]);
	w->probe_id = copy(&cols[12]);
	w->is_full = db_get_int(&cols[13]) != 0;
	w->low_us = db_get_int(&cols[14]);
	*o->last = w;
	o->last = &w->next;
	return --o->room == 0;
}

static int read_member(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct walk *w = arg;

	(void)n_cols;
	(void)f;
	if (!w->members)
		w->members = mem_alloc_array(GOOGLE_BATCH_LOCATIONS, sizeof(*w->members));
	w->members[w->n_members++] = mem_text(db_get_text(&cols[0]));
	return w->n_members == GOOGLE_BATCH_LOCATIONS;
}

static int open_body(struct db *db, void *arg, struct fault *f)
{
	static const char member_sql[] =
		"SELECT location_id FROM job_walks WHERE batch_id = $1 ORDER BY id";
	static const char sql[] =
		"SELECT id, kind, account_id, location_id, page_token, mark_token, pass, "
		"pass_pages,"
		" pass_started_ms, recounts, rows_seen, rows_expected, probe_id, is_full, low_us"
		" FROM job_walks"
		" WHERE job_id = $1 AND state = 'open' ORDER BY id LIMIT $2";
	struct opening *o = arg;

	if (db_read(db, sql, read_walk, o, f, db_text(o->job->id), db_int(2 * WALKS_PER_JOB)) < 0)
		return -1;
	for (struct walk *w = o->list; w; w = w->next) {
		if (w->kind == WALK_BATCH &&
			db_read(db, member_sql, read_member, w, f, db_int(w->id)) < 0)
			return -1;
	}
	return 0;
}

static void free_list(struct walk *w)
{
	while (w) {
		struct walk *next = w->next;

		walk_free(w);
		w = next;
	}
}

/* Lock held. */
static bool is_ending(const struct job *j)
{
	return j->cancelled || j->lost || *j->failure;
}

/* Adds walks to the job; the list that was added is walked by the caller, one by one. */
static void adopt(struct job *j, struct opening *o, struct walk **ret, unsigned *ret_n)
{
	pthread_mutex_lock(&j->rf->lock);
	*ret_n = 0;
	while (o->list) {
		struct walk *w = o->list;

		o->list = w->next;
		w->next = j->walks;
		j->walks = w;
		j->n_walks++;
		j->refs++;
		ret[(*ret_n)++] = w;
	}
	pthread_mutex_unlock(&j->rf->lock);
}

/* One look. Answers whether the job may be over. */
static bool plan_once(struct job *j)
{
	struct review_fetcher *rf = j->rf;
	struct opening o = {.job = j, .last = &o.list};
	struct walk *fresh[WALKS_PER_JOB];
	struct fault f = {0};
	unsigned n = 0;
	bool look, idle;

	pthread_mutex_lock(&rf->lock);
	j->plan_again = false;
	o.room = WALKS_PER_JOB - j->n_walks;
	for (const struct walk *w = j->walks; w; w = w->next)
		o.active[o.n_active++] = w->id;
	look = job_may_ask(j) && o.room > 0;
	pthread_mutex_unlock(&rf->lock);
	if (look && store_use(rf->parts.store, open_body, &o, &f) < 0) {
		free_list(o.list);
		plan_later(j, &f);
		return false;
	}
	adopt(j, &o, fresh, &n);
	pthread_mutex_lock(&rf->lock);
	idle = !rf->stopping && j->n_walks == 0;
	j->failures = 0;
	pthread_mutex_unlock(&rf->lock);
	for (unsigned i = 0; i < n; i++)
		walk_ask(fresh[i]);
	return idle;
}

void job_plan(struct job *j)
{
	struct review_fetcher *rf = j->rf;
	enum end_outcome end;

	pthread_mutex_lock(&rf->lock);
	if (j->planning) {
		j->plan_again = true;
		pthread_mutex_unlock(&rf->lock);
		return;
	}
	j->planning = true;
	do {
		pthread_mutex_unlock(&rf->lock);
		end = plan_once(j) ? end_job(j) : END_LATER;
		pthread_mutex_lock(&rf->lock);
	} while (end == END_NOT_YET || (end == END_LATER && j->plan_again));
	j->planning = end == END_DONE; /* then nobody looks at this job again */
	pthread_mutex_unlock(&rf->lock);
	if (end == END_DONE)
		forget(j);
}

/* ---- what happens to a job from outside ---- */

void job_wake(struct job *j)
{
	for (struct walk *w = j->walks; w; w = w->next) {
		if (gate_leave(walk_gate(w), &w->seat) || nap_end(j->rf, &w->nap))
			pool_submit(j->rf->parts.pool, &w->task);
	}
}

void job_fail(struct job *j, const char *reason)
{
	pthread_mutex_lock(&j->rf->lock);
	if (!*j->failure)
		snprintf(j->failure, sizeof(j->failure), "%.*s",
			google_words_fit(reason, sizeof(j->failure) - 1), reason);
	job_wake(j);
	pthread_mutex_unlock(&j->rf->lock);
}

void job_cancel(struct job *j)
{
	pthread_mutex_lock(&j->rf->lock);
	j->cancelled = true;
	job_wake(j);
	pthread_mutex_unlock(&j->rf->lock);
}

void job_lose(struct job *j)
{
	pthread_mutex_lock(&j->rf->lock);
	j->lost = true;
	job_wake(j);
	pthread_mutex_unlock(&j->rf->lock);
}

bool job_goes_on(struct job *j)
{
	bool on;

	pthread_mutex_lock(&j->rf->lock);
	on = !j->rf->stopping && !is_ending(j);
	pthread_mutex_unlock(&j->rf->lock);
	return on;
}

bool job_may_ask(const struct job *j)
{
	return !j->rf->stopping && !is_ending(j) && !j->yields;
}

void job_end_walk(struct walk *w)
{
	struct job *j = w->job;
	struct walk **at = &j->walks;

	pthread_mutex_lock(&j->rf->lock);
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	j->n_walks--;
	pthread_mutex_unlock(&j->rf->lock);
	walk_free(w);
}

/* ---- saying that it waits ---- */

struct showing {
	const struct job *job;
	int64_t until_ms;
};

static int show_body(struct db *db, void *arg, struct fault *f)
{
	const struct showing *s = arg;
	int64_t changed;

	if (db_exec(db,
		    "UPDATE jobs SET status = 'waiting', waiting_until_ms = $3"
		    " WHERE id = $1 AND fence = $2 AND finished_at_ms IS NULL",
		    &changed, f, db_text(s->job->id), db_int(s->job->fence),
		    db_int(s->until_ms)) < 0)
		return -1;
	return changed == 1 ? job_tell(db, s->job->id, f) : 0;
}

/* Lock held. When the first of the job's walks goes on (monotonic); 0: one is at work. */
static int64_t next_start(const struct job *j, int64_t now_ms)
{
	int64_t first = INT64_MAX;

	for (const struct walk *w = j->walks; w; w = w->next) {
		int64_t due_ms = 0;

		if (w->seat.on)
			due_ms = now_ms + gate_wait_ms(walk_gate(w), now_ms);
		else if (w->nap.on)
			due_ms = w->nap.due_ms;
		if (due_ms < first)
			first = due_ms;
	}
	return j->walks ? first : 0;
}

void job_show_waiting(struct job *j)
{
	struct review_fetcher *rf = j->rf;
	struct showing s = {.job = j};
	struct fault f = {0};
	int64_t now_ms = clock_mono_ms(), start_ms;
	bool tell;

	pthread_mutex_lock(&rf->lock);
	start_ms = next_start(j, now_ms);
	s.until_ms = clock_wall_ms() + start_ms - now_ms;
	tell = start_ms - now_ms > WAIT_SHOWN_MS && s.until_ms - j->waiting_until_ms > 1000;
	if (tell)
		j->waiting_until_ms = s.until_ms;
	pthread_mutex_unlock(&rf->lock);
	/* It only informs: when it cannot be written the job waits all the same. */
	if (tell && store_transact(rf->parts.store, show_body, &s, &f) < 0)
		log_event(LOG_WARN, "job.store_failed", F_STR("job", j->id), F_FAULT(&f));
	if (tell)
		jobs_look(rf); /* its place is another's meanwhile */
}

/* ---- life ---- */

static void job_done(struct job *j)
{
	mem_free(j->branch_id);
	secret_drop(&j->token);
	mem_free(j);
}

void job_unref(struct job *j)
{
	bool last;

	pthread_mutex_lock(&j->rf->lock);
	last = --j->refs == 0;
	for (int i = 0; last && i < GOOGLE_APIS; i++)
		gate_unref(j->gates[i]);
	pthread_mutex_unlock(&j->rf->lock);
	if (last)
		job_done(j);
}

void job_free(struct job *j)
{
	free_list(j->walks);
	job_done(j);
}

void job_begin(struct review_fetcher *rf, const struct job_claim *claim, struct secret *moved_token,
	const char *project, const char *failure)
{
	struct job *j;

	pthread_mutex_lock(&rf->lock);
	j = map_get(&rf->jobs, claim->id, strlen(claim->id));
	if (j) { /* its lease had run out here: the claim renewed it */
		j->fence = claim->fence;
		pthread_mutex_unlock(&rf->lock);
		secret_drop(moved_token);
		return;
	}
	j = mem_alloc(sizeof(*j));
	j->rf = rf;
	memcpy(j->id, claim->id, sizeof(j->id));
	j->branch_id = claim->branch_id ? mem_text(claim->branch_id) : NULL;
	j->token = secret_take(moved_token);
	j->fence = claim->fence;
	j->client_id = claim->client_id;
	j->is_quick = claim->is_quick;
	j->is_patient = claim->is_patient;
	j->is_push = claim->is_push;
	j->is_places = claim->is_places;
	j->cancelled = claim->cancelled;
	j->begun_mono_ms = clock_mono_ms();
	j->refs = 2; /* the map's and ours */
	if (failure)
		snprintf(j->failure, sizeof(j->failure), "%.*s",
			google_words_fit(failure, sizeof(j->failure) - 1), failure);
	for (int i = 0; i < GOOGLE_APIS; i++)
		j->gates[i] = gate_ref(rf, (enum google_api)i, project);
	map_put(&rf->jobs, j->id, strlen(j->id), j);
	pthread_mutex_unlock(&rf->lock);
	job_plan(j);
	job_unref(j);
}
