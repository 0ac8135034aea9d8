/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the PostgreSQL engine. libpq is loaded when the first database of this kind is
 * attached and not before: with its TLS, Kerberos and LDAP it would cost every SQLite process
 * memory. Inside db_postgres*.c only.
 */
#ifndef STORE_DB_POSTGRES_H
#define STORE_DB_POSTGRES_H

#include <libpq-fe.h>
#include <pthread.h>

#include "store/db.h"

/* Every function of libpq that is used. */
#define PQ_FUNCTIONS(X)         \
	X(PQclear)              \
	X(PQcmdStatus)          \
	X(PQcmdTuples)          \
	X(PQconnectPoll)        \
	X(PQconnectStartParams) \
	X(PQconninfoFree)       \
	X(PQconninfoParse)      \
	X(PQbackendPID)         \
	X(PQconsumeInput)       \
	X(PQenterPipelineMode)  \
	X(PQerrorMessage)       \
	X(PQexitPipelineMode)   \
	X(PQfinish)             \
	X(PQflush)              \
	X(PQfreemem)            \
	X(PQftype)              \
	X(PQgetResult)          \
	X(PQgetisnull)          \
	X(PQgetlength)          \
	X(PQgetvalue)           \
	X(PQisBusy)             \
	X(PQnfields)            \
	X(PQnotifies)           \
	X(PQntuples)            \
	X(PQparameterStatus)    \
	X(PQpipelineStatus)     \
	X(PQpipelineSync)       \
	X(PQresultErrorField)   \
	X(PQresultStatus)       \
	X(PQsendFlushRequest)   \
	X(PQsendPrepare)        \
	X(PQsendQuery)          \
	X(PQsendQueryParams)    \
	X(PQsendQueryPrepared)  \
	X(PQserverVersion)      \
	X(PQsetNoticeReceiver)  \
	X(PQsetnonblocking)     \
	X(PQsocket)             \
	X(PQstatus)             \
	X(PQtransactionStatus)

struct pq {
#define PQ_MEMBER(name) __typeof__(name) *name;
	PQ_FUNCTIONS(PQ_MEMBER)
#undef PQ_MEMBER
};

/* The library, loaded once. -1 FAULT_INPUT: it is not on this machine. Any thread. */
MUST_CHECK int postgres_library(const struct pq **ret, struct fault *f);

#define CAUSE_SIZE 160
struct db_site {
	const struct pq *pq;
	PQconninfoOption *options; /* of the URL; holds the password */
	/*
	 * Transactions hold it shared, one that lost before alone: so those that lose against each
	 * other inside this process end, however many there are.
	 */
	pthread_rwlock_t gate;
	pthread_mutex_t lock; /* over what follows */
	int64_t next_open_ms; /* monotonic; a database that is away is not asked before */
	int64_t pause_ms;
	bool refuses_options;   /* a pooler that takes no start-up options */
	char cause[CAUSE_SIZE]; /* why the last try to connect failed */
};

/* A statement that the server knows by a name, for as long as the connection. */
struct postgres_plan {
	char *sql; /* NULL: the place is free */
	Oid *types;
	int n;
	bool in_transaction, is_prepared;
};

#define POSTGRES_PLANS 256
struct postgres_plans {
	enum {
		POSTGRES_UNKNOWN,
		POSTGRES_DIRECT, /* one process of the server, ours alone */
		POSTGRES_POOLED,
	} link;
	bool is_stale;  /* nothing is named before the server has forgotten the names */
	bool is_unsure; /* a preparation was sent whose answer was not read yet */
	int64_t since_ms;
	size_t n_prepared;
	struct postgres_plan list[POSTGRES_PLANS];
	uint32_t seen[256]; /* hashes of statements that came once */
};

struct postgres_db {
	struct db base;
	struct db_site *site;
	const struct pq *pq;
	PGconn *conn;
	struct postgres_plans plans;
	const char *begin; /* NULL, or: the transaction is to begin with its first statement */
	int n_piped;       /* statements sent of which no answer was read yet */
	bool begins;       /* BEGIN is among them */
	bool has_gate;
	bool is_late;       /* the last answer did not come in time */
	bool has_committed; /* the last pipeline's COMMIT was done */
	bool is_committing; /* a loss now leaves open what became of the transaction */
};

/* ---- db_postgres_link.c: sockets and patience ---- */

/* Longest a statement may take at the server, wait for a lock, and a transaction do nothing. The
 * last is the shortest, so that who waits for a stuck transaction (of a process that was stopped,
 * or whose machine is gone) sees it end first: what bodies do between two statements takes them
 * milliseconds, and who is ended wrongly runs again. */
