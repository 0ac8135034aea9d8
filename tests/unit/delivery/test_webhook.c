/* SPDX-License-Identifier: Apache-2.0 */
/* A receiver that answers what the test says, when the test says so. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "delivery/webhook.h"

#define SENT_MOST 200
#define POSITION "SELECT position FROM event_consumers WHERE name = 'webhook'"

static const char secret_text[] = "0123456789abcdef";

struct sent {
	char name[64], id[33], signature[128], url[80]; /* name: ref/data */
	char *body;
	int64_t timestamp_sec, send_by_ms;
	net_done_fn *done;
	void *arg;
	bool answered;
};
static struct sent sent[SENT_MOST];
static size_t n_sent;

static void take_line(const struct buf *headers, const char *name, char *ret, size_t size)
{
	const char *at = strstr(buf_text(headers), name);

	assert_non_null(at);
	at += strlen(name);
	snprintf(ret, size, "%.*s", (int)strcspn(at, "\n"), at);
}

static void fake_send(struct net *n, struct net_request *moved, net_done_fn *done, void *arg)
{
	AUTO(json_drop) json_t *body = NULL;
	struct sent *s = &sent[n_sent++];
	struct fault f;
	char text[32];

	(void)n;
	assert_true(n_sent < SENT_MOST);
	assert_string_equal(moved->method, "POST");
	*s = (struct sent){.done = done, .arg = arg, .send_by_ms = moved->send_by_mono_ms};
	snprintf(s->url, sizeof(s->url), "%s", moved->url);
	take_line(&moved->headers, "webhook-id: ", s->id, sizeof(s->id));
	take_line(&moved->headers, "webhook-signature: ", s->signature, sizeof(s->signature));
	take_line(&moved->headers, "webhook-timestamp: ", text, sizeof(text));
	s->timestamp_sec = atoll(text);
	s->body = mem_text(buf_text(&moved->body));
	assert_int_equal(json_parse(s->body, strlen(s->body), &body, &f), 0);
	assert_string_equal(json_text(body, "event_id"), s->id);
	snprintf(s->name, sizeof(s->name), "%s%lld", json_text(body, "ref"),
		(long long)json_int(json_member(body, "data"), "n", 0));
	buf_drop(&moved->body);
	buf_drop(&moved->headers);
}

static void answer_with(struct sent *s, struct net_reply reply)
{
	assert_false(s->answered);
	s->answered = true;
	s->done(s->arg, &reply);
}

static void answer(struct sent *s, long status)
{
	answer_with(s,
		(struct net_reply){.result = NET_ANSWERED, .status = status, .retry_after_ms = -1});
}

/* The newest try of an event, or NULL. */
static struct sent *find(const char *name)
{
	for (size_t i = n_sent; i > 0; i--)
		if (strcmp(sent[i - 1].name, name) == 0)
			return &sent[i - 1];
	return NULL;
}

static size_t tries_of(const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < n_sent; i++)
		n += strcmp(sent[i].name, name) == 0;
	return n;
}

static void event(const char *ref, int n)
{
	char data[32];

	snprintf(data, sizeof(data), "{\"n\":%d}", n);
	rig_event("review.edited", ref, data);
}

static void open_webhook(struct webhook *w)
{
	struct fault f = {0};

	memset(w, 0, sizeof(*w));
	courier_init(&w->courier, rig.store, WEBHOOK_CONSUMER, &webhook_ops, w);
	CHECK(webhook_init(w, &rig.parts, &f), &f);
	w->send = fake_send;
}

/* As a process that was killed: the lease stays. Answers that are due never come. */
static void kill_webhook(struct webhook *w)
{
	webhook_done(w);
	courier_done(&w->courier);
}

/* As one that stops in order. */
static void close_webhook(struct webhook *w)
{
	struct fault f = {0};

	for (size_t i = 0; i < n_sent; i++)
		if (!sent[i].answered)
			answer_with(&sent[i],
				(struct net_reply){.result = NET_STOPPED, .retry_after_ms = -1});
	w->courier.ops->leave(w);
	CHECK(event_consumer_release(rig.store, &w->courier.consumer, &f), &f);
	kill_webhook(w);
}

static int begin(void **state)
{
	const int up = rig_up(state);

	rig.settings.webhook_secret = secret_from(secret_text, strlen(secret_text));
	n_sent = 0;
	return up;
}

static void forget_sent(void)
{
	for (size_t i = 0; i < n_sent; i++)
		mem_free(sent[i].body);
	n_sent = 0;
}

static int end(void **state)
{
	forget_sent();
	secret_drop(&rig.settings.webhook_secret);
	return rig_down(state);
}

