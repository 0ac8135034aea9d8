/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/db.h"
#include "token_management/grant.h"
#include "../database.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned n_answered;
static struct buf log_lines;

/* ---- the log ---- */

static void keep_line(const char *line, size_t len)
{
	pthread_mutex_lock(&lock);
	buf_add(&log_lines, line, len);
	pthread_mutex_unlock(&lock);
}

unsigned log_count(const char *event)
{
	char wanted[80];
	unsigned n = 0;

	snprintf(wanted, sizeof(wanted), "\"%s\"", event);
	pthread_mutex_lock(&lock);
	for (const char *at = buf_text(&log_lines); (at = strstr(at, wanted)) != NULL; at++)
		n++;
	pthread_mutex_unlock(&lock);
	return n;
}

bool log_holds(const char *text)
{
	bool holds;

	pthread_mutex_lock(&lock);
	holds = strstr(buf_text(&log_lines), text) != NULL;
	pthread_mutex_unlock(&lock);
	return holds;
}

/* ---- up and down ---- */

static void add_functions(struct rig *r);

static void make_settings(struct rig *r)
{
	r->settings = (struct settings){
		.public_url = "http://localhost:8084",
		.google_auth_url = "https://accounts.test/auth?hl=en",
		.google_token_url = "https://oauth2.test/token",
		.google_revoke_url = "https://oauth2.test/revoke",
		.google_jwks_url = "https://keys.test/certs",
		.token_refresh_margin_ms = 300000,
		.token_refresh_lease_ms = 30000,
		.token_background_refresh = true,
		.token_refresh_concurrency = 64,
		.retry_initial_backoff_ms = 1000,
		.retry_max_backoff_ms = 60000,
		.retry_backoff_multiplier = 2.0,
	};
}

static struct token_management *start(struct rig *r, struct pool *pool)
{
	struct token_management_parts parts = {
		.settings = &r->settings,
		.store = r->store,
		.vault = r->vault,
		.net = (struct net *)1, /* never looked at: the double is the net */
		.pool = pool,
	};
	struct token_management *tm;
	struct fault f = {0};

	CHECK(token_management_new(&parts, &tm, &f), &f);
	return tm;
}

int rig_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct store_options options = {.connections = 6};
	struct fault f = {0};

	hash_init();
	json_start();
	time_is_faked();
	provider_reset();
	calls_forget();
	log_lines = BUF_INIT(1 << 24);
	log_use(keep_line);
	log_set_level(LOG_DEBUG);
	snprintf(r->folder, sizeof(r->folder), "%s/rf-tm-XXXXXX", database_home());
	assert_non_null(mkdtemp(r->folder));
	snprintf(r->database, sizeof(r->database), "%s/test.db", r->folder);
	database_make(r->folder, r->url, sizeof(r->url));
	snprintf(r->key_file, sizeof(r->key_file), "%s/vault.key", r->folder);
	make_settings(r);
	options.url = r->url;
	CHECK(store_open(&options, &r->store, &f), &f);
	database_prepare(r->store);
	if (rig_is_postgres(r))
		add_functions(r);
	CHECK(vault_open(r->key_file, &r->vault, &f), &f);
	r->pool = pool_new("test", 4);
	r->tm = start(r, r->pool);
	*state = r;
	return 0;
}

static void remove_folder(const char *path)
{
	char file[400];
	DIR *folder = opendir(path);

	for (struct dirent *e; folder != NULL && (e = readdir(folder)) != NULL;) {
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		unlink(file);
	}
	closedir(folder);
	rmdir(path);
}

int rig_down(void **state)
{
	struct rig *r = *state;

	token_management_free(r->tm);
	pool_stop(r->pool);
	vault_close(r->vault);
	store_close(r->store);
	secret_drop(&r->settings.google_client_secret);
	remove_folder(r->folder);
	log_use(NULL);
	buf_drop(&log_lines);
	free(r);
	return 0;
}

struct token_management *rig_second(struct rig *r)
{
	return start(r, r->pool);
}

void rig_second_down(struct token_management *tm)
{
	token_management_free(tm);
}

void rig_wait_idle(struct token_management *tm)
{
	pthread_mutex_lock(&tm->work.lock);
	while (tm->work.first != NULL)
		pthread_cond_wait(&tm->work.changed, &tm->work.lock);
	pthread_mutex_unlock(&tm->work.lock);
}

/* ---- rows ---- */

