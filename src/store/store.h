/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database behind one driver seam. A repository is written once, in SQL that SQLite 3.40 and
 * PostgreSQL 13 both take ($1 placeholders, ON CONFLICT DO UPDATE, RETURNING); an engine's own
 * words only where it must differ (db_engine). Times are 64-bit epoch milliseconds, JSON is TEXT,
 * secrets are sealed bytes. No statement text is built from input.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/attr.h"
#include "base/fault.h"
#include "base/secret.h"

enum db_type { DB_NULL, DB_INT, DB_DOUBLE, DB_TEXT, DB_BYTES };
struct db_value {
	enum db_type type;
	int64_t number;
	double real;
	const void *bytes; /* borrowed; DB_TEXT is NUL-terminated in rows */
	size_t len;
};

struct db_value db_int(int64_t v);
struct db_value db_int_or_null(int64_t v, bool is_set);
struct db_value db_double(double v);
struct db_value db_text(const char *text); /* NULL becomes NULL */
struct db_value db_text_n(const char *text, size_t len);
struct db_value db_bytes(const void *bytes, size_t len); /* NULL becomes NULL */
struct db_value db_sealed(const struct sealed *s);
struct db_value db_null(void);

/* Lenient readers of a column: 0 / NULL for NULL. */
int64_t db_get_int(const struct db_value *col);
double db_get_double(const struct db_value *col);
const char *db_get_text(const struct db_value *col); /* borrowed for the call */

struct db; /* one connection; one thread at a time */
enum db_engine { DB_SQLITE, DB_POSTGRES };
enum db_engine db_engine(const struct db *db);

/*
 * One row; columns are borrowed for the call. 0 goes on, 1 ends the reading early, -1 passes a
 * fault up. It may read by the same connection. An engine may hold the whole answer in memory: page
 * large ones.
 */
typedef int db_row_fn(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f);

/*
 * Runs one statement; args[0] is $1. *ret_changed (may be NULL) is the number of rows changed.
 * each may be NULL. -1: FAULT_CONFLICT (unique or foreign key; field = the constraint's first
 * column when known), FAULT_STORE (all else; retry_after_ms set when trying again can help),
 * FAULT_INPUT (a text is not UTF-8 or holds a NUL), FAULT_BUG (n_args is not the highest $N). After
 * a failed statement its transaction takes no other one, as on PostgreSQL: use ON CONFLICT rather
 * than try and see.
 */
MUST_CHECK int db_run(struct db *db, const char *sql, const struct db_value *args, size_t n_args,
	db_row_fn *each, void *arg, int64_t *ret_changed, struct fault *f);
