/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/delivery.h"

#include "base/mem.h"
#include "delivery/kafka.h"
#include "delivery/parked.h"
#include "delivery/webhook.h"

struct delivery {
	struct delivery_parts parts;
	struct kafka_sink *kafka; /* NULL: not configured, as webhook */
	struct webhook *webhook;
};

unsigned delivery_connections(const struct settings *s)
{
	return (unsigned)(s->kafka_bootstrap_servers != NULL) + (s->webhook_url != NULL);
}

MUST_CHECK static int add_kafka(struct delivery *d, struct fault *f)
{
	struct kafka_sink *k = d->kafka = mem_alloc(sizeof(*k));

	k->parts = &d->parts;
	courier_init(&k->courier, d->parts.store, KAFKA_CONSUMER, &kafka_ops, k);
	return kafka_link_open(&k->link, NULL, d->parts.settings, f);
}

MUST_CHECK static int add_webhook(struct delivery *d, struct fault *f)
{
	struct webhook *w = d->webhook = mem_alloc(sizeof(*w));

	courier_init(&w->courier, d->parts.store, WEBHOOK_CONSUMER, &webhook_ops, w);
	return webhook_init(w, &d->parts, f);
}

int delivery_new(const struct delivery_parts *parts, struct delivery **ret, struct fault *f)
{
	struct delivery *d = *ret = mem_alloc(sizeof(*d));

	d->parts = *parts;
	if (parts->settings->kafka_bootstrap_servers != NULL && add_kafka(d, f) < 0)
		return -1;
	if (parts->settings->webhook_url != NULL && add_webhook(d, f) < 0)
		return -1;
	return 0;
}

void delivery_start(struct delivery *d)
{
	if (d->kafka != NULL)
		courier_start(&d->kafka->courier);
	if (d->webhook != NULL)
		courier_start(&d->webhook->courier);
}

void delivery_stop(struct delivery *d, int64_t wait_ms)
{
	if (d == NULL)
		return;
	if (d->kafka != NULL)
		courier_end(&d->kafka->courier);
	if (d->webhook != NULL) {
		courier_end(&d->webhook->courier);
		webhook_settle(d->webhook, wait_ms);
	}
}

void delivery_free(struct delivery *d)
{
	if (d == NULL)
		return;
	if (d->kafka != NULL) {
		courier_join(&d->kafka->courier);
		kafka_link_close(&d->kafka->link);
		courier_done(&d->kafka->courier);
	}
	if (d->webhook != NULL) {
		courier_join(&d->webhook->courier);
		webhook_done(d->webhook);
		courier_done(&d->webhook->courier);
	}
	mem_free(d->kafka);
	mem_free(d->webhook);
	mem_free(d);
}

bool delivery_kafka_connected(const struct delivery *d)
{
	return d != NULL && d->kafka != NULL && atomic_load(&d->kafka->link.is_up);
}

int delivery_write(struct delivery *d, struct json_out *ret, struct fault *f)
{
	json_open(ret, '[');
	if (d->kafka != NULL && consumer_write(d->parts.store, KAFKA_CONSUMER,
					delivery_kafka_connected(d), ret, f) < 0)
		return -1;
	if (d->webhook != NULL && consumer_write(d->parts.store, WEBHOOK_CONSUMER,
					  atomic_load(&d->webhook->is_up), ret, f) < 0)
		return -1;
	json_close(ret, ']');
	return 0;
}
