/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The due times. One transaction is a branch's turn: it makes jobs of all that is due or nearly due
 * and moves the due times on, so that a process which dies between has done both or nothing, and of
 * two that meet only one does it.
 *
 * A location comes due again from when it was last asked for, never by a grid: when there is more
 * to do than the budget allows, everything comes round later, in proportion.
 */
#include "review_fetcher/schedule.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/walks.h"
#include "store/store.h"

#define DAY_MS (24LL * 60 * 60 * 1000)
#define LOCATIONS_PER_JOB 500
#define JOBS_MOST 200      /* of the schedule, under way at once, in all processes */
#define AGAIN_MS 60000     /* what came due while a job of its kind runs */
#define QUIET_MOST 24      /* a location is asked so much less often at most */
#define REFUSED_MS 3600000 /* a refused project is probed as often */
#define NOTHING_YET_MS                                                             \
	3600000 /* a branch of which nothing could be listed yet is tried as often \
		 */

/* ---- pace ---- */

struct schedule_pace schedule_pace(const struct settings *s)
{
	struct schedule_pace p = {s->review_sync_interval_ms, s->review_full_sync_interval_ms, 0};
	int64_t longest = s->review_retention_ms / 5 * 4;

	if (p.quick_ms == 0 && p.full_ms == 0)
		return p;
	if (longest > 0 && (p.full_ms == 0 || p.full_ms > longest))
		p.full_ms = longest;
	p.places_ms = p.full_ms > 0 && p.full_ms < DAY_MS ? p.full_ms : DAY_MS;
	return p;
}

static int64_t jitter_of(const char *text)
{
	return (int64_t)(hash_stable(text, strlen(text)) % 1000);
}

/* ---- small reads ---- */

static int read_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	if (cols[0].type != DB_NULL)
		*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

static int read_text(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	if (db_get_text(&cols[0]))
		buf_add_text(arg, db_get_text(&cols[0]));
	return 0;
}

static int now_ms(struct db *db, int64_t *ret, struct fault *f)
{
	if (db_now_us(db, ret, f) < 0)
		return -1;
	*ret /= 1000;
	return 0;
}

struct ids {
	char *list[LOCATIONS_PER_JOB];
	size_t n;
};

static int take_id(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct ids *ids = arg;

	(void)n_cols;
	(void)f;
	ids->list[ids->n++] = mem_text(db_get_text(&cols[0]));
	return ids->n == ARRAY_LEN(ids->list);
}

static void ids_drop(struct ids *ids)
{
	while (ids->n > 0)
		mem_free(ids->list[--ids->n]);
}

/* ---- locations that are new ---- */

/* What was read a moment ago, by the job that found it, need not be read at once. */
static int adopt_one(struct db *db, const struct schedule_turn *t, const char *location_id,
	int64_t now, struct fault *f)
{
	static const char sql[] =
		"INSERT INTO location_schedules (location_id, branch_id, jitter, quick_due_ms,"
		" full_due_ms) SELECT l.location_id, $2, $3, $4,"
		" CASE WHEN l.last_synced_at_ms IS NULL THEN $5 ELSE $6 END FROM locations l"
		" WHERE l.location_id = $1 ON CONFLICT DO NOTHING";
	int64_t jitter = jitter_of(location_id);

	return db_exec(db, sql, NULL, f, db_text(location_id), db_text(t->branch_id),
		db_int(jitter), db_int(now + t->pace.quick_ms * jitter / 1000), db_int(now),
		db_int(now + t->pace.full_ms * jitter / 1000));
}

static int adopt(
	struct db *db, const struct schedule_turn *t, int64_t now, bool *ret_more, struct fault *f)
{
	static const char sql[] =
		"SELECT DISTINCT p.location_id FROM location_parents p WHERE p.branch_id = $1"
		" AND p.listed_at_ms >= COALESCE((SELECT b.listed_at_ms FROM branch_places b"
		" WHERE b.branch_id = p.branch_id), 0)"
		" AND NOT EXISTS (SELECT 1 FROM location_schedules s"
		" WHERE s.location_id = p.location_id) LIMIT $2";
	struct ids ids = {0};
	int done = db_read(
		db, sql, take_id, &ids, f, db_text(t->branch_id), db_int(LOCATIONS_PER_JOB));

