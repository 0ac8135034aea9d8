/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The refresh protocol: see docs/internals/refresh.md. One run a slot at a time; it looks
 * (refresh.c), and if the provider must be asked, asks and stores (refresh_ask.c), then looks again
 * or answers.
 */
#ifndef TOKEN_MANAGEMENT_REFRESH_H
#define TOKEN_MANAGEMENT_REFRESH_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "core/limits.h"
#include "net/net.h"
#include "token_management/grant.h"
#include "token_management/slots.h"
#include "token_management/token_response.h"
#include "token_management/work.h"

struct refresh {
	struct work work;
	struct slot *slot;
	char branch_id[LIMIT_BRANCH_ID_BYTES + 1]; /* the slot may be gone before the last answer */
	struct demand demand;
	struct grant grant;      /* the row as read last */
	struct live_token token; /* what can be served without a refresh; access empty: nothing */
	char words[SLOT_REASON_SIZE + 64]; /* of the last answer */
	/* another process's lease, as seen from here */
	int64_t held_fence, held_since_mono_ms;
	/* our own */
	int64_t fence, claimed_mono_ms, sent_wall_ms;
	bool uses_previous_secret;
	/* the answer of the provider */
	struct token_reply reply;
	struct token_response response;
	struct grant_tokens sealed;
	struct live_token fresh;
	struct slot_pause failing; /* after an answer that was none */
	/* storing it */
	int64_t store_since_mono_ms;
	int64_t asked_mono_ms; /* when the provider was asked */
	unsigned store_tries;
};

/* Begins the one run for a slot that has a caller. Any thread; the caller sets slot->running to it.
 */
struct refresh *refresh_new(struct token_management *tm, struct slot *slot, bool is_behind);
/* Somebody waits for it now. Any thread, while it runs. */
void refresh_hurry(struct refresh *r);
void refresh_start(struct refresh *r);

/* ---- between the two files; worker ---- */

void refresh_look(struct work *w);
/* With the lease claimed: asks, stores, and ends in one of the four below. */
void refresh_ask(struct refresh *r);

struct refresh_answer {
	enum token_outcome outcome;
	bool degraded;
	int64_t retry_after_ms;
	const char *reason; /* for people */
};
/* Answers whoever waits, then ends the run, or looks again for those who stay. */
void refresh_end(struct refresh *r, const struct refresh_answer *a, const struct slots_end *end);
/* Refreshing fails: who waits gets what still has life, or TOKEN_UNAVAILABLE. Ends the run. */
void refresh_end_failed(struct refresh *r, const struct slot_pause *pause);
/* The same for those who wait now, while the run goes on. */
void refresh_answer_failed(struct refresh *r, const struct slot_pause *pause);
/* Nobody asks for a while; what still has life is served from memory meanwhile. */
void refresh_pause(struct refresh *r, const struct slot_pause *pause);
/* Logs a failure of the database, loudly once. */
void refresh_store_fault(struct refresh *r, const struct fault *f);

#endif
