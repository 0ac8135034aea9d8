/* SPDX-License-Identifier: Apache-2.0 */
/* job.<status>: written with the status, from the row as it is then. */
#include "review_fetcher/engine.h"

#include "base/text.h"
#include "events/events.h"
#include "store/store.h"

struct telling {
	const char *id;
	struct buf kind, key, data, branch;
	bool found;
};

static void telling_done(struct telling *t)
{
	buf_drop(&t->kind);
	buf_drop(&t->key);
	buf_drop(&t->data);
	buf_drop(&t->branch);
}

static void add_count(struct json_out *o, const char *key, const struct db_value *col)
{
	json_add_int(o, key, db_get_int(col));
}

static void write_data(struct telling *t, const struct db_value *c)
{
	struct json_out o = JSON_OUT(&t->data);

	json_open(&o, '{');
	json_add_text(&o, "job_id", t->id);
	json_add_text(&o, "status", db_get_text(&c[0]));
	json_add_text(&o, "mode", db_get_text(&c[1]));
	json_add_text(&o, "error", db_get_text(&c[3]));
	json_add_time(&o, "waiting_until", db_get_int(&c[4]));
	add_count(&o, "accounts", &c[6]);
	add_count(&o, "locations", &c[7]);
	add_count(&o, "reviews", &c[8]);
	json_close(&o, '}');
}

static int read_telling(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct telling *t = arg;

	(void)n_cols, (void)f;
	t->found = true;
	buf_addf(&t->kind, "job.%s", db_get_text(&c[0]));
	/* A job that is taken up again, or waits again in the same hands, says it once. */
	buf_addf(&t->key, "%s %lld", t->id, (long long)db_get_int(&c[5]));
	buf_add_text(&t->branch, db_get_text(&c[2]) ? db_get_text(&c[2]) : "");
	write_data(t, c);
	return 0;
}

int job_tell(struct db *db, const char *id, struct fault *f)
{
	AUTO(telling_done)
	struct telling t = {.id = id,
		.kind = BUF_INIT(64),
		.key = BUF_INIT(128),
		.data = BUF_INIT(8192),
		.branch = BUF_INIT(LIMIT_BRANCH_ID_BYTES)};

	if (db_read(db,
		    "SELECT status, mode, branch_id, error, waiting_until_ms, fence, accounts,"
		    " locations, reviews FROM jobs WHERE id = $1",
		    read_telling, &t, f, db_text(id)) < 0)
		return -1;
	if (!t.found)
		return 0;
	const struct event e = {.kind = buf_text(&t.kind),
		.key = buf_text(&t.key),
		.branch_id = t.branch.len > 0 ? buf_text(&t.branch) : NULL,
		.ref = id,
		.data = buf_text(&t.data)};
	return events_add(db, &e, f) < 0 ? -1 : 0;
}
