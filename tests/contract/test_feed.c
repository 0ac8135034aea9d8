/* SPDX-License-Identifier: Apache-2.0 */
/* The feed of a process, looked at step by step: no thread of its own here. */
#include "contract.h"

#include <stdio.h>

#include "base/clock.h"
#include "events/events_feed.h"

struct ear {
	struct event_listener l;
	_Atomic bool news;
	struct timer timer;
	int n, wakes;
	char last[64];
	int64_t position;
};

static struct scheduler *scheduler;
static struct event_feed *feed;

static void on_wake(struct timer *timer)
{
	CONTAINER_OF(timer, struct ear, timer)->wakes++;
}

static struct contract *begin(void **state)
{
	struct contract *c = *state;
	struct fault f = {0};
	int n;

	assert_done(store_migrate_up(c->store, &n, &f), &f);
	scheduler = scheduler_new_manual();
	const struct event_feed_parts parts = {
		.store = c->store, .scheduler = scheduler, .retention_ms = INT64_C(604800000)};
	feed = event_feed_new(&parts);
	return c;
}

static void end(void)
{
	event_feed_stop(feed);
	event_feed_free(feed);
	scheduler_stop(scheduler);
}

static struct ear *ear_at(struct ear *e, int64_t position)
{
	*e = (struct ear){.l = {.position = position}};
	e->l.news = &e->news;
	e->l.timer = &e->timer;
	e->timer.fire = on_wake;
	return e;
}

static int add_body(struct db *db, void *arg, struct fault *f)
{
	return events_add(db, arg, f);
}

static void add(struct contract *c, const char *kind, const char *branch, int number)
{
	char key[16];
	struct event e = {.kind = kind, .key = key, .ref = key, .branch_id = branch};
	struct fault f = {0};

	snprintf(key, sizeof(key), "%d", number);
	assert_done(store_transact(c->store, add_body, &e, &f), &f);
}

static void look(void)
{
	struct fault f = {0};

	assert_done(event_feed_look(feed, &f), &f);
	scheduler_run_due(scheduler);
}

static void hear(void *arg, int64_t position, const char *kind, const char *json, size_t len)
{
	struct ear *e = arg;

	(void)kind;
	assert_true(position > e->position);
	assert_int_equal(strlen(json), len);
	e->position = position;
	snprintf(e->last, sizeof(e->last), "%s", strstr(json, "\"ref\":") + 7);
	*strchr(e->last, '"') = '\0';
	e->n++;
}

/* Until it is idle; answers how many events that were. */
static int pull(struct ear *e, bool *ret_lagged)
{
	const int before = e->n;
	struct fault f = {0};
	bool lagged, any = false;
	int outcome;

	e->news = false;
	do {
		outcome = event_feed_pull(feed, &e->l, hear, e, &lagged, &f);
		assert_done(outcome, &f);
		any |= lagged;
	} while (outcome == FEED_MORE);
	if (ret_lagged)
		*ret_lagged = any;
	return e->n - before;
}

static void an_idle_listener_is_woken_by_news_and_by_nothing_else(void **state)
{
	struct contract *c = begin(state);
	const char *const branches[] = {"b1"};
	struct ear all, one;

	ear_at(&all, 0);
	ear_at(&one, 0)->l.filter = (struct event_filter){.branches = branches, .n_branches = 1};
	assert_int_equal(pull(&all, NULL), 0);
	assert_int_equal(pull(&one, NULL), 0);
	look();
	look();
	assert_int_equal(all.wakes + one.wakes, 0);
	add(c, "review.new", "b2", 1);
	look();
	assert_int_equal(all.wakes, 1);
	assert_true(all.news);
	assert_int_equal(one.wakes, 0);
	assert_true(one.l.position > 0); /* it need not read that again */
	assert_int_equal(pull(&all, NULL), 1);
	add(c, "review.new", "b1", 2);
	look();
	assert_int_equal(one.wakes, 1);
	assert_int_equal(pull(&one, NULL), 1);
	assert_string_equal(one.last, "2");
	event_feed_leave(feed, &all.l);
	event_feed_leave(feed, &one.l);
	end();
}

