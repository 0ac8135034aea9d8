/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that end in the middle. An engine without a server has none that could. */
#include "contract.h"

#include "base/clock.h"

struct loss {
	struct contract *c;
	const char *how; /* the statement by which the first run loses its connection */
	int runs;
};

static void skip_without_server(const struct contract *c)
{
	if (store_ops(c->store)->engine == DB_SQLITE)
		skip();
}

static int insert_one(struct db *db, int64_t id, struct fault *f)
{
	return db_exec(db, "INSERT INTO items (id) VALUES ($1)", NULL, f, db_int(id));
}

/* Writes, loses the connection the first time, writes on. */
static int lose_once(struct db *db, void *arg, struct fault *f)
{
	struct loss *l = arg;

	l->runs++;
	if (insert_one(db, 1, f) < 0)
		return -1;
	if (l->runs == 1) {
		struct fault ended = {0};

		if (db_exec(db, l->how, NULL, &ended) == 0)
			for (int i = 0; i < 500 && db->ops->is_usable(db); i++)
				clock_sleep_ms(10);
	}
	return insert_one(db, 2, f);
}

static void transact_with_loss(void **state, const char *how)
{
	struct loss l = {.c = *state, .how = how};
	struct fault f = {0};

	skip_without_server(l.c);
	assert_done(store_transact(l.c->store, lose_once, &l, &f), &f);
	assert_int_equal(l.runs, 2);
	assert_int_equal(read_number(l.c->store, "SELECT count(*) FROM items"), 2);
}

static void a_transaction_whose_connection_is_ended_runs_again_on_another(void **state)
{
	transact_with_loss(state, "SELECT pg_terminate_backend(pg_backend_pid())");
}

static void a_transaction_that_was_idle_for_too_long_runs_again(void **state)
{
	transact_with_loss(state, "SET LOCAL idle_in_transaction_session_timeout = 1");
}

static int always_lose(struct db *db, void *arg, struct fault *f)
{
	struct loss *l = arg;

	l->runs++;
	return db_exec(db, "SELECT pg_terminate_backend(pg_backend_pid())", NULL, f);
}

static void a_transaction_that_loses_every_connection_gives_up(void **state)
{
	struct loss l = {.c = *state};
	struct fault f = {0};

	skip_without_server(l.c);
	assert_int_equal(store_transact(l.c->store, always_lose, &l, &f), -1);
	assert_fault(&f, FAULT_STORE);
	assert_true(f.retry_after_ms > 0);
	assert_true(l.runs > 1 && l.runs <= 10);
	assert_done(store_ping(l.c->store, &f), &f);
}

static void a_connection_ended_while_idle_is_replaced_without_a_word(void **state)
{
	struct contract *c = *state;
	struct db *all[CONTRACT_CONNECTIONS];
	struct store *other;
	struct fault f = {0};

	skip_without_server(c);
	for (int i = 0; i < CONTRACT_CONNECTIONS; i++) {
		assert_done(store_take(c->store, &all[i], &f), &f);
		assert_done(db_exec(all[i], "SELECT 1", NULL, &f), &f);
	}
	for (int i = 0; i < CONTRACT_CONNECTIONS; i++)
		store_give(c->store, all[i]);
	other = contract_store(c, NULL, 1);
	read_number(other, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
			   " WHERE datname = current_database() AND pid <> pg_backend_pid()"
			   " AND backend_type = 'client backend'");
	for (int i = 0; i < 500 && read_number(other, "SELECT count(*) FROM pg_stat_activity"
						      " WHERE datname = current_database()"
						      " AND backend_type = 'client backend'") > 1;
		i++)
		clock_sleep_ms(10);
	store_close(other);
	for (int i = 0; i < 2 * CONTRACT_CONNECTIONS; i++)
		assert_int_equal(read_number(c->store, "SELECT count(*) FROM items"), 0);
}

static int see_limits(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	const char *isolation = arg;

	(void)n_cols, (void)f;
	assert_string_equal(db_get_text(&cols[0]), isolation);
	assert_string_equal(db_get_text(&cols[1]), "5s");
	assert_string_equal(db_get_text(&cols[2]), "20s");
	assert_string_equal(db_get_text(&cols[3]), "1min");
	assert_string_equal(db_get_text(&cols[4]), "off off");
	return 0;
}

static int look_at_limits(struct db *db, void *arg, struct fault *f)
{
	return db_read(db,
		"SELECT current_setting('transaction_isolation'),"
		" current_setting('idle_in_transaction_session_timeout'),"
		" current_setting('lock_timeout'), current_setting('statement_timeout'),"
		" current_setting('jit') || ' ' || current_setting('enable_seqscan')",
		see_limits, arg, f);
}

static void every_transaction_has_its_limits(void **state)
{
	struct contract *c = *state;
	char serializable[] = "serializable", snapshot[] = "repeatable read";
	struct fault f = {0};

	skip_without_server(c);
	for (int i = 0; i < 4; i++) { /* BEGIN alone at first, then with the statement */
		assert_done(store_transact(c->store, look_at_limits, serializable, &f), &f);
		assert_done(store_transact_snapshot(c->store, look_at_limits, snapshot, &f), &f);
	}
}

static int be_slow_at_once(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db_exec(db, "SELECT pg_sleep(8.5)", NULL, f);
}

/* Longer than BEGIN may take, which travels along. */
static void a_transaction_may_begin_with_a_statement_that_takes_long(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};
	struct store *s;

	skip_without_server(c);
	s = contract_store(c, NULL, 1);
	for (int i = 0; i < 3; i++) /* from the second on, the connection knows who answers */
		read_number(s, "SELECT count(*) FROM items");
	assert_done(store_transact(s, be_slow_at_once, NULL, &f), &f);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(a_transaction_whose_connection_is_ended_runs_again_on_another),
		CONTRACT_TEST(a_transaction_that_was_idle_for_too_long_runs_again),
		CONTRACT_TEST(a_transaction_that_loses_every_connection_gives_up),
		CONTRACT_TEST(every_transaction_has_its_limits),
		CONTRACT_TEST(a_connection_ended_while_idle_is_replaced_without_a_word),
		CONTRACT_TEST(a_transaction_may_begin_with_a_statement_that_takes_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
