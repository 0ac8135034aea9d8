/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <string.h>

#include "net/transfer.h"

static struct transfer *add(struct queue *q, const char *url)
{
	struct net_request r = {.method = "GET", .url = url};
	struct transfer *t = transfer_new(&r, NULL, NULL);

	queue_add(q, t);
	return t;
}

static void leave(struct queue *q, struct transfer *t)
{
	queue_leave(q, t);
	transfer_free(t);
}

static void requests_to_one_host_run_in_the_order_of_sending(void **state)
{
	struct transfer *t[3];
	struct queue q;

	(void)state;
	queue_init(&q, 0, 0);
	assert_null(queue_take(&q));
	for (int i = 0; i < 3; i++)
		t[i] = add(&q, "https://a.example/x");
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(queue_take(&q), t[i]);
	assert_null(queue_take(&q));
	for (int i = 0; i < 3; i++)
		leave(&q, t[i]);
	assert_true(ring_is_empty(&q.hosts));
	queue_done(&q);
}

static void a_host_that_hangs_holds_up_nobody_else(void **state)
{
	struct transfer *slow[5], *quick;
	struct queue q;

	(void)state;
	queue_init(&q, 4, 2);
	for (int i = 0; i < 5; i++)
		slow[i] = add(&q, i % 2 ? "https://slow.example?x" : "https://slow.example/y");
	assert_ptr_equal(queue_take(&q), slow[0]);
	assert_ptr_equal(queue_take(&q), slow[1]);
	assert_null(queue_take(&q));
	quick = add(&q, "https://slow.example:444/"); /* another port is another host */
	assert_ptr_equal(queue_take(&q), quick);
	leave(&q, slow[1]);
	assert_ptr_equal(queue_take(&q), slow[2]);
	leave(&q, slow[4]); /* one that still waits may leave too */
	leave(&q, slow[0]);
	assert_ptr_equal(queue_take(&q), slow[3]);
	assert_null(queue_take(&q));
	leave(&q, slow[2]);
	leave(&q, slow[3]);
	leave(&q, quick);
	assert_int_equal(q.running, 0);
	queue_done(&q);
}

static void hosts_take_turns_for_the_last_places(void **state)
{
	struct transfer *a[10], *b, *first;
	struct queue q;

	(void)state;
	queue_init(&q, 1, 0);
	for (int i = 0; i < 10; i++)
		a[i] = add(&q, "http://a.example/");
	b = add(&q, "http://b.example/");
	first = queue_take(&q);
	assert_ptr_equal(first, a[0]);
	assert_null(queue_take(&q));
	leave(&q, first);
	assert_ptr_equal(queue_take(&q), b);
	leave(&q, b);
	for (int i = 1; i < 10; i++) {
		assert_ptr_equal(queue_take(&q), a[i]);
		leave(&q, a[i]);
	}
	queue_done(&q);
}

struct visit {
	struct queue *queue;
	int seen;
};

static void end_each(void *arg, struct transfer *t)
{
	struct visit *v = arg;

	v->seen++;
	leave(v->queue, t);
}

static void all_that_wait_can_be_ended_in_one_walk(void **state)
{
	struct visit v = {0};
	struct transfer *running;
	struct queue q;

	(void)state;
	v.queue = &q;
	queue_init(&q, 1, 0);
	for (int i = 0; i < 9; i++)
		add(&q, i % 3 == 0 ? "http://a/" : i % 3 == 1 ? "http://b/" : "http://c/");
	running = queue_take(&q);
	queue_each_waiting(&q, end_each, &v);
	assert_int_equal(v.seen, 8);
	queue_each_waiting(&q, end_each, &v);
	assert_int_equal(v.seen, 8);
	leave(&q, running);
	assert_true(ring_is_empty(&q.hosts));
	queue_done(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_to_one_host_run_in_the_order_of_sending),
		cmocka_unit_test(a_host_that_hangs_holds_up_nobody_else),
		cmocka_unit_test(hosts_take_turns_for_the_last_places),
		cmocka_unit_test(all_that_wait_can_be_ended_in_one_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