static void what_came_before_the_first_look_wakes_who_came_before_it(void **state)
{
	struct contract *c = begin(state);
	struct ear e;

	ear_at(&e, 0);
	assert_int_equal(pull(&e, NULL), 0); /* the feed follows nothing yet */
	add(c, "review.new", "b", 1);
	look();
	look();
	assert_int_equal(e.wakes, 1);
	assert_int_equal(pull(&e, NULL), 1);
	event_feed_leave(feed, &e.l);
	end();
}

static void many_listeners_at_many_places_hear_everything_once_in_order(void **state)
{
	enum { EARS = 50, EVENTS = 3000 };
	struct contract *c = begin(state);
	static struct ear ears[EARS];
	struct ear first;

	ear_at(&first, 0);
	pull(&first, NULL);
	look();
	for (int i = 0; i < EARS; i++)
		ear_at(&ears[i], 0);
	for (int i = 0; i < EVENTS; i++) {
		add(c, "review.new", "b", i);
		if (i % 100 == 0)
			look();
		if (i % 60 == 0) /* joins, and from then on comes when woken, or late */
			pull(&ears[i / 60], NULL);
		for (int e = 0; e < EARS && i % 250 == 0; e += 3) {
			if (ears[e].news)
				pull(&ears[e], NULL);
		}
	}
	look();
	for (int e = 0; e < EARS; e++) {
		pull(&ears[e], NULL);
		assert_int_equal(ears[e].n, EVENTS);
		assert_string_equal(ears[e].last, "2999");
	}
	look();
	assert_int_equal(pull(&first, NULL), EVENTS);
	event_feed_leave(feed, &first.l);
	for (int e = 0; e < EARS; e++)
		event_feed_leave(feed, &ears[e].l);
	end();
}

static void nobody_listening_nothing_is_read_and_the_next_one_misses_nothing(void **state)
{
	struct contract *c = begin(state);
	struct ear a, b;

	ear_at(&a, 0);
	pull(&a, NULL);
	look();
	event_feed_leave(feed, &a.l);
	for (int i = 0; i < 10; i++)
		add(c, "review.new", "b", i);
	look();
	ear_at(&b, 0);
	assert_int_equal(pull(&b, NULL), 10);
	look();
	add(c, "review.new", "b", 10);
	look();
	assert_int_equal(b.wakes, 1);
	assert_int_equal(pull(&b, NULL), 1);
	event_feed_leave(feed, &b.l);
	end();
}

static int64_t now_ms;

static int64_t fake_now(void *arg)
{
	(void)arg;
	return now_ms;
}

static void who_comes_after_the_purge_is_told_what_he_missed(void **state)
{
	static const struct clock_source fake = {.wall_ms = fake_now, .mono_ms = fake_now};
	struct contract *c = begin(state);
	struct ear e;
	bool lagged;

	now_ms = INT64_C(86400000000);
	clock_use(&fake);
	add(c, "review.new", "b", 1);
	look();
	now_ms += INT64_C(604800001);
	add(c, "review.new", "b", 2);
	look(); /* purges */
	ear_at(&e, 0);
	assert_int_equal(pull(&e, &lagged), 1);
	assert_true(lagged);
	assert_string_equal(e.last, "2");
	assert_int_equal(pull(&e, &lagged), 0);
	assert_false(lagged);
	event_feed_leave(feed, &e.l);
	clock_use(NULL);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(an_idle_listener_is_woken_by_news_and_by_nothing_else),
		CONTRACT_TEST(what_came_before_the_first_look_wakes_who_came_before_it),
		CONTRACT_TEST(many_listeners_at_many_places_hear_everything_once_in_order),
		CONTRACT_TEST(nobody_listening_nothing_is_read_and_the_next_one_misses_nothing),
		CONTRACT_TEST(who_comes_after_the_purge_is_told_what_he_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
