/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sink over a library that the test plays: a message gets its answer when the broker is polled,
 * and the test says which.
 */
#include "rig.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "delivery/kafka.h"

#define LOG_MOST 200
#define OK RD_KAFKA_RESP_ERR_NO_ERROR
#define POSITION "SELECT position FROM event_consumers WHERE name = 'kafka'"

struct message {
	char topic[32], key[64];
	char *value;
	struct kafka_message *opaque;
	bool answered;
	rd_kafka_resp_err_t error;
};
static struct {
	struct message log[LOG_MOST]; /* in the order in which they were put in hand */
	size_t n, n_answered, most_in_hand;
	bool is_away, is_silent;       /* no broker; brokers that never acknowledge */
	const char *bad_key;           /* messages of this one fail, on KAFKA_TOPIC … */
	rd_kafka_resp_err_t bad_error; /* … with this */
	unsigned bad_times;            /* so often; then they are taken */
	unsigned n_probes, n_opened;
	void *opaque;
	void (*on_answer)(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg);
	void (*on_error)(rd_kafka_t *rk, int code, const char *reason, void *arg);
} broker;
static int the_conf, the_producer;

static rd_kafka_conf_t *fake_conf_new(void)
{
	return (rd_kafka_conf_t *)(void *)&the_conf;
}

static void fake_conf_destroy(rd_kafka_conf_t *c)
{
	(void)c;
}

static rd_kafka_conf_res_t fake_conf_set(
	rd_kafka_conf_t *c, const char *key, const char *value, char *words, size_t size)
{
	(void)c, (void)words, (void)size;
	if (strcmp(key, "enable.idempotence") == 0)
		assert_string_equal(value, "true");
	if (strcmp(key, "acks") == 0)
		assert_string_equal(value, "all");
	return RD_KAFKA_CONF_OK;
}

static void fake_set_answer(
	rd_kafka_conf_t *c, void (*cb)(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg))
{
	(void)c;
	broker.on_answer = cb;
}

static void fake_set_error(
	rd_kafka_conf_t *c, void (*cb)(rd_kafka_t *rk, int code, const char *reason, void *arg))
{
	(void)c;
	broker.on_error = cb;
}

static void fake_set_log(rd_kafka_conf_t *c,
	void (*cb)(const rd_kafka_t *rk, int level, const char *fac, const char *text))
{
	(void)c, (void)cb;
}

static void fake_set_opaque(rd_kafka_conf_t *c, void *opaque)
{
	(void)c;
	broker.opaque = opaque;
}

static rd_kafka_t *fake_new(rd_kafka_type_t type, rd_kafka_conf_t *c, char *words, size_t size)
{
	(void)c, (void)words, (void)size;
	assert_int_equal(type, RD_KAFKA_PRODUCER);
	broker.n_opened++;
	return (rd_kafka_t *)(void *)&the_producer;
}

static void fake_destroy(rd_kafka_t *rk)
{
	(void)rk;
}

static const char *fake_words(rd_kafka_resp_err_t error)
{
	return error == OK ? "fine" : "the broker says no";
}

static rd_kafka_resp_err_t fake_metadata(rd_kafka_t *rk, int all, rd_kafka_topic_t *only,
	const struct rd_kafka_metadata **ret, int timeout_ms)
{
	static const struct rd_kafka_metadata found = {.broker_cnt = 1};

	(void)rk, (void)all, (void)only, (void)timeout_ms;
	broker.n_probes++;
	*ret = &found;
	return broker.is_away ? RD_KAFKA_RESP_ERR__TRANSPORT : OK;
}

static void fake_metadata_destroy(const struct rd_kafka_metadata *m)
{
	(void)m;
}

static void answer_one(struct message *m, rd_kafka_resp_err_t error)
{
	const rd_kafka_message_t told = {.err = error, ._private = m->opaque};

	m->answered = true;
	m->error = error;
	broker.n_answered++;
	broker.on_answer((rd_kafka_t *)(void *)&the_producer, &told, broker.opaque);
}

static void answer_all(rd_kafka_resp_err_t error)
{
	for (size_t i = 0; i < broker.n; i++)
		if (!broker.log[i].answered)
			answer_one(&broker.log[i], error);
}

