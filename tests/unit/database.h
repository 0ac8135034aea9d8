/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the tests of repositories keep their rows: an SQLite file in a folder of the test's, or,
 * when UNIT_POSTGRES_URL names a server (without a path), a database there with the folder's name.
 */
#ifndef TESTS_UNIT_DATABASE_H
#define TESTS_UNIT_DATABASE_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static inline void database_say(const char *verb, const char *folder)
{
	char url[256], sql[256];
	const struct store_options options = {.url = url, .connections = 1};
	struct store *s = NULL;
	struct fault f = {0};
	struct db *db;

	snprintf(url, sizeof(url), "%s/postgres", database_server());
	snprintf(sql, sizeof(sql), "%s DATABASE \"%s\"", verb, strrchr(folder, '/') + 1);
	if (store_open(&options, &s, &f) < 0 || store_take(s, &db, &f) < 0 ||
		db_exec(db, sql, NULL, &f) < 0)
		fail_msg("%s: %s", sql, f.text);
	store_give(s, db);
	store_close(s);
}

/* Makes it and answers its URL. */
static inline void database_make(const char *folder, char *ret_url, size_t size)
{
	if (database_server() == NULL) {
		snprintf(ret_url, size, "sqlite:%s/test.db", folder);
		return;
	}
	database_say("CREATE", folder);
	snprintf(ret_url, size, "%s/%s", database_server(), strrchr(folder, '/') + 1);
}

/* With the store closed. A file goes with its folder. */
static inline void database_drop(const char *folder)
{
	if (database_server() != NULL)
		database_say("DROP", folder);
}

#endif
