/* SPDX-License-Identifier: Apache-2.0 */
/* Whose callback it is, and what the provider said in it. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "store/store.h"
#include "token_management/connect_exchange.h"

#define CODE_MAX 4096

struct flow_row {
	struct exchange *x;
	int64_t client_row;
	bool found, is_used, is_late, is_ours, is_revoked, is_link_used;
};

static int read_flow(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct flow_row *row = arg;
	struct exchange *x = row->x;

	(void)n_cols;
	(void)f;
	row->found = true;
	row->client_row = db_get_int(&c[0]);
	row->is_ours = c[1].len == HASH_BLAKE2B_SIZE &&
		       hash_equal(c[1].bytes, x->browser_hash, HASH_BLAKE2B_SIZE);
	row->is_late = db_get_int(&c[7]) <= clock_wall_ms();
	row->is_used = c[8].type != DB_NULL;
	x->was_done = c[10].type != DB_NULL && strcmp(db_get_text(&c[10]), "connected") == 0;
	x->has_ticket = c[11].type != DB_NULL;
	row->is_link_used = c[12].type != DB_NULL;
	row->is_revoked = c[13].type != DB_NULL;
	x->verifier = sealed_from(c[2].bytes, c[2].len);
	x->provider = row_copy_text(&c[3]);
	x->token_url = row_copy_text(&c[4]);
	x->issuer = row_copy_text(&c[5]);
	x->redirect_uri = row_copy_text(&c[6]);
	x->scope = row_copy_text(&c[9]);
	return 1;
}

/* In the order of what is to be told: a browser that did not begin a flow learns nothing of it. */
static enum connect_outcome judge(const struct flow_row *row)
{
	if (!row->found)
		return CONNECT_BAD_STATE;
	if (!row->is_ours)
		return CONNECT_OTHER_BROWSER;
	if (row->is_used)
		return CONNECT_REPLAYED;
	if (row->is_revoked)
		return CONNECT_LINK_REVOKED;
	if (row->is_late)
		return CONNECT_EXPIRED;
	return row->is_link_used ? CONNECT_LINK_USED : CONNECT_DONE;
}

/* CONNECT_DONE in x->outcome: this flow, begun by this browser, not yet used. */
static int load_flow(struct db *db, struct exchange *x, struct fault *f)
{
	struct flow_row row = {.x = x};

	if (db_read(db,
		    "SELECT f.client_id, f.browser_hash, f.code_verifier, f.provider, f.token_url,"
		    " f.issuer, f.redirect_uri, f.expires_at_ms, f.used_at_ms, f.scope, f.ended_as,"
		    " f.ticket_hash, t.used_at_ms, t.revoked_at_ms FROM connect_flows f"
		    " LEFT JOIN link_tickets t ON t.ticket_hash = f.ticket_hash"
		    " WHERE f.state_hash = $1",
		    read_flow, &row, f, db_bytes(x->state_hash, sizeof(x->state_hash))) < 0)
		return -1;
	x->outcome = judge(&row);
	if (x->outcome != CONNECT_DONE)
		return 0;
	const int found = grant_load_by_id(db, row.client_row, &x->grant, f);
	if (found == 1)
		x->outcome = CONNECT_BAD_STATE;
	return found < 0 ? -1 : 0;
}

/* 0: spent by us, now. 1: someone was first. */
static int spend_state(struct db *db, const struct exchange *x, struct fault *f)
{
	int64_t changed;

	if (db_exec(db,
		    "UPDATE connect_flows SET used_at_ms = $2 WHERE state_hash = $1"
		    " AND used_at_ms IS NULL",
		    &changed, f, db_bytes(x->state_hash, sizeof(x->state_hash)),
		    db_int(clock_wall_ms())) < 0)
		return -1;
	return changed == 1 ? 0 : 1;
}

/*
 * An answer of another issuer is neither spent nor believed (RFC 9207 section 2.4). Who does not
 * send its issuer is told by where the answer arrived (RFC 9700 section 4.4.2.2): each provider but
 * Google has a callback of its own.
 */
static bool is_wrong_issuer(const struct exchange *x, const struct provider *p)
{
	const char *iss = x->reply->iss, *arrived = x->reply->arrived;

	if (arrived != NULL && strcmp(arrived, p->name) != 0)
		return true;
	if (iss != NULL && x->issuer != NULL)
		return strcmp(iss, x->issuer) != 0;
	if (p->sends_iss)
		return true;
	return arrived == NULL && strcmp(p->name, PROVIDER_GOOGLE) != 0;
}

/* RFC 6749 section 4.1.2.1. What is not known to pass is for the operator to mend. */
static enum connect_outcome read_error(struct exchange *x, const char *error)
{
	if (strcmp(error, "access_denied") == 0)
		return CONNECT_REFUSED;
	fault_raise(&x->fault, FAULT_UPSTREAM, "the provider answered with error %s",
		x->provider_error[0] != '\0' ? x->provider_error : "(not a plain word)");
	if (strcmp(error, "temporarily_unavailable") == 0 || strcmp(error, "server_error") == 0)
		return CONNECT_UNAVAILABLE;
	return CONNECT_MISCONFIGURED;
}

/* What the answer says, given that it belongs to this flow. CONNECT_DONE: spend the code. */
static enum connect_outcome read_reply(struct exchange *x)
{
	const struct connect_reply *reply = x->reply;
	const struct provider *p = provider_find(x->work.tm, x->provider);

	if (!x->grant.is_active) {
		fault_raise(&x->fault, FAULT_MISSING, "Client not found or inactive");
		return CONNECT_FAILED;
	}
	if (p == NULL) {
		fault_raise(&x->fault, FAULT_CONFLICT, PROVIDER_GONE, x->provider);
		return CONNECT_FAILED;
	}
	if (is_wrong_issuer(x, p)) {
		fault_raise(&x->fault, FAULT_INPUT,
			"the answer does not come from the issuer that was asked");
		return CONNECT_FAILED;
	}
	if (reply->error != NULL) {
		if (token_error_is_plain(reply->error, sizeof(x->provider_error)))
			snprintf(x->provider_error, sizeof(x->provider_error), "%s", reply->error);
		return read_error(x, reply->error);
	}
	if (reply->code == NULL || reply->code[0] == '\0' || strlen(reply->code) > CODE_MAX)
		return CONNECT_BAD_REQUEST;
	return CONNECT_DONE;
}

static int take_body(struct db *db, void *arg, struct fault *f)
{
	struct exchange *x = arg;
	int outcome;

	connect_forget_flow(x); /* of an earlier run of this body */
	if (load_flow(db, x, f) < 0)
		return -1;
	if (x->outcome != CONNECT_DONE)
		return 0;
	x->has_flow = true;
	x->outcome = read_reply(x);
	if (x->outcome == CONNECT_BAD_REQUEST) /* nothing was answered: the flow goes on */
		return 0;
	outcome = spend_state(db, x, f);
	if (outcome == 1) {
		x->outcome = CONNECT_REPLAYED;
		x->has_flow = false;
	}
	return outcome < 0 ? -1 : 0;
}

int connect_take(struct exchange *x, struct fault *f)
{
	return store_transact(x->work.tm->store, take_body, x, f);
}
