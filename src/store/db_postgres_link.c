/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers are few, so none may wait for ever for a server that is gone without a word: libpq is
 * driven without blocking, and every wait has an end. While the database is away, one of us asks
 * for it now and then, and the others are told so at once.
 */
#include "store/db_postgres.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"

#define CONNECT_MS 5000
#define AWAY_PAUSE_MS 100
#define AWAY_PAUSE_MOST_MS 3000
#define OLDEST_VERSION 130000 /* PostgreSQL 13 */
#define OPTIONS_MAX 64

/* What the URL leaves open. A server that answers nothing is given up after some seconds. */
static const struct {
	const char *key, *value;
} defaults[] = {
	{"application_name", "review-fetcher"},
	{"client_encoding", "UTF8"},
	{"keepalives_idle", "20"},
	{"keepalives_interval", "5"},
	{"keepalives_count", "3"},
	{"tcp_user_timeout", "20000"},
};

/* Where the session is ours alone, these hold in transactions too. */
static const char session_limits[] = "-c statement_timeout=60s -c lock_timeout=20s "
				     "-c idle_in_transaction_session_timeout=5s -c jit=off";

struct conninfo {
	const char *keys[OPTIONS_MAX], *values[OPTIONS_MAX];
	size_t n;
	char options[512];
};

static const char *value_of(const struct db_site *site, const char *key)
{
	for (const PQconninfoOption *o = site->options; o->keyword != NULL; o++)
		if (strcmp(o->keyword, key) == 0)
			return o->val;
	return NULL;
}

static void add(struct conninfo *c, const char *key, const char *value)
{
	if (c->n >= OPTIONS_MAX - 1)
		return;
	c->keys[c->n] = key;
	c->values[c->n++] = value;
}

static void collect(const struct db_site *site, bool with_options, struct conninfo *c)
{
	const char *options = value_of(site, "options");

	*c = (struct conninfo){0};
	for (const PQconninfoOption *o = site->options; o->keyword != NULL; o++)
		if (o->val != NULL && strcmp(o->keyword, "options") != 0)
			add(c, o->keyword, o->val);
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		if (value_of(site, defaults[i].key) == NULL)
			add(c, defaults[i].key, defaults[i].value);
	/* What the URL says goes last and wins. */
	if (with_options)
		snprintf(c->options, sizeof(c->options), "%s %s", session_limits,
			options != NULL ? options : "");
	else if (options != NULL)
		snprintf(c->options, sizeof(c->options), "%s", options);
	if (c->options[0] != '\0')
		add(c, "options", c->options);
}

/* 0: ready, 1: the time is up, -1: failed. */
static int wait_for(int fd, short events, int64_t until_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t left_ms;
	int n;

	do {
		left_ms = until_ms - clock_mono_ms();
		n = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
	} while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : n == 0 ? 1 : -1;
}

static int64_t connect_timeout_ms(const struct db_site *site)
{
	const char *text = value_of(site, "connect_timeout");
	long seconds = text != NULL ? strtol(text, NULL, 10) : 0;

	return seconds > 0 && seconds < 3600 ? seconds * 1000 : CONNECT_MS;
}

/* Whether it connected in time; *ret_late tells which. Without blocking, name lookup aside. */
static bool drive(const struct db_site *site, PGconn *conn, bool *ret_late)
{
	int64_t until_ms = clock_mono_ms() + connect_timeout_ms(site);
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	*ret_late = false;
	while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
		short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;

		if (site->pq->PQstatus(conn) == CONNECTION_BAD)
			return false;
		if (wait_for(site->pq->PQsocket(conn), events, until_ms) != 0) {
			*ret_late = true;
			return false;
		}
		next = site->pq->PQconnectPoll(conn);
	}
	return next == PGRES_POLLING_OK;
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg, (void)result;
}

MUST_CHECK static int check_server(const struct pq *pq, const PGconn *conn, struct fault *f)
{
	const char *encoding = pq->PQparameterStatus(conn, "server_encoding");
	int version = pq->PQserverVersion(conn);

	if (version > 0 && version < OLDEST_VERSION)
		return fault_raise(f, FAULT_INPUT,
			"the database server is PostgreSQL %d: 13 or newer is needed",
			version / 10000);
	if (encoding != NULL && strcmp(encoding, "UTF8") != 0)
		return fault_raise(f, FAULT_INPUT,
			"the database's encoding is %s: make it with encoding UTF8", encoding);
	return 0;
}

MUST_CHECK static int connect_once(struct db_site *site, bool with_options,
	char cause[static CAUSE_SIZE], PGconn **ret, struct fault *f)
{
	const struct pq *pq = site->pq;
	struct conninfo c;
	PGconn *conn;
	bool is_late;

	collect(site, with_options, &c);
	conn = pq->PQconnectStartParams(c.keys, c.values, 0);
	if (conn == NULL)
		abort(); /* only when memory ran out */
	pq->PQsetNoticeReceiver(conn, ignore_notice, NULL);
	if (!drive(site, conn, &is_late)) {
		snprintf(cause, CAUSE_SIZE, "%s",
			is_late ? "it does not answer in time" : pq->PQerrorMessage(conn));
		postgres_raise_away(cause, f);
		pq->PQfinish(conn);
		return -1;
	}
	if (check_server(pq, conn, f) < 0 || pq->PQsetnonblocking(conn, 1) != 0) {
		pq->PQfinish(conn);
		return -1;
	}
	*ret = conn;
	return 0;
}

/* True: it is not time yet to ask a database that is away. */
static bool must_wait(struct db_site *site, struct fault *f)
{
	bool waits;

	pthread_mutex_lock(&site->lock);
	waits = site->pause_ms > 0 && clock_mono_ms() < site->next_open_ms;
	if (waits)
		postgres_raise_away(site->cause, f);
	else if (site->pause_ms > 0) /* one asks, the others wait for what it learns */
		site->next_open_ms = clock_mono_ms() + site->pause_ms;
	pthread_mutex_unlock(&site->lock);
	return waits;
}