	for (size_t i = 0; done >= 0 && i < ids.n; i++)
		done = adopt_one(db, t, ids.list[i], now, f);
	*ret_more = ids.n == LOCATIONS_PER_JOB;
	ids_drop(&ids);
	return done;
}

/* ---- jobs ---- */

/* 1: there is one already. */
static int queue_job(struct db *db, const struct schedule_turn *t, const char *mode,
	const char *scope, int64_t now, char ret_id[static 37], struct fault *f)
{
	static const char sql[] =
		"INSERT INTO jobs (id, branch_id, mode, scope, origin, status, created_at_ms,"
		" patient) VALUES ($1, $2, $3, $4, 'schedule', 'queued', $5, 1)"
		" ON CONFLICT DO NOTHING";
	int64_t made = 0;

	rand_uuid4(ret_id);
	if (db_exec(db, sql, &made, f, db_text(ret_id), db_text(t->branch_id), db_text(mode),
		    db_text(scope), db_int(now)) < 0)
		return -1;
	return made == 0;
}

static int is_under_way(
	struct db *db, const struct schedule_turn *t, const char *mode, struct fault *f)
{
	static const char sql[] = "SELECT count(*) FROM jobs WHERE branch_id = $1 AND mode = $2"
				  " AND status IN ('queued', 'running', 'waiting')";
	int64_t n = 0;

	if (db_read(db, sql, read_number, &n, f, db_text(t->branch_id), db_text(mode)) < 0)
		return -1;
	return n > 0;
}

struct times {
	int64_t now, places_due_ms;
	bool runs, more; /* a job of this branch does; there are more new locations */
};

/*
 * All accounts and locations are listed; as long as nothing is known everything is read as well,
 * and what failed is soon tried again, since there is nothing else to do for the branch.
 */
static int queue_listing(struct db *db, struct schedule_turn *t, struct times *at, struct fault *f)
{
	static const char listed_sql[] =
		"SELECT listed_at_ms FROM branch_places WHERE branch_id = $1";
	static const char known_sql[] =
		"SELECT count(*) FROM (SELECT 1 AS one FROM location_parents"
		" WHERE branch_id = $1 LIMIT 1) a";
	int64_t period_ms = t->pace.places_ms / 1000 * (950 + jitter_of(t->branch_id) / 10);
	int64_t listed_ms = 0, known = 0;
	bool added;

	if (at->places_due_ms > at->now)
		return 0;
	if (db_read(db, listed_sql, read_number, &listed_ms, f, db_text(t->branch_id)) < 0 ||
		db_read(db, known_sql, read_number, &known, f, db_text(t->branch_id)) < 0)
		return -1;
	if (listed_ms + period_ms > at->now) { /* a job that was asked for did it */
		at->places_due_ms = listed_ms + period_ms;
		return 0;
	}
	known += listed_ms > 0;
	at->places_due_ms =
		at->now + (known || period_ms < NOTHING_YET_MS ? period_ms : NOTHING_YET_MS);
	if (job_add_listing(db, t->branch_id, known ? MODE_PLACES : "full", "schedule", at->now,
		    &added, f) < 0)
		return -1;
	t->jobs += added;
	return 0;
}

/* The account through which the branch shows a location; "" when it does so no more. */
static int find_account(struct db *db, const struct schedule_turn *t, const char *location_id,
	struct buf *ret, struct fault *f)
{
	static const char sql[] =
		"SELECT min(p.account_id) FROM location_parents p WHERE p.branch_id = $1"
		" AND p.location_id = $2 AND p.listed_at_ms >= COALESCE((SELECT b.listed_at_ms"
		" FROM branch_places b WHERE b.branch_id = p.branch_id), 0)";

	return db_read(db, sql, read_text, ret, f, db_text(t->branch_id), db_text(location_id));
}

/* Those of the first one's account; they are taken out of ids. */
static int open_some(struct db *db, const struct walk_opening *o, const struct schedule_turn *t,
	struct ids *ids, int64_t *opened, struct fault *f)
{
	AUTO(buf_drop) struct buf account = BUF_INIT(1024), other = BUF_INIT(1024);
	struct ids some = {0};
	size_t kept = 0;
	int done = find_account(db, t, ids->list[0], &account, f);

