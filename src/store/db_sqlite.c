/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite: one file in WAL mode, many readers, one writer. Threads of this process queue for the
 * writer's place (turn.h); against other processes – the command line beside a server – SQLite
 * waits in small naps for a bounded time. Statements are prepared once a connection.
 */
#include "store/db.h"

#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/sqlite_site.h"

#define STATEMENTS_KEPT 64 /* a connection; each costs some KiB */
#define COLUMNS_MAX 64
#define BUSY_NAP_MS 20
#define BUSY_NAPS_MAX 250 /* 5 s */
#define BUSY_RETRY_AFTER_MS 1000
#define DISK_RETRY_AFTER_MS 30000

struct statement {
	sqlite3_stmt *handle;
	char *sql;
	int n_args; /* the highest $N */
	uint64_t used_at;
	bool is_running, is_kept;
};

struct sqlite_db {
	struct db base;
	struct db_site *site;
	sqlite3 *handle;
	struct map statements;
	uint64_t uses;
	bool has_turn;
};

static struct sqlite_db *sqlite_of(struct db *db)
{
	return CONTAINER_OF(db, struct sqlite_db, base);
}

/* ---- faults ---- */

/* "UNIQUE constraint failed: clients.branch_id, clients.x" → "branch_id". */
static void copy_column(const char *message, char *ret, size_t size)
{
	const char *at = strrchr(message, ':'), *dot;
	size_t len;

	ret[0] = '\0';
	if (at == NULL || (dot = strchr(at, '.')) == NULL)
		return;
	len = strcspn(dot + 1, ", ");
	if (len < size) {
		memcpy(ret, dot + 1, len);
		ret[len] = '\0';
	}
}

static int raise_constraint(int code, const char *message, struct fault *f)
{
	switch (code) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		fault_raise(f, FAULT_CONFLICT, "%s", message);
		break;
	default:
		fault_raise(f, FAULT_STORE, "the database refused the row: %s", message);
		break;
	}
	copy_column(message, f->field, sizeof(f->field));
	return -1;
}

/* A result code of SQLite as a fault; message is SQLite's, and never bears a value. */
static int raise_code(const char *path, int code, const char *message, struct fault *f)
{
	uint32_t retry_after_ms = 0;

	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
		return raise_constraint(code, message, f);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		fault_raise(f, FAULT_STORE, "another process is writing to %s", path);
		retry_after_ms = BUSY_RETRY_AFTER_MS;
		break;
	case SQLITE_FULL:
		fault_raise(f, FAULT_STORE, "the disk is full: no room left for %s", path);
		retry_after_ms = DISK_RETRY_AFTER_MS;
		break;
	case SQLITE_IOERR:
		fault_raise(f, FAULT_STORE, "the disk failed under %s: %s (code %d)", path, message,
			code);
		retry_after_ms = DISK_RETRY_AFTER_MS;
		break;
	case SQLITE_READONLY:
		fault_raise(f, FAULT_STORE, "%s cannot be written: %s", path, message);
		break;
	case SQLITE_CANTOPEN:
		fault_raise(f, FAULT_STORE,
			"%s cannot be opened: look at its folder and permissions", path);
		break;
	case SQLITE_CORRUPT:
		fault_raise(f, FAULT_STORE, "%s is damaged (%s): restore a backup", path, message);
		break;
	case SQLITE_NOTADB:
		fault_raise(f, FAULT_STORE, "%s is not an SQLite database", path);
		break;
	case SQLITE_NOMEM:
		abort();
	default:
		fault_raise(f, FAULT_STORE, "%s (code %d)", message, code);
		break;
	}
	f->retry_after_ms = retry_after_ms;
	return -1;
}

static bool breaks_connection(int code)
{
	int primary = code & 0xff;

	return primary == SQLITE_IOERR || primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB ||
	       primary == SQLITE_CANTOPEN;
}

static int raise_last(struct sqlite_db *db, struct fault *f)
{
	int code = sqlite3_extended_errcode(db->handle);

	db->base.has_failed = true;
	db->base.is_broken |= breaks_connection(code);
	return raise_code(db->site->path, code, sqlite3_errmsg(db->handle), f);
}

static int raise_own_turn(struct fault *f)
{
	return fault_raise(
		f, FAULT_BUG, "this thread writes through another connection of the same store");
}

/* ---- connections ---- */

