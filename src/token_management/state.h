/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a connection. Stored states move only along the table in state.c, through
 * state_move, which writes the move's audit row and its event connection.<state>. Two states are
 * derived when a row is read: `inactive` from is_active, which has an event too, and `expiring`
 * from the time, which has none.
 */
#ifndef TOKEN_MANAGEMENT_STATE_H
#define TOKEN_MANAGEMENT_STATE_H

#include "base/attr.h"
#include "base/fault.h"
#include "token_management/token_management.h"

struct db;

enum connection_state {
	STATE_PENDING,   /* registered; no token yet, or one that was imported and not yet used */
	STATE_CONNECTED, /* a grant that works */
	STATE_DEGRADED,  /* the grant stands, but refreshing it fails */
	STATE_NEEDS_RECONNECT, /* the grant is dead */
	STATE_REVOKING,        /* revocation asked for, not yet confirmed by the provider */
	STATE_REVOKED,
	STATE_COUNT, /* of the stored ones */
	STATE_EXPIRING = STATE_COUNT,
	STATE_INACTIVE,
};

const char *state_name(enum connection_state s);
/* Stored names only; anything else is STATE_COUNT. */
enum connection_state state_parse(const char *name);
bool state_may_move(enum connection_state from, enum connection_state to);

struct state_change { /* borrowed */
	int64_t client_row;
	enum connection_state to;
	const char *reason; /* words for people, or NULL */
	const struct actor *who;
};
/*
 * Inside a transaction. 0: moved, audited, told, and noted in the change feed where others must act
 * on it; 1: was there already (the reason is brought up to date); 2: no such client. -1 FAULT_BUG
 * for a move that is not in the table.
 */
enum { STATE_MOVED, STATE_WAS_THERE, STATE_NO_CLIENT };
MUST_CHECK int state_move(struct db *db, const struct state_change *c, struct fault *f);
/*
 * Inside a transaction that switched the client on or off: the event of that. c->to is the stored
 * state, which stays; audit_id: the row that says who did it.
 */
MUST_CHECK int state_tell_switch(struct db *db, const struct state_change *c, const char *branch_id,
	bool is_active, int64_t audit_id, struct fault *f);

#endif
