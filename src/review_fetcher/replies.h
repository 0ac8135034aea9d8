/* SPDX-License-Identifier: Apache-2.0 */
/* A reply on its way to Google. Inside review_fetcher/. */
#ifndef REVIEW_FETCHER_REPLIES_H
#define REVIEW_FETCHER_REPLIES_H

#include "base/hash.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/review_fetcher_reply.h"
#include "token_management/token_management.h"

#define REPLY_BRANCHES_MAX 16

/* Asked of Google: do it; show whether an earlier try did it; show the review behind it. */
enum reply_step { REPLY_CHANGE, REPLY_LOOK, REPLY_READ };

struct reply {
	struct reply *next, *prev; /* of rf->replies; lock held */
	struct review_fetcher *rf;
	int64_t review, client_id;
	char *comment, *key, *actor;
	uint8_t hash[HASH_BLAKE2B_SIZE];
	char *branch_id, *account_id, *location_id, *review_id;
	char *known;             /* the reply that our row has; NULL: none */
	int64_t send_by_mono_ms; /* later the key may be another process's */
	struct gate *gate;
	struct seat seat; /* lock held, as are nap and refs */
	struct nap nap;   /* it waits no longer than this */
	unsigned refs;
	enum reply_step step;
	bool token_tried;
	bool is_uncertain; /* Google may have done it: who tries again has to look first */
	bool is_changed;   /* Google said that it has done it */
	char why[160];     /* a look follows upon this failure; "": upon an earlier try */
	struct secret bearer;
	struct net_reply answer; /* Google's newest */
	struct buf changed;      /* Google's answer to the change: the reply as it has it */
	struct buf shown;        /* the answer to the caller */
	bool replayed;
	unsigned status;
	reply_done_fn *done;
	void *arg;
	struct task task, late_task;
};

/* Fails what stands in a queue. When rf is stopping. */
void replies_stop(struct review_fetcher *rf);

/* ---- reply_rows.c: worker ---- */
struct reply_branches {
	char *branches[REPLY_BRANCHES_MAX], *accounts[REPLY_BRANCHES_MAX];
	size_t n;
};
void reply_branches_done(struct reply_branches *b);
/* Finds the review and who can reach it. FAULT_MISSING. */
MUST_CHECK int reply_find(struct reply *x, const struct review_scope *scope,
	struct reply_branches *ret, struct fault *f);
/* Takes an edit of the profile and the key, and writes the audit; sets the step to begin with. 1:
 * x->shown has the answer of before. */
MUST_CHECK int reply_begin(struct reply *x, const struct actor *who, struct fault *f);
/* Gives the key back; one whose outcome is uncertain is kept, for the next try to know. */
void reply_release(struct reply *x);
/*
 * Stores the review as Google showed it (bytes), or as it is with what Google said to the change
 * (NULL); x->shown is the answer.
 */
MUST_CHECK int reply_store(struct reply *x, const char *bytes, size_t len, struct fault *f);

/* ---- review_list.c ---- */
/* As reviews_write. 1: there is none. */
MUST_CHECK int review_write_one(struct db *db, const struct review_scope *scope, int64_t id,
	struct json_out *ret, struct fault *f);

#endif
