/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One idempotent producer. It looks after its connections by itself; whether they lead anywhere is
 * asked for (metadata), told by errors, and seen by acknowledgements. While nobody answers nothing
 * is put in hand: the outbox holds it better.
 */
#include "delivery/kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"

#define PROBE_TAKES_MS 2000
#define PROBE_EVERY_MS 10000
#define PROBE_FIRST_MS 500
#define PROBE_LONGEST_MS 30000
#define ERROR_SIZE 200
#define POLL_MS 100
#define FULL_WAIT_MS 50

static struct metric connected = METRIC_GAUGE(
	"review_fetcher_kafka_connected", "1 while a broker of Kafka answers this process.", "");

/* ---- what the library tells ---- */

static void mark(struct kafka_link *k, bool is_up, const char *cause)
{
	if (is_up == atomic_load(&k->is_up) && k->was_told)
		return;
	atomic_store(&k->is_up, is_up);
	metric_set(&connected, is_up);
	k->was_told = true;
	if (is_up)
		log_event(LOG_INFO, "kafka.connected");
	else
		log_event(LOG_WARN, "kafka.lost", F_STR("cause", cause));
}

void kafka_link_down(struct kafka_link *k, const char *cause)
{
	mark(k, false, cause);
	if (k->probe_at_ms < clock_mono_ms())
		k->probe_at_ms = clock_mono_ms() + PROBE_FIRST_MS;
}

static void on_answer(rd_kafka_t *rk, const rd_kafka_message_t *answer, void *arg)
{
	struct kafka_message *m = answer->_private;
	struct kafka_link *k = arg;

	(void)rk;
	k->n_open--;
	m->error = answer->err;
	if (answer->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		mark(k, true, NULL);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *arg)
{
	struct kafka_link *k = arg;

	(void)rk;
	switch (code) {
	case RD_KAFKA_RESP_ERR__FATAL:
		k->is_broken = true;
		break;
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR__SSL:
		break;
	default: /* it tries again by itself */
		log_event(LOG_DEBUG, "kafka.said", F_STR("text", reason));
		return;
	}
	kafka_link_down(k, reason);
}

static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
	(void)rk, (void)level, (void)fac;
	log_event(LOG_DEBUG, "kafka.said", F_STR("text", text));
}

/* ---- opening ---- */

struct option {
	const char *key, *value;
};

MUST_CHECK static int set_options(struct kafka_link *k, rd_kafka_conf_t *conf,
	const struct option *options, size_t n, struct fault *f)
{
	char words[ERROR_SIZE];

	for (size_t i = 0; i < n; i++) {
		if (options[i].value == NULL ||
			k->lib->rd_kafka_conf_set(conf, options[i].key, options[i].value, words,
				sizeof(words)) == RD_KAFKA_CONF_OK)
			continue;
		if (strcmp(options[i].key, "sasl.password") == 0)
			words[0] = '\0'; /* it may hold the value */
		return fault_raise(f, FAULT_INPUT, "the library of Kafka refuses %s: %.150s",
			options[i].key, words);
	}
	return 0;
}

