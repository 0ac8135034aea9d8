/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/sealed_column.h"

#include "token_management/token_management_secrets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEALED(table_, column_, key_)                                         \
	.table = table_, .column = column_, .key = key_,                      \
	.page = "SELECT " key_ ", " column_ " FROM " table_ " WHERE " column_ \
		" IS NOT NULL AND " key_ " > $1 ORDER BY " key_ " LIMIT $2",  \
	.count = "SELECT count(" column_ ") FROM " table_,                    \
	.swap = "UPDATE " table_ " SET " column_ " = $3 WHERE " key_ " = $1 AND " column_ " = $2"

const struct sealed_column sealed_columns[] = {
	{SEALED("clients", "client_secret", "id")},
	{SEALED("clients", "client_secret_previous", "id")},
	/* Bound to the client's row: a connection has one row of tokens. */
	{SEALED("tokens", "access_token", "client_id")},
	{SEALED("tokens", "refresh_token", "client_id")},
	{SEALED("connect_flows", "code_verifier", "state_hash"), .has_byte_key = true},
	/* A branch may have several. */
	{SEALED("former_tokens", "former_access_token", "id")},
	{SEALED("former_tokens", "former_refresh_token", "id")},
	{0},
};

static const struct sealed_column *find(const char *column)
{
	for (const struct sealed_column *c = sealed_columns; c->table != NULL; c++)
		if (strcmp(c->column, column) == 0)
			return c;
	abort();
}

void sealed_place(const char *column, const struct db_value *key, struct sealed_place *ret)
{
	const struct sealed_column *c = find(column);
	const uint8_t *bytes = key->bytes;

	ret->at = (struct vault_place){.table = c->table, .column = c->column, .row = ret->row};
	if (!c->has_byte_key) {
		snprintf(ret->row, sizeof(ret->row), "%" PRId64, key->number);
		return;
	}
	if (key->len > SEALED_KEY_BYTES_MAX)
		abort();
	ret->row[0] = '\0';
	for (size_t i = 0; i < key->len; i++)
		snprintf(ret->row + 2 * i, 3, "%02x", bytes[i]);
}

/* ---- on the way to another house ---- */

const char *secrets_key_column(const char *table, const char *column)
{
	for (const struct sealed_column *c = sealed_columns; c->table != NULL; c++)
		if (strcmp(c->table, table) == 0 && strcmp(c->column, column) == 0)
			return c->key;
	return NULL;
}

int secrets_pack(struct vault *vault, const struct vault_wrap *wrap, const char *column,
	const struct db_value *key, const struct db_value *stored, struct sealed *ret,
	struct fault *f)
{
	AUTO(secret_drop) struct secret plain = {0};
	struct sealed_place place;

	sealed_place(column, key, &place);
	if (vault_unseal(vault, &place.at, stored->bytes, stored->len, &plain, f) < 0)
		return -1;
	vault_wrap_seal(wrap, &place.at, &plain, ret);
	return 0;
}

int secrets_unpack(struct vault *vault, const struct vault_wrap *wrap, const char *column,
	const struct db_value *key, const void *packed, size_t len, struct sealed *ret,
	struct fault *f)
{
	AUTO(secret_drop) struct secret plain = {0};
	struct sealed_place place;

	sealed_place(column, key, &place);
	if (vault_wrap_unseal(wrap, &place.at, packed, len, &plain, f) < 0)
		return -1;
	vault_seal(vault, &place.at, &plain, ret);
	return 0;
}
