/* SPDX-License-Identifier: Apache-2.0 */
#include "net/queue.h"

#include <string.h>

#include "base/mem.h"
#include "net/transfer.h"

/* Lives while it has requests. */
struct queue_host {
	struct ring in_queue;
	struct ring waiting;
	unsigned count, running; /* count: waiting and running */
	size_t name_len;
	char name[];
};

static struct queue_host *host_at(struct ring *r)
{
	return CONTAINER_OF(r, struct queue_host, in_queue);
}

void queue_init(struct queue *q, unsigned max_running, unsigned max_host_running)
{
	*q = (struct queue){.max_running = max_running, .max_host_running = max_host_running};
	ring_init(&q->hosts);
}

void queue_done(struct queue *q)
{
	while (!ring_is_empty(&q->hosts)) {
		struct queue_host *host = host_at(q->hosts.next);

		ring_remove(&host->in_queue);
		mem_free(host);
	}
}

/* Scheme, host and port: whatever is before the path. */
static size_t origin_len(const char *url)
{
	const char *authority = strstr(url, "://");
	size_t before = authority ? (size_t)(authority - url) + 3 : 0;

	return before + strcspn(url + before, "/?#");
}

/* Few hosts are busy at a time, so a list does. */
static struct queue_host *host_of(struct queue *q, const char *url)
{
	size_t len = origin_len(url);
	struct queue_host *host;

	for (struct ring *r = q->hosts.next; r != &q->hosts; r = r->next) {
		host = host_at(r);
		if (host->name_len == len && memcmp(host->name, url, len) == 0)
			return host;
	}
	host = mem_alloc(sizeof(*host) + len);
	host->name_len = len;
	memcpy(host->name, url, len);
	ring_init(&host->waiting);
	ring_append(&q->hosts, &host->in_queue);
	return host;
}

void queue_add(struct queue *q, struct transfer *t)
{
	t->host = host_of(q, t->url);
	t->host->count++;
	ring_append(&t->host->waiting, &t->in_ring);
}

struct transfer *queue_take(struct queue *q)
{
	struct queue_host *host;
	struct transfer *t;

	if (q->max_running && q->running >= q->max_running)
		return NULL;
	for (struct ring *r = q->hosts.next; r != &q->hosts; r = r->next) {
		host = host_at(r);
		if (ring_is_empty(&host->waiting) ||
			(q->max_host_running && host->running >= q->max_host_running))
			continue;
		t = CONTAINER_OF(host->waiting.next, struct transfer, in_ring);
		ring_remove(&t->in_ring);
		t->is_running = true;
		q->running++;
		host->running++;
		ring_remove(&host->in_queue); /* the others' turn */
		ring_append(&q->hosts, &host->in_queue);
		return t;
	}
	return NULL;
}

void queue_leave(struct queue *q, struct transfer *t)
{
	struct queue_host *host = t->host;

	ring_remove(&t->in_ring);
	if (t->is_running) {
		q->running--;
		host->running--;
	}
	t->host = NULL;
	if (--host->count > 0)
		return;
	ring_remove(&host->in_queue);
	mem_free(host);
}

void queue_each_waiting(struct queue *q, void (*each)(void *arg, struct transfer *t), void *arg)
{
	struct ring *next_host, *next;

	for (struct ring *h = q->hosts.next; h != &q->hosts; h = next_host) {
		struct ring *waiting = &host_at(h)->waiting;
		bool is_last = ring_is_empty(waiting);

		next_host = h->next;
		for (struct ring *r = waiting->next; !is_last; r = next) {
			/* read before: the host goes with its last request */
			next = r->next;
			is_last = next == waiting;
			each(arg, CONTAINER_OF(r, struct transfer, in_ring));
		}
	}
}
