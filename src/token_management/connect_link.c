/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links for people without a key. A ticket is read from the database whenever it is shown, never
 * from memory, so that a revoked one is over in all processes at once.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/connect.h"
#include "token_management/grant.h"
#include "token_management/internal.h"

/* So long a link that is over can still say what became of it. */
#define OVER_KEPT_MS (INT64_C(30) * 24 * 3600 * 1000)

/* ---- making ---- */

struct linking {
	int64_t client_id;
	const struct actor *who;
	uint8_t hash[HASH_BLAKE2B_SIZE];
	int64_t expires_at_ms;
};

/* The name of a link for those who look after it: of the hash, so that it opens nothing. */
static void link_id(const uint8_t *hash, char ret[static CONNECT_LINK_ID_SIZE])
{
	for (size_t i = 0; i < (CONNECT_LINK_ID_SIZE - 1) / 2; i++)
		snprintf(ret + 2 * i, 3, "%02x", hash[i]);
}

static int write_audit(struct db *db, const struct actor *who, const char *action,
	const char *branch_id, const uint8_t *hash, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(256);
	struct json_out o = JSON_OUT(&detail);
	char id[CONNECT_LINK_ID_SIZE];

	link_id(hash, id);
	json_open(&o, '{');
	json_add_text(&o, "link", id);
	json_close(&o, '}');
	return audit_write(db, who, action, branch_id, buf_text(&detail), f);
}

static int link_body(struct db *db, void *arg, struct fault *f)
{
	const struct linking *x = arg;
	AUTO(grant_done) struct grant g = {0};

	if (connect_load_active(db, x->client_id, &g, f) < 0 || tickets_sweep(db, f) < 0)
		return -1;
	if (db_exec(db,
		    "INSERT INTO link_tickets (ticket_hash, client_id, made_by, created_at_ms,"
		    " expires_at_ms) VALUES ($1, $2, $3, $4, $5)",
		    NULL, f, db_bytes(x->hash, sizeof(x->hash)), db_int(x->client_id),
		    db_text(x->who->name), db_int(clock_wall_ms()), db_int(x->expires_at_ms)) < 0)
		return -1;
	return write_audit(db, x->who, "link.created", g.branch_id, x->hash, f);
}

int connect_link(struct token_management *tm, int64_t client_id, const struct actor *who,
	struct buf *ret_url, int64_t *ret_expires_at_ms, struct fault *f)
{
	char ticket[CONNECT_TEXT_SIZE];
	struct linking x = {
		.client_id = client_id,
		.who = who,
		.expires_at_ms = clock_wall_ms() + CONNECT_LINK_MS,
	};

	rand_text(CONNECT_RANDOM_BYTES, ticket);
	connect_hash(ticket, x.hash);
	if (store_transact(tm->store, link_body, &x, f) < 0)
		return -1;
	buf_addf(ret_url, "%s/token-management/oauth/login/%" PRId64 "?ticket=%s",
		tm->settings->public_url, client_id, ticket);
	secret_wipe(ticket, sizeof(ticket));
	*ret_expires_at_ms = x.expires_at_ms;
	return 0;
}

int tickets_sweep(struct db *db, struct fault *f)
{
	return db_exec(db, "DELETE FROM link_tickets WHERE expires_at_ms < $1", NULL, f,
		db_int(clock_wall_ms() - OVER_KEPT_MS));
}

/* ---- using ---- */

struct ticket {
	bool found, is_bound, is_revoked;
	int64_t client_id, expires_at_ms, used_at_ms;
	uint8_t browser_hash[HASH_BLAKE2B_SIZE];
};

static int read_ticket(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct ticket *t = arg;

	(void)n_cols;
	(void)f;
	t->found = true;
	t->client_id = db_get_int(&c[0]);
	t->expires_at_ms = db_get_int(&c[1]);
	t->used_at_ms = db_get_int(&c[2]);
	t->is_bound = c[3].type == DB_BYTES && c[3].len == sizeof(t->browser_hash);
	if (t->is_bound)
		memcpy(t->browser_hash, c[3].bytes, sizeof(t->browser_hash));
	t->is_revoked = c[4].type != DB_NULL;
	return 1;
}

static enum link_outcome judge(
	const struct ticket *t, int64_t client_id, const uint8_t *browser_hash)
{
	if (!t->found || t->client_id != client_id)
		return LINK_UNKNOWN;
	if (t->used_at_ms != 0)
		return LINK_USED;
	if (t->is_revoked)
		return LINK_REVOKED;
	if (t->expires_at_ms <= clock_wall_ms())
		return LINK_EXPIRED;
	if (t->is_bound && (browser_hash == NULL ||
				   !hash_equal(t->browser_hash, browser_hash, HASH_BLAKE2B_SIZE)))
		return LINK_OTHER_BROWSER;
	return LINK_GOOD;
}

static int load_ticket(struct db *db, const uint8_t *hash, struct ticket *ret, struct fault *f)
{
	return db_read(db,
		"SELECT client_id, expires_at_ms, used_at_ms, browser_hash, revoked_at_ms"
		" FROM link_tickets WHERE ticket_hash = $1",
		read_ticket, ret, f, db_bytes(hash, HASH_BLAKE2B_SIZE));
}

static int look(struct db *db, const uint8_t *hash, int64_t client_id, const uint8_t *browser_hash,
	struct fault *f)
{
	struct ticket t = {0};

	if (load_ticket(db, hash, &t, f) < 0)
		return -1;
	return (int)judge(&t, client_id, browser_hash);
}

