/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/sessions.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/internal.h"

#define SWEEP_MS 60000
#define USE_NOTE_MS 1000
#define OVER_KEPT_MS (INT64_C(24) * 3600 * 1000)

/* ---- the table ---- */

void sessions_init(struct session_table *t)
{
	pthread_rwlock_init(&t->lock, NULL);
}

void sessions_done(struct session_table *t)
{
	map_drop_all(&t->sessions, mem_free);
	pthread_rwlock_destroy(&t->lock);
}

/* What was seen of a session here stays with it when its row is read again. */
static void put_session(struct session_table *t, struct session *s)
{
	struct session *old;

	pthread_rwlock_wrlock(&t->lock);
	old = map_put(&t->sessions, s->id, strlen(s->id), s);
	if (old != NULL) {
		const int64_t used = atomic_load(&old->last_used_ms);

		if (used > atomic_load(&s->last_used_ms))
			atomic_store(&s->last_used_ms, used);
		s->written_used_ms = old->written_used_ms;
	}
	pthread_rwlock_unlock(&t->lock);
	mem_free(old);
}

static int read_session(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct token_management *tm = arg;
	struct session *s;

	(void)n_cols;
	(void)f;
	if (c[1].len != HASH_BLAKE2B_SIZE || c[0].len >= sizeof(s->id) ||
		c[2].len >= sizeof(s->key_id))
		return 0; /* no session of ours; it opens nothing */
	s = mem_alloc(sizeof(*s));
	memcpy(s->id, c[0].bytes, c[0].len);
	memcpy(s->hash, c[1].bytes, HASH_BLAKE2B_SIZE);
	memcpy(s->key_id, c[2].bytes, c[2].len);
	s->expires_at_ms = db_get_int(&c[3]);
	atomic_store(&s->last_used_ms, db_get_int(&c[4]));
	s->written_used_ms = db_get_int(&c[4]);
	s->is_ended = c[5].type != DB_NULL;
	put_session(&tm->sessions, s);
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
		"SELECT id, hash, key_id, expires_at_ms, last_used_at_ms, revoked_at_ms"
		" FROM sessions WHERE expires_at_ms > $2"
		" AND (CAST($1 AS TEXT) IS NULL OR id = $1)",
		read_session, x->tm, f, db_text(x->only_id), db_int(clock_wall_ms()));
}

int sessions_load(struct token_management *tm, const char *only_id, struct fault *f)
{
	struct loading x = {.tm = tm, .only_id = only_id};

	return store_use(tm->store, load_body, &x, f);
}

int sessions_learn(struct token_management *tm, const char *cookie, size_t len, struct fault *f)
{
	char id[SESSION_ID_LEN + 1] = {0};

	if (len != SESSION_LEN)
		return 0;
	memcpy(id, cookie, SESSION_ID_LEN);
	return sessions_load(tm, id, f);
}

/* ---- checking: the hot path ---- */

static enum key_outcome standing(
	const struct token_management *tm, const struct session *s, int64_t now)
{
	const int64_t used = atomic_load_explicit(&s->last_used_ms, memory_order_relaxed);

	if (s->is_ended)
		return KEY_REVOKED;
	return s->expires_at_ms <= now || used + tm->settings->session_idle_ms <= now ? KEY_EXPIRED
										      : KEY_GOOD;
}

static enum key_outcome judge(
	const struct token_management *tm, struct session *s, struct session_grant *ret)
{
	const int64_t now = clock_wall_ms();
	const int64_t used = atomic_load_explicit(&s->last_used_ms, memory_order_relaxed);
	const enum key_outcome outcome = standing(tm, s, now);

	if (outcome != KEY_GOOD)
		return outcome;
	memcpy(ret->id, s->id, sizeof(ret->id));
	memcpy(ret->key.id, s->key_id, sizeof(ret->key.id));
	ret->expires_at_ms = s->expires_at_ms;
	if (now - used >= USE_NOTE_MS)
		atomic_store_explicit(&s->last_used_ms, now, memory_order_relaxed);
	return KEY_GOOD;
}

