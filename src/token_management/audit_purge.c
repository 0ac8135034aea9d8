/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/internal.h"

#define PIECE 500
#define PIECES 20 /* at a time: others use the database too */
#define REST_MS (INT64_C(3600) * 1000)
#define NEXT_MS 1000 /* there is more */

struct purging {
	int64_t before_ms, n;
};

static int purge_body(struct db *db, void *arg, struct fault *f)
{
	static const char bound_sql[] =
		"INSERT INTO audit_bound (one, before_ms) VALUES (1, $1) ON CONFLICT (one)"
		" DO UPDATE SET before_ms = $1 WHERE audit_bound.before_ms < $1";
	static const char rows_sql[] = "DELETE FROM audit WHERE id IN (SELECT id FROM audit"
				       " WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)";
	struct purging *p = arg;

	if (db_exec(db, bound_sql, NULL, f, db_int(p->before_ms)) < 0)
		return -1;
	return db_exec(db, rows_sql, &p->n, f, db_int(p->before_ms), db_int(PIECE));
}

int audit_purge(struct token_management *tm, struct fault *f)
{
	const int64_t kept_ms = tm->settings->audit_retention_ms;
	struct purging p = {.before_ms = clock_wall_ms() - kept_ms, .n = PIECE};
	int64_t total = 0;

	if (kept_ms == 0 || clock_mono_ms() < tm->audit_purge_mono_ms)
		return 0;
	for (int i = 0; i < PIECES && p.n == PIECE; i++) {
		if (store_transact(tm->store, purge_body, &p, f) < 0)
			return -1;
		total += p.n;
	}
	tm->audit_purge_mono_ms = clock_mono_ms() + (p.n == PIECE ? NEXT_MS : REST_MS);
	if (total > 0)
		log_event(LOG_INFO, "audit.purged", F_INT("rows", total));
	return 0;
}
