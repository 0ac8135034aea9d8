/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/keys.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/internal.h"

#define USE_WRITE_MS 60000
#define USE_NOTE_MS 1000

/* ---- scopes ---- */

static const struct {
	enum key_scope scope;
	const char *name;
} scopes[] = {
	{KEY_CLIENTS_READ, "clients:read"},
	{KEY_CLIENTS_WRITE, "clients:write"},
	{KEY_TOKENS_READ, "tokens:read"},
	{KEY_TOKENS_MANAGE, "tokens:manage"},
	{KEY_REVIEWS_READ, "reviews:read"},
	{KEY_REVIEWS_FETCH, "reviews:fetch"},
	{KEY_REVIEWS_REPLY, "reviews:reply"},
	{KEY_ADMIN, "admin"},
};

const char *key_scope_name(enum key_scope scope)
{
	for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
		if (scopes[i].scope == scope)
			return scopes[i].name;
	}
	return "unknown";
}

static unsigned scope_by_name(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
		if (strlen(scopes[i].name) == len && memcmp(scopes[i].name, name, len) == 0)
			return scopes[i].scope;
	}
	return 0;
}

int key_scopes_parse(const char *text, unsigned *ret, struct fault *f)
{
	unsigned bits = 0, bit;
	size_t len;

	for (text += strspn(text, ", "); *text != '\0'; text += strspn(text, ", ")) {
		len = strcspn(text, ", ");
		bit = scope_by_name(text, len);
		if (bit == 0)
			return fault_input(f, "scope",
				"there is no scope '%.*s'; known are clients:read, clients:write,"
				" tokens:read, tokens:manage, reviews:read, reviews:fetch,"
				" reviews:reply, admin",
				len < 40 ? (int)len : 40, text);
		bits |= bit;
		text += len;
	}
	if (bits == 0)
		return fault_input(f, "scope", "name at least one scope, for example tokens:read");
	*ret = bits;
	return 0;
}

/* ---- the table ---- */

void keys_init(struct key_table *t)
{
	pthread_rwlock_init(&t->lock, NULL);
}

static void key_free(void *key)
{
	struct api_key *k = key;

	if (k == NULL)
		return;
	map_drop(&k->branches);
	for (size_t i = 0; i < k->n_branches; i++)
		mem_free(k->branch_names[i]);
	mem_free(k->branch_names);
	mem_free(k);
}

void keys_done(struct key_table *t)
{
	map_drop_all(&t->keys, key_free);
	pthread_rwlock_destroy(&t->lock);
}

/* What a key did stays with it when its row is read again. */
static void put_key(struct key_table *t, struct api_key *k)
{
	struct api_key *old;

	pthread_rwlock_wrlock(&t->lock);
	old = map_put(&t->keys, k->id, strlen(k->id), k);
	if (old != NULL) {
		k->written_used_ms = old->written_used_ms;
		atomic_store(&k->next_us, atomic_load(&old->next_us));
		atomic_store(&k->last_used_ms, atomic_load(&old->last_used_ms));
	}
	pthread_rwlock_unlock(&t->lock);
	key_free(old);
}

/* ---- reading rows ---- */

static int read_branches(struct api_key *k, const char *text, struct fault *f)
{
	AUTO(json_drop) json_t *list = NULL;
	const json_t *one;
	size_t i;

	k->is_bound = true;
	if (json_parse(text, strlen(text), &list, f) < 0)
		return fault_raise(f, FAULT_STORE, "the branches of key %s are not JSON", k->id);
	k->branch_names = mem_alloc_array(json_array_size(list) + 1, sizeof(char *));
	json_array_foreach(list, i, one)
	{
		char *name;

		if (!json_is_string(one))
			continue;
		name = mem_text(json_string_value(one));
		k->branch_names[k->n_branches++] = name;
		map_put(&k->branches, name, strlen(name), name);
	}
	return 0;
}

static int read_key(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct token_management *tm = arg;
	struct api_key *k;
	const char *branches = db_get_text(&c[3]);

	(void)n_cols;
	if (c[1].len != HASH_BLAKE2B_SIZE || c[0].len >= sizeof(k->id))
		return 0; /* no key of ours; it opens nothing */
	k = mem_alloc(sizeof(*k));
	memcpy(k->id, c[0].bytes, c[0].len);
	memcpy(k->hash, c[1].bytes, HASH_BLAKE2B_SIZE);
	k->per_minute = db_get_int(&c[4]);
	k->expires_at_ms = db_get_int(&c[5]);
	k->is_revoked = c[6].type != DB_NULL;
	k->written_used_ms = db_get_int(&c[7]);
	if (key_scopes_parse(db_get_text(&c[2]), &k->scopes, f) < 0 ||
		(branches != NULL && read_branches(k, branches, f) < 0)) {
		key_free(k);
		return -1;
	}
	put_key(&tm->keys, k);
	return 0;
}

