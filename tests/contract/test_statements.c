/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

/* Most tests take one connection and talk to it. */
struct talk {
	struct contract *c;
	struct db *db;
	struct fault f;
};

static struct talk begin_talk(void **state)
{
	struct talk t = {.c = *state};

	assert_done(store_take(t.c->store, &t.db, &t.f), &t.f);
	return t;
}

static void end_talk(struct talk *t)
{
	store_give(t->c->store, t->db);
}

#define say(t, changed, sql, ...) \
	assert_done(db_exec((t)->db, (sql), (changed), &(t)->f, ##__VA_ARGS__), &(t)->f)
#define ask(t, each, arg, sql, ...) \
	assert_done(db_read((t)->db, (sql), (each), (arg), &(t)->f, ##__VA_ARGS__), &(t)->f)

struct rows {
	size_t n, n_cols;
	int64_t numbers[8][4];
	size_t stop_at; /* 0: never */
};

static int see_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct rows *r = arg;

	(void)f;
	assert_true(r->n < 8 && n_cols <= 4);
	r->n_cols = n_cols;
	for (size_t i = 0; i < n_cols; i++)
		r->numbers[r->n][i] = db_get_int(&cols[i]);
	return ++r->n == r->stop_at;
}

static void three_items(struct talk *t)
{
	say(t, NULL,
		"INSERT INTO items (id, name, total) VALUES (1, 'a', 10), (2, 'b', 20), (3, 'c', "
		"30)");
}

static void arguments_go_by_number_not_by_place(void **state)
{
	struct talk t = begin_talk(state);
	struct rows r = {0};

	three_items(&t);
	ask(&t, see_row, &r, "SELECT id, total FROM items WHERE total > $2 AND id < $1", db_int(3),
		db_int(10));
	assert_int_equal(r.n, 1);
	assert_int_equal(r.n_cols, 2);
	assert_int_equal(r.numbers[0][0], 2);
	end_talk(&t);
}

static void an_argument_may_be_named_many_times(void **state)
{
	struct talk t = begin_talk(state);
	struct rows r = {0};

	three_items(&t);
	say(&t, NULL, "UPDATE items SET total = $2 WHERE id = $1 AND total <> $2", db_int(2),
		db_int(99));
	ask(&t, see_row, &r,
		"SELECT id FROM items WHERE total = $1 OR id = $2 OR total = $1 + 0 ORDER BY id",
		db_int(99), db_int(1));
	assert_int_equal(r.n, 2);
	assert_int_equal(r.numbers[0][0], 1);
	assert_int_equal(r.numbers[1][0], 2);
	end_talk(&t);
}

static void more_than_nine_arguments_are_told_apart(void **state)
{
	struct talk t = begin_talk(state);
	struct rows r = {0};

	say(&t, NULL,
		"INSERT INTO items (id, total) VALUES ($1, $2), ($3, $4), ($5, $6), ($7, $8), ($9, "
		"$10), "
		"($11, $12)",
		db_int(1), db_int(11), db_int(2), db_int(12), db_int(3), db_int(13), db_int(4),
		db_int(14), db_int(5), db_int(15), db_int(6), db_int(16));
	ask(&t, see_row, &r, "SELECT id, total FROM items ORDER BY id");
	assert_int_equal(r.n, 6);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(r.numbers[i][0], i + 1);
		assert_int_equal(r.numbers[i][1], i + 11);
	}
	end_talk(&t);
}

static void the_number_of_arguments_must_fit(void **state)
{
	struct talk t = begin_talk(state);

	assert_int_equal(db_exec(t.db, "SELECT id FROM items WHERE id = $1", NULL, &t.f), -1);
	assert_fault(&t.f, FAULT_BUG);
	t.f = (struct fault){0};
	assert_int_equal(db_exec(t.db, "SELECT id FROM items WHERE id = $1", NULL, &t.f, db_int(1),
				 db_int(2)),
		-1);
	assert_fault(&t.f, FAULT_BUG);
	end_talk(&t);
}

static void changed_rows_are_counted(void **state)
{
	struct talk t = begin_talk(state);
	int64_t changed = -1;

	three_items(&t);
	say(&t, &changed, "UPDATE items SET total = total + 1 WHERE id >= $1", db_int(2));
	assert_int_equal(changed, 2);
	say(&t, &changed, "UPDATE items SET total = 0 WHERE id = 77");
	assert_int_equal(changed, 0);
	say(&t, &changed, "DELETE FROM items");
	assert_int_equal(changed, 3);
	say(&t, &changed, "SELECT id FROM items");
	assert_int_equal(changed, 0);
	end_talk(&t);
}

static void on_conflict_updates_the_row_that_is_there(void **state)
{
	static const char sql[] =
		"INSERT INTO items (id, name, total) VALUES ($1, $2, $3) "
		"ON CONFLICT (name) DO UPDATE SET total = items.total + excluded.total "
		"RETURNING id, total";
	struct talk t = begin_talk(state);
	struct rows r = {0};

	ask(&t, see_row, &r, sql, db_int(1), db_text("a"), db_int(5));
	ask(&t, see_row, &r, sql, db_int(2), db_text("a"), db_int(6));
	assert_int_equal(r.n, 2);
	assert_int_equal(r.numbers[1][0], 1);
	assert_int_equal(r.numbers[1][1], 11);
	end_talk(&t);
}

static void on_conflict_do_nothing_changes_nothing(void **state)
{
	struct talk t = begin_talk(state);
	int64_t changed = -1;

	three_items(&t);
	say(&t, &changed, "INSERT INTO items (id, name) VALUES (9, 'a') ON CONFLICT DO NOTHING");
	assert_int_equal(changed, 0);
	end_talk(&t);
}

static void returning_answers_every_row_it_touched(void **state)
{
	struct talk t = begin_talk(state);
	struct rows r = {0};

	three_items(&t);
	ask(&t, see_row, &r, "UPDATE items SET total = total * 2 WHERE id > 1 RETURNING id, total");
	assert_int_equal(r.n, 2);
	assert_int_equal(r.numbers[0][1] + r.numbers[1][1], 100);
	end_talk(&t);
}

static void a_write_is_whole_even_when_its_rows_are_not_read_to_the_end(void **state)
{
	struct talk t = begin_talk(state);
	struct rows r = {.stop_at = 1};

	ask(&t, see_row, &r, "INSERT INTO items (id) VALUES (1), (2), (3) RETURNING id");
	assert_int_equal(r.n, 1);
	end_talk(&t);
	assert_int_equal(read_number(t.c->store, "SELECT count(*) FROM items"), 3);
}

static void reading_ends_early_when_asked_to(void **state)
{
	struct talk t = begin_talk(state);
	struct rows r = {.stop_at = 2}, again = {0};

	three_items(&t);
	ask(&t, see_row, &r, "SELECT id FROM items ORDER BY id");
	assert_int_equal(r.n, 2);
	ask(&t, see_row, &again, "SELECT id FROM items ORDER BY id");
	assert_int_equal(again.n, 3);
	end_talk(&t);
}

static int refuse_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)cols, (void)n_cols;
	++*(int *)arg;
	return fault_raise(f, FAULT_UPSTREAM, "no more of these");
}

