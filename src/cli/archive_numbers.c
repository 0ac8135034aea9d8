/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that an engine has given, beside the rows that still bear them: what was deleted has
 * taken its number with it, and a reader of events who is at 1000 would wait for ever behind a
 * count that begins anew.
 */
#include "cli/archive.h"

#include <string.h>

#include "base/mem.h"
#include "store/store.h"

static int see_number(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct archive_numbers *x = arg;

	(void)n_cols;
	(void)f;
	return archive_number_note(x, db_get_text(&c[0]), db_get_int(&c[1])) ? 0 : 1;
}

/* By name, so that both engines say the same of the same house. */
bool archive_number_note(struct archive_numbers *x, const char *table, int64_t number)
{
	size_t i = 0;

	while (i < x->n && strcmp(x->list[i].table, table) < 0)
		i++;
	if (i == x->n || strcmp(x->list[i].table, table) != 0) {
		if (x->n == ARCHIVE_TABLES_MOST || strlen(table) >= ARCHIVE_NAME_BYTES)
			return false;
		memmove(&x->list[i + 1], &x->list[i], (x->n - i) * sizeof(x->list[0]));
		memcpy(x->list[i].table, table, strlen(table) + 1);
		x->list[i].number = 0;
		x->n++;
	}
	if (x->list[i].number < number)
		x->list[i].number = number;
	return true;
}

int archive_numbers_read(struct db *db, struct archive_numbers *x, struct fault *f)
{
	static const char *const of_sqlite =
		"SELECT name, seq FROM sqlite_sequence WHERE name <> 'changes'";
	static const char *const of_postgres =
		"SELECT CAST(c.relname AS TEXT), coalesce(s.last_value, 0) FROM pg_depend d"
		" JOIN pg_class c ON c.oid = d.refobjid JOIN pg_class q ON q.oid = d.objid"
		" JOIN pg_namespace n ON n.oid = q.relnamespace"
		" JOIN pg_sequences s ON s.schemaname = n.nspname AND s.sequencename = q.relname"
		" WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass"
		" AND d.deptype = 'i' AND q.relkind = 'S'"
		" AND c.relname NOT IN ('events', 'changes', 'changes_pending')"
		" AND n.nspname = current_schema()";

	/* Positions of events, which PostgreSQL's are not its own numbers. */
	if (db_read(db,
		    "SELECT 'events', CASE WHEN purged_to < coalesce((SELECT max(position) FROM"
		    " events), 0) THEN (SELECT max(position) FROM events) ELSE purged_to END"
		    " + (SELECT count(*) FROM events WHERE position IS NULL) FROM events_state",
		    see_number, x, f) < 0)
		return -1;
	return db_read(db, db_engine(db) == DB_SQLITE ? of_sqlite : of_postgres, see_number, x, f);
}

static int see_nothing(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	(void)arg;
	(void)c;
	(void)n_cols;
	(void)f;
	return 1;
}

/* What counts in SQLite, a row for each table of which one was inserted ever. */
MUST_CHECK static int set_sqlite(struct db *db, const char *table, int64_t number, struct fault *f)
{
	if (db_exec(db,
		    "INSERT INTO sqlite_sequence (name, seq) SELECT $1, 0 WHERE NOT EXISTS"
		    " (SELECT 1 FROM sqlite_sequence WHERE name = $1)",
		    NULL, f, db_text(table)) < 0)
		return -1;
	return db_exec(db, "UPDATE sqlite_sequence SET seq = $2 WHERE name = $1 AND seq < $2", NULL,
		f, db_text(table), db_int(number));
}

MUST_CHECK static int set_postgres(
	struct db *db, const char *table, int64_t number, struct fault *f)
{
	AUTO(buf_drop) struct buf sql = BUF_INIT(1024);

	buf_addf(&sql,
		"SELECT setval(pg_get_serial_sequence('%s', 'id'), greatest(m, 1), m > 0) FROM"
		" (SELECT greatest(CAST($1 AS BIGINT), (SELECT max(id) FROM \"%s\")) AS m) x",
		table, table);
	return db_read(db, buf_text(&sql), see_nothing, NULL, f, db_int(number));
}

struct counting {
	const struct archive_numbers *of_file;
	struct archive_numbers all;
};

/* A consumer bears the fence of its lease, and leases stay behind: it would wait for one as high.
 */
MUST_CHECK static int free_consumers(struct db *db, struct fault *f)
{
	return db_exec(db, "UPDATE event_consumers SET fence = 0", NULL, f);
}

/* A name of the file gets into a statement only when it is that of a table of ours. */
static int count_on(struct db *db, void *arg, struct fault *f)
{
	struct counting *x = arg;
	bool is_sqlite = db_engine(db) == DB_SQLITE;

	x->all.n = 0;
	if (archive_numbers_read(db, &x->all, f) < 0)
		return -1;
	for (size_t i = 0; i < x->of_file->n; i++)
		if (store_makes_table(x->of_file->list[i].table))
			(void)archive_number_note(
				&x->all, x->of_file->list[i].table, x->of_file->list[i].number);
	for (size_t i = 0; i < x->all.n; i++) {
		const struct archive_number *one = &x->all.list[i];

		if (is_sqlite ? set_sqlite(db, one->table, one->number, f) < 0
			      : strcmp(one->table, "events") != 0 &&
					set_postgres(db, one->table, one->number, f) < 0)
			return -1;
	}
	return free_consumers(db, f);
}

int archive_count_on(struct store *store, const struct archive_numbers *of_file, struct fault *f)
{
	struct counting *x = mem_alloc(sizeof(*x));
	int outcome;

	x->of_file = of_file;
	outcome = store_transact(store, count_on, x, f);
	mem_free(x);
	return outcome < 0 ? -1 : 0;
}