/* The last in hand first, so that no order comes from the answers. */
static int fake_poll(rd_kafka_t *rk, int timeout_ms)
{
	(void)rk;
	if (broker.n - broker.n_answered > broker.most_in_hand)
		broker.most_in_hand = broker.n - broker.n_answered;
	if (broker.is_silent) {
		rig_pass(timeout_ms);
		return 0;
	}
	for (size_t i = broker.n; i > 0; i--) {
		struct message *m = &broker.log[i - 1];
		bool is_bad = broker.bad_key && strcmp(m->key, broker.bad_key) == 0 &&
			      strcmp(m->topic, KAFKA_TOPIC) == 0 && broker.bad_times > 0;

		if (m->answered)
			continue;
		broker.bad_times -= is_bad;
		answer_one(m, is_bad ? broker.bad_error : OK);
	}
	return 0;
}

static rd_kafka_resp_err_t fake_purge(rd_kafka_t *rk, int flags)
{
	(void)rk, (void)flags;
	answer_all(RD_KAFKA_RESP_ERR__PURGE_QUEUE);
	return OK;
}

static rd_kafka_resp_err_t fake_producev(rd_kafka_t *rk, ...)
{
	struct message *m = &broker.log[broker.n++];
	va_list args;
	const char *bytes;
	int what;
	size_t len;

	assert_true(broker.n < LOG_MOST);
	*m = (struct message){.error = RD_KAFKA_RESP_ERR__IN_PROGRESS};
	va_start(args, rk);
	while ((what = va_arg(args, int)) != RD_KAFKA_VTYPE_END) {
		if (what == RD_KAFKA_VTYPE_TOPIC) {
			snprintf(m->topic, sizeof(m->topic), "%s", va_arg(args, const char *));
		} else if (what == RD_KAFKA_VTYPE_KEY || what == RD_KAFKA_VTYPE_VALUE) {
			bytes = va_arg(args, const void *);
			len = va_arg(args, size_t);
			if (what == RD_KAFKA_VTYPE_KEY)
				snprintf(m->key, sizeof(m->key), "%.*s", (int)len, bytes);
			else
				m->value = mem_text_n(bytes, len);
		} else if (what == RD_KAFKA_VTYPE_MSGFLAGS) {
			assert_int_equal(va_arg(args, int), RD_KAFKA_MSG_F_COPY);
		} else {
			assert_int_equal(what, RD_KAFKA_VTYPE_OPAQUE);
			m->opaque = va_arg(args, void *);
		}
	}
	va_end(args);
	return OK;
}

static const struct rdkafka library = {.rd_kafka_conf_new = fake_conf_new,
	.rd_kafka_conf_destroy = fake_conf_destroy,
	.rd_kafka_conf_set = fake_conf_set,
	.rd_kafka_conf_set_dr_msg_cb = fake_set_answer,
	.rd_kafka_conf_set_error_cb = fake_set_error,
	.rd_kafka_conf_set_log_cb = fake_set_log,
	.rd_kafka_conf_set_opaque = fake_set_opaque,
	.rd_kafka_new = fake_new,
	.rd_kafka_destroy = fake_destroy,
	.rd_kafka_err2str = fake_words,
	.rd_kafka_metadata = fake_metadata,
	.rd_kafka_metadata_destroy = fake_metadata_destroy,
	.rd_kafka_poll = fake_poll,
	.rd_kafka_purge = fake_purge,
	.rd_kafka_producev = fake_producev};

/* ---- the sink ---- */

static const struct job_trouble troubles[] = {
	{1, "reviews", "1", "10", "Google answered 500"},
	{2, "reviews", "1", "11", "the location is not verified"},
};
static size_t n_troubles;

static int job_troubles(void *arg, const char *job_id, int64_t after, int64_t limit,
	job_trouble_fn *each, void *each_arg, struct fault *f)
{
	int done = 0;

	(void)arg;
	assert_string_equal(job_id, "job-1");
	for (size_t i = 0; i < n_troubles && limit-- > 0 && done == 0; i++)
		if (troubles[i].id > after)
			done = each(each_arg, &troubles[i], f);
	return done < 0 ? -1 : 0;
}

static void open_sink(struct kafka_sink *k)
{
	struct fault f = {0};

	memset(k, 0, sizeof(*k));
	k->parts = &rig.parts;
	courier_init(&k->courier, rig.store, KAFKA_CONSUMER, &kafka_ops, k);
	CHECK(kafka_link_open(&k->link, &library, &rig.settings, &f), &f);
}

static void close_sink(struct kafka_sink *k)
{
	struct fault f = {0};

	kafka_ops.leave(k);
	kafka_link_close(&k->link);
	CHECK(event_consumer_release(rig.store, &k->courier.consumer, &f), &f);
	courier_done(&k->courier);
}

