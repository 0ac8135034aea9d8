/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/state.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/limits.h"
#include "store/store.h"
#include "token_management/audit.h"
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

#define TO(s) (1u << (s))
static const unsigned legal[STATE_COUNT] = {
	[STATE_PENDING] = TO(STATE_CONNECTED),
	[STATE_CONNECTED] = TO(STATE_DEGRADED) | TO(STATE_NEEDS_RECONNECT) | TO(STATE_REVOKING) |
			    TO(STATE_REVOKED),
	[STATE_DEGRADED] = TO(STATE_CONNECTED) | TO(STATE_NEEDS_RECONNECT) | TO(STATE_REVOKING) |
			   TO(STATE_REVOKED),
	[STATE_NEEDS_RECONNECT] = TO(STATE_CONNECTED) | TO(STATE_REVOKING) | TO(STATE_REVOKED),
	[STATE_REVOKING] = TO(STATE_REVOKED) | TO(STATE_CONNECTED),
	[STATE_REVOKED] = TO(STATE_CONNECTED),
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

static int write_audit(
	struct db *db, const struct state_change *c, const struct current *was, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(4096), action = BUF_INIT(64);
	struct json_out o = JSON_OUT(&detail);

	json_open(&o, '{');
	json_add_text(&o, "from", state_name(was->state));
	json_add_text(&o, "reason", c->reason);
	json_close(&o, '}');
	buf_addf(&action, "connection.%s", state_name(c->to));
	return audit_write(db, c->who, buf_text(&action), was->branch_id, buf_text(&detail), f);
}

/* A token of a connection in this state may be served; others must hear when that changes. */
static bool has_token(enum connection_state s)
{
	return s == STATE_CONNECTED || s == STATE_DEGRADED;
}

int state_move(struct db *db, const struct state_change *c, struct fault *f)
{
	struct current was = {0};
	int64_t now = clock_wall_ms(), changed;

	if (db_read(db, "SELECT branch_id, status FROM clients WHERE id = $1", read_current, &was,
		    f, db_int(c->client_row)) < 0)
		return -1;
	if (!was.found)
		return STATE_NO_CLIENT;
	if (was.state == c->to) {
		if (db_exec(db, "UPDATE clients SET status_reason = $2 WHERE id = $1", NULL, f,
			    db_int(c->client_row), db_text(c->reason)) < 0)
			return -1;
		return STATE_WAS_THERE;
	}
	if (!state_may_move(was.state, c->to))
		return fault_raise(f, FAULT_BUG, "a connection cannot move from %s to %s",
			was.state < STATE_COUNT ? state_name(was.state) : "an unknown state",
			state_name(c->to));
	if (db_exec(db,
		    "UPDATE clients SET status = $2, status_reason = $3, status_since_ms = $4,"
		    " updated_at_ms = $4 WHERE id = $1 AND status = $5",
		    &changed, f, db_int(c->client_row), db_text(state_name(c->to)),
		    db_text(c->reason), db_int(now), db_text(state_name(was.state))) < 0)
		return -1;
	if (changed == 0)
		return fault_raise(f, FAULT_CONFLICT, "the connection changed meanwhile");
	if (write_audit(db, c, &was, f) < 0)
		return -1;
	if (!(has_token(was.state) && has_token(c->to)) &&
		store_note_change(db, CHANGE_CLIENT, was.branch_id, f) < 0)
		return -1;
	return STATE_MOVED;
}
