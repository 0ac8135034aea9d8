/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process at a time does it, under a lease. A round goes over all locations, a few in a
 * transaction, and takes away what nobody has seen for longer than the limit; it needs no memory of
 * where it was, since beginning again does no harm.
 *
 * A branch's purge is a row until it is done. A location that another branch shows too is not its
 * own to purge.
 */
#include "review_fetcher/retention.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "events/events.h"
#include "review_fetcher/engine.h"
#include "store/store.h"

#define LEASE_TTL_MS 30000
#define PIECE 500
#define LOCATIONS_AT_ONCE 50
#define PAUSE_MS 100
#define LOOK_EVERY_MS 10000
#define ROUND_EVERY_MS (6LL * 60 * 60 * 1000)

/* ---- what was not read again in time ---- */

struct sweep {
	int64_t retention_ms, at_id, limit_ms, gone;
	char *locations[LOCATIONS_AT_ONCE];
	int64_t ids[LOCATIONS_AT_ONCE];
	size_t n;
	const struct lease *lease;
	bool lost;
};

static int note_location(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct sweep *s = arg;

	(void)n_cols;
	(void)f;
	s->ids[s->n] = db_get_int(&cols[0]);
	s->locations[s->n++] = mem_text(db_get_text(&cols[1]));
	return s->n == LOCATIONS_AT_ONCE;
}

static int sweep_locations(struct db *db, struct sweep *s, struct fault *f)
{
	static const char sql[] =
		"DELETE FROM reviews WHERE id IN (SELECT id FROM reviews WHERE location_id = $1"
		" AND last_seen_ms < $2 LIMIT $3)";

	for (size_t i = 0; i < s->n && s->gone < PIECE; i++) {
		int64_t gone = 0;

		if (db_exec(db, sql, &gone, f, db_text(s->locations[i]), db_int(s->limit_ms),
			    db_int(PIECE)) < 0)
			return -1;
		s->gone += gone;
		/* What is stored is not complete any more: the next pass reads all. */
		if (gone > 0 && db_exec(db,
					"UPDATE locations SET watermark_us = NULL"
					" WHERE location_id = $1",
					NULL, f, db_text(s->locations[i])) < 0)
			return -1;
		if (gone < PIECE) /* else there may be more of it */
			s->at_id = s->ids[i];
	}
	return 0;
}

static int sweep_body(struct db *db, void *arg, struct fault *f)
{
	static const char sql[] =
		"SELECT id, location_id FROM locations WHERE id > $1 ORDER BY id LIMIT $2";
	struct sweep *s = arg;
	int64_t now_us, from_id = s->at_id;
	int done;

	s->gone = 0;
	s->n = 0;
	s->lost = false;
	done = lease_keep(db, s->lease, f);
	if (done != LEASE_HELD) {
		s->lost = true;
		return done < 0 ? -1 : 0;
	}
	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	s->limit_ms = now_us / 1000 - s->retention_ms;
	done = db_read(db, sql, note_location, s, f, db_int(from_id), db_int(LOCATIONS_AT_ONCE));
	if (done >= 0)
		done = sweep_locations(db, s, f);
	for (size_t i = 0; i < s->n; i++)
		mem_free(s->locations[i]);
	if (done < 0)
		s->at_id = from_id;
	return done < 0 ? -1 : 0;
}

/* Whether there is more to do in this round. */
static int sweep(struct review_fetcher *rf, bool *ret_more, struct fault *f)
{
	struct retention *r = &rf->retention;
	struct sweep s = {.retention_ms = rf->parts.settings->review_retention_ms,
		.at_id = r->at_id,
		.lease = &r->lease};

	*ret_more = false;
	if (s.retention_ms == 0 || clock_mono_ms() < r->next_round_ms)
		return 0;
	if (store_transact(rf->parts.store, sweep_body, &s, f) < 0)
		return -1;
	if (s.lost)
		return 0;
	r->at_id = s.at_id;
	if (s.gone > 0)
		log_event(LOG_INFO, "retention.purged", F_INT("reviews", s.gone));
	*ret_more = s.n > 0;
	if (s.n == 0) {
		r->at_id = 0;
		r->next_round_ms = clock_mono_ms() + ROUND_EVERY_MS;
	}
	return 0;
}

/* ---- branches that were disconnected for good ---- */

struct purge {
	const struct lease *lease;
	char *branch_id;
	int64_t gone;
	int64_t from_event, at_event; /* what was told up to here is looked at */
	int more_events;
};

static int note_purge(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct purge *p = arg;

	(void)n_cols;
	(void)f;
	p->branch_id = mem_text(db_get_text(&cols[0]));
	return 1;
}