/* cause: what postgres_raise_away was told. */
static void learn(struct db_site *site, bool is_there, const char cause[static CAUSE_SIZE])
{
	pthread_mutex_lock(&site->lock);
	if (is_there) {
		site->pause_ms = 0;
	} else {
		site->pause_ms = site->pause_ms > 0 ? site->pause_ms * 2 : AWAY_PAUSE_MS;
		if (site->pause_ms > AWAY_PAUSE_MOST_MS)
			site->pause_ms = AWAY_PAUSE_MOST_MS;
		site->next_open_ms = clock_mono_ms() + site->pause_ms / 2 +
				     (int64_t)rand_below((uint64_t)site->pause_ms / 2 + 1);
		memcpy(site->cause, cause, sizeof(site->cause));
	}
	pthread_mutex_unlock(&site->lock);
}

int postgres_connect(struct db_site *site, PGconn **ret, struct fault *f)
{
	bool with_options;
	char cause[CAUSE_SIZE] = "";
	int result;

	if (must_wait(site, f))
		return -1;
	pthread_mutex_lock(&site->lock);
	with_options = !site->refuses_options;
	pthread_mutex_unlock(&site->lock);
	result = connect_once(site, with_options, cause, ret, f);
	/* PgBouncer before 1.20 ends a connection that comes with start-up options. */
	if (result < 0 && with_options && strstr(f->text, "startup parameter") != NULL) {
		result = connect_once(site, false, cause, ret, f);
		pthread_mutex_lock(&site->lock);
		site->refuses_options = result == 0;
		pthread_mutex_unlock(&site->lock);
	}
	learn(site, result == 0, cause);
	return result;
}

static bool read_more(struct postgres_db *db, short events, int64_t until_ms)
{
	int state = wait_for(db->pq->PQsocket(db->conn), events, until_ms);

	db->is_late = state == 1;
	return state == 0 && db->pq->PQconsumeInput(db->conn);
}

/* Sends what is still to be sent, reading meanwhile so that neither side waits for the other. */
static bool flush(struct postgres_db *db, int64_t until_ms)
{
	int left;

	while ((left = db->pq->PQflush(db->conn)) > 0)
		if (!read_more(db, POLLIN | POLLOUT, until_ms))
			return false;
	return left == 0;
}

/* The next answer; *ret NULL: there is none any more. */
static bool next_answer(struct postgres_db *db, int64_t until_ms, PGresult **ret)
{
	while (db->pq->PQisBusy(db->conn))
		if (!read_more(db, POLLIN, until_ms))
			return false;
	*ret = db->pq->PQgetResult(db->conn);
	return true;
}

static bool is_error(const struct pq *pq, const PGresult *result)
{
	ExecStatusType status = pq->PQresultStatus(result);

	return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
}

/* A last word of the server, "terminating connection", says more than silence. */
static PGresult *give_up(struct postgres_db *db, PGresult *kept)
{
	db->base.is_broken = true;
	if (kept == NULL || is_error(db->pq, kept))
		return kept;
	db->pq->PQclear(kept);
	return NULL;
}

PGresult *postgres_await(struct postgres_db *db, int64_t timeout_ms)
{
	int64_t until_ms = clock_mono_ms() + timeout_ms;
	PGresult *kept = NULL, *result = NULL;
	bool goes_on;

	db->is_late = false;
	goes_on = flush(db, until_ms);

	while (goes_on && (goes_on = next_answer(db, until_ms, &result)) && result != NULL) {
		bool is_copy = db->pq->PQresultStatus(result) == PGRES_COPY_IN ||
			       db->pq->PQresultStatus(result) == PGRES_COPY_OUT;

		if (kept != NULL && is_error(db->pq, kept)) {
			db->pq->PQclear(result);
		} else {
			db->pq->PQclear(kept);
			kept = result;
		}
		goes_on = !is_copy;
	}
	return goes_on ? kept : give_up(db, kept);
}

PGresult *postgres_await_pipe(struct postgres_db *db, int64_t first_ms, int64_t timeout_ms)
{
	const int64_t begun_ms = clock_mono_ms();
	int64_t until_ms = begun_ms + first_ms;
	PGresult *kept = NULL, *result = NULL;
	bool goes_on, is_end = false;

	db->is_late = false;
	goes_on = flush(db, until_ms);
	while (goes_on && !is_end && (goes_on = next_answer(db, until_ms, &result))) {
		until_ms = begun_ms + first_ms + timeout_ms;
		if (result == NULL) { /* between two statements */
			goes_on = db->pq->PQstatus(db->conn) == CONNECTION_OK;
			continue;
		}
		is_end = db->pq->PQresultStatus(result) == PGRES_PIPELINE_SYNC;
		if (strcmp(db->pq->PQcmdStatus(result), "COMMIT") == 0)
			db->has_committed = true;
		if (is_end || (kept != NULL && is_error(db->pq, kept))) {
			db->pq->PQclear(result);
		} else {
			db->pq->PQclear(kept);
			kept = result;
		}
	}
	return goes_on ? kept : give_up(db, kept);
}

bool postgres_is_dead(struct postgres_db *db)
{
	struct pollfd p = {.fd = db->pq->PQsocket(db->conn), .events = POLLIN};

	if (db->pq->PQstatus(db->conn) != CONNECTION_OK || p.fd < 0)
		return true;
	/* What comes unasked is a last word or the end. The rare note of a changed setting costs a
	 * new connection and nothing else. */
	return poll(&p, 1, 0) != 0;
}