	for (size_t i = 0; i < ids->n; i++) {
		buf_reset(&other);
		if (done >= 0)
			done = find_account(db, t, ids->list[i], &other, f);
		if (strcmp(buf_text(&other), buf_text(&account)) == 0)
			some.list[some.n++] = ids->list[i];
		else
			ids->list[kept++] = ids->list[i];
	}
	ids->n = kept;
	if (done >= 0 && account.len > 0)
		done = walks_open(db, o, buf_text(&account), (const char *const *)some.list, some.n,
			opened, f);
	for (size_t i = 0; done >= 0 && account.len == 0 && i < some.n; i++)
		done = db_exec(db, "DELETE FROM location_schedules WHERE location_id = $1", NULL, f,
			db_text(some.list[i]));
	ids_drop(&some);
	return done < 0 ? -1 : 0;
}

static int open_all(struct db *db, const struct walk_opening *o, const struct schedule_turn *t,
	struct ids *ids, struct fault *f)
{
	int64_t opened = 0;

	while (ids->n > 0) {
		if (open_some(db, o, t, ids, &opened, f) < 0)
			return -1;
	}
	if (db_exec(db, "UPDATE jobs SET locations = $2 WHERE id = $1", NULL, f, db_text(o->job_id),
		    db_int(opened)) < 0)
		return -1;
	return job_tell(db, o->job_id, f);
}

struct claim {
	const char *mode, *sql;
	int64_t ahead_ms; /* what will be due by then goes with it */
	int64_t interval_ms, other_ms;
};

static int queue_due(
	struct db *db, struct schedule_turn *t, const struct claim *c, int64_t now, struct fault *f)
{
	struct ids ids = {0};
	char id[37];
	const struct walk_opening o = {.job_id = id,
		.branch_id = t->branch_id,
		.now_ms = now,
		.is_quick = text_equal(c->mode, "quick"),
		.is_patient = true};
	int done = db_read(db, c->sql, take_id, &ids, f, db_text(t->branch_id),
		db_int(now + c->ahead_ms), db_int(LOCATIONS_PER_JOB), db_int(now),
		db_int(c->interval_ms), db_int(c->other_ms));

	if (done >= 0 && ids.n > 0) {
		done = queue_job(db, t, c->mode, "due", now, id, f);
		if (done == 0)
			done = open_all(db, &o, t, &ids, f);
		t->jobs += done == 0;
	}
	ids_drop(&ids);
	return done < 0 ? -1 : 0;
}

#define CLAIMED(column)                                                                          \
	" WHERE location_id IN (SELECT location_id FROM location_schedules WHERE branch_id = $1" \
	" AND " column " <= $2 ORDER BY " column " LIMIT $3)"
/* Half a tenth earlier or later, by hash. */
#define JITTERED(interval) "$4 + (" interval ") / 1000 * (950 + jitter / 10)"

/* The longer the newest word is ago, the later it is asked again: the 24th part of that time. */
static const char quick_sql[] = "UPDATE location_schedules SET quick_due_ms = " JITTERED(
	"SELECT CASE WHEN a.quiet / 24 < $5 THEN $5 WHEN a.quiet / 24 > $6 THEN $6"
	" ELSE a.quiet / 24 END FROM (SELECT $4 - COALESCE(max(r.review_updated_us), 0) / 1000"
	" AS quiet FROM reviews r WHERE r.location_id = location_schedules.location_id"
	" AND r.deleted_at_ms IS NULL) a") CLAIMED("quick_due_ms") " RETURNING location_id";
/* What is read whole need not be asked soon after. */
static const char full_sql[] = "UPDATE location_schedules SET full_due_ms = " JITTERED(
	"$5") ", quick_due_ms ="
	      " CASE WHEN quick_due_ms < $4 + $6 THEN $4 + $6 ELSE quick_due_ms END" CLAIMED(
		      "full_due_ms") " RETURNING location_id";

/* ---- the turn ---- */