static void the_second_event_of_a_review_waits_for_the_first_and_others_do_not(void **state)
{
	struct webhook w;

	(void)state;
	event("a", 1);
	event("a", 2);
	event("b", 1);
	open_webhook(&w);
	rig_round(&w.courier);
	assert_int_equal(n_sent, 2);
	assert_non_null(find("a1"));
	assert_non_null(find("b1"));
	answer(find("b1"), 204);
	rig_round(&w.courier);
	assert_int_equal(n_sent, 2);
	assert_int_equal(rig_number(POSITION), 0); /* the oldest is not done with */
	answer(find("a1"), 200);
	rig_round(&w.courier);
	assert_non_null(find("a2"));
	assert_int_equal(rig_number(POSITION), 1);
	answer(find("a2"), 200);
	rig_round(&w.courier);
	assert_int_equal(n_sent, 3);
	assert_int_equal(rig_number(POSITION), 3);
	close_webhook(&w);
}

static void eight_are_on_their_way_at_most_and_one_after_a_failure(void **state)
{
	struct webhook w;
	char ref[8];

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(ref, sizeof(ref), "r%d-", i);
		event(ref, 1);
	}
	open_webhook(&w);
	rig_round(&w.courier);
	assert_int_equal(n_sent, WEBHOOK_TOGETHER);
	for (size_t i = 0; i < WEBHOOK_TOGETHER; i++)
		answer(&sent[i], 503);
	rig_round(&w.courier);
	rig_pass(60000);
	rig_round(&w.courier);
	assert_int_equal(n_sent, WEBHOOK_TOGETHER + 1);
	answer(&sent[WEBHOOK_TOGETHER], 200);
	rig_round(&w.courier);
	assert_int_equal(n_sent, 2 * WEBHOOK_TOGETHER + 1);
	close_webhook(&w);
}

static void what_fails_is_tried_again_after_a_back_off_with_the_same_id_and_a_new_signature(
	void **state)
{
	struct webhook w;

	(void)state;
	event("a", 1);
	event("a", 2);
	open_webhook(&w);
	rig_round(&w.courier);
	answer(find("a1"), 500);
	rig_round(&w.courier);
	assert_int_equal(rig_number(POSITION), 0);
	rig_pass(60000);
	rig_round(&w.courier);
	assert_int_equal(tries_of("a1"), 2);
	assert_int_equal(tries_of("a2"), 0);
	assert_string_equal(sent[0].id, sent[1].id);
	assert_string_not_equal(sent[0].signature, sent[1].signature);
	assert_true(sent[1].timestamp_sec - sent[0].timestamp_sec == 60);
	for (size_t i = 0; i < 2; i++) {
		AUTO(buf_drop) struct buf wanted = BUF_INIT(256);

		webhook_sign(w.secrets, sent[i].id, sent[i].timestamp_sec, sent[i].body,
			strlen(sent[i].body), &wanted);
		assert_string_equal(sent[i].signature, buf_text(&wanted));
	}
	close_webhook(&w);
}

/* Whether the event is sent again after so long, and not a second before. */
static void assert_waits(struct webhook *w, const char *name, int64_t ms)
{
	const size_t before = tries_of(name);

	rig_round(&w->courier);
	for (int64_t passed = 0; passed < ms - 1000; passed += 5000)
		rig_pass(passed + 5000 < ms - 1000 ? 5000 : ms - 1000 - passed),
			rig_round(&w->courier);
	assert_int_equal(tries_of(name), before);
	rig_pass(1000);
	rig_round(&w->courier);
	assert_int_equal(tries_of(name), before + 1);
}

static void retry_after_is_heeded_an_hour_at_most(void **state)
{
	struct webhook w;

	(void)state;
	event("a", 1);
	open_webhook(&w);
	rig_round(&w.courier);
	answer_with(find("a1"),
		(struct net_reply){
			.result = NET_ANSWERED, .status = 429, .retry_after_ms = 120000});
	assert_waits(&w, "a1", 120000);
	answer_with(find("a1"), (struct net_reply){.result = NET_ANSWERED,
					.status = 503,
					.retry_after_ms = INT64_C(86400000)});
	assert_waits(&w, "a1", 3600000);
	answer(find("a1"), 200);
	rig_round(&w.courier);
	assert_int_equal(rig_number(POSITION), 1);
	close_webhook(&w);
}

static void after_410_nothing_is_sent_until_the_next_start_which_loses_nothing(void **state)
{
	struct webhook w;

	(void)state;
	event("a", 1);
	open_webhook(&w);
	rig_round(&w.courier);
	answer(find("a1"), 410);
	for (int i = 0; i < 100; i++) {
		rig_round(&w.courier);
		rig_pass(60000);
	}
	assert_int_equal(n_sent, 1);
	assert_false(atomic_load(&w.is_up));
	assert_int_equal(rig_number(POSITION), 0);
	close_webhook(&w);
	rig.settings.webhook_url =
		"https://other.example/hook"; /* where it goes is no part of the place */
	open_webhook(&w);
	rig_round(&w.courier);
	assert_int_equal(tries_of("a1"), 2);
	assert_string_equal(find("a1")->url, "https://other.example/hook");
	close_webhook(&w);
}

