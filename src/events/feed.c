/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The news are a ring of events from `from` to `head`, both positions. A listener whose position is
 * in that span takes from the ring under the lock; one behind it reads the table, without the lock,
 * and comes back. Idle is who has taken all up to head: news that pass his filter wake him, and
 * others move his position on, so that he never comes to read what does not concern him.
 *
 * Without a listener the ring is empty, head is unknown (-1), and the table is not read.
 */
#include "events/events_feed.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/metrics.h"

#define RING_ITEMS 1024
#define RING_BYTES (2 * 1024 * 1024)
#define PULL_ITEMS 256
#define PULL_BYTES ((size_t)256 * 1024)
#define LOOK_ITEMS 256
#define PURGE_EVERY_MS 60000
#define EVENT_BYTES_MAX (1024 * 1024)

struct item {
	int64_t position;
	size_t len;
	char *kind, *branch_id, *json; /* branch_id may be NULL */
};

struct event_feed {
	struct event_feed_parts parts;
	struct timer timer;
	struct task task;
	int64_t purge_at_ms; /* the looking thread's */
	bool is_failing;     /* likewise: said already */
	pthread_mutex_t lock;
	/* Under the lock: */
	bool is_ended;
	struct event_listener *listeners;
	int64_t from, head;
	struct item ring[RING_ITEMS];
	size_t first, n, bytes;
};

static struct metric listening = METRIC_GAUGE(
	"review_fetcher_event_listeners", "Who listens to the events of this process.", "");
static struct metric purged = METRIC_COUNTER(
	"review_fetcher_events_purged_total", "Events that were older than their retention.", "");

/* ---- the ring; lock held ---- */

static struct item *item_at(struct event_feed *feed, size_t i)
{
	return &feed->ring[(feed->first + i) % RING_ITEMS];
}

static void drop_first(struct event_feed *feed)
{
	struct item *i = item_at(feed, 0);

	feed->from = i->position;
	feed->bytes -= i->len;
	mem_free(i->kind);
	mem_free(i->branch_id);
	mem_free(i->json);
	*i = (struct item){0};
	feed->first = (feed->first + 1) % RING_ITEMS;
	feed->n--;
}

static void empty_ring(struct event_feed *feed)
{
	while (feed->n > 0)
		drop_first(feed);
}

static void put_item(struct event_feed *feed, struct item *moved)
{
	while (feed->n == RING_ITEMS || (feed->n > 0 && feed->bytes + moved->len > RING_BYTES))
		drop_first(feed);
	*item_at(feed, feed->n++) = *moved;
	feed->bytes += moved->len;
	*moved = (struct item){0};
}

static bool lets(const struct event_listener *l, const struct item *i)
{
	const struct event_row row = {.kind = i->kind, .branch_id = i->branch_id};

	return event_filter_lets(&l->filter, &row);
}

static void wake(struct event_feed *feed, struct event_listener *l)
{
	l->is_idle = false;
	atomic_store(l->news, true);
	scheduler_arm(feed->parts.scheduler, l->timer, 0);
}

/* The items from `old` on are new, and the head is now at `head`. */
static void tell(struct event_feed *feed, const struct item *fresh, size_t n, int64_t head)
{
	for (struct event_listener *l = feed->listeners; l; l = l->next) {
		size_t i = 0;

		if (!l->is_idle)
			continue;
		while (i < n && !(fresh[i].position > l->position && lets(l, &fresh[i])))
			i++;
		if (i < n)
			wake(feed, l);
		else if (l->position < head)
			l->position = head;
	}
}

/* ---- looking ---- */

struct look {
	struct item items[LOOK_ITEMS];
	size_t n;
};

static int take_item(void *arg, const struct event_row *row, struct fault *f)
{
	AUTO(buf_drop) struct buf json = BUF_INIT(EVENT_BYTES_MAX);
	struct look *k = arg;

	(void)f;
	event_write(&json, row);
	k->items[k->n++] = (struct item){
		.position = row->position,
		.len = json.len,
		.kind = mem_text(row->kind),
		.branch_id = row->branch_id ? mem_text(row->branch_id) : NULL,
		.json = mem_text_n(buf_text(&json), json.len),
	};
	return 0;
}

static void drop_items(struct look *k)
{
	for (size_t i = 0; i < k->n; i++) {
		mem_free(k->items[i].kind);
		mem_free(k->items[i].branch_id);
		mem_free(k->items[i].json);
	}
	k->n = 0;
}

