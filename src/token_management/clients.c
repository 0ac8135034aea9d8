/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/limits.h"
#include "core/nearest.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/client_check.h"
#include "token_management/client_row.h"
#include "token_management/grant.h"
#include "token_management/import_rows.h"
#include "token_management/internal.h"
#include "token_management/state.h"

/* ---- checking input ---- */

int client_check_app(const struct token_management *tm, const struct client_input *in,
	const struct provider *p, struct fault *f)
{
	const struct settings *s = tm->settings;
	const struct client_credentials given = {in->client_secret, in->private_key, in->key_id};

	if (in->client_id == NULL && in->client_secret == NULL && in->private_key == NULL &&
		strcmp(p->name, PROVIDER_GOOGLE) == 0) {
		if (s->google_client_id != NULL && secret_is_set(&s->google_client_secret))
			return 0;
		return fault_input(f, "client_id",
			"client_id and client_secret are required: no default app is set"
			" (GOOGLE_CLIENT_ID, GOOGLE_CLIENT_SECRET)");
	}
	if (in->client_id == NULL && in->client_secret != NULL)
		return fault_input(f, "client_id", "client_id must come with client_secret");
	if (in->client_id == NULL)
		return fault_input(f, "client_id",
			"client_id is required: provider %s has no default app", p->name);
	if (client_check_credentials(&given, p, false, f) < 0)
		return -1;
	return client_check_credential(in->client_id, LIMIT_CLIENT_ID_BYTES, "client_id", f);
}

static int refuse_provider(const struct token_management *tm, const char *name, struct fault *f)
{
	AUTO(buf_drop) struct buf known = BUF_INIT(PROVIDERS_MOST * (PROVIDER_NAME_BYTES + 2));
	struct nearest near = NEAREST(name);
	char shown[TEXT_EXCERPT_SIZE];

	for (size_t i = 0; i < tm->providers.n; i++) {
		const char *one = tm->providers.entries[i].own->p.name;

		nearest_offer(&near, one);
		buf_addf(&known, "%s%s", i > 0 ? ", " : "", one);
	}
	text_excerpt(name, shown);
	if (near.best != NULL)
		return fault_input(f, "provider", "provider '%s' is not known: is '%s' meant?",
			shown, near.best);
	return fault_input(f, "provider",
		"provider '%s' is not known: give one of %.100s, or add it to PROVIDERS_FILE",
		shown, buf_text(&known));
}

static int check_input(const struct token_management *tm, const struct client_input *in,
	const struct provider *p, struct fault *f)
{
	if (client_check_app(tm, in, p, f) < 0)
		return -1;
	if (in->redirect_uri != NULL && (client_check_redirect(in->redirect_uri, f) < 0 ||
						client_check_callback(in->redirect_uri, p, f) < 0))
		return -1;
	if (in->scope != NULL && client_check_scope(in->scope, p, f) < 0)
		return -1;
	if (client_check_text(in->branch_id, LIMIT_BRANCH_ID_BYTES, "branch_id", f) < 0 ||
		client_check_email(in->workspace_email, f) < 0)
		return -1;
	return client_check_text(in->workspace_name, LIMIT_NAME_BYTES, "workspace_name", f);
}

/* ---- reading rows ---- */

void client_done(struct client *c)
{
	mem_free(c->client_oauth_id);
	mem_free(c->redirect_uri);
	mem_free(c->branch_id);
	mem_free(c->workspace_email);
	mem_free(c->workspace_name);
	mem_free(c->provider);
	mem_free(c->provider_title);
	mem_free(c->scope);
	mem_free(c->status);
	mem_free(c->status_reason);
	mem_free(c->granted_scopes);
	mem_free(c->missing_scopes);
	mem_free(c->connected_email);
	*c = (struct client){0};
}

static char *missing_scopes(const char *requested, const char *granted)
{
	AUTO(buf_drop) struct buf missing = BUF_INIT(16384);

	if (requested != NULL)
		scopes_missing(requested, granted, &missing);
	return mem_text(buf_text(&missing));
}