static void a_receiver_that_hangs_is_away_after_three_times_and_parks_nothing(void **state)
{
	struct webhook w;

	(void)state;
	event("a", 1);
	open_webhook(&w);
	for (size_t i = 0; i < 20; i++) {
		rig_round(&w.courier);
		assert_int_equal(n_sent, i + 1);
		assert_int_equal(atomic_load(&w.is_up), i < WEBHOOK_OUTAGE);
		rig_pass(rig.settings.webhook_timeout_ms);
		answer_with(&sent[i], (struct net_reply){.result = NET_BROKEN,
					      .retry_after_ms = -1,
					      .error = "it took too long"});
		rig_round(&w.courier);
		rig_pass(60000);
	}
	assert_int_equal(rig_number("SELECT count(*) FROM parked_events"), 0);
	rig_round(&w.courier);
	answer(&sent[20], 200);
	rig_round(&w.courier);
	assert_true(atomic_load(&w.is_up));
	assert_int_equal(rig_number(POSITION), 1);
	close_webhook(&w);
}

static void an_event_that_is_refused_while_others_are_taken_is_set_aside_with_its_reason(
	void **state)
{
	struct webhook w;

	(void)state;
	event("bad", 1);
	event("bad", 2);
	open_webhook(&w);
	for (int i = 0; i < 20 && tries_of("bad2") == 0; i++) {
		event("good", i);
		rig_round(&w.courier);
		for (size_t j = 0; j < n_sent; j++)
			if (!sent[j].answered)
				answer(&sent[j], strcmp(sent[j].name, "bad1") == 0 ? 422 : 200);
		rig_round(&w.courier);
		rig_pass(60000);
	}
	assert_int_equal(tries_of("bad1"), rig.settings.webhook_max_tries);
	assert_int_equal(tries_of("bad2"), 1);
	assert_int_equal(rig_number("SELECT count(*) FROM parked_events WHERE consumer = 'webhook'"
				    " AND ref = 'bad' AND status = 422 AND tries = 3"),
		1);
	close_webhook(&w);
}

static void a_start_goes_on_behind_what_was_taken_and_repeats_what_was_on_its_way(void **state)
{
	struct webhook w;

	(void)state;
	for (int i = 1; i <= 5; i++)
		event(i % 2 ? "a" : "b", i);
	open_webhook(&w);
	rig_round(&w.courier);
	answer(find("a1"), 200);
	answer(find("b2"), 200);
	rig_round(&w.courier); /* a3 and b4 are on their way now */
	assert_int_equal(n_sent, 4);
	assert_int_equal(rig_number(POSITION), 2);
	close_webhook(&w);
	forget_sent();
	open_webhook(&w);
	rig_round(&w.courier);
	assert_int_equal(n_sent, 2);
	assert_non_null(find("a3"));
	assert_non_null(find("b4"));
	close_webhook(&w);
}

static void of_three_processes_one_delivers_and_another_takes_over_when_it_dies(void **state)
{
	struct webhook w[3];
	int64_t waits = 0;

	(void)state;
	event("a", 1);
	for (size_t i = 0; i < 3; i++)
		open_webhook(&w[i]);
	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < 3; i++)
			waits += rig_round(&w[i].courier);
		rig_pass(1000);
	}
	assert_true(waits > 0);
	assert_int_equal(n_sent, 1);
	assert_true(sent[0].arg == w[0].window[0]);
	assert_true(sent[0].send_by_ms <= rig.mono_ms - 5000 + COURIER_LEASE_MS);
	/* The first one sleeps on; the others watch its lease run out. */
	for (int s = 0; s < 20; s++) {
		rig_pass(1000);
		rig_round(&w[1].courier);
		rig_round(&w[2].courier);
	}
	assert_int_equal(n_sent, 2);
	assert_int_equal(tries_of("a1"), 2);
	answer(&sent[1], 200);
	rig_round(&w[1].courier);
	rig_round(&w[2].courier);
	assert_int_equal(rig_number(POSITION), 1);
	/* It wakes: what it has is not its any more, and the place does not go back. */
	event("a", 2);
	answer(&sent[0], 500);
	rig_round(&w[0].courier);
	assert_int_equal(n_sent, 2);
	assert_int_equal(w[0].n, 0);
	assert_int_equal(rig_number(POSITION), 1);
	for (size_t i = 0; i < 3; i++)
		close_webhook(&w[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_second_event_of_a_review_waits_for_the_first_and_others_do_not),
		TEST(eight_are_on_their_way_at_most_and_one_after_a_failure),
		TEST(what_fails_is_tried_again_after_a_back_off_with_the_same_id_and_a_new_signature),
		TEST(retry_after_is_heeded_an_hour_at_most),
		TEST(after_410_nothing_is_sent_until_the_next_start_which_loses_nothing),
		TEST(a_receiver_that_hangs_is_away_after_three_times_and_parks_nothing),
		TEST(an_event_that_is_refused_while_others_are_taken_is_set_aside_with_its_reason),
		TEST(a_start_goes_on_behind_what_was_taken_and_repeats_what_was_on_its_way),
		TEST(of_three_processes_one_delivers_and_another_takes_over_when_it_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
