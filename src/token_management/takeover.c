/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The original's rows become ours, a client with its tokens at a time, some clients a transaction:
 * what is still aside is what is left to do, so that any interruption costs one transaction.
 */
#include "token_management/token_management_secrets.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "token_management/audit.h"
#include "token_management/sealed_column.h"

#define CLIENTS_A_TRANSACTION 50

struct taking {
	struct takeover *t;
	struct vault *vault;
	struct db *db;
	int64_t client; /* whose tokens are read */
	int64_t n_clients;
	bool has_current; /* its newest tokens were met */
	const char *status, *reason;
};

/* A text of the original, sealed for the place where it will be. None, or an empty one, is NULL. */
static void seal(struct taking *x, const char *column, int64_t row, const struct db_value *plain,
	struct sealed *ret)
{
	struct db_value key = db_int(row);
	struct sealed_place place;
	AUTO(secret_drop) struct secret text = {0};

	if (plain->type != DB_TEXT || plain->len == 0)
		return;
	text = secret_from(plain->bytes, plain->len);
	sealed_place(column, &key, &place);
	vault_seal(x->vault, &place.at, &text, ret);
}

/* The state that the original's flags mean. */
static void judge(struct taking *x, const struct db_value *c)
{
	const bool is_valid = db_get_int(&c[6]) != 0, is_revoked = db_get_int(&c[7]) != 0;
	const bool can_refresh = c[2].type == DB_TEXT && c[2].len > 0;

	x->reason = NULL;
	if (is_revoked) {
		x->status = "revoked";
		x->reason = "revoked before it was taken over";
	} else if (!is_valid) {
		x->status = "needs_reconnect";
		x->reason = "its token was not valid any more when it was taken over: connect this "
			    "branch again";
	} else if (!can_refresh && db_get_int(&c[5]) <= clock_wall_ms()) {
		x->status = "needs_reconnect";
		x->reason = "its token had expired without a refresh token when it was taken over: "
			    "connect this branch again";
	} else {
		x->status = "connected";
	}
}

/* id, access, refresh, type, scope, expires, valid, revoked, refreshed, created, updated */
static int take_current(struct taking *x, const struct db_value *c, struct fault *f)
{
	AUTO(sealed_drop) struct sealed access = {0}, refresh = {0};

	seal(x, "access_token", x->client, &c[1], &access);
	seal(x, "refresh_token", x->client, &c[2], &refresh);
	judge(x, c);
	return db_exec(x->db,
		"INSERT INTO tokens (id, client_id, access_token, refresh_token, token_type, scope,"
		" expires_at_ms, is_valid, is_revoked, last_refreshed_at_ms, created_at_ms,"
		" updated_at_ms) VALUES ($1, $2, $3, $4, coalesce($5, 'Bearer'), $6, $7, $8, $9, "
		"$10,"
		" $11, $12)",
		NULL, f, c[0], db_int(x->client), db_sealed(&access), db_sealed(&refresh), c[3],
		c[4], c[5], c[6], c[7], c[8], c[9], c[10]);
}

static int take_former(struct taking *x, const struct db_value *c, struct fault *f)
{
	AUTO(sealed_drop) struct sealed access = {0}, refresh = {0};

	seal(x, "former_access_token", db_get_int(&c[0]), &c[1], &access);
	seal(x, "former_refresh_token", db_get_int(&c[0]), &c[2], &refresh);
	return db_exec(x->db,
		"INSERT INTO former_tokens (id, client_id, former_access_token,"
		" former_refresh_token, token_type, scope, expires_at_ms, is_valid, is_revoked,"
		" last_refreshed_at_ms, created_at_ms, updated_at_ms)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		NULL, f, c[0], db_int(x->client), db_sealed(&access), db_sealed(&refresh), c[3],
		c[4], c[5], c[6], c[7], c[8], c[9], c[10]);
}

static int take_token(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct taking *x = arg;

	(void)n_cols;
	if (x->has_current)
		return take_former(x, c, f);
	x->has_current = true;
	return take_current(x, c, f);
}

/* The one in use comes first: valid before not, newer before older. */
static const char tokens_sql[] =
	"SELECT CAST(id AS BIGINT), access_token, refresh_token, token_type, scope,"
	" CAST(floor(extract(epoch FROM expires_at) * 1000) AS BIGINT),"
	" CASE WHEN is_valid THEN 1 ELSE 0 END, CASE WHEN is_revoked THEN 1 ELSE 0 END,"
	" CAST(floor(extract(epoch FROM last_refreshed_at) * 1000) AS BIGINT),"
	" CAST(floor(extract(epoch FROM coalesce(created_at, 'epoch')) * 1000) AS BIGINT),"
	" CAST(floor(extract(epoch FROM coalesce(updated_at, created_at, 'epoch')) * 1000) AS "
	"BIGINT)"
	" FROM original_tokens WHERE client_id = $1"
	" ORDER BY CASE WHEN is_valid AND NOT is_revoked THEN 0 ELSE 1 END,"
	" coalesce(updated_at, created_at) DESC NULLS LAST, id DESC";

