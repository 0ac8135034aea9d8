/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL. A write transaction is SERIALIZABLE: repositories are written for SQLite's single
 * writer, and this level alone promises the same – what commits could have run one after the other.
 * Who loses runs again as a whole (store.c). Reads outside a transaction are each one statement.
 *
 * A pooler in transaction mode gives a session to others between two transactions. So limits are
 * set for each transaction anew, and statements have names only where there is none
 * (db_postgres_plan.c).
 */
#include "store/db_postgres.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define COLUMNS_MAX 64

/*
 * jit: the price that is put on a scan makes the smallest statement look worth compiling.
 */
#define LIMITS                                                  \
	"SET LOCAL statement_timeout = 60000;"                  \
	"SET LOCAL lock_timeout = 20000;"                       \
	"SET LOCAL idle_in_transaction_session_timeout = 5000;" \
	"SET LOCAL jit = off;" POSTGRES_BY_INDEX
#define SERIALIZABLE "BEGIN ISOLATION LEVEL SERIALIZABLE"
#define SNAPSHOT "BEGIN ISOLATION LEVEL REPEATABLE READ"

static struct postgres_db *postgres_of(struct db *db)
{
	return CONTAINER_OF(db, struct postgres_db, base);
}

/* ---- the site ---- */

static void detach(struct db_site *site)
{
	if (site == NULL)
		return;
	site->pq->PQconninfoFree(site->options);
	pthread_rwlock_destroy(&site->gate);
	pthread_mutex_destroy(&site->lock);
	mem_free(site);
}

/*
 * A password with an "@" or "/" that is not written as %40 or %2F ends up in the name of the host,
 * the port or the database, and from there in libpq's words. So what looks like that is refused
 * unseen.
 */
static bool looks_split(const PQconninfoOption *options)
{
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
		if (o->val == NULL)
			continue;
		if (strcmp(o->keyword, "port") == 0 &&
			o->val[strspn(o->val, "0123456789,")] != '\0')
			return true;
		if ((strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "dbname") == 0) &&
			strchr(o->val, '@') != NULL)
			return true;
	}
	return false;
}

MUST_CHECK static int parse_url(
	const struct pq *pq, const char *address, PQconninfoOption **ret, struct fault *f)
{
	size_t size = strlen("postgresql:") + strlen(address) + 1;
	char *url = mem_alloc(size), *words = NULL;

	snprintf(url, size, "postgresql:%s", address);
	*ret = text_starts(address, "//") ? pq->PQconninfoParse(url, &words) : NULL;
	mem_wipe_free(url);
	pq->PQfreemem(words); /* they may show a part of the password */
	if (*ret != NULL && looks_split(*ret)) {
		pq->PQconninfoFree(*ret);
		*ret = NULL;
	}
	if (*ret == NULL)
		return fault_raise(f, FAULT_INPUT,
			"the database URL cannot be read: it must be "
			"postgresql://USER:PASSWORD@HOST:PORT/NAME, with %%40 for @, %%2F for / "
			"and %%25 for %% inside a part");
	return 0;
}

static void init_gate(struct db_site *site)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&site->gate, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&site->lock, NULL);
}

static int attach(const char *address, bool exclusive, struct db_site **ret, struct fault *f)
{
	PQconninfoOption *options;
	const struct pq *pq;
	struct db_site *site;

	(void)exclusive; /* any number of processes serves one database */
	if (postgres_library(&pq, f) < 0 || parse_url(pq, address, &options, f) < 0)
		return -1;
	site = mem_alloc(sizeof(*site));
	site->pq = pq;
	site->options = options;
	init_gate(site);
	*ret = site;
	return 0;
}

/* ---- connections ---- */

static void close_db(struct db *base)
{
	struct postgres_db *db = postgres_of(base);

	postgres_plans_forget(db);
	db->pq->PQfinish(db->conn);
	mem_free(db);
}

static int open_db(struct db_site *site, struct db **ret, struct fault *f)
{
	struct postgres_db *db;
	PGconn *conn;

	if (postgres_connect(site, &conn, f) < 0)
		return -1;
	db = mem_alloc(sizeof(*db));
	db->base.ops = &db_postgres_ops;
	db->site = site;
	db->pq = site->pq;
	db->conn = conn;
	*ret = &db->base;
	return 0;
}

static bool is_usable(struct db *base)
{
	return !postgres_is_dead(postgres_of(base));
}

/* ---- statements ---- */

