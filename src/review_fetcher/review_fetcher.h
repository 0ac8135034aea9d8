/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reviews: jobs that walk a branch's accounts, locations and reviews page by page, and the rows
 * they leave. Every function is for workers (it reads the database) unless it says otherwise.
 */
#ifndef REVIEW_FETCHER_REVIEW_FETCHER_H
#define REVIEW_FETCHER_REVIEW_FETCHER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/secret.h"
#include "core/pool.h"
#include "core/scheduler.h"
#include "core/settings.h"

struct actor;
struct net;
struct store;
struct token_management;
struct review_fetcher;

struct review_fetcher_parts { /* borrowed */
	const struct settings *settings;
	struct store *store;
	struct net *net;
	struct pool *pool;
	struct scheduler *scheduler;
	struct token_management *token_management;
};
/* Takes up the jobs that an earlier process left behind. */
MUST_CHECK int review_fetcher_new(
	const struct review_fetcher_parts *parts, struct review_fetcher **ret, struct fault *f);
/* No new step starts from now on; running ones end. Before net_stop. */
void review_fetcher_stop(struct review_fetcher *rf);
/* After net_stop and when the pool has run dry. NULL is fine. */
void review_fetcher_free(struct review_fetcher *rf);

/* ---- jobs ---- */

struct job_input {
	const char *branch_id;      /* either this … */
	struct secret access_token; /* … or this (moved; memory only) */
	const char *mode;           /* "quick" or "full" */
	const char *actor;          /* for the audit; NULL: nobody asked for it */
	const char *remote;         /* the actor's address, or NULL */
	/* Leaves locations alone that could not be read before, until their time has come. A quick
	 * job always does. */
	bool is_patient;
};
/*
 * Queues a job; a job of the same branch and mode that has not ended is joined: its id, answer 1.
 * FAULT_MISSING: no such branch. FAULT_CONFLICT: the branch is not connected (text says what to
 * do).
 */
MUST_CHECK int jobs_start(struct review_fetcher *rf, struct job_input *moved,
	char ret_id[static 37], struct fault *f);
/* One job as a JSON object, counts, errors per location and all. FAULT_MISSING "Job {id} not
 * found". */
MUST_CHECK int jobs_write(
	struct review_fetcher *rf, const char *id, struct json_out *ret, struct fault *f);
/* The branch of a job, for a bound key's sake ("" for one with its own token). FAULT_MISSING. */
MUST_CHECK int jobs_branch(
	struct review_fetcher *rf, const char *id, struct buf *ret, struct fault *f);
/* Asks a job to end after its current page. FAULT_MISSING; FAULT_CONFLICT: it has ended. */
MUST_CHECK int jobs_cancel(
	struct review_fetcher *rf, const char *id, const struct actor *who, struct fault *f);
/* A listing of a job that could not be read to its end. */
struct job_failure { /* borrowed for the call */
	int64_t id;
	const char *listing, *account_id, *location_id; /* ids: "" when it has none */
	const char *error;
};
/* 0, 1 ends the reading, -1 with a fault. */
typedef int job_failure_fn(void *arg, const struct job_failure *failure, struct fault *f);
/* Calls each for what failed of a job, by rising ids behind after, limit of them at most. Worker.
 */
MUST_CHECK int jobs_failures(struct review_fetcher *rf, const char *id, int64_t after,
	int64_t limit, job_failure_fn *each, void *arg, struct fault *f);
/* Calls each with every running or waiting job of the scope, 20 at most, as a JSON object like that
 * of jobs_write but for the errors. How many there were, or -1. Worker. */
struct review_scope;
typedef void job_progress_fn(void *arg, const char *json, size_t len);
MUST_CHECK int jobs_progress(struct review_fetcher *rf, const struct review_scope *scope,
	job_progress_fn *each, void *arg, struct fault *f);
/* How many jobs have not ended. */
MUST_CHECK int jobs_count(struct review_fetcher *rf, int64_t *ret, struct fault *f);

/* ---- stream sessions: a token under a name that works once ---- */

#define SESSION_MS 120000
#define SESSION_ID_BYTES 24
#define SESSION_ID_SIZE 33
/* Any thread. Keeps what a job needs (mode is "full"). FAULT_THROTTLED: too many are open. */
MUST_CHECK int sessions_open(struct review_fetcher *rf, struct job_input *moved,
	char ret_id[static SESSION_ID_SIZE], struct fault *f);
/* Uses a session up and starts its job: as jobs_start. FAULT_MISSING: used, expired or never there.
 */
MUST_CHECK int sessions_start_job(
	struct review_fetcher *rf, const char *session_id, char ret_id[static 37], struct fault *f);

/* Which branches a caller may see: all when branches is NULL. */
struct review_scope {
	const char *const *branches;
	size_t n;
};
/* The lists write `"items":[…]`-style arrays under `name`, newest first, and the next cursor ("" at
 * the end). */
