/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

#include "base/clock.h"

static struct store_version version_of(struct store *s)
{
	struct store_version v;
	struct fault f = {0};

	assert_done(store_version(s, &v, &f), &f);
	return v;
}

static int migrate_up(struct store *s)
{
	struct fault f = {0};
	int applied = -1;

	assert_done(store_migrate_up(s, &applied, &f), &f);
	return applied;
}

static int migrate_down(struct store *s, int64_t to)
{
	struct fault f = {0};
	int undone = -1;

	assert_done(store_migrate_down(s, to, &undone, &f), &f);
	return undone;
}

static void an_empty_database_has_version_zero(void **state)
{
	struct contract *c = *state;
	struct store_version v = version_of(c->store);

	assert_int_equal(v.database, 0);
	assert_true(v.binary >= 1);
}

static void up_reaches_the_binary_and_a_second_up_does_nothing(void **state)
{
	struct contract *c = *state;
	struct store_version v = version_of(c->store);

	assert_int_equal(migrate_up(c->store), v.binary);
	assert_int_equal(version_of(c->store).database, v.binary);
	assert_int_equal(migrate_up(c->store), 0);
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM schema_migrations"), v.binary);
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM clients"), 0);
}

static void down_to_nothing_and_up_again_works(void **state)
{
	struct contract *c = *state;
	int64_t n = version_of(c->store).binary;

	assert_int_equal(migrate_up(c->store), n);
	assert_int_equal(migrate_down(c->store, 0), n);
	assert_int_equal(version_of(c->store).database, 0);
	assert_int_equal(migrate_down(c->store, 0), 0);
	assert_int_equal(migrate_up(c->store), n);
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM reviews"), 0);
}

static void down_to_a_version_that_is_not_there_is_refused(void **state)
{
	struct contract *c = *state;
	const int64_t wrong[] = {-1, 4000};
	int undone;

	migrate_up(c->store);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct fault f = {0};

		assert_int_equal(store_migrate_down(c->store, wrong[i], &undone, &f), -1);
		assert_fault(&f, FAULT_INPUT);
	}
}

static void a_database_newer_than_the_binary_is_left_alone(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};
	int n;

	migrate_up(c->store);
	run_alone(c->store, "INSERT INTO schema_migrations (version, name, applied_at_ms) "
			    "VALUES (9001, 'later', 0)");
	assert_int_equal(version_of(c->store).database, 9001);
	assert_int_equal(store_migrate_up(c->store, &n, &f), -1);
	assert_fault(&f, FAULT_CONFLICT);
	assert_non_null(strstr(f.text, "9001"));
	f = (struct fault){0};
	assert_int_equal(store_migrate_down(c->store, 0, &n, &f), -1);
	assert_fault(&f, FAULT_CONFLICT);
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM clients"), 0);
}

static int see_text(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	char *name = arg;

	(void)n_cols, (void)f;
	strncpy(name, db_get_text(&cols[0]), 63);
	assert_true(db_get_int(&cols[1]) == 1234567890123);
	return 0;
}

static int read_first_row(struct db *db, void *arg, struct fault *f)
{
	return db_read(db, "SELECT name, applied_at_ms FROM schema_migrations WHERE version = 1",
		see_text, arg, f);
}

static int64_t wall(void *arg)
{
	(void)arg;
	return 1234567890123;
}

static void no_sleep(void *arg, int64_t ms)
{
	(void)arg, (void)ms;
}

static void each_migration_leaves_its_name_and_time(void **state)
{
	static const struct clock_source clock = {wall, wall, no_sleep, NULL};
	struct contract *c = *state;
	struct fault f = {0};
	char name[64] = "";

	clock_use(&clock);
	migrate_up(c->store);
	clock_use(NULL);
	assert_done(store_use(c->store, read_first_row, name, &f), &f);
	assert_non_null(strstr(name, "_001_up"));
}

static const struct db_ops *inner;

