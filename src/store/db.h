/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver seam: the whole difference between one engine and another. Pool, transactions,
 * repeats, migrations and the change feed know only this table. Inside store/ only.
 *
 * Engines differ in what a failed statement does to its transaction. Here the strict way holds for
 * all: after a failed statement a transaction takes no other, and can only be rolled back.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "store/store.h"

struct db_ops;

/* First member of an engine's connection. */
struct db {
	const struct db_ops *ops;
	struct db *next; /* the store's list of idle connections */
	/* Set by the engine: */
	bool is_broken; /* not to be used again: the store closes it when it comes back */
	bool has_lost;  /* the transaction lost against another one and may run again as a whole */
	/* Set by the engine when a statement fails, looked at and cleared by the store: */
	bool has_failed;
	/* Set by the store: */
	bool in_transaction;
	bool is_snapshot; /* the transaction that begins asks for snapshot isolation only */
	bool rings;       /* the commit is to wake who listens for changes */
	bool lost_before; /* the transaction that begins lost already: nobody of this process should
			     be in its way */
};

struct db_site; /* what the connections of one store share; each engine has its own */

/* What listening is done with. */
struct db_listening {
	struct db_site *site;
	int end_fd; /* readable: it is to end */
	void (*heard)(void *arg);
	void *arg;
	bool has_listened; /* set by the engine */
};
enum { DB_LISTEN_ENDED, DB_LISTEN_CANNOT };

struct db_ops {
	enum db_engine engine;
	const char *name;       /* scheme of its URLs, start of its migrations' names */
	const char *find_table; /* statement that answers one row when table $1 is there */

	/* address: the URL behind the scheme. Does not connect. Faults as store_open. */
	int (*attach)(const char *address, bool exclusive, struct db_site **ret, struct fault *f);
	void (*detach)(struct db_site *site);
	/* *ret has ops set and is given back by close. */
	int (*open)(struct db_site *site, struct db **ret, struct fault *f);
	void (*close)(struct db *db);
	/* NULL, or: whether a connection that lay idle can be handed out. */
	bool (*is_usable)(struct db *db);

	/* A write transaction. When commit fails, rollback follows. */
	int (*begin)(struct db *db, struct fault *f);
	int (*commit)(struct db *db, struct fault *f);
	void (*rollback)(struct db *db); /* of any open transaction; none is fine */

	/* As db_run; the texts have been looked at. */
	int (*run)(struct db *db, const char *sql, const struct db_value *args, size_t n_args,
		db_row_fn *each, void *arg, int64_t *ret_changed, struct fault *f);
	/* NULL, or as db_push. */
	int (*push)(struct db *db, const char *sql, const struct db_value *args, size_t n_args,
		struct fault *f);
	/* Many statements without arguments, inside the open transaction. */
	int (*script)(struct db *db, const char *sql, struct fault *f);
	/* NULL, or: inside the open transaction, waits until no other process migrates. First of
	 * all. */
	int (*lock_migrations)(struct db *db, struct fault *f);
	/* 0 when the engine answers. */
	int (*ping)(struct db *db, struct fault *f);
	/* NULL when numbers of changes become visible in their order; else gives all that is
	 * committed in changes_pending its number in changes, of which the newest `keep` stay.
	 * Outside a transaction. */
	int (*order_changes)(struct db *db, int64_t keep, struct fault *f);
	/* With order_changes: leaves the change of kind $1, ref $2 and time $3 aside. */
	const char *note_change;
	/* NULL, or: calls l->heard when a commit rang (db.rings), until l->end_fd says so
	 * (DB_LISTEN_ENDED). DB_LISTEN_CANNOT: not over this connection; -1: it was lost. */
	int (*listen)(struct db_listening *l, struct fault *f);
};

extern const struct db_ops db_sqlite_ops;
extern const struct db_ops db_postgres_ops;

/*
 * A migration's text as an engine takes it (sql/README.md has the rules): words in braces become
 * the engine's, blocks for the other engine go. Of the caller (mem_free). -1 FAULT_BUG.
 */
MUST_CHECK int migrate_text(
	const struct db_ops *ops, const char *text, char **ret, struct fault *f);

/* Inside migrate.c, for the takeover: the first migration with its version row, and the table of
 * versions. */
MUST_CHECK int migrate_first(struct db *db, struct fault *f);
MUST_CHECK int migrate_prepare(struct store *s, struct fault *f);
MUST_CHECK int migrate_has_table(struct db *db, const char *name, bool *ret, struct fault *f);
/* Before a takeover, in its transaction. -1 FAULT_CONFLICT: what would be lost or keep it from its
 * end, by name. PostgreSQL only. */
MUST_CHECK int takeover_check(struct db *db, struct fault *f);

/* As store_open, over a given engine: for engines made up by tests. */
MUST_CHECK int store_open_with(const struct db_ops *ops, const char *address,
	const struct store_options *options, struct store **ret, struct fault *f);
const struct db_ops *store_ops(const struct store *s);
struct db_site *store_site(const struct store *s);

#endif
