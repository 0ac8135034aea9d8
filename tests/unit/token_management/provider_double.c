/* SPDX-License-Identifier: Apache-2.0 */
#include "provider_double.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/limits.h"
#include "core/scheduler.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct ask *waiting, **waiting_last = &waiting;
static unsigned count;

/* ---- time ---- */

_Atomic int64_t wall_now_ms, mono_now_ms;

static int64_t wall_ms(void *arg)
{
	(void)arg;
	return atomic_load(&wall_now_ms);
}

static int64_t mono_ms(void *arg)
{
	(void)arg;
	return atomic_load(&mono_now_ms);
}

static void pass(void *arg, int64_t ms)
{
	(void)arg;
	time_passes(ms);
}

void time_passes(int64_t ms)
{
	atomic_fetch_add(&wall_now_ms, ms);
	atomic_fetch_add(&mono_now_ms, ms);
}

void time_is_faked(void)
{
	static const struct clock_source source = {wall_ms, mono_ms, pass, NULL};

	atomic_store(&wall_now_ms, INT64_C(1760000000000));
	atomic_store(&mono_now_ms, 5000000);
	clock_use(&source);
}

/* ---- net.h ---- */

void net_send(struct net *n, struct net_request *moved, net_done_fn *done, void *arg)
{
	struct ask *a = mem_alloc(sizeof(*a));

	(void)n;
	a->url = mem_text(moved->url);
	a->basic = moved->basic.bytes != NULL ? mem_text(moved->basic.bytes) : NULL;
	a->body = mem_text(buf_text(&moved->body));
	a->timeout_ms = moved->timeout_ms;
	a->done = done;
	a->arg = arg;
	secret_drop(&moved->basic);
	secret_drop(&moved->bearer);
	buf_drop(&moved->body);
	pthread_mutex_lock(&lock);
	*waiting_last = a;
	waiting_last = &a->next;
	count++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

struct ask *provider_wait(void)
{
	struct ask *a;

	pthread_mutex_lock(&lock);
	while (waiting == NULL)
		pthread_cond_wait(&changed, &lock);
	a = waiting;
	waiting = a->next;
	if (waiting == NULL)
		waiting_last = &waiting;
	pthread_mutex_unlock(&lock);
	return a;
}

unsigned provider_count(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = count;
	pthread_mutex_unlock(&lock);
	return n;
}

char *ask_field(const struct ask *a, const char *name)
{
	size_t name_len = strlen(name), len;
	const char *at = a->body;
	char *found = NULL;

	for (;; at += len + 1) {
		len = strcspn(at, "&");
		if (strncmp(at, name, name_len) == 0 && at[name_len] == '=') {
			if (found != NULL) {
				mem_free(found);
				return NULL;
			}
			found = mem_text_n(at + name_len + 1, len - name_len - 1);
			if (text_percent_decode(found, len - name_len - 1, true, found, &len) != 0)
				abort();
			found[len] = '\0';
			len = strcspn(at, "&");
		}
		if (at[len] == '\0')
			return found;
	}
}

static void answer(struct ask *a, struct net_reply *reply)
{
	a->done(a->arg, reply);
	buf_drop(&reply->body);
	mem_free(a->url);
	mem_free(a->basic);
	mem_free(a->body);
	mem_free(a);
}

void provider_answers(struct ask *a, long status, const char *body)
{
	struct net_reply reply = {.result = NET_ANSWERED,
		.status = status,
		.body = BUF_INIT_WIPED(LIMIT_TOKEN_RESPONSE_BYTES),
		.retry_after_ms = -1};

	buf_add_text(&reply.body, body);
	answer(a, &reply);
}

void provider_answers_later(struct ask *a, long status, int64_t retry_after_ms)
{
	struct net_reply reply = {
		.result = NET_ANSWERED, .status = status, .retry_after_ms = retry_after_ms};

	answer(a, &reply);
}

void provider_answers_fresh(struct ask *a, const char *body, int64_t fresh_ms)
{
	struct net_reply reply = {.result = NET_ANSWERED,
		.status = 200,
		.body = BUF_INIT_WIPED(LIMIT_TOKEN_RESPONSE_BYTES),
		.retry_after_ms = -1,
		.fresh_ms = fresh_ms};

	buf_add_text(&reply.body, body);
	answer(a, &reply);
}

void provider_fails(struct ask *a, enum net_result result)
{
	struct net_reply reply = {.result = result, .retry_after_ms = -1};

	snprintf(reply.error, sizeof(reply.error), "the test said so");
	answer(a, &reply);
}

void provider_reset(void)
{
	if (waiting != NULL)
		abort(); /* a request that the test never answered */
	count = 0;
}

/* ---- scheduler.h: at most a few timers, each fired by hand ---- */

static struct timer *armed[64];
static size_t n_armed;

struct scheduler *scheduler_new(void)
{
	return NULL;
}

void scheduler_arm(struct scheduler *s, struct timer *t, int64_t due_mono_ms)
{
	bool is_armed = false;

	(void)s;
	pthread_mutex_lock(&lock);
	t->due_ms = due_mono_ms;
	for (size_t i = 0; i < n_armed; i++)
		is_armed = is_armed || armed[i] == t;
	if (n_armed == ARRAY_LEN(armed) && !is_armed)
		abort();
	if (!is_armed)
		armed[n_armed++] = t;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

bool scheduler_disarm(struct scheduler *s, struct timer *t)
{
	bool was_armed = false;

	(void)s;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_armed; i++) {
		if (armed[i] != t)
			continue;
		armed[i--] = armed[--n_armed];
		was_armed = true;
	}
	pthread_mutex_unlock(&lock);
	return was_armed;
}

void scheduler_stop(struct scheduler *s)
{
	(void)s;
}

void timer_wait(void)
{
	pthread_mutex_lock(&lock);
	while (n_armed == 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

int64_t timer_wait_and_fire(void)
{
	struct timer *t;
	size_t first = 0;
	int64_t wait;

	pthread_mutex_lock(&lock);
	while (n_armed == 0)
		pthread_cond_wait(&changed, &lock);
	for (size_t i = 1; i < n_armed; i++) {
		if (armed[i]->due_ms < armed[first]->due_ms)
			first = i;
	}
	t = armed[first];
	armed[first] = armed[--n_armed];
	pthread_mutex_unlock(&lock);
	wait = t->due_ms - atomic_load(&mono_now_ms);
	if (wait > 0)
		time_passes(wait);
	t->fire(t);
	return wait > 0 ? wait : 0;
}
