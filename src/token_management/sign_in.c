/* SPDX-License-Identifier: Apache-2.0 */
/* Signing in and out: the rows of sessions and of the one-time links that begin them. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/rand.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/connect.h"
#include "token_management/internal.h"

void session_start_done(struct session_start *s)
{
	secret_drop(&s->cookie);
}

static int write_audit(struct db *db, const struct actor *who, const char *action,
	const char *session, const char *key, const char *by, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(512);
	struct json_out o = JSON_OUT(&detail);

	json_open(&o, '{');
	if (session != NULL)
		json_add_text(&o, "session", session);
	if (key != NULL)
		json_add_text(&o, "key", key);
	if (by != NULL)
		json_add_text(&o, "by", by);
	json_close(&o, '}');
	return audit_write(db, who, action, NULL, buf_text(&detail), f);
}

/* ---- beginning ---- */

struct signing {
	struct token_management *tm;
	const char *link; /* NULL: by a key that was checked */
	const char *remote;
	char key_id[16];
	struct session_start *ret;
	uint8_t hash[HASH_BLAKE2B_SIZE];
};

static int read_key_id(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	char *ret = arg;

	(void)n_cols;
	(void)f;
	snprintf(ret, 16, "%s", db_get_text(&c[0]));
	return 1;
}

#define GOOD_KEY " k.revoked_at_ms IS NULL AND (k.expires_at_ms IS NULL OR k.expires_at_ms > $2)"

/* 0: used up by us, its key is good. 1: it opens nothing. */
static int use_link(struct db *db, struct signing *x, struct fault *f)
{
	uint8_t hash[HASH_BLAKE2B_SIZE];
	int64_t now = clock_wall_ms(), changed;

	connect_hash(x->link, hash);
	x->key_id[0] = '\0';
	if (db_read(db,
		    "SELECT l.key_id FROM sign_in_links l JOIN api_keys k ON k.id = l.key_id"
		    " WHERE l.link_hash = $1 AND l.used_at_ms IS NULL AND l.expires_at_ms > $2"
		    " AND" GOOD_KEY,
		    read_key_id, x->key_id, f, db_bytes(hash, sizeof(hash)), db_int(now)) < 0)
		return -1;
	if (x->key_id[0] == '\0')
		return 1;
	if (db_exec(db,
		    "UPDATE sign_in_links SET used_at_ms = $2 WHERE link_hash = $1"
		    " AND used_at_ms IS NULL",
		    &changed, f, db_bytes(hash, sizeof(hash)), db_int(now)) < 0)
		return -1;
	return changed == 1 ? 0 : 1;
}

struct ended {
	char ids[8][16];
	size_t n;
};

static int note_ended(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct ended *e = arg;

	(void)n_cols, (void)f;
	snprintf(e->ids[e->n++], sizeof(e->ids[0]), "%s", db_get_text(&c[0]));
	return e->n == sizeof(e->ids) / sizeof(e->ids[0]);
}

/* The least recently used one goes, when a key has too many. */
static int end_oldest(struct db *db, const struct signing *x, struct fault *f)
{
	static const char find_sql[] =
		"SELECT id FROM sessions WHERE key_id = $1 AND revoked_at_ms IS NULL"
		" AND expires_at_ms > $2 AND id <> $3 ORDER BY last_used_at_ms DESC,"
		" created_at_ms DESC, id LIMIT 8 OFFSET $4";
	static const char end_sql[] = "UPDATE sessions SET revoked_at_ms = $2 WHERE id = $1";
	const int64_t now = clock_wall_ms();
	struct ended e = {.n = 0};

	if (db_read(db, find_sql, note_ended, &e, f, db_text(x->key_id), db_int(now),
		    db_text(x->ret->id), db_int(SESSIONS_PER_KEY - 1)) < 0)
		return -1;
	for (size_t i = 0; i < e.n; i++) {
		if (db_exec(db, end_sql, NULL, f, db_text(e.ids[i]), db_int(now)) < 0 ||
			store_note_change(db, CHANGE_SESSION, e.ids[i], f) < 0)
			return -1;
	}
	return 0;
}

