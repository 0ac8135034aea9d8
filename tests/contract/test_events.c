/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "events/events_consumer.h"

#define DAY_MS ((int64_t)86400000)

static int64_t now_ms;

static int64_t fake_now(void *arg)
{
	(void)arg;
	return now_ms;
}

static const struct clock_source fake = {.wall_ms = fake_now, .mono_ms = fake_now};

static struct contract *begin(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};
	int n;

	assert_done(store_migrate_up(c->store, &n, &f), &f);
	return c;
}

struct writing {
	struct event event;
	int times;
	bool fails;
	int known;
};

static int write_body(struct db *db, void *arg, struct fault *f)
{
	struct writing *w = arg;
	int outcome;

	w->known = 0;
	for (int i = 0; i < w->times; i++) {
		outcome = events_add(db, &w->event, f);
		if (outcome < 0)
			return -1;
		w->known += outcome == EVENT_KNOWN;
	}
	return w->fails ? fault_raise(f, FAULT_DENIED, "no") : 0;
}

static int add(struct contract *c, const char *kind, const char *branch, const char *key)
{
	struct writing w = {
		.times = 1,
		.event = {.kind = kind, .key = key, .branch_id = branch, .ref = key},
	};
	struct fault f = {0};

	assert_done(store_transact(c->store, write_body, &w, &f), &f);
	return w.known;
}

#define HEARD 256
struct heard {
	int n;
	char refs[HEARD][24], kinds[HEARD][32];
	int64_t last;
};

static int hear(void *arg, const struct event_row *row, struct fault *f)
{
	struct heard *h = arg;

	(void)f;
	assert_true(row->position > h->last);
	h->last = row->position;
	if (h->n < HEARD) {
		snprintf(h->refs[h->n], sizeof(h->refs[0]), "%s", row->ref);
		snprintf(h->kinds[h->n], sizeof(h->kinds[0]), "%s", row->kind);
	}
	h->n++;
	return 0;
}

static struct heard read_all(
	struct contract *c, const struct event_filter *filter, struct events_range *range)
{
	struct heard h = {.last = range->after};
	struct fault f = {0};

	assert_done(events_order(c->store, &f), &f);
	do {
		assert_done(events_read(c->store, filter, 1000, range, hear, &h, &f), &f);
	} while (range->after < range->end);
	return h;
}

static void events_are_read_in_order_each_once_and_the_reader_goes_on_where_it_was(void **state)
{
	struct contract *c = begin(state);
	struct events_range range = {0};
	struct heard h;

	assert_int_equal(read_all(c, NULL, &range).n, 0);
	add(c, "review.new", "b1", "r1");
	add(c, "review.edited", "b1", "r1");
	h = read_all(c, NULL, &range);
	assert_int_equal(h.n, 2);
	assert_string_equal(h.kinds[0], "review.new");
	assert_string_equal(h.kinds[1], "review.edited");
	add(c, "review.new", "b1", "r2");
	h = read_all(c, NULL, &range);
	assert_int_equal(h.n, 1);
	assert_string_equal(h.refs[0], "r2");
	assert_false(range.is_lagged);
}

static void the_same_change_is_one_event_however_often_it_is_stored(void **state)
{
	struct contract *c = begin(state);
	struct writing w = {.times = 3, .event = {.kind = "review.new", .key = "k", .ref = "r"}};
	struct events_range range = {0};
	struct fault f = {0};

	assert_done(store_transact(c->store, write_body, &w, &f), &f);
	assert_int_equal(w.known, 2);
	assert_int_equal(add(c, "review.new", NULL, "k"), 1);
	assert_int_equal(add(c, "review.edited", NULL, "k"), 0);
	assert_int_equal(read_all(c, NULL, &range).n, 2);
}

static void an_event_id_comes_from_kind_and_key_alone(void **state)
{
	char one[EVENT_ID_SIZE], other[EVENT_ID_SIZE];

	(void)state;
	event_id_of("review.new", "k", one);
	event_id_of("review.new", "k", other);
	assert_string_equal(one, other);
	assert_int_equal(strlen(one), EVENT_ID_SIZE - 1);
	event_id_of("review.newk", "", other);
	assert_string_not_equal(one, other);
}

static void an_event_of_a_change_that_was_rolled_back_is_never_read(void **state)
{
	struct contract *c = begin(state);
	struct writing w = {
		.times = 1, .fails = true, .event = {.kind = "job.failed", .key = "k", .ref = "r"}};
	struct events_range range = {0};
	struct fault f = {0};

	assert_int_equal(store_transact(c->store, write_body, &w, &f), -1);
	assert_int_equal(read_all(c, NULL, &range).n, 0);
	assert_int_equal(add(c, "job.failed", NULL, "k"), 0);
	assert_int_equal(read_all(c, NULL, &range).n, 1);
}