/* One piece; the row goes when nothing is left. */
static int purge_piece(struct db *db, struct purge *p, struct fault *f)
{
	/* Places that another branch shows, too, stay; this one's way to them goes. */
	static const char shared_sql[] =
		"DELETE FROM location_parents WHERE branch_id = $1 AND EXISTS (SELECT 1"
		" FROM location_parents o WHERE o.location_id = location_parents.location_id"
		" AND o.branch_id <> $1)";
	static const char reviews_sql[] =
		"DELETE FROM reviews WHERE id IN (SELECT r.id FROM reviews r JOIN location_parents "
		"p"
		" ON p.location_id = r.location_id WHERE p.branch_id = $1 LIMIT $2)";
	static const char locations_sql[] =
		"DELETE FROM locations WHERE location_id IN (SELECT location_id"
		" FROM location_parents WHERE branch_id = $1 LIMIT $2)";
	static const char live_sql[] = "UPDATE jobs SET cancel_requested = 1 WHERE branch_id = $1"
				       " AND status IN ('queued', 'running', 'waiting')";
	struct db_value branch = db_text(p->branch_id);

	/* What still reads would bring back what goes. */
	if (db_exec(db, live_sql, &p->gone, f, branch) < 0)
		return -1;
	if (p->gone > 0)
		return 0;
	if (db_exec(db, shared_sql, NULL, f, branch) < 0 ||
		db_exec(db, reviews_sql, &p->gone, f, branch, db_int(PIECE)) < 0)
		return -1;
	if (p->gone == 0 && db_exec(db, locations_sql, &p->gone, f, branch, db_int(PIECE)) < 0)
		return -1;
	if (p->gone > 0)
		return 0;
	p->more_events = events_purge_reviews(db, p->branch_id, &p->at_event, f);
	if (p->more_events != 0)
		return p->more_events < 0 ? -1 : 0;
	if (db_exec(db, "DELETE FROM accounts WHERE branch_id = $1", NULL, f, branch) < 0 ||
		db_exec(db, "DELETE FROM branch_places WHERE branch_id = $1", NULL, f, branch) <
			0 ||
		/* Should it be connected again, its places are listed at once. */
		db_exec(db, "UPDATE branch_schedules SET places_due_ms = 0 WHERE branch_id = $1",
			NULL, f, branch) < 0 ||
		db_exec(db, "DELETE FROM purges WHERE branch_id = $1", NULL, f, branch) < 0)
		return -1;
	return 0;
}

static int purge_body(struct db *db, void *arg, struct fault *f)
{
	struct purge *p = arg;
	int kept = lease_keep(db, p->lease, f);

	mem_free(TAKE(p->branch_id));
	p->gone = p->more_events = 0;
	p->at_event = p->from_event;
	if (kept != LEASE_HELD)
		return kept < 0 ? -1 : 0;
	if (db_read(db, "SELECT branch_id FROM purges ORDER BY requested_at_ms LIMIT 1", note_purge,
		    p, f) < 0)
		return -1;
	return p->branch_id ? purge_piece(db, p, f) : 0;
}

static int purge(struct review_fetcher *rf, bool *ret_more, struct fault *f)
{
	struct retention *r = &rf->retention;
	struct purge p = {.lease = &r->lease, .from_event = r->at_event};
	int done = store_transact(rf->parts.store, purge_body, &p, f);

	*ret_more = p.branch_id != NULL;
	if (done >= 0)
		r->at_event = p.more_events ? p.at_event : 0;
	if (done >= 0 && p.branch_id && p.gone == 0 && !p.more_events)
		log_event(LOG_INFO, "retention.branch_purged", F_STR("branch", p.branch_id));
	mem_free(p.branch_id);
	return done < 0 ? -1 : 0;
}

/* ---- */

static int look(struct review_fetcher *rf, int64_t *ret_wait_ms, struct fault *f)
{
	bool more_purges = false, more_sweeps = false;
	int held = lease_take(rf->parts.store, &rf->retention.lease, f);

	if (held != LEASE_HELD)
		return held < 0 ? -1 : 0;
	if (purge(rf, &more_purges, f) < 0 || sweep(rf, &more_sweeps, f) < 0)
		return -1;
	if (more_purges || more_sweeps)
		*ret_wait_ms = PAUSE_MS;
	return 0;
}

static void run(struct task *task)
{
	struct review_fetcher *rf = CONTAINER_OF(task, struct review_fetcher, retention.task);
	struct fault f = {0};
	int64_t wait_ms = LOOK_EVERY_MS;

	if (look(rf, &wait_ms, &f) < 0)
		log_event(LOG_ERROR, "retention.failed", F_FAULT(&f));
	pthread_mutex_lock(&rf->lock);
	if (!rf->stopping)
		nap_until(rf, &rf->retention.nap, task, clock_mono_ms() + wait_ms);
	pthread_mutex_unlock(&rf->lock);
}

void retention_start(struct review_fetcher *rf)
{
	struct retention *r = &rf->retention;

	r->lease = (struct lease){.name = "retention", .owner = rf->owner, .ttl_ms = LEASE_TTL_MS};
	r->task.run = run;
	pthread_mutex_lock(&rf->lock);
	if (!rf->stopping)
		nap_until(rf, &r->nap, &r->task, clock_mono_ms() + LOOK_EVERY_MS);
	pthread_mutex_unlock(&rf->lock);
}

/* ---- the door ---- */

static int ask_body(struct db *db, void *arg, struct fault *f)
{
	int64_t now_us;

	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	return db_exec(db,
		"INSERT INTO purges (branch_id, requested_at_ms) VALUES ($1, $2)"
		" ON CONFLICT DO NOTHING",
		NULL, f, db_text(arg), db_int(now_us / 1000));
}

int reviews_purge_branch(struct review_fetcher *rf, const char *branch_id, struct fault *f)
{
	struct retention *r = &rf->retention;
	char *copy = mem_text(branch_id);
	int done = store_transact(rf->parts.store, ask_body, copy, f);

	mem_free(copy);
	if (done < 0)
		return -1;
	pthread_mutex_lock(&rf->lock);
	if (!rf->stopping && r->nap.on)
		nap_until(rf, &r->nap, &r->task, clock_mono_ms());
	pthread_mutex_unlock(&rf->lock);
	return 0;
}