static int begin_body(struct db *db, void *arg, struct fault *f)
{
	struct signing *x = arg;
	struct session_start *s = x->ret;
	char name[32];
	struct actor who = {.name = name, .remote = x->remote};
	int outcome = x->link != NULL ? use_link(db, x, f) : 0;

	if (outcome != 0)
		return outcome;
	snprintf(name, sizeof(name), "key:%s", x->key_id);
	if (db_exec(db,
		    "INSERT INTO sessions (id, hash, key_id, created_at_ms, expires_at_ms,"
		    " last_used_at_ms, remote) VALUES ($1, $2, $3, $4, $5, $4, $6)",
		    NULL, f, db_text(s->id), db_bytes(x->hash, sizeof(x->hash)), db_text(x->key_id),
		    db_int(clock_wall_ms()), db_int(s->expires_at_ms), db_text(x->remote)) < 0)
		return -1;
	if (write_audit(db, &who, "session.created", s->id, x->key_id,
		    x->link != NULL ? "link" : "key", f) < 0)
		return -1;
	if (store_note_change(db, CHANGE_SESSION, s->id, f) < 0)
		return -1;
	return end_oldest(db, x, f);
}

static void make_cookie(struct session_start *ret, uint8_t ret_hash[static HASH_BLAKE2B_SIZE])
{
	AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(SESSION_LEN);
	char secret[RAND_TEXT_SIZE(KEY_SECRET_BYTES)];

	keys_make_id(ret->id);
	rand_text(KEY_SECRET_BYTES, secret);
	buf_add_text(&text, ret->id);
	buf_add_char(&text, '_');
	buf_add_text(&text, secret);
	ret->cookie = secret_from(buf_text(&text), text.len);
	hash_blake2b(buf_text(&text), text.len, ret_hash);
	secret_wipe(secret, sizeof(secret));
}

static int begin(struct signing *x, struct fault *f)
{
	int outcome;

	*x->ret = (struct session_start){
		.expires_at_ms = clock_wall_ms() + x->tm->settings->session_life_ms};
	make_cookie(x->ret, x->hash);
	outcome = store_transact(x->tm->store, begin_body, x, f);
	if (outcome == 0 && sessions_load(x->tm, x->ret->id, f) == 0)
		return 0;
	session_start_done(x->ret);
	return outcome > 0 ? 1 : -1;
}

int sessions_begin(struct token_management *tm, const char *key_id, const char *remote,
	struct session_start *ret, struct fault *f)
{
	struct signing x = {.tm = tm, .remote = remote, .ret = ret};

	snprintf(x.key_id, sizeof(x.key_id), "%s", key_id);
	return begin(&x, f);
}

int sign_in_take(struct token_management *tm, const char *link, const char *remote,
	struct session_start *ret, struct fault *f)
{
	struct signing x = {.tm = tm, .link = link, .remote = remote, .ret = ret};

	*ret = (struct session_start){0};
	return connect_is_ours(link) ? begin(&x, f) : 1;
}

/* ---- links ---- */

struct linking {
	const char *key_id;
	const struct actor *who;
	int64_t life_ms;
	uint8_t hash[HASH_BLAKE2B_SIZE];
	struct buf *ret_name;
};

static int link_body(struct db *db, void *arg, struct fault *f)
{
	const struct linking *x = arg;
	const int64_t now = clock_wall_ms();
	char found[16] = "";

	if (db_read(db, "SELECT k.id FROM api_keys k WHERE k.id = $1 AND" GOOD_KEY, read_key_id,
		    found, f, db_text(x->key_id), db_int(now)) < 0)
		return -1;
	if (found[0] == '\0')
		return fault_raise(f, FAULT_MISSING, "there is no such key that is good");
	if (db_exec(db, "DELETE FROM sign_in_links WHERE expires_at_ms < $1", NULL, f,
		    db_int(now)) < 0 ||
		db_exec(db,
			"INSERT INTO sign_in_links (link_hash, key_id, created_at_ms,"
			" expires_at_ms) VALUES ($1, $2, $3, $4)",
			NULL, f, db_bytes(x->hash, sizeof(x->hash)), db_text(x->key_id),
			db_int(now), db_int(now + x->life_ms)) < 0)
		return -1;
	return write_audit(db, x->who, "sign_in_link.created", NULL, x->key_id, NULL, f);
}

