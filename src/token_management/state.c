/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/state.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/limits.h"
#include "events/events.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/import_rows.h"
#include "token_management/internal.h"

static const char *const names[] = {
	[STATE_PENDING] = "pending",
	[STATE_CONNECTED] = "connected",
	[STATE_DEGRADED] = "degraded",
	[STATE_NEEDS_RECONNECT] = "needs_reconnect",
	[STATE_REVOKING] = "revoking",
	[STATE_REVOKED] = "revoked",
	[STATE_EXPIRING] = "expiring",
	[STATE_INACTIVE] = "inactive",
};

#define MOVE_TRIES_MAX 3

#define TO(s) (1u << (s))
static const unsigned legal[STATE_COUNT] = {
	/* What is imported is pending until its first refresh, whatever the branch was before. */
	[STATE_PENDING] = TO(STATE_CONNECTED) | TO(STATE_NEEDS_RECONNECT),
	[STATE_CONNECTED] = TO(STATE_DEGRADED) | TO(STATE_NEEDS_RECONNECT) | TO(STATE_REVOKING) |
			    TO(STATE_REVOKED) | TO(STATE_PENDING),
	[STATE_DEGRADED] = TO(STATE_CONNECTED) | TO(STATE_NEEDS_RECONNECT) | TO(STATE_REVOKING) |
			   TO(STATE_REVOKED) | TO(STATE_PENDING),
	[STATE_NEEDS_RECONNECT] = TO(STATE_CONNECTED) | TO(STATE_DEGRADED) | TO(STATE_REVOKING) |
				  TO(STATE_REVOKED) | TO(STATE_PENDING),
	[STATE_REVOKING] = TO(STATE_REVOKED) | TO(STATE_CONNECTED),
	[STATE_REVOKED] = TO(STATE_CONNECTED) | TO(STATE_PENDING),
};

const char *state_name(enum connection_state s)
{
	return names[s];
}

enum connection_state state_parse(const char *name)
{
	for (unsigned i = 0; i < STATE_COUNT; i++) {
		if (text_equal(names[i], name))
			return (enum connection_state)i;
	}
	return STATE_COUNT;
}

bool state_may_move(enum connection_state from, enum connection_state to)
{
	return from < STATE_COUNT && to < STATE_COUNT && (legal[from] & TO(to)) != 0;
}

struct current {
	char branch_id[LIMIT_BRANCH_ID_BYTES + 1];
	enum connection_state state;
	bool found;
};

static int read_current(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct current *now = arg;
	size_t len = cols[0].len < LIMIT_BRANCH_ID_BYTES ? cols[0].len : LIMIT_BRANCH_ID_BYTES;

	(void)n_cols;
	(void)f;
	memcpy(now->branch_id, cols[0].bytes, len);
	now->branch_id[len] = '\0';
	now->state = state_parse(db_get_text(&cols[1]));
	now->found = true;
	return 0;
}

/* The row's number makes the event this move's: the same states are left and met again. */
static int write_event(struct db *db, const struct state_change *c, const struct current *was,
	const char *to, int64_t audit_id, int64_t now_ms, struct fault *f)
{
	AUTO(buf_drop) struct buf data = BUF_INIT(8192), kind = BUF_INIT(64), key = BUF_INIT(96);
	struct json_out o = JSON_OUT(&data);
	char ref[24];

	snprintf(ref, sizeof(ref), "%lld", (long long)c->client_row);
	buf_addf(&kind, "connection.%s", to);
	buf_addf(&key, "%s %lld %lld", ref, (long long)audit_id, (long long)now_ms);
	json_open(&o, '{');
	json_add_int(&o, "client_id", c->client_row);
	json_add_text(&o, "from", state_name(was->state));
	json_add_text(&o, "to", to);
	json_add_text(&o, "reason", c->reason);
	json_close(&o, '}');
	const struct event e = {.kind = buf_text(&kind),
		.key = buf_text(&key),
		.branch_id = was->branch_id,
		.ref = ref,
		.data = buf_text(&data),
		.at_ms = now_ms};
	return events_add(db, &e, f) < 0 ? -1 : 0;
}

