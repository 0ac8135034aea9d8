/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/refresh_names.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "token_management/grant.h"
#include "token_management/internal.h"

#define HASH_TEXT_MAX 100 /* of 64 bytes in base64: 88 with padding */

static void name_hash(const uint8_t twice[static HASH_SHA512_SIZE], uint8_t *ret)
{
	hash_blake2b(twice, HASH_SHA512_SIZE, ret);
}

void refresh_names_of(const struct secret *token, struct refresh_names *ret)
{
	uint8_t once[HASH_SHA512_SIZE], twice[HASH_SHA512_SIZE];

	*ret = (struct refresh_names){.is_set = secret_is_set(token)};
	if (!ret->is_set || token->len < REFRESH_NAMED_LEAST)
		return;
	ret->len = HASH_BLAKE2B_SIZE;
	hash_sha512(token->bytes, token->len, once);
	hash_sha512(once, sizeof(once), twice);
	name_hash(twice, ret->by_hash);
	hash_blake2b(token->bytes, REFRESH_NAME_PREFIX, ret->by_prefix);
	secret_wipe(once, sizeof(once));
}

struct db_value refresh_names_hash(const struct refresh_names *n)
{
	return db_bytes(n->is_set ? n->by_hash : NULL, n->len);
}

struct db_value refresh_names_prefix(const struct refresh_names *n)
{
	return db_bytes(n->is_set ? n->by_prefix : NULL, n->len);
}

/* Google says "base64" and not which: both alphabets are taken, padded or not. */
static int read_hash(const char *text, uint8_t *ret)
{
	AUTO(buf_drop) struct buf bytes = BUF_INIT(HASH_SHA512_SIZE);
	char digits[HASH_TEXT_MAX];
	size_t len = strcspn(text, "=");

	if (len >= sizeof(digits) || strspn(text + len, "=") != strlen(text + len))
		return 1;
	for (size_t i = 0; i < len; i++)
		digits[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
	if (text_base64url_decode(digits, len, &bytes) != 0 || bytes.len != HASH_SHA512_SIZE)
		return 1;
	name_hash((const uint8_t *)bytes.data, ret);
	return 0;
}

int refresh_name_read(const char *alg, const char *text, enum refresh_name_kind *ret_kind,
	uint8_t ret[static HASH_BLAKE2B_SIZE])
{
	if (alg == NULL || text == NULL)
		return 1;
	if (strcmp(alg, "hash_base64_sha512_sha512") == 0) {
		*ret_kind = REFRESH_NAME_HASH;
		return read_hash(text, ret);
	}
	if (strcmp(alg, "prefix") != 0 || strlen(text) != REFRESH_NAME_PREFIX)
		return 1;
	*ret_kind = REFRESH_NAME_PREFIXED;
	hash_blake2b(text, REFRESH_NAME_PREFIX, ret);
	return 0;
}

/* ---- those that have none ---- */

struct nameless {
	int64_t client_row;
	struct sealed sealed;
	struct refresh_names names;
};

struct adopting {
	int64_t after;
	size_t n;
	struct nameless found[REFRESH_NAMES_PAGE];
};

static int see_nameless(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct adopting *x = arg;

	(void)n_cols;
	(void)f;
	x->found[x->n++] = (struct nameless){
		.client_row = db_get_int(&c[0]), .sealed = sealed_from(c[1].bytes, c[1].len)};
	return x->n == REFRESH_NAMES_PAGE;
}

static int read_nameless(struct db *db, void *arg, struct fault *f)
{
	struct adopting *x = arg;

	return db_read(db,
		"SELECT client_id, refresh_token FROM tokens WHERE refresh_hash IS NULL"
		" AND refresh_token IS NOT NULL AND client_id > $1 ORDER BY client_id LIMIT $2",
		see_nameless, x, f, db_int(x->after), db_int(REFRESH_NAMES_PAGE));
}

static int write_names(struct db *db, void *arg, struct fault *f)
{
	const struct adopting *x = arg;

	for (size_t i = 0; i < x->n; i++) {
		const struct nameless *one = &x->found[i];

		if (one->names.is_set &&
			db_exec(db,
				"UPDATE tokens SET refresh_hash = $3, refresh_prefix = $4"
				" WHERE client_id = $1 AND refresh_token = $2",
				NULL, f, db_int(one->client_row), db_sealed(&one->sealed),
				refresh_names_hash(&one->names),
				refresh_names_prefix(&one->names)) < 0)
			return -1;
	}
	return 0;
}

/* One that the vault cannot open stays as it is; a refresh will tell of it. */
static void name(struct token_management *tm, struct nameless *one)
{
	AUTO(secret_drop) struct secret token = {0};
	struct fault ignored;

	if (grant_unseal(tm, "refresh_token", one->client_row, &one->sealed, &token, &ignored) == 0)
		refresh_names_of(&token, &one->names);
}

int refresh_names_adopt(struct token_management *tm, int64_t *after, struct fault *f)
{
	struct adopting *x = mem_alloc(sizeof(*x));
	int result;

	x->after = *after;
	result = store_use(tm->store, read_nameless, x, f);
	for (size_t i = 0; i < x->n; i++)
		name(tm, &x->found[i]);
	if (result >= 0 && x->n > 0) {
		*after = x->found[x->n - 1].client_row;
		result = store_transact(tm->store, write_names, x, f);
	}
	if (result >= 0)
		result = (int)x->n;
	for (size_t i = 0; i < x->n; i++)
		sealed_drop(&x->found[i].sealed);
	mem_free(x);
	return result;
}
