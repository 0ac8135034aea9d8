/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A round trip costs more than most statements. So what need not wait for an answer travels with
 * what does: BEGIN with the first statement, and those whose answer nobody looks at with the next
 * one or with COMMIT. After an error the server skips the rest, COMMIT among it.
 */
#include "store/db_postgres.h"

#define PIPED_MOST 64 /* what waits for its answer is kept in memory on both sides */

static struct postgres_args none;

int postgres_send(struct postgres_db *db, const char *sql, const struct postgres_args *a,
	bool may_name, struct fault *f)
{
	char name[POSTGRES_NAME_SIZE] = "";
	bool is_sent;

	if (may_name && postgres_plan(db, sql, a, name, f) < 0)
		return -1;
	is_sent = name[0] != '\0' ? db->pq->PQsendQueryPrepared(db->conn, name, a->n, a->values,
					    a->lengths, a->formats, 1)
				  : db->pq->PQsendQueryParams(db->conn, sql, a->n, a->types,
					    a->values, a->lengths, a->formats, 1);
	return is_sent ? 0 : postgres_raise(db, NULL, f);
}

MUST_CHECK static int add(
	struct postgres_db *db, const char *sql, const struct postgres_args *a, struct fault *f)
{
	if (postgres_send(db, sql, a, true, f) < 0)
		return -1;
	db->n_piped++;
	return 0;
}

/* The server keeps its answers until the end unless it is asked for them: and that BEGIN is
 * answered says that the server is there, however long the next statement takes. */
MUST_CHECK static int add_begin(struct postgres_db *db, const char *begin, struct fault *f)
{
	if (add(db, begin, &none, f) < 0)
		return -1;
	if (!db->pq->PQsendFlushRequest(db->conn))
		return postgres_raise(db, NULL, f);
	return add(db, POSTGRES_BY_INDEX, &none, f);
}

int postgres_pipe_add(
	struct postgres_db *db, const char *sql, const struct postgres_args *a, struct fault *f)
{
	const char *begin = db->begin;

	if (db->n_piped == 0 && !db->pq->PQenterPipelineMode(db->conn))
		return postgres_raise(db, NULL, f);
	db->begin = NULL;
	db->begins = db->begins || begin != NULL;
	if (begin != NULL && add_begin(db, begin, f) < 0)
		return -1;
	return add(db, sql, a != NULL ? a : &none, f);
}

bool postgres_pipe_is_full(const struct postgres_db *db)
{
	return db->n_piped >= PIPED_MOST;
}

static bool is_well(struct postgres_db *db, const PGresult *result)
{
	ExecStatusType status = result != NULL ? db->pq->PQresultStatus(result) : PGRES_FATAL_ERROR;

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

PGresult *postgres_pipe_end(struct postgres_db *db)
{
	const int64_t patience_ms = POSTGRES_STATEMENT_MS + POSTGRES_GRACE_MS;
	PGresult *result = NULL;

	db->has_committed = false;
	if (db->pq->PQpipelineSync(db->conn))
		result = postgres_await_pipe(
			db, db->begins ? POSTGRES_PROMPT_MS : patience_ms, patience_ms);
	db->n_piped = 0;
	db->begins = false;
	if (!db->base.is_broken && !db->pq->PQexitPipelineMode(db->conn))
		db->base.is_broken = true;
	/* What was to be prepared behind the failure was not. */
	if (!is_well(db, result) && db->plans.is_unsure)
		postgres_plans_forget(db);
	db->plans.is_unsure = false;
	return result;
}
