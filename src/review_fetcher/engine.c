/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which jobs run here. A job is claimed by compare-and-set on its row (owner, lease, fence), so
 * that many processes share the table; a job whose lease has run out, by the database's clock, is
 * anybody's.
 */
#include "review_fetcher/engine.h"
#include "review_fetcher/replies.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "review_fetcher/sessions.h"
#include "store/store.h"
#include "token_management/token_management.h"

/* For which jobs there is room. The values stand in claim_body's statement. */
enum room { ROOM_FOR_ALL, ROOM_FOR_PUSH, ROOM_BUT_PUSH, ROOM_FOR_NONE };

struct claiming {
	struct review_fetcher *rf;
	enum room room;
	struct job_claim claim;
	bool found;
	bool had_a_turn; /* so that it was told that it runs */
};

static int read_claim(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct claiming *c = arg;

	(void)n_cols;
	(void)f;
	c->found = true;
	if (db_get_text(&cols[0]))
		snprintf(c->claim.id, sizeof(c->claim.id), "%s", db_get_text(&cols[0]));
	c->claim.branch_id = db_get_text(&cols[1]) ? mem_text(db_get_text(&cols[1])) : NULL;
	c->claim.fence = db_get_int(&cols[2]);
	c->claim.cancelled = db_get_int(&cols[3]) != 0;
	c->claim.is_push = text_equal(db_get_text(&cols[4]), "push");
	c->claim.is_quick = text_equal(db_get_text(&cols[4]), "quick");
	c->claim.is_places = text_equal(db_get_text(&cols[4]), MODE_PLACES);
	c->claim.is_patient = db_get_int(&cols[5]) != 0;
	c->had_a_turn = cols[6].type != DB_NULL;
	return 0;
}

/* Push first; then who has queued longest, be it for the first time or after a turn. */
#define CLAIM_SQL(skip)                                                                        \
	"UPDATE jobs SET status = 'running', waiting_until_ms = NULL, lease_owner = $1,"       \
	" lease_until_ms = $2, fence = fence + 1, started_at_ms = COALESCE(started_at_ms, $3)" \
	" WHERE id = (SELECT id FROM jobs WHERE" CLAIMABLE                                     \
	" AND (CAST($4 AS BIGINT) = 0 OR CAST($4 AS BIGINT) ="                                 \
	" CASE WHEN mode = 'push' THEN 1 ELSE 2 END)"                                          \
	" ORDER BY CASE WHEN mode = 'push' THEN 0 ELSE 1 END,"                                 \
	" COALESCE(turn_ms, created_at_ms), id LIMIT 1" skip ") AND" CLAIMABLE                 \
	" RETURNING id, branch_id, fence, cancel_requested, mode, patient, turn_ms"

/*
 * The outer condition is what makes the claim one's own where two processes found the same row at
 * once; skipping locked rows only spares them the meeting.
 */
static int claim_body(struct db *db, void *arg, struct fault *f)
{
	static const char sql[] = CLAIM_SQL("");
	static const char skip_sql[] = CLAIM_SQL(" FOR UPDATE SKIP LOCKED");
	struct claiming *c = arg;
	int64_t now_us, now_ms;

	mem_free(TAKE(c->claim.branch_id));
	c->found = false;
	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	now_ms = now_us / 1000;
	if (db_read(db, db_engine(db) == DB_POSTGRES ? skip_sql : sql, read_claim, c, f,
		    db_text(c->rf->owner), db_int(now_ms + LEASE_MS), db_int(now_ms),
		    db_int(c->room)) < 0)
		return -1;
	return c->found && !c->had_a_turn ? job_tell(db, c->claim.id, f) : 0;
}

static int release_body(struct db *db, void *arg, struct fault *f)
{
	const struct claiming *c = arg;

	return db_exec(db,
		"UPDATE jobs SET status = 'queued', lease_owner = NULL, lease_until_ms = NULL"
		" WHERE id = $1 AND fence = $2",
		NULL, f, db_text(c->claim.id), db_int(c->claim.fence));
}

