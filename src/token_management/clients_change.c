/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing a client. A secret is changed at the provider and here at two different times, so the
 * one before stays beside the new one for a while, and a refresh tries both (refresh_ask.c).
 */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "core/limits.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/client_check.h"
#include "token_management/grant.h"
#include "token_management/internal.h"

struct changing {
	struct token_management *tm;
	int64_t id;
	const struct client_change *change;
	const struct actor *who;
	struct grant now;
	bool switches; /* on or off, and was not so before */
};

static int check_change(const struct client_change *c, struct fault *f)
{
	if (c->redirect_uri != NULL && client_check_redirect(c->redirect_uri, f) < 0)
		return -1;
	if (c->workspace_email != NULL && client_check_email(c->workspace_email, f) < 0)
		return -1;
	if (c->workspace_name != NULL)
		return client_check_text(c->workspace_name, LIMIT_NAME_BYTES, "workspace_name", f);
	return 0;
}

/* A private key stands where a secret does. */
static const char *new_secret(const struct client_change *c)
{
	return c->client_secret != NULL ? c->client_secret : c->private_key;
}

/* What depends on whose client it is. */
static int check_for_provider(const struct changing *x, struct fault *f)
{
	const struct client_change *c = x->change;
	const struct client_credentials given = {c->client_secret, c->private_key, c->key_id};
	const struct provider *p = provider_find(x->tm, x->now.provider);

	if (new_secret(c) == NULL && c->key_id == NULL && c->redirect_uri == NULL)
		return 0;
	if (p == NULL)
		return fault_raise(f, FAULT_CONFLICT, PROVIDER_GONE, x->now.provider);
	if (client_check_credentials(&given, p, true, f) < 0)
		return -1;
	return c->redirect_uri != NULL ? client_check_callback(c->redirect_uri, p, f) : 0;
}

/* The secret that was current, sealed for its new place. Empty: unreadable, so of no use. */
static void seal_previous(
	const struct changing *x, const struct secret *fresh, struct sealed *ret, bool *ret_is_same)
{
	AUTO(secret_drop) struct secret old = {0};
	struct fault f = {0};

	*ret_is_same = false;
	if (x->now.client_secret.bytes == NULL ||
		grant_unseal(x->tm, "client_secret", x->id, &x->now.client_secret, &old, &f) < 0)
		return;
	*ret_is_same = secret_equal(&old, fresh);
	grant_seal(x->tm, "client_secret_previous", x->id, &old, ret);
}

/* Whatever failed for the old secret is asked again now, by whoever reads the token next. */
static int heal(struct db *db, const struct changing *x, struct fault *f)
{
	/* One that was imported waits for nothing else; who reads the others refreshes them. */
	const bool is_awaited = x->now.state == STATE_PENDING && x->now.refresh.bytes != NULL;

	if (is_awaited && store_note_change(db, CHANGE_DUE, x->now.branch_id, f) < 0)
		return -1;
	return db_exec(db,
		"UPDATE tokens SET retry_at_ms = NULL, updated_at_ms = $2, next_refresh_at_ms ="
		" CASE WHEN CAST($3 AS BIGINT) = 1 THEN $2 ELSE next_refresh_at_ms END WHERE "
		"client_id = $1",
		NULL, f, db_int(x->id), db_int(clock_wall_ms()), db_int(is_awaited));
}

static int put_secret(struct db *db, const struct changing *x, const char *text, struct fault *f)
{
	AUTO(secret_drop) struct secret fresh = secret_from(text, strlen(text));
	AUTO(sealed_drop) struct sealed sealed = {0}, previous = {0};
	bool is_same;

	if (x->now.oauth_id == NULL)
		return fault_raise(f, FAULT_CONFLICT,
			"This branch uses the default OAuth app: its secret is the setting"
			" GOOGLE_CLIENT_SECRET");
	seal_previous(x, &fresh, &previous, &is_same);
	if (!is_same) {
		grant_seal(x->tm, "client_secret", x->id, &fresh, &sealed);
		if (db_exec(db,
			    "UPDATE clients SET client_secret = $2, client_secret_previous = $3,"
			    " client_secret_previous_until_ms = $4, key_id = $5 WHERE id = $1",
			    NULL, f, db_int(x->id), db_sealed(&sealed), db_sealed(&previous),
			    db_int(clock_wall_ms() + CLIENT_SECRET_OVERLAP_MS),
			    db_text(x->change->key_id)) < 0)
			return -1;
	}
	return heal(db, x, f);
}