enum key_outcome sessions_check(
	struct token_management *tm, const char *cookie, size_t len, struct session_grant *ret)
{
	enum key_outcome outcome = KEY_UNKNOWN;
	uint8_t hash[HASH_BLAKE2B_SIZE];
	struct session *s;

	*ret = (struct session_grant){0};
	if (len != SESSION_LEN || cookie[SESSION_ID_LEN] != '_')
		return KEY_UNKNOWN;
	hash_blake2b(cookie, len, hash);
	pthread_rwlock_rdlock(&tm->sessions.lock);
	s = map_get(&tm->sessions.sessions, cookie, SESSION_ID_LEN);
	if (s != NULL && hash_equal(hash, s->hash, sizeof(hash)))
		outcome = judge(tm, s, ret);
	pthread_rwlock_unlock(&tm->sessions.lock);
	return outcome == KEY_GOOD ? keys_grant(tm, ret->key.id, &ret->key) : outcome;
}

bool sessions_is_good(struct token_management *tm, const char *id)
{
	const struct session *s;
	bool is_good;

	pthread_rwlock_rdlock(&tm->sessions.lock);
	s = map_get(&tm->sessions.sessions, id, strlen(id));
	is_good = s != NULL && standing(tm, s, clock_wall_ms()) == KEY_GOOD;
	pthread_rwlock_unlock(&tm->sessions.lock);
	return is_good;
}

/* ---- last use ---- */

struct use {
	char id[16];
	int64_t at_ms;
	bool is_over;
};
struct uses {
	struct use *list;
	size_t n;
};

static int note_use(void *arg, const void *key, size_t len, void *value)
{
	struct uses *x = arg;
	struct session *s = value;
	const int64_t used = atomic_load_explicit(&s->last_used_ms, memory_order_relaxed);
	const bool is_over = s->is_ended || s->expires_at_ms <= clock_wall_ms();

	(void)key;
	(void)len;
	if (used <= s->written_used_ms && !is_over)
		return 0;
	memcpy(x->list[x->n].id, s->id, sizeof(s->id));
	x->list[x->n].is_over = is_over;
	x->list[x->n++].at_ms = used;
	s->written_used_ms = used;
	return 0;
}

static int uses_body(struct db *db, void *arg, struct fault *f)
{
	const struct uses *x = arg;

	for (size_t i = 0; i < x->n; i++) {
		if (!x->list[i].is_over &&
			db_exec(db,
				"UPDATE sessions SET last_used_at_ms = $2"
				" WHERE id = $1 AND last_used_at_ms < $2",
				NULL, f, db_text(x->list[i].id), db_int(x->list[i].at_ms)) < 0)
			return -1;
	}
	return db_exec(db, "DELETE FROM sessions WHERE expires_at_ms < $1 OR revoked_at_ms < $1",
		NULL, f, db_int(clock_wall_ms() - OVER_KEPT_MS));
}

static void forget_over(struct session_table *t, const struct uses *x)
{
	pthread_rwlock_wrlock(&t->lock);
	for (size_t i = 0; i < x->n; i++)
		if (x->list[i].is_over)
			mem_free(map_remove(&t->sessions, x->list[i].id, strlen(x->list[i].id)));
	pthread_rwlock_unlock(&t->lock);
}

int sessions_write_back(struct token_management *tm, struct fault *f)
{
	struct session_table *t = &tm->sessions;
	struct uses x = {0};
	const bool is_first = t->swept_mono_ms == 0;
	int result = 0;

	if (clock_mono_ms() - t->swept_mono_ms < SWEEP_MS)
		return 0;
	t->swept_mono_ms = clock_mono_ms();
	pthread_rwlock_rdlock(&t->lock);
	x.list = mem_alloc_array(t->sessions.count + 1, sizeof(*x.list));
	map_each(&t->sessions, note_use, &x);
	pthread_rwlock_unlock(&t->lock);
	if (x.n > 0 || is_first) /* what ran out while nobody was here */
		result = store_transact(tm->store, uses_body, &x, f);
	forget_over(t, &x);
	mem_free(x.list);
	return result < 0 ? -1 : sessions_load(tm, NULL, f);
}
