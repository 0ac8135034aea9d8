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
#define TURN_MS 60000       /* after that a job makes room when others queue */
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
	unsigned overtaken;      /* how often this page was asked for again for that */
	unsigned store_failures; /* of the database, in a row */
	unsigned calls;          /* not yet counted in the job's row */
	int64_t asked_mono_ms;   /* when the request was sent whose answer is stored */
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
	bool is_quick, is_patient, is_push, is_places;
	struct secret token;
	_Atomic int64_t fence;
	_Atomic unsigned batches_refused, batches_answered;
	_Atomic unsigned answers; /* since it was begun here */
	int64_t begun_mono_ms;
	struct gate *gates[GOOGLE_APIS];
	/* Lock held: */
	unsigned refs;
	struct walk *walks;
	unsigned n_walks;
	bool planning, plan_again, plan_due;
	bool cancelled, lost; /* lost: the lease is another's, so nothing may be written any more */
	bool yields;          /* it goes back into the queue when its pages are stored */
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

/* Lock held. Whether a job may be begun here now that is none of push; *ret_held_most: if not,
 * since so many are held, whether they work or wait. */
bool jobs_have_room(const struct review_fetcher *rf, bool *ret_held_most);
/* A job that nobody runs: $1 is the process, $3 the time. A queued job with its own token is its
 * process's to run, as long as that lives. */
#define CLAIMABLE                                                                           \
	" status IN ('queued', 'running', 'waiting') AND (COALESCE(lease_until_ms, 0) < $3" \
	" OR (status = 'queued' AND (branch_id IS NOT NULL OR lease_owner = $1)))"

/* ---- job_turns.c ---- */
/* When jobs queue and there is no room: those that were here longest go back into the queue, behind
 * all others, and keep their cursors. Worker, now and then. */
void jobs_take_turns(struct review_fetcher *rf);
/* Inside a transaction: the row of a job that yields. */
MUST_CHECK int job_give_back(struct db *db, const struct job *j, struct fault *f);
/* Around it: off the map, so that whoever claims it next begins anew; and back, when it failed. */
void job_let_go(struct job *j);
void job_hold_again(struct job *j);

/* ---- jobs.c ---- */
/* Whether a branch can get a token; a job without would only fail. -1: FAULT_MISSING,
 * FAULT_CONFLICT (the text says what to do), or the database. Worker. */
MUST_CHECK int job_check_branch(struct review_fetcher *rf, const char *branch_id, struct fault *f);
/* The token that is kept for a queued job, if there is one. Any thread. */
void job_drop_token(struct review_fetcher *rf, const char *id);

/* ---- job.c ---- */
struct job_claim { /* what the claim of a row brought */
	char id[37];
	char *branch_id;
	int64_t fence, client_id;
	bool cancelled, is_quick, is_patient, is_push, is_places;
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
/* Lock held. Whatever of the job waits goes on at once, and finds that it is over. */
void job_wake(struct job *j);
bool job_goes_on(struct job *j);       /* any thread, takes the lock */
bool job_may_ask(const struct job *j); /* it goes on, and here; lock held */
/* Takes the walk off its job and frees it; job_plan follows. Worker, once a walk. */
void job_end_walk(struct walk *w);
/* Brings the row's `waiting` in line with where the walks stand. Worker. */
void job_show_waiting(struct job *j);
void job_unref(struct job *j);
void job_free(struct job *j); /* with its walks, whatever they wait for */

/* ---- job_places.c: inside a transaction ---- */
#define MODE_PLACES "places" /* lists accounts and locations, and reads those that are new */
/* Queues a job that begins with the accounts, unless there is one like it. */
MUST_CHECK int job_add_listing(struct db *db, const char *branch_id, const char *mode,
	const char *origin, int64_t now_ms, bool *ret_added, struct fault *f);
/* Queues a listing of places beside the job that is asked for, unless there was one since since_ms.
 */
MUST_CHECK int job_renew_places(
	struct db *db, const char *branch_id, int64_t since_ms, int64_t now_ms, struct fault *f);

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

#endif