MUST_CHECK static int configure(struct kafka_link *k, rd_kafka_conf_t *conf, struct fault *f)
{
	static const char *const security[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"};
	static const char *const sasl[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
	const struct settings *s = k->settings;
	const bool has_sasl = s->kafka_username != NULL;
	const bool has_tls = s->kafka_security == KAFKA_SSL || s->kafka_security == KAFKA_SASL_SSL;
	char message_ms[16];
	const struct option options[] = {
		{"bootstrap.servers", s->kafka_bootstrap_servers},
		{"client.id", "review-fetcher"},
		{"enable.idempotence", "true"}, /* no message twice, none out of turn */
		{"acks", "all"},
		{"message.timeout.ms", message_ms},
		{"linger.ms", "5"},
		{"socket.timeout.ms", "8000"}, /* less than a message has */
		{"socket.keepalive.enable", "true"},
		{"reconnect.backoff.max.ms", "5000"},
		{"queue.buffering.max.kbytes", "16384"},
		{"log_level", "4"},
		{"security.protocol", security[s->kafka_security]},
		{"sasl.mechanism", has_sasl ? sasl[s->kafka_sasl_mechanism] : NULL},
		{"sasl.username", s->kafka_username},
		{"sasl.password", has_sasl ? s->kafka_password.bytes : NULL},
		{"ssl.ca.location", has_tls ? s->kafka_ca_file : NULL},
	};

	snprintf(message_ms, sizeof(message_ms), "%d", KAFKA_MESSAGE_MS);
	return set_options(k, conf, options, ARRAY_LEN(options), f);
}

MUST_CHECK static int open_producer(struct kafka_link *k, struct fault *f)
{
	rd_kafka_conf_t *conf = k->lib->rd_kafka_conf_new();
	char words[ERROR_SIZE] = "";

	if (configure(k, conf, f) < 0) {
		k->lib->rd_kafka_conf_destroy(conf);
		return -1;
	}
	k->lib->rd_kafka_conf_set_opaque(conf, k);
	k->lib->rd_kafka_conf_set_dr_msg_cb(conf, on_answer);
	k->lib->rd_kafka_conf_set_error_cb(conf, on_error);
	k->lib->rd_kafka_conf_set_log_cb(conf, on_log);
	k->rk = k->lib->rd_kafka_new(RD_KAFKA_PRODUCER, conf, words, sizeof(words));
	if (k->rk == NULL) {
		k->lib->rd_kafka_conf_destroy(conf);
		return fault_raise(
			f, FAULT_INPUT, "the library of Kafka cannot start: %.180s", words);
	}
	k->is_broken = false;
	return 0;
}

int kafka_link_open(
	struct kafka_link *k, const struct rdkafka *lib, const struct settings *s, struct fault *f)
{
	*k = (struct kafka_link){.lib = lib, .settings = s};
	if (lib == NULL && kafka_library(&k->lib, f) < 0)
		return -1;
	metric_register(&connected);
	return open_producer(k, f);
}

void kafka_link_close(struct kafka_link *k)
{
	if (k->rk != NULL)
		k->lib->rd_kafka_destroy(k->rk);
	k->rk = NULL;
}

/* ---- is anybody there? ---- */

static int64_t pause_ms(unsigned n_failed)
{
	int64_t most = PROBE_FIRST_MS;

	for (unsigned i = 0; i < n_failed && most < PROBE_LONGEST_MS; i++)
		most *= 2;
	if (most > PROBE_LONGEST_MS)
		most = PROBE_LONGEST_MS;
	return most / 2 + (int64_t)rand_below((uint64_t)(most / 2));
}

static void probe(struct kafka_link *k)
{
	const struct rd_kafka_metadata *found = NULL;
	const rd_kafka_resp_err_t error =
		k->lib->rd_kafka_metadata(k->rk, 0, NULL, &found, PROBE_TAKES_MS);

	if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
		k->lib->rd_kafka_metadata_destroy(found);
		k->n_failed = 0;
		k->probe_at_ms = clock_mono_ms() + PROBE_EVERY_MS;
		mark(k, true, NULL);
		return;
	}
	mark(k, false, k->lib->rd_kafka_err2str(error));
	k->probe_at_ms = clock_mono_ms() + pause_ms(k->n_failed++);
}

/* A producer that met an error it cannot get over is made anew; what it held is still in the
 * outbox. */
static void replace(struct kafka_link *k)
{
	struct fault f;

	kafka_link_close(k);
	k->n_open = 0;
	if (open_producer(k, &f) < 0)
		kafka_link_down(k, f.text);
}

void kafka_link_tick(struct kafka_link *k)
{
	if (k->rk == NULL || k->is_broken)
		replace(k);
	if (k->rk == NULL)
		return;
	k->lib->rd_kafka_poll(k->rk, 0);
	if (clock_mono_ms() >= k->probe_at_ms)
		probe(k);
}

int64_t kafka_link_wait_ms(const struct kafka_link *k)
{
	const int64_t left = k->probe_at_ms - clock_mono_ms();

	return left < POLL_MS ? POLL_MS : left;
}

/* ---- messages ---- */

void kafka_link_put(struct kafka_link *k, const char *topic, const char *key, const char *value,
	size_t len, struct kafka_message *m)
{
	rd_kafka_resp_err_t error;

	m->error = RD_KAFKA_RESP_ERR__IN_PROGRESS;
	for (;;) {
		k->n_open++; /* before: an answer may come at once */
		error = k->lib->rd_kafka_producev(k->rk, RD_KAFKA_V_TOPIC(topic),
			RD_KAFKA_V_KEY((void *)(uintptr_t)key, strlen(key)),
			RD_KAFKA_V_VALUE((void *)(uintptr_t)value, len),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(m),
			RD_KAFKA_V_END);
		if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
			return;
		k->n_open--;
		if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL || k->n_open == 0)
			break;
		k->lib->rd_kafka_poll(k->rk, FULL_WAIT_MS);
	}
	if (error == RD_KAFKA_RESP_ERR__FATAL)
		k->is_broken = true;
	m->error = error;
}

void kafka_link_flush(struct kafka_link *k, struct courier *stop)
{
	const int64_t late_ms = clock_mono_ms() + KAFKA_MESSAGE_MS + KAFKA_MESSAGE_MS / 10;

	while (k->n_open > 0) {
		if (courier_is_ending(stop) || clock_mono_ms() > late_ms || k->is_broken)
			k->lib->rd_kafka_purge(
				k->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
		k->lib->rd_kafka_poll(k->rk, POLL_MS);
	}
}

bool kafka_is_poison(rd_kafka_resp_err_t error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_INVALID_MSG:
	case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
	case RD_KAFKA_RESP_ERR_INVALID_RECORD:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
	case RD_KAFKA_RESP_ERR__BAD_MSG:
		return true;
	default:
		return false;
	}
}

/* ---- for doctor ---- */

int delivery_check_kafka(
	const struct settings *s, int timeout_ms, int *ret_brokers, struct fault *f)
{
	const struct rd_kafka_metadata *found = NULL;
	struct kafka_link k;
	rd_kafka_resp_err_t error;

	if (kafka_link_open(&k, NULL, s, f) < 0)
		return -1;
	error = k.lib->rd_kafka_metadata(k.rk, 0, NULL, &found, timeout_ms);
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
		*ret_brokers = found->broker_cnt;
		k.lib->rd_kafka_metadata_destroy(found);
	} else {
		fault_raise(f, FAULT_UPSTREAM, "no broker of %.120s answers: %s",
			s->kafka_bootstrap_servers, k.lib->rd_kafka_err2str(error));
	}
	kafka_link_close(&k);
	return error == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : -1;
}