int ticket_take(struct db *db, const uint8_t *hash, int64_t client_id, const uint8_t *browser_hash,
	struct fault *f)
{
	struct ticket t = {0};
	int64_t changed;

	if (load_ticket(db, hash, &t, f) < 0)
		return -1;
	const enum link_outcome outcome = judge(&t, client_id, browser_hash);
	if (outcome != LINK_GOOD || t.is_bound)
		return (int)outcome;
	if (db_exec(db,
		    "UPDATE link_tickets SET browser_hash = $2 WHERE ticket_hash = $1"
		    " AND browser_hash IS NULL AND revoked_at_ms IS NULL",
		    &changed, f, db_bytes(hash, HASH_BLAKE2B_SIZE),
		    db_bytes(browser_hash, HASH_BLAKE2B_SIZE)) < 0)
		return -1;
	return changed == 1 ? LINK_GOOD : LINK_OTHER_BROWSER;
}

struct looking {
	int64_t client_id;
	const char *ticket, *browser;
};

static int look_body(struct db *db, void *arg, struct fault *f)
{
	const struct looking *x = arg;
	AUTO(grant_done) struct grant g = {0};
	uint8_t hash[HASH_BLAKE2B_SIZE], browser_hash[HASH_BLAKE2B_SIZE];
	bool has_browser = connect_is_ours(x->browser);

	connect_hash(x->ticket, hash);
	if (has_browser)
		connect_hash(x->browser, browser_hash);
	const int outcome = look(db, hash, x->client_id, has_browser ? browser_hash : NULL, f);
	if (outcome != LINK_GOOD)
		return outcome;
	return connect_load_active(db, x->client_id, &g, f);
}

int connect_look(struct token_management *tm, int64_t client_id, const char *ticket,
	const char *browser, struct fault *f)
{
	struct looking x = {.client_id = client_id, .ticket = ticket, .browser = browser};

	return store_use(tm->store, look_body, &x, f);
}

/* ---- looking after them ---- */

#define OPEN_LINKS                                                                 \
	"SELECT ticket_hash, made_by, created_at_ms, expires_at_ms,"               \
	" browser_hash FROM link_tickets WHERE client_id = $1"                     \
	" AND used_at_ms IS NULL AND revoked_at_ms IS NULL AND expires_at_ms > $2" \
	" ORDER BY created_at_ms DESC"

struct listing {
	int64_t client_id;
	connect_link_each_fn *each;
	void *arg;
};

static int list_row(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	const struct listing *x = arg;
	struct connect_link_row row = {
		.made_by = db_get_text(&c[1]),
		.created_at_ms = db_get_int(&c[2]),
		.expires_at_ms = db_get_int(&c[3]),
		.is_bound = c[4].type != DB_NULL,
	};

	(void)n_cols;
	if (c[0].len != HASH_BLAKE2B_SIZE)
		return 0;
	link_id(c[0].bytes, row.id);
	return x->each(x->arg, &row, f);
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	const struct listing *x = arg;

	return db_read(
		db, OPEN_LINKS, list_row, arg, f, db_int(x->client_id), db_int(clock_wall_ms()));
}

int connect_links_list(struct token_management *tm, int64_t client_id, connect_link_each_fn *each,
	void *arg, struct fault *f)
{
	struct listing x = {.client_id = client_id, .each = each, .arg = arg};

	return store_use(tm->store, list_body, &x, f);
}

#define REVOKED_AT_ONCE 1000

struct revoking {
	int64_t client_id;
	const char *link_id;
	const struct actor *who;
	size_t n;
	uint8_t hashes[REVOKED_AT_ONCE][HASH_BLAKE2B_SIZE];
};

static int pick_row(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct revoking *x = arg;
	char id[CONNECT_LINK_ID_SIZE];

	(void)n_cols;
	(void)f;
	if (c[0].len != HASH_BLAKE2B_SIZE || x->n == REVOKED_AT_ONCE)
		return 0;
	link_id(c[0].bytes, id);
	if (x->link_id == NULL || strcmp(id, x->link_id) == 0)
		memcpy(x->hashes[x->n++], c[0].bytes, HASH_BLAKE2B_SIZE);
	return 0;
}

static int revoke_body(struct db *db, void *arg, struct fault *f)
{
	struct revoking *x = arg;
	AUTO(grant_done) struct grant g = {0};
	int64_t now = clock_wall_ms();

	x->n = 0;
	if (grant_load_by_id(db, x->client_id, &g, f) < 0 ||
		db_read(db, OPEN_LINKS, pick_row, x, f, db_int(x->client_id), db_int(now)) < 0)
		return -1;
	for (size_t i = 0; i < x->n; i++) {
		if (db_exec(db, "UPDATE link_tickets SET revoked_at_ms = $2 WHERE ticket_hash = $1",
			    NULL, f, db_bytes(x->hashes[i], HASH_BLAKE2B_SIZE), db_int(now)) < 0 ||
			write_audit(db, x->who, "link.revoked", g.branch_id, x->hashes[i], f) < 0)
			return -1;
	}
	return 0;
}

int connect_links_revoke(struct token_management *tm, int64_t client_id, const char *id,
	const struct actor *who, int64_t *ret_n, struct fault *f)
{
	struct revoking *x = mem_alloc(sizeof(*x));
	int result;

	x->client_id = client_id;
	x->link_id = id;
	x->who = who;
	result = store_transact(tm->store, revoke_body, x, f);
	*ret_n = (int64_t)x->n;
	mem_free(x);
	if (result == 0 && id != NULL && *ret_n == 0)
		return fault_raise(f, FAULT_MISSING, "No open link of this client has that id");
	return result < 0 ? -1 : 0;
}
