/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"

static int insert_one(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db_exec(db, "INSERT INTO items (id, total) VALUES (1, 0)", NULL, f);
}

static int64_t count_items(const struct contract *c)
{
	return read_number(c->store, "SELECT count(*) FROM items");
}

static int insert_and_answer(struct db *db, void *arg, struct fault *f)
{
	return insert_one(db, NULL, f) < 0 ? -1 : *(int *)arg;
}

static void what_the_body_answers_is_answered_and_the_rows_stay(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};
	int answer = 7;

	assert_int_equal(store_transact(c->store, insert_and_answer, &answer, &f), 7);
	assert_int_equal(count_items(c), 1);
}

static int insert_and_fail(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	if (insert_one(db, NULL, f) < 0)
		return -1;
	return fault_raise(f, FAULT_DENIED, "second thoughts");
}

static void a_fault_of_the_body_undoes_all_of_it(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};

	assert_int_equal(store_transact(c->store, insert_and_fail, NULL, &f), -1);
	assert_fault(&f, FAULT_DENIED);
	assert_int_equal(count_items(c), 0);
	assert_done(store_transact(c->store, insert_one, NULL, &f), &f);
}

static int go_on_after_a_failure(struct db *db, void *arg, struct fault *f)
{
	struct fault ignored = {0};

	if (insert_one(db, NULL, f) < 0)
		return -1;
	assert_int_equal(insert_one(db, NULL, &ignored), -1);
	assert_fault(&ignored, FAULT_CONFLICT);
	assert_int_equal(db_exec(db, "INSERT INTO items (id) VALUES (2)", NULL, &ignored), -1);
	assert_fault(&ignored, FAULT_BUG);
	return *(int *)arg;
}

static void after_a_failed_statement_nothing_more_runs_and_nothing_stays(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};
	int pretends_to_be_done = 0;

	assert_int_equal(
		store_transact(c->store, go_on_after_a_failure, &pretends_to_be_done, &f), -1);
	assert_fault(&f, FAULT_BUG);
	assert_int_equal(count_items(c), 0);
	assert_done(store_transact(c->store, insert_one, NULL, &f), &f);
}

struct inside {
	struct contract *c;
	int64_t seen;
};

static int look_from_outside(struct db *db, void *arg, struct fault *f)
{
	struct inside *in = arg;

	if (insert_one(db, NULL, f) < 0)
		return -1;
	in->seen = count_items(in->c);
	return 0;
}

static void others_see_a_row_only_when_it_is_committed(void **state)
{
	struct inside in = {.c = *state, .seen = -1};
	struct fault f = {0};

	assert_done(store_transact(in.c->store, look_from_outside, &in, &f), &f);
	assert_int_equal(in.seen, 0);
	assert_int_equal(count_items(in.c), 1);
}

static int transact_inside(struct db *db, void *arg, struct fault *f)
{
	struct inside *in = arg;

	(void)db;
	return store_transact(in->c->store, insert_one, NULL, f);
}

static void a_transaction_inside_a_transaction_is_refused(void **state)
{
	struct inside in = {.c = *state};
	struct fault f = {0};

	assert_int_equal(store_transact(in.c->store, transact_inside, &in, &f), -1);
	assert_fault(&f, FAULT_BUG);
	assert_done(store_transact(in.c->store, insert_one, NULL, &f), &f);
}

static void an_abandoned_transaction_is_rolled_back_when_its_connection_is_given(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};
	struct db *db;

	assert_done(store_take(c->store, &db, &f), &f);
	assert_done(db_exec(db, "BEGIN", NULL, &f), &f);
	assert_done(insert_one(db, NULL, &f), &f);
	store_give(c->store, db);
	assert_int_equal(count_items(c), 0);
	assert_done(store_transact(c->store, insert_one, NULL, &f), &f);
}

static int fail_in_use(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	if (insert_one(db, NULL, f) < 0)
		return -1;
	return fault_raise(f, FAULT_DENIED, "after the fact");
}

static void outside_a_transaction_each_statement_stays_at_once(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};

	assert_int_equal(store_use(c->store, fail_in_use, NULL, &f), -1);
	assert_fault(&f, FAULT_DENIED);
	assert_int_equal(count_items(c), 1);
}

/* ---- losing against others ---- */

static const struct db_ops *inner;
static int losses, bodies, naps;

static int lose_on_commit(struct db *db, struct fault *f)
{
	if (losses == 0)
		return inner->commit(db, f);
	losses--;
	db->has_lost = true;
	return fault_raise(f, FAULT_STORE, "could not serialize");
}

static int insert_and_count(struct db *db, void *arg, struct fault *f)
{
	bodies++;
	return insert_one(db, arg, f);
}

static int64_t still(void *arg)
{
	(void)arg;
	return 1000;
}

static void nap(void *arg, int64_t ms)
{
	(void)arg;
	assert_true(ms > 0 && ms < 1000);
	naps++;
}

