/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of connections and what a transaction is, the same for every engine. */
#include "store/store.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "core/metrics.h"
#include "store/db.h"

#define TRANSACT_TRIES_MAX 10
#define TRANSACT_TRY_MS 6000 /* no new try after that */
#define TRANSACT_PAUSE_MS 4  /* doubled each time, with jitter */
#define TRANSACT_PAUSE_MOST_MS 300

#define LOST(outcome)                                                                            \
	METRIC_COUNTER("review_fetcher_transactions_lost_total",                                 \
		"Transactions that lost against another one, or lost their connection, by what " \
		"came of them.",                                                                 \
		"outcome=\"" outcome "\"")
static struct metric repeated_total = LOST("repeated"), given_up_total = LOST("given_up");

METRICS_FROM_START(&repeated_total, &given_up_total)

struct store {
	const struct db_ops *ops;
	struct db_site *site;
	pthread_mutex_t mutex;
	pthread_cond_t given;
	struct db *idle;
	unsigned n_open, n_out, max; /* open: idle, out or being opened */
};

/* The store in whose transaction this thread is: a second one inside would wait for the first
 * forever. */
static _Thread_local const struct store *transacting;

static const struct db_ops *const engines[] = {&db_sqlite_ops, &db_postgres_ops};

enum db_engine db_engine(const struct db *db)
{
	return db->ops->engine;
}

const struct db_ops *store_ops(const struct store *s)
{
	return s->ops;
}

struct db_site *store_site(const struct store *s)
{
	return s->site;
}

/* PostgreSQL takes no other text; a value that only one engine can keep would be lost on moving. */
static bool texts_are_portable(const struct db_value *args, size_t n_args)
{
	for (size_t i = 0; i < n_args; i++) {
		if (args[i].type != DB_TEXT || args[i].len == 0)
			continue;
		if (memchr(args[i].bytes, '\0', args[i].len) != NULL ||
			!text_is_utf8(args[i].bytes, args[i].len))
			return false;
	}
	return true;
}

MUST_CHECK static int check_statement(
	const struct db *db, const struct db_value *args, size_t n_args, struct fault *f)
{
	if (db->in_transaction && db->has_failed)
		return fault_raise(f, FAULT_BUG,
			"a statement of this transaction failed before: it can only be rolled "
			"back");
	if (!texts_are_portable(args, n_args))
		return fault_raise(f, FAULT_INPUT, "a text is not UTF-8 or holds a NUL");
	return 0;
}

int db_run(struct db *db, const char *sql, const struct db_value *args, size_t n_args,
	db_row_fn *each, void *arg, int64_t *ret_changed, struct fault *f)
{
	if (check_statement(db, args, n_args, f) < 0)
		return -1;
	return db->ops->run(db, sql, args, n_args, each, arg, ret_changed, f);
}

int db_push(
	struct db *db, const char *sql, const struct db_value *args, size_t n_args, struct fault *f)
{
	if (check_statement(db, args, n_args, f) < 0)
		return -1;
	if (db->ops->push == NULL)
		return db->ops->run(db, sql, args, n_args, NULL, NULL, NULL, f);
	return db->ops->push(db, sql, args, n_args, f);
}

int store_open_with(const struct db_ops *ops, const char *address,
	const struct store_options *options, struct store **ret, struct fault *f)
{
	AUTO(store_closep) struct store *s = NULL;
	struct db_site *site;
	struct db *db;

	hash_init();
	if (ops->attach(address, options->exclusive, &site, f) < 0)
		return -1;
	s = mem_alloc(sizeof(*s));
	s->ops = ops;
	s->site = site;
	s->max = options->connections > 0 ? options->connections : 1;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->given, NULL);
	/* One now, so that what is wrong shows at the start; the others when they are needed. */
	if (store_take(s, &db, f) < 0)
		return -1;
	store_give(s, db);
	*ret = TAKE(s);
	return 0;
}

int store_open(const struct store_options *options, struct store **ret, struct fault *f)
{
	const char *colon = strchr(options->url, ':');
	size_t len = colon != NULL ? (size_t)(colon - options->url) : 0;

	for (size_t i = 0; i < ARRAY_LEN(engines); i++)
		if (len == strlen(engines[i]->name) &&
			memcmp(options->url, engines[i]->name, len) == 0)
			return store_open_with(engines[i], colon + 1, options, ret, f);
	if (text_starts(options->url, "postgres:")) /* libpq takes both names */
		return store_open_with(&db_postgres_ops, colon + 1, options, ret, f);
	/* The URL may hold a password and is not shown. */
	return fault_raise(f, FAULT_INPUT,
		"the database URL must be sqlite:PATH or "
		"postgresql://USER:PASSWORD@HOST:PORT/NAME");
}

void store_close(struct store *s)
{
	struct db *db;

	if (s == NULL)
		return;
	assert(s->n_out == 0);
	while (s->idle != NULL) {
		db = s->idle;
		s->idle = db->next;
		s->ops->close(db);
	}
	s->ops->detach(s->site);
	pthread_cond_destroy(&s->given);
	pthread_mutex_destroy(&s->mutex);
	mem_free(s);
}

