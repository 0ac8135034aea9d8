/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's outside world on one thread: a pool, a network, tokens and time that move one step
 * when told to, and a small Google behind them. Only the database is real. So a test can stop the
 * world between any two steps, drop all memory and begin again on the same file.
 */
#ifndef TESTS_UNIT_REVIEW_FETCHER_WORLD_H
#define TESTS_UNIT_REVIEW_FETCHER_WORLD_H

#include "../test.h"

#include "net/net.h"
#include "review_fetcher/review_fetcher.h"
#include "store/store.h"
#include "token_management/token_management.h"

/* An answer other than the page: for `count` requests whose address holds `match`, after `skip`. */
struct rule {
	const char *match;
	int skip, count;
	enum net_result result;
	long status;
	const char *body;
	int64_t retry_after_ms; /* -1: none */
};

struct world {
	char folder[64], database[256];
	bool has_server; /* the tests run over PostgreSQL */
	struct settings settings;
	struct store *store;
	struct review_fetcher *rf;
	/* Google */
	int accounts, locations, reviews; /* each has that many of the next */
	int page_size;                    /* at most; 0: as asked */
	bool all_share_one;               /* every account shows location "shared" as well */
	const char *lying_location;       /* says it has `lie` reviews more than it shows */
	int lie, lies;                    /* … for `lies` passes (last pages) */
	const char *moving_location;      /* its first pass misses a review that moved up */
	const char *circling_location;    /* its nextPageToken leads back */
	bool circle_is_short;             /* to the very same page */
	struct rule rules[4];
	int store_fails_in, store_fails; /* after so many transactions, so many fail; 0: none */
	int max_per_run;                 /* a token is refused after so many requests; 0: never */
	/* what was seen */
	int calls[3], calls_all, tokens_asked, tokens_rejected, token_number;
	int calls_of_token;
	int in_flight, in_flight_most;
	enum token_outcome token_outcome;
	const char *client_status; /* of every branch but "nowhere" … */
	const char *dead_branch;   /* … and this one, which needs to be connected again */
	const char *clients[4];    /* the registered ones, as a list shows them */
	int64_t wall_ms, mono_ms;
	char last_token[64], last_url[512]; /* of the last call */
	unsigned steps;
	bool looking; /* it is the test that reads the database */
};
extern struct world world;

int world_up(void **state); /* cmocka setup and teardown */
int world_down(void **state);
void world_begin(void); /* a process starts */
void world_kill(void);  /* and dies: everything in memory is gone, nothing is written */

/* One task, answer or timer; false when nothing will ever happen again without us. */
bool world_step(void);
/* Nothing is to be done before a timer that is not due yet. */
bool world_is_quiet(void);
/* Until the job has ended; its status in a static buffer. Fails when it does not. */
const char *world_run(const char *job_id);

/* Starts a job of "harbour"; the id in a static buffer. */
const char *world_job(void);
const char *world_job_of(const char *mode);
int64_t world_number(const char *sql);
const char *world_text(const char *sql); /* static buffer */
/* The job as /status shows it; static buffer. */
const char *world_status(const char *job_id);

#endif
