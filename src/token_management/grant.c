/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/grant.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store.h"
#include "token_management/import_rows.h"
#include "token_management/internal.h"
#include "token_management/sealed_column.h"
#include "vault/vault.h"

/* ---- reading ---- */

void grant_done(struct grant *g)
{
	mem_free(g->branch_id);
	mem_free(g->oauth_id);
	mem_free(g->provider);
	mem_free(g->redirect_uri);
	mem_free(g->workspace_email);
	mem_free(g->workspace_name);
	mem_free(g->wanted_scope);
	mem_free(g->key_id);
	mem_free(g->reason);
	sealed_drop(&g->client_secret);
	sealed_drop(&g->previous_secret);
	sealed_drop(&g->access);
	sealed_drop(&g->refresh);
	mem_free(g->token_type);
	mem_free(g->scope);
	mem_free(g->requested_scope);
	mem_free(g->subject);
	mem_free(g->lease_owner);
	*g = (struct grant){0};
}

char *row_copy_text(const struct db_value *col)
{
	const char *text = db_get_text(col);

	return text != NULL ? mem_text(text) : NULL;
}

static struct sealed take_sealed(const struct db_value *col)
{
	return col->type == DB_BYTES ? sealed_from(col->bytes, col->len) : (struct sealed){0};
}

#define GRANT_SELECT                                                                               \
	"SELECT c.id, c.branch_id, c.client_id, c.provider, c.redirect_uri, c.workspace_email,"    \
	" c.workspace_name, c.is_active, c.status, c.client_secret, c.status_reason,"              \
	" t.client_id, t.access_token, t.refresh_token, t.token_type, t.scope, t.requested_scope," \
	" t.google_subject, t.expires_at_ms, t.lifetime_ms, t.retry_at_ms, t.refresh_failures,"    \
	" t.fence, t.lease_until_ms, t.lease_owner, c.client_secret_previous,"                     \
	" c.client_secret_previous_until_ms, t.next_refresh_at_ms, c.scope, c.key_id"              \
	" FROM clients c LEFT JOIN tokens t ON t.client_id = c.id "

static int read_grant(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct grant *g = arg;

	(void)n_cols;
	(void)f;
	g->client_row = db_get_int(&c[0]);
	g->branch_id = row_copy_text(&c[1]);
	g->oauth_id = row_copy_text(&c[2]);
	g->provider = row_copy_text(&c[3]);
	g->redirect_uri = row_copy_text(&c[4]);
	g->workspace_email = row_copy_text(&c[5]);
	g->workspace_name = row_copy_text(&c[6]);
	g->is_active = db_get_int(&c[7]) != 0;
	g->state = state_parse(db_get_text(&c[8]));
	g->client_secret = take_sealed(&c[9]);
	g->reason = row_copy_text(&c[10]);
	g->has_tokens = c[11].type != DB_NULL;
	g->access = take_sealed(&c[12]);
	g->refresh = take_sealed(&c[13]);
	g->token_type = row_copy_text(&c[14]);
	g->scope = row_copy_text(&c[15]);
	g->requested_scope = row_copy_text(&c[16]);
	g->subject = row_copy_text(&c[17]);
	g->expires_at_ms = db_get_int(&c[18]);
	g->lifetime_ms = db_get_int(&c[19]);
	g->retry_at_ms = db_get_int(&c[20]);
	g->failures = db_get_int(&c[21]);
	g->fence = db_get_int(&c[22]);
	g->lease_until_ms = db_get_int(&c[23]);
	g->lease_owner = row_copy_text(&c[24]);
	g->previous_secret = take_sealed(&c[25]);
	g->previous_secret_until_ms = db_get_int(&c[26]);
	g->next_refresh_at_ms = db_get_int(&c[27]);
	g->wanted_scope = row_copy_text(&c[28]);
	g->key_id = row_copy_text(&c[29]);
	return 1;
}

int grant_load(struct db *db, const char *branch_id, struct grant *ret, struct fault *f)
{
	if (db_read(db, GRANT_SELECT "WHERE c.branch_id = $1", read_grant, ret, f,
		    db_text(branch_id)) < 0)
		return -1;
	return ret->client_row != 0 ? 0 : 1;
}

int grant_load_by_id(struct db *db, int64_t client_row, struct grant *ret, struct fault *f)
{
	if (db_read(db, GRANT_SELECT "WHERE c.id = $1", read_grant, ret, f, db_int(client_row)) < 0)
		return -1;
	return ret->client_row != 0 ? 0 : 1;
}

/* ---- sealing ---- */

void grant_seal(const struct token_management *tm, const char *column, int64_t client_row,
	const struct secret *plain, struct sealed *ret)
{
	struct db_value key = db_int(client_row);
	struct sealed_place place;

	sealed_place(column, &key, &place);
	vault_seal(tm->vault, &place.at, plain, ret);
}

