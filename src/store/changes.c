/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers poll with the number of the last row that they saw. Where numbers would become visible in
 * another order (db_ops.order_changes), they are given by the readers. The table is kept short by
 * the writers: now and then the one that adds a row takes the oldest away. A reader that slept past
 * that is told so.
 */
#include "store/store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/db.h"

#define CHANGES_KEPT 10000
#define CHANGES_PRUNE_EVERY 500
#define CHANGES_BATCH 256

/* What one look at the table found. Handed on only when the connection is back in the pool. */
struct batch {
	int64_t cursor;
	bool has_gap;
	size_t n;
	struct {
		char *kind, *ref;
	} rows[CHANGES_BATCH];
};

static int see_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	int64_t *number = arg;

	(void)n_cols, (void)f;
	*number = db_get_int(&cols[0]);
	return 0;
}

int store_note_change(struct db *db, const char *kind, const char *ref, struct fault *f)
{
	int64_t seq = 0;

	if (db->ops->order_changes != NULL) {
		const struct db_value row[] = {
			db_text(kind), db_text(ref), db_int(clock_wall_ms())};

		db->rings = true;
		return db_push(db, db->ops->note_change, row, ARRAY_LEN(row), f);
	}
	if (db_read(db, "INSERT INTO changes (kind, ref, at_ms) VALUES ($1, $2, $3) RETURNING seq",
		    see_number, &seq, f, db_text(kind), db_text(ref), db_int(clock_wall_ms())) < 0)
		return -1;
	if (seq % CHANGES_PRUNE_EVERY != 0)
		return 0;
	return db_exec(
		db, "DELETE FROM changes WHERE seq <= $1", NULL, f, db_int(seq - CHANGES_KEPT));
}

static int see_change(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct batch *b = arg;

	(void)n_cols, (void)f;
	b->cursor = db_get_int(&cols[0]);
	b->rows[b->n].kind = mem_text(db_get_text(&cols[1]));
	b->rows[b->n].ref = mem_text(db_get_text(&cols[2]));
	b->n++;
	return 0;
}

MUST_CHECK static int order(struct db *db, struct fault *f)
{
	return db->ops->order_changes != NULL ? db->ops->order_changes(db, CHANGES_KEPT, f) : 0;
}

static int read_end(struct db *db, void *arg, struct fault *f)
{
	if (order(db, f) < 0)
		return -1;
	return db_read(db, "SELECT coalesce(max(seq), 0) FROM changes", see_number, arg, f);
}

static int read_batch(struct db *db, void *arg, struct fault *f)
{
	struct batch *b = arg;
	int64_t first = 0, start = b->cursor;

	if (order(db, f) < 0)
		return -1;
	if (db_read(db, "SELECT seq, kind, ref FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2",
		    see_change, b, f, db_int(start), db_int(CHANGES_BATCH)) < 0)
		return -1;
	if (b->n == 0)
		return 0;
	if (db_read(db, "SELECT min(seq) FROM changes", see_number, &first, f) < 0)
		return -1;
	b->has_gap = first > start + 1;
	return 0;
}

static void drop_rows(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		mem_free(b->rows[i].kind);
		mem_free(b->rows[i].ref);
	}
	b->n = 0;
}

int store_read_changes(
	struct store *s, int64_t *cursor, store_change_fn *each, void *arg, struct fault *f)
{
	struct batch b = {.cursor = *cursor};
	size_t n;

	if (*cursor < 0)
		return store_use(s, read_end, cursor, f);
	do {
		b.has_gap = false;
		if (store_use(s, read_batch, &b, f) < 0) {
			drop_rows(&b);
			return -1;
		}
		n = b.n;
		if (b.has_gap)
			each(arg, STORE_CHANGES_LOST, "");
		for (size_t i = 0; i < n; i++)
			each(arg, b.rows[i].kind, b.rows[i].ref);
		drop_rows(&b);
		*cursor = b.cursor;
	} while (n == CHANGES_BATCH);
	return 0;
}