int sign_in_link(struct token_management *tm, const char *key_id, int64_t life_ms,
	const struct actor *who, struct buf *ret_url, struct fault *f)
{
	struct linking x = {.key_id = key_id, .who = who, .life_ms = life_ms};
	char link[CONNECT_TEXT_SIZE];

	rand_text(CONNECT_RANDOM_BYTES, link);
	connect_hash(link, x.hash);
	if (store_transact(tm->store, link_body, &x, f) < 0)
		return -1;
	buf_addf(ret_url, "%s/sign-in?link=%s", tm->settings->public_url, link);
	secret_wipe(link, sizeof(link));
	return 0;
}

static int read_name(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	buf_add_text(arg, db_get_text(&c[0]));
	return 1;
}

static int look_body(struct db *db, void *arg, struct fault *f)
{
	const struct linking *x = arg;

	return db_read(db,
		"SELECT k.name FROM sign_in_links l JOIN api_keys k ON k.id = l.key_id"
		" WHERE l.link_hash = $1 AND l.used_at_ms IS NULL AND l.expires_at_ms > $2"
		" AND" GOOD_KEY,
		read_name, x->ret_name, f, db_bytes(x->hash, sizeof(x->hash)),
		db_int(clock_wall_ms()));
}

int sign_in_look(
	struct token_management *tm, const char *link, struct buf *ret_name, struct fault *f)
{
	struct linking x = {.ret_name = ret_name};

	if (!connect_is_ours(link))
		return 1;
	connect_hash(link, x.hash);
	if (store_use(tm->store, look_body, &x, f) < 0)
		return -1;
	return ret_name->len > 0 ? 0 : 1;
}

/* ---- ending and listing ---- */

struct ending {
	const char *id, *key_id;
	const struct actor *who;
};

static int end_body(struct db *db, void *arg, struct fault *f)
{
	const struct ending *x = arg;
	const int64_t now = clock_wall_ms();
	int64_t changed;

	if (db_exec(db,
		    "UPDATE sessions SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL"
		    " AND expires_at_ms > $2 AND (CAST($3 AS TEXT) IS NULL OR key_id = $3)",
		    &changed, f, db_text(x->id), db_int(now), db_text(x->key_id)) < 0)
		return -1;
	if (changed == 0)
		return fault_raise(f, FAULT_MISSING, "There is no such session");
	if (write_audit(db, x->who, "session.ended", x->id, NULL, NULL, f) < 0)
		return -1;
	return store_note_change(db, CHANGE_SESSION, x->id, f);
}

int sessions_end(struct token_management *tm, const char *id, const char *key_id,
	const struct actor *who, struct fault *f)
{
	struct ending x = {.id = id, .key_id = key_id, .who = who};

	if (store_transact(tm->store, end_body, &x, f) < 0)
		return -1;
	return sessions_load(tm, id, f);
}

struct listing {
	const struct token_management *tm;
	const char *key_id;
	session_each_fn *each;
	void *arg;
};

static int list_row(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	const struct listing *x = arg;
	const struct session_row row = {
		.id = db_get_text(&c[0]),
		.key_id = db_get_text(&c[1]),
		.key_name = db_get_text(&c[2]),
		.remote = db_get_text(&c[3]),
		.created_at_ms = db_get_int(&c[4]),
		.expires_at_ms = db_get_int(&c[5]),
		.last_used_at_ms = db_get_int(&c[6]),
	};

	(void)n_cols;
	return x->each(x->arg, &row, f);
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	const struct listing *x = arg;
	const int64_t now = clock_wall_ms();

	/* Last use is written down once a minute: two more, and none that lives is left out. */
	return db_read(db,
		"SELECT s.id, s.key_id, k.name, s.remote, s.created_at_ms, s.expires_at_ms,"
		" s.last_used_at_ms FROM sessions s JOIN api_keys k ON k.id = s.key_id"
		" WHERE s.revoked_at_ms IS NULL AND s.expires_at_ms > $2 AND" GOOD_KEY
		" AND s.last_used_at_ms > $3 AND (CAST($1 AS TEXT) IS NULL OR s.key_id = $1)"
		" ORDER BY s.created_at_ms DESC, s.id",
		list_row, arg, f, db_text(x->key_id), db_int(now),
		db_int(now - x->tm->settings->session_idle_ms - 120000));
}

int sessions_list(struct token_management *tm, const char *key_id, session_each_fn *each, void *arg,
	struct fault *f)
{
	struct listing x = {.tm = tm, .key_id = key_id, .each = each, .arg = arg};

	return store_use(tm->store, list_body, &x, f);
}
