/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the tests of repositories keep their rows: an SQLite file in a folder of the test's, or,
 * when UNIT_POSTGRES_URL names a server (without a path), a database there of the test program's,
 * made for its first test, emptied for each, and dropped at its end.
 */
#ifndef TESTS_UNIT_DATABASE_H
#define TESTS_UNIT_DATABASE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store.h"
#include "test.h"

/* In memory where there is such a place: these tests commit thousands of times, and what a disk
 * does with that is not theirs to prove (tests/contract/test_crash.c does). */
static inline const char *database_home(void)
{
	return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
}

static inline const char *database_server(void)
{
	const char *server = getenv("UNIT_POSTGRES_URL");

	return server != NULL && server[0] != '\0' ? server : NULL;
}

/* "CREATE" or "DROP" with the database's name, and what follows it. */
static inline void database_say(const char *verb, const char *rest)
{
	char url[256], words[256];
	const struct store_options options = {.url = url, .connections = 1};
	struct store *s = NULL;
	struct fault f = {0};
	struct db *db;

	snprintf(url, sizeof(url), "%s/postgres", database_server());
	snprintf(words, sizeof(words), "%s DATABASE \"unit-%d\"%s", verb, (int)getpid(), rest);
	if (store_open(&options, &s, &f) < 0 || store_take(s, &db, &f) < 0 ||
		db_exec(db, words, NULL, &f) < 0) {
		fprintf(stderr, "%s: %s\n", words, f.text);
		abort();
	}
	store_give(s, db);
	store_close(s);
}

/* A pooler may still hold sessions of it. */
static inline void database_drop(void)
{
	database_say("DROP", " WITH (FORCE)");
}

/* The URL for a test whose folder this is. */
static inline void database_make(const char *folder, char *ret_url, size_t size)
{
	static bool is_made;

	if (database_server() == NULL) {
		snprintf(ret_url, size, "sqlite:%s/test.db", folder);
		return;
	}
	snprintf(ret_url, size, "%s/unit-%d", database_server(), (int)getpid());
	if (is_made)
		return;
	is_made = true;
	database_say("CREATE", "");
	atexit(database_drop);
}

static inline int database_empty_body(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db_exec(db,
		"DO 'BEGIN SET LOCAL session_replication_role = replica; EXECUTE (SELECT "
		"''TRUNCATE '' || string_agg(quote_ident(tablename),"
		" '', '') || '' RESTART IDENTITY CASCADE'' FROM pg_tables WHERE schemaname ="
		" ''public'' AND tablename NOT IN (''schema_migrations'', ''changes_turn''));"
		" INSERT INTO events_state (one, purged_to) VALUES (1, 0); END'",
		NULL, f);
}

/* As the migrations leave it, past the rule that audit is never emptied; a file is new for each
 * test. Runs them. */
static inline void database_prepare(struct store *s)
{
	struct fault f = {0};

	if (store_migrate_up(s, &(int){0}, &f) < 0 ||
		(database_server() != NULL && store_transact(s, database_empty_body, NULL, &f) < 0))
		fail_msg("%s", f.text);
}

#endif
