/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

#include "base/clock.h"
#include "store/store_lease.h"

static struct {
	int64_t mono_ms, wall_ms;
} now;

static int64_t mono(void *arg)
{
	(void)arg;
	return now.mono_ms;
}

static int64_t wall(void *arg)
{
	(void)arg;
	return now.wall_ms;
}

static const struct clock_source fake = {.wall_ms = wall, .mono_ms = mono};

static struct contract *begin(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};
	int n;

	assert_done(store_migrate_up(c->store, &n, &f), &f);
	now.mono_ms = 1000;
	now.wall_ms = 1700000000000;
	clock_use(&fake);
	return c;
}

static struct lease lease_of(const char *owner)
{
	return (struct lease){.name = "work", .owner = owner, .ttl_ms = 1000};
}

static int take(struct contract *c, struct lease *l)
{
	struct fault f = {0};
	int outcome = lease_take(c->store, l, &f);

	assert_done(outcome, &f);
	return outcome;
}

static int keep_body(struct db *db, void *arg, struct fault *f)
{
	return lease_keep(db, arg, f);
}

static int keep(struct contract *c, struct lease *l)
{
	struct fault f = {0};
	int outcome = store_transact(c->store, keep_body, l, &f);

	assert_done(outcome, &f);
	return outcome;
}

static void the_first_one_has_it_and_renews_it(void **state)
{
	struct contract *c = begin(state);
	struct lease a = lease_of("a"), b = lease_of("b");

	assert_int_equal(take(c, &a), LEASE_HELD);
	assert_int_equal(take(c, &b), LEASE_ELSEWHERE);
	for (int i = 0; i < 10; i++) {
		now.mono_ms += 400;
		assert_int_equal(take(c, &a), LEASE_HELD);
		assert_int_equal(take(c, &b), LEASE_ELSEWHERE);
		assert_true(lease_is_held(&a));
	}
	assert_int_equal(a.fence, 1);
	clock_use(NULL);
}

static void one_that_stands_still_is_taken_over_and_cannot_write_any_more(void **state)
{
	struct contract *c = begin(state);
	struct lease a = lease_of("a"), b = lease_of("b");

	assert_int_equal(take(c, &a), LEASE_HELD);
	assert_int_equal(take(c, &b), LEASE_ELSEWHERE);
	now.mono_ms += 999;
	assert_int_equal(take(c, &b), LEASE_ELSEWHERE);
	now.mono_ms += 1;
	assert_false(lease_is_held(&a));
	assert_int_equal(keep(c, &a), LEASE_HELD); /* nobody took it yet */
	assert_int_equal(take(c, &b), LEASE_ELSEWHERE);
	now.mono_ms += 1000;
	assert_int_equal(take(c, &b), LEASE_HELD);
	assert_int_equal(b.fence, 2);
	assert_int_equal(keep(c, &a), LEASE_ELSEWHERE);
	assert_int_equal(keep(c, &b), LEASE_HELD);
	assert_int_equal(take(c, &a), LEASE_ELSEWHERE);
	assert_false(lease_is_held(&a));
	clock_use(NULL);
}

static void wall_clocks_that_disagree_take_nothing_over(void **state)
{
	struct contract *c = begin(state);
	struct lease a = lease_of("a"), b = lease_of("b");

	assert_int_equal(take(c, &a), LEASE_HELD);
	now.wall_ms += 300000;
	assert_int_equal(take(c, &b), LEASE_ELSEWHERE);
	now.wall_ms -= 900000;
	assert_int_equal(take(c, &b), LEASE_ELSEWHERE);
	assert_int_equal(take(c, &a), LEASE_HELD);
	clock_use(NULL);
}

static void one_that_is_given_back_is_free_at_once(void **state)
{
	struct contract *c = begin(state);
	struct lease a = lease_of("a"), b = lease_of("b");
	struct fault f = {0};

	assert_int_equal(take(c, &a), LEASE_HELD);
	assert_done(lease_give(c->store, &a, &f), &f);
	assert_int_equal(keep(c, &a), LEASE_ELSEWHERE);
	assert_int_equal(take(c, &b), LEASE_HELD);
	assert_int_equal(b.fence, 2);
	clock_use(NULL);
}

static void the_only_process_need_not_wait_for_the_one_before_it(void **state)
{
	struct contract *c = begin(state);
	struct lease a = lease_of("before"), b = lease_of("now");
	struct fault f = {0};

	assert_int_equal(take(c, &a), LEASE_HELD);
	assert_done(lease_give_all(c->store, &f), &f);
	assert_int_equal(take(c, &b), LEASE_HELD);
	assert_int_equal(keep(c, &a), LEASE_ELSEWHERE);
	clock_use(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(the_first_one_has_it_and_renews_it),
		CONTRACT_TEST(one_that_stands_still_is_taken_over_and_cannot_write_any_more),
		CONTRACT_TEST(wall_clocks_that_disagree_take_nothing_over),
		CONTRACT_TEST(one_that_is_given_back_is_free_at_once),
		CONTRACT_TEST(the_only_process_need_not_wait_for_the_one_before_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
