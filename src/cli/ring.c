/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ring.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "store/store.h"
#include "vault/vault.h"

#define SAMPLES_MOST 8

/* A few sealed values with their places: one altered row must not keep the whole service down. */
struct sample {
	const char *table, *column;
	char row[24];
	struct sealed value;
};
struct samples {
	struct sample list[SAMPLES_MOST];
	size_t n;
	const char *table, *column; /* of those being read */
};

static void samples_drop(struct samples *s)
{
	for (size_t i = 0; i < s->n; i++)
		sealed_drop(&s->list[i].value);
}

static int read_sample(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct samples *s = arg;
	struct sample *one = &s->list[s->n];

	(void)n_cols, (void)f;
	if (s->n == SAMPLES_MOST)
		return 1;
	*one = (struct sample){.table = s->table, .column = s->column};
	snprintf(one->row, sizeof(one->row), "%" PRId64, db_get_int(&cols[0]));
	one->value = sealed_from(cols[1].bytes, cols[1].len);
	s->n++;
	return 0;
}

static int take_samples(struct db *db, void *arg, struct fault *f)
{
	struct samples *s = arg;

	s->table = "tokens";
	s->column = "refresh_token";
	if (db_read(db,
		    "SELECT client_id, refresh_token FROM tokens WHERE refresh_token IS NOT NULL"
		    " ORDER BY id DESC LIMIT 4",
		    read_sample, s, f) < 0)
		return -1;
	s->table = "clients";
	s->column = "client_secret";
	return db_read(db,
		"SELECT id, client_secret FROM clients WHERE client_secret IS NOT NULL"
		" ORDER BY id DESC LIMIT 4",
		read_sample, s, f);
}

static int check_fit(
	const char *key_file, struct vault *vault, const struct samples *s, struct fault *f)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct sample *one = &s->list[i];
		const struct vault_place at = {
			.table = one->table, .column = one->column, .row = one->row};
		AUTO(secret_drop) struct secret plain = {0};
		struct fault why;

		if (vault_unseal(vault, &at, one->value.bytes, one->value.len, &plain, &why) == 0)
			return 0;
	}
	if (s->n == 0)
		return 0;
	return fault_input(f, "VAULT_KEY_FILE",
		"the key ring %.80s (VAULT_KEY_FILE) does not open the secrets of this database: "
		"put "
		"the key ring back that belongs to it",
		key_file);
}

int ring_open(const char *key_file, struct store *store, struct vault **ret, struct fault *f)
{
	AUTO(vault_closep) struct vault *vault = NULL;
	AUTO(samples_drop) struct samples s = {0};

	if (store_use(store, take_samples, &s, f) < 0)
		return -1;
	if (s.n > 0 && access(key_file, F_OK) != 0 && errno == ENOENT)
		return fault_input(f, "VAULT_KEY_FILE",
			"the key ring %.80s (VAULT_KEY_FILE) is gone, but the database holds "
			"secrets "
			"sealed under it: put the file back from its backup",
			key_file);
	if (vault_open(key_file, &vault, f) < 0)
		return -1;
	if (check_fit(key_file, vault, &s, f) < 0)
		return -1;
	*ret = TAKE(vault);
	return 0;
}