int grant_unseal(const struct token_management *tm, const char *column, int64_t client_row,
	const struct sealed *sealed, struct secret *ret, struct fault *f)
{
	struct db_value key = db_int(client_row);
	struct sealed_place place;

	sealed_place(column, &key, &place);
	return vault_unseal(tm->vault, &place.at, sealed->bytes, sealed->len, ret, f);
}

const char *grant_app_id(const struct token_management *tm, const struct grant *g)
{
	return g->oauth_id != NULL ? g->oauth_id : tm->settings->google_client_id;
}

static int default_app(const struct settings *s, struct app *ret, struct fault *f)
{
	if (s->google_client_id == NULL || !secret_is_set(&s->google_client_secret))
		return fault_raise(f, FAULT_INPUT,
			"this branch uses the default OAuth app, but GOOGLE_CLIENT_ID or"
			" GOOGLE_CLIENT_SECRET is not set");
	ret->id = s->google_client_id;
	ret->secret = secret_copy(&s->google_client_secret);
	return 0;
}

int grant_app(const struct token_management *tm, const struct provider *p, const struct grant *g,
	bool previous, struct app *ret, struct fault *f)
{
	if (g->oauth_id == NULL)
		return default_app(tm->settings, ret, f);
	ret->id = g->oauth_id;
	if (p->auth == PROVIDER_AUTH_NONE)
		return 0;
	if (previous)
		return grant_unseal(tm, "client_secret_previous", g->client_row,
			&g->previous_secret, &ret->secret, f);
	if (g->client_secret.bytes != NULL) {
		ret->key_id = g->key_id;
		return grant_unseal(
			tm, "client_secret", g->client_row, &g->client_secret, &ret->secret, f);
	}
	if (p->auth != PROVIDER_AUTH_KEY || !secret_is_set(&p->key))
		return fault_raise(f, FAULT_INPUT,
			"this branch has no %s of its own, and provider %s has none either",
			p->auth == PROVIDER_AUTH_KEY ? "private key" : "client secret", p->name);
	ret->key_id = p->key_id;
	ret->secret = secret_copy(&p->key);
	return 0;
}

bool grant_has_previous_secret(const struct grant *g)
{
	return g->oauth_id != NULL && g->previous_secret.bytes != NULL &&
	       g->previous_secret_until_ms > clock_wall_ms();
}

/* ---- writing ---- */

int grant_claim(
	struct db *db, const struct grant *g, const char *owner, int64_t until_ms, struct fault *f)
{
	int64_t changed;

	if (db_exec(db,
		    "UPDATE tokens SET lease_owner = $3, lease_until_ms = $4, fence = fence + 1"
		    " WHERE client_id = $1 AND fence = $2 AND lease_owner IS NOT DISTINCT FROM $5",
		    &changed, f, db_int(g->client_row), db_int(g->fence), db_text(owner),
		    db_int(until_ms), db_text(g->lease_owner)) < 0)
		return -1;
	return changed == 1 ? 0 : 1;
}

void grant_tokens_seal(const struct token_management *tm, int64_t client_row,
	const struct token_response *r, struct grant_tokens *t)
{
	sealed_drop(&t->access);
	sealed_drop(&t->refresh);
	grant_seal(tm, "access_token", client_row, &r->access_token, &t->access);
	if (secret_is_set(&r->refresh_token))
		grant_seal(tm, "refresh_token", client_row, &r->refresh_token, &t->refresh);
	refresh_names_of(&r->refresh_token, &t->names);
}

void grant_tokens_from(const struct token_management *tm, const struct provider *p,
	int64_t client_row, const struct token_response *r, int64_t sent_wall_ms,
	struct grant_tokens *ret)
{
	int64_t lifetime = r->expires_in_s < 0 ? p->assumed_lifetime_ms : r->expires_in_s * 1000;

	if (lifetime > p->max_lifetime_ms)
		lifetime = p->max_lifetime_ms;
	*ret = (struct grant_tokens){
		.scope = r->scope != NULL ? mem_text(r->scope) : NULL,
		.lifetime_ms = lifetime,
		.expires_at_ms = sent_wall_ms + lifetime,
		.refresh_expires_at_ms = r->refresh_expires_in_s > 0
						 ? sent_wall_ms + r->refresh_expires_in_s * 1000
						 : 0,
	};
	ret->next_refresh_at_ms =
		due_after_success(tm->settings, client_row, ret->expires_at_ms, lifetime);
	grant_tokens_seal(tm, client_row, r, ret);
}

void grant_tokens_done(struct grant_tokens *t)
{
	sealed_drop(&t->access);
	sealed_drop(&t->refresh);
	mem_free(t->scope);
	*t = (struct grant_tokens){0};
}