static int write_audit(struct db *db, const struct state_change *c, const struct current *was,
	int64_t *ret_id, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(4096), action = BUF_INIT(64);
	struct json_out o = JSON_OUT(&detail);

	json_open(&o, '{');
	json_add_text(&o, "from", state_name(was->state));
	json_add_text(&o, "reason", c->reason);
	json_close(&o, '}');
	buf_addf(&action, "connection.%s", state_name(c->to));
	return audit_write_row(
		db, c->who, buf_text(&action), was->branch_id, buf_text(&detail), ret_id, f);
}

/* A token of a connection in this state may be served; others must hear when that changes. */
static bool has_token(enum connection_state s)
{
	return s == STATE_CONNECTED || s == STATE_DEGRADED;
}

/* One try. STATE_COUNT stands for: somebody moved it between our look and our write. */
static int move_once(struct db *db, const struct state_change *c, struct current *was, int64_t now,
	struct fault *f)
{
	int64_t changed;

	*was = (struct current){0};
	if (db_read(db, "SELECT branch_id, status FROM clients WHERE id = $1", read_current, was, f,
		    db_int(c->client_row)) < 0)
		return -1;
	if (!was->found)
		return STATE_NO_CLIENT;
	if (was->state == c->to)
		return db_exec(db, "UPDATE clients SET status_reason = $2 WHERE id = $1", NULL, f,
			       db_int(c->client_row), db_text(c->reason)) < 0
			       ? -1
			       : STATE_WAS_THERE;
	if (!state_may_move(was->state, c->to))
		return fault_raise(f, FAULT_BUG, "a connection cannot move from %s to %s",
			was->state < STATE_COUNT ? state_name(was->state) : "an unknown state",
			state_name(c->to));
	if (db_exec(db,
		    "UPDATE clients SET status = $2, status_reason = $3, status_since_ms = $4,"
		    " updated_at_ms = $4 WHERE id = $1 AND status = $5",
		    &changed, f, db_int(c->client_row), db_text(state_name(c->to)),
		    db_text(c->reason), db_int(now), db_text(state_name(was->state))) < 0)
		return -1;
	return changed == 1 ? STATE_MOVED : STATE_COUNT;
}

int state_move(struct db *db, const struct state_change *c, struct fault *f)
{
	struct current was;
	int64_t now = clock_wall_ms(), audit_id = 0;
	int outcome = STATE_COUNT;

	/* Who looks again sees where the other one moved it: mostly to the same place. */
	for (int tries = 0; tries < MOVE_TRIES_MAX && outcome == STATE_COUNT; tries++)
		outcome = move_once(db, c, &was, now, f);
	if (outcome == STATE_COUNT)
		return fault_raise(f, FAULT_CONFLICT, "the connection changed meanwhile");
	if (outcome != STATE_MOVED)
		return outcome;
	if (write_audit(db, c, &was, &audit_id, f) < 0 ||
		write_event(db, c, &was, state_name(c->to), audit_id, now, f) < 0)
		return -1;
	if (was.state == STATE_PENDING && import_settle(db, c, f) < 0)
		return -1;
	if (!(has_token(was.state) && has_token(c->to)) &&
		store_note_change(db, CHANGE_CLIENT, was.branch_id, f) < 0)
		return -1;
	return STATE_MOVED;
}

int state_tell_switch(struct db *db, const struct state_change *c, const char *branch_id,
	bool is_active, int64_t audit_id, struct fault *f)
{
	struct current was = {.state = is_active ? STATE_INACTIVE : c->to};

	snprintf(was.branch_id, sizeof(was.branch_id), "%s", branch_id);
	return write_event(db, c, &was, state_name(is_active ? c->to : STATE_INACTIVE), audit_id,
		clock_wall_ms(), f);
}
