/* SPDX-License-Identifier: Apache-2.0 */
/* What a job says of itself, from its rows: the same whichever process runs it. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/query.h"

#define ERRORS_SHOWN 100
#define RUNNING_SHOWN 20

#define JOB_COLUMNS                                                                                \
	"id, branch_id, mode, status, waiting_until_ms, error, accounts, locations, reviews,"      \
	" reviews_new, reviews_changed, reviews_unchanged, pages, google_calls, cancel_requested," \
	" created_at_ms, started_at_ms, finished_at_ms, reviews_edited, replies_added,"            \
	" replies_changed, replies_removed, reviews_deleted, reviews_restored, walks_dropped,"     \
	" locations_done"

struct progress {
	int64_t listings_open; /* accounts and locations: until they are done nobody knows the whole
				*/
	int64_t locations, locations_done, failed;
	double under_way; /* of the locations that are being read, in locations */
};

struct view { /* of a job */
	struct json_out *out;
	const char *id;
	bool found, ended;
	bool completed;
	bool is_tidied; /* its walks are gone, but for those that failed */
	bool is_short;  /* no errors */
	int64_t locations, locations_done;
	struct progress progress;
};

static bool is_ended(const char *status)
{
	return text_equal(status, "completed") || text_equal(status, "partial") ||
	       text_equal(status, "failed") || text_equal(status, "cancelled");
}

/* The original's sentence for a job that waits its turn; our own for the rest. */
static const char *message_of(const char *status, const char *mode)
{
	static const char *const words[][2] = {
		{"queued", "Job enqueued for processing"},
		{"running", "Reviews are being fetched"},
		{"waiting", "Waiting for Google's quota"},
		{"completed", "Every review that Google says exists has been fetched"},
		{"partial", "Fetched, but not everything: see errors"},
		{"failed", "The job could not be done: see error"},
		{"cancelled", "The job was cancelled"},
	};

	if (text_equal(status, "completed") && text_equal(mode, MODE_PLACES))
		return "Accounts and locations were listed, and what is new was read";
	if (text_equal(status, "completed") && text_equal(mode, "push"))
		return "The review that Google told of was read";
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (text_equal(status, words[i][0]))
			return words[i][1];
	}
	return "";
}

/* A wait that is over but not yet written down is none. */
static const char *status_of(const struct db_value *cols)
{
	const char *status = db_get_text(&cols[3]);

	if (text_equal(status, "waiting") && db_get_int(&cols[4]) <= clock_wall_ms())
		return "running";
	return status;
}

/* A review can have changed in two ways at once, so that these may add up to more than `changed`.
 */
static void put_changes(struct json_out *o, const struct db_value *cols)
{
	json_key(o, "changes");
	json_open(o, '{');
	json_add_int(o, "new", db_get_int(&cols[9]));
	json_add_int(o, "edited", db_get_int(&cols[18]));
	json_add_int(o, "reply_added", db_get_int(&cols[19]));
	json_add_int(o, "reply_changed", db_get_int(&cols[20]));
	json_add_int(o, "reply_removed", db_get_int(&cols[21]));
	json_add_int(o, "deleted", db_get_int(&cols[22]));
	json_add_int(o, "restored", db_get_int(&cols[23]));
	json_close(o, '}');
}

static void put_counts(struct json_out *o, const struct db_value *cols)
{
	json_add_int(o, "accounts", db_get_int(&cols[6]));
	json_add_int(o, "locations", db_get_int(&cols[7]));
	json_key(o, "reviews");
	json_open(o, '{');
	json_add_int(o, "total", db_get_int(&cols[8]));
	json_add_int(o, "new", db_get_int(&cols[9]));
	json_add_int(o, "changed", db_get_int(&cols[10]));
	json_add_int(o, "unchanged", db_get_int(&cols[11]));
	json_close(o, '}');
	put_changes(o, cols);
	json_add_int(o, "pages", db_get_int(&cols[12]));
	json_add_int(o, "google_calls", db_get_int(&cols[13]));
}

static void put_job(struct json_out *o, const struct db_value *cols)
{
	const char *status = status_of(cols);

	put_column(o, "job_id", &cols[0]);
	put_column(o, "id", &cols[0]);
	json_add_text(o, "status", status);
	json_add_text(o, "message", message_of(status, db_get_text(&cols[2])));
	json_add_time(o, "waiting_until", text_equal(status, "waiting") ? db_get_int(&cols[4]) : 0);
	put_column(o, "branch_id", &cols[1]);
	put_column(o, "mode", &cols[2]);
	put_column(o, "error", &cols[5]);
	put_counts(o, cols);
	json_add_bool(o, "cancel_requested", db_get_int(&cols[14]) != 0);
	json_add_time(o, "created_at", db_get_int(&cols[15]));
	json_add_time(o, "started_at", db_get_int(&cols[16]));
	json_add_time(o, "finished_at", db_get_int(&cols[17]));
}