/* The earliest time that counts. What is due while a job of its kind runs waits for that. */
static int next_due(struct db *db, const struct schedule_turn *t, const struct times *at,
	int64_t *ret, struct fault *f)
{
	int64_t quick = INT64_MAX, full = INT64_MAX;

	if (db_read(db, "SELECT min(quick_due_ms) FROM location_schedules WHERE branch_id = $1",
		    read_number, &quick, f, db_text(t->branch_id)) < 0 ||
		db_read(db, "SELECT min(full_due_ms) FROM location_schedules WHERE branch_id = $1",
			read_number, &full, f, db_text(t->branch_id)) < 0)
		return -1;
	if (t->pace.quick_ms == 0)
		quick = INT64_MAX;
	if (t->pace.full_ms == 0)
		full = INT64_MAX;
	*ret = at->places_due_ms < quick ? at->places_due_ms : quick;
	*ret = full < *ret ? full : *ret;
	if (*ret <= at->now || (at->runs && *ret > at->now + AGAIN_MS) || t->jobs > 0)
		*ret = at->now + AGAIN_MS;
	if (at->more)
		*ret = at->now;
	return 0;
}

static int queue_all(struct db *db, struct schedule_turn *t, struct times *at, struct fault *f)
{
	const struct schedule_pace *p = &t->pace;
	const struct claim full = {"full", full_sql, p->full_ms / 20, p->full_ms, p->quick_ms};
	const struct claim quick = {
		"quick", quick_sql, p->quick_ms / 5, p->quick_ms, p->quick_ms * QUIET_MOST};
	int full_runs, quick_runs, places_run;

	if (queue_listing(db, t, at, f) < 0)
		return -1;
	full_runs = is_under_way(db, t, full.mode, f);
	quick_runs = full_runs < 0 ? -1 : is_under_way(db, t, quick.mode, f);
	places_run = quick_runs < 0 ? -1 : is_under_way(db, t, MODE_PLACES, f);
	if (places_run < 0)
		return -1;
	at->runs = full_runs || quick_runs || places_run;
	/* A job that is finding places has not read them yet. */
	if (!at->runs && adopt(db, t, at->now, &at->more, f) < 0)
		return -1;
	if (!full_runs && p->full_ms > 0 && queue_due(db, t, &full, at->now, f) < 0)
		return -1;
	return !quick_runs && p->quick_ms > 0 ? queue_due(db, t, &quick, at->now, f) : 0;
}

int schedule_turn(struct db *db, void *turn, struct fault *f)
{
	static const char take_sql[] =
		"UPDATE branch_schedules SET due_ms = $2 + $3 WHERE branch_id = $1 AND due_ms <= $2"
		" RETURNING places_due_ms";
	struct schedule_turn *t = turn;
	struct times at = {.places_due_ms = -1};
	int64_t due_ms;

	t->jobs = 0;
	if (now_ms(db, &at.now, f) < 0 ||
		db_read(db, take_sql, read_number, &at.places_due_ms, f, db_text(t->branch_id),
			db_int(at.now), db_int(AGAIN_MS)) < 0)
		return -1;
	if (at.places_due_ms < 0)
		return 0;
	if (queue_all(db, t, &at, f) < 0 || next_due(db, t, &at, &due_ms, f) < 0)
		return -1;
	return db_exec(db,
		"UPDATE branch_schedules SET due_ms = $2, places_due_ms = $3 WHERE branch_id = $1",
		NULL, f, db_text(t->branch_id), db_int(due_ms), db_int(at.places_due_ms));
}

/* ---- branches that cannot be read ---- */

static int hand_over(struct db *db, const struct schedule_turn *t, int64_t now, struct fault *f)
{
	static const char hand_sql[] =
		"UPDATE location_schedules SET branch_id = (SELECT min(p.branch_id)"
		" FROM location_parents p JOIN branch_schedules b ON b.branch_id = p.branch_id"
		" WHERE p.location_id = location_schedules.location_id AND p.branch_id <> $1"
		" AND b.due_ms IS NOT NULL)"
		" WHERE branch_id = $1 AND EXISTS (SELECT 1"
		" FROM location_parents p JOIN branch_schedules b ON b.branch_id = p.branch_id"
		" WHERE p.location_id = location_schedules.location_id AND p.branch_id <> $1"
		" AND b.due_ms IS NOT NULL)";
	static const char wake_sql[] =
		"UPDATE branch_schedules SET due_ms = $2 WHERE due_ms > $2 AND branch_id IN"
		" (SELECT s.branch_id FROM location_schedules s JOIN location_parents p"
		" ON p.location_id = s.location_id WHERE p.branch_id = $1 AND s.branch_id <> $1)";
	int64_t handed = 0;

	if (db_exec(db, hand_sql, &handed, f, db_text(t->branch_id)) < 0)
		return -1;
	if (handed == 0)
		return 0;
	return db_exec(db, wake_sql, NULL, f, db_text(t->branch_id), db_int(now));
}