static int put_fields(struct db *db, const struct changing *x, struct fault *f)
{
	const struct client_change *c = x->change;

	return db_exec(db,
		"UPDATE clients SET redirect_uri = COALESCE($2, redirect_uri),"
		" workspace_email = COALESCE($3, workspace_email),"
		" workspace_name = COALESCE($4, workspace_name),"
		" updated_at_ms = $5 WHERE id = $1",
		NULL, f, db_int(x->id), db_text(c->redirect_uri), db_text(c->workspace_email),
		db_text(c->workspace_name), db_int(clock_wall_ms()));
}

/* By the row's answer: of two who switch it off at once, one did. */
static int put_active(struct db *db, struct changing *x, struct fault *f)
{
	int64_t changed;

	x->switches = false;
	if (x->change->is_active == NULL)
		return 0;
	if (db_exec(db, "UPDATE clients SET is_active = $2 WHERE id = $1 AND is_active <> $2",
		    &changed, f, db_int(x->id), db_int(*x->change->is_active ? 1 : 0)) < 0)
		return -1;
	x->switches = changed == 1;
	return 0;
}

static int tell_switch(struct db *db, const struct changing *x, int64_t audit_id, struct fault *f)
{
	const bool on = x->change->is_active != NULL && *x->change->is_active;
	const struct state_change c = {.client_row = x->id,
		.to = x->now.state,
		.reason = on ? "Switched on again" : "Switched off",
		.who = x->who};

	return x->switches ? state_tell_switch(db, &c, x->now.branch_id, on, audit_id, f) : 0;
}

static int write_changed(struct db *db, const struct changing *x, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(16384);
	const struct client_change *c = x->change;
	struct json_out o = JSON_OUT(&detail);
	int64_t audit_id = 0;

	json_open(&o, '{');
	json_add_int(&o, "client", x->id);
	if (c->client_secret != NULL) /* that, not what */
		json_add_bool(&o, "client_secret", true);
	if (c->private_key != NULL)
		json_add_bool(&o, "private_key", true);
	if (c->redirect_uri != NULL)
		json_add_text(&o, "redirect_uri", c->redirect_uri);
	if (c->workspace_email != NULL)
		json_add_text(&o, "workspace_email", c->workspace_email);
	if (c->workspace_name != NULL)
		json_add_text(&o, "workspace_name", c->workspace_name);
	if (c->is_active != NULL)
		json_add_bool(&o, "is_active", *c->is_active);
	json_close(&o, '}');
	if (audit_write_row(db, x->who, "client.changed", x->now.branch_id, buf_text(&detail),
		    &audit_id, f) < 0 ||
		tell_switch(db, x, audit_id, f) < 0)
		return -1;
	return store_note_change(db, CHANGE_CLIENT, x->now.branch_id, f);
}

/* What was switched off, or refused its secret, is kept fresh again. */
static int make_due(struct db *db, const struct changing *x, struct fault *f)
{
	const struct client_change *c = x->change;
	int64_t at;

	if (new_secret(c) == NULL && (c->is_active == NULL || !*c->is_active))
		return 0;
	at = due_after_success(x->tm->settings, x->id, x->now.expires_at_ms, x->now.lifetime_ms);
	return db_exec(db,
		"UPDATE tokens SET next_refresh_at_ms = $2 WHERE client_id = $1 AND is_valid = 1"
		" AND (next_refresh_at_ms IS NULL OR next_refresh_at_ms > $2)",
		NULL, f, db_int(x->id), db_int(at));
}

static int change_body(struct db *db, void *arg, struct fault *f)
{
	struct changing *x = arg;
	int outcome;

	grant_done(&x->now);
	outcome = grant_load_by_id(db, x->id, &x->now, f);
	if (outcome < 0)
		return -1;
	if (outcome == 1)
		return fault_raise(f, FAULT_MISSING, "Client not found");
	if (check_for_provider(x, f) < 0)
		return -1;
	if (new_secret(x->change) != NULL && put_secret(db, x, new_secret(x->change), f) < 0)
		return -1;
	if (put_active(db, x, f) < 0 || put_fields(db, x, f) < 0 || make_due(db, x, f) < 0)
		return -1;
	return write_changed(db, x, f);
}

int clients_change(struct token_management *tm, int64_t id, const struct client_change *change,
	const struct actor *who, struct client *ret, struct fault *f)
{
	struct changing x = {.tm = tm, .id = id, .change = change, .who = who};
	int result;

	*ret = (struct client){0};
	if (check_change(change, f) < 0)
		return -1;
	result = store_transact(tm->store, change_body, &x, f);
	if (result >= 0) {
		slots_forget(tm, x.now.branch_id);
		due_hear_next(tm, x.now.provider, clock_wall_ms());
	}
	grant_done(&x.now);
	return result < 0 ? -1 : clients_get(tm, id, ret, f);
}