static int write_job(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct view *v = arg;

	(void)n_cols;
	(void)f;
	v->found = true;
	v->ended = is_ended(db_get_text(&cols[3]));
	v->completed = text_equal(db_get_text(&cols[3]), "completed");
	v->locations = db_get_int(&cols[7]);
	v->is_tidied = db_get_int(&cols[24]) != 0;
	v->locations_done = db_get_int(&cols[25]);
	put_job(v->out, cols);
	return 0;
}

static int read_progress(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct progress *p = arg;

	(void)n_cols;
	(void)f;
	p->listings_open = db_get_int(&cols[0]);
	p->locations = db_get_int(&cols[1]);
	p->locations_done = db_get_int(&cols[2]);
	p->failed = db_get_int(&cols[3]);
	p->under_way = db_get_double(&cols[4]);
	return 0;
}

/*
 * The whole is known when the accounts and locations are; before, and for a job that failed before,
 * a number would be made up.
 */
static void put_percent(struct view *v)
{
	const struct progress *p = &v->progress;
	int64_t percent;

	if (v->completed) {
		json_add_int(v->out, "percent", 100);
	} else if (p->listings_open || !p->locations) {
		json_add_null(v->out, "percent");
	} else {
		percent = (int64_t)(100.0 * ((double)p->locations_done + p->under_way) /
				    (double)p->locations);
		json_add_int(v->out, "percent", percent > 99 ? 99 : percent);
	}
}

static int write_error(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct view *v = arg;
	const char *account = db_get_text(&cols[1]), *location = db_get_text(&cols[2]);

	(void)n_cols;
	(void)f;
	json_open(v->out, '{');
	put_column(v->out, "listing", &cols[0]);
	json_add_text(v->out, "account_id", account && *account ? account : NULL);
	json_add_text(v->out, "location_id", location && *location ? location : NULL);
	put_column(v->out, "location_title", &cols[3]);
	put_column(v->out, "error", &cols[4]);
	json_close(v->out, '}');
	return 0;
}

static int write_body(struct db *db, void *arg, struct fault *f)
{
	static const char progress_sql[] =
		"SELECT count(CASE WHEN kind <> 'reviews' AND state = 'open' THEN 1 END),"
		" count(CASE WHEN kind = 'reviews' THEN 1 END),"
		" count(CASE WHEN kind = 'reviews' AND state = 'done' THEN 1 END),"
		" count(CASE WHEN state = 'failed' THEN 1 END),"
		" COALESCE(sum(CASE WHEN kind = 'reviews' AND state = 'open' AND rows_expected > 0"
		" THEN CASE WHEN rows_seen >= rows_expected THEN 1.0"
		" ELSE rows_seen * 1.0 / rows_expected END END), 0.0)"
		" FROM job_walks WHERE job_id = $1";
	static const char errors_sql[] =
		"SELECT w.kind, w.account_id, w.location_id, l.title, w.error FROM job_walks w"
		" LEFT JOIN locations l ON l.location_id = w.location_id"
		" WHERE w.job_id = $1 AND w.state = 'failed' ORDER BY w.id LIMIT $2";
	struct view *v = arg;

	if (db_read(db, "SELECT " JOB_COLUMNS " FROM jobs WHERE id = $1", write_job, v, f,
		    db_text(v->id)) < 0)
		return -1;
	if (!v->found)
		return fault_raise(f, FAULT_MISSING, "Job %.80s not found", v->id);
	if (db_read(db, progress_sql, read_progress, &v->progress, f, db_text(v->id)) < 0)
		return -1;
	if (v->is_tidied) {
		v->progress.locations = v->locations;
		v->progress.locations_done = v->locations_done;
	}
	put_percent(v);
	json_add_int(v->out, "errors_total", v->progress.failed);
	if (v->is_short)
		return 0;
	json_key(v->out, "errors");
	json_open(v->out, '[');
	if (db_read(db, errors_sql, write_error, v, f, db_text(v->id), db_int(ERRORS_SHOWN)) < 0)
		return -1;
	json_close(v->out, ']');
	return 0;
}

int jobs_write(struct review_fetcher *rf, const char *id, struct json_out *ret, struct fault *f)
{
	struct view v = {.out = ret, .id = id};

	json_open(ret, '{');
	if (store_use(rf->parts.store, write_body, &v, f) < 0)
		return -1;
	json_close(ret, '}');
	return 0;
}

/* ---- those that run ---- */

struct running {
	const struct review_scope *scope;
	char ids[RUNNING_SHOWN][37];
	size_t n;
	job_progress_fn *each;
	void *arg;
};

static int take_running(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct running *r = arg;

	(void)n_cols;
	(void)f;
	snprintf(r->ids[r->n++], sizeof(r->ids[0]), "%s", db_get_text(&cols[0]));
	return r->n == RUNNING_SHOWN;
}