int64_t rig_register(struct rig *r, const char *branch)
{
	char app[80], secret[80];
	struct client_input in = {
		.client_id = app,
		.client_secret = secret,
		.redirect_uri = "https://shop.example/callback",
		.branch_id = branch,
		.workspace_email = "owner@example.com",
		.workspace_name = "Shop",
	};
	struct actor who = {.name = "cli"};
	struct client c;
	struct fault f = {0};
	int64_t id;

	snprintf(app, sizeof(app), "app-%s", branch);
	snprintf(secret, sizeof(secret), "secret-%s", branch);
	CHECK(clients_register(r->tm, &in, &who, &c, &f), &f);
	id = c.id;
	client_done(&c);
	return id;
}

struct inserting {
	int64_t client_row, expires_at_ms, lifetime_ms;
	struct sealed access, refresh;
};

static int insert_body(struct db *db, void *arg, struct fault *f)
{
	const struct inserting *x = arg;

	if (db_exec(db,
		    "INSERT INTO tokens (client_id, access_token, refresh_token, scope,"
		    " requested_scope, expires_at_ms, lifetime_ms, created_at_ms, updated_at_ms)"
		    " VALUES ($1, $2, $3, 'a b', 'a b', $4, $5, 1, 1)",
		    NULL, f, db_int(x->client_row), db_sealed(&x->access), db_sealed(&x->refresh),
		    db_int(x->expires_at_ms), db_int(x->lifetime_ms)) < 0)
		return -1;
	return db_exec(db, "UPDATE clients SET status = 'connected' WHERE id = $1", NULL, f,
		db_int(x->client_row));
}

static void seal_text(
	struct rig *r, const char *column, int64_t row, const char *text, struct sealed *ret)
{
	AUTO(secret_drop) struct secret plain = secret_from(text, strlen(text));

	grant_seal(r->tm, column, row, &plain, ret);
}

int64_t rig_connected(struct rig *r, const char *branch, const char *access, const char *refresh,
	int64_t life_ms, int64_t lifetime_ms)
{
	struct inserting x = {
		.client_row = rig_register(r, branch),
		.expires_at_ms = clock_wall_ms() + life_ms,
		.lifetime_ms = lifetime_ms,
	};
	struct fault f = {0};

	seal_text(r, "access_token", x.client_row, access, &x.access);
	if (refresh != NULL)
		seal_text(r, "refresh_token", x.client_row, refresh, &x.refresh);
	CHECK(store_transact(r->store, insert_body, &x, &f), &f);
	sealed_drop(&x.access);
	sealed_drop(&x.refresh);
	return x.client_row;
}

struct asking {
	const char *sql;
	char *text;
	struct sealed bytes;
	int64_t number;
};

static int see_row(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct asking *x = arg;

	(void)n_cols;
	(void)f;
	x->number = db_get_int(&c[0]);
	if (c[0].type == DB_TEXT)
		x->text = mem_text(db_get_text(&c[0]));
	else if (c[0].type == DB_BYTES)
		x->bytes = sealed_from(c[0].bytes, c[0].len);
	return 1;
}

static int ask_body(struct db *db, void *arg, struct fault *f)
{
	struct asking *x = arg;
	char *sql;
	int outcome;

	if (migrate_text(db->ops, x->sql, &sql, f) < 0)
		return -1;
	outcome = db_read(db, sql, see_row, x, f);
	mem_free(sql);
	return outcome;
}

bool rig_is_postgres(const struct rig *r)
{
	return store_ops(r->store)->engine == DB_POSTGRES;
}

/* What PostgreSQL calls otherwise. */
static void add_functions(struct rig *r)
{
	rig_run(r,
		"CREATE OR REPLACE FUNCTION instr(TEXT, TEXT) RETURNS INT LANGUAGE sql IMMUTABLE AS"
		" 'SELECT strpos($1, $2)'");
	rig_run(r, "CREATE OR REPLACE FUNCTION instr(BYTEA, TEXT) RETURNS INT LANGUAGE sql "
		   "IMMUTABLE AS"
		   " 'SELECT position(convert_to($2, ''UTF8'') IN $1)'");
	rig_run(r, "CREATE OR REPLACE FUNCTION fail() RETURNS TRIGGER LANGUAGE plpgsql AS"
		   " 'BEGIN RAISE EXCEPTION ''injected''; END'");
}

void rig_break(struct rig *r, const char *verb, const char *table, const char *when)
{
	char sql[320];

	snprintf(sql, sizeof(sql), "CREATE TRIGGER broken BEFORE %s ON %s FOR EACH ROW %s%s%s %s",
		verb, table, when != NULL ? "WHEN (" : "", when != NULL ? when : "",
		when != NULL ? ")" : "",
		rig_is_postgres(r) ? "EXECUTE FUNCTION fail()"
				   : "BEGIN SELECT RAISE(ABORT, 'injected'); END");
	rig_run(r, sql);
}