static void run(struct kafka_sink *k, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		rig_round(&k->courier);
		rig_pass(100);
	}
}

static void event(const char *ref, int n)
{
	char data[64];

	snprintf(data, sizeof(data), "{\"n\":%d,\"job_id\":\"job-1\"}", n);
	rig_event("review.edited", ref, data);
}

/* What was acknowledged, as key and n, in the order of putting. */
static void taken(const char *topic, char *ret, size_t size)
{
	ret[0] = '\0';
	for (size_t i = 0; i < broker.n; i++) {
		const struct message *m = &broker.log[i];
		AUTO(json_drop) json_t *value = NULL;
		struct fault f;
		size_t len = strlen(ret);

		if (m->error != OK || strcmp(m->topic, topic) != 0)
			continue;
		assert_int_equal(json_parse(m->value, strlen(m->value), &value, &f), 0);
		snprintf(ret + len, size - len, "%s%s%lld", len ? " " : "", m->key,
			(long long)json_int(value, "n", 0));
	}
}

static void assert_taken(const char *wanted)
{
	char text[512];

	taken(KAFKA_TOPIC, text, sizeof(text));
	assert_string_equal(text, wanted);
}

static int begin(void **state)
{
	const int up = rig_up(state);

	memset(&broker, 0, sizeof(broker));
	rig.parts.job_troubles = job_troubles;
	n_troubles = 0;
	return up;
}

static int end(void **state)
{
	for (size_t i = 0; i < broker.n; i++)
		mem_free(broker.log[i].value);
	return rig_down(state);
}

static void messages_of_one_review_are_never_in_hand_together(void **state)
{
	struct kafka_sink k;

	(void)state;
	event("a", 1);
	event("b", 1);
	event("a", 2);
	event("a", 3);
	open_sink(&k);
	rig_round(&k.courier);
	assert_taken("a1 b1");
	assert_int_equal(rig_number(POSITION), 2);
	rig_round(&k.courier);
	assert_taken("a1 b1 a2");
	run(&k, 3);
	assert_taken("a1 b1 a2 a3");
	assert_int_equal(rig_number(POSITION), 4);
	assert_int_equal(broker.most_in_hand, 2);
	close_sink(&k);
}

static void no_failure_lets_a_later_change_of_the_review_overtake(void **state)
{
	struct kafka_sink k;

	(void)state;
	event("a", 1);
	event("b", 1);
	event("a", 2);
	broker.bad_key = "a";
	broker.bad_error = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
	broker.bad_times = 2;
	open_sink(&k);
	rig_round(&k.courier);
	assert_int_equal(rig_number(POSITION), 0);
	run(&k, 250); /* it looks again each 10 s */
	/* b comes again with the same event_id, for the place is in front of it. */
	assert_taken("b1 b1 a1 b1 a2");
	assert_int_equal(rig_number(POSITION), 3);
	close_sink(&k);
}

static void the_place_moves_only_over_what_is_acknowledged(void **state)
{
	struct kafka_sink k;

	(void)state;
	event("a", 1);
	broker.is_silent = true;
	open_sink(&k);
	rig_round(&k.courier);
	assert_int_equal(rig_number(POSITION), 0);
	assert_int_equal(broker.n, 1);
	assert_int_equal(
		broker.log[0].error, RD_KAFKA_RESP_ERR__PURGE_QUEUE); /* given up in time */
	broker.is_silent = false;
	run(&k, 3);
	assert_taken("a1");
	assert_int_equal(rig_number(POSITION), 1);
	close_sink(&k);
	open_sink(&k); /* a second life: nothing comes again */
	event("a", 2);
	run(&k, 2);
	assert_taken("a1 a2");
	close_sink(&k);
}

