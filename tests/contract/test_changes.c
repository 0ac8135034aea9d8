/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

#include <stdio.h>

struct heard {
	int n;
	char kinds[8][32], refs[8][32];
	int64_t last_ref;
	bool has_lost;
};

static void hear(void *arg, const char *kind, const char *ref)
{
	struct heard *h = arg;

	if (strcmp(kind, STORE_CHANGES_LOST) == 0) {
		assert_int_equal(h->n, 0);
		h->has_lost = true;
		return;
	}
	if (h->n < 8) {
		snprintf(h->kinds[h->n], 32, "%s", kind);
		snprintf(h->refs[h->n], 32, "%s", ref);
	}
	/* In order, and each once. */
	assert_true(h->last_ref == 0 || strtoll(ref, NULL, 10) == h->last_ref + 1);
	h->last_ref = strtoll(ref, NULL, 10);
	h->n++;
}

struct span {
	int64_t from, to;
	bool fails;
};

static int note_span(struct db *db, void *arg, struct fault *f)
{
	const struct span *span = arg;

	for (int64_t i = span->from; i <= span->to; i++) {
		char ref[32];

		snprintf(ref, sizeof(ref), "%lld", (long long)i);
		if (store_note_change(db, "client", ref, f) < 0)
			return -1;
	}
	return span->fails ? fault_raise(f, FAULT_DENIED, "no") : 0;
}

static void note(struct contract *c, int64_t from, int64_t to)
{
	struct span span = {from, to, false};
	struct fault f = {0};

	assert_done(store_transact(c->store, note_span, &span, &f), &f);
}

static struct heard listen(struct contract *c, int64_t *cursor)
{
	struct heard h = {0};
	struct fault f = {0};

	assert_done(store_read_changes(c->store, cursor, hear, &h, &f), &f);
	return h;
}

static struct contract *migrated(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};
	int n;

	assert_done(store_migrate_up(c->store, &n, &f), &f);
	return c;
}

static void a_new_listener_starts_at_the_end(void **state)
{
	struct contract *c = migrated(state);
	int64_t cursor = -1;

	note(c, 1, 3);
	assert_int_equal(listen(c, &cursor).n, 0);
	assert_true(cursor >= 0);
	note(c, 4, 5);
	assert_int_equal(listen(c, &cursor).n, 2);
}

static void each_change_is_heard_once_in_order_with_its_words(void **state)
{
	struct contract *c = migrated(state);
	int64_t cursor = -1;
	struct heard h;

	listen(c, &cursor);
	note(c, 7, 8);
	h = listen(c, &cursor);
	assert_int_equal(h.n, 2);
	assert_false(h.has_lost);
	assert_string_equal(h.kinds[0], "client");
	assert_string_equal(h.refs[0], "7");
	assert_string_equal(h.refs[1], "8");
	assert_int_equal(listen(c, &cursor).n, 0);
}

static void listeners_do_not_take_changes_from_each_other(void **state)
{
	struct contract *c = migrated(state);
	int64_t one = -1, other = -1;

	listen(c, &one);
	listen(c, &other);
	note(c, 1, 4);
	assert_int_equal(listen(c, &one).n, 4);
	assert_int_equal(listen(c, &other).n, 4);
}

static void a_change_that_was_rolled_back_is_never_heard(void **state)
{
	struct contract *c = migrated(state);
	struct span span = {50, 52, true};
	int64_t cursor = -1;
	struct fault f = {0};
	struct heard h;

	listen(c, &cursor);
	assert_int_equal(store_transact(c->store, note_span, &span, &f), -1);
	assert_int_equal(listen(c, &cursor).n, 0);
	note(c, 1, 1);
	h = listen(c, &cursor);
	assert_int_equal(h.n, 1);
	assert_string_equal(h.refs[0], "1");
}

static void more_than_one_batch_is_heard_at_once(void **state)
{
	struct contract *c = migrated(state);
	int64_t cursor = -1;
	struct heard h;

	listen(c, &cursor);
	note(c, 1, 1000);
	h = listen(c, &cursor);
	assert_int_equal(h.n, 1000);
	assert_int_equal(h.last_ref, 1000);
}

static void old_changes_go_and_a_listener_who_missed_them_is_told(void **state)
{
	struct contract *c = migrated(state);
	int64_t early = -1, current = -1;
	struct heard h;

	listen(c, &early);
	note(c, 1, 9000);
	listen(c, &current);
	note(c, 9001, 12000);
	assert_true(read_number(c->store, "SELECT count(*) FROM changes") < 11000);
	h = listen(c, &current);
	assert_false(h.has_lost);
	assert_int_equal(h.n, 3000);
	h = listen(c, &early);
	assert_true(h.has_lost);
	assert_true(h.n >= 10000);
	assert_int_equal(h.last_ref, 12000);
}