int schedule_park(struct db *db, void *turn, struct fault *f)
{
	const struct schedule_turn *t = turn;
	int64_t now;

	if (now_ms(db, &now, f) < 0 ||
		db_exec(db, "UPDATE branch_schedules SET due_ms = NULL WHERE branch_id = $1", NULL,
			f, db_text(t->branch_id)) < 0)
		return -1;
	return hand_over(db, t, now, f);
}

int schedule_drop(struct db *db, void *turn, struct fault *f)
{
	const struct schedule_turn *t = turn;

	if (schedule_park(db, turn, f) < 0 ||
		db_exec(db, "DELETE FROM location_schedules WHERE branch_id = $1", NULL, f,
			db_text(t->branch_id)) < 0)
		return -1;
	return db_exec(db, "DELETE FROM branch_schedules WHERE branch_id = $1", NULL, f,
		db_text(t->branch_id));
}

int schedule_postpone(struct db *db, void *turn, struct fault *f)
{
	const struct schedule_turn *t = turn;
	int64_t now;

	if (now_ms(db, &now, f) < 0)
		return -1;
	return db_exec(db,
		"UPDATE branch_schedules SET due_ms = $2 WHERE branch_id = $1 AND due_ms <= $3",
		NULL, f, db_text(t->branch_id), db_int(now + t->wait_ms), db_int(now));
}

/* ---- who is next ---- */

static int read_next(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct schedule_peek *p = arg;

	(void)n_cols;
	(void)f;
	snprintf(p->branch_id, sizeof(p->branch_id), "%s", db_get_text(&cols[0]));
	p->wait_ms = db_get_int(&cols[1]);
	return 1;
}

int schedule_peek(struct db *db, void *peek, struct fault *f)
{
	static const char live_sql[] = "SELECT count(*) FROM jobs WHERE origin = 'schedule'"
				       " AND status IN ('queued', 'running', 'waiting')";
	struct schedule_peek *p = peek;
	int64_t longest = p->wait_ms, now, live = 0;

	*p->branch_id = '\0';
	p->wait_ms = INT64_MAX;
	if (now_ms(db, &now, f) < 0 || db_read(db, live_sql, read_number, &live, f) < 0)
		return -1;
	p->full = live >= JOBS_MOST;
	if (db_read(db,
		    "SELECT branch_id, due_ms FROM branch_schedules WHERE due_ms IS NOT NULL"
		    " ORDER BY due_ms LIMIT 1",
		    read_next, p, f) < 0)
		return -1;
	if (p->wait_ms > now)
		*p->branch_id = '\0';
	p->wait_ms = p->wait_ms - now < longest ? p->wait_ms - now : longest;
	return 0;
}

int schedule_ask_project(struct db *db, void *project, struct fault *f)
{
	struct schedule_project *p = project;
	int64_t now, n = 0;

	if (now_ms(db, &now, f) < 0 ||
		db_read(db,
			"SELECT count(*) FROM api_budgets WHERE project = $1"
			" AND diagnosed_at_ms > $2",
			read_number, &n, f, db_text(p->project), db_int(now - REFUSED_MS)) < 0)
		return -1;
	p->refused = n > 0;
	return 0;
}

int schedule_wake(struct db *db, void *wake, struct fault *f)
{
	static const char sql[] = "INSERT INTO branch_schedules (branch_id, due_ms) VALUES ($1, $2)"
				  " ON CONFLICT (branch_id) DO UPDATE SET due_ms = excluded.due_ms"
				  " WHERE branch_schedules.due_ms IS NULL";
	const struct schedule_wake *w = wake;
	int64_t now;

	if (now_ms(db, &now, f) < 0)
		return -1;
	for (size_t i = 0; i < w->n; i++) {
		int64_t due_ms = now + w->spread_ms * jitter_of(w->branches[i]) / 1000;

		if (db_exec(db, sql, NULL, f, db_text(w->branches[i]), db_int(due_ms)) < 0)
			return -1;
	}
	return 0;
}