/* Takes the result. 0, or -1 when it is an error. */
MUST_CHECK static int judge(struct postgres_db *db, PGresult *result, struct fault *f)
{
	ExecStatusType status = result != NULL ? db->pq->PQresultStatus(result) : PGRES_FATAL_ERROR;
	int verdict = 0;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		verdict = postgres_raise(db, result, f);
	db->pq->PQclear(result);
	return verdict;
}

static const char *begin_words(const struct postgres_db *db)
{
	return db->base.is_snapshot ? SNAPSHOT ";" LIMITS : SERIALIZABLE ";" LIMITS;
}

/* Statements of our own without arguments: one round trip, however many. */
MUST_CHECK static int exec(
	struct postgres_db *db, const char *sql, int64_t timeout_ms, struct fault *f)
{
	if (!db->pq->PQsendQuery(db->conn, sql))
		return postgres_raise(db, NULL, f);
	return judge(db, postgres_await(db, timeout_ms), f);
}

static int64_t count_changed(const struct pq *pq, PGresult *result)
{
	const char *what = pq->PQcmdStatus(result);
	int64_t changed = 0;

	if (text_starts(what, "SELECT") || text_parse_int(pq->PQcmdTuples(result), &changed) != 0)
		return 0;
	return changed;
}

/* What db_row_fn answered last. */
MUST_CHECK static int hand_out(
	const struct pq *pq, const PGresult *result, db_row_fn *each, void *arg, struct fault *f)
{
	struct db_value cols[COLUMNS_MAX];
	int n_cols = pq->PQnfields(result), n_rows = pq->PQntuples(result), verdict = 0;

	if (n_cols > COLUMNS_MAX)
		return fault_raise(f, FAULT_BUG, "a row of %d columns", n_cols);
	for (int row = 0; row < n_rows && verdict == 0; row++) {
		for (int col = 0; col < n_cols; col++)
			if (postgres_column(pq, result, row, col, &cols[col], f) < 0)
				return -1;
		verdict = each(arg, cols, (size_t)n_cols, f);
	}
	return verdict < 0 ? -1 : 0;
}

/* What waits to be sent, or for its answer, before anything else is asked. */
MUST_CHECK static int settle(struct postgres_db *db, struct fault *f)
{
	if (db->n_piped > 0)
		return judge(db, postgres_pipe_end(db), f);
	if (db->begin == NULL)
		return 0;
	db->begin = NULL;
	return exec(db, begin_words(db), POSTGRES_PROMPT_MS, f);
}

/* Of the caller (mem_free). */
MUST_CHECK static int bind(const char *sql, const struct db_value *args, size_t n_args,
	struct postgres_args **ret, struct fault *f)
{
	size_t wanted = postgres_count_args(sql);

	if (wanted != n_args || n_args > POSTGRES_ARGS_MAX)
		return fault_raise(f, FAULT_BUG, "%zu arguments for a statement with %zu: %.80s",
			n_args, wanted, sql);
	*ret = mem_alloc(sizeof(**ret));
	postgres_bind(*ret, args, n_args);
	return 0;
}

MUST_CHECK static int ask_once(struct postgres_db *db, const char *sql,
	const struct postgres_args *a, bool may_name, PGresult **ret, struct fault *f)
{
	if (db->begin != NULL || db->n_piped > 0) {
		if (postgres_pipe_add(db, sql, a, f) < 0)
			return -1;
		*ret = postgres_pipe_end(db);
		return 0;
	}
	if (postgres_send(db, sql, a, may_name, f) < 0)
		return -1;
	*ret = postgres_await(db, POSTGRES_STATEMENT_MS + POSTGRES_GRACE_MS);
	return 0;
}

/* Outside of a transaction a statement whose name was void runs again without; inside, all of it
 * does. */
MUST_CHECK static int ask(struct postgres_db *db, const char *sql, const struct postgres_args *a,
	PGresult **ret, struct fault *f)
{
	if (ask_once(db, sql, a, true, ret, f) < 0)
		return -1;
	if (!postgres_plan_is_void(db, *ret))
		return 0;
	if (db->base.in_transaction || db->pq->PQtransactionStatus(db->conn) != PQTRANS_IDLE) {
		postgres_raise(db, *ret, f);
		db->pq->PQclear(*ret);
		db->base.has_lost = true;
		return -1;
	}
	db->pq->PQclear(*ret);
	return ask_once(db, sql, a, false, ret, f);
}

/* The server may have ended it by itself; what follows must not run outside. */
static bool has_ended(struct postgres_db *db)
{
	return db->base.in_transaction && db->begin == NULL && db->n_piped == 0 &&
	       db->pq->PQtransactionStatus(db->conn) != PQTRANS_INTRANS;
}

