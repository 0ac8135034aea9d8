/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills an empty database with connected branches: seed DATABASE_URL VAULT_KEY_FILE COUNT
 *
 * Registering and connecting a hundred thousand branches through HTTP would measure the setting-up.
 * This writes the same rows in one transaction: branch-000001 …, each with a sealed client secret,
 * access token and refresh token, valid for a day. Only ./bench uses it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "store/store.h"
#include "vault/vault.h"

#define DAY_MS (24 * 60 * 60 * 1000)
#define SCOPE "https://www.googleapis.com/auth/business.manage openid email"

struct filling {
	const struct vault *vault;
	int64_t count, now_ms;
};

static void seal(const struct filling *fill, const char *table, const char *column, int64_t row,
	const char *prefix, struct sealed *ret)
{
	char text[RAND_TEXT_SIZE(120) + 32], id[24];
	const size_t start = strlen(prefix);

	memcpy(text, prefix, start);
	rand_text(120, text + start);
	snprintf(id, sizeof(id), "%lld", (long long)row);
	AUTO(secret_drop) struct secret plain = secret_from(text, strlen(text));
	const struct vault_place at = {.table = table, .column = column, .row = id};
	vault_seal(fill->vault, &at, &plain, ret);
}

static int add_client(struct db *db, const struct filling *fill, int64_t row, struct fault *f)
{
	AUTO(sealed_drop) struct sealed secret = {0};
	char branch[32];

	snprintf(branch, sizeof(branch), "branch-%06lld", (long long)row);
	seal(fill, "clients", "client_secret", row, "GOCSPX-", &secret);
	return db_exec(db,
		"INSERT INTO clients (id, client_id, client_secret, redirect_uri, branch_id, "
		"workspace_email, workspace_name, status, status_since_ms, created_at_ms, "
		"updated_at_ms) "
		"VALUES ($1, 'bench.apps.googleusercontent.com', $2, "
		"'http://localhost:8084/token-management/auth/callback', $3, 'bench@example.com', "
		"'Bench', 'connected', $4, $4, $4)",
		NULL, f, db_int(row), db_sealed(&secret), db_text(branch), db_int(fill->now_ms));
}

static int add_token(struct db *db, const struct filling *fill, int64_t row, struct fault *f)
{
	AUTO(sealed_drop) struct sealed access = {0}, refresh = {0};

	seal(fill, "tokens", "access_token", row, "ya29.", &access);
	seal(fill, "tokens", "refresh_token", row, "1//0", &refresh);
	return db_exec(db,
		"INSERT INTO tokens (id, client_id, access_token, refresh_token, scope, "
		"requested_scope, "
		"expires_at_ms, lifetime_ms, last_refreshed_at_ms, next_refresh_at_ms, "
		"created_at_ms, "
		"updated_at_ms) VALUES ($1, $1, $2, $3, $4, $4, $5, $6, $7, $5, $7, $7)",
		NULL, f, db_int(row), db_sealed(&access), db_sealed(&refresh), db_text(SCOPE),
		db_int(fill->now_ms + DAY_MS), db_int(DAY_MS), db_int(fill->now_ms));
}

static int fill_all(struct db *db, void *arg, struct fault *f)
{
	const struct filling *fill = arg;

	for (int64_t row = 1; row <= fill->count; row++)
		if (add_client(db, fill, row, f) < 0 || add_token(db, fill, row, f) < 0)
			return -1;
	return 0;
}

static int run(const char *url, const char *key_file, int64_t count, struct fault *f)
{
	const struct store_options options = {.url = url, .connections = 1, .exclusive = true};
	AUTO(store_closep) struct store *store = NULL;
	AUTO(vault_closep) struct vault *vault = NULL;
	int applied;

	if (vault_open(key_file, &vault, f) < 0 || store_open(&options, &store, f) < 0 ||
		store_migrate_up(store, &applied, f) < 0)
		return -1;
	struct filling fill = {.vault = vault, .count = count, .now_ms = clock_wall_ms()};
	return store_transact(store, fill_all, &fill, f);
}

int main(int argc, char *argv[])
{
	struct fault f = {0};

	if (argc != 4) {
		fprintf(stderr, "usage: seed DATABASE_URL VAULT_KEY_FILE COUNT\n");
		return 2;
	}
	if (run(argv[1], argv[2], strtoll(argv[3], NULL, 10), &f) < 0) {
		fprintf(stderr, "seed: %s\n", f.text);
		return 1;
	}
	return 0;
}