static void a_filter_lets_its_branches_and_kinds_through_and_nobody_elses(void **state)
{
	struct contract *c = begin(state);
	const char *const branches[] = {"b1", "b3"}, *const kinds[] = {"review.", "job.failed"};
	const struct event_filter both = {
		.branches = branches, .n_branches = 2, .kinds = kinds, .n_kinds = 2};
	const struct event_filter none = {.branches = branches, .n_branches = 0};
	struct events_range range = {0};
	struct heard h;

	add(c, "review.new", "b1", "1");
	add(c, "review.new", "b2", "2");
	add(c, "connection.revoked", "b1", "3");
	add(c, "job.failed", "b3", "4");
	add(c, "job.failed_not", "b3", "5");
	add(c, "review.new", NULL, "6");
	h = read_all(c, &both, &range);
	assert_int_equal(h.n, 2);
	assert_string_equal(h.refs[0], "1");
	assert_string_equal(h.refs[1], "4");
	range.after = 0;
	assert_int_equal(read_all(c, &none, &range).n, 0);
	assert_int_equal(range.after, range.end);
}

static void a_limit_ends_one_reading_and_nothing_is_skipped(void **state)
{
	struct contract *c = begin(state);
	struct events_range range = {0};
	struct heard h = {0};
	struct fault f = {0};
	char key[16];

	for (int i = 0; i < 25; i++) {
		snprintf(key, sizeof(key), "%d", i);
		add(c, "review.new", "b", key);
	}
	assert_done(events_order(c->store, &f), &f);
	for (int calls = 1; calls <= 3; calls++) {
		assert_done(events_read(c->store, NULL, 10, &range, hear, &h, &f), &f);
		assert_int_equal(h.n, calls < 3 ? 10 * calls : 25);
		assert_int_equal(range.after < range.end, calls < 3);
	}
	assert_string_equal(h.refs[24], "24");
}

/* ---- many writers ---- */

#define WRITERS 6
#define EACH 40

struct writer {
	struct contract *c;
	int number;
	pthread_t thread;
};

static void *write_many(void *arg)
{
	struct writer *w = arg;
	char key[32];

	for (int i = 0; i < EACH; i++) {
		snprintf(key, sizeof(key), "%d.%d", w->number, i);
		add(w->c, "review.new", "b", key);
	}
	return NULL;
}

static void a_reader_beside_many_writers_misses_nothing_and_keeps_the_order_of_each(void **state)
{
	struct contract *c = begin(state);
	struct writer writers[WRITERS];
	struct events_range range = {0};
	int next[WRITERS] = {0}, total = 0, number, i;

	for (int n = 0; n < WRITERS; n++) {
		writers[n] = (struct writer){.c = c, .number = n};
		assert_int_equal(
			pthread_create(&writers[n].thread, NULL, write_many, &writers[n]), 0);
	}
	while (total < WRITERS * EACH) {
		struct heard h = read_all(c, NULL, &range);

		total += h.n;
		for (int k = 0; k < h.n; k++) {
			assert_int_equal(sscanf(h.refs[k], "%d.%d", &number, &i), 2);
			assert_true(i >= next[number]);
			next[number] = i + 1;
		}
	}
	for (int n = 0; n < WRITERS; n++)
		pthread_join(writers[n].thread, NULL);
	assert_int_equal(total, WRITERS * EACH);
	assert_int_equal(read_all(c, NULL, &range).n, 0);
}

/* ---- purging ---- */

static int purge(struct contract *c)
{
	struct fault f = {0};
	int n;

	assert_done(events_order(c->store, &f), &f);
	n = events_purge(c->store, 7 * DAY_MS, &f);
	assert_done(n, &f);
	return n;
}

static void what_is_older_than_its_retention_goes_and_a_reader_that_slept_is_told(void **state)
{
	struct contract *c = begin(state);
	struct events_range range = {0};

	now_ms = 1000 * DAY_MS;
	clock_use(&fake);
	add(c, "review.new", "b", "old");
	now_ms += 3 * DAY_MS;
	add(c, "review.new", "b", "young");
	assert_int_equal(purge(c), 0);
	now_ms += 4 * DAY_MS + 1;
	assert_int_equal(purge(c), 1);
	assert_int_equal(purge(c), 0);
	assert_int_equal(read_all(c, NULL, &range).n, 1);
	range = (struct events_range){0};
	struct fault f = {0};
	struct heard h = {0};
	assert_done(events_read(c->store, NULL, 10, &range, hear, &h, &f), &f);
	assert_true(range.is_lagged);
	assert_string_equal(h.refs[0], "young");
	now_ms += 100 * DAY_MS;
	assert_int_equal(purge(c), 1);
	/* Positions go on behind what was purged. */
	range.after = h.last;
	add(c, "review.new", "b", "next");
	assert_int_equal(read_all(c, NULL, &range).n, 1);
	assert_true(range.after > h.last);
	clock_use(NULL);
}

static void a_purge_takes_small_pieces(void **state)
{
	struct contract *c = begin(state);
	char key[16];
	int n;

	now_ms = 1000 * DAY_MS;
	clock_use(&fake);
	for (int i = 0; i < EVENTS_PURGE_PIECE + 7; i++) {
		snprintf(key, sizeof(key), "%d", i);
		add(c, "review.new", "b", key);
	}
	now_ms += 8 * DAY_MS;
	n = purge(c);
	assert_int_equal(n, EVENTS_PURGE_PIECE);
	assert_int_equal(purge(c), 7);
	clock_use(NULL);
}