/* An OAuth client id starts with the number of its Cloud project, which is what quota is counted
 * by. */
size_t project_length(const char *client_id)
{
	size_t digits = strspn(client_id, "0123456789");

	return digits && client_id[digits] == '-' ? digits : strlen(client_id);
}

static void begin_with_own_token(struct review_fetcher *rf, const struct job_claim *claim)
{
	struct secret *kept;

	pthread_mutex_lock(&rf->lock);
	kept = map_remove(&rf->tokens, claim->id, strlen(claim->id));
	pthread_mutex_unlock(&rf->lock);
	if (!kept) {
		struct secret none = {0};

		job_begin(rf, claim, &none, "",
			"the service was restarted, and this job's access token was held in memory "
			"only:"
			" start the job again");
		return;
	}
	job_begin(rf, claim, kept, "", NULL);
	mem_free(kept);
}

/* 0 begun, -1 the database failed. */
static int begin_for_branch(struct review_fetcher *rf, struct job_claim *claim, struct fault *f)
{
	struct secret none = {0};
	struct client client = {0};
	size_t len;

	if (clients_get_by_branch(rf->parts.token_management, claim->branch_id, &client, f) < 0) {
		if (f->kind != FAULT_MISSING)
			return -1;
		job_begin(rf, claim, &none, "", "this branch is not registered any more");
		return 0;
	}
	claim->client_id = client.id;
	if (client.client_oauth_id) {
		len = project_length(client.client_oauth_id);
		client.client_oauth_id[len] = '\0';
	}
	job_begin(rf, claim, &none, client.client_oauth_id ? client.client_oauth_id : "", NULL);
	client_done(&client);
	return 0;
}

/* Whether there may be more. */
static bool claim_one(struct review_fetcher *rf, enum room room)
{
	struct claiming c = {.rf = rf, .room = room};
	struct fault f = {0};
	bool begun = false;

	if (store_transact(rf->parts.store, claim_body, &c, &f) == 0 && c.found) {
		begun = true;
		if (!c.claim.branch_id)
			begin_with_own_token(rf, &c.claim);
		else if (begin_for_branch(rf, &c.claim, &f) < 0)
			begun = false;
	}
	if (c.found && !begun && store_transact(rf->parts.store, release_body, &c, &f) < 0)
		log_event(LOG_DEBUG, "job.release_failed", F_STR("job", c.claim.id));
	/* What can be tried again, is: often another process was faster. */
	if (f.kind != FAULT_NONE && f.kind != FAULT_MISSING) {
		if (f.retry_after_ms > 0)
			log_event(LOG_WARN, "job.claim_failed", F_FAULT(&f));
		else
			log_event(LOG_ERROR, "job.claim_failed", F_FAULT(&f));
	}
	mem_free(c.claim.branch_id);
	return begun;
}

struct working {
	size_t push, others;
};

static int count_working(void *arg, const void *key, size_t len, void *value)
{
	struct working *n = arg;
	const struct job *j = value;

	(void)key;
	(void)len;
	if (j->is_push)
		n->push++;
	else
		n->others += j->waiting_until_ms == 0;
	return 0;
}

/* Lock held. A job that says it waits for quota holds no place of others: those of another project
 * need not wait with it, and those of the same one queue at the same gate, where branches take
 * turns. Push has places of its own, so that its one call waits for no long walk. */
static enum room find_room(const struct review_fetcher *rf)
{
	struct working n = {0};
	bool for_push, for_others;

	if (rf->stopping)
		return ROOM_FOR_NONE;
	map_each(&rf->jobs, count_working, &n);
	for_push = n.push < PUSH_AT_ONCE;
	for_others = n.others < JOBS_AT_ONCE && rf->jobs.count - n.push < JOBS_HELD_MOST;
	if (for_push)
		return for_others ? ROOM_FOR_ALL : ROOM_FOR_PUSH;
	return for_others ? ROOM_BUT_PUSH : ROOM_FOR_NONE;
}

