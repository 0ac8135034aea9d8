/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/archive.h"

#include <string.h>

#include "base/text.h"
#include "store/store.h"

/* What is of one process, one engine or one hour only, and stays behind. */
static const char *const left_behind[] = {"schema_migrations", "changes", "changes_pending",
	"changes_turn", "leases", "sessions", "sign_in_links", "api_budgets", "edit_budgets",
	"house_moves", "alembic_version", "audit_bound", "review_days", NULL};
static const char *const of_connections[] = {"clients", "tokens", "former_tokens", "connect_flows",
	"link_tickets", "api_keys", "audit", "security_events", "imports", "import_lines",
	"imported_tokens", NULL};
static const char *const of_reviews[] = {"accounts", "locations", "location_parents", "reviews",
	"jobs", "job_walks", "branch_places", "branch_schedules", "location_schedules", NULL};

static bool is_in(const char *const *list, const char *name)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

unsigned archive_what(const char *word)
{
	return strcmp(word, "connections") == 0 ? ARCHIVE_CONNECTIONS
	       : strcmp(word, "reviews") == 0   ? ARCHIVE_REVIEWS
	       : strcmp(word, "all") == 0       ? ARCHIVE_ALL
						: 0;
}

static bool belongs(const char *name, unsigned what)
{
	if (is_in(left_behind, name) || !store_makes_table(name))
		return false;
	if (is_in(of_connections, name))
		return (what & ARCHIVE_CONNECTIONS) != 0;
	if (is_in(of_reviews, name) || text_starts(name, "review"))
		return (what & ARCHIVE_REVIEWS) != 0;
	return what == ARCHIVE_ALL;
}

/* ---- what the database says of itself ---- */

struct listing {
	char (*names)[ARCHIVE_NAME_BYTES];
	size_t n, most;
	unsigned what;       /* of tables; 0: all that comes */
	const char *without; /* NULL: nothing */
};

static int see_name(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct listing *x = arg;
	const char *name = db_get_text(&c[0]);

	(void)n_cols;
	if ((x->what != 0 && !belongs(name, x->what)) || text_equal(name, x->without))
		return 0;
	if (x->n == x->most || strlen(name) >= ARCHIVE_NAME_BYTES)
		return fault_raise(f, FAULT_BUG, "%.60s is one name too many, or too long", name);
	memcpy(x->names[x->n++], name, strlen(name) + 1);
	return 0;
}

int archive_tables(struct db *db, unsigned what, struct archive_names *ret, struct fault *f)
{
	struct listing x = {.names = ret->names, .most = ARCHIVE_TABLES_MOST, .what = what};
	const char *sql =
		db_engine(db) == DB_SQLITE
			? "SELECT name FROM sqlite_master WHERE type = 'table'"
			  " AND substr(name, 1, 7) <> 'sqlite_' AND name NOT IN (SELECT t.name FROM"
			  " pragma_table_list t WHERE t.type IN ('shadow', 'virtual')) ORDER BY "
			  "rowid"
			: "SELECT CAST(c.relname AS TEXT) FROM pg_class c"
			  " JOIN pg_namespace n ON n.oid = c.relnamespace"
			  " WHERE c.relkind = 'r' AND n.nspname = current_schema() ORDER BY c.oid";

	if (db_read(db, sql, see_name, &x, f) < 0)
		return -1;
	ret->n = x.n;
	return 0;
}

#define OF_TABLE                                                     \
	" FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid" \
	" JOIN pg_namespace n ON n.oid = c.relnamespace"             \
	" WHERE n.nspname = current_schema() AND c.relname = CAST($1 AS TEXT)"

int archive_describe(struct db *db, const char *name, struct archive_table *ret, struct fault *f)
{
	bool is_sqlite = db_engine(db) == DB_SQLITE;
	struct listing columns = {.names = ret->columns, .most = ARCHIVE_COLUMNS_MOST};
	struct listing keys = {.names = ret->keys, .most = ARCHIVE_KEYS_MOST};

	if (strlen(name) >= ARCHIVE_NAME_BYTES || !belongs(name, ARCHIVE_ALL))
		return fault_raise(f, FAULT_INPUT, "%.60s is no table that can be moved", name);
	/* PostgreSQL numbers its events by two columns, SQLite by one. */
	columns.without = strcmp(name, "events") == 0 ? "id" : NULL;
	memcpy(ret->name, name, strlen(name) + 1);
	if (db_read(db,
		    is_sqlite ? "SELECT name FROM pragma_table_info($1) ORDER BY cid"
			      : "SELECT CAST(a.attname AS TEXT)" OF_TABLE
				" AND a.attnum > 0 AND NOT a.attisdropped"
				" AND a.attgenerated = '' ORDER BY a.attnum",
		    see_name, &columns, f, db_text(name)) < 0 ||
		db_read(db,
			is_sqlite
				? "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk"
				: "SELECT CAST(a.attname AS TEXT)" OF_TABLE
				  " AND a.attnum = ANY ((SELECT i.indkey FROM pg_index i WHERE"
				  " i.indrelid = c.oid AND i.indisprimary)::int2[])"
				  " ORDER BY a.attnum",
			see_name, &keys, f, db_text(name)) < 0)
		return -1;
	ret->n_columns = columns.n;
	ret->n_keys = keys.n;
	if (ret->n_columns == 0 || ret->n_keys == 0)
		return fault_raise(f, FAULT_INPUT,
			"the database has no table %.60s with a key: bring both programs to one "
			"version first",
			name);
	return 0;
}

size_t archive_column(const struct archive_table *t, const char *name)
{
	size_t i = 0;

	while (i < t->n_columns && strcmp(t->columns[i], name) != 0)
		i++;
	return i;
}
