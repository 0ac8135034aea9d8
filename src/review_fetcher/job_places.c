/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts and locations are listed by a job of their own, mode "places": a hundred locations a
 * call, so of ten thousand it costs a third of a quick pass, and none has to pay for it. What it
 * finds new is read whole; what is known is left to the passes.
 */
#include "review_fetcher/engine.h"

#include "store/store.h"

static int see_any(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)cols;
	(void)n_cols;
	(void)f;
	*(bool *)arg = true;
	return 1;
}

int job_add_listing(struct db *db, const char *branch_id, const char *mode, const char *origin,
	int64_t now_ms, bool *ret_added, struct fault *f)
{
	static const char job_sql[] =
		"INSERT INTO jobs (id, branch_id, mode, origin, status, created_at_ms, patient)"
		" VALUES ($1, $2, $3, $4, 'queued', $5, 1) ON CONFLICT DO NOTHING";
	static const char walk_sql[] =
		"INSERT INTO job_walks (job_id, kind, pass_started_ms, state)"
		" VALUES ($1, 'accounts', $2, 'open')";
	int64_t made = 0;
	char id[37];

	rand_uuid4(id);
	if (db_exec(db, job_sql, &made, f, db_text(id), db_text(branch_id), db_text(mode),
		    db_text(origin), db_int(now_ms)) < 0)
		return -1;
	*ret_added = made > 0;
	if (made == 0)
		return 0;
	if (db_exec(db, walk_sql, NULL, f, db_text(id), db_int(now_ms + 1)) < 0)
		return -1;
	return job_tell(db, id, f);
}

int job_renew_places(
	struct db *db, const char *branch_id, int64_t since_ms, int64_t now_ms, struct fault *f)
{
	/* One that could not read an account is not repeated with each pass. */
	static const char sql[] =
		"SELECT 1 FROM jobs WHERE branch_id = $1 AND created_at_ms > $2 AND"
		" (mode = $3 OR (mode = 'full' AND scope = 'all'))"
		" AND status IN ('queued', 'running', 'waiting', 'partial') LIMIT 1";
	bool tried = false, added;

	if (db_read(db, sql, see_any, &tried, f, db_text(branch_id), db_int(since_ms),
		    db_text(MODE_PLACES)) < 0)
		return -1;
	return tried ? 0
		     : job_add_listing(db, branch_id, MODE_PLACES, "request", now_ms, &added, f);
}