bool jobs_have_room(const struct review_fetcher *rf, bool *ret_held_most)
{
	struct working n = {0};
	enum room room = find_room(rf);

	map_each(&rf->jobs, count_working, &n);
	*ret_held_most = rf->jobs.count - n.push >= JOBS_HELD_MOST;
	return room == ROOM_FOR_ALL || room == ROOM_BUT_PUSH;
}

void jobs_look(struct review_fetcher *rf)
{
	enum room room;
	bool found;

	pthread_mutex_lock(&rf->lock);
	if (rf->looking || rf->stopping) {
		rf->look_again = true;
		pthread_mutex_unlock(&rf->lock);
		return;
	}
	rf->looking = true;
	do {
		rf->look_again = false;
		room = find_room(rf);
		pthread_mutex_unlock(&rf->lock);
		found = room != ROOM_FOR_NONE && claim_one(rf, room);
		pthread_mutex_lock(&rf->lock);
	} while (!rf->stopping && (found || rf->look_again));
	rf->looking = false;
	pthread_mutex_unlock(&rf->lock);
}

struct held {
	struct job *jobs[JOBS_HELD_MOST + PUSH_AT_ONCE];
	size_t n;
};

static int hold(void *arg, const void *key, size_t len, void *value)
{
	struct held *h = arg;
	struct job *j = value;

	(void)key;
	(void)len;
	if (h->n == ARRAY_LEN(h->jobs))
		return 1;
	j->refs++;
	h->jobs[h->n++] = j;
	return 0;
}

void jobs_show_waiting(struct review_fetcher *rf)
{
	struct held *h = mem_alloc(sizeof(*h));

	pthread_mutex_lock(&rf->lock);
	if (!rf->stopping)
		map_each(&rf->jobs, hold, h);
	pthread_mutex_unlock(&rf->lock);
	for (size_t i = 0; i < h->n; i++) {
		job_show_waiting(h->jobs[i]);
		job_unref(h->jobs[i]);
	}
	mem_free(h);
}

/* ---- the beat ---- */

struct holding {
	char id[37];
	int64_t fence;
	bool held, cancelled;
};

struct beating {
	struct review_fetcher *rf;
	struct holding *jobs;
	size_t n, at;
};

static int note_holding(void *arg, const void *key, size_t len, void *value)
{
	struct beating *b = arg;
	const struct job *j = value;

	(void)key;
	(void)len;
	memcpy(b->jobs[b->n].id, j->id, sizeof(j->id));
	b->jobs[b->n++].fence = j->fence;
	return 0;
}

static int read_held(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct holding *h = arg;

	(void)n_cols;
	(void)f;
	h->held = true;
	h->cancelled = db_get_int(&cols[0]) != 0;
	return 0;
}

static int beat_body(struct db *db, void *arg, struct fault *f)
{
	static const char held_sql[] = "UPDATE jobs SET lease_until_ms = $3 WHERE id = $1"
				       " AND fence = $2 RETURNING cancel_requested";
	static const char queued_sql[] = "UPDATE jobs SET lease_until_ms = $2"
					 " WHERE status = 'queued' AND lease_owner = $1";
	struct beating *b = arg;
	int64_t now_us, now_ms;

	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	now_ms = now_us / 1000;
	for (size_t i = 0; i < b->n; i++) {
		struct holding *h = &b->jobs[i];

		h->held = h->cancelled = false;
		if (db_read(db, held_sql, read_held, h, f, db_text(h->id), db_int(h->fence),
			    db_int(now_ms + LEASE_MS)) < 0)
			return -1;
	}
	if (db_exec(db, queued_sql, NULL, f, db_text(b->rf->owner), db_int(now_ms + LEASE_MS)) < 0)
		return -1;
	return jobs_tidy(db, now_ms, f);
}