static int write_running(struct db *db, const struct running *r, const char *id, struct fault *f)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(64 * 1024);
	struct json_out out = JSON_OUT(&text);
	struct view v = {.out = &out, .id = id, .is_short = true};

	json_open(&out, '{');
	if (write_body(db, &v, f) < 0)
		return f->kind == FAULT_MISSING ? 0 : -1;
	json_close(&out, '}');
	r->each(r->arg, text.data, text.len);
	return 0;
}

static int running_body(struct db *db, void *arg, struct fault *f)
{
	struct running *r = arg;
	AUTO(query_done) struct query q;

	r->n = 0;
	query_init(&q, db, "SELECT id FROM jobs WHERE status IN ('running', 'waiting')");
	query_scope(&q, "branch_id", r->scope);
	query_where(&q, " ORDER BY created_at_ms DESC LIMIT $?", db_int(RUNNING_SHOWN));
	if (query_run(&q, db, take_running, r, f) < 0)
		return -1;
	for (size_t i = 0; i < r->n; i++)
		if (write_running(db, r, r->ids[i], f) < 0)
			return -1;
	return 0;
}

int jobs_progress(struct review_fetcher *rf, const struct review_scope *scope,
	job_progress_fn *each, void *arg, struct fault *f)
{
	struct running r = {.scope = scope, .each = each, .arg = arg};

	return store_use(rf->parts.store, running_body, &r, f) < 0 ? -1 : (int)r.n;
}

/* ---- what failed, one by one ---- */

struct failures {
	const char *id;
	int64_t after, limit;
	job_failure_fn *each;
	void *arg;
};

static int each_failure(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	const struct failures *all = arg;
	const char *error = db_get_text(&cols[4]);
	const struct job_failure one = {.id = db_get_int(&cols[0]),
		.listing = db_get_text(&cols[1]),
		.account_id = db_get_text(&cols[2]),
		.location_id = db_get_text(&cols[3]),
		.error = error ? error : ""};

	(void)n_cols;
	return all->each(all->arg, &one, f);
}

static int failures_body(struct db *db, void *arg, struct fault *f)
{
	struct failures *all = arg;

	return db_read(db,
		"SELECT id, kind, account_id, location_id, error FROM job_walks"
		" WHERE job_id = $1 AND state = 'failed' AND id > $2 ORDER BY id LIMIT $3",
		each_failure, all, f, db_text(all->id), db_int(all->after), db_int(all->limit));
}

int jobs_failures(struct review_fetcher *rf, const char *id, int64_t after, int64_t limit,
	job_failure_fn *each, void *arg, struct fault *f)
{
	struct failures all = {id, after, limit, each, arg};

	return store_use(rf->parts.store, failures_body, &all, f) < 0 ? -1 : 0;
}

/* ---- the list ---- */

struct listing {
	const struct review_scope *scope;
	const struct list_page *page;
	struct json_out *out;
	struct buf *cursor;
	int64_t room;
	int64_t last_created_ms;
	char last_id[40];
};

static int write_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct listing *l = arg;

	(void)n_cols;
	(void)f;
	if (l->room-- == 0) {
		cursor_write(l->cursor, 'j', l->last_id, l->last_created_ms);
		return 1;
	}
	json_open(l->out, '{');
	put_job(l->out, cols);
	json_close(l->out, '}');
	l->last_created_ms = db_get_int(&cols[15]);
	snprintf(l->last_id, sizeof(l->last_id), "%s", db_get_text(&cols[0]));
	return 0;
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	struct listing *l = arg;
	AUTO(query_done) struct query q;
	AUTO(buf_drop) struct buf hold = {0};
	const char *id = NULL;
	int64_t created_ms = 0;

	query_init(&q, db, "SELECT " JOB_COLUMNS " FROM jobs WHERE 1 = 1");
	query_scope(&q, "branch_id", l->scope);
	if (l->page->cursor) {
		if (cursor_read(l->page->cursor, 'j', &hold, &id, &created_ms, f) < 0)
			return -1;
		query_where(&q, " AND (created_at_ms, id) < ($?, ", db_int(created_ms));
		query_where(&q, "$?)", db_text(id));
	}
	query_where(
		&q, " ORDER BY created_at_ms DESC, id DESC LIMIT $?", db_int(l->page->limit + 1));
	return query_run(&q, db, write_row, l, f);
}

int jobs_list(struct review_fetcher *rf, const struct review_scope *scope,
	const struct list_page *page, struct json_out *ret, struct buf *ret_cursor, struct fault *f)
{
	struct listing l = {.scope = scope,
		.page = page,
		.out = ret,
		.cursor = ret_cursor,
		.room = page->limit};

	json_key(ret, "jobs");
	json_open(ret, '[');
	if (store_use(rf->parts.store, list_body, &l, f) < 0)
		return -1;
	json_close(ret, ']');
	return 0;
}