static int nap_while_busy(void *arg, int naps)
{
	(void)arg;
	if (naps >= BUSY_NAPS_MAX)
		return 0;
	clock_sleep_ms(naps < 4 ? 1 + naps : BUSY_NAP_MS);
	return 1;
}

MUST_CHECK static int exec(struct sqlite_db *db, const char *sql, struct fault *f)
{
	return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : raise_last(db, f);
}

static int see_mode(void *arg, int n_cols, char **cols, char **names)
{
	bool *is_wal = arg;

	(void)names;
	*is_wal = n_cols == 1 && cols[0] != NULL && strcmp(cols[0], "wal") == 0;
	return 0;
}

/* Two processes that open a new file at once meet here, and SQLite does not nap for this one. */
MUST_CHECK static int enter_wal(struct sqlite_db *db, struct fault *f)
{
	bool is_wal = false;
	int code, naps = 0;

	do {
		code = sqlite3_exec(
			db->handle, "PRAGMA journal_mode = WAL", see_mode, &is_wal, NULL);
	} while ((code & 0xff) == SQLITE_BUSY && nap_while_busy(NULL, naps++));
	if (code != SQLITE_OK)
		return raise_last(db, f);
	if (!is_wal)
		return fault_raise(f, FAULT_STORE,
			"%s does not take WAL mode: is it on a network file system?",
			db->site->path);
	return 0;
}

MUST_CHECK static int set_up(struct sqlite_db *db, struct fault *f)
{
	sqlite3_busy_handler(db->handle, nap_while_busy, NULL);
	/* "x" is a column and never a text, as on PostgreSQL. */
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	/* Triggers keep the words of reviews in FTS5, which SQLite 3.40 lets only a trusted schema
	 * do. The file is ours alone (0600), and no function that acts on anything is defined. */
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1, NULL);
	if (enter_wal(db, f) < 0)
		return -1;
	/* Memory: cache_size is KiB a connection. Deleted rows are overwritten (secure_delete). */
	return exec(db,
		"PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;"
		"PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY;"
		"PRAGMA journal_size_limit = 16777216",
		f);
}

static void drop_statement(void *value)
{
	struct statement *st = value;

	sqlite3_finalize(st->handle);
	mem_free(st->sql);
	mem_free(st);
}

static void close_db(struct db *base)
{
	struct sqlite_db *db = sqlite_of(base);

	map_drop_all(&db->statements, drop_statement);
	sqlite3_close(db->handle);
	mem_free(db);
}

static int open_db(struct db_site *site, struct db **ret, struct fault *f)
{
	struct sqlite_db *db = mem_alloc(sizeof(*db));
	/* Not CREATE: a file taken away under a running server must not come back empty. */
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
		    SQLITE_OPEN_PRIVATECACHE;
	int code = sqlite3_open_v2(site->path, &db->handle, flags, NULL);

	db->base.ops = &db_sqlite_ops;
	db->site = site;
	if (code != SQLITE_OK) {
		raise_code(site->path, code, sqlite3_errstr(code), f);
		close_db(&db->base);
		return -1;
	}
	if (set_up(db, f) < 0) {
		close_db(&db->base);
		return -1;
	}
	*ret = &db->base;
	return 0;
}

/* ---- transactions ---- */

static void give_turn(struct sqlite_db *db)
{
	if (!db->has_turn)
		return;
	db->has_turn = false;
	turn_give(&db->site->writers);
}

static int begin(struct db *base, struct fault *f)
{
	struct sqlite_db *db = sqlite_of(base);

	if (turn_take(&db->site->writers) == TURN_OWN)
		return raise_own_turn(f);
	db->has_turn = true;
	if (exec(db, "BEGIN IMMEDIATE", f) < 0) {
		give_turn(db);
		return -1;
	}
	return 0;
}

static int commit(struct db *base, struct fault *f)
{
	struct sqlite_db *db = sqlite_of(base);

	if (exec(db, "COMMIT", f) < 0)
		return -1;
	give_turn(db);
	return 0;
}