static void a_fault_of_the_reader_is_passed_up_untouched(void **state)
{
	struct talk t = begin_talk(state);
	struct rows r = {0};
	int calls = 0;

	three_items(&t);
	assert_int_equal(db_read(t.db, "SELECT id FROM items", refuse_row, &calls, &t.f), -1);
	assert_fault(&t.f, FAULT_UPSTREAM);
	assert_string_equal(t.f.text, "no more of these");
	assert_int_equal(calls, 1);
	ask(&t, see_row, &r, "SELECT id FROM items");
	assert_int_equal(r.n, 3);
	end_talk(&t);
}

struct nested {
	struct db *db;
	int64_t sum;
	int depth;
};

static int read_inside(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct nested *n = arg, inner = {.db = n->db, .depth = n->depth + 1};

	(void)n_cols;
	n->sum += db_get_int(&cols[0]);
	if (n->depth == 2)
		return 0;
	if (db_read(n->db, "SELECT total FROM items WHERE id > $1", read_inside, &inner, f,
		    db_int(0)) < 0)
		return -1;
	n->sum += inner.sum;
	return 0;
}

static void a_reader_may_read_with_the_same_statement(void **state)
{
	struct talk t = begin_talk(state);
	struct nested n = {.db = t.db};

	three_items(&t);
	ask(&t, read_inside, &n, "SELECT total FROM items WHERE id > $1", db_int(0));
	assert_int_equal(n.sum, 60 + 3 * (60 + 3 * 60));
	end_talk(&t);
}