void rig_mend(struct rig *r, const char *table)
{
	char sql[80];

	snprintf(sql, sizeof(sql), "DROP TRIGGER broken%s%s", rig_is_postgres(r) ? " ON " : "",
		rig_is_postgres(r) ? table : "");
	rig_run(r, sql);
}

int64_t rig_changes(struct rig *r, const char *refs, bool distinct)
{
	char sql[320];

	snprintf(sql, sizeof(sql), "SELECT count(%s ref) FROM %s WHERE ref IN (%s)",
		distinct ? "DISTINCT" : "", rig_is_postgres(r) ? "changes_pending" : "changes",
		refs);
	return rig_number(r, sql);
}

void rig_run(struct rig *r, const char *sql)
{
	struct asking x = {.sql = sql};
	struct fault f = {0};

	CHECK(store_transact(r->store, ask_body, &x, &f), &f);
}

int64_t rig_number(struct rig *r, const char *sql)
{
	struct asking x = {.sql = sql};
	struct fault f = {0};

	CHECK(store_use(r->store, ask_body, &x, &f), &f);
	mem_free(x.text);
	sealed_drop(&x.bytes);
	return x.number;
}

char *rig_text(struct rig *r, const char *sql)
{
	struct asking x = {.sql = sql};
	struct fault f = {0};

	CHECK(store_use(r->store, ask_body, &x, &f), &f);
	return x.text != NULL ? x.text : mem_text("");
}

/* Without asserts: also called on workers. */
char *rig_unsealed(struct rig *r, int64_t client_row, const char *column)
{
	char sql[160];
	struct asking x = {.sql = sql};
	struct secret plain = {0};
	struct fault f = {0};
	char *text;

	snprintf(sql, sizeof(sql), "SELECT %s FROM %s WHERE %s = %" PRId64, column,
		strcmp(column, "client_secret") == 0 ? "clients" : "tokens",
		strcmp(column, "client_secret") == 0 ? "id" : "client_id", client_row);
	if (store_use(r->store, ask_body, &x, &f) < 0)
		return mem_text(f.text);
	if (x.bytes.bytes == NULL)
		return mem_text("");
	if (grant_unseal(r->tm, column, client_row, &x.bytes, &plain, &f) < 0)
		text = mem_text(f.text);
	else
		text = mem_text(plain.bytes);
	sealed_drop(&x.bytes);
	secret_drop(&plain);
	return text;
}

/* ---- calls ---- */

static void take_view(struct call *c, const struct token_view *v)
{
	snprintf(c->access, sizeof(c->access), "%.*s", (int)v->access_token_len, v->access_token);
	snprintf(c->branch, sizeof(c->branch), "%s", v->branch_id);
	c->degraded = v->degraded;
	c->client_row = v->client_row;
	c->expires_at_ms = v->expires_at_ms;
}

static void on_result(void *arg, const struct token_result *result)
{
	struct call *c = arg;

	c->outcome = result->outcome;
	c->retry_after_ms = result->retry_after_ms;
	c->client_row = result->client_row;
	snprintf(c->reason, sizeof(c->reason), "%s", result->reason != NULL ? result->reason : "");
	if (result->view != NULL)
		take_view(c, result->view);
	if (c->looks)
		c->stored_refresh = rig_unsealed(c->rig, result->client_row, "refresh_token");
	pthread_mutex_lock(&lock);
	c->answers++;
	n_answered++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

void call_obtain(struct token_management *tm, struct call *c, const char *branch,
	int64_t min_ttl_ms, bool force)
{
	tokens_obtain(tm, branch, min_ttl_ms, force, on_result, c);
}

void calls_wait(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (n_answered < n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

void calls_forget(void)
{
	n_answered = 0;
}

void call_now(struct token_management *tm, struct call *c, const char *branch)
{
	*c = (struct call){.rig = c->rig};
	calls_forget();
	call_obtain(tm, c, branch, 0, false);
	calls_wait(1);
	rig_wait_idle(tm);
}

static void on_view(void *arg, const struct token_view *view)
{
	take_view(arg, view);
}

bool call_read(struct token_management *tm, struct call *c, const char *branch, int64_t min_ttl_ms)
{
	*c = (struct call){.rig = c->rig};
	return tokens_read(tm, branch, strlen(branch), min_ttl_ms, on_view, c);
}