/* Read, not stored: it heals by itself when the expected address is changed. */
static char *account_reason(const char *connected, const char *expected)
{
	AUTO(buf_drop) struct buf reason = BUF_INIT(1024);

	if (connected == NULL || expected == NULL || strcasecmp(connected, expected) == 0)
		return NULL;
	buf_addf(&reason, "connected as %s, not as the expected %s", connected, expected);
	return mem_text(buf_text(&reason));
}

static bool is_alive(const char *status)
{
	return strcmp(status, "connected") == 0 || strcmp(status, "expiring") == 0;
}

/* Of a record that was taken out of the file, the name is all there is, and what to do. */
static void read_provider(const struct token_management *tm, struct client *ret)
{
	const struct provider *p = provider_find(tm, ret->provider);
	AUTO(buf_drop) struct buf reason = BUF_INIT(256);

	ret->provider_title = mem_text(p != NULL ? p->title : ret->provider);
	if (p != NULL)
		return;
	buf_addf(&reason, PROVIDER_GONE, ret->provider);
	mem_free(ret->status_reason);
	ret->status_reason = mem_text(buf_text(&reason));
}

void client_read_row(
	const struct token_management *tm, const struct db_value *c, struct client *ret)
{
	bool has_tokens = c[12].type != DB_NULL;

	*ret = (struct client){
		.id = db_get_int(&c[0]),
		.client_oauth_id = row_copy_text(&c[1]),
		.redirect_uri = row_copy_text(&c[2]),
		.branch_id = row_copy_text(&c[3]),
		.workspace_email = row_copy_text(&c[4]),
		.workspace_name = row_copy_text(&c[5]),
		.provider = row_copy_text(&c[6]),
		.status = row_copy_text(&c[7]),
		.status_reason = row_copy_text(&c[8]),
		.is_active = db_get_int(&c[9]) != 0,
		.created_at_ms = db_get_int(&c[10]),
		.updated_at_ms = db_get_int(&c[11]),
		.expires_at_ms = db_get_int(&c[15]),
		.last_refreshed_at_ms = db_get_int(&c[16]),
		.next_refresh_at_ms = db_get_int(&c[17]),
		.connected_email = row_copy_text(&c[18]),
		.scope = row_copy_text(&c[19]),
	};
	read_provider(tm, ret);
	if (ret->status_reason == NULL && is_alive(ret->status))
		ret->status_reason = account_reason(ret->connected_email, ret->workspace_email);
	if (ret->client_oauth_id == NULL)
		ret->client_oauth_id = mem_text(tm->settings->google_client_id != NULL
							? tm->settings->google_client_id
							: "");
	if (has_tokens && c[13].type != DB_NULL) {
		ret->granted_scopes = row_copy_text(&c[13]);
		ret->missing_scopes = missing_scopes(db_get_text(&c[14]), ret->granted_scopes);
	}
}

struct finding {
	const struct token_management *tm;
	int64_t id;
	const char *branch_id; /* or NULL: by id */
	struct client *ret;
};

static int found(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct finding *x = arg;

	(void)n_cols;
	(void)f;
	client_done(x->ret);
	client_read_row(x->tm, cols, x->ret);
	return 1;
}

static int find_body(struct db *db, void *arg, struct fault *f)
{
	struct finding *x = arg;
	struct db_value now = db_int(clock_wall_ms());

	if (x->branch_id != NULL)
		return db_read(db, CLIENT_SELECT "WHERE c.branch_id = $2", found, x, f, now,
			db_text(x->branch_id));
	return db_read(db, CLIENT_SELECT "WHERE c.id = $2", found, x, f, now, db_int(x->id));
}

int clients_get(struct token_management *tm, int64_t id, struct client *ret, struct fault *f)
{
	struct finding x = {.tm = tm, .id = id, .ret = ret};

	*ret = (struct client){0};
	if (store_use(tm->store, find_body, &x, f) < 0)
		return -1;
	return ret->id != 0 ? 0 : fault_raise(f, FAULT_MISSING, "Client not found");
}