static void assert_conflict(struct talk *t, const char *sql, const char *field)
{
	t->f = (struct fault){0};
	assert_int_equal(db_exec(t->db, sql, NULL, &t->f), -1);
	assert_fault(&t->f, FAULT_CONFLICT);
	if (field != NULL)
		assert_string_equal(t->f.field, field);
	/* Not every engine knows which key it was. */
	else if (t->f.field[0] != '\0')
		assert_string_equal(t->f.field, "item_id");
	assert_int_equal(t->f.retry_after_ms, 0);
}

static void a_broken_unique_rule_names_its_column(void **state)
{
	struct talk t = begin_talk(state);

	three_items(&t);
	say(&t, NULL, "INSERT INTO parts (id, item_id, label) VALUES (1, 1, 'x')");
	assert_conflict(&t, "INSERT INTO items (id, name) VALUES (7, 'a')", "name");
	assert_conflict(&t, "UPDATE items SET name = 'b' WHERE id = 1", "name");
	assert_conflict(&t, "INSERT INTO items (id, name) VALUES (1, 'z')", "id");
	assert_conflict(&t, "INSERT INTO parts (id, item_id, label) VALUES (2, 1, 'x')", "item_id");
	end_talk(&t);
	assert_int_equal(read_number(t.c->store, "SELECT count(*) FROM items"), 3);
}

static void a_broken_foreign_key_is_a_conflict(void **state)
{
	struct talk t = begin_talk(state);

	three_items(&t);
	say(&t, NULL, "INSERT INTO parts (id, item_id, label) VALUES (1, 1, 'x')");
	assert_conflict(&t, "INSERT INTO parts (id, item_id, label) VALUES (2, 77, 'x')", NULL);
	assert_conflict(&t, "DELETE FROM items WHERE id = 1", NULL);
	end_talk(&t);
}

static void other_broken_rules_are_faults_of_the_store(void **state)
{
	struct talk t = begin_talk(state);

	assert_int_equal(
		db_exec(t.db, "INSERT INTO parts (id, label) VALUES (1, 'x')", NULL, &t.f), -1);
	assert_fault(&t.f, FAULT_STORE);
	assert_string_equal(t.f.field, "item_id");
	end_talk(&t);
}

static void a_wrong_statement_is_told_and_leaves_the_connection_well(void **state)
{
	const char *wrong[] = {"SELEKT 1", "SELECT id FROM nowhere", "SELECT nothing FROM items",
		"INSERT INTO items (id) VALUES (1", "SELECT id FROM items WHERE name = \"a\""};
	struct talk t = begin_talk(state);

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct rows r = {0};

		t.f = (struct fault){0};
		assert_int_equal(db_exec(t.db, wrong[i], NULL, &t.f), -1);
		assert_fault(&t.f, FAULT_STORE);
		assert_int_equal(t.f.retry_after_ms, 0);
		ask(&t, see_row, &r, "SELECT 1");
		assert_int_equal(r.n, 1);
	}
	end_talk(&t);
}

static void values_in_a_refused_statement_are_not_in_the_fault(void **state)
{
	struct talk t = begin_talk(state);

	say(&t, NULL, "INSERT INTO items (id, name) VALUES (1, $1)", db_text("canary-7f3a"));
	assert_int_equal(db_exec(t.db, "INSERT INTO items (id, name) VALUES (2, $1)", NULL, &t.f,
				 db_text("canary-7f3a")),
		-1);
	assert_fault(&t.f, FAULT_CONFLICT);
	assert_null(strstr(t.f.text, "canary"));
	end_talk(&t);
}

#define AGAIN 8 /* often enough that an engine may keep the statement and its plan */

static void ask_again_and_again(struct talk *t, const char *sql, size_t n_cols)
{
	for (int i = 0; i < AGAIN; i++) {
		struct rows r = {0};

		ask(t, see_row, &r, sql, db_int(1));
		assert_int_equal(r.n, 1);
		assert_int_equal(r.n_cols, n_cols);
		assert_int_equal(r.numbers[0][0], 1);
	}
}

