/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs as callers see them: started, joined, cancelled. */
#include "review_fetcher/engine.h"
#include "review_fetcher/walks.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store.h"
#include "token_management/token_management.h"
#include "token_management/token_management_audit.h"

/* How long the listed places are believed where no full pass comes by itself. */
#define PLACES_KEPT_MS (24LL * 60 * 60 * 1000)

struct starting {
	struct review_fetcher *rf;
	const struct job_input *in;
	char id[37];
	bool joined;
};

static int read_id(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct starting *s = arg;

	(void)n_cols;
	(void)f;
	s->joined = !text_equal(s->id, db_get_text(&cols[0]));
	snprintf(s->id, sizeof(s->id), "%s", db_get_text(&cols[0]));
	return 0;
}

static bool is_quick(const struct job_input *in)
{
	return text_equal(in->mode, "quick");
}

static bool is_patient(const struct job_input *in)
{
	return in->is_patient || is_quick(in);
}

/* A quick job begins with the places that are known; when their listing is old, another job renews
 * it. */
static int open_walks(struct db *db, const struct starting *s, int64_t now_ms, struct fault *f)
{
	static const char walk_sql[] =
		"INSERT INTO job_walks (job_id, kind, pass_started_ms, state)"
		" VALUES ($1, 'accounts', $2, 'open') ON CONFLICT DO NOTHING";
	const struct walk_opening o = {.job_id = s->id,
		.branch_id = s->in->branch_id,
		.now_ms = now_ms,
		.is_quick = is_quick(s->in),
		.is_patient = is_patient(s->in)};
	int64_t interval_ms = s->rf->parts.settings->review_full_sync_interval_ms;
	int64_t since_ms = now_ms - (interval_ms ? interval_ms : PLACES_KEPT_MS);
	struct places_known known = {0};

	if (o.is_quick && o.branch_id && walks_open_known(db, &o, &known, f) < 0)
		return -1;
	if (known.accounts && known.listed_at_ms <= since_ms &&
		job_renew_places(db, o.branch_id, since_ms, now_ms, f) < 0)
		return -1;
	if (known.accounts)
		return db_exec(db, "UPDATE jobs SET accounts = $2, locations = $3 WHERE id = $1",
			NULL, f, db_text(s->id), db_int(known.accounts), db_int(known.locations));
	return db_exec(db, walk_sql, NULL, f, db_text(s->id), db_int(now_ms + 1));
}

static void write_detail(const char *id, const char *mode, struct buf *ret)
{
	struct json_out o = JSON_OUT(ret);

	json_open(&o, '{');
	json_add_text(&o, "job", id);
	if (mode != NULL)
		json_add_text(&o, "mode", mode);
	json_close(&o, '}');
}

static int audit_start(struct db *db, const struct starting *s, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(256);
	const struct actor who = {.name = s->in->actor, .remote = s->in->remote};

	write_detail(s->id, s->in->mode, &detail);
	return audit_write(db, &who, "job.started", s->in->branch_id, buf_text(&detail), f);
}

static int start_body(struct db *db, void *arg, struct fault *f)
{
	static const char job_sql[] =
		"INSERT INTO jobs (id, branch_id, mode, status, lease_owner, lease_until_ms,"
		" created_at_ms, patient) VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7)"
		" ON CONFLICT DO NOTHING";
	static const char live_sql[] =
		"SELECT id FROM jobs WHERE branch_id = $1 AND mode = $2 AND scope = 'all'"
		" AND cancel_requested = 0"
		" AND status IN ('queued', 'running', 'waiting')";
	struct starting *s = arg;
	const struct job_input *in = s->in;
	int64_t now_us, now_ms;
	bool own = in->branch_id == NULL;

	s->joined = false;
	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	now_ms = now_us / 1000;
	if (db_exec(db, job_sql, NULL, f, db_text(s->id), db_text(in->branch_id), db_text(in->mode),
		    db_text(own ? s->rf->owner : NULL), db_int_or_null(now_ms + LEASE_MS, own),
		    db_int(now_ms), db_int(is_patient(in))) < 0)
		return -1;
	if (!own &&
		db_read(db, live_sql, read_id, s, f, db_text(in->branch_id), db_text(in->mode)) < 0)
		return -1;
	if (s->joined)
		return 0;
	if (open_walks(db, s, now_ms, f) < 0 || job_tell(db, s->id, f) < 0)
		return -1;
	return in->actor != NULL ? audit_start(db, s, f) : 0;
}

int job_check_branch(struct review_fetcher *rf, const char *branch_id, struct fault *f)
{
	static const char *const usable[] = {"connected", "expiring", "degraded"};
	struct client client = {0};
	bool good = false;

	if (clients_get_by_branch(rf->parts.token_management, branch_id, &client, f) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(usable); i++)
		good |= text_equal(client.status, usable[i]);
	if (good && client.is_active) {
		client_done(&client);
		return 0;
	}
	if (client.is_active && text_equal(client.status, "pending"))
		fault_raise(f, FAULT_CONFLICT,
			"branch '%.80s' has not been connected yet: open its connect link first",
			branch_id);
	else
		fault_raise(f, FAULT_CONFLICT,
			"branch '%.80s' cannot be read (%s): connect it again first", branch_id,
			client.is_active ? client.status : "inactive");
	client_done(&client);
	return -1;
}

static int keep_token(
	struct review_fetcher *rf, const char *id, struct job_input *moved, struct fault *f)
{
	struct secret *kept = mem_alloc(sizeof(*kept));
	bool full;