static void rollback(struct db *base)
{
	struct sqlite_db *db = sqlite_of(base);

	/* After some failures SQLite has rolled back by itself. */
	if (!sqlite3_get_autocommit(db->handle) &&
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
		base->is_broken = true;
	give_turn(db);
}

/* ---- statements ---- */

/* The highest $N; -1 when a parameter is named otherwise. */
static int count_args(sqlite3_stmt *handle)
{
	int highest = 0;

	for (int i = 1; i <= sqlite3_bind_parameter_count(handle); i++) {
		const char *name = sqlite3_bind_parameter_name(handle, i);
		int64_t n;

		if (name == NULL || name[0] != '$' || text_parse_int(name + 1, &n) != 0 || n < 1 ||
			n > 999)
			return -1;
		if (n > highest)
			highest = (int)n;
	}
	return highest;
}

MUST_CHECK static int prepare(
	struct sqlite_db *db, const char *sql, struct statement **ret, struct fault *f)
{
	const char *tail = "";
	sqlite3_stmt *handle = NULL;
	struct statement *st;
	int n_args;

	if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, &tail) !=
		SQLITE_OK)
		return raise_last(db, f);
	n_args = handle != NULL ? count_args(handle) : -1;
	if (n_args < 0 || tail[strspn(tail, " \t\n;")] != '\0') {
		sqlite3_finalize(handle);
		return fault_raise(f, FAULT_BUG,
			"a statement must be one and its parameters $1, $2, …: %.80s", sql);
	}
	st = mem_alloc(sizeof(*st));
	st->handle = handle;
	st->n_args = n_args;
	*ret = st;
	return 0;
}

static int find_oldest(void *arg, const void *key, size_t len, void *value)
{
	struct statement **oldest = arg, *st = value;

	(void)key, (void)len;
	if (!st->is_running && (*oldest == NULL || st->used_at < (*oldest)->used_at))
		*oldest = st;
	return 0;
}

static void keep(struct sqlite_db *db, const char *sql, size_t len, struct statement *st)
{
	struct statement *oldest = NULL;

	if (db->statements.count >= STATEMENTS_KEPT) {
		map_each(&db->statements, find_oldest, &oldest);
		if (oldest == NULL)
			return;
		map_remove(&db->statements, oldest->sql, strlen(oldest->sql));
		drop_statement(oldest);
	}
	st->sql = mem_text_n(sql, len);
	st->is_kept = true;
	map_put(&db->statements, sql, len, st);
}

/* A statement ready to run: a kept one, or a new one, which is only kept when its text is not
 * running now. */
MUST_CHECK static int find_statement(
	struct sqlite_db *db, const char *sql, struct statement **ret, struct fault *f)
{
	size_t len = strlen(sql);
	struct statement *kept = map_get(&db->statements, sql, len), *st = kept;

	if (kept == NULL || kept->is_running) {
		if (prepare(db, sql, &st, f) < 0)
			return -1;
		if (kept == NULL)
			keep(db, sql, len, st);
	}
	st->is_running = true;
	st->used_at = ++db->uses;
	*ret = st;
	return 0;
}

static void release_statement(struct statement *st)
{
	sqlite3_reset(st->handle);
	sqlite3_clear_bindings(st->handle);
	st->is_running = false;
	if (!st->is_kept)
		drop_statement(st);
}

static int bind_one(sqlite3_stmt *handle, int i, const struct db_value *v)
{
	switch (v->type) {
	case DB_INT:
		return sqlite3_bind_int64(handle, i, v->number);
	case DB_DOUBLE:
		return sqlite3_bind_double(handle, i, v->real);
	case DB_TEXT:
		return sqlite3_bind_text64(
			handle, i, v->len > 0 ? v->bytes : "", v->len, SQLITE_STATIC, SQLITE_UTF8);
	case DB_BYTES:
		return sqlite3_bind_blob64(
			handle, i, v->len > 0 ? v->bytes : "", v->len, SQLITE_STATIC);
	case DB_NULL:
		break;
	}
	return sqlite3_bind_null(handle, i);
}

/* By name: SQLite numbers $N in the order in which they appear. */
MUST_CHECK static int bind_all(struct sqlite_db *db, struct statement *st,
	const struct db_value *args, size_t n_args, struct fault *f)
{
	if ((size_t)st->n_args != n_args)
		return fault_raise(f, FAULT_BUG, "%zu arguments for a statement with %d: %.80s",
			n_args, st->n_args, sqlite3_sql(st->handle));
	for (int i = 1; i <= sqlite3_bind_parameter_count(st->handle); i++) {
		long n = strtol(sqlite3_bind_parameter_name(st->handle, i) + 1, NULL, 10);

		if (bind_one(st->handle, i, &args[n - 1]) != SQLITE_OK)
			return raise_last(db, f);
	}
	return 0;
}

static struct db_value read_column(sqlite3_stmt *handle, int i)
{
	const void *bytes;