static int run(struct db *base, const char *sql, const struct db_value *args, size_t n_args,
	db_row_fn *each, void *arg, int64_t *ret_changed, struct fault *f)
{
	struct postgres_db *db = postgres_of(base);
	struct postgres_args *a;
	PGresult *result;
	int verdict;

	if (has_ended(db))
		return postgres_raise(db, NULL, f);
	if (!base->in_transaction && postgres_plans_tidy(db, f) < 0)
		return -1;
	if (bind(sql, args, n_args, &a, f) < 0)
		return -1;
	verdict = ask(db, sql, a, &result, f);
	mem_free(a);
	if (verdict < 0)
		return -1;
	if (result == NULL || (db->pq->PQresultStatus(result) != PGRES_TUPLES_OK &&
				      db->pq->PQresultStatus(result) != PGRES_COMMAND_OK))
		return judge(db, result, f);
	if (ret_changed != NULL)
		*ret_changed = count_changed(db->pq, result);
	if (each != NULL)
		verdict = hand_out(db->pq, result, each, arg, f);
	db->pq->PQclear(result);
	return verdict;
}

static int push(struct db *base, const char *sql, const struct db_value *args, size_t n_args,
	struct fault *f)
{
	struct postgres_db *db = postgres_of(base);
	struct postgres_args *a;
	int verdict;

	/* Who answers must be asked before, outside of the pipeline. */
	if (!base->in_transaction || db->plans.link == POSTGRES_UNKNOWN)
		return run(base, sql, args, n_args, NULL, NULL, NULL, f);
	if (has_ended(db))
		return postgres_raise(db, NULL, f);
	if (bind(sql, args, n_args, &a, f) < 0)
		return -1;
	verdict = postgres_pipe_add(db, sql, a, f);
	mem_free(a);
	if (verdict == 0 && postgres_pipe_is_full(db))
		verdict = settle(db, f);
	return verdict;
}

/* ---- transactions ---- */

static void give_gate(struct postgres_db *db)
{
	if (!db->has_gate)
		return;
	db->has_gate = false;
	pthread_rwlock_unlock(&db->site->gate);
}

static int begin(struct db *base, struct fault *f)
{
	struct postgres_db *db = postgres_of(base);

	if (base->lost_before)
		pthread_rwlock_wrlock(&db->site->gate);
	else
		pthread_rwlock_rdlock(&db->site->gate);
	db->has_gate = true;
	db->begin = NULL;
	if (postgres_plans_tidy(db, f) < 0) {
		give_gate(db);
		return -1;
	}
	/* Where the session is ours its limits stand, and the first statement takes BEGIN along. */
	if (db->plans.link == POSTGRES_DIRECT) {
		db->begin = base->is_snapshot ? SNAPSHOT : SERIALIZABLE;
	} else if (exec(db, begin_words(db), POSTGRES_PROMPT_MS, f) < 0) {
		give_gate(db);
		return -1;
	}
	return 0;
}

/*
 * With what was pushed before. Who listens is rung after it, not by it: PostgreSQL lets
 * transactions that notify commit one at a time, each waiting for the disk alone. A ring that is
 * lost with the process costs the others a while, since they ask by themselves too.
 */
MUST_CHECK static PGresult *send_commit(struct postgres_db *db, struct fault *f)
{
	if (postgres_pipe_add(db, "COMMIT", NULL, f) < 0 ||
		(db->base.rings && postgres_pipe_add(db, "NOTIFY " POSTGRES_CHANNEL, NULL, f) < 0))
		return NULL;
	return postgres_pipe_end(db);
}

static int commit(struct db *base, struct fault *f)
{
	struct postgres_db *db = postgres_of(base);
	bool is_void = false;
	PGresult *result;

	if (db->begin != NULL) { /* nothing was done */
		db->begin = NULL;
		give_gate(db);
		return 0;
	}
	db->is_committing = true;
	db->has_committed = false;
	result = send_commit(db, f);
	if (!db->has_committed) {
		is_void = postgres_plan_is_void(db, result);
		/* A transaction that had failed is answered with success and "ROLLBACK". */
		if (result != NULL && db->pq->PQresultStatus(result) == PGRES_COMMAND_OK)
			fault_raise(f, FAULT_BUG, "a failed transaction was to be committed");
		else
			postgres_raise(db, result, f);
		base->has_lost = base->has_lost || is_void;
	}
	db->pq->PQclear(result);
	db->is_committing = false;
	give_gate(db);
	return db->has_committed ? 0 : -1;
}

