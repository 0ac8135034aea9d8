/* SPDX-License-Identifier: Apache-2.0 */
/* A granted consent becomes the connection: one transaction, then memory. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/connect_exchange.h"

#define STORE_TRIES 6
#define STORE_RETRY_MS 200 /* doubled each time: 6 tries take 6 s */

/* Without a new refresh token the stored one serves, if it lives and is of the same account. */
static bool may_keep_refresh(const struct exchange *x, const struct grant *now)
{
	const char *subject = now->subject != NULL ? now->subject : "";

	return now->refresh.bytes != NULL &&
	       (now->state == STATE_CONNECTED || now->state == STATE_DEGRADED) &&
	       strcmp(subject, x->identity.subject) == 0;
}

static int put_tokens(struct db *db, const struct exchange *x, struct fault *f)
{
	const struct grant_tokens *t = &x->sealed;
	const char *subject = x->identity.subject, *email = x->identity.email;

	/* The fence moves on, so that a refresh with the old grant can no longer write. */
	return db_exec(db,
		"INSERT INTO tokens (client_id, provider, access_token, refresh_token, scope,"
		" requested_scope,"
		" google_subject, google_email, expires_at_ms, lifetime_ms, next_refresh_at_ms,"
		" refresh_token_expires_at_ms, last_refreshed_at_ms, created_at_ms, updated_at_ms,"
		" refresh_hash, refresh_prefix)"
		" VALUES ($1, $13, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $12, $14, "
		"$15)"
		" ON CONFLICT (client_id) DO UPDATE SET provider = excluded.provider,"
		" access_token = excluded.access_token,"
		" refresh_token = COALESCE(excluded.refresh_token, tokens.refresh_token),"
		" token_type = 'Bearer', scope = excluded.scope,"
		" requested_scope = excluded.requested_scope,"
		" google_subject = excluded.google_subject, google_email = excluded.google_email,"
		" expires_at_ms = excluded.expires_at_ms, lifetime_ms = excluded.lifetime_ms,"
		" next_refresh_at_ms = excluded.next_refresh_at_ms,"
		" refresh_token_expires_at_ms = excluded.refresh_token_expires_at_ms,"
		" is_valid = 1, is_revoked = 0, refresh_failures = 0, retry_at_ms = NULL,"
		" lease_owner = NULL, lease_until_ms = NULL, fence = tokens.fence + 1,"
		" last_refreshed_at_ms = excluded.last_refreshed_at_ms,"
		" refresh_hash = COALESCE(excluded.refresh_hash, tokens.refresh_hash),"
		" refresh_prefix = COALESCE(excluded.refresh_prefix, tokens.refresh_prefix),"
		" suspended_at_ms = NULL,"
		" updated_at_ms = excluded.updated_at_ms",
		NULL, f, db_int(x->grant.client_row), db_sealed(&t->access), db_sealed(&t->refresh),
		db_text(t->scope), db_text(x->scope), db_text(subject[0] != '\0' ? subject : NULL),
		db_text(email[0] != '\0' ? email : NULL), db_int(t->expires_at_ms),
		db_int(t->lifetime_ms), db_int(t->next_refresh_at_ms),
		db_int_or_null(t->refresh_expires_at_ms, t->refresh_expires_at_ms > 0),
		db_int(clock_wall_ms()), db_text(x->grant.provider), refresh_names_hash(&t->names),
		refresh_names_prefix(&t->names));
}

static int use_up_tickets(struct db *db, const struct exchange *x, struct fault *f)
{
	return db_exec(db,
		"UPDATE link_tickets SET used_at_ms = $3 WHERE client_id = $1"
		" AND browser_hash = $2 AND used_at_ms IS NULL",
		NULL, f, db_int(x->grant.client_row),
		db_bytes(x->browser_hash, sizeof(x->browser_hash)), db_int(clock_wall_ms()));
}

enum { STORED, NO_REFRESH_TOKEN, CLIENT_GONE, LINK_GONE, LINK_WAS_USED };

struct link_now {
	bool is_used, is_revoked;
};

static int read_link(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct link_now *l = arg;

	(void)n_cols;
	(void)f;
	l->is_used = c[0].type != DB_NULL;
	l->is_revoked = c[1].type != DB_NULL;
	return 1;
}

/* The last word on a link: it may have been revoked, or used in another tab, since the callback. */
static int check_link(struct db *db, const struct exchange *x, struct fault *f)
{
	struct link_now l = {0};

	if (!x->has_ticket)
		return STORED;
	if (db_read(db,
		    "SELECT t.used_at_ms, t.revoked_at_ms FROM connect_flows f"
		    " JOIN link_tickets t ON t.ticket_hash = f.ticket_hash WHERE f.state_hash = $1",
		    read_link, &l, f, db_bytes(x->state_hash, sizeof(x->state_hash))) < 0)
		return -1;
	return l.is_revoked ? LINK_GONE : l.is_used ? LINK_WAS_USED : STORED;
}

