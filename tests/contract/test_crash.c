/* SPDX-License-Identifier: Apache-2.0 */
/* Children that die or write beside us. The parent has no connection open while it forks. */
#include "contract.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int child_fn(struct contract *c);

/* Runs body in a child and answers its wait status. */
static int wait_for(pid_t child)
{
	int status = -1;

	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static pid_t start_child(struct contract *c, child_fn *body)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(body(c));
	return child;
}

static int insert_ten_then_die(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	for (int i = 100; i < 110; i++)
		if (db_exec(db, "INSERT INTO items (id) VALUES ($1)", NULL, f, db_int(i)) < 0)
			return -1;
	raise(SIGKILL);
	return 0;
}

static int die_in_transaction(struct contract *c)
{
	struct fault f = {0};

	contract_resume(c);
	return store_transact(c->store, insert_ten_then_die, NULL, &f);
}

static int insert_one(struct db *db, void *arg, struct fault *f)
{
	return db_exec(db, "INSERT INTO items (id, total) VALUES ($1, 0)", NULL, f,
		db_int(*(const int64_t *)arg));
}

static int die_after_commit(struct contract *c)
{
	int64_t id = 200;
	struct fault f = {0};

	contract_resume(c);
	if (store_transact(c->store, insert_one, &id, &f) < 0)
		return 1;
	raise(SIGKILL);
	return 1;
}

static void killed_in_the_middle_of_a_transaction_leaves_nothing(void **state)
{
	struct contract *c = *state;
	int64_t id = 1;
	struct fault f = {0};

	assert_done(store_transact(c->store, insert_one, &id, &f), &f);
	contract_pause(c);
	assert_int_equal(WTERMSIG(wait_for(start_child(c, die_in_transaction))), SIGKILL);
	contract_resume(c);
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM items"), 1);
	id = 2;
	assert_done(store_transact(c->store, insert_one, &id, &f), &f);
}

static void killed_after_the_commit_loses_nothing(void **state)
{
	struct contract *c = *state;

	contract_pause(c);
	assert_int_equal(WTERMSIG(wait_for(start_child(c, die_after_commit))), SIGKILL);
	contract_resume(c);
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM items WHERE id = 200"), 1);
}

static const struct db_ops *inner;

static int die_after_script(struct db *db, const char *sql, struct fault *f)
{
	if (inner->script(db, sql, f) < 0)
		return -1;
	raise(SIGKILL);
	return 0;
}

static int die_in_migration(struct contract *c)
{
	struct db_ops *ops;
	struct fault f = {0};
	int applied;

	contract_resume(c);
	ops = contract_wrap(c);
	inner = store_ops(c->store);
	ops->script = die_after_script;
	return store_migrate_up(contract_store(c, ops, 1), &applied, &f);
}

static void killed_in_the_middle_of_a_migration_leaves_nothing_half(void **state)
{
	struct contract *c = *state;
	struct store_version v;
	struct fault f = {0};
	int applied;

	contract_pause(c);
	assert_int_equal(WTERMSIG(wait_for(start_child(c, die_in_migration))), SIGKILL);
	contract_resume(c);
	assert_done(store_version(c->store, &v, &f), &f);
	assert_int_equal(v.database, 0);
	assert_done(store_migrate_up(c->store, &applied, &f), &f);
	assert_int_equal(applied, v.binary);
}

static int migrate(struct contract *c)
{
	struct fault f = {0};
	int applied;

	contract_resume(c);
	return store_migrate_up(c->store, &applied, &f) < 0;
}

static void processes_that_migrate_at_once_do_it_once(void **state)
{
	struct contract *c = *state;
	pid_t children[4];
	struct store_version v;
	struct fault f = {0};

	contract_pause(c);
	for (size_t i = 0; i < ARRAY_LEN(children); i++)
		children[i] = start_child(c, migrate);
	for (size_t i = 0; i < ARRAY_LEN(children); i++)
		assert_int_equal(wait_for(children[i]), 0);
	contract_resume(c);
	assert_done(store_version(c->store, &v, &f), &f);
	assert_int_equal(v.database, v.binary);
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM schema_migrations"), v.binary);
}

enum { ROUNDS = 25 };

static int see_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols, (void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

static int read_then_write(struct db *db, void *arg, struct fault *f)
{
	int64_t total = -1;

	(void)arg;
	if (db_read(db, "SELECT total FROM items WHERE id = 1", see_number, &total, f) < 0)
		return -1;
	return db_exec(db, "UPDATE items SET total = $1 WHERE id = 1", NULL, f, db_int(total + 1));
}

static int write_many(struct contract *c)
{
	struct fault f = {0};
	int failed = 0;

	contract_resume(c);
	for (int i = 0; i < ROUNDS; i++)
		failed += store_transact(c->store, read_then_write, NULL, &f) < 0;
	return failed;
}

static void processes_that_write_at_once_lose_no_update(void **state)
{
	struct contract *c = *state;
	pid_t children[4];
	int64_t id = 1;
	struct fault f = {0};

	assert_done(store_transact(c->store, insert_one, &id, &f), &f);
	contract_pause(c);
	for (size_t i = 0; i < ARRAY_LEN(children); i++)
		children[i] = start_child(c, write_many);
	for (size_t i = 0; i < ARRAY_LEN(children); i++)
		assert_int_equal(wait_for(children[i]), 0);
	contract_resume(c);
	assert_int_equal(read_number(c->store, "SELECT total FROM items WHERE id = 1"),
		(int64_t)ARRAY_LEN(children) * ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(killed_in_the_middle_of_a_transaction_leaves_nothing),
		CONTRACT_TEST(killed_after_the_commit_loses_nothing),
		CONTRACT_TEST(killed_in_the_middle_of_a_migration_leaves_nothing_half),
		CONTRACT_TEST(processes_that_migrate_at_once_do_it_once),
		CONTRACT_TEST(processes_that_write_at_once_lose_no_update),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