/* Puts what was read into the ring. Answers whether somebody still wants more. */
static bool take_in(struct event_feed *feed, struct look *k, const struct events_range *range)
{
	bool is_wanted;

	pthread_mutex_lock(&feed->lock);
	is_wanted = feed->listeners != NULL;
	if (range->is_lagged) { /* what was purged may be behind the ring's start */
		empty_ring(feed);
		feed->from = k->n > 0 ? k->items[0].position - 1 : range->after;
	}
	if (is_wanted)
		tell(feed, k->items, k->n, range->after);
	for (size_t i = 0; i < k->n && is_wanted; i++)
		put_item(feed, &k->items[i]);
	if (is_wanted)
		feed->head = range->after;
	pthread_mutex_unlock(&feed->lock);
	return is_wanted;
}

static int read_news(struct event_feed *feed, int64_t head, struct fault *f)
{
	struct look *k = mem_alloc(sizeof(*k));
	struct events_range range = {.after = head};
	bool goes_on;
	int result;

	do {
		result = events_read(feed->parts.store, NULL, LOOK_ITEMS, &range, take_item, k, f);
		goes_on = result >= 0 && take_in(feed, k, &range) && range.after < range.end;
		drop_items(k);
	} while (goes_on);
	mem_free(k);
	return result;
}

/* The first listener after none: from now on the ring follows. Who waits behind the head reads. */
static int begin_head(struct event_feed *feed, struct fault *f)
{
	int64_t end;

	if (events_end(feed->parts.store, &end, f) < 0)
		return -1;
	pthread_mutex_lock(&feed->lock);
	feed->from = feed->head = end;
	for (struct event_listener *l = feed->listeners; l; l = l->next) {
		if (l->is_idle && l->position < end)
			wake(feed, l);
	}
	pthread_mutex_unlock(&feed->lock);
	return 0;
}

static int purge(struct event_feed *feed, struct fault *f)
{
	int n;

	if (clock_mono_ms() < feed->purge_at_ms)
		return 0;
	n = events_purge(feed->parts.store, feed->parts.retention_ms, f);
	if (n < 0)
		return -1;
	metric_add(&purged, n);
	/* One piece a look: the writers between them go first. */
	if (n < EVENTS_PURGE_PIECE)
		feed->purge_at_ms = clock_mono_ms() + PURGE_EVERY_MS;
	return 0;
}

int event_feed_look(struct event_feed *feed, struct fault *f)
{
	int64_t head;
	bool is_wanted;

	if (events_order(feed->parts.store, f) < 0)
		return -1;
	pthread_mutex_lock(&feed->lock);
	is_wanted = feed->listeners != NULL;
	if (!is_wanted) {
		empty_ring(feed);
		feed->head = -1;
	}
	head = feed->head;
	pthread_mutex_unlock(&feed->lock);
	if (is_wanted && (head < 0 ? begin_head(feed, f) : read_news(feed, head, f)) < 0)
		return -1;
	return purge(feed, f);
}

static void look_again(struct event_feed *feed)
{
	pthread_mutex_lock(&feed->lock);
	if (!feed->is_ended)
		scheduler_arm(feed->parts.scheduler, &feed->timer, clock_mono_ms() + FEED_LOOK_MS);
	pthread_mutex_unlock(&feed->lock);
}

/* A database that is away is one log event when it goes and one when it comes back. */
static void run_look(struct task *task)
{
	struct event_feed *feed = CONTAINER_OF(task, struct event_feed, task);
	struct fault f;
	const bool fails = event_feed_look(feed, &f) < 0;

	if (fails && !feed->is_failing)
		log_event(LOG_ERROR, "events.feed_failed", F_FAULT(&f));
	else if (!fails && feed->is_failing)
		log_event(LOG_INFO, "events.feed_works_again");
	feed->is_failing = fails;
	look_again(feed);
}

static void on_timer(struct timer *timer)
{
	struct event_feed *feed = CONTAINER_OF(timer, struct event_feed, timer);

	pool_submit(feed->parts.pool, &feed->task);
}

/* ---- listeners ---- */

/* Lock held. */
static void enlist(struct event_feed *feed, struct event_listener *l)
{
	l->is_listed = true;
	l->prev = NULL;
	l->next = feed->listeners;
	if (l->next)
		l->next->prev = l;
	feed->listeners = l;
	metric_add(&listening, 1);
}