struct reader {
	struct contract *c;
	int calls;
};

static void read_while_hearing(void *arg, const char *kind, const char *ref)
{
	struct reader *r = arg;
	struct db *all[CONTRACT_CONNECTIONS];
	struct fault f = {0};

	(void)kind, (void)ref;
	r->calls++;
	for (int i = 0; i < CONTRACT_CONNECTIONS; i++)
		assert_done(store_take(r->c->store, &all[i], &f), &f);
	for (int i = 0; i < CONTRACT_CONNECTIONS; i++)
		store_give(r->c->store, all[i]);
}

static void a_listener_may_use_every_connection(void **state)
{
	struct reader r = {.c = migrated(state)};
	int64_t cursor = -1;
	struct fault f = {0};

	listen(r.c, &cursor);
	note(r.c, 1, 2);
	assert_done(store_read_changes(r.c->store, &cursor, read_while_hearing, &r, &f), &f);
	assert_int_equal(r.calls, 2);
}

/* A transaction that stays open while others come and go. Only where several can write at once. */
static struct db *begin_late(struct contract *c, int64_t ref)
{
	struct span span = {ref, ref, false};
	struct fault f = {0};
	struct db *db;

	assert_done(store_take(c->store, &db, &f), &f);
	if (db_engine(db) == DB_SQLITE) {
		store_give(c->store, db);
		skip();
	}
	assert_done(db->ops->begin(db, &f), &f);
	db->in_transaction = true;
	assert_done(note_span(db, &span, &f), &f);
	return db;
}

static void end_late(struct contract *c, struct db *db, bool commits)
{
	struct fault f = {0};

	if (commits)
		assert_done(db->ops->commit(db, &f), &f);
	store_give(c->store, db);
}

/* From a store of its own, as another process has one. */
static void note_elsewhere(struct contract *c, int64_t ref)
{
	struct span span = {ref, ref, false};
	struct store *other = contract_store(c, NULL, 1);
	struct fault f = {0};

	assert_done(store_transact(other, note_span, &span, &f), &f);
	store_close(other);
}

static void a_change_that_commits_late_is_heard_all_the_same(void **state)
{
	struct contract *c = migrated(state);
	int64_t cursor = -1, second = -1;
	struct heard h;
	struct db *late;

	listen(c, &cursor);
	late = begin_late(c, 1);
	note_elsewhere(c, 2);
	listen(c, &second); /* starts at an end that is before the late one */
	h = listen(c, &cursor);
	assert_int_equal(h.n, 1);
	assert_string_equal(h.refs[0], "2");
	assert_int_equal(listen(c, &cursor).n, 0);
	end_late(c, late, true);
	h = listen(c, &cursor);
	assert_int_equal(h.n, 1);
	assert_string_equal(h.refs[0], "1");
	assert_false(h.has_lost);
	h = listen(c, &second);
	assert_int_equal(h.n, 1);
	assert_string_equal(h.refs[0], "1");
	assert_int_equal(listen(c, &cursor).n, 0);
}

static void a_late_change_that_is_given_up_holds_nobody_up(void **state)
{
	struct contract *c = migrated(state);
	int64_t cursor = -1;
	struct heard h;
	struct db *late;

	listen(c, &cursor);
	late = begin_late(c, 1);
	note_elsewhere(c, 2);
	assert_int_equal(listen(c, &cursor).n, 1);
	end_late(c, late, false);
	assert_int_equal(listen(c, &cursor).n, 0);
	note_elsewhere(c, 3);
	h = listen(c, &cursor);
	assert_int_equal(h.n, 1);
	assert_string_equal(h.refs[0], "3");
	assert_false(h.has_lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(a_new_listener_starts_at_the_end),
		CONTRACT_TEST(each_change_is_heard_once_in_order_with_its_words),
		CONTRACT_TEST(listeners_do_not_take_changes_from_each_other),
		CONTRACT_TEST(a_change_that_was_rolled_back_is_never_heard),
		CONTRACT_TEST(more_than_one_batch_is_heard_at_once),
		CONTRACT_TEST(old_changes_go_and_a_listener_who_missed_them_is_told),
		CONTRACT_TEST(a_listener_may_use_every_connection),
		CONTRACT_TEST(a_change_that_commits_late_is_heard_all_the_same),
		CONTRACT_TEST(a_late_change_that_is_given_up_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