static void rollback(struct db *base)
{
	struct postgres_db *db = postgres_of(base);
	struct fault ignored = {0};
	bool has_lost = base->has_lost;

	db->begin = NULL;
	if (db->n_piped > 0)
		db->pq->PQclear(postgres_pipe_end(db));
	if (!base->is_broken && db->pq->PQtransactionStatus(db->conn) != PQTRANS_IDLE &&
		exec(db, "ROLLBACK", POSTGRES_PROMPT_MS, &ignored) < 0)
		base->is_broken = true;
	base->has_lost = has_lost;
	give_gate(db);
}

static int script(struct db *base, const char *sql, struct fault *f)
{
	struct postgres_db *db = postgres_of(base);

	if (settle(db, f) < 0 ||
		exec(db,
			"SET LOCAL statement_timeout = 0; SET LOCAL "
			"idle_in_transaction_session_timeout "
			"= 0",
			POSTGRES_STATEMENT_MS, f) < 0 ||
		exec(db, sql, POSTGRES_SCRIPT_MS, f) < 0)
		return -1;
	if (db->pq->PQtransactionStatus(db->conn) != PQTRANS_INTRANS)
		return fault_raise(f, FAULT_BUG, "a script ended the transaction around it");
	return 0;
}

/* LOCK sees no row, so that what follows sees all that was committed while it waited. */
static int lock_migrations(struct db *base, struct fault *f)
{
	struct postgres_db *db = postgres_of(base);

	if (settle(db, f) < 0)
		return -1;
	return exec(db,
		"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 600000;"
		"LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE",
		POSTGRES_SCRIPT_MS, f);
}

static int ping(struct db *base, struct fault *f)
{
	struct postgres_db *db = postgres_of(base);

	return settle(db, f) < 0 ? -1 : exec(db, "SELECT 1", POSTGRES_PROMPT_MS, f);
}

static int see_any(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)cols, (void)n_cols, (void)f;
	*(bool *)arg = true;
	return 0;
}

/*
 * Numbers drawn from a sequence become visible in the order of the commits, not of the numbers; a
 * reader that remembers the last one it saw would miss who commits late. So writers leave their
 * changes aside, and readers give them their numbers: one reader at a time, and only to what is
 * committed. READ COMMITTED, so that what the one before moved is seen to be gone.
 */
static int order_changes(struct db *base, int64_t keep, struct fault *f)
{
	static const char begin_moving[] = "BEGIN ISOLATION LEVEL READ COMMITTED;"
					   "SET LOCAL statement_timeout = 10000;"
					   "SET LOCAL idle_in_transaction_session_timeout = 3000;"
					   "SELECT id FROM changes_turn FOR UPDATE";
	static const char move[] =
		"WITH moved AS (DELETE FROM changes_pending RETURNING id, kind, ref, at_ms) "
		"INSERT INTO changes (kind, ref, at_ms) SELECT kind, ref, at_ms FROM moved ORDER "
		"BY "
		"id";
	static const char prune[] =
		"DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes) - $1";
	struct postgres_db *db = postgres_of(base);
	struct db_value kept = db_int(keep);
	bool has_any = false;
	int64_t moved = 0;
	int result = -1;

	if (run(base, "SELECT 1 FROM changes_pending LIMIT 1", NULL, 0, see_any, &has_any, NULL,
		    f) < 0)
		return -1;
	if (!has_any)
		return 0;
	if (exec(db, begin_moving, POSTGRES_STATEMENT_MS, f) == 0 &&
		run(base, move, NULL, 0, NULL, NULL, &moved, f) == 0 &&
		(moved == 0 || run(base, prune, &kept, 1, NULL, NULL, NULL, f) == 0))
		result = commit(base, f);
	if (result < 0)
		rollback(base);
	return result;
}

const struct db_ops db_postgres_ops = {
	.engine = DB_POSTGRES,
	.name = "postgresql",
	.find_table = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = "
		      "ANY (current_schemas(false)) AND tablename = $1",
	.attach = attach,
	.detach = detach,
	.open = open_db,
	.close = close_db,
	.is_usable = is_usable,
	.begin = begin,
	.commit = commit,
	.rollback = rollback,
	.run = run,
	.push = push,
	.script = script,
	.lock_migrations = lock_migrations,
	.ping = ping,
	.order_changes = order_changes,
	.note_change = "INSERT INTO changes_pending (kind, ref, at_ms) VALUES ($1, $2, $3)",
	.listen = postgres_listen,
};