/* ---- consumers ---- */

static int claim(struct contract *c, struct event_consumer *one, int from)
{
	struct fault f = {0};
	int outcome = event_consumer_claim(c->store, one, from, &f);

	assert_done(outcome, &f);
	return outcome;
}

static int advance(struct contract *c, struct event_consumer *one, int64_t position)
{
	struct fault f = {0};
	int outcome = event_consumer_advance(c->store, one, position, &f);

	assert_done(outcome, &f);
	return outcome;
}

static void a_consumer_goes_on_where_it_was_whoever_works_for_it(void **state)
{
	struct contract *c = begin(state);
	struct event_consumer a, b;
	struct events_range range = {0};
	struct fault f = {0};

	event_consumer_init(&a, "kafka", "a", 1000);
	event_consumer_init(&b, "kafka", "b", 1000);
	add(c, "review.new", "b", "1");
	add(c, "review.new", "b", "2");
	read_all(c, NULL, &range);
	assert_int_equal(claim(c, &a, CONSUMER_FROM_OLDEST), LEASE_HELD);
	assert_int_equal(a.position, 0);
	assert_int_equal(claim(c, &b, CONSUMER_FROM_OLDEST), LEASE_ELSEWHERE);
	assert_int_equal(advance(c, &a, range.end), LEASE_HELD);
	assert_done(event_consumer_release(c->store, &a, &f), &f);
	assert_int_equal(claim(c, &b, CONSUMER_FROM_NOW), LEASE_HELD);
	assert_int_equal(b.position, range.end);
	/* a slept through it all */
	a.lease.fence = 1;
	assert_int_equal(advance(c, &a, range.end + 5), LEASE_ELSEWHERE);
	assert_int_equal(claim(c, &b, CONSUMER_FROM_OLDEST), LEASE_HELD);
	assert_int_equal(b.position, range.end);
}

static void a_consumer_may_begin_at_what_comes_next(void **state)
{
	struct contract *c = begin(state);
	struct event_consumer a;
	struct events_range range = {0};

	add(c, "review.new", "b", "1");
	read_all(c, NULL, &range);
	event_consumer_init(&a, "webhook", "a", 1000);
	assert_int_equal(claim(c, &a, CONSUMER_FROM_NOW), LEASE_HELD);
	assert_int_equal(a.position, range.end);
}

static void nothing_is_purged_that_a_consumer_has_not_taken_but_not_for_ever(void **state)
{
	struct contract *c = begin(state);
	struct event_consumer a;
	struct events_range range = {0};
	struct fault f = {0};

	now_ms = 1000 * DAY_MS;
	clock_use(&fake);
	event_consumer_init(&a, "kafka", "a", 1000);
	assert_int_equal(claim(c, &a, CONSUMER_FROM_OLDEST), LEASE_HELD);
	add(c, "review.new", "b", "1");
	read_all(c, NULL, &range);
	add(c, "review.new", "b", "2");
	now_ms += 8 * DAY_MS;
	assert_int_equal(purge(c), 0);
	assert_int_equal(advance(c, &a, range.end), LEASE_HELD);
	assert_int_equal(purge(c), 1);
	assert_int_equal(purge(c), 0);
	now_ms += 7 * DAY_MS * EVENTS_HOLD_FACTOR;
	assert_int_equal(purge(c), 1);
	add(c, "review.new", "b", "3");
	now_ms += 8 * DAY_MS;
	assert_int_equal(purge(c), 0);
	assert_done(event_consumer_forget(c->store, "kafka", &f), &f);
	assert_int_equal(purge(c), 1);
	clock_use(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(
			events_are_read_in_order_each_once_and_the_reader_goes_on_where_it_was),
		CONTRACT_TEST(the_same_change_is_one_event_however_often_it_is_stored),
		CONTRACT_TEST(an_event_id_comes_from_kind_and_key_alone),
		CONTRACT_TEST(an_event_of_a_change_that_was_rolled_back_is_never_read),
		CONTRACT_TEST(a_filter_lets_its_branches_and_kinds_through_and_nobody_elses),
		CONTRACT_TEST(a_limit_ends_one_reading_and_nothing_is_skipped),
		CONTRACT_TEST(
			a_reader_beside_many_writers_misses_nothing_and_keeps_the_order_of_each),
		CONTRACT_TEST(
			what_is_older_than_its_retention_goes_and_a_reader_that_slept_is_told),
		CONTRACT_TEST(a_purge_takes_small_pieces),
		CONTRACT_TEST(a_consumer_goes_on_where_it_was_whoever_works_for_it),
		CONTRACT_TEST(a_consumer_may_begin_at_what_comes_next),
		CONTRACT_TEST(nothing_is_purged_that_a_consumer_has_not_taken_but_not_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
