/* SPDX-License-Identifier: Apache-2.0 */
/* Keys are made and ended: what people do to them. What requests ask of them is in keys.c. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/rand.h"
#include "core/limits.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/internal.h"
#include "token_management/keys.h"

/* ---- making ---- */

static void scopes_write(unsigned bits, struct buf *ret)
{
	for (unsigned scope = 1; scope <= KEY_ADMIN; scope <<= 1) {
		if ((bits & scope) == 0)
			continue;
		if (ret->len > 0)
			buf_add_char(ret, ' ');
		buf_add_text(ret, key_scope_name((enum key_scope)scope));
	}
}

void keys_make_id(char ret[static 16])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

	for (size_t i = 0; i < KEY_ID_LEN; i++)
		ret[i] = letters[rand_below(sizeof(letters) - 1)];
	ret[KEY_ID_LEN] = '\0';
}

static void make_key(struct secret *ret_key, char ret_id[static 16])
{
	AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(KEY_LEN);
	char secret[RAND_TEXT_SIZE(KEY_SECRET_BYTES)];

	keys_make_id(ret_id);
	rand_text(KEY_SECRET_BYTES, secret);
	buf_add_text(&text, "rf_");
	buf_add_text(&text, ret_id);
	buf_add_char(&text, '_');
	buf_add_text(&text, secret);
	*ret_key = secret_from(buf_text(&text), text.len);
	secret_wipe(secret, sizeof(secret));
}

struct making {
	const struct key_input *in;
	const struct actor *who;
	const char *id, *scopes, *branches; /* branches: JSON, or NULL */
	const uint8_t *hash;
};

static int make_body(struct db *db, void *arg, struct fault *f)
{
	const struct making *x = arg;
	const struct key_input *in = x->in;
	AUTO(buf_drop) struct buf detail = BUF_INIT(LIMIT_BODY_BYTES);
	struct json_out o = JSON_OUT(&detail);

	json_open(&o, '{');
	json_add_text(&o, "key", x->id);
	json_add_text(&o, "name", in->name);
	json_add_text(&o, "scopes", x->scopes);
	json_close(&o, '}');
	if (db_exec(db,
		    "INSERT INTO api_keys (id, name, hash, scopes, branches, per_minute,"
		    " created_at_ms, expires_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		    NULL, f, db_text(x->id), db_text(in->name),
		    db_bytes(x->hash, HASH_BLAKE2B_SIZE), db_text(x->scopes), db_text(x->branches),
		    db_int_or_null(in->per_minute, in->per_minute > 0), db_int(clock_wall_ms()),
		    db_int_or_null(in->expires_at_ms, in->expires_at_ms > 0)) < 0)
		return -1;
	if (audit_write(db, x->who, "key.created", NULL, buf_text(&detail), f) < 0)
		return -1;
	return store_note_change(db, CHANGE_KEY, x->id, f);
}

static int check_key_input(const struct key_input *in, struct fault *f)
{
	if (in->name == NULL || in->name[0] == '\0' || strlen(in->name) > LIMIT_NAME_BYTES)
		return fault_input(
			f, "name", "a key needs a name of 1 to %d bytes", LIMIT_NAME_BYTES);
	if (in->scopes == 0)
		return fault_input(f, "scope", "a key needs at least one scope");
	if (in->per_minute < 0 || in->per_minute > 60000000)
		return fault_input(f, "per_minute", "a rate is 0 (none) to 60000000 a minute");
	if (in->expires_at_ms != 0 && in->expires_at_ms <= clock_wall_ms())
		return fault_input(f, "expires_at", "the key would have expired already");
	for (size_t i = 0; in->branches != NULL && i < in->n_branches; i++) {
		if (in->branches[i][0] == '\0' || strlen(in->branches[i]) > LIMIT_BRANCH_ID_BYTES)
			return fault_input(f, "branch", "a branch id has 1 to %d bytes",
				LIMIT_BRANCH_ID_BYTES);
	}
	return 0;
}

static void write_branches(const struct key_input *in, struct buf *ret)
{
	struct json_out o = JSON_OUT(ret);

	json_open(&o, '[');
	for (size_t i = 0; i < in->n_branches; i++)
		json_put_text(&o, in->branches[i]);
	json_close(&o, ']');
}

int keys_create(struct token_management *tm, const struct key_input *in, const struct actor *who,
	struct secret *ret_key, char ret_id[static 16], struct fault *f)
{
	AUTO(buf_drop) struct buf names = BUF_INIT(256), branches = BUF_INIT(LIMIT_BODY_BYTES);
	AUTO(secret_drop) struct secret key = {0};
	uint8_t hash[HASH_BLAKE2B_SIZE];
	char id[16];
	struct making x = {.in = in, .who = who, .id = id, .hash = hash};

	if (check_key_input(in, f) < 0)
		return -1;
	make_key(&key, id);
	hash_blake2b(key.bytes, key.len, hash);
	scopes_write(in->scopes, &names);
	x.scopes = buf_text(&names);
	if (in->branches != NULL) {
		write_branches(in, &branches);
		if (buf_failed(&branches))
			return fault_input(f, "branch", "too many branches for one key");
		x.branches = buf_text(&branches);
	}
	if (store_transact(tm->store, make_body, &x, f) < 0 || keys_load(tm, id, f) < 0)
		return -1;
	memcpy(ret_id, id, sizeof(id));
	*ret_key = secret_take(&key);
	return 0;
}

/* ---- ending ---- */

struct revoking {
	const char *id;
	const struct actor *who;
};

static int revoke_body(struct db *db, void *arg, struct fault *f)
{
	const struct revoking *x = arg;
	AUTO(buf_drop) struct buf detail = BUF_INIT(256);
	struct json_out o = JSON_OUT(&detail);
	int64_t changed;

	if (db_exec(db,
		    "UPDATE api_keys SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS "
		    "NULL",
		    &changed, f, db_text(x->id), db_int(clock_wall_ms())) < 0)
		return -1;
	if (changed == 0)
		return fault_raise(f, FAULT_MISSING, "there is no such key that could be revoked");
	json_open(&o, '{');
	json_add_text(&o, "key", x->id);
	json_close(&o, '}');
	if (audit_write(db, x->who, "key.revoked", NULL, buf_text(&detail), f) < 0)
		return -1;
	return store_note_change(db, CHANGE_KEY, x->id, f);
}

int keys_revoke(
	struct token_management *tm, const char *id, const struct actor *who, struct fault *f)
{
	struct revoking x = {.id = id, .who = who};

	if (store_transact(tm->store, revoke_body, &x, f) < 0)
		return -1;
	return keys_load(tm, id, f);
}