/* Who connected is no secret of the branch: the operator has to be able to see it. */
static int note_wrong_account(
	struct db *db, const struct exchange *x, const char *branch_id, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(2048);
	struct json_out o = JSON_OUT(&detail);

	json_open(&o, '{');
	json_add_text(&o, "account", x->identity.email);
	json_add_text(&o, "expected", x->grant.workspace_email);
	json_close(&o, '}');
	return audit_write(
		db, &x->who, "connection.wrong_account", branch_id, buf_text(&detail), f);
}

static int put_connection(
	struct db *db, const struct exchange *x, const struct grant *now, struct fault *f)
{
	struct state_change move = {
		.client_row = now->client_row, .to = STATE_CONNECTED, .who = &x->who};
	int moved;

	if (put_tokens(db, x, f) < 0 || use_up_tickets(db, x, f) < 0 ||
		connect_note_end(db, x, CONNECT_DONE, f) < 0)
		return -1;
	moved = state_move(db, &move, f);
	if (moved < 0)
		return -1;
	if (moved == STATE_WAS_THERE &&
		audit_write(db, &x->who, "connection.renewed", now->branch_id, NULL, f) < 0)
		return -1;
	if (x->is_wrong_account && note_wrong_account(db, x, now->branch_id, f) < 0)
		return -1;
	/* Even where nothing moved: others hold the old token in memory. */
	return store_note_change(db, CHANGE_CLIENT, now->branch_id, f);
}

static int connect_body(struct db *db, void *arg, struct fault *f)
{
	struct exchange *x = arg;
	AUTO(grant_done) struct grant now = {0};
	int outcome = grant_load_by_id(db, x->grant.client_row, &now, f);

	if (outcome < 0)
		return -1;
	if (outcome == 1 || !now.is_active)
		return CLIENT_GONE;
	if (x->sealed.refresh.bytes == NULL && !may_keep_refresh(x, &now))
		return NO_REFRESH_TOKEN;
	outcome = check_link(db, x, f);
	if (outcome != STORED)
		return outcome;
	return put_connection(db, x, &now, f) < 0 ? -1 : STORED;
}

static void publish(struct exchange *x)
{
	struct token_management *tm = x->work.tm;
	const char *app_id = grant_app_id(tm, &x->grant);
	struct live_token t = {
		.client_row = x->grant.client_row,
		.oauth_id = mem_text(app_id != NULL ? app_id : ""),
		.token_type = mem_text("Bearer"),
		.scope = mem_text(x->sealed.scope),
		.access = secret_copy(&x->response.access_token),
		.expires_at_ms = x->sealed.expires_at_ms,
		.lifetime_ms = x->sealed.lifetime_ms,
	};

	slots_replace(tm, x->grant.branch_id, &t);
	due_hear_next(tm, x->grant.provider, x->sealed.next_refresh_at_ms);
	live_token_done(&t);
}

static void end_store(struct exchange *x, int outcome)
{
	switch (outcome) {
	case CLIENT_GONE:
		fault_raise(&x->fault, FAULT_MISSING, "Client not found or inactive");
		connect_end(x, CONNECT_FAILED);
		break;
	case NO_REFRESH_TOKEN:
		connect_end_unconnected(x, CONNECT_NO_REFRESH_TOKEN);
		break;
	case LINK_GONE:
		connect_end_unconnected(x, CONNECT_LINK_REVOKED);
		break;
	case LINK_WAS_USED:
		connect_end_unconnected(x, CONNECT_LINK_USED);
		break;
	default:
		publish(x);
		x->expires_at_ms = x->sealed.expires_at_ms;
		connect_end(x, CONNECT_DONE);
	}
}

static void step_store(struct work *w)
{
	struct exchange *x = CONTAINER_OF(w, struct exchange, work);
	int outcome;

	/* Meanwhile a rotation may have ended and the old key be forgotten. */
	if (x->store_tries > 0)
		grant_tokens_seal(w->tm, x->grant.client_row, &x->response, &x->sealed);
	outcome = store_transact(w->tm->store, connect_body, x, &x->fault);
	if (outcome < 0 && ++x->store_tries < STORE_TRIES)
		work_later(w, STORE_RETRY_MS << (x->store_tries - 1), step_store);
	else if (outcome < 0)
		connect_end(x, CONNECT_FAILED);
	else
		end_store(x, outcome);
}

void connect_store(struct exchange *x)
{
	step_store(&x->work);
}