	switch (sqlite3_column_type(handle, i)) {
	case SQLITE_INTEGER:
		return db_int(sqlite3_column_int64(handle, i));
	case SQLITE_FLOAT:
		return db_double(sqlite3_column_double(handle, i));
	case SQLITE_TEXT:
		bytes = sqlite3_column_text(handle, i);
		break;
	case SQLITE_BLOB:
		bytes = sqlite3_column_blob(handle, i);
		return db_bytes(
			bytes != NULL ? bytes : "", (size_t)sqlite3_column_bytes(handle, i));
	default:
		return db_null();
	}
	if (bytes == NULL) /* only when memory ran out */
		abort();
	return db_text_n(bytes, (size_t)sqlite3_column_bytes(handle, i));
}

/* What db_row_fn answers. */
static int hand_out(sqlite3_stmt *handle, db_row_fn *each, void *arg, struct fault *f)
{
	struct db_value cols[COLUMNS_MAX];
	int n_cols = sqlite3_column_count(handle);

	if (n_cols > COLUMNS_MAX)
		return fault_raise(f, FAULT_BUG, "a row of %d columns", n_cols);
	for (int i = 0; i < n_cols; i++)
		cols[i] = read_column(handle, i);
	return each(arg, cols, (size_t)n_cols, f);
}

MUST_CHECK static int step_all(
	struct sqlite_db *db, struct statement *st, db_row_fn *each, void *arg, struct fault *f)
{
	int code, verdict = 0;

	while (verdict == 0 && (code = sqlite3_step(st->handle)) == SQLITE_ROW)
		if (each != NULL)
			verdict = hand_out(st->handle, each, arg, f);
	if (verdict != 0)
		return verdict < 0 ? -1 : 0;
	return code == SQLITE_DONE ? 0 : raise_last(db, f);
}

/* A write outside a transaction is one of its own and queues like one. */
MUST_CHECK static int run_bound(
	struct sqlite_db *db, struct statement *st, db_row_fn *each, void *arg, struct fault *f)
{
	bool wants_turn = !db->has_turn && !sqlite3_stmt_readonly(st->handle) &&
			  sqlite3_get_autocommit(db->handle);
	int result;

	if (wants_turn && turn_take(&db->site->writers) == TURN_OWN)
		return raise_own_turn(f);
	result = step_all(db, st, each, arg, f);
	sqlite3_reset(st->handle); /* ends the transaction of its own */
	if (wants_turn)
		turn_give(&db->site->writers);
	return result;
}

static int run(struct db *base, const char *sql, const struct db_value *args, size_t n_args,
	db_row_fn *each, void *arg, int64_t *ret_changed, struct fault *f)
{
	struct sqlite_db *db = sqlite_of(base);
	int64_t before = sqlite3_total_changes64(db->handle);
	struct statement *st;
	int result;

	/* SQLite may have rolled back by itself; what follows must not run outside. */
	if (base->in_transaction && sqlite3_get_autocommit(db->handle))
		return fault_raise(f, FAULT_STORE, "the transaction is gone");
	if (find_statement(db, sql, &st, f) < 0)
		return -1;
	result = bind_all(db, st, args, n_args, f);
	if (result == 0)
		result = run_bound(db, st, each, arg, f);
	release_statement(st);
	/* sqlite3_changes() keeps its last value when a statement changes nothing. */
	if (result == 0 && ret_changed != NULL)
		*ret_changed = sqlite3_total_changes64(db->handle) != before
				       ? sqlite3_changes64(db->handle)
				       : 0;
	return result;
}

static int script(struct db *base, const char *sql, struct fault *f)
{
	struct sqlite_db *db = sqlite_of(base);

	if (exec(db, sql, f) < 0)
		return -1;
	if (sqlite3_get_autocommit(db->handle))
		return fault_raise(f, FAULT_BUG, "a script ended the transaction around it");
	return 0;
}

/* Reads the first page, so that a failing disk shows. */
static int ping(struct db *base, struct fault *f)
{
	if (sqlite_site_check(sqlite_of(base)->site, f) < 0)
		return -1;
	return run(base, "SELECT count(*) FROM sqlite_schema", NULL, 0, NULL, NULL, NULL, f);
}

const struct db_ops db_sqlite_ops = {
	.engine = DB_SQLITE,
	.name = "sqlite",
	.find_table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = $1",
	.attach = sqlite_site_attach,
	.detach = sqlite_site_detach,
	.open = open_db,
	.close = close_db,
	.begin = begin,
	.commit = commit,
	.rollback = rollback,
	.run = run,
	.script = script,
	.ping = ping,
};
