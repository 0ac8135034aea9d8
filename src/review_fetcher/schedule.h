/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read again by itself, and when: docs/internals/schedule.md. Inside review_fetcher/. The
 * rows hold the due times; memory only the nap until the next one.
 */
#ifndef REVIEW_FETCHER_SCHEDULE_H
#define REVIEW_FETCHER_SCHEDULE_H

#include "core/limits.h"
#include "core/settings.h"
#include "review_fetcher/gate.h"

struct db;

struct schedule { /* in struct review_fetcher */
	struct nap nap;
	struct task task;
	bool on, begun;
	int64_t position; /* of the events that were heard of */
};
/* Starts the naps, unless every interval is 0. */
void schedule_start(struct review_fetcher *rf);

/* ---- schedule_rows.c: worker ---- */

/* 0: nothing is read again by itself. */
struct schedule_pace {
	int64_t quick_ms, full_ms, places_ms;
};
/* A full pass comes in time for the retention, whatever its own interval is. */
struct schedule_pace schedule_pace(const struct settings *s);

struct schedule_turn { /* a store_body_fn's argument; borrowed */
	struct schedule_pace pace;
	const char *branch_id;
	int64_t wait_ms; /* schedule_postpone */
	int64_t jobs;    /* answer: how many were queued */
};
/* Makes jobs of what is due for a branch, and finds when it is due next; nothing when another
 * process did. */
MUST_CHECK int schedule_turn(struct db *db, void *turn, struct fault *f);
/* The branch cannot be read: others take over what they see too, the rest waits. */
MUST_CHECK int schedule_park(struct db *db, void *turn, struct fault *f);
/* The branch is no more. */
MUST_CHECK int schedule_drop(struct db *db, void *turn, struct fault *f);
MUST_CHECK int schedule_postpone(struct db *db, void *turn, struct fault *f);

struct schedule_peek {
	char branch_id[LIMIT_BRANCH_ID_BYTES + 1]; /* "": none is due */
	int64_t wait_ms;                           /* until the next one, at most wait_ms */
	bool full;                                 /* enough jobs of the schedule are under way */
};
MUST_CHECK int schedule_peek(struct db *db, void *peek, struct fault *f);
/* Whether Google has refused this project within the last hour: *ret. */
struct schedule_project {
	const char *project;
	bool refused;
};
MUST_CHECK int schedule_ask_project(struct db *db, void *project, struct fault *f);

struct schedule_wake {
	const char *const *branches;
	size_t n;
	int64_t spread_ms; /* new ones begin within that time, by hash */
};
/* Branches that there may be something to do for; those known and not parked stay as they are. */
MUST_CHECK int schedule_wake(struct db *db, void *wake, struct fault *f);

#endif
