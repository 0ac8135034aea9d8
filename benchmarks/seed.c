/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills an empty database with connected branches:
 *	seed DATABASE_URL VAULT_KEY_FILE COUNT [due]
 *
 * Registering and connecting a hundred thousand branches through HTTP would measure the setting-up.
 * This writes the same rows in one transaction: branch-000001 …, each with a sealed client secret,
 * access token and refresh token, valid for a day. With "due", their refresh is due at once: the
 * refresh tokens are read from standard input, one a line, and the app's secret is always the same.
 * Only ./bench uses it.
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
	struct vault *vault;
	int64_t count, now_ms;
	bool is_due;
};

static void seal_text(const struct filling *fill, const char *table, const char *column,
	int64_t row, const char *text, struct sealed *ret)
{
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)row);
	AUTO(secret_drop) struct secret plain = secret_from(text, strlen(text));
	const struct vault_place at = {.table = table, .column = column, .row = id};
	vault_seal(fill->vault, &at, &plain, ret);
}

static void seal(const struct filling *fill, const char *table, const char *column, int64_t row,
	const char *prefix, struct sealed *ret)
{
	char text[RAND_TEXT_SIZE(120) + 32];
	const size_t start = strlen(prefix);

	memcpy(text, prefix, start);
	rand_text(120, text + start);
	seal_text(fill, table, column, row, text, ret);
}

static int add_client(struct db *db, const struct filling *fill, int64_t row, struct fault *f)
{
	AUTO(sealed_drop) struct sealed secret = {0};
	char branch[32];

	snprintf(branch, sizeof(branch), "branch-%06lld", (long long)row);
	if (fill->is_due)
		seal_text(fill, "clients", "client_secret", row, "GOCSPX-bench", &secret);
	else
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
	int64_t end_ms = fill->now_ms + DAY_MS;
	char line[1024];

	seal(fill, "tokens", "access_token", row, "ya29.", &access);
	if (!fill->is_due) {
		seal(fill, "tokens", "refresh_token", row, "1//0", &refresh);
	} else {
		if (fgets(line, sizeof(line), stdin) == NULL)
			return fault_raise(f, FAULT_INPUT, "standard input has too few tokens");
		line[strcspn(line, "\n")] = '\0';
		seal_text(fill, "tokens", "refresh_token", row, line, &refresh);
		end_ms = fill->now_ms;
	}
	return db_exec(db,
		"INSERT INTO tokens (id, client_id, access_token, refresh_token, scope, "
		"requested_scope, "
		"expires_at_ms, lifetime_ms, last_refreshed_at_ms, next_refresh_at_ms, "
		"created_at_ms, "
		"updated_at_ms) VALUES ($1, $1, $2, $3, $4, $4, $5, $6, $7, $5, $7, $7)",
		NULL, f, db_int(row), db_sealed(&access), db_sealed(&refresh), db_text(SCOPE),
		db_int(end_ms), db_int(DAY_MS), db_int(fill->now_ms));
}

static int fill_all(struct db *db, void *arg, struct fault *f)
{
	const struct filling *fill = arg;

	for (int64_t row = 1; row <= fill->count; row++)
		if (add_client(db, fill, row, f) < 0 || add_token(db, fill, row, f) < 0)
			return -1;
	return 0;
}

static int run(const char *url, const char *key_file, int64_t count, bool is_due, struct fault *f)
{
	const struct store_options options = {.url = url, .connections = 1, .exclusive = true};
	AUTO(store_closep) struct store *store = NULL;
	AUTO(vault_closep) struct vault *vault = NULL;
	int applied;

	if (vault_open(key_file, &vault, f) < 0 || store_open(&options, &store, f) < 0 ||
		store_migrate_up(store, &applied, f) < 0)
		return -1;
	struct filling fill = {
		.vault = vault, .count = count, .now_ms = clock_wall_ms(), .is_due = is_due};
	return store_transact(store, fill_all, &fill, f);
}

int main(int argc, char *argv[])
{
	struct fault f = {0};

	bool is_due = argc == 5 && strcmp(argv[4], "due") == 0;

	if (argc != 4 && !is_due) {
		fprintf(stderr, "usage: seed DATABASE_URL VAULT_KEY_FILE COUNT [due]\n");
		return 2;
	}
	if (run(argv[1], argv[2], strtoll(argv[3], NULL, 10), is_due, &f) < 0) {
		fprintf(stderr, "seed: %s\n", f.text);
		return 1;
	}
	return 0;
}
