/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Old events go in small pieces, from the front, so that a purge never holds the writers up. The
 * row of events_state remembers how far it went, and whoever asks for less is told that he missed
 * something.
 */
#include "events/events.h"

#include "base/clock.h"
#include "store/store.h"

struct purge {
	int64_t old_ms, too_old_ms; /* wall */
	int64_t taken;              /* by the slowest consumer; INT64_MAX: there is none */
	int64_t to;
	int64_t n;
};

static int see_taken(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct purge *p = arg;

	(void)n_cols, (void)f;
	p->taken = cols[0].type == DB_NULL ? INT64_MAX : db_get_int(&cols[0]);
	return 0;
}

/* Stops at the first one that must stay. */
static int see_age(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct purge *p = arg;
	const int64_t position = db_get_int(&cols[0]), at_ms = db_get_int(&cols[1]);

	(void)n_cols, (void)f;
	if (at_ms >= p->old_ms || (position > p->taken && at_ms >= p->too_old_ms))
		return 1;
	p->to = position;
	return 0;
}

static int purge_body(struct db *db, void *arg, struct fault *f)
{
	struct purge *p = arg;

	p->to = p->n = 0;
	if (db_read(db, "SELECT min(position) FROM event_consumers", see_taken, p, f) < 0 ||
		db_read(db,
			"SELECT position, at_ms FROM events WHERE position IS NOT NULL"
			" ORDER BY position LIMIT $1",
			see_age, p, f, db_int(EVENTS_PURGE_PIECE)) < 0)
		return -1;
	if (p->to == 0)
		return 0;
	if (db_exec(db, "UPDATE events_state SET purged_to = $1 WHERE one = 1 AND purged_to < $1",
		    NULL, f, db_int(p->to)) < 0)
		return -1;
	return db_exec(db, "DELETE FROM events WHERE position <= $1", &p->n, f, db_int(p->to));
}

/* Most of the time there is nothing, and a look does not keep the writers out. */
static int look_body(struct db *db, void *arg, struct fault *f)
{
	return db_read(db,
		"SELECT position, at_ms FROM events WHERE position IS NOT NULL"
		" ORDER BY position LIMIT 1",
		see_age, arg, f);
}

int events_purge(struct store *s, int64_t retention_ms, struct fault *f)
{
	const int64_t now_ms = clock_wall_ms();
	struct purge p = {
		.old_ms = now_ms - retention_ms,
		.too_old_ms = now_ms - EVENTS_HOLD_FACTOR * retention_ms,
		.taken = INT64_MAX,
	};

	if (store_use(s, look_body, &p, f) < 0)
		return -1;
	if (p.to == 0)
		return 0;
	if (store_transact(s, purge_body, &p, f) < 0)
		return -1;
	return (int)p.n;
}

static int see_bounds(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	int64_t *bounds = arg;

	(void)n_cols, (void)f;
	bounds[0] = db_get_int(&cols[0]);
	bounds[1] = cols[1].type == DB_NULL ? INT64_MAX : db_get_int(&cols[1]);
	return 0;
}

int events_purge_reviews(struct db *db, const char *branch_id, int64_t *at, struct fault *f)
{
	/* The newest one stays: readers know by it how far the table is. */
	static const char bounds_sql[] =
		"SELECT (SELECT COALESCE(max(position), 1) - 1 FROM events),"
		" (SELECT min(position) FROM event_consumers)";
	int64_t bounds[2], to;

	if (db_read(db, bounds_sql, see_bounds, bounds, f) < 0)
		return -1;
	to = bounds[0] < bounds[1] ? bounds[0] : bounds[1];
	if (to - *at > EVENTS_SCAN_MAX)
		to = *at + EVENTS_SCAN_MAX;
	if (to <= *at)
		return 0;
	if (db_exec(db,
		    "DELETE FROM events WHERE position > $1 AND position <= $2 AND branch_id = $3"
		    " AND kind LIKE 'review.%'",
		    NULL, f, db_int(*at), db_int(to), db_text(branch_id)) < 0)
		return -1;
	*at = to;
	return 1;
}
