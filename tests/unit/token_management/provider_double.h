/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outside world by hand: net_send only writes requests down, timers only fire when told to. A
 * test waits until a request or a timer is there, and then is the provider, or time. Nothing
 * sleeps.
 */
#ifndef TESTS_UNIT_TOKEN_MANAGEMENT_PROVIDER_DOUBLE_H
#define TESTS_UNIT_TOKEN_MANAGEMENT_PROVIDER_DOUBLE_H

#include "net/net.h"

struct ask {
	struct ask *next;
	char *url, *basic;
	char *body; /* the form as sent */
	uint32_t timeout_ms;
	net_done_fn *done;
	void *arg;
};

/* The oldest request that is not answered yet; waits for one. The answer frees it. */
struct ask *provider_wait(void);
/* All requests that ever came. */
unsigned provider_count(void);
/* A decoded field of the form; owned; NULL when it is not there, or there twice. */
char *ask_field(const struct ask *a, const char *name);

void provider_answers(struct ask *a, long status, const char *body);
/* 200, to be kept for that long (-1: it does not say). */
void provider_answers_fresh(struct ask *a, const char *body, int64_t fresh_ms);
void provider_answers_later(struct ask *a, long status, int64_t retry_after_ms);
void provider_fails(struct ask *a, enum net_result result);
void provider_reset(void);

/* Waits until a timer is armed: what armed it has done its step. */
void timer_wait(void);
/* Then moves the clock to its time and fires it. Answers how long that took. */
int64_t timer_wait_and_fire(void);

/* Both clocks; set by the tests, moved by timers. */
extern _Atomic int64_t wall_now_ms, mono_now_ms;
void time_passes(int64_t ms);
void time_is_faked(void);

#endif
