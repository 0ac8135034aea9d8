/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LISTEN holds a session, which a pooler gives to others between two transactions: what was rung
 * would then reach whoever has it. A pooler is known by the number of the session, which it makes
 * up; behind one nothing is listened to.
 */
#include "store/db_postgres.h"

#include <errno.h>
#include <poll.h>

#define LISTEN "LISTEN " POSTGRES_CHANNEL

static int see_pid(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols, (void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

MUST_CHECK static int begin(struct postgres_db *db, struct fault *f)
{
	struct db *base = &db->base;
	int64_t pid = 0;

	if (db_run(base, "SELECT pg_backend_pid()", NULL, 0, see_pid, &pid, NULL, f) < 0)
		return -1;
	if (pid != db->pq->PQbackendPID(db->conn))
		return DB_LISTEN_CANNOT;
	return db_run(base, LISTEN, NULL, 0, NULL, NULL, NULL, f) < 0 ? -1 : DB_LISTEN_ENDED;
}

/* Takes what has come; whether it was a note. */
static bool take_notes(struct postgres_db *db)
{
	PGnotify *note;
	bool any = false;

	while ((note = db->pq->PQnotifies(db->conn)) != NULL) {
		db->pq->PQfreemem(note);
		any = true;
	}
	return any;
}

MUST_CHECK static int hear(struct postgres_db *db, struct db_listening *l, struct fault *f)
{
	struct pollfd fds[] = {
		{.fd = db->pq->PQsocket(db->conn), .events = POLLIN},
		{.fd = l->end_fd, .events = POLLIN},
	};

	for (;;) {
		if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
			return fault_raise(f, FAULT_STORE, "waiting for notes failed");
		if (fds[1].revents != 0)
			return DB_LISTEN_ENDED;
		if (fds[0].revents == 0)
			continue;
		if (!db->pq->PQconsumeInput(db->conn) ||
			db->pq->PQstatus(db->conn) != CONNECTION_OK)
			return fault_raise(f, FAULT_STORE, "the connection that listens was lost");
		if (take_notes(db))
			l->heard(l->arg);
	}
}

int postgres_listen(struct db_listening *l, struct fault *f)
{
	struct db *base;
	int outcome;

	if (db_postgres_ops.open(l->site, &base, f) < 0)
		return -1;
	outcome = begin(CONTAINER_OF(base, struct postgres_db, base), f);
	if (outcome == DB_LISTEN_ENDED) {
		l->has_listened = true;
		l->heard(l->arg); /* of what was noted before it could listen */
		outcome = hear(CONTAINER_OF(base, struct postgres_db, base), l, f);
	}
	base->ops->close(base);
	return outcome;
}