static int transact_losing(struct contract *c, int times, struct fault *f)
{
	static const struct clock_source clock = {still, still, nap, NULL};
	struct db_ops *ops = contract_wrap(c);
	struct store *s;
	int result;

	inner = store_ops(c->store);
	ops->commit = lose_on_commit;
	losses = times;
	bodies = naps = 0;
	s = contract_store(c, ops, 1);
	clock_use(&clock);
	result = store_transact(s, insert_and_count, NULL, f);
	clock_use(NULL);
	store_close(s);
	return result;
}

static void a_transaction_that_lost_runs_again_as_a_whole(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};

	assert_done(transact_losing(c, 2, &f), &f);
	assert_int_equal(bodies, 3);
	assert_int_equal(naps, 2);
	assert_int_equal(count_items(c), 1);
}

static void a_transaction_that_always_loses_gives_up(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};

	assert_int_equal(transact_losing(c, 1000, &f), -1);
	assert_fault(&f, FAULT_STORE);
	assert_true(bodies > 1 && bodies <= 10);
	assert_int_equal(count_items(c), 0);
}

/* ---- many at once ---- */

enum { WRITERS = 8, ROUNDS = 25 };

static int see_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols, (void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

/* Reads, then writes what it read and one more: the shape that loses updates. */
static int read_then_write(struct db *db, void *arg, struct fault *f)
{
	int64_t total = -1;

	(void)arg;
	if (db_read(db, "SELECT total FROM items WHERE id = 1", see_number, &total, f) < 0)
		return -1;
	return db_exec(db, "UPDATE items SET total = $1 WHERE id = 1", NULL, f, db_int(total + 1));
}

static int add_one(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db_exec(db, "UPDATE items SET total = total + 1 WHERE id = 1", NULL, f);
}

static void *write_many(void *arg)
{
	struct contract *c = arg;
	struct fault f = {0};
	intptr_t failed = 0;

	for (int i = 0; i < ROUNDS; i++) {
		failed += store_transact(c->store, read_then_write, NULL, &f) < 0;
		failed += store_use(c->store, add_one, NULL, &f) < 0;
	}
	return (void *)failed; // NOLINT: a count in the place of a pointer
}

static void threads_that_write_at_once_lose_no_update(void **state)
{
	struct contract *c = *state;
	pthread_t threads[WRITERS];
	struct fault f = {0};

	assert_done(store_transact(c->store, insert_one, NULL, &f), &f);
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, c), 0);
	for (int i = 0; i < WRITERS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(read_number(c->store, "SELECT total FROM items"), WRITERS * ROUNDS * 2);
}

struct waiter {
	struct store *store;
	atomic_bool has_taken;
};

static void *take_and_give(void *arg)
{
	struct waiter *w = arg;
	struct fault f = {0};
	struct db *db = NULL;

	if (store_take(w->store, &db, &f) < 0)
		return NULL;
	atomic_store(&w->has_taken, true);
	store_give(w->store, db);
	return w;
}

static void the_pool_opens_no_more_than_it_may_and_hands_over(void **state)
{
	struct contract *c = *state;
	struct waiter w = {.store = contract_store(c, NULL, 2)};
	pthread_t thread;
	struct fault f = {0};
	struct db *first, *second;
	void *result;

	assert_done(store_take(w.store, &first, &f), &f);
	assert_done(store_take(w.store, &second, &f), &f);
	assert_ptr_not_equal(first, second);
	assert_int_equal(pthread_create(&thread, NULL, take_and_give, &w), 0);
	for (int i = 0; i < 1000; i++)
		sched_yield();
	assert_false(atomic_load(&w.has_taken));
	store_give(w.store, first);
	pthread_join(thread, &result);
	assert_non_null(result);
	store_give(w.store, second);
	store_close(w.store);
}

static int opened;
static int (*open_wrapped)(struct db_site *site, struct db **ret, struct fault *f);

static int open_but_the_second(struct db_site *site, struct db **ret, struct fault *f)
{
	if (++opened == 2)
		return fault_raise(f, FAULT_STORE, "not now");
	return open_wrapped(site, ret, f);
}

static void a_connection_that_does_not_open_leaves_its_place_free(void **state)
{
	struct contract *c = *state;
	struct db_ops *ops = contract_wrap(c);
	struct fault f = {0};
	struct db *first, *second;
	struct store *s;

	opened = 0;
	open_wrapped = ops->open;
	ops->open = open_but_the_second;
	s = contract_store(c, ops, 2);
	assert_done(store_take(s, &first, &f), &f);
	assert_int_equal(store_take(s, &second, &f), -1);
	assert_done(store_take(s, &second, &f), &f);
	store_give(s, second);
	store_give(s, first);
	store_close(s);
}

static void a_broken_connection_is_not_handed_out_again(void **state)
{
	struct contract *c = *state;
	struct db_ops *ops = contract_wrap(c);
	struct fault f = {0};
	struct store *s;
	struct db *db;

	opened = 10;
	open_wrapped = ops->open;
	ops->open = open_but_the_second;
	s = contract_store(c, ops, 1);
	assert_int_equal(opened, 11);
	assert_done(store_take(s, &db, &f), &f);
	db->is_broken = true;
	store_give(s, db);
	assert_done(store_ping(s, &f), &f);
	assert_int_equal(opened, 12);
	store_close(s);
}

