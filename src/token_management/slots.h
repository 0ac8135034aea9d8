/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in memory of the branches that are read: one slot a branch, in shards with a mutex each.
 * A slot holds a token that may be served (or none), until when a failing provider is left alone,
 * the callers who wait, and the one refresh that runs for them. The row in the database is the
 * truth; a slot is a copy that can be thrown away at any time, and is, when it holds nothing and
 * nobody waits.
 *
 * epoch grows whenever something outside the refresh changes what may be served (revoked,
 * reconnected, deleted, refused with 401). A refresh that read the row before must not publish
 * after.
 */
#ifndef TOKEN_MANAGEMENT_SLOTS_H
#define TOKEN_MANAGEMENT_SLOTS_H

#include <pthread.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/secret.h"
#include "token_management/token_management.h"

struct refresh;

/*
 * A token with all that a view of it needs. Copies, as the slots hold them, have their texts in one
 * block, in the order of reading: with a hundred thousand branches every further place in memory is
 * a cache miss on the hot path.
 */
struct live_token {
	int64_t client_row;
	char *oauth_id, *token_type, *scope;
	struct secret access; /* empty: none */
	int64_t expires_at_ms, lifetime_ms;
	char *block; /* NULL: each text is its own */
};
void live_token_done(struct live_token *t);
/* *ret borrows from all of them. */
void live_token_view(const struct live_token *t, const char *branch_id, const char *expires_text,
	bool degraded, struct token_view *ret);

/*
 * Whether a token serves. needed = max(margin, min_ttl), where the margin is at most half of the
 * token's lifetime, so that short-lived tokens are not refreshed at each read. A token issued
 * within the last minute (or half lifetime) is as good as it gets and serves any min_ttl that it
 * cannot meet; otherwise a min_ttl above what the provider issues would refresh at each read.
 */
int64_t token_margin_ms(const struct settings *s, int64_t lifetime_ms);
bool token_serves(
	const struct settings *s, int64_t life_ms, int64_t lifetime_ms, int64_t min_ttl_ms);

struct waiter {
	struct waiter *next;
	token_done_fn *done;
	void *arg;
	int64_t min_ttl_ms;
	bool force;
	bool is_due; /* the background: served by any token whose row is not due */
};

struct slot {
	/* What a read needs comes first and together. */
	struct live_token token;
	int64_t expires_mono_ms; /* the same instant on the clock that does not jump */
	int64_t retry_mono_ms;   /* a failing provider is not asked before; 0: it does not fail */
	char expires_text[CLOCK_TEXT_SIZE];
	bool was_read; /* by a caller, since the background refreshed it last */
	bool has_rejected;
	char *branch_id; /* behind the struct */
	size_t branch_len;
	char *retry_reason; /* words for people, NULL: none */
	uint64_t epoch;
	uint8_t rejected[HASH_BLAKE2B_SIZE]; /* of a token that a caller saw refused */
	struct waiter *first, **last;
	struct refresh *running;
};

#define SLOT_SHARDS 64
struct slot_shard {
	pthread_mutex_t lock;
	struct map slots;
	int64_t reads; /* answered from memory */
} __attribute__((aligned(64)));
struct slot_table {
	struct slot_shard shards[SLOT_SHARDS];
	int64_t reads_counted; /* by slots_count_reads */
	size_t swept;          /* by slots_sweep: shards so far */
};
void slots_init(struct slot_table *t);
void slots_done(struct slot_table *t);
void slots_count_reads(
	struct slot_table *t); /* brings the metric up to date; one caller at a time */

/* ---- for the one refresh of a slot; the slot stays where it is while it runs ---- */

struct demand { /* of all who wait: what a token must be to answer them */
	int64_t min_ttl_ms;
	bool force;
	bool due, due_only; /* the background is among them, or nobody else is */
	uint64_t epoch;
	uint8_t rejected[HASH_BLAKE2B_SIZE];
	bool has_rejected;
};
enum slot_look {
	SLOT_SERVES,      /* *ret_token is good for all */
	SLOT_DEGRADED,    /* the provider fails and is left alone; *ret_token still has life */
	SLOT_UNAVAILABLE, /* the same, and there is none */
	SLOT_ASK_ROW,
};
#define SLOT_REASON_SIZE 200
struct slot_pause { /* SLOT_DEGRADED, SLOT_UNAVAILABLE */
	int64_t wait_ms;
	char reason[SLOT_REASON_SIZE];
};
enum slot_look slots_look(struct token_management *tm, struct slot *s, struct demand *ret,
	struct live_token *ret_token, struct slot_pause *ret_pause);
/*
 * Joins the slot as the background: refreshes when the row is due, and leaves nothing in memory
 * that nobody reads.
 */
void slots_obtain_due(
	struct token_management *tm, const char *branch_id, token_done_fn *done, void *arg);
/* Puts a token into memory unless the epoch has moved on; says whether it did. */
bool slots_publish(
	struct token_management *tm, struct slot *s, const struct live_token *t, uint64_t epoch);
/* Nobody asks for a while; t, if any, is served meanwhile. */
void slots_pause(struct token_management *tm, struct slot *s, const struct live_token *t,
	uint64_t epoch, const struct slot_pause *pause);
/*
 * Ends the refresh: hands over the callers to be answered and lets the slot go when it holds
 * nothing. True: it has to go on instead, for those who stayed.
 */
struct slots_end {
	/* Everybody stays when the epoch is another by now: what was found may be wrong. */
	uint64_t epoch;
	/* Those stay whom this token does not serve, or who want a forced refresh. NULL: nobody. */
	const struct live_token *found;
	bool is_final; /* nobody stays at all */
	bool only_due; /* all stay but the background */
};
bool slots_finish(struct token_management *tm, struct slot *s, const struct slots_end *end,
	struct waiter **ret);
/* All who wait now, while the refresh goes on. */
struct waiter *slots_take_waiters(struct token_management *tm, struct slot *s);
/* After a real refresh nobody needs to be forced another one. */
void slots_calm(struct token_management *tm, struct slot *s);

/* ---- for everybody ---- */

/* Throws away what memory holds of a branch. */
void slots_forget(struct token_management *tm, const char *branch_id);
void slots_forget_all(struct token_management *tm);
/* Lets go, in one shard a call, of branches that nobody has read since their token died. */
void slots_sweep(struct token_management *tm);
/* A new connection: its token replaces what memory holds. */
void slots_replace(struct token_management *tm, const char *branch_id, const struct live_token *t);

#endif