static const char clients_sql[] =
	"SELECT CAST(id AS BIGINT), client_id, client_secret, redirect_uri, branch_id,"
	" workspace_email, workspace_name, CASE WHEN is_active THEN 1 ELSE 0 END,"
	" CAST(floor(extract(epoch FROM coalesce(created_at, 'epoch')) * 1000) AS BIGINT),"
	" CAST(floor(extract(epoch FROM coalesce(updated_at, created_at, 'epoch')) * 1000) AS "
	"BIGINT)"
	" FROM original_clients ORDER BY id LIMIT $1";

/* id, client_id, secret, redirect, branch, email, name, active, created, updated */
static int take_client(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	static const struct actor self = {.name = "cli"};
	AUTO(sealed_drop) struct sealed secret = {0};
	struct taking *x = arg;

	(void)n_cols;
	x->client = db_get_int(&c[0]);
	x->has_current = false;
	x->status = "pending";
	x->reason = NULL;
	seal(x, "client_secret", x->client, &c[2], &secret);
	if (db_exec(x->db,
		    "INSERT INTO clients (id, client_id, client_secret, redirect_uri, branch_id,"
		    " workspace_email, workspace_name, is_active, status, status_since_ms,"
		    " created_at_ms, updated_at_ms) VALUES ($1, $2, $3, coalesce($4, ''), $5,"
		    " coalesce($6, ''), coalesce($7, ''), $8, 'pending', $10, $9, $10)",
		    NULL, f, c[0], c[1], db_sealed(&secret), c[3], c[4], c[5], c[6], c[7], c[8],
		    c[9]) < 0 ||
		db_read(x->db, tokens_sql, take_token, x, f, c[0]) < 0 ||
		db_exec(x->db, "UPDATE clients SET status = $2, status_reason = $3 WHERE id = $1",
			NULL, f, c[0], db_text(x->status), db_text(x->reason)) < 0 ||
		audit_write(x->db, &self, "client.taken_over", db_get_text(&c[4]), NULL, f) < 0)
		return -1;
	x->n_clients++;
	return 0;
}

static int see_sealed(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct taking *x = arg;
	AUTO(secret_drop) struct secret plain = {0};
	struct sealed_place place;
	struct fault why;

	(void)n_cols;
	sealed_place("client_secret", &c[0], &place);
	if (vault_unseal(x->vault, &place.at, c[1].bytes, c[1].len, &plain, &why) == 0)
		return 1;
	return fault_raise(f, FAULT_CONFLICT,
		"what is taken over already is sealed under another key ring (VAULT_KEY_FILE): go "
		"on with that one");
}

/* Two machines may have begun at once, each with a ring that it has just made. */
MUST_CHECK static int check_ring(struct taking *x, struct fault *f)
{
	return db_read(x->db,
		"SELECT id, client_secret FROM clients WHERE client_secret IS NOT NULL"
		" ORDER BY id LIMIT 1",
		see_sealed, x, f);
}

static int see_totals(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct takeover *t = arg;

	(void)n_cols, (void)f;
	t->n_clients = db_get_int(&c[0]);
	t->n_tokens = db_get_int(&c[1]);
	t->n_former = db_get_int(&c[2]);
	return 1;
}

/* What earlier runs have taken counts as well. */
static int count_body(struct db *db, void *arg, struct fault *f)
{
	return db_read(db,
		"SELECT (SELECT count(*) FROM clients), (SELECT count(*) FROM tokens),"
		" (SELECT count(*) FROM former_tokens)",
		see_totals, arg, f);
}

static int take_body(struct db *db, void *arg, struct fault *f)
{
	struct taking *x = arg;

	x->db = db;
	x->client = 0;
	x->n_clients = 0;
	/* One at a time, each with a view of what the one before has left. */
	if (db_exec(db, "LOCK TABLE original_clients IN ACCESS EXCLUSIVE MODE", NULL, f) < 0 ||
		check_ring(x, f) < 0 ||
		db_read(db, clients_sql, take_client, x, f, db_int(CLIENTS_A_TRANSACTION)) < 0)
		return -1;
	/* They came in the order of their numbers. */
	if (x->n_clients > 0 && (db_exec(db, "DELETE FROM original_tokens WHERE client_id <= $1",
					 NULL, f, db_int(x->client)) < 0 ||
					db_exec(db, "DELETE FROM original_clients WHERE id <= $1",
						NULL, f, db_int(x->client)) < 0))
		return -1;
	return 0;
}

int takeover_rows(struct store *s, struct vault *vault, struct takeover *t, struct fault *f)
{
	struct taking x = {.t = t, .vault = vault};

	do {
		if (store_transact(s, take_body, &x, f) < 0)
			return -1;
		t->n_clients += x.n_clients;
		if (t->progress != NULL)
			t->progress(t->arg, t);
	} while (x.n_clients > 0);
	return store_use(s, count_body, t, f);
}