struct list_page {
	const char *cursor; /* opaque, from the caller; NULL: the start. FAULT_INPUT when it is not
			       ours */
	int64_t limit;
};
MUST_CHECK int jobs_list(struct review_fetcher *rf, const struct review_scope *scope,
	const struct list_page *page, struct json_out *ret, struct buf *ret_cursor,
	struct fault *f);

/* ---- what was found ---- */

MUST_CHECK int accounts_list(struct review_fetcher *rf, const struct review_scope *scope,
	const struct list_page *page, struct json_out *ret, struct buf *ret_cursor,
	struct fault *f);
MUST_CHECK int locations_list(struct review_fetcher *rf, const struct review_scope *scope,
	const char *account_id, const struct list_page *page, struct json_out *ret,
	struct buf *ret_cursor, struct fault *f);

#define REVIEW_STAR(n) (1u << (n))
enum review_order {
	REVIEWS_NEWEST, /* by update, the newest first: an edited review moves to the front */
	REVIEWS_OLDEST, /* the other way round: it moves to the end */
	REVIEWS_STORED, /* in the order they were stored, which nothing ever changes */
};
struct review_filter { /* NULL or negative: any */
	struct review_scope scope;
	const char *branch_id, *account_id, *location_id;
	const char *q;              /* words, "phrases", beginnings*: all of them */
	unsigned ratings;           /* REVIEW_STAR of each; 0: any */
	int replied, deleted;       /* deleted: -1 hides deleted ones, 1 only those */
	int64_t since_us, until_us; /* by update time; INT64_MIN / INT64_MAX: any */
	enum review_order order;
};
/*
 * Also writes `count` (of this page) and, on the first page and where an index can tell,
 * `total_reviews` (null otherwise), which ends at 10,000: then total_is_least is true.
 */
MUST_CHECK int reviews_list(struct review_fetcher *rf, const struct review_filter *filter,
	const struct list_page *page, struct json_out *ret, struct buf *ret_cursor,
	struct fault *f);
MUST_CHECK int reviews_write(struct review_fetcher *rf, const struct review_scope *scope,
	int64_t id, struct json_out *ret, struct fault *f); /* FAULT_MISSING */

/*
 * How people rate: `days` (each with the seconds of its start and how often no, one … five stars
 * were given on it, by the last update), `ratings` over all of them, `total`. Follows the filter
 * but for its order. Without places and words all are counted; else, of very many, only the newest:
 * `newest_only`, and `counted_since` is the day of the oldest that was looked at (null otherwise).
 */
MUST_CHECK int reviews_sum(struct review_fetcher *rf, const struct review_filter *filter,
	struct json_out *ret, struct fault *f);

/*
 * All that a filter finds, piece by piece: memory and the time for which a connection is held do
 * not grow with it. open copies the filter and finds its mistakes (FAULT_INPUT); next appends a
 * piece, *ret_end when it was the last.
 */
enum review_format { REVIEWS_AS_NDJSON, REVIEWS_AS_CSV };
struct review_export;
MUST_CHECK int reviews_export_open(struct review_fetcher *rf, const struct review_filter *filter,
	enum review_format format, struct review_export **ret, struct fault *f);
MUST_CHECK int reviews_export_next(
	struct review_export *x, struct buf *out, bool *ret_end, struct fault *f);
void reviews_export_close(struct review_export *x); /* any thread; NULL is fine */

/*
 * Writes `"projects":[…]`: each Cloud project and API that was asked, with `status` ok, paused (a
 * 429; `paused_until`) or not_approved (`diagnosis` says what to do). empty: for who may see none.
 */
MUST_CHECK int projects_list(
	struct review_fetcher *rf, bool empty, struct json_out *ret, struct fault *f);

/*
 * Asks that all that was read through a branch be purged: its reviews with their history, locations
 * and accounts. It is done in the background, in pieces, and goes on after a restart. What another
 * branch shows too stays.
 */
MUST_CHECK int reviews_purge_branch(
	struct review_fetcher *rf, const char *branch_id, struct fault *f);

/* ---- the original's nested snapshot ---- */

struct nested_bounds {
	int64_t max_accounts, max_locations_total, max_reviews_per_location;
	/* The original's sample: 3 to 60 accounts, 10 to 500 locations and up to 50 reviews of
	 * each within these bounds; how many, the job's id decides. */
	bool is_sample;
};
struct nested_seen {   /* what of the job the last snapshot showed */
	int64_t pages; /* stored by then; -1: there was no snapshot yet */
	bool has_ended;
};
/*
 * The `nested` event's data for a job, appended to *ret when it has stored at least least_pages
 * pages, or has ended, and this is not what *seen says already; then *seen is the new one.
 * FAULT_MISSING.
 */
MUST_CHECK int nested_write(struct review_fetcher *rf, const char *job_id,
	const struct nested_bounds *bounds, int64_t least_pages, struct buf *ret,
	struct nested_seen *seen, struct fault *f);

#endif
