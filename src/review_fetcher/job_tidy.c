/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What old jobs leave. A pass over ten thousand locations has ten thousand walks; a day after it
 * ended only those that failed still say something, so the others go, a few jobs at a beat. Jobs
 * themselves go after 30 days.
 */
#include "review_fetcher/engine.h"

#include <stdio.h>

#include "store/store.h"

#define JOBS_KEPT_MS (30LL * 24 * 60 * 60 * 1000)
#define WALKS_KEPT_MS (24LL * 60 * 60 * 1000)
#define JOBS_A_BEAT 4

struct old_jobs {
	char ids[JOBS_A_BEAT][37];
	size_t n;
};

static int take_id(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct old_jobs *o = arg;

	(void)n_cols;
	(void)f;
	snprintf(o->ids[o->n++], sizeof(o->ids[0]), "%s", db_get_text(&cols[0]));
	return o->n == JOBS_A_BEAT;
}

static int drop_walks(struct db *db, const char *id, struct fault *f)
{
	static const char note_sql[] =
		"UPDATE jobs SET walks_dropped = 1, locations_done = (SELECT count(*) FROM "
		"job_walks"
		" WHERE job_id = $1 AND kind = 'reviews' AND state = 'done') WHERE id = $1";

	if (db_exec(db, note_sql, NULL, f, db_text(id)) < 0)
		return -1;
	return db_exec(db, "DELETE FROM job_walks WHERE job_id = $1 AND state <> 'failed'", NULL, f,
		db_text(id));
}

int jobs_tidy(struct db *db, int64_t now_ms, struct fault *f)
{
	static const char old_sql[] = "SELECT id FROM jobs WHERE walks_dropped = 0"
				      " AND finished_at_ms < $1 ORDER BY finished_at_ms LIMIT $2";
	struct old_jobs o = {0};

	if (db_read(db, old_sql, take_id, &o, f, db_int(now_ms - WALKS_KEPT_MS),
		    db_int(JOBS_A_BEAT)) < 0)
		return -1;
	for (size_t i = 0; i < o.n; i++) {
		if (drop_walks(db, o.ids[i], f) < 0)
			return -1;
	}
	return db_exec(db,
		"DELETE FROM jobs WHERE created_at_ms < $1 AND finished_at_ms IS NOT NULL", NULL, f,
		db_int(now_ms - JOBS_KEPT_MS));
}