static int move_state(struct db *db, const struct grant *g, enum connection_state to,
	const char *reason, struct fault *f)
{
	struct state_change move = {.client_row = g->client_row, .to = to, .reason = reason};

	return state_move(db, &move, f) < 0 ? -1 : 0;
}

/* The fence, and for certainty that nobody ended the connection without moving it. */
#define STILL_OURS                             \
	" WHERE client_id = $1 AND fence = $2" \
	" AND (SELECT status FROM clients WHERE id = $1) IN ('connected', 'degraded', 'pending')"

static struct db_value text_or_null(const char *text)
{
	return db_text(text[0] != '\0' ? text : NULL);
}

int grant_store(struct db *db, const struct grant *g, int64_t fence, const struct grant_tokens *t,
	struct fault *f)
{
	int64_t now = clock_wall_ms(), changed;

	if (db_exec(db,
		    "UPDATE tokens SET access_token = $3, refresh_token = COALESCE($4, "
		    "refresh_token),"
		    " scope = COALESCE($5, scope), expires_at_ms = $6, lifetime_ms = $7,"
		    " next_refresh_at_ms = $8,"
		    " refresh_token_expires_at_ms = COALESCE($9, refresh_token_expires_at_ms),"
		    " is_valid = 1, last_refreshed_at_ms = $10, refresh_failures = 0,"
		    " retry_at_ms = NULL, lease_owner = NULL, lease_until_ms = NULL,"
		    " refresh_hash = COALESCE($11, refresh_hash),"
		    " refresh_prefix = COALESCE($12, refresh_prefix),"
		    " google_subject = COALESCE(google_subject, $13),"
		    " google_email = COALESCE(google_email, $14),"
		    " suspended_at_ms = NULL, updated_at_ms = $10" STILL_OURS,
		    &changed, f, db_int(g->client_row), db_int(fence), db_sealed(&t->access),
		    db_sealed(&t->refresh), db_text(t->scope), db_int(t->expires_at_ms),
		    db_int(t->lifetime_ms), db_int(t->next_refresh_at_ms),
		    db_int_or_null(t->refresh_expires_at_ms, t->refresh_expires_at_ms > 0),
		    db_int(now), refresh_names_hash(&t->names), refresh_names_prefix(&t->names),
		    text_or_null(t->who.subject), text_or_null(t->who.email)) < 0)
		return -1;
	if (changed == 0)
		return 1;
	if (g->state == STATE_DEGRADED || g->state == STATE_PENDING)
		return move_state(db, g, STATE_CONNECTED, NULL, f);
	return 0;
}

int grant_fail(struct db *db, const struct grant *g, int64_t fence, const struct grant_failure *why,
	struct fault *f)
{
	bool dead = why->class == TOKEN_CLASS_GRANT_DEAD;
	int64_t changed;

	if (db_exec(db,
		    "UPDATE tokens SET refresh_failures = refresh_failures + 1, retry_at_ms = $3,"
		    " refresh_token = COALESCE($4, refresh_token),"
		    " refresh_hash = COALESCE($8, refresh_hash),"
		    " refresh_prefix = COALESCE($9, refresh_prefix),"
		    " is_valid = CASE WHEN $5 = 1 THEN 0 ELSE is_valid END,"
		    " next_refresh_at_ms = CASE WHEN $5 = 1 THEN NULL ELSE $7 END,"
		    " lease_owner = NULL, lease_until_ms = NULL, updated_at_ms = $6" STILL_OURS,
		    &changed, f, db_int(g->client_row), db_int(fence),
		    db_int_or_null(why->retry_at_ms, !dead),
		    why->refresh != NULL ? db_sealed(why->refresh) : db_null(), db_int(dead),
		    db_int(clock_wall_ms()), db_int(why->next_refresh_at_ms),
		    refresh_names_hash(why->names), refresh_names_prefix(why->names)) < 0)
		return -1;
	if (changed == 0)
		return 1;
	if (dead)
		return move_state(db, g, STATE_NEEDS_RECONNECT, why->reason, f);
	if (g->state != STATE_PENDING)
		return move_state(db, g, STATE_DEGRADED, why->reason, f);
	/* Imported, and not verified yet: an outage makes it neither better nor worse. */
	if (import_put_off(db, g->client_row, why, f) < 0)
		return -1;
	return move_state(db, g, STATE_PENDING, why->reason, f);
}

int grant_release(struct db *db, const struct grant *g, int64_t fence, struct fault *f)
{
	int64_t changed;

	if (db_exec(db,
		    "UPDATE tokens SET lease_owner = NULL, lease_until_ms = NULL"
		    " WHERE client_id = $1 AND fence = $2",
		    &changed, f, db_int(g->client_row), db_int(fence)) < 0)
		return -1;
	return changed == 1 ? 0 : 1;
}