void store_closep(struct store **s)
{
	store_close(*s);
	*s = NULL;
}

/* An idle connection, or NULL when the caller is to open one: a place in the pool is then reserved.
 */
static struct db *wait_for_one(struct store *s)
{
	struct db *db;

	pthread_mutex_lock(&s->mutex);
	while (s->idle == NULL && s->n_open == s->max)
		pthread_cond_wait(&s->given, &s->mutex);
	db = s->idle;
	if (db != NULL)
		s->idle = db->next;
	else
		s->n_open++;
	s->n_out++;
	pthread_mutex_unlock(&s->mutex);
	return db;
}

/* Puts a connection back; NULL gives its place in the pool up. */
static void put_back(struct store *s, struct db *db)
{
	pthread_mutex_lock(&s->mutex);
	if (db != NULL) {
		db->next = s->idle;
		s->idle = db;
	} else {
		s->n_open--;
	}
	s->n_out--;
	pthread_cond_signal(&s->given);
	pthread_mutex_unlock(&s->mutex);
}

int store_take(struct store *s, struct db **ret, struct fault *f)
{
	struct db *db = wait_for_one(s);

	if (db != NULL && s->ops->is_usable != NULL && !s->ops->is_usable(db)) {
		s->ops->close(db);
		db = NULL;
	}
	if (db == NULL && s->ops->open(s->site, &db, f) < 0) {
		put_back(s, NULL);
		return -1;
	}
	db->has_failed = false;
	*ret = db;
	return 0;
}

void store_give(struct store *s, struct db *db)
{
	s->ops->rollback(db);
	db->in_transaction = false;
	if (db->is_broken) {
		s->ops->close(db);
		db = NULL;
	}
	put_back(s, db);
}

int store_use(struct store *s, store_body_fn *body, void *arg, struct fault *f)
{
	struct db *db;
	int result;

	if (store_take(s, &db, f) < 0)
		return -1;
	result = body(db, arg, f);
	store_give(s, db);
	return result;
}

static void leave_transaction(struct db *db)
{
	db->in_transaction = false;
	db->has_failed = false;
	db->rings = false;
}

/* One try. Whatever it answers, no transaction is open afterwards. */
static int transact_once(struct db *db, store_body_fn *body, void *arg, struct fault *f)
{
	int result;

	db->has_lost = false;
	if (db->ops->begin(db, f) < 0) {
		leave_transaction(db);
		return -1;
	}
	db->has_failed = false;
	db->in_transaction = true;
	result = body(db, arg, f);
	if (result >= 0 && db->has_failed)
		result = fault_raise(f, FAULT_BUG,
			"a transaction went on after a failed statement: rolled back");
	if (result >= 0 && db->ops->commit(db, f) < 0)
		result = -1;
	if (result < 0)
		db->ops->rollback(db);
	leave_transaction(db);
	return result;
}

/* In the place of a broken connection a new one. On failure the place is given up and *db NULL. */
MUST_CHECK static int replace_broken(struct store *s, struct db **db, struct fault *f)
{
	if (!(*db)->is_broken)
		return 0;
	s->ops->close(TAKE(*db));
	if (s->ops->open(s->site, db, f) == 0)
		return 0;
	put_back(s, NULL);
	return -1;
}

static void pause_before_try(int tries)
{
	int64_t most_ms = TRANSACT_PAUSE_MS << (tries - 1);

	if (most_ms > TRANSACT_PAUSE_MOST_MS)
		most_ms = TRANSACT_PAUSE_MOST_MS;
	clock_sleep_ms(1 + (int64_t)rand_below((uint64_t)most_ms));
}

static int transact(
	struct store *s, bool is_snapshot, store_body_fn *body, void *arg, struct fault *f)
{
	const struct store *outer = transacting;
	int64_t until_ms = clock_mono_ms() + TRANSACT_TRY_MS;
	struct db *db;
	int result;

	if (outer == s)
		return fault_raise(f, FAULT_BUG, "a transaction inside a transaction");
	if (store_take(s, &db, f) < 0)
		return -1;
	transacting = s;
	for (int tries = 1;; tries++) {
		db->lost_before = tries > 1;
		db->is_snapshot = is_snapshot;
		result = transact_once(db, body, arg, f);
		if (result >= 0 || !db->has_lost)
			break;
		if (tries == TRANSACT_TRIES_MAX || clock_mono_ms() > until_ms) {
			metric_add(&given_up_total, 1);
			break;
		}
		metric_add(&repeated_total, 1);
		pause_before_try(tries);
		if (replace_broken(s, &db, f) < 0)
			break;
	}
	transacting = outer;
	if (db != NULL)
		store_give(s, db);
	return result;
}

int store_transact(struct store *s, store_body_fn *body, void *arg, struct fault *f)
{
	return transact(s, false, body, arg, f);
}

int store_transact_snapshot(struct store *s, store_body_fn *body, void *arg, struct fault *f)
{
	return transact(s, true, body, arg, f);
}

static int ping(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db->ops->ping(db, f);
}

int store_ping(struct store *s, struct fault *f)
{
	return store_use(s, ping, NULL, f);
}