int clients_get_by_branch(
	struct token_management *tm, const char *branch_id, struct client *ret, struct fault *f)
{
	struct finding x = {.tm = tm, .branch_id = branch_id, .ret = ret};

	*ret = (struct client){0};
	if (store_use(tm->store, find_body, &x, f) < 0)
		return -1;
	return ret->id != 0
		       ? 0
		       : fault_raise(f, FAULT_MISSING, "No client is registered for this branch");
}

/* ---- registering ---- */

static int read_id(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

MUST_CHECK static bool seal_secret(const struct client_insertion *x, struct sealed *ret)
{
	const char *secret =
		x->in->client_secret != NULL ? x->in->client_secret : x->in->private_key;

	if (secret == NULL)
		return false;
	AUTO(secret_drop) struct secret plain = secret_from(secret, strlen(secret));
	grant_seal(x->tm, "client_secret", x->id, &plain, ret);
	return true;
}

int client_put_secret(struct db *db, const struct client_insertion *x, struct fault *f)
{
	AUTO(sealed_drop) struct sealed sealed = {0};

	if (!seal_secret(x, &sealed))
		return 0;
	return db_exec(db, "UPDATE clients SET client_secret = $2 WHERE id = $1", NULL, f,
		db_int(x->id), db_sealed(&sealed));
}

#define CLIENT_INSERT(column, value)                                                    \
	"INSERT INTO clients (client_id, redirect_uri, branch_id, workspace_email,"     \
	" workspace_name, provider, scope, key_id, status_since_ms, created_at_ms,"     \
	" updated_at_ms, client_secret" column ") VALUES ($1, $2, $3, $4, $5, $6, $8, " \
	"$9, $7, $7, $7, $10" value ") ON CONFLICT (branch_id) DO NOTHING" CLIENT_RETURNING

/*
 * The row's id is part of what the seal binds, so it must be known first, or the secret follows the
 * row. The latter reads the newest part of the index, which there is nobody else to write to on
 * SQLite; on PostgreSQL any two who insert at once would stand in each other's way.
 */
MUST_CHECK static int draw_id(struct db *db, int64_t *ret, struct fault *f)
{
	*ret = 0;
	if (db_engine(db) != DB_POSTGRES)
		return 0;
	return db_read(
		db, "SELECT nextval(pg_get_serial_sequence('clients', 'id'))", read_id, ret, f);
}

static int see_inserted(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct client_insertion *x = arg;

	(void)n_cols;
	(void)f;
	x->id = db_get_int(&cols[0]);
	if (x->ret != NULL) {
		client_done(x->ret);
		client_read_row(x->tm, cols, x->ret);
	}
	return 0;
}

int client_insert(struct db *db, struct client_insertion *x, struct fault *f)
{
	AUTO(sealed_drop) struct sealed sealed = {0};
	const struct client_input *in = x->in;
	bool is_sealed = false, is_drawn;

	if (draw_id(db, &x->id, f) < 0)
		return -1;
	is_drawn = x->id != 0;
	if (is_drawn)
		is_sealed = seal_secret(x, &sealed);
	const struct db_value row[] = {db_text(in->client_id), db_text(x->redirect_uri),
		db_text(in->branch_id), db_text(in->workspace_email), db_text(in->workspace_name),
		db_text(x->provider), db_int(clock_wall_ms()), db_text(in->scope),
		db_text(in->key_id), db_sealed(&sealed), db_int(x->id)};
	x->id = 0;
	if (db_run(db, is_drawn ? CLIENT_INSERT(", id", ", $11") : CLIENT_INSERT("", ""), row,
		    ARRAY_LEN(row) - (is_drawn ? 0 : 1), see_inserted, x, NULL, f) < 0)
		return -1;
	if (x->id == 0)
		return 1;
	return is_sealed ? 0 : client_put_secret(db, x, f);
}

void client_callback_url(const struct token_management *tm, const char *provider, struct buf *ret)
{
	buf_addf(ret, "%s" CLIENT_CALLBACK_PATH, tm->settings->public_url);
	if (strcmp(provider, PROVIDER_GOOGLE) != 0)
		buf_addf(ret, "/%s", provider);
}

struct registering {
	struct client_insertion row;
	const struct actor *who;
};

static int write_registered(struct db *db, const struct registering *x, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(16384);
	struct json_out o = JSON_OUT(&detail);
	const char *branch_id = x->row.in->branch_id;

	json_open(&o, '{');
	json_add_int(&o, "client", x->row.id);
	json_add_text(&o, "client_id", x->row.in->client_id);
	json_add_text(&o, "provider", x->row.provider);
	json_add_text(&o, "redirect_uri", x->row.redirect_uri);
	json_close(&o, '}');
	if (audit_write(db, x->who, "client.registered", branch_id, buf_text(&detail), f) < 0)
		return -1;
	return store_note_change(db, CHANGE_CLIENT, branch_id, f);
}

static int register_body(struct db *db, void *arg, struct fault *f)
{
	struct registering *x = arg;
	int outcome = client_insert(db, &x->row, f);

	if (outcome < 0)
		return -1;
	if (outcome == 1)
		return fault_raise(f, FAULT_CONFLICT, "Branch ID already exists");
	return write_registered(db, x, f);
}

int clients_register(struct token_management *tm, const struct client_input *in,
	const struct actor *who, struct client *ret, struct fault *f)
{
	AUTO(buf_drop) struct buf callback = BUF_INIT(LIMIT_URL_BYTES + 128);
	const char *name = in->provider != NULL ? in->provider : PROVIDER_GOOGLE;
	const struct provider *p = provider_find(tm, name);
	struct registering x = {.row = {.tm = tm,
					.in = in,
					.redirect_uri = in->redirect_uri,
					.provider = name,
					.ret = ret},
		.who = who};

	*ret = (struct client){0};
	if (p == NULL)
		return refuse_provider(tm, name, f);
	if (check_input(tm, in, p, f) < 0)
		return -1;
	if (x.row.redirect_uri == NULL) {
		client_callback_url(tm, name, &callback);
		x.row.redirect_uri = buf_text(&callback);
	}
	if (store_transact(tm->store, register_body, &x, f) < 0) {
		if (f->kind == FAULT_CONFLICT)
			snprintf(f->field, sizeof(f->field), "branch_id");
		client_done(ret);
		return -1;
	}
	slots_forget(tm, in->branch_id);
	return 0;
}

/* ---- deleting ---- */

static int read_branch(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct client_deletion *d = arg;

	(void)n_cols;
	(void)f;
	snprintf(d->branch_id, sizeof(d->branch_id), "%s", db_get_text(&cols[0]));
	return 0;
}

int client_delete(struct db *db, struct client_deletion *d, struct fault *f)
{
	d->branch_id[0] = '\0';
	if (db_read(db,
		    "DELETE FROM clients WHERE id = $1"
		    " AND (CAST($2 AS TEXT) IS NULL OR status = $2) RETURNING branch_id",
		    read_branch, d, f, db_int(d->client_row), db_text(d->only_status)) < 0)
		return -1;
	if (d->branch_id[0] == '\0')
		return 1;
	if (audit_write(db, d->who, "client.deleted", d->branch_id, NULL, f) < 0 ||
		import_forget(db, d->client_row, f) < 0)
		return -1;
	return store_note_change(db, CHANGE_CLIENT, d->branch_id, f);
}

static int delete_body(struct db *db, void *arg, struct fault *f)
{
	int result = client_delete(db, arg, f);

	return result == 1 ? fault_raise(f, FAULT_MISSING, "Client not found") : result;
}

int clients_delete(
	struct token_management *tm, int64_t id, const struct actor *who, struct fault *f)
{
	struct client_deletion d = {.who = who, .client_row = id};

	if (store_transact(tm->store, delete_body, &d, f) < 0)
		return -1;
	slots_forget(tm, d.branch_id);
	return 0;
}
