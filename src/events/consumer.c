/* SPDX-License-Identifier: Apache-2.0 */
#include "events/events_consumer.h"

#include <stdio.h>

#include "base/clock.h"
#include "store/store.h"

void event_consumer_init(
	struct event_consumer *c, const char *name, const char *owner, int64_t ttl_ms)
{
	*c = (struct event_consumer){.lease = {.owner = owner, .ttl_ms = ttl_ms}};
	snprintf(c->name, sizeof(c->name), "%s", name);
	snprintf(c->lease_name, sizeof(c->lease_name), "consumer.%s", c->name);
}

struct entering {
	struct event_consumer *consumer;
	int from;
	bool found;
	int64_t position;
};

static int see_position(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct entering *e = arg;

	(void)n_cols, (void)f;
	e->found = true;
	e->position = db_get_int(&cols[0]);
	return 0;
}

/* 1: the row bears our fence, so that no earlier holder moves it any more. */
static int enter_body(struct db *db, void *arg, struct fault *f)
{
	struct entering *e = arg;
	const struct event_consumer *c = e->consumer;

	e->found = false;
	if (db_exec(db,
		    "INSERT INTO event_consumers (name, position, fence, updated_at_ms)"
		    " SELECT CAST($1 AS TEXT), CASE WHEN CAST($2 AS BIGINT) = 0"
		    " OR (SELECT max(position) FROM events) IS NULL THEN purged_to"
		    " ELSE (SELECT max(position) FROM events) END, 0, CAST($3 AS BIGINT)"
		    " FROM events_state WHERE one = 1 ON CONFLICT (name) DO NOTHING",
		    NULL, f, db_text(c->name), db_int(e->from == CONSUMER_FROM_NOW ? 1 : 0),
		    db_int(clock_wall_ms())) < 0)
		return -1;
	return db_read(db,
		"UPDATE event_consumers SET fence = $2 WHERE name = $1 AND fence < $2"
		" RETURNING position",
		see_position, e, f, db_text(c->name), db_int(c->lease.fence));
}

int event_consumer_claim(struct store *s, struct event_consumer *c, int from, struct fault *f)
{
	const int64_t fence = c->lease.fence;
	struct entering e = {.consumer = c, .from = from};
	int outcome;

	c->lease.name = c->lease_name; /* here, so that the whole may be moved before */
	outcome = lease_take(s, &c->lease, f);
	if (outcome != LEASE_HELD || c->lease.fence == fence)
		return outcome;
	outcome = store_transact(s, enter_body, &e, f);
	if (outcome < 0 || !e.found) {
		c->lease.fence = 0; /* the next claim begins anew */
		return outcome < 0 ? -1 : LEASE_ELSEWHERE;
	}
	c->position = e.position;
	return LEASE_HELD;
}

struct advance {
	const struct event_consumer *consumer;
	int64_t position;
};

static int advance_body(struct db *db, void *arg, struct fault *f)
{
	const struct advance *a = arg;
	int64_t changed;

	if (db_exec(db,
		    "UPDATE event_consumers SET position = $3, updated_at_ms = $4"
		    " WHERE name = $1 AND fence = $2",
		    &changed, f, db_text(a->consumer->name), db_int(a->consumer->lease.fence),
		    db_int(a->position), db_int(clock_wall_ms())) < 0)
		return -1;
	return changed == 1 ? LEASE_HELD : LEASE_ELSEWHERE;
}

int event_consumer_advance(
	struct store *s, struct event_consumer *c, int64_t position, struct fault *f)
{
	struct advance a = {c, position};
	int outcome;

	if (c->lease.fence == 0)
		return LEASE_ELSEWHERE;
	if (position <= c->position)
		return LEASE_HELD;
	outcome = store_transact(s, advance_body, &a, f);
	if (outcome == LEASE_HELD)
		c->position = position;
	if (outcome == LEASE_ELSEWHERE)
		c->lease.fence = 0;
	return outcome;
}

int event_consumer_release(struct store *s, struct event_consumer *c, struct fault *f)
{
	return lease_give(s, &c->lease, f);
}

static int forget_body(struct db *db, void *arg, struct fault *f)
{
	const char *name = arg;

	return db_exec(db, "DELETE FROM event_consumers WHERE name = $1", NULL, f, db_text(name));
}

int event_consumer_forget(struct store *s, const char *name, struct fault *f)
{
	char copy[64];

	snprintf(copy, sizeof(copy), "%s", name);
	return store_transact(s, forget_body, copy, f);
}
