/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and planning a statement takes the server several times as long as finding one row. So a
 * statement that comes again is prepared under a name – where the session is ours alone. A pooler
 * in transaction mode gives each transaction another one; whether one stands between is seen from
 * the server's process number, which a pooler makes up for its clients.
 *
 * Names are kept for a minute: a plan was made for the tables as they were then, and statements
 * that are made up as they go would fill the server's memory.
 */
#include "store/db_postgres.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

#define KEEP_MS 60000
#define PROBES 8

static void forget_one(struct postgres_plan *p)
{
	mem_free(p->sql);
	mem_free(p->types);
	*p = (struct postgres_plan){0};
}

void postgres_plans_forget(struct postgres_db *db)
{
	for (size_t i = 0; i < POSTGRES_PLANS; i++)
		forget_one(&db->plans.list[i]);
	db->plans.is_stale = true;
}

/* One round trip and no more, for a connection that is asked for the first time. */
MUST_CHECK static int look_who_answers(struct postgres_db *db, struct fault *f)
{
	PGresult *result = NULL;

	if (db->pq->PQsendQuery(db->conn, "SELECT pg_backend_pid()"))
		result = postgres_await(db, POSTGRES_PROMPT_MS);
	if (result == NULL || db->pq->PQresultStatus(result) != PGRES_TUPLES_OK) {
		postgres_raise(db, result, f);
		db->pq->PQclear(result);
		return -1;
	}
	char own[16];
	snprintf(own, sizeof(own), "%d", db->pq->PQbackendPID(db->conn));
	db->plans.link = strcmp(own, db->pq->PQgetvalue(result, 0, 0)) == 0 ? POSTGRES_DIRECT
									    : POSTGRES_POOLED;
	db->pq->PQclear(result);
	return 0;
}

int postgres_plans_tidy(struct postgres_db *db, struct fault *f)
{
	struct postgres_plans *p = &db->plans;
	PGresult *result = NULL;
	int verdict = 0;

	if (p->link != POSTGRES_DIRECT)
		return 0;
	if (!p->is_stale && (p->n_prepared == 0 || clock_mono_ms() - p->since_ms < KEEP_MS))
		return 0;
	postgres_plans_forget(db);
	if (db->pq->PQsendQuery(db->conn, "DEALLOCATE ALL"))
		result = postgres_await(db, POSTGRES_PROMPT_MS);
	if (result == NULL || db->pq->PQresultStatus(result) != PGRES_COMMAND_OK)
		verdict = postgres_raise(db, result, f);
	db->pq->PQclear(result);
	p->n_prepared = 0;
	p->is_stale = false;
	return verdict;
}

static uint64_t hash_of(const struct postgres_args *a, const char *sql, bool in_transaction)
{
	uint64_t hash = hash_table_key(sql, strlen(sql));

	for (int i = 0; i < a->n; i++)
		hash = (hash ^ a->types[i]) * 0xff51afd7ed558ccdu;
	return hash ^ (in_transaction ? 1u : 0u);
}

static bool is_plan_of(const struct postgres_plan *p, const struct postgres_args *a,
	const char *sql, bool in_transaction)
{
	return p->n == a->n && p->in_transaction == in_transaction && strcmp(p->sql, sql) == 0 &&
	       (a->n == 0 || memcmp(p->types, a->types, (size_t)a->n * sizeof(*p->types)) == 0);
}

/*
 * Planned apart inside and outside of transactions: begin() changes what the planner may do. A
 * statement must have come before: what comes once is not worth a name. NULL: none for this one.
 */
static struct postgres_plan *find(
	struct postgres_db *db, const char *sql, const struct postgres_args *a)
{
	struct postgres_plans *plans = &db->plans;
	bool in_transaction = db->base.in_transaction;
	uint64_t hash = hash_of(a, sql, in_transaction);
	uint32_t *seen = &plans->seen[(hash >> 32) % ARRAY_LEN(plans->seen)];

	for (size_t i = 0; i < PROBES; i++) {
		struct postgres_plan *p = &plans->list[(hash + i) % POSTGRES_PLANS];

		if (p->sql != NULL && is_plan_of(p, a, sql, in_transaction))
			return p;
		if (p->sql != NULL)
			continue;
		if (*seen != (uint32_t)hash) {
			*seen = (uint32_t)hash;
			return NULL;
		}
		p->n = a->n;
		p->in_transaction = in_transaction;
		p->sql = mem_text(sql);
		p->types = mem_alloc_array((size_t)a->n + 1, sizeof(*p->types));
		memcpy(p->types, a->types, (size_t)a->n * sizeof(*p->types));
		return p;
	}
	return NULL;
}

static bool is_piped(const struct postgres_db *db)
{
	return db->pq->PQpipelineStatus(db->conn) != PQ_PIPELINE_OFF;
}

MUST_CHECK static int prepare(
	struct postgres_db *db, struct postgres_plan *p, const char *name, struct fault *f)
{
	const bool waits = !is_piped(db);
	PGresult *result = NULL;
	int verdict = 0;
	bool is_sent;

	is_sent = db->pq->PQsendPrepare(db->conn, name, p->sql, p->n, p->types);
	if (is_sent && waits)
		result = postgres_await(db, POSTGRES_STATEMENT_MS);
	if (!is_sent ||
		(waits && (result == NULL || db->pq->PQresultStatus(result) != PGRES_COMMAND_OK))) {
		verdict = postgres_raise(db, result, f);
		forget_one(p);
	} else {
		p->is_prepared = true;
		db->plans.is_unsure = !waits;
		if (db->plans.n_prepared++ == 0)
			db->plans.since_ms = clock_mono_ms();
	}
	db->pq->PQclear(result);
	return verdict;
}

int postgres_plan(struct postgres_db *db, const char *sql, const struct postgres_args *a,
	char ret_name[static POSTGRES_NAME_SIZE], struct fault *f)
{
	struct postgres_plan *p;

	ret_name[0] = '\0';
	if (db->plans.link == POSTGRES_POOLED || db->plans.is_stale)
		return 0;
	/* In a pipeline nobody can be asked who answers. */
	if (db->plans.link == POSTGRES_UNKNOWN && is_piped(db))
		return 0;
	p = find(db, sql, a);
	if (p == NULL)
		return 0;
	if (db->plans.link == POSTGRES_UNKNOWN && look_who_answers(db, f) < 0)
		return -1;
	if (db->plans.link == POSTGRES_POOLED)
		return 0;
	snprintf(ret_name, POSTGRES_NAME_SIZE, "p%d", (int)(p - db->plans.list));
	return p->is_prepared ? 0 : prepare(db, p, ret_name, f);
}

bool postgres_plan_is_void(struct postgres_db *db, const PGresult *result)
{
	const char *state =
		result != NULL ? db->pq->PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;

	if (state == NULL || db->plans.n_prepared == 0)
		return false;
	/* A table has changed since; or the session is another one than that which knew the name.
	 */
	if (strcmp(state, "26000") == 0)
		db->plans.link = POSTGRES_POOLED;
	else if (strcmp(state, "0A000") != 0)
		return false;
	postgres_plans_forget(db);
	return true;
}
