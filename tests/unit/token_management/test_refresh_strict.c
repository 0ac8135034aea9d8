/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider that replaces the refresh token at each use and counts whoever shows it an old one,
 * two processes on one database, and callers who never stop. Now and then it fails without
 * processing anything, a caller reports its token refused, or one process hears of a change.
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "core/scheduler.h"
#include "token_management/grant.h"

#define HOUR 3600000
#define BRANCHES 3
#define CHAINS 12
#define CALLS_PER_CHAIN 150

static struct {
	unsigned turn[BRANCHES]; /* the refresh token that is good now: "b<branch>-r<turn>" */
	unsigned reuses, granted, refused;
} provider;

static bool is_stop(const struct ask *a)
{
	return strcmp(a->url, "stop") == 0;
}

/* 0: not one of ours. */
static unsigned read_turn(const char *token, unsigned *ret_branch)
{
	unsigned turn = 0;

	if (sscanf(token, "b%u-r%u", ret_branch, &turn) != 2 || *ret_branch >= BRANCHES)
		return 0;
	return turn;
}

static void play(struct ask *a)
{
	char *token = ask_field(a, "refresh_token"), body[200];
	unsigned branch = 0, turn = read_turn(token, &branch);

	mem_free(token);
	if (turn != provider.turn[branch]) {
		provider.reuses++;
		provider_answers(a, 400, "{\"error\":\"invalid_grant\"}");
	} else if (rand_below(8) == 0) {
		provider.refused++;
		provider_answers_later(a, rand_below(2) ? 503 : 429, -1);
	} else {
		provider.granted++;
		turn = ++provider.turn[branch];
		snprintf(body, sizeof(body),
			"{\"access_token\":\"b%u-a%u\",\"refresh_token\":\"b%u-r%u\",\"expires_"
			"in\":3600}",
			branch, turn, branch, turn);
		provider_answers(a, 200, body);
	}
}

static void *provider_thread(void *arg)
{
	struct ask *a;
	bool stops;

	(void)arg;
	do {
		a = provider_wait();
		stops = is_stop(a);
		if (stops)
			provider_fails(a, NET_STOPPED);
		else
			play(a);
	} while (!stops);
	return NULL;
}

static _Atomic bool timers_end;

static void *timer_thread(void *arg)
{
	(void)arg;
	while (!atomic_load(&timers_end))
		timer_wait_and_fire();
	return NULL;
}

/* ---- callers ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned chains_left, wrong;

struct chain {
	struct token_management *tm[2];
	unsigned number, calls;
};

static void call_next(struct chain *c);

static void on_answer(void *arg, const struct token_result *result)
{
	struct chain *c = arg;
	char branch[16];
	bool bad = false;

	snprintf(branch, sizeof(branch), "b%u", c->number % BRANCHES);
	if (result->outcome == TOKEN_READY) {
		bad = strncmp(result->view->access_token, branch, strlen(branch)) != 0;
		if (rand_below(4) == 0)
			tokens_reject(c->tm[rand_below(2)], branch, result->view->access_token,
				result->view->access_token_len);
	} else if (result->outcome == TOKEN_UNAVAILABLE) {
		time_passes(result->retry_after_ms);
	} else {
		bad = true;
	}
	if (rand_below(16) == 0)
		slots_forget(c->tm[rand_below(2)], branch);
	pthread_mutex_lock(&lock);
	wrong += bad;
	if (++c->calls == CALLS_PER_CHAIN) {
		chains_left--;
		pthread_cond_signal(&changed);
	}
	pthread_mutex_unlock(&lock);
	if (c->calls < CALLS_PER_CHAIN)
		call_next(c);
}

static void call_next(struct chain *c)
{
	char branch[16];

	snprintf(branch, sizeof(branch), "b%u", c->number % BRANCHES);
	tokens_obtain(c->tm[rand_below(2)], branch, 0, rand_below(3) == 0, on_answer, c);
}

static void ignore_fire(struct timer *t)
{
	(void)t;
}

static void ignore_reply(void *arg, struct net_reply *reply)
{
	(void)arg;
	(void)reply;
}

static void stop_threads(pthread_t provider_id, pthread_t timer_id)
{
	static struct timer last = {.fire = ignore_fire};
	struct net_request stop = {.url = "stop"};

	atomic_store(&timers_end, true);
	scheduler_arm(NULL, &last, mono_now_ms);
	net_send(NULL, &stop, ignore_reply, NULL);
	pthread_join(provider_id, NULL);
	pthread_join(timer_id, NULL);
}

static void a_strict_provider_never_sees_a_token_twice(void **state)
{
	struct rig *r = *state;
	struct token_management *second;
	struct chain chains[CHAINS];
	pthread_t provider_id, timer_id;
	char branch[16], refresh[16];

	r->settings.token_refresh_lease_ms = INT64_C(1000000000); /* time flies here */
	second = rig_second(r);
	for (unsigned i = 0; i < BRANCHES; i++) {
		snprintf(branch, sizeof(branch), "b%u", i);
		snprintf(refresh, sizeof(refresh), "b%u-r1", i);
		rig_connected(r, branch, branch, refresh, HOUR, HOUR);
		provider.turn[i] = 1;
	}
	pthread_create(&provider_id, NULL, provider_thread, NULL);
	pthread_create(&timer_id, NULL, timer_thread, NULL);
	chains_left = CHAINS;
	for (unsigned i = 0; i < CHAINS; i++) {
		chains[i] = (struct chain){.tm = {r->tm, second}, .number = i};
		call_next(&chains[i]);
	}
	pthread_mutex_lock(&lock);
	while (chains_left > 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	rig_wait_idle(r->tm);
	rig_wait_idle(second);
	stop_threads(provider_id, timer_id);
	rig_second_down(second);
	assert_int_equal(provider.reuses, 0);
	assert_int_equal(wrong, 0);
	assert_true(provider.granted > 20);
	assert_true(provider.refused > 2);
	for (unsigned i = 0; i < BRANCHES; i++) {
		char *stored = rig_unsealed(r, i + 1, "refresh_token");

		snprintf(refresh, sizeof(refresh), "b%u-r%u", i, provider.turn[i]);
		assert_string_equal(stored, refresh);
		mem_free(stored);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_strict_provider_never_sees_a_token_twice, rig_up, rig_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