	*kept = secret_take(&moved->access_token);
	pthread_mutex_lock(&rf->lock);
	full = rf->tokens.count >= TOKEN_JOBS_MAX;
	if (!full)
		map_put(&rf->tokens, id, strlen(id), kept);
	pthread_mutex_unlock(&rf->lock);
	if (!full)
		return 0;
	secret_drop(kept);
	mem_free(kept);
	(void)fault_raise(
		f, FAULT_THROTTLED, "Service is at capacity. Please retry after a few seconds.");
	f->retry_after_ms = 5000;
	return -1;
}

void job_drop_token(struct review_fetcher *rf, const char *id)
{
	struct secret *kept;

	pthread_mutex_lock(&rf->lock);
	kept = map_remove(&rf->tokens, id, strlen(id));
	pthread_mutex_unlock(&rf->lock);
	if (kept)
		secret_drop(kept);
	mem_free(kept);
}

static int start(
	struct review_fetcher *rf, struct job_input *in, struct starting *s, struct fault *f)
{
	if (in->branch_id && job_check_branch(rf, in->branch_id, f) < 0)
		return -1;
	if (!in->branch_id && keep_token(rf, s->id, in, f) < 0)
		return -1;
	if (store_transact(rf->parts.store, start_body, s, f) < 0) {
		job_drop_token(rf, s->id);
		return -1;
	}
	return 0;
}

int jobs_start(
	struct review_fetcher *rf, struct job_input *moved, char ret_id[static 37], struct fault *f)
{
	struct starting s = {.rf = rf, .in = moved};
	int started;

	rand_uuid4(s.id);
	started = start(rf, moved, &s, f);
	secret_drop(&moved->access_token);
	if (started < 0)
		return -1;
	memcpy(ret_id, s.id, sizeof(s.id));
	if (s.joined)
		return 1;
	log_event(LOG_INFO, "job.queued", F_STR("job", s.id), F_STR("branch", moved->branch_id),
		F_STR("mode", moved->mode), F_STR("actor", moved->actor));
	jobs_look(rf);
	return 0;
}

static int missing(const char *id, struct fault *f)
{
	return fault_raise(f, FAULT_MISSING, "Job %.80s not found", id);
}

struct reading {
	bool found;
	char status[16];
	struct buf *branch;
};

static int read_job(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct reading *r = arg;

	(void)n_cols;
	(void)f;
	r->found = true;
	snprintf(r->status, sizeof(r->status), "%s", db_get_text(&cols[0]));
	if (r->branch && db_get_text(&cols[1]))
		buf_add_text(r->branch, db_get_text(&cols[1]));
	return 0;
}

struct asking {
	const char *id;
	const struct actor *who;
	struct reading r;
};

static int read_body(struct db *db, void *arg, struct fault *f)
{
	struct asking *a = arg;

	return db_read(db, "SELECT status, branch_id FROM jobs WHERE id = $1", read_job, &a->r, f,
		db_text(a->id));
}

int jobs_branch(struct review_fetcher *rf, const char *id, struct buf *ret, struct fault *f)
{
	struct asking a = {.id = id, .r = {.branch = ret}};

	if (store_use(rf->parts.store, read_body, &a, f) < 0)
		return -1;
	return a.r.found ? 0 : missing(id, f);
}

static int audit_cancel(struct db *db, struct asking *a, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(256), branch = BUF_INIT(LIMIT_BRANCH_ID_BYTES);

	a->r.branch = &branch;
	write_detail(a->id, NULL, &detail);
	if (read_body(db, a, f) < 0)
		return -1;
	a->r.branch = NULL;
	return audit_write(db, a->who, "job.cancelled", branch.len > 0 ? buf_text(&branch) : NULL,
		buf_text(&detail), f);
}

/* What nobody runs ends at once; what runs is asked to. */
static int cancel_body(struct db *db, void *arg, struct fault *f)
{
	static const char queued_sql[] =
		"UPDATE jobs SET cancel_requested = 1, status = 'cancelled', finished_at_ms = $2"
		" WHERE id = $1 AND status = 'queued'";
	static const char live_sql[] = "UPDATE jobs SET cancel_requested = 1"
				       " WHERE id = $1 AND status IN ('running', 'waiting')";
	struct asking *a = arg;
	int64_t queued = 0, live = 0;

	a->r = (struct reading){0};
	if (db_exec(db, queued_sql, &queued, f, db_text(a->id), db_int(clock_wall_ms())) < 0 ||
		db_exec(db, live_sql, &live, f, db_text(a->id)) < 0)
		return -1;
	if (queued && job_tell(db, a->id, f) < 0)
		return -1;
	if (queued || live)
		return audit_cancel(db, a, f);
	if (read_body(db, a, f) < 0)
		return -1;
	if (!a->r.found)
		return missing(a->id, f);
	return fault_raise(f, FAULT_CONFLICT, "the job has ended already: it is %s", a->r.status);
}

int jobs_cancel(struct review_fetcher *rf, const char *id, const struct actor *who, struct fault *f)
{
	struct asking a = {.id = id, .who = who};
	struct job *j;

	if (store_transact(rf->parts.store, cancel_body, &a, f) < 0)
		return -1;
	job_drop_token(rf, id);
	pthread_mutex_lock(&rf->lock);
	j = map_get(&rf->jobs, id, strlen(id));
	if (j)
		j->refs++;
	pthread_mutex_unlock(&rf->lock);
	if (!j)
		return 0;
	job_cancel(j);
	job_plan(j);
	job_unref(j);
	return 0;
}

static int read_count(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

static int count_body(struct db *db, void *arg, struct fault *f)
{
	return db_read(db,
		"SELECT count(*) FROM jobs WHERE status IN ('queued', 'running', 'waiting')",
		read_count, arg, f);
}

int jobs_count(struct review_fetcher *rf, int64_t *ret, struct fault *f)
{
	return store_use(rf->parts.store, count_body, ret, f);
}
