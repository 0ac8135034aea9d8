/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/parked.h"

#include <stdio.h>

#include "base/clock.h"
#include "store/store.h"

static int add_body(struct db *db, void *arg, struct fault *f)
{
	const struct parked *p = arg;
	int64_t added;

	if (db_exec(db,
		    "INSERT INTO parked_events (consumer, event_id, position, kind, branch_id, ref,"
		    " tries, status, error, parked_at_ms)"
		    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
		    " ON CONFLICT (consumer, event_id) DO NOTHING",
		    &added, f, db_text(p->consumer), db_text(p->event_id), db_int(p->position),
		    db_text(p->kind), db_text(p->branch_id), db_text(p->ref), db_int(p->tries),
		    db_int_or_null(p->status, p->status != 0), db_text(p->error),
		    db_int(clock_wall_ms())) < 0)
		return -1;
	if (added == 0)
		return 0;
	return db_exec(db,
		"DELETE FROM parked_events WHERE consumer = $1 AND position <= (SELECT position"
		" FROM parked_events WHERE consumer = $1 ORDER BY position DESC"
		" LIMIT 1 OFFSET $2)",
		NULL, f, db_text(p->consumer), db_int(PARKED_KEPT));
}

int parked_add(struct store *s, const struct parked *p, struct fault *f)
{
	struct parked copy = *p;

	return store_transact(s, add_body, &copy, f);
}

/* ---- shown ---- */

struct showing {
	struct json_out *out;
	const char *consumer;
};

static int show_state(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	const struct showing *s = arg;
	const int64_t position = db_get_int(&c[0]), end = db_get_int(&c[2]);

	(void)n_cols, (void)f;
	json_add_int(s->out, "position", position);
	json_add_int(s->out, "lag", end > position ? end - position : 0);
	json_add_time(s->out, "moved_at", db_get_int(&c[1]));
	json_add_text(s->out, "held_by", db_get_text(&c[3]));
	json_add_int(s->out, "parked_total", db_get_int(&c[4]));
	return 0;
}

static int show_parked(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct json_out *o = ((const struct showing *)arg)->out;

	(void)n_cols, (void)f;
	json_open(o, '{');
	json_add_text(o, "event_id", db_get_text(&c[0]));
	json_add_int(o, "position", db_get_int(&c[1]));
	json_add_text(o, "event", db_get_text(&c[2]));
	json_add_text(o, "branch_id", db_get_text(&c[3]));
	json_add_text(o, "ref", db_get_text(&c[4]));
	json_add_int(o, "tries", db_get_int(&c[5]));
	json_key(o, "status");
	if (c[6].type == DB_NULL)
		json_put_null(o);
	else
		json_put_int(o, db_get_int(&c[6]));
	json_add_text(o, "error", db_get_text(&c[7]));
	json_add_time(o, "parked_at", db_get_int(&c[8]));
	json_close(o, '}');
	return 0;
}

static int show_body(struct db *db, void *arg, struct fault *f)
{
	const struct showing *s = arg;
	char lease[80];

	snprintf(lease, sizeof(lease), "consumer.%s", s->consumer);
	if (db_read(db,
		    "SELECT c.position, c.updated_at_ms,"
		    " (SELECT COALESCE(max(e.position), 0) FROM events e),"
		    " (SELECT l.owner FROM leases l WHERE l.name = $2),"
		    " (SELECT count(*) FROM parked_events p WHERE p.consumer = $1)"
		    " FROM event_consumers c WHERE c.name = $1",
		    show_state, arg, f, db_text(s->consumer), db_text(lease)) < 0)
		return -1;
	json_key(s->out, "parked");
	json_open(s->out, '[');
	if (db_read(db,
		    "SELECT event_id, position, kind, branch_id, ref, tries, status, error,"
		    " parked_at_ms FROM parked_events WHERE consumer = $1"
		    " ORDER BY position DESC LIMIT $2",
		    show_parked, arg, f, db_text(s->consumer), db_int(PARKED_SHOWN)) < 0)
		return -1;
	json_close(s->out, ']');
	return 0;
}

int consumer_write(struct store *s, const char *consumer, bool connected, struct json_out *ret,
	struct fault *f)
{
	struct showing showing = {ret, consumer};

	json_open(ret, '{');
	json_add_text(ret, "consumer", consumer);
	json_add_bool(ret, "connected", connected);
	if (store_use(s, show_body, &showing, f) < 0)
		return -1;
	json_close(ret, '}');
	return 0;
}