struct loading {
	struct token_management *tm;
	const char *only_id;
};

static int load_body(struct db *db, void *arg, struct fault *f)
{
	struct loading *x = arg;

	return db_read(db,
		"SELECT id, hash, scopes, branches, per_minute, expires_at_ms, revoked_at_ms,"
		" last_used_at_ms FROM api_keys"
		" WHERE CAST($1 AS TEXT) IS NULL OR id = $1",
		read_key, x->tm, f, db_text(x->only_id));
}

int keys_load(struct token_management *tm, const char *only_id, struct fault *f)
{
	struct loading x = {.tm = tm, .only_id = only_id};

	return store_use(tm->store, load_body, &x, f);
}

/* ---- checking: the hot path ---- */

/*
 * One request against the key's rate, by the generic cell rate algorithm: a minute's worth at once,
 * then evenly. 0: go on; else the wait in ms.
 */
static uint32_t take_turn(struct api_key *k, int64_t mono_ms)
{
	int64_t interval_us = 60000000 / k->per_minute, now_us = mono_ms * 1000;
	int64_t burst_us = 60000000 - interval_us, next, from;

	next = atomic_load_explicit(&k->next_us, memory_order_relaxed);
	do {
		from = next > now_us ? next : now_us;
		if (from - now_us > burst_us)
			return (uint32_t)((from - now_us - burst_us + 999) / 1000);
	} while (!atomic_compare_exchange_weak_explicit(&k->next_us, &next, from + interval_us,
		memory_order_relaxed, memory_order_relaxed));
	return 0;
}

static enum key_outcome judge(struct api_key *k, struct key_grant *ret)
{
	int64_t now = clock_wall_ms();

	if (k->is_revoked)
		return KEY_REVOKED;
	if (k->expires_at_ms != 0 && k->expires_at_ms <= now)
		return KEY_EXPIRED;
	memcpy(ret->id, k->id, sizeof(ret->id));
	ret->scopes = (k->scopes & KEY_ADMIN) != 0 ? KEY_ADMIN * 2 - 1 : k->scopes;
	ret->is_bound = k->is_bound;
	if (k->per_minute > 0) {
		ret->retry_after_ms = take_turn(k, clock_mono_ms());
		if (ret->retry_after_ms > 0)
			return KEY_TOO_FAST;
	}
	/* Stored seldom, so that checks on several threads do not fight for the cache line. */
	if (now - atomic_load_explicit(&k->last_used_ms, memory_order_relaxed) >= USE_NOTE_MS)
		atomic_store_explicit(&k->last_used_ms, now, memory_order_relaxed);
	return KEY_GOOD;
}

enum key_outcome keys_check(
	struct token_management *tm, const char *key, size_t len, struct key_grant *ret)
{
	enum key_outcome outcome = KEY_UNKNOWN;
	uint8_t hash[HASH_BLAKE2B_SIZE];
	struct api_key *k;

	*ret = (struct key_grant){0};
	if (len != KEY_LEN || memcmp(key, "rf_", 3) != 0 || key[3 + KEY_ID_LEN] != '_')
		return KEY_UNKNOWN;
	hash_blake2b(key, len, hash);
	pthread_rwlock_rdlock(&tm->keys.lock);
	k = map_get(&tm->keys.keys, key + 3, KEY_ID_LEN);
	if (k != NULL && hash_equal(hash, k->hash, sizeof(hash)))
		outcome = judge(k, ret);
	pthread_rwlock_unlock(&tm->keys.lock);
	return outcome;
}

bool keys_is_good(struct token_management *tm, const struct key_grant *key)
{
	const struct api_key *k;
	bool is_good;

	pthread_rwlock_rdlock(&tm->keys.lock);
	k = map_get(&tm->keys.keys, key->id, strlen(key->id));
	is_good = k != NULL && !k->is_revoked &&
		  (k->expires_at_ms == 0 || k->expires_at_ms > clock_wall_ms());
	pthread_rwlock_unlock(&tm->keys.lock);
	return is_good;
}

