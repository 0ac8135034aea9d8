/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Positions on an engine with many writers. Numbers that are drawn in a transaction show up in the
 * order of the commits, so a reader who remembers the highest one misses what commits late. Here a
 * row gets its position after its commit, by whoever holds the one row of events_state: he sees
 * what is committed and without a position, and numbers it behind all others. The next one waits
 * for that row, so positions become visible in their own order.
 */
#include "events/events.h"

#include "store/store.h"

#define ORDER_PIECE 1000

static int see_any(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	bool *found = arg;

	(void)cols, (void)n_cols, (void)f;
	*found = true;
	return 1;
}

/* Cheap, and mostly all that happens. An engine that orders by itself answers no. */
static int look_body(struct db *db, void *arg, struct fault *f)
{
	if (db_engine(db) == DB_SQLITE)
		return 0;
	return db_read(db, "SELECT 1 FROM events WHERE position IS NULL LIMIT 1", see_any, arg, f);
}

/* Ids grow along whatever depends on each other: who changes a row again does it behind the commit
 * that changed it before. */
static int order_body(struct db *db, void *arg, struct fault *f)
{
	int64_t *ret = arg;

	*ret = 0;
	if (db_exec(db, "UPDATE events_state SET purged_to = purged_to WHERE one = 1", NULL, f) < 0)
		return -1;
	return db_exec(db,
		"UPDATE events SET position = o.place FROM (SELECT id, row_number() OVER (ORDER BY "
		"id)"
		" + (SELECT greatest(s.purged_to, coalesce((SELECT max(position) FROM events), 0))"
		" FROM events_state s WHERE s.one = 1) AS place"
		" FROM events WHERE position IS NULL ORDER BY id LIMIT $1) o"
		" WHERE events.id = o.id",
		ret, f, db_int(ORDER_PIECE));
}

int events_order(struct store *s, struct fault *f)
{
	bool is_wanted = false;
	int64_t n, total = 0;

	if (store_use(s, look_body, &is_wanted, f) < 0)
		return -1;
	if (!is_wanted)
		return 0;
	do {
		if (store_transact(s, order_body, &n, f) < 0)
			return -1;
		total += n;
	} while (n == ORDER_PIECE);
	return (int)total;
}