static void a_review_that_no_broker_takes_becomes_a_dead_letter_and_the_rest_goes_on(void **state)
{
	static const char text[] =
		"{\"n\":1,\"job_id\":\"job-1\",\"location_id\":\"10\",\"text\":\"long\"}";
	AUTO(json_drop) json_t *letter = NULL;
	const struct message *m = NULL;
	struct kafka_sink k;
	struct fault f = {0};

	(void)state;
	rig_event("review.new", "huge", text);
	event("b", 1);
	broker.bad_key = "huge";
	broker.bad_error = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
	broker.bad_times = 100;
	open_sink(&k);
	run(&k, 3);
	assert_taken("b1");
	assert_int_equal(rig_number(POSITION), 2);
	for (size_t i = 0; i < broker.n; i++)
		if (strcmp(broker.log[i].topic, KAFKA_DEAD_TOPIC) == 0)
			m = &broker.log[i];
	assert_non_null(m);
	assert_string_equal(m->key, "job-1");
	assert_int_equal(json_parse(m->value, strlen(m->value), &letter, &f), 0);
	assert_string_equal(json_text(letter, "error_code"), "message_refused");
	assert_string_equal(json_text(letter, "original_topic"), KAFKA_TOPIC);
	assert_string_equal(
		json_text(json_member(letter, "original_message"), "review_id"), "huge");
	assert_null(strstr(m->value, "long"));
	close_sink(&k);
}

static void what_failed_of_a_job_is_a_letter_each_under_its_id(void **state)
{
	struct kafka_sink k;
	size_t n = 0;

	(void)state;
	event("a", 1);
	rig_event("job.partial", "job-1", "{}");
	event("b", 1);
	rig_event("job.completed", "job-2", "{}");
	rig_event("connection.connected", "3", "{}");
	n_troubles = 2;
	open_sink(&k);
	run(&k, 5);
	for (size_t i = 0; i < broker.n; i++) {
		if (strcmp(broker.log[i].topic, KAFKA_DEAD_TOPIC) != 0)
			continue;
		assert_string_equal(broker.log[i].key, "job-1");
		assert_non_null(strstr(broker.log[i].value, troubles[n++].error));
	}
	assert_int_equal(n, 2);
	assert_taken("a1 b1");
	assert_int_equal(rig_number(POSITION), 5); /* over what is not for Kafka too */
	close_sink(&k);
}

static void while_no_broker_answers_nothing_is_put_in_hand_and_it_is_asked_more_rarely(void **state)
{
	const int64_t since_ms = rig.mono_ms;
	struct kafka_sink k;

	(void)state;
	event("a", 1);
	broker.is_away = true;
	open_sink(&k);
	while (rig.mono_ms < since_ms + 600000)
		rig_pass(rig_round(&k.courier));
	assert_int_equal(broker.n, 0);
	assert_true(broker.n_probes >= 600 / 30 && broker.n_probes < 60);
	assert_false(atomic_load(&k.link.is_up));
	broker.is_away = false;
	for (int i = 0; i < 400; i++) { /* it is asked each 30 s at least */
		run(&k, 1);
	}
	assert_true(atomic_load(&k.link.is_up));
	assert_taken("a1");
	close_sink(&k);
}

static void a_producer_that_is_broken_is_replaced(void **state)
{
	struct kafka_sink k;

	(void)state;
	open_sink(&k);
	run(&k, 1);
	event("a", 1);
	broker.on_error((rd_kafka_t *)(void *)&the_producer, RD_KAFKA_RESP_ERR__FATAL, "fenced",
		broker.opaque);
	run(&k, 150);
	assert_int_equal(broker.n_opened, 2);
	assert_taken("a1");
	close_sink(&k);
}

static void of_two_processes_one_delivers(void **state)
{
	struct kafka_sink k, other;
	size_t n;

	(void)state;
	open_sink(&k);
	open_sink(&other);
	run(&k, 1);
	broker.opaque = &k.link; /* the fake has one producer; the other's puts nothing in hand */
	event("a", 1);
	run(&other, 5);
	assert_int_equal(broker.n, 0);
	run(&k, 3);
	assert_taken("a1");
	n = broker.n;
	close_sink(&k);
	broker.opaque = &other.link;
	event("a", 2);
	for (int i = 0; i < 20 && broker.n == n; i++) {
		run(&other, 1);
		rig_pass(1000);
	}
	assert_taken("a1 a2");
	close_sink(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_of_one_review_are_never_in_hand_together),
		TEST(no_failure_lets_a_later_change_of_the_review_overtake),
		TEST(the_place_moves_only_over_what_is_acknowledged),
		TEST(a_review_that_no_broker_takes_becomes_a_dead_letter_and_the_rest_goes_on),
		TEST(what_failed_of_a_job_is_a_letter_each_under_its_id),
		TEST(while_no_broker_answers_nothing_is_put_in_hand_and_it_is_asked_more_rarely),
		TEST(a_producer_that_is_broken_is_replaced),
		TEST(of_two_processes_one_delivers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
