/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine that walks. A job has walks (rows of job_walks); a walk asks for one page after the
 * other. One step is: a start from the budget of the API, a token, the request, and on a worker one
 * transaction that moves rows and cursor together. Between steps a walk waits in a gate, on a nap,
 * in tokens_obtain or in net, and no thread waits with it. The rows say what is to be done; memory
 * only what is under way, so that kill -9 costs one page a walk.
 *
 * rf->lock guards everything marked so. It is never held across the database, the network or a call
 * into another module but the pool's and the scheduler's queues.
 */
#ifndef REVIEW_FETCHER_ENGINE_H
#define REVIEW_FETCHER_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "base/rand.h"
#include "core/limits.h"
#include "net/net.h"
#include "review_fetcher/gate.h"
#include "review_fetcher/google.h"
#include "review_fetcher/review_fetcher.h"
#include "review_fetcher/retention.h"
#include "review_fetcher/schedule.h"

#define WALKS_PER_JOB 4
#define JOBS_AT_ONCE 64     /* that work; one that waits for quota holds no place */
#define JOBS_HELD_MOST 512  /* with those that wait */
#define PUSH_AT_ONCE 16     /* of push, beside all others */
#define TOKEN_JOBS_MAX 1000 /* unfinished jobs with an access token of their own */
#define LEASE_MS 30000
#define BEAT_MS 10000 /* how often leases are renewed and work of others is looked for */
#define PASSES_MAX 5  /* of one listing, for whatever reason it was begun again */
#define PASS_PAGES_MAX 100000
#define GOOGLE_TIMEOUT_MS 30000
#define WAIT_SHOWN_MS 5000 /* a job that waits longer says so */

struct db;
struct job;
struct reply;
struct walk;

/* What a walk asks for; the names in the rows are walk_kind_name's. */
enum walk_kind {
	WALK_ACCOUNTS,
	WALK_LOCATIONS, /* of an account */
	WALK_REVIEWS,   /* of a location; in the end, single ones that are missing (probe_id) */
	WALK_BATCH,     /* the newest reviews of up to 50 locations: which of them to read? */
	WALK_ONE,       /* one review by its name */
	WALK_KINDS
};

struct walk {
	struct walk *next; /* of the job; lock held */
	struct seat seat;  /* lock held */
	struct job *job;
	int64_t id;
	enum walk_kind kind;
	char *account_id, *location_id;
	char **members; /* of a batch: location ids */
	size_t n_members;
	char *page_token, *mark_token; /* NULL: none */
	char *probe_id;                /* the review that is asked for by its name; NULL: a page */
	bool is_full;                  /* to the end; else to an overlap behind the watermark */
	int64_t low_us;                /* the oldest update that was shown; 0: none yet */
	int64_t pass, pass_pages, pass_started_ms, recounts, rows_seen, rows_expected;
	unsigned attempts;       /* transient failures of this page */
	bool token_tried;        /* this page already cost a token */
	unsigned store_failures; /* of the database, in a row */
	unsigned calls;          /* not yet counted in the job's row */
	struct secret
		bearer; /* for this request; kept until its answer, to name what was refused */
	struct net_reply reply;
	char why[200]; /* it fails … */
	int park;      /* … and so does its location: enum walk_park */
	struct nap nap;
	struct task task;
	void (*step)(struct walk *w); /* what the task does */
};

struct job {
	struct review_fetcher *rf;
	char id[37];
	char *branch_id; /* NULL: with a token of its own */
	int64_t client_id;
	bool is_quick, is_patient, is_push;
	struct secret token;
	_Atomic int64_t fence;
	_Atomic unsigned batches_refused, batches_answered;
	struct gate *gates[GOOGLE_APIS];
	/* Lock held: */
	unsigned refs;
	struct walk *walks;
	unsigned n_walks;
	bool planning, plan_again, plan_due;
	bool cancelled, lost; /* lost: the lease is another's, so nothing may be written any more */
	char failure[240];    /* set: no further page, and why */
	int64_t waiting_until_ms; /* as the row says; 0: it does not */
	unsigned failures;        /* of the database, in a row */
	struct nap nap;
	struct task task;
};

struct review_fetcher {
	struct review_fetcher_parts parts;
	char owner[RAND_UUID_SIZE];
	pthread_mutex_t lock;
	/* Lock held: */
	bool stopping, looking, look_again;
	struct map jobs;     /* id → struct job, running here */
	struct map tokens;   /* id → struct secret, for jobs that are still queued */
	struct map gates;    /* key → struct gate */
	struct map sessions; /* id → struct session */
	struct nap *naps;
	struct reply *replies;
	struct timer timer;
	struct nap beat;
	struct task beat_task;
	struct schedule schedule;
	struct retention retention;
};

/* ---- engine.c ---- */
/* Starts what is queued or was left behind, as long as there is room. Worker. */
void jobs_look(struct review_fetcher *rf);
/* job_show_waiting for all that run here: a gate was closed under them. Worker. */
void jobs_show_waiting(struct review_fetcher *rf);