/* A job that somebody else cancelled, or took over. */
static void heed(struct review_fetcher *rf, const struct holding *h)
{
	struct job *j;

	pthread_mutex_lock(&rf->lock);
	j = map_get(&rf->jobs, h->id, strlen(h->id));
	if (j && j->fence == h->fence)
		j->refs++;
	else
		j = NULL;
	pthread_mutex_unlock(&rf->lock);
	if (!j)
		return;
	if (!h->held)
		job_lose(j);
	else if (h->cancelled)
		job_cancel(j);
	job_plan(j);
	job_unref(j);
}

static void beat(struct task *task)
{
	struct review_fetcher *rf = CONTAINER_OF(task, struct review_fetcher, beat_task);
	struct beating b = {.rf = rf};
	struct fault f = {0};

	pthread_mutex_lock(&rf->lock);
	b.jobs = mem_alloc_array(rf->jobs.count + 1, sizeof(*b.jobs));
	map_each(&rf->jobs, note_holding, &b);
	gates_tidy(rf);
	pthread_mutex_unlock(&rf->lock);
	sessions_tidy(rf);
	if (store_transact(rf->parts.store, beat_body, &b, &f) < 0)
		log_event(LOG_ERROR, "job.beat_failed", F_FAULT(&f));
	for (size_t i = 0; i < b.n && f.kind == FAULT_NONE; i++) {
		if (!b.jobs[i].held || b.jobs[i].cancelled)
			heed(rf, &b.jobs[i]);
	}
	mem_free(b.jobs);
	jobs_take_turns(rf);
	jobs_look(rf);
	pthread_mutex_lock(&rf->lock);
	if (!rf->stopping)
		nap_until(rf, &rf->beat, &rf->beat_task, clock_mono_ms() + BEAT_MS);
	pthread_mutex_unlock(&rf->lock);
}

/* ---- life ---- */

/* SQLite has one serving process (store.h, exclusive): whatever lease is left belongs to a dead
 * one. */
static int inherit_body(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	if (db_engine(db) != DB_SQLITE)
		return 0;
	return db_exec(db,
		"UPDATE jobs SET lease_until_ms = 0 WHERE status IN ('queued', 'running', "
		"'waiting')",
		NULL, f);
}

int review_fetcher_new(
	const struct review_fetcher_parts *parts, struct review_fetcher **ret, struct fault *f)
{
	struct review_fetcher *rf = mem_alloc(sizeof(*rf));

	rf->parts = *parts;
	pthread_mutex_init(&rf->lock, NULL);
	rand_uuid4(rf->owner);
	rf->beat_task.run = beat;
	naps_init(rf);
	if (store_transact(parts->store, inherit_body, NULL, f) < 0) {
		review_fetcher_free(rf);
		return -1;
	}
	*ret = rf;
	pool_submit(parts->pool, &rf->beat_task);
	schedule_start(rf);
	retention_start(rf);
	return 0;
}

void review_fetcher_stop(struct review_fetcher *rf)
{
	if (!rf)
		return;
	pthread_mutex_lock(&rf->lock);
	rf->stopping = true;
	pthread_mutex_unlock(&rf->lock);
	scheduler_disarm(rf->parts.scheduler, &rf->timer);
	replies_stop(rf);
}

static void free_job(void *job)
{
	job_free(job);
}

static void free_token(void *token)
{
	secret_drop(token);
	mem_free(token);
}

void review_fetcher_free(struct review_fetcher *rf)
{
	if (!rf)
		return;
	map_drop_all(&rf->jobs, free_job);
	map_drop_all(&rf->tokens, free_token);
	sessions_free(rf);
	gates_free(rf);
	pthread_mutex_destroy(&rf->lock);
	mem_free(rf);
}