/* Takes from the ring, if that is where the listener stands. */
static bool pull_ring(struct event_feed *feed, struct event_listener *l, feed_copy_fn *copy,
	void *arg, int *ret_outcome)
{
	size_t i = 0, copied = 0, bytes = 0;

	if (feed->head < 0 || l->position < feed->from)
		return false;
	while (i < feed->n && item_at(feed, i)->position <= l->position)
		i++;
	for (; i < feed->n && copied < PULL_ITEMS && bytes < PULL_BYTES; i++) {
		const struct item *at = item_at(feed, i);

		if (lets(l, at)) {
			copy(arg, at->position, at->kind, at->json, at->len);
			copied++;
			bytes += at->len;
		}
		l->position = at->position;
	}
	l->is_idle = i == feed->n;
	if (l->is_idle && l->position < feed->head)
		l->position = feed->head;
	*ret_outcome = l->is_idle ? FEED_IDLE : FEED_MORE;
	return true;
}

struct catching_up {
	feed_copy_fn *copy;
	void *arg;
	int64_t copied;
	size_t bytes;
};

static int copy_row(void *arg, const struct event_row *row, struct fault *f)
{
	AUTO(buf_drop) struct buf json = BUF_INIT(EVENT_BYTES_MAX);
	struct catching_up *c = arg;

	(void)f;
	event_write(&json, row);
	c->copy(c->arg, row->position, row->kind, buf_text(&json), json.len);
	c->copied++;
	c->bytes += json.len;
	return c->bytes >= PULL_BYTES;
}

int event_feed_pull(struct event_feed *feed, struct event_listener *l, feed_copy_fn *copy,
	void *arg, bool *ret_lagged, struct fault *f)
{
	struct catching_up c = {.copy = copy, .arg = arg};
	struct events_range range;
	int outcome = FEED_MORE;
	bool done;

	*ret_lagged = false;
	pthread_mutex_lock(&feed->lock);
	if (!l->is_listed)
		enlist(feed, l);
	l->is_idle = false;
	done = pull_ring(feed, l, copy, arg, &outcome);
	range = (struct events_range){.after = l->position};
	pthread_mutex_unlock(&feed->lock);
	if (done)
		return outcome;
	if (events_read(feed->parts.store, &l->filter, PULL_ITEMS, &range, copy_row, &c, f) < 0)
		return -1;
	*ret_lagged = range.is_lagged;
	pthread_mutex_lock(&feed->lock);
	l->position = range.after;
	/* Not yet followed: the head, when it is known, wakes who is behind it. */
	l->is_idle = feed->head < 0 && range.after >= range.end;
	outcome = l->is_idle ? FEED_IDLE : FEED_MORE;
	pthread_mutex_unlock(&feed->lock);
	return outcome;
}

void event_feed_leave(struct event_feed *feed, struct event_listener *l)
{
	pthread_mutex_lock(&feed->lock);
	if (l->is_listed) {
		if (l->prev)
			l->prev->next = l->next;
		else
			feed->listeners = l->next;
		if (l->next)
			l->next->prev = l->prev;
		l->is_listed = false;
		metric_add(&listening, -1);
	}
	pthread_mutex_unlock(&feed->lock);
}

/* ---- life ---- */

struct event_feed *event_feed_new(const struct event_feed_parts *parts)
{
	struct event_feed *feed = mem_alloc(sizeof(*feed));

	feed->parts = *parts;
	feed->head = -1;
	pthread_mutex_init(&feed->lock, NULL);
	feed->timer.fire = on_timer;
	feed->task.run = run_look;
	metric_register(&listening);
	metric_register(&purged);
	return feed;
}

void event_feed_start(struct event_feed *feed)
{
	look_again(feed);
}

void event_feed_stop(struct event_feed *feed)
{
	if (feed == NULL)
		return;
	pthread_mutex_lock(&feed->lock);
	feed->is_ended = true;
	pthread_mutex_unlock(&feed->lock);
	scheduler_disarm(feed->parts.scheduler, &feed->timer);
}

void event_feed_free(struct event_feed *feed)
{
	if (feed == NULL)
		return;
	empty_ring(feed);
	pthread_mutex_destroy(&feed->lock);
	mem_free(feed);
}

int event_feed_list(struct event_feed *feed, const struct event_filter *filter, int64_t limit,
	struct events_range *range, feed_copy_fn *copy, void *arg, struct fault *f)
{
	struct catching_up c = {.copy = copy, .arg = arg};
	bool is_lagged = false;

	do {
		if (events_read(feed->parts.store, filter, limit - c.copied, range, copy_row, &c,
			    f) < 0)
			return -1;
		is_lagged |= range->is_lagged;
	} while (c.copied < limit && c.bytes < PULL_BYTES && range->after < range->end);
	range->is_lagged = is_lagged;
	return 0;
}

int event_feed_end(struct event_feed *feed, int64_t *ret, struct fault *f)
{
	return events_end(feed->parts.store, ret, f);
}