#define POSTGRES_STATEMENT_MS 60000
#define POSTGRES_LOCK_MS 20000
#define POSTGRES_IDLE_MS 5000
#define POSTGRES_SCRIPT_MS (6 * 3600 * 1000)
#define POSTGRES_GRACE_MS 5000 /* the server ends a statement itself; the network may be slow */
/* What needs no time at the server: longer means that it is away, or that a pooler waits for it. */
#define POSTGRES_PROMPT_MS 8000

MUST_CHECK int postgres_connect(struct db_site *site, PGconn **ret, struct fault *f);
/*
 * After a PQsend…: waits until all is answered, timeout_ms at the longest. The answer that counts
 * (the first error, or the last answer); NULL when the connection is of no use any more.
 */
PGresult *postgres_await(struct postgres_db *db, int64_t timeout_ms);
/* The same in pipeline mode, up to its end; the first answer is to come within first_ms. */
PGresult *postgres_await_pipe(struct postgres_db *db, int64_t first_ms, int64_t timeout_ms);
/* Whether an idle connection was closed by the other side, as far as that can be seen at once. */
bool postgres_is_dead(struct postgres_db *db);

/* ---- db_postgres_listen.c ---- */

/* Rung at each commit that noted a change. */
#define POSTGRES_CHANNEL "review_fetcher_changes"
/* As db_ops.listen. */
MUST_CHECK int postgres_listen(struct db_listening *l, struct fault *f);

/* ---- db_postgres_pipe.c: statements that travel together ---- */

/*
 * A scan of a whole table under SERIALIZABLE conflicts with every writer of it, and the planner
 * likes them for small tables. Where no index helps it still scans.
 */
#define POSTGRES_BY_INDEX "SET LOCAL enable_seqscan = off"

struct postgres_args;
/* Sends a statement, by its name if it may have one. The answer is yet to be read. */
MUST_CHECK int postgres_send(struct postgres_db *db, const char *sql, const struct postgres_args *a,
	bool may_name, struct fault *f);
/* Sends a statement (a NULL: without arguments), after the BEGIN that waits for it; its answer is
 * read by postgres_pipe_end. */
MUST_CHECK int postgres_pipe_add(
	struct postgres_db *db, const char *sql, const struct postgres_args *a, struct fault *f);
bool postgres_pipe_is_full(const struct postgres_db *db);
/* As postgres_await, for all that was added. Only with something to read. */
PGresult *postgres_pipe_end(struct postgres_db *db);

/* ---- db_postgres_plan.c: statements that come again ---- */

#define POSTGRES_NAME_SIZE 16
/*
 * The name under which the server knows the statement for arguments of these types, preparing it if
 * need be – in pipeline mode unseen, so that a failure there is to be followed by
 * postgres_plans_forget; "": send it as it is. -1: the statement is wrong, or as postgres_await.
 */
MUST_CHECK int postgres_plan(struct postgres_db *db, const char *sql, const struct postgres_args *a,
	char ret_name[static POSTGRES_NAME_SIZE], struct fault *f);
/* Before a transaction or a statement outside of one: lets the server forget old names. */
MUST_CHECK int postgres_plans_tidy(struct postgres_db *db, struct fault *f);
/* Whether a named statement failed only because of its name: without one it may do. */
bool postgres_plan_is_void(struct postgres_db *db, const PGresult *result);
void postgres_plans_forget(struct postgres_db *db);

/* ---- db_postgres_fault.c ---- */

/* Raises what an answer says (NULL: the connection was lost) and marks db accordingly. -1. */
int postgres_raise(struct postgres_db *db, const PGresult *result, struct fault *f);
/* A failed try to connect; words are libpq's, which never hold the password. -1. */
int postgres_raise_away(const char *words, struct fault *f);

/* ---- db_postgres_value.c: the wire's binary forms ---- */

#define POSTGRES_ARGS_MAX 512
struct postgres_args {
	int n;
	Oid types[POSTGRES_ARGS_MAX];
	const char *values[POSTGRES_ARGS_MAX]; /* borrowed, or into numbers */
	int lengths[POSTGRES_ARGS_MAX], formats[POSTGRES_ARGS_MAX];
	uint64_t numbers[POSTGRES_ARGS_MAX];
};
/* The highest $N outside of texts, names and comments. */
size_t postgres_count_args(const char *sql);
void postgres_bind(struct postgres_args *a, const struct db_value *args, size_t n_args);
/* -1 FAULT_BUG: a type that no repository uses. Borrowed from result. */
MUST_CHECK int postgres_column(const struct pq *pq, const PGresult *result, int row, int col,
	struct db_value *ret, struct fault *f);

#endif
