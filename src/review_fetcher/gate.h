/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queues in front of Google's APIs, and the naps of all that waits. Inside review_fetcher/. The
 * fields belong to the lock of struct review_fetcher (engine.h), and so do the functions, but for
 * those that say otherwise.
 */
#ifndef REVIEW_FETCHER_GATE_H
#define REVIEW_FETCHER_GATE_H

#include "base/map.h"
#include "core/pool.h"
#include "review_fetcher/budget.h"
#include "review_fetcher/google.h"

#define THROTTLE_FLOOR_MS 30000 /* Google documents no Retry-After for these APIs */
#define THROTTLE_MAX_MS 600000
#define THROTTLE_HINT_MAX_MS 3600000 /* however long Google says: then it is asked again */
#define THROTTLES_BEFORE_DIAGNOSIS 5 /* 429s with never an answer: the project has no quota */

struct review_fetcher;
struct walk;

/* Wakes a task at a time; see naps.c. */
struct nap {
	struct nap *prev, *next;
	int64_t due_ms;
	struct task *task;
	bool on;
};

/* A place in the queue of a gate. */
struct line;
struct seat {
	struct seat *next;
	struct line *line; /* of its branch; NULL: among those who go first */
	struct task *task; /* submitted when its start has come */
	bool on;
};
struct seats {
	struct seat *first, **last;
};
/* Those of one branch, in a ring with the other branches'. */
struct line {
	struct line *next, *prev;
	struct seats seats;
	size_t key_len;
	char key[];
};

/* The queue in front of one API of one Cloud project. */
struct gate {
	struct review_fetcher *rf;
	enum google_api api;
	char *project;
	struct budget_paces paces;
	struct net_share work, reserve; /* starts that are ours, by our monotonic clock */
	struct seats ahead;             /* people who wait, and push */
	struct line *turn;              /* whose branch's turn it is; NULL: nobody waits */
	struct map lines;               /* branch → struct line, while it has seats */
	unsigned n_waiting, n_ahead, refs;
	int64_t paused_until_us;
	struct nap nap; /* runs `task` when something is due */
	struct task task;
	bool due;             /* `task` naps or is in the pool */
	struct task ask_task; /* the rows are asked */
	bool asking, store_fails;
	int64_t throttles; /* 429s in a row, of all processes as far as we know */
	bool answered;     /* Google has answered here within a day */
	/* What the rows have not been told yet: */
	int64_t untold_pause_us;
	bool untold_answer;
	int64_t told_answer_ms;
	char untold_diagnosis[200];
	char key[160];
};

/* ---- naps.c ---- */
void naps_init(struct review_fetcher *rf);
/* Submits task at due_ms (monotonic) or, when stopping, never. */
void nap_until(struct review_fetcher *rf, struct nap *n, struct task *task, int64_t due_ms);
/* True when it was napping: the task is the caller's again. */
bool nap_end(struct review_fetcher *rf, struct nap *n);

/* ---- gate.c ---- */
const char *gate_api_key(enum google_api api); /* as the rows name it */
/* The gate of an API and project, made when needed; give it back with gate_unref. */
struct gate *gate_ref(struct review_fetcher *rf, enum google_api api, const char *project);
void gate_unref(struct gate *g);
/* Drops gates that nobody uses and that have nothing to remember. */
void gates_tidy(struct review_fetcher *rf);
void gates_free(struct review_fetcher *rf);
/* Queues a walk behind those of its branch; its task is submitted when its start has
 * come. */
void gate_join(struct gate *g, struct walk *w, int64_t now_ms);
/* The same ahead of all scheduled work and with a reserve of its own: for a person who
 * waits for the answer, and for push. */
void gate_join_ahead(struct gate *g, struct seat *seat, struct task *task, int64_t now_ms);
/* True when it stood in the queue and does no longer. */
bool gate_leave(struct gate *g, struct seat *seat);
/* How long somebody who joins now would wait. */
int64_t gate_wait_ms(const struct gate *g, int64_t now_ms);
/* After a 429: nobody starts for hint_ms (-1: unknown), in no process. Answers how long
 * that is. */
int64_t gate_throttle(struct gate *g, int64_t hint_ms, int64_t now_ms);
void gate_answered(struct gate *g, int64_t now_ms);
/* The project may not use this API: kept for people to see until Google answers. */
void gate_diagnose(struct gate *g, const char *why);

#endif
