/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "delivery/webhook.h"

#define BODY_MAX ((size_t)8 * 1024 * 1024)
#define REPLY_MAX ((size_t)64 * 1024)

struct webhook_item *webhook_item_new(struct webhook *w, const struct event_row *row)
{
	struct webhook_item *i = mem_alloc(sizeof(*i));

	i->webhook = w;
	i->position = row->position;
	snprintf(i->event_id, sizeof(i->event_id), "%s", row->event_id);
	i->kind = mem_text(row->kind);
	i->ref = mem_text(row->ref);
	i->branch_id = row->branch_id ? mem_text(row->branch_id) : NULL;
	i->body = BUF_INIT(BODY_MAX);
	event_write(&i->body, row);
	return i;
}

void webhook_item_free(struct webhook_item *i)
{
	mem_free(i->kind);
	mem_free(i->ref);
	mem_free(i->branch_id);
	buf_drop(&i->body);
	mem_free(i);
}

/* Net thread. */
static void take_answer(void *arg, struct net_reply *reply)
{
	struct webhook_item *i = arg;
	struct webhook *w = i->webhook;

	pthread_mutex_lock(&w->lock);
	i->result = reply->result;
	i->status = reply->status;
	i->retry_after_ms = reply->retry_after_ms;
	snprintf(i->error, sizeof(i->error), "%s", reply->error);
	i->state = WEBHOOK_ANSWERED;
	w->n_sent--;
	pthread_cond_broadcast(&w->settled);
	/* Before the lock is given back: afterwards w may be gone. */
	courier_wake(&w->courier);
	pthread_mutex_unlock(&w->lock);
}

void webhook_item_send(struct webhook_item *i)
{
	struct webhook *w = i->webhook;
	const struct settings *s = w->parts->settings;
	const int64_t now_sec = clock_wall_ms() / 1000;
	struct net_request r = {.method = "POST",
		.url = s->webhook_url,
		.content_type = "application/json",
		.body = BUF_INIT(BODY_MAX),
		.headers = BUF_INIT(1024),
		.timeout_ms = (uint32_t)s->webhook_timeout_ms,
		.send_by_mono_ms = w->courier.consumer.lease.held_until_ms,
		.max_reply_bytes = REPLY_MAX};

	buf_add(&r.body, i->body.data, i->body.len);
	buf_addf(&r.headers,
		"webhook-id: %s\nwebhook-timestamp: %" PRId64 "\nwebhook-signature: ", i->event_id,
		now_sec);
	webhook_sign(w->secrets, i->event_id, now_sec, buf_text(&i->body), i->body.len, &r.headers);
	if (i->tries++ == 0) {
		i->first_ms = clock_mono_ms();
		i->taken_before = w->n_taken;
	}
	pthread_mutex_lock(&w->lock);
	i->state = WEBHOOK_SENT;
	w->n_sent++;
	pthread_mutex_unlock(&w->lock);
	w->send(w->parts->net, &r, take_answer, i);
}