/* The same with an array literal: db_exec(db, "…", f, db_int(1), db_text("x")). */
#define db_exec(db, sql, changed, f, ...)                                                         \
	db_run((db), (sql), (const struct db_value[]){{0}, ##__VA_ARGS__} + 1,                    \
		sizeof((const struct db_value[]){{0}, ##__VA_ARGS__}) / sizeof(struct db_value) - \
			1,                                                                        \
		NULL, NULL, (changed), (f))
#define db_read(db, sql, each, arg, f, ...)                                                       \
	db_run((db), (sql), (const struct db_value[]){{0}, ##__VA_ARGS__} + 1,                    \
		sizeof((const struct db_value[]){{0}, ##__VA_ARGS__}) / sizeof(struct db_value) - \
			1,                                                                        \
		(each), (arg), NULL, (f))

/*
 * The same for a statement whose answer nobody looks at: inside a transaction it may be sent with
 * the next statement or the commit, so that its fault may come from there. Then no answer of the
 * body stands: store_transact fails.
 */
MUST_CHECK int db_push(struct db *db, const char *sql, const struct db_value *args, size_t n_args,
	struct fault *f);

/*
 * The time by which all processes of one database judge leases, shares and due times, in epoch
 * microseconds: the server's clock, so that theirs may differ by minutes. On SQLite, which one
 * process serves, that process's own.
 */
MUST_CHECK int db_now_us(struct db *db, int64_t *ret, struct fault *f);

struct store;

struct store_options {
	const char *url;      /* sqlite:PATH or postgresql://… */
	unsigned connections; /* at most that many at once */
	bool exclusive;       /* SQLite: one serving process only (lock file beside the database) */
};
/*
 * Opens the database (SQLite: WAL, synchronous=FULL, foreign keys, 0600, creates file and folder).
 * -1 FAULT_INPUT for a bad URL or folder, FAULT_CONFLICT when another process serves it,
 * FAULT_STORE.
 */
MUST_CHECK int store_open(const struct store_options *options, struct store **ret, struct fault *f);
void store_close(struct store *s); /* all connections must be back; NULL is fine */
void store_closep(struct store **s);

/*
 * Takes a connection out of the pool; blocks while all are out. For tests, and for what the two
 * below cannot do. Worker threads and CLI only.
 */
MUST_CHECK int store_take(struct store *s, struct db **ret, struct fault *f);
void store_give(struct store *s, struct db *db); /* an open transaction is rolled back */

/*
 * Runs body in one write transaction (SQLite: BEGIN IMMEDIATE) and commits when it answers >= 0,
 * rolls back on -1. Answers what body answered. Body may run again after a serialization failure,
 * so it must not act on the outside. Durable when it returns >= 0.
 */
typedef int store_body_fn(struct db *db, void *arg, struct fault *f);
MUST_CHECK int store_transact(struct store *s, store_body_fn *body, void *arg, struct fault *f);
/*
 * The same in snapshot isolation (PostgreSQL: REPEATABLE READ): body sees one state, and loses when
 * a row that it writes was written meanwhile, but not for what it only read. For bodies each of
 * whose decisions rests on rows that it writes itself: long ones, which under SERIALIZABLE would
 * lose to each other for being near in an index.
 */
MUST_CHECK int store_transact_snapshot(
	struct store *s, store_body_fn *body, void *arg, struct fault *f);
/* Takes a connection, runs body outside a transaction, gives it back. */
MUST_CHECK int store_use(struct store *s, store_body_fn *body, void *arg, struct fault *f);
/* 0 when a trivial statement runs now and the database is the one that was opened: what readiness
 * asks. */
MUST_CHECK int store_ping(struct store *s, struct fault *f);

/* Migrations, embedded from sql/. Each runs in one transaction with its version row. */
struct store_version {
	int64_t database, binary; /* 0: an empty database */
	/* Tables of the original service are there and not taken over, or not to the end. Then
	 * store_migrate_up answers FAULT_CONFLICT, and only a takeover goes on. */
	bool is_original;
	bool was_original; /* taken over: there is no way back to schema 0 */
	bool is_strange; /* somebody else's clients are there: store_migrate_up answers CONFLICT */
};
MUST_CHECK int store_version(struct store *s, struct store_version *ret, struct fault *f);
/* Whether a migration makes it: others in the same database are somebody else's. */
bool store_makes_table(const char *name);
MUST_CHECK int store_migrate_up(struct store *s, int *ret_applied, struct fault *f);
MUST_CHECK int store_migrate_down(struct store *s, int64_t to, int *ret_undone, struct fault *f);

/*
 * Takeover of a database that the original service made, on PostgreSQL. begin puts its tables aside
 * as original_clients and original_tokens and makes ours; nothing when that was done before. -1
 * FAULT_CONFLICT: it is not in the one state that is known. Then come store_migrate_up and the
 * rows, which the caller moves; end drops the tables aside. -1 FAULT_BUG: a row is left in them.
 */
MUST_CHECK int store_takeover_begin(struct store *s, struct fault *f);
MUST_CHECK int store_takeover_end(struct store *s, struct fault *f);

/*
 * Change feed: a row a mutation that other processes (or the command line beside a running server)
 * must hear of. Written in the mutation's own transaction. store_ear.h rings when it is there.
 */
MUST_CHECK int store_note_change(struct db *db, const char *kind, const char *ref, struct fault *f);
typedef void store_change_fn(void *arg, const char *kind, const char *ref);
/*
 * Calls each for all changes after *cursor and moves it; -1 on the first call starts at the end. No
 * connection is held while each runs. The newest 10,000 changes are kept; a reader further behind
 * gets STORE_CHANGES_LOST first and must take everything as changed. Worker threads.
 */
#define STORE_CHANGES_LOST "lost"
MUST_CHECK int store_read_changes(
	struct store *s, int64_t *cursor, store_change_fn *each, void *arg, struct fault *f);

#endif
