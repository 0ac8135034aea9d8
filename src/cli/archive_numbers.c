/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/archive.h"

#include <string.h>

#include "base/mem.h"
#include "store/store.h"

struct number {
	char table[ARCHIVE_NAME_BYTES], column[ARCHIVE_NAME_BYTES];
};
struct numbers {
	struct number list[ARCHIVE_TABLES_MOST];
	size_t n;
};

static int see_number(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct numbers *x = arg;

	(void)n_cols;
	(void)f;
	if (x->n == ARCHIVE_TABLES_MOST)
		return 1;
	snprintf(x->list[x->n].table, ARCHIVE_NAME_BYTES, "%s", db_get_text(&c[0]));
	snprintf(x->list[x->n++].column, ARCHIVE_NAME_BYTES, "%s", db_get_text(&c[1]));
	return 0;
}

static int see_nothing(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	(void)arg;
	(void)c;
	(void)n_cols;
	(void)f;
	return 1;
}

/* PostgreSQL counts its numbers apart from the rows; SQLite takes them from those. */
static int count_on(struct db *db, void *arg, struct fault *f)
{
	struct numbers *x = arg;
	AUTO(buf_drop) struct buf sql = BUF_INIT(4096);

	if (db_engine(db) == DB_SQLITE)
		return 0;
	x->n = 0;
	if (db_read(db,
		    "SELECT CAST(c.relname AS TEXT), CAST(a.attname AS TEXT) FROM pg_attribute a"
		    " JOIN pg_class c ON c.oid = a.attrelid"
		    " JOIN pg_namespace n ON n.oid = c.relnamespace"
		    " WHERE n.nspname = current_schema() AND c.relkind = 'r'"
		    " AND a.attidentity <> '' AND c.relname <> 'events'",
		    see_number, x, f) < 0)
		return -1;
	for (size_t i = 0; i < x->n; i++) {
		const char *t = x->list[i].table, *c = x->list[i].column;

		buf_reset(&sql);
		buf_addf(&sql,
			"SELECT setval(pg_get_serial_sequence('%s', '%s'),"
			" greatest(m, 1), m > 0) FROM"
			" (SELECT coalesce(max(\"%s\"), 0) AS m FROM \"%s\") x",
			t, c, c, t);
		if (db_read(db, buf_text(&sql), see_nothing, NULL, f) < 0)
			return -1;
	}
	return 0;
}

int archive_count_on(struct store *store, struct fault *f)
{
	struct numbers *x = mem_alloc(sizeof(*x));
	int outcome = store_transact(store, count_on, x, f);

	mem_free(x);
	return outcome < 0 ? -1 : 0;
}
