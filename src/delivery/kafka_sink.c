/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the outbox to the topics. A batch is read, put in hand and acknowledged before the cursor
 * moves over it. Messages of one key are never in hand together: the second waits until the first
 * is acknowledged, so that no failure of the first lets the second overtake it.
 */
#include "delivery/kafka.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

struct metric kafka_delivered = METRIC_COUNTER("review_fetcher_deliveries_total",
	"Events for which a consumer has answered, by outcome.",
	"consumer=\"kafka\",outcome=\"delivered\"");
struct metric kafka_dead = METRIC_COUNTER("review_fetcher_deliveries_total",
	"Events for which a consumer has answered, by outcome.",
	"consumer=\"kafka\",outcome=\"parked\"");
struct metric kafka_failed = METRIC_COUNTER("review_fetcher_deliveries_total",
	"Events for which a consumer has answered, by outcome.",
	"consumer=\"kafka\",outcome=\"failed\"");
METRICS_FROM_START(&kafka_delivered, &kafka_dead, &kafka_failed)

/* ---- reading ---- */

static int take_event(void *arg, const struct event_row *row, struct fault *f)
{
	struct kafka_sink *k = arg;
	struct kafka_event *e = &k->batch[k->n++];

	(void)f;
	*e = (struct kafka_event){.position = row->position,
		.at_ms = row->at_ms,
		.kind = mem_text(row->kind),
		.ref = mem_text(row->ref),
		.data = mem_text(row->data),
		.branch_id = row->branch_id ? mem_text(row->branch_id) : NULL};
	memcpy(e->event_id, row->event_id, strnlen(row->event_id, sizeof(e->event_id) - 1));
	k->bytes += strlen(e->data);
	return k->bytes >= KAFKA_BATCH_BYTES || k->n == KAFKA_BATCH;
}

static void drop_batch(struct kafka_sink *k)
{
	for (size_t i = 0; i < k->n; i++) {
		mem_free(k->batch[i].kind);
		mem_free(k->batch[i].ref);
		mem_free(k->batch[i].data);
		mem_free(k->batch[i].branch_id);
	}
	k->n = k->bytes = 0;
}

/* ---- sending ---- */

static bool is_review(const struct kafka_event *e)
{
	return text_starts(e->kind, "review.");
}

/* How many from `from` on may be in hand together. */
static size_t count_together(const struct kafka_sink *k, size_t from)
{
	size_t n = from;

	for (; n < k->n && is_review(&k->batch[n]); n++) {
		for (size_t i = from; i < n; i++) {
			if (strcmp(k->batch[i].ref, k->batch[n].ref) == 0)
				return n - from;
		}
	}
	return n - from;
}

/* What an answer means for the event: whether it is done with. */
static bool settle(struct kafka_sink *k, struct kafka_event *e)
{
	rd_kafka_resp_err_t error = e->message.error;

	if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
		metric_add(&kafka_delivered, 1);
		return true;
	}
	if (kafka_is_poison(error)) {
		log_event(LOG_ERROR, "kafka.refused_event", F_STR("event_id", e->event_id),
			F_STR("ref", e->ref), F_INT("bytes", strlen(e->data)),
			F_STR("cause", k->link.lib->rd_kafka_err2str(error)));
		error = kafka_bury(k, e);
		if (error == RD_KAFKA_RESP_ERR_NO_ERROR || kafka_is_poison(error)) {
			metric_add(&kafka_dead, 1);
			return true;
		}
	}
	metric_add(&kafka_failed, 1);
	if (error != RD_KAFKA_RESP_ERR__PURGE_QUEUE && error != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
		kafka_link_down(&k->link, k->link.lib->rd_kafka_err2str(error));
	return false;
}

/* Reviews [from, from + n): answers how many from the first on are done with. */
static size_t send_reviews(struct kafka_sink *k, size_t from, size_t n)
{
	size_t done = 0;

	for (size_t i = from; i < from + n; i++) {
		struct kafka_event *e = &k->batch[i];

		kafka_link_put(
			&k->link, KAFKA_TOPIC, e->ref, e->data, strlen(e->data), &e->message);
	}
	kafka_link_flush(&k->link, &k->courier);
	while (done < n && settle(k, &k->batch[from + done]))
		done++;
	return done;
}

/* 1: done with; 0: not now. */
static int send_job(struct kafka_sink *k, struct kafka_event *e, struct fault *f)
{
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (kafka_bury_job(k, e, &error, f) < 0)
		return -1;
	e->message.error = kafka_is_poison(error) ? RD_KAFKA_RESP_ERR_NO_ERROR : error;
	return settle(k, e);
}

/*
 * The first ones that go together; *ret_done of them are done with. The rest waits for the next
 * round, which begins with a lease that is long enough.
 */
static int send_first(struct kafka_sink *k, size_t *ret_done, struct fault *f)
{
	const size_t n = count_together(k, 0);
	int sent;

	*ret_done = 0;
	if (n > 0) {
		*ret_done = send_reviews(k, 0, n);
	} else if (k->n > 0) {
		sent = send_job(k, &k->batch[0], f);
		if (sent < 0)
			return -1;
		*ret_done = (size_t)sent;
	}
	return 0;
}

static int64_t work(void *arg, struct fault *f)
{
	static const char *const kinds[] = {"review.", "job.partial", "job.failed"};
	const struct event_filter filter = {.kinds = kinds, .n_kinds = ARRAY_LEN(kinds)};
	struct kafka_sink *k = arg;
	struct events_range range = {.after = courier_position(&k->courier)};
	size_t done = 0;
	int64_t position;
	int sent;

	if (!atomic_load(&k->link.is_up))
		return kafka_link_wait_ms(&k->link);
	drop_batch(k);
	if (courier_read(&k->courier, &filter, KAFKA_BATCH, &range, take_event, k, f) < 0)
		return -1;
	sent = send_first(k, &done, f);
	position = done == k->n ? range.after
		   : done > 0   ? k->batch[done - 1].position
				: courier_position(&k->courier);
	if (courier_advance(&k->courier, position, f) < 0 || sent < 0)
		return -1;
	if (!atomic_load(&k->link.is_up))
		return kafka_link_wait_ms(&k->link);
	return position < range.end ? 0 : COURIER_POLL_MS;
}

static void enter(void *arg)
{
	(void)arg;
}

static void leave(void *arg)
{
	drop_batch(arg);
}

static void tick(void *arg)
{
	kafka_link_tick(&((struct kafka_sink *)arg)->link);
}

const struct courier_ops kafka_ops = {.enter = enter, .work = work, .leave = leave, .tick = tick};