/* The Cloud project of an OAuth client id: what quota is counted by. A length of client_id. */
size_t project_length(const char *client_id);

/* ---- jobs.c ---- */
/* Whether a branch can get a token; a job without would only fail. -1: FAULT_MISSING,
 * FAULT_CONFLICT (the text says what to do), or the database. Worker. */
MUST_CHECK int job_check_branch(struct review_fetcher *rf, const char *branch_id, struct fault *f);

/* ---- job.c ---- */
struct job_claim { /* what the claim of a row brought */
	char id[37];
	char *branch_id;
	int64_t fence, client_id;
	bool cancelled, is_quick, is_patient, is_push;
};
/* Puts a claimed job under way; token is its own or empty, moved. failure: why it fails at once, or
 * NULL. */
void job_begin(struct review_fetcher *rf, const struct job_claim *claim, struct secret *moved_token,
	const char *project, const char *failure);
/* Starts further walks of a job, or ends it when nothing is left. Worker. */
void job_plan(struct job *j);
/* No further page; wakes what waits. Any thread. The first reason stays. */
void job_fail(struct job *j, const char *reason);
void job_cancel(struct job *j);
void job_lose(struct job *j);
bool job_goes_on(struct job *j); /* any thread, takes the lock */
/* Takes the walk off its job and frees it; job_plan follows. Worker, once a walk. */
void job_end_walk(struct walk *w);
/* Brings the row's `waiting` in line with where the walks stand. Worker. */
void job_show_waiting(struct job *j);
void job_unref(struct job *j);
void job_free(struct job *j); /* with its walks, whatever they wait for */

/* ---- job_tidy.c: inside a transaction ---- */
/* Takes away some of what old jobs left. */
MUST_CHECK int jobs_tidy(struct db *db, int64_t now_ms, struct fault *f);

/* ---- job_events.c ---- */
/* Inside the transaction that gave the job its status: the event of that. */
MUST_CHECK int job_tell(struct db *db, const char *id, struct fault *f);

/* ---- walk.c ---- */
/* Begins with the next page. Worker. */
void walk_ask(struct walk *w);
void walk_free(struct walk *w);
struct gate *walk_gate(const struct walk *w);
const char *walk_kind_name(enum walk_kind kind);

/* ---- walk_rows.c: the transactions, worker ---- */
enum walk_outcome {
	WALK_GOES_ON = 1, /* there is another page */
	WALK_ENDED,       /* done, or failed for good: the row says which */
	WALK_LOST,        /* the lease of the job is another's: nothing was written */
};
struct walk_change {    /* what a transaction did besides */
	bool cancelled; /* somebody asked the job to end */
	bool opened;    /* there are new walks */
};
/* Stores a page, or the single review that was asked for, and moves the cursor in *w. Answers a
 * walk_outcome or -1. */
MUST_CHECK int walk_store_page(
	struct walk *w, const struct google_page *page, struct walk_change *ret, struct fault *f);
/* Google has no such review (probe_id). */
MUST_CHECK int walk_store_absence(struct walk *w, struct walk_change *ret, struct fault *f);
/* Begins the listing anew, or fails the walk when that has happened too often. */
MUST_CHECK int walk_store_restart(
	struct walk *w, const char *why, struct walk_change *ret, struct fault *f);
/* What a failure says of the location. */
enum walk_park {
	WALK_PARK_NOT,
	WALK_PARK_TWICE, /* only when the pass before failed too: it may have been an outage */
	WALK_PARK,       /* later passes leave it alone for a while, longer each time */
};
/* The walk fails for good; its neighbours go on. A batch does not fail: its locations are read one
 * by one instead. */
MUST_CHECK int walk_store_failure(struct walk *w, const char *why, enum walk_park park,
	struct walk_change *ret, struct fault *f);

/* ---- walk_places.c: inside a transaction ---- */
struct walk_opening { /* borrowed */
	const char *job_id, *branch_id;
	int64_t now_ms;
	bool is_quick, is_patient;
};
/*
 * Opens what a job has to do for some locations of an account; adds to *opened how many the job did
 * not have yet.
 */
MUST_CHECK int walks_open(struct db *db, const struct walk_opening *o, const char *account_id,
	const char *const *location_ids, size_t n, int64_t *opened, struct fault *f);
/*
 * Opens what a job has to do for all locations that the branch's newest whole listing showed, if
 * that began after since_ms: a listing for each or, in a quick job, a batch of those that are
 * known; a parked one fails at once with its reason. *ret_accounts 0: there is none, so that the
 * job has to list them.
 */
MUST_CHECK int walks_open_known(struct db *db, const struct walk_opening *o, int64_t since_ms,
	int64_t *ret_accounts, int64_t *ret_locations, struct fault *f);

#endif
