/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One callback on its way: its flow is taken (connect_take.c), its code exchanged
 * (connect_finish.c), the account looked at (connect_account.c), the connection stored
 * (connect_store.c) and the end noted down with the flow (connect_past.c).
 */
#ifndef TOKEN_MANAGEMENT_CONNECT_EXCHANGE_H
#define TOKEN_MANAGEMENT_CONNECT_EXCHANGE_H

#include "token_management/connect.h"
#include "token_management/grant.h"
#include "token_management/internal.h"

struct exchange {
	struct work work;
	bool is_work; /* work has begun */
	connect_done_fn *done;
	void *arg;
	const struct connect_reply *reply; /* until the state is spent */
	/* The browser, for the audit; what began the flow is in its own row. */
	struct actor who;
	char remote[64];
	char state[CONNECT_TEXT_SIZE];
	uint8_t state_hash[HASH_BLAKE2B_SIZE], browser_hash[HASH_BLAKE2B_SIZE];
	/* the flow, as begun */
	bool has_flow;
	char *provider, *token_url, *issuer, *redirect_uri, *scope;
	struct sealed verifier;
	struct grant grant;
	bool has_ticket; /* begun by a link */
	/* the exchange */
	struct secret code;
	bool uses_previous_secret;
	int64_t sent_wall_ms;
	struct token_reply answer;
	struct token_response response;
	struct identity identity;
	struct grant_tokens sealed;
	unsigned store_tries;
	/* the account */
	bool is_wrong_account;
	bool is_given_back; /* the refused grant was ended at the provider */
	int64_t siblings;   /* that would have died with it */
	/* how it ended */
	enum connect_outcome outcome;
	char provider_error[64];
	char *missing;
	bool was_done;
	int64_t expires_at_ms;
	struct fault fault;
};

/* The end: counted, logged, told; frees it. */
void connect_end(struct exchange *x, enum connect_outcome outcome);
/* The same for a known flow that made no connection, noted down before. */
void connect_end_unconnected(struct exchange *x, enum connect_outcome outcome);
void connect_forget_flow(struct exchange *x);
const char *connect_outcome_name(enum connect_outcome outcome);

/* Spends the state; x->outcome says what is next, CONNECT_DONE: the code. -1: the database. */
MUST_CHECK int connect_take(struct exchange *x, struct fault *f);
/* On a worker, with a granted response and a known identity. */
void connect_store(struct exchange *x);

/* Looks who consented, and says so in x. True: nothing may be stored. */
bool connect_refuses_account(struct exchange *x);
/* Gives the refused grant back, where nobody else loses one by that; then ends. */
void connect_give_back(struct exchange *x);

/* Inside a transaction: the flow's row says how it ended. */
MUST_CHECK int connect_note_end(
	struct db *db, const struct exchange *x, enum connect_outcome outcome, struct fault *f);

#endif
