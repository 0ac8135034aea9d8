/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every engine behind store/db.h must do. The suite runs over the database that
 * CONTRACT_DATABASE_URL names, and over a fresh SQLite file when it names none. It owns that
 * database: each test starts on an empty one. Its own SQL is as portable as the product's.
 */
#ifndef TESTS_CONTRACT_CONTRACT_H
#define TESTS_CONTRACT_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/db.h"

#define CONTRACT_CONNECTIONS 8

struct contract {
	char folder[80]; /* of the SQLite file; "" for a database given from outside */
	char url[256];
	int lock_fd; /* keeps two test programs off one database given from outside */
	struct store *store;
};

/*
 * Setup and teardown of one test: an open store, and in it two tables,
 * items (id, name UNIQUE, total, ratio, data, note) and parts (id, item_id → items, label, UNIQUE
 * (item_id, label)).
 */
int contract_open(void **state);
int contract_close(void **state);
#define CONTRACT_TEST(name) cmocka_unit_test_setup_teardown(name, contract_open, contract_close)

/* Closes the store, opens it again: before and after a fork. */
void contract_pause(struct contract *c);
void contract_resume(struct contract *c);
/*
 * A copy of the store's engine; connections opened through it call the copy, so that a test can put
 * its own step in the place of one. One at a time.
 */
struct db_ops *contract_wrap(const struct contract *c);
/* A further store on the same database, over a wrapped engine or (NULL) the engine itself. */
struct store *contract_store(
	const struct contract *c, const struct db_ops *engine, unsigned connections);

/* The fault must be of that kind and say something. */
void assert_fault(const struct fault *f, enum fault_kind kind);
#define assert_done(call, f)                                  \
	do {                                                  \
		if ((call) < 0)                               \
			fail_msg("%s: %s", #call, (f)->text); \
	} while (0)

/* One number that a statement without arguments answers. */
int64_t read_number(struct store *s, const char *sql);
/* Runs a statement without arguments as a transaction of its own. */
void run_alone(struct store *s, const char *sql);

#endif