static int fail_after_script(struct db *db, const char *sql, struct fault *f)
{
	if (inner->script(db, sql, f) < 0)
		return -1;
	return fault_raise(f, FAULT_STORE, "the lights went out");
}

static void a_migration_that_fails_leaves_nothing_half(void **state)
{
	struct contract *c = *state;
	struct db_ops *ops = contract_wrap(c);
	struct fault f = {0};
	struct store *s;
	int n;

	inner = store_ops(c->store);
	ops->script = fail_after_script;
	s = contract_store(c, ops, 1);
	assert_int_equal(store_migrate_up(s, &n, &f), -1);
	assert_string_equal(f.text, "the lights went out");
	store_close(s);
	assert_int_equal(version_of(c->store).database, 0);
	assert_int_equal(migrate_up(c->store), version_of(c->store).binary);
}

static int bad_script(struct db *db, const char *sql, struct fault *f)
{
	(void)sql;
	return inner->script(
		db, "CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1);", f);
}

static void a_script_with_a_mistake_leaves_nothing_half(void **state)
{
	struct contract *c = *state;
	struct db_ops *ops = contract_wrap(c);
	struct fault f = {0};
	struct store *s;
	int n;

	inner = store_ops(c->store);
	ops->script = bad_script;
	s = contract_store(c, ops, 1);
	assert_int_equal(store_migrate_up(s, &n, &f), -1);
	assert_fault(&f, FAULT_STORE);
	store_close(s);
	run_alone(c->store, "CREATE TABLE half (id INTEGER)");
	run_alone(c->store, "DROP TABLE half");
	assert_int_equal(version_of(c->store).database, 0);
}

static const char client_row[] =
	"INSERT INTO clients (redirect_uri, branch_id, workspace_email, workspace_name, "
	"status_since_ms, created_at_ms, updated_at_ms) VALUES ('u', 'b', 'e', 'n', 0, 0, 0)";

static void tokens_go_with_their_client(void **state)
{
	struct contract *c = *state;

	migrate_up(c->store);
	run_alone(c->store, client_row);
	run_alone(c->store, "INSERT INTO tokens (client_id, created_at_ms, updated_at_ms) "
			    "SELECT id, 0, 0 FROM clients");
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM tokens"), 1);
	run_alone(c->store, "DELETE FROM clients");
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM tokens"), 0);
}

static int change_audit(struct db *db, void *arg, struct fault *f)
{
	return db_exec(db, arg, NULL, f);
}

static void the_audit_takes_rows_and_never_gives_them_up(void **state)
{
	struct contract *c = *state;
	char update[] = "UPDATE audit SET actor = 'b'", delete[] = "DELETE FROM audit";
	struct fault f = {0};

	migrate_up(c->store);
	run_alone(c->store, "INSERT INTO audit (at_ms, actor, action) VALUES (0, 'a', 'x')");
	assert_int_equal(store_transact(c->store, change_audit, update, &f), -1);
	assert_fault(&f, FAULT_STORE);
	assert_int_equal(store_transact(c->store, change_audit, delete, &f), -1);
	assert_fault(&f, FAULT_STORE);
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM audit WHERE actor = 'a'"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(an_empty_database_has_version_zero),
		CONTRACT_TEST(up_reaches_the_binary_and_a_second_up_does_nothing),
		CONTRACT_TEST(down_to_nothing_and_up_again_works),
		CONTRACT_TEST(down_to_a_version_that_is_not_there_is_refused),
		CONTRACT_TEST(a_database_newer_than_the_binary_is_left_alone),
		CONTRACT_TEST(each_migration_leaves_its_name_and_time),
		CONTRACT_TEST(a_migration_that_fails_leaves_nothing_half),
		CONTRACT_TEST(a_script_with_a_mistake_leaves_nothing_half),
		CONTRACT_TEST(tokens_go_with_their_client),
		CONTRACT_TEST(the_audit_takes_rows_and_never_gives_them_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
