/* SPDX-License-Identifier: Apache-2.0 */
/* What is true of the SQLite engine beyond the contract. */
#include "scratch.h"

#include <signal.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"

static int run_text(struct db *db, void *arg, struct fault *f)
{
	return db_exec(db, *(const char *const *)arg, NULL, f);
}

static void run_alone(struct store *s, const char *sql)
{
	struct fault f = {0};

	assert_done(store_use(s, run_text, &sql, &f), &f);
}

static int see_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols, (void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

struct question {
	const char *sql;
	int64_t answer;
};

static int ask(struct db *db, void *arg, struct fault *f)
{
	struct question *q = arg;

	return db_read(db, q->sql, see_number, &q->answer, f);
}

static int64_t number(struct store *s, const char *sql)
{
	struct question q = {sql, -1};
	struct fault f = {0};

	assert_done(store_use(s, ask, &q, &f), &f);
	return q.answer;
}

static int open_with_table(void **state)
{
	struct scratch *s;

	scratch_make(state);
	s = *state;
	s->store = scratch_open(s, 2, false);
	run_alone(s->store, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT");
	return 0;
}
#define TABLE_TEST(name) cmocka_unit_test_setup_teardown(name, open_with_table, scratch_remove)

static void durability_and_secrecy_are_switched_on(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(number(s->store, "PRAGMA synchronous"), 2);
	assert_int_equal(number(s->store, "PRAGMA foreign_keys"), 1);
	assert_int_equal(number(s->store, "PRAGMA secure_delete"), 1);
	assert_int_equal(number(s->store, "PRAGMA temp_store"), 2);
	assert_int_equal(
		number(s->store, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
}

static void deleted_rows_are_overwritten_in_the_file(void **state)
{
	struct scratch *s = *state;
	AUTO(mem_freep) char *bytes = mem_alloc(1 << 20);
	FILE *file;
	size_t n;

	run_alone(s->store, "INSERT INTO t (a) VALUES ('canary-a1b2c3d4')");
	run_alone(s->store, "PRAGMA wal_checkpoint(TRUNCATE)");
	run_alone(s->store, "DELETE FROM t");
	store_closep(&s->store);
	file = fopen(s->path, "r");
	n = fread(bytes, 1, 1 << 20, file);
	fclose(file);
	assert_true(n > 4096);
	assert_null(memmem(bytes, n, "canary-a1b2c3d4", 15));
}

static int fill(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	for (int i = 0; i < 1000; i++)
		if (db_exec(db, "INSERT INTO t (a) VALUES (hex(zeroblob(4000)))", NULL, f) < 0)
			return -1;
	return 0;
}

static int limit_and_fill(struct db *db, void *arg, struct fault *f)
{
	/* Both on one connection: the limit is its own. */
	if (db_exec(db, "PRAGMA max_page_count = 20", NULL, f) < 0 ||
		db_exec(db, "BEGIN", NULL, f) < 0)
		return -1;
	return fill(db, arg, f);
}

static void a_full_disk_is_said_and_waited_for(void **state)
{
	struct scratch *s = *state;
	struct fault f = {0};

	assert_int_equal(store_use(s->store, limit_and_fill, NULL, &f), -1);
	assert_int_equal(f.kind, FAULT_STORE);
	assert_non_null(strstr(f.text, "full"));
	assert_true(f.retry_after_ms > 0);
	assert_int_equal(number(s->store, "SELECT count(*) FROM t"), 0);
}

static void a_failing_disk_is_said_and_survived(void **state)
{
	struct scratch *s = *state;
	struct rlimit before, least;
	struct fault f = {0};
	int result;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	least = (struct rlimit){65536, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &least), 0);
	result = store_transact(s->store, fill, NULL, &f);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(result, -1);
	assert_int_equal(f.kind, FAULT_STORE);
	assert_non_null(strstr(f.text, "disk failed"));
	assert_true(f.retry_after_ms > 0);
	assert_int_equal(number(s->store, "SELECT count(*) FROM t"), 0);
	run_alone(s->store, "INSERT INTO t (a) VALUES ('x')");
}

static int lock_and_write(struct db *db, void *arg, struct fault *f)
{
	int result;

	if (db_exec(db, "PRAGMA query_only = 1", NULL, f) < 0)
		return -1;
	result = fill(db, arg, f);
	return db_exec(db, "PRAGMA query_only = 0", NULL, &(struct fault){0}) < 0 ? -1 : result;
}

static void a_database_that_cannot_be_written_is_said_so(void **state)
{
	struct scratch *s = *state;
	struct fault f = {0};

	assert_int_equal(store_use(s->store, lock_and_write, NULL, &f), -1);
	assert_int_equal(f.kind, FAULT_STORE);
	assert_non_null(strstr(f.text, "cannot be written"));
}

static void a_wrong_type_is_refused_by_the_table(void **state)
{
	struct scratch *s = *state;
	const char *sql = "INSERT INTO t (id) VALUES ('x')";
	struct fault f = {0};

	assert_int_equal(store_use(s->store, run_text, &sql, &f), -1);
	assert_int_equal(f.kind, FAULT_STORE);
}

static void more_than_one_statement_at_a_time_is_refused(void **state)
{
	struct scratch *s = *state;
	const char *texts[] = {"INSERT INTO t (a) VALUES ('x'); DELETE FROM t", "", "-- nothing",
		"SELECT id FROM t WHERE id = ?", "SELECT id FROM t WHERE id = :id",
		"SELECT id FROM t WHERE id = $id", "SELECT id FROM t WHERE id = $0"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct fault f = {0};

		assert_int_equal(store_use(s->store, run_text, &texts[i], &f), -1);
		assert_int_equal(f.kind, FAULT_BUG);
	}
	assert_int_equal(number(s->store, "SELECT count(*) FROM t"), 0);
	run_alone(s->store, "DELETE FROM t;\n");
}

static int run_many_texts(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 200; i++) {
			int64_t answer = -1;
			char sql[64];

			snprintf(sql, sizeof(sql), "SELECT $1 + %d", i);
			if (db_read(db, sql, see_number, &answer, f, db_int(1000)) < 0)
				return -1;
			assert_int_equal(answer, 1000 + i);
		}
	}
	return 0;
}

static void any_number_of_statements_passes_through_the_cache(void **state)
{
	struct scratch *s = *state;
	struct fault f = {0};

	assert_done(store_use(s->store, run_many_texts, NULL, &f), &f);
}

struct dive {
	struct db *db;
	int depth, seen;
};

/* More statements running at once than are kept. */
static int dive(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct dive *d = arg;
	char sql[64];

	(void)cols, (void)n_cols;
	if (++d->depth == 100)
		return 0;
	snprintf(sql, sizeof(sql), "SELECT %d", d->depth % 80);
	if (db_read(d->db, sql, dive, d, f) < 0)
		return -1;
	d->seen++;
	return 0;
}

static int start_dive(struct db *db, void *arg, struct fault *f)
{
	struct dive *d = arg;

	d->db = db;
	return db_read(db, "SELECT -1", dive, d, f);
}

static void statements_inside_statements_may_outnumber_the_cache(void **state)
{
	struct scratch *s = *state;
	struct dive d = {0};
	struct fault f = {0};

	assert_done(store_use(s->store, start_dive, &d, &f), &f);
	assert_int_equal(d.depth, 100);
	assert_int_equal(d.seen, 99);
	assert_done(store_use(s->store, run_many_texts, NULL, &f), &f);
}

static void a_schema_changed_beside_us_is_noticed(void **state)
{
	struct scratch *s = *state;
	struct store *other = scratch_open(s, 1, false);

	assert_int_equal(number(s->store, "SELECT count(*) FROM t"), 0);
	run_alone(other, "ALTER TABLE t ADD COLUMN b TEXT");
	run_alone(other, "INSERT INTO t (a, b) VALUES ('x', 'y')");
	store_close(other);
	assert_int_equal(number(s->store, "SELECT count(*) FROM t"), 1);
	assert_int_equal(number(s->store, "SELECT count(b) FROM t"), 1);
}

static int write_through_another(struct db *db, void *arg, struct fault *f)
{
	struct scratch *s = arg;
	const char *sql = "INSERT INTO t (a) VALUES ('x')";

	(void)db;
	return store_use(s->store, run_text, &sql, f);
}

static void writing_through_a_second_connection_is_a_bug_and_no_deadlock(void **state)
{
	struct scratch *s = *state;
	struct fault f = {0};

	assert_int_equal(store_transact(s->store, write_through_another, s, &f), -1);
	assert_int_equal(f.kind, FAULT_BUG);
	run_alone(s->store, "INSERT INTO t (a) VALUES ('x')");
}

static int64_t waited_ms;

static int64_t still(void *arg)
{
	(void)arg;
	return 1000;
}

static void nap(void *arg, int64_t ms)
{
	(void)arg;
	waited_ms += ms;
}

static int insert(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db_exec(db, "INSERT INTO t (a) VALUES ('x')", NULL, f);
}

/* A second store stands for another process: nothing is shared but the file. */
static int write_beside(struct db *db, void *arg, struct fault *f)
{
	static const struct clock_source clock = {still, still, nap, NULL};
	struct store *other = arg;
	struct fault inner = {0};
	int result;

	if (insert(db, NULL, f) < 0)
		return -1;
	waited_ms = 0;
	clock_use(&clock);
	result = store_transact(other, insert, NULL, &inner);
	clock_use(NULL);
	assert_int_equal(result, -1);
	assert_int_equal(inner.kind, FAULT_STORE);
	assert_true(inner.retry_after_ms > 0);
	assert_non_null(strstr(inner.text, "another process"));
	return 0;
}

static void a_writer_in_another_process_is_waited_for_but_not_forever(void **state)
{
	struct scratch *s = *state;
	struct store *other = scratch_open(s, 1, false);
	struct fault f = {0};

	assert_done(store_transact(s->store, write_beside, other, &f), &f);
	assert_in_range(waited_ms, 1000, 10000);
	assert_int_equal(number(s->store, "SELECT count(*) FROM t"), 1);
	assert_done(store_transact(other, insert, NULL, &f), &f);
	store_close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TABLE_TEST(durability_and_secrecy_are_switched_on),
		TABLE_TEST(deleted_rows_are_overwritten_in_the_file),
		TABLE_TEST(a_full_disk_is_said_and_waited_for),
		TABLE_TEST(a_failing_disk_is_said_and_survived),
		TABLE_TEST(a_database_that_cannot_be_written_is_said_so),
		TABLE_TEST(a_wrong_type_is_refused_by_the_table),
		TABLE_TEST(more_than_one_statement_at_a_time_is_refused),
		TABLE_TEST(any_number_of_statements_passes_through_the_cache),
		TABLE_TEST(statements_inside_statements_may_outnumber_the_cache),
		TABLE_TEST(a_schema_changed_beside_us_is_noticed),
		TABLE_TEST(writing_through_a_second_connection_is_a_bug_and_no_deadlock),
		TABLE_TEST(a_writer_in_another_process_is_waited_for_but_not_forever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
