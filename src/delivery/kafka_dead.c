/* SPDX-License-Identifier: Apache-2.0 */
/* reviews-dlq, in the original's fields, but that no message holds a token. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "delivery/kafka.h"

#define LETTER_MAX ((size_t)64 * 1024)
#define LETTERS 200 /* in hand at once */

struct letter {
	const char *event_id, *job_id, *branch_id;
	const char *topic;            /* where it was to go, or what was to be read */
	const char *type;             /* of the message that failed */
	const char *kind, *review_id; /* of an event; may be NULL */
	const char *account_id, *location_id;
	const char *error, *code;
	int64_t at_ms;
};

static void add_if(struct json_out *o, const char *key, const char *text)
{
	if (text != NULL && *text != '\0')
		json_add_text(o, key, text);
}

static void write_letter(struct buf *ret, const struct letter *l)
{
	struct json_out o = JSON_OUT(ret);

	json_open(&o, '{');
	json_add_text(&o, "type", "dlq");
	json_add_text(&o, "event_id", l->event_id);
	json_add_text(&o, "job_id", l->job_id);
	json_add_text(&o, "branch_id", l->branch_id);
	json_add_text(&o, "original_topic", l->topic);
	json_key(&o, "original_message");
	json_open(&o, '{');
	json_add_text(&o, "type", l->type);
	add_if(&o, "job_id", l->job_id);
	add_if(&o, "event", l->kind);
	add_if(&o, "event_id", l->kind != NULL ? l->event_id : NULL);
	add_if(&o, "review_id", l->review_id);
	add_if(&o, "account_id", l->account_id);
	add_if(&o, "location_id", l->location_id);
	json_close(&o, '}');
	json_add_text(&o, "error", l->error);
	json_add_text(&o, "error_code", l->code);
	json_add_time(&o, "timestamp", l->at_ms);
	json_close(&o, '}');
}

static void put_letter(struct kafka_sink *k, const struct letter *l, struct kafka_message *m)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(LETTER_MAX);
	const char *key = l->job_id != NULL ? l->job_id : l->event_id;

	write_letter(&text, l);
	kafka_link_put(&k->link, KAFKA_DEAD_TOPIC, key, buf_text(&text), text.len, m);
}

rd_kafka_resp_err_t kafka_bury(struct kafka_sink *k, const struct kafka_event *e)
{
	AUTO(json_drop) json_t *data = NULL;
	struct kafka_message m;
	struct fault f;
	const bool is_read = json_parse(e->data, strlen(e->data), &data, &f) == 0;
	const struct letter l = {.event_id = e->event_id,
		.job_id = is_read ? json_text(data, "job_id") : NULL,
		.branch_id = e->branch_id,
		.topic = KAFKA_TOPIC,
		.type = "review_raw",
		.kind = e->kind,
		.review_id = e->ref,
		.account_id = is_read ? json_text(data, "account_id") : NULL,
		.location_id = is_read ? json_text(data, "location_id") : NULL,
		.error = k->link.lib->rd_kafka_err2str(e->message.error),
		.code = "message_refused",
		.at_ms = e->at_ms};

	put_letter(k, &l, &m);
	kafka_link_flush(&k->link, &k->courier);
	return m.error;
}

/* ---- jobs ---- */

struct burying {
	struct kafka_sink *k;
	const struct kafka_event *event;
	int64_t after;
	size_t n;
	struct kafka_message messages[LETTERS];
};

static void put_trouble(struct burying *b, const struct job_trouble *t)
{
	char key[96], id[EVENT_ID_SIZE], topic[32], type[32];
	const struct letter l = {.event_id = id,
		.job_id = b->event->ref,
		.branch_id = b->event->branch_id,
		.topic = topic,
		.type = type,
		.account_id = t->account_id,
		.location_id = t->location_id,
		.error = t->error,
		.code = "500",
		.at_ms = b->event->at_ms};

	snprintf(key, sizeof(key), "%s/%" PRId64, b->event->event_id, t->id);
	event_id_of("dlq", key, id);
	snprintf(topic, sizeof(topic), "fetch-%.20s", t->listing);
	snprintf(type, sizeof(type), "fetch_%.20s", t->listing);
	put_letter(b->k, &l, &b->messages[b->n++]);
}

static int each_trouble(void *arg, const struct job_trouble *trouble, struct fault *f)
{
	struct burying *b = arg;

	(void)f;
	b->after = trouble->id;
	put_trouble(b, trouble);
	return b->n == LETTERS;
}

/* A job that failed before it had anything to read. */
static void put_whole(struct burying *b)
{
	AUTO(json_drop) json_t *data = NULL;
	const char *text = b->event->data, *error = NULL;
	struct fault f;

	if (json_parse(text, strlen(text), &data, &f) == 0)
		error = json_text(data, "error");
	put_trouble(b, &(struct job_trouble){.listing = "accounts",
			       .error = error != NULL ? error : b->event->kind});
}

int kafka_bury_job(struct kafka_sink *k, const struct kafka_event *e,
	rd_kafka_resp_err_t *ret_error, struct fault *f)
{
	const struct delivery_parts *parts = k->parts;
	struct burying b = {.k = k, .event = e};
	bool is_first = true, has_more;

	*ret_error = RD_KAFKA_RESP_ERR_NO_ERROR;
	do {
		b.n = 0;
		if (parts->job_troubles(parts->arg, e->ref, b.after, LETTERS, each_trouble, &b, f) <
			0) {
			kafka_link_flush(&k->link, &k->courier);
			return -1;
		}
		has_more = b.n == LETTERS;
		if (b.n == 0 && is_first)
			put_whole(&b);
		is_first = false;
		kafka_link_flush(&k->link, &k->courier);
		for (size_t i = 0; i < b.n && *ret_error == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
			*ret_error = b.messages[i].error;
	} while (has_more && *ret_error == RD_KAFKA_RESP_ERR_NO_ERROR);
	return 0;
}