enum key_outcome keys_grant(struct token_management *tm, const char *id, struct key_grant *ret)
{
	enum key_outcome outcome = KEY_UNKNOWN;
	struct api_key *k;

	pthread_rwlock_rdlock(&tm->keys.lock);
	k = map_get(&tm->keys.keys, id, strlen(id));
	if (k != NULL)
		outcome = judge(k, ret);
	pthread_rwlock_unlock(&tm->keys.lock);
	return outcome;
}

bool keys_may_see(
	struct token_management *tm, const struct key_grant *key, const char *branch_id, size_t len)
{
	struct api_key *k;
	bool may;

	if (!key->is_bound)
		return true;
	pthread_rwlock_rdlock(&tm->keys.lock);
	k = map_get(&tm->keys.keys, key->id, strlen(key->id));
	may = k != NULL && map_get(&k->branches, branch_id, len) != NULL;
	pthread_rwlock_unlock(&tm->keys.lock);
	return may;
}

size_t keys_branches(struct token_management *tm, const struct key_grant *key, char ***ret)
{
	struct api_key *k;
	size_t n = 0;

	*ret = NULL;
	if (!key->is_bound)
		return 0;
	pthread_rwlock_rdlock(&tm->keys.lock);
	k = map_get(&tm->keys.keys, key->id, strlen(key->id));
	*ret = mem_alloc_array((k != NULL ? k->n_branches : 0) + 1, sizeof(char *));
	for (; k != NULL && n < k->n_branches; n++)
		(*ret)[n] = mem_text(k->branch_names[n]);
	pthread_rwlock_unlock(&tm->keys.lock);
	return n;
}

/* ---- listing ---- */

struct listing {
	key_each_fn *each;
	void *arg;
};

static int list_row(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	const struct listing *x = arg;
	struct key_row row = {
		.id = db_get_text(&c[0]),
		.name = db_get_text(&c[1]),
		.scopes = db_get_text(&c[2]),
		.branches = db_get_text(&c[3]),
		.per_minute = db_get_int(&c[4]),
		.created_at_ms = db_get_int(&c[5]),
		.expires_at_ms = db_get_int(&c[6]),
		.revoked_at_ms = db_get_int(&c[7]),
		.last_used_at_ms = db_get_int(&c[8]),
	};

	(void)n_cols;
	return x->each(x->arg, &row, f);
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	return db_read(db,
		"SELECT id, name, scopes, branches, per_minute, created_at_ms, expires_at_ms,"
		" revoked_at_ms, last_used_at_ms FROM api_keys ORDER BY created_at_ms, id",
		list_row, arg, f);
}

int keys_list(struct token_management *tm, key_each_fn *each, void *arg, struct fault *f)
{
	struct listing x = {.each = each, .arg = arg};

	return store_use(tm->store, list_body, &x, f);
}

/* ---- last use ---- */

struct use {
	char id[16];
	int64_t at_ms;
};
struct uses {
	struct use *list;
	size_t n;
};

static int note_use(void *arg, const void *key, size_t len, void *value)
{
	struct uses *x = arg;
	struct api_key *k = value;
	int64_t used = atomic_load_explicit(&k->last_used_ms, memory_order_relaxed);

	(void)key;
	(void)len;
	if (used == 0 || used - k->written_used_ms < USE_WRITE_MS)
		return 0;
	memcpy(x->list[x->n].id, k->id, sizeof(k->id));
	x->list[x->n++].at_ms = used;
	k->written_used_ms = used;
	return 0;
}

static int uses_body(struct db *db, void *arg, struct fault *f)
{
	const struct uses *x = arg;

	for (size_t i = 0; i < x->n; i++) {
		if (db_exec(db, "UPDATE api_keys SET last_used_at_ms = $2 WHERE id = $1", NULL, f,
			    db_text(x->list[i].id), db_int(x->list[i].at_ms)) < 0)
			return -1;
	}
	return 0;
}

int keys_write_back(struct token_management *tm, struct fault *f)
{
	struct uses x = {0};
	int result = 0;

	pthread_rwlock_rdlock(&tm->keys.lock);
	x.list = mem_alloc_array(tm->keys.keys.count + 1, sizeof(*x.list));
	map_each(&tm->keys.keys, note_use, &x);
	pthread_rwlock_unlock(&tm->keys.lock);
	if (x.n > 0)
		result = store_transact(tm->store, uses_body, &x, f);
	mem_free(x.list);
	return result;
}