/* ---- statements whose answer nobody looks at ---- */

#define PUSHED 200 /* more than an engine holds back at once */

static int push_one(struct db *db, int64_t id, struct fault *f)
{
	const struct db_value id_value = db_int(id);

	return db_push(db, "INSERT INTO items (id, total) VALUES ($1, 0)", &id_value, 1, f);
}

static int see_total(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols, (void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

static int push_and_read(struct db *db, void *arg, struct fault *f)
{
	int64_t *seen = arg;

	for (int64_t i = 1; i <= PUSHED; i++)
		if (push_one(db, i, f) < 0)
			return -1;
	if (db_read(db, "SELECT count(*) FROM items", see_total, seen, f) < 0)
		return -1;
	return push_one(db, PUSHED + 1, f);
}

static void what_was_pushed_is_seen_by_the_next_statement_and_stays(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};
	int64_t seen = 0;

	for (int round = 0; round < 3; round++) { /* from the second on, statements have names */
		assert_done(store_transact(c->store, push_and_read, &seen, &f), &f);
		assert_int_equal(seen, PUSHED);
		assert_int_equal(count_items(c), PUSHED + 1);
		run_alone(c->store, "DELETE FROM items");
	}
}

static int push_twice_the_same(struct db *db, void *arg, struct fault *f)
{
	const bool *goes_on = arg;

	if (push_one(db, 1, f) < 0 || push_one(db, 1, f) < 0)
		return -1;
	return *goes_on ? db_exec(db, "UPDATE items SET total = 1", NULL, f) : 0;
}

static void what_was_pushed_and_fails_undoes_the_transaction(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};

	for (int round = 0; round < 6; round++) {
		bool goes_on = round % 2 == 0; /* else the commit is what tells */

		assert_int_equal(store_transact(c->store, push_twice_the_same, &goes_on, &f), -1);
		assert_fault(&f, FAULT_CONFLICT);
		assert_string_equal(f.field, "id");
		assert_int_equal(count_items(c), 0);
	}
	assert_done(store_transact(c->store, insert_one, NULL, &f), &f);
}

static int push_and_give_up(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return push_one(db, 1, f) < 0 ? -1 : fault_raise(f, FAULT_DENIED, "second thoughts");
}

static void what_was_pushed_before_a_fault_of_the_body_is_undone(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};

	for (int round = 0; round < 3; round++) {
		assert_int_equal(store_transact(c->store, push_and_give_up, NULL, &f), -1);
		assert_fault(&f, FAULT_DENIED);
		assert_int_equal(count_items(c), 0);
	}
	assert_done(store_transact(c->store, insert_one, NULL, &f), &f);
}

static int do_nothing(struct db *db, void *arg, struct fault *f)
{
	(void)db, (void)arg, (void)f;
	return 5;
}

static void a_transaction_without_a_statement_is_done(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};

	for (int round = 0; round < 3; round++)
		assert_int_equal(store_transact(c->store, do_nothing, NULL, &f), 5);
	assert_done(store_transact(c->store, insert_one, NULL, &f), &f);
}

static void a_ping_answers(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};

	assert_done(store_ping(c->store, &f), &f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(what_the_body_answers_is_answered_and_the_rows_stay),
		CONTRACT_TEST(a_fault_of_the_body_undoes_all_of_it),
		CONTRACT_TEST(after_a_failed_statement_nothing_more_runs_and_nothing_stays),
		CONTRACT_TEST(others_see_a_row_only_when_it_is_committed),
		CONTRACT_TEST(a_transaction_inside_a_transaction_is_refused),
		CONTRACT_TEST(an_abandoned_transaction_is_rolled_back_when_its_connection_is_given),
		CONTRACT_TEST(outside_a_transaction_each_statement_stays_at_once),
		CONTRACT_TEST(a_transaction_that_lost_runs_again_as_a_whole),
		CONTRACT_TEST(a_transaction_that_always_loses_gives_up),
		CONTRACT_TEST(threads_that_write_at_once_lose_no_update),
		CONTRACT_TEST(the_pool_opens_no_more_than_it_may_and_hands_over),
		CONTRACT_TEST(a_connection_that_does_not_open_leaves_its_place_free),
		CONTRACT_TEST(a_broken_connection_is_not_handed_out_again),
		CONTRACT_TEST(what_was_pushed_is_seen_by_the_next_statement_and_stays),
		CONTRACT_TEST(what_was_pushed_and_fails_undoes_the_transaction),
		CONTRACT_TEST(what_was_pushed_before_a_fault_of_the_body_is_undone),
		CONTRACT_TEST(a_transaction_without_a_statement_is_done),
		CONTRACT_TEST(a_ping_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
