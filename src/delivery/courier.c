/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/courier.h"

#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/store.h"

#define AGAIN_MS 2000 /* after a fault of the database */
#define ELSEWHERE_MS (COURIER_LEASE_MS / 3)

void courier_init(struct courier *c, struct store *s, const char *name,
	const struct courier_ops *ops, void *arg)
{
	pthread_condattr_t attr;

	*c = (struct courier){.store = s, .ops = ops, .arg = arg};
	rand_uuid4(c->owner);
	event_consumer_init(&c->consumer, name, c->owner, COURIER_LEASE_MS);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	pthread_condattr_destroy(&attr);
}

void courier_done(struct courier *c)
{
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
}

/* ---- one round ---- */

static void leave(struct courier *c)
{
	if (!c->is_ours)
		return;
	c->is_ours = false;
	c->ops->leave(c->arg);
}

/* 1: the lease is ours, with enough left for a piece of work; 0: another's. */
static int hold(struct courier *c, struct fault *f)
{
	const struct lease *l = &c->consumer.lease;
	const int64_t fence = l->fence;
	int outcome;

	if (lease_is_held(l) && l->held_until_ms - clock_mono_ms() >= COURIER_SAFE_MS)
		return 1;
	outcome = event_consumer_claim(c->store, &c->consumer, CONSUMER_FROM_OLDEST, f);
	if (outcome < 0)
		return -1;
	if (outcome == LEASE_ELSEWHERE || l->fence != fence)
		leave(c);
	if (outcome == LEASE_ELSEWHERE)
		return 0;
	if (!c->is_ours) {
		c->is_ours = true;
		log_event(LOG_INFO, "delivery.taken", F_STR("consumer", c->consumer.name),
			F_INT("position", c->consumer.position));
		c->ops->enter(c->arg);
	}
	return 1;
}

int64_t courier_step(struct courier *c, struct fault *f)
{
	int held;

	if (c->ops->tick != NULL)
		c->ops->tick(c->arg);
	held = hold(c, f);
	if (held < 0)
		return -1;
	return held == 0 ? ELSEWHERE_MS : c->ops->work(c->arg, f);
}

/* ---- for work ---- */

int64_t courier_position(const struct courier *c)
{
	return c->consumer.position;
}

int courier_read(struct courier *c, const struct event_filter *filter, int64_t limit,
	struct events_range *range, event_each_fn *each, void *arg, struct fault *f)
{
	const int64_t from = range->after;

	if (events_read(c->store, filter, limit, range, each, arg, f) < 0)
		return -1;
	if (range->is_lagged)
		log_event(LOG_ERROR, "delivery.missed", F_STR("consumer", c->consumer.name),
			F_INT("after", from));
	return 0;
}

int courier_advance(struct courier *c, int64_t position, struct fault *f)
{
	return event_consumer_advance(c->store, &c->consumer, position, f) < 0 ? -1 : 0;
}

/* ---- the thread ---- */

static void note_outcome(struct courier *c, bool fails, const struct fault *f)
{
	if (fails && !c->is_failing)
		log_event(LOG_ERROR, "delivery.store_failed", F_STR("consumer", c->consumer.name),
			F_FAULT(f));
	else if (!fails && c->is_failing)
		log_event(LOG_INFO, "delivery.store_works_again",
			F_STR("consumer", c->consumer.name));
	c->is_failing = fails;
}

static void wait_ms(struct courier *c, int64_t ms)
{
	struct timespec until;

	/* house: allow clock_gettime: a condition's own clock, which no test replaces */
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&c->lock);
	while (!c->is_ending && !c->is_woken &&
		pthread_cond_timedwait(&c->wake, &c->lock, &until) == 0)
		;
	c->is_woken = false;
	pthread_mutex_unlock(&c->lock);
}

static void *run(void *arg)
{
	struct courier *c = arg;
	struct fault f = {0};

	while (!courier_is_ending(c)) {
		const int64_t wait = courier_step(c, &f);

		note_outcome(c, wait < 0, &f);
		if (wait != 0)
			wait_ms(c, wait < 0 ? AGAIN_MS : wait);
	}
	return NULL;
}

void courier_start(struct courier *c)
{
	const int error = pthread_create(&c->thread, NULL, run, c);

	if (error != 0)
		log_event(LOG_ERROR, "delivery.no_thread", F_STR("consumer", c->consumer.name),
			F_INT("errno", error));
	c->is_started = error == 0;
}

static void tell(struct courier *c, bool *flag)
{
	pthread_mutex_lock(&c->lock);
	*flag = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

void courier_wake(struct courier *c)
{
	tell(c, &c->is_woken);
}

void courier_end(struct courier *c)
{
	tell(c, &c->is_ending);
}

bool courier_is_ending(struct courier *c)
{
	bool is_ending;

	pthread_mutex_lock(&c->lock);
	is_ending = c->is_ending;
	pthread_mutex_unlock(&c->lock);
	return is_ending;
}

void courier_join(struct courier *c)
{
	struct fault f;

	if (!c->is_started)
		return;
	pthread_join(c->thread, NULL);
	c->is_started = false;
	leave(c);
	if (event_consumer_release(c->store, &c->consumer, &f) < 0)
		log_event(LOG_WARN, "delivery.store_failed", F_STR("consumer", c->consumer.name),
			F_FAULT(&f));
}