static void a_statement_that_came_often_sees_the_table_as_it_is_now(void **state)
{
	struct talk t = begin_talk(state);
	static const char sql[] = "SELECT * FROM kept WHERE id = $1";

	run_alone(t.c->store, "CREATE TABLE kept (id BIGINT PRIMARY KEY)");
	say(&t, NULL, "INSERT INTO kept (id) VALUES (1), (2)");
	ask_again_and_again(&t, sql, 1);
	run_alone(t.c->store, "ALTER TABLE kept ADD COLUMN more BIGINT");
	ask_again_and_again(&t, sql, 2);
	end_talk(&t);
	run_alone(t.c->store, "DROP TABLE kept");
}

static int read_kept(struct db *db, void *arg, struct fault *f)
{
	for (int i = 0; i < AGAIN; i++) {
		struct rows r = {0};

		if (db_read(db, "SELECT * FROM kept WHERE id = $1", see_row, &r, f, db_int(1)) < 0)
			return -1;
		*(size_t *)arg = r.n_cols;
	}
	return 0;
}

static void a_transaction_sees_the_table_as_it_is_now_too(void **state)
{
	struct contract *c = *state;
	struct store *store = contract_store(c, NULL, 1);
	struct fault f = {0};
	size_t n_cols = 0;

	run_alone(c->store, "CREATE TABLE kept (id BIGINT PRIMARY KEY)");
	run_alone(c->store, "INSERT INTO kept (id) VALUES (1)");
	assert_done(store_transact(store, read_kept, &n_cols, &f), &f);
	assert_int_equal(n_cols, 1);
	run_alone(c->store, "ALTER TABLE kept ADD COLUMN more BIGINT");
	assert_done(store_transact(store, read_kept, &n_cols, &f), &f);
	assert_int_equal(n_cols, 2);
	store_close(store);
	run_alone(c->store, "DROP TABLE kept");
}

static void a_statement_may_come_with_arguments_of_other_types(void **state)
{
	struct talk t = begin_talk(state);
	static const char sql[] = "UPDATE items SET name = $2 WHERE id = $1";
	struct rows r = {0};

	three_items(&t);
	for (int i = 0; i < AGAIN; i++) {
		say(&t, NULL, sql, db_int(1), db_text("x"));
		say(&t, NULL, sql, db_int(2), db_null());
	}
	ask(&t, see_row, &r, "SELECT id FROM items WHERE name = 'x'");
	assert_int_equal(r.n, 1);
	assert_int_equal(r.numbers[0][0], 1);
	end_talk(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(arguments_go_by_number_not_by_place),
		CONTRACT_TEST(an_argument_may_be_named_many_times),
		CONTRACT_TEST(more_than_nine_arguments_are_told_apart),
		CONTRACT_TEST(the_number_of_arguments_must_fit),
		CONTRACT_TEST(changed_rows_are_counted),
		CONTRACT_TEST(on_conflict_updates_the_row_that_is_there),
		CONTRACT_TEST(on_conflict_do_nothing_changes_nothing),
		CONTRACT_TEST(returning_answers_every_row_it_touched),
		CONTRACT_TEST(a_write_is_whole_even_when_its_rows_are_not_read_to_the_end),
		CONTRACT_TEST(reading_ends_early_when_asked_to),
		CONTRACT_TEST(a_fault_of_the_reader_is_passed_up_untouched),
		CONTRACT_TEST(a_reader_may_read_with_the_same_statement),
		CONTRACT_TEST(a_broken_unique_rule_names_its_column),
		CONTRACT_TEST(a_broken_foreign_key_is_a_conflict),
		CONTRACT_TEST(other_broken_rules_are_faults_of_the_store),
		CONTRACT_TEST(a_wrong_statement_is_told_and_leaves_the_connection_well),
		CONTRACT_TEST(a_statement_that_came_often_sees_the_table_as_it_is_now),
		CONTRACT_TEST(a_transaction_sees_the_table_as_it_is_now_too),
		CONTRACT_TEST(a_statement_may_come_with_arguments_of_other_types),
		CONTRACT_TEST(values_in_a_refused_statement_are_not_in_the_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
