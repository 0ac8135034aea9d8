/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "token_management/grant.h"
#include "token_management/sealed_column.h"
#include "token_management/token_management_secrets.h"

#define HOUR 3600000
#define ROTATED                                                                       \
	"{\"access_token\":\"new\",\"refresh_token\":\"second\",\"expires_in\":3600," \
	"\"token_type\":\"Bearer\"}"

enum { VALUES_MOST = 64 };

/* One stored value, as it has to come out whatever key it is under. */
struct value {
	const struct sealed_column *column;
	struct sealed_place place;
	uint8_t key_bytes[SEALED_KEY_BYTES_MAX];
	struct db_value key;
	struct sealed blob;
	char plain[64];
};

struct values {
	struct rig *rig;
	const struct sealed_column *column;
	size_t n;
	struct value all[VALUES_MOST];
};

static int see_value(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct values *v = arg;
	struct value *one = &v->all[v->n++];

	(void)n_cols, (void)f;
	assert_true(v->n <= VALUES_MOST);
	one->column = v->column;
	one->key = c[0];
	if (c[0].type == DB_BYTES) {
		memcpy(one->key_bytes, c[0].bytes, c[0].len);
		one->key.bytes = one->key_bytes;
	}
	sealed_place(v->column->column, &one->key, &one->place);
	one->blob = sealed_from(c[1].bytes, c[1].len);
	return 0;
}

static int read_values(struct db *db, void *arg, struct fault *f)
{
	struct values *v = arg;

	for (v->column = sealed_columns; v->column->table != NULL; v->column++) {
		struct db_value first = v->column->has_byte_key ? db_bytes("", 0) : db_int(-1);

		if (db_read(db, v->column->page, see_value, v, f, first, db_int(1000)) < 0)
			return -1;
	}
	return 0;
}

/* All that is stored, opened by the rig's vault: a server that nobody told anything. */
static struct values *values_load(struct rig *r)
{
	struct values *v = calloc(1, sizeof(*v));
	struct fault f = {0};

	v->rig = r;
	CHECK(store_use(r->store, read_values, v, &f), &f);
	for (size_t i = 0; i < v->n; i++) {
		AUTO(secret_drop) struct secret plain = {0};
		const struct sealed *blob = &v->all[i].blob;

		if (vault_unseal(
			    r->vault, &v->all[i].place.at, blob->bytes, blob->len, &plain, &f) < 0)
			snprintf(v->all[i].plain, sizeof(v->all[i].plain), "!%.60s", f.text);
		else
			snprintf(v->all[i].plain, sizeof(v->all[i].plain), "%.60s", plain.bytes);
	}
	return v;
}

static void values_free(struct values *v)
{
	for (size_t i = 0; i < v->n; i++)
		sealed_drop(&v->all[i].blob);
	free(v);
}

static void values_freep(struct values **v)
{
	values_free(*v);
}

static uint32_t key_of(const struct value *v)
{
	return vault_key_of(v->blob.bytes, v->blob.len);
}

/* Everything opens to what it was; answers how many values are under a key. */
static int64_t assert_same(const struct values *before, uint32_t key)
{
	AUTO(values_freep) struct values *now = values_load(before->rig);
	int64_t n = 0;

	assert_int_equal(now->n, before->n);
	for (size_t i = 0; i < now->n; i++) {
		assert_string_equal(now->all[i].place.row, before->all[i].place.row);
		assert_string_equal(now->all[i].plain, before->all[i].plain);
		n += key_of(&now->all[i]) == key;
	}
	return n;
}

/* ---- writing ---- */

struct writing {
	const char *sql;
	struct db_value key;
	const struct sealed *blob;
};

static int write_body(struct db *db, void *arg, struct fault *f)
{
	struct writing *w = arg;
	int64_t changed;

	if (db_exec(db, w->sql, &changed, f, w->key, db_sealed(w->blob)) < 0)
		return -1;
	return changed == 1 ? 0 : fault_raise(f, FAULT_BUG, "no such row");
}

static void write_value(
	struct rig *r, const char *sql, struct db_value key, const struct sealed *blob)
{
	struct writing w = {sql, key, blob};
	struct fault f = {0};

	CHECK(store_transact(r->store, write_body, &w, &f), &f);
}

static void put_blob(struct rig *r, const struct value *at, const struct sealed *blob)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "UPDATE %s SET %s = $2 WHERE %s = $1", at->column->table,
		at->column->column,
		at->column->has_byte_key                   ? "state_hash"
		: strcmp(at->column->table, "tokens") == 0 ? "client_id"
							   : "id");
	write_value(r, sql, at->key, blob);
}

static void seal_text(struct rig *r, const char *column, const struct db_value *key,
	const char *text, struct sealed *ret)
{
	AUTO(secret_drop) struct secret plain = secret_from(text, strlen(text));
	struct sealed_place place;

	sealed_place(column, key, &place);
	vault_seal(r->vault, &place.at, &plain, ret);
}

/* Some of everything that is ever sealed. */
static void fill(struct rig *r)
{
	for (int i = 0; i < 3; i++) {
		char branch[16], access[16], refresh[16], verifier[16];
		AUTO(sealed_drop) struct sealed previous = {0}, flow = {0};
		uint8_t hash[32] = {(uint8_t)i, 0xab, 0};
		struct db_value row, flow_key = db_bytes(hash, sizeof(hash));

		snprintf(branch, sizeof(branch), "branch-%d", i);
		snprintf(access, sizeof(access), "access-%d", i);
		snprintf(refresh, sizeof(refresh), "refresh-%d", i);
		snprintf(verifier, sizeof(verifier), "verifier-%d", i);
		row = db_int(rig_connected(r, branch, access, refresh, HOUR, HOUR));
		seal_text(r, "client_secret_previous", &row, "previous", &previous);
		write_value(r, "UPDATE clients SET client_secret_previous = $2 WHERE id = $1", row,
			&previous);
		seal_text(r, "code_verifier", &flow_key, verifier, &flow);
		write_value(r,
			"INSERT INTO connect_flows (state_hash, client_id, browser_hash,"
			" code_verifier, provider, token_url, redirect_uri, scope, created_at_ms,"
			" expires_at_ms) SELECT $1, max(id), $1, $2, 'google', 'https://t',"
			" 'https://r', 'a', 1, 2 FROM clients",
			flow_key, &flow);
	}
	rig_register(r, "not-connected");
}

/* ---- the rotating process: a vault and an object of its own ---- */

struct command {
	struct rig *rig;
	struct vault *vault;
	struct token_management *tm;
};

static void command_start(struct rig *r, struct command *c)
{
	struct token_management_parts parts = {.settings = &r->settings, .store = r->store};
	struct fault f = {0};

	c->rig = r;
	CHECK(vault_open(r->key_file, &c->vault, &f), &f);
	parts.vault = c->vault;
	CHECK(token_management_new(&parts, &c->tm, &f), &f);
}

static void command_end(struct command *c)
{
	token_management_free(c->tm);
	vault_close(c->vault);
}

typedef int secrets_fn(struct token_management *tm, struct rotation *x, struct fault *f);
static const struct actor self = {.name = "cli"};

/* Runs one of the commands in a process of its own, as it were. */
static int run_command(struct rig *r, secrets_fn *run, struct rotation *x, struct fault *f)
{
	struct command c;
	int outcome;

	command_start(r, &c);
	x->who = &self;
	outcome = run(c.tm, x, f);
	command_end(&c);
	return outcome;
}

static void rotate(struct rig *r, struct rotation *x)
{
	struct fault f = {0};
	int outcome = run_command(r, secrets_rotate, x, &f);

	if (outcome != ROTATION_DONE)
		fail_msg("%d: %s", outcome, f.text);
}

static size_t count_keys(struct rig *r, enum vault_key_state state)
{
	struct vault_key keys[VAULT_KEYS_MAX];
	struct fault f = {0};
	size_t n_keys, n = 0;

	CHECK(vault_follow(r->vault, &f), &f);
	n_keys = vault_keys(r->vault, keys);
	for (size_t i = 0; i < n_keys; i++)
		n += keys[i].state == state;
	return n;
}

/* ---- tests ---- */

static void everything_stored_comes_under_the_new_key(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL;
	AUTO(rotation_done) struct rotation x = {0};
	uint32_t old = vault_active_key(r->vault);

	fill(r);
	before = values_load(r);
	assert_int_equal(before->n, 16);
	rotate(r, &x);
	assert_int_not_equal(x.key, old);
	assert_false(x.is_resumed);
	assert_int_equal(x.n_resealed, 16);
	assert_int_equal(x.n_failed + x.n_overtaken, 0);
	assert_int_equal(x.n_kept, 1);
	assert_int_equal(assert_same(before, x.key), 16);
	assert_int_equal(vault_active_key(r->vault), x.key);
	assert_int_equal(count_keys(r, VAULT_KEY_RETIRED), 1);
}

static void an_empty_database_only_gets_a_new_key(void **state)
{
	struct rig *r = *state;
	AUTO(rotation_done) struct rotation x = {0};

	rotate(r, &x);
	assert_int_equal(x.n_resealed, 0);
	assert_int_equal(count_keys(r, VAULT_KEY_RETIRED), 1);
}

static void every_column_that_the_schema_calls_sealed_is_in_the_list(void **state)
{
	struct rig *r = *state;

	if (rig_is_postgres(r)) /* it keeps no comments; both engines' schemas are one file */
		skip();
	AUTO(mem_freep)
	char *schema = rig_text(r, "SELECT group_concat(sql, char(10)) FROM sqlite_master");
	char table[64] = "", *rest = schema, *line;
	size_t n_sealed = 0, n_listed = 0;

	while ((line = strsep(&rest, "\n")) != NULL) {
		char column[64];
		bool is_listed = false;

		sscanf(line, "CREATE TABLE %63[a-z_]", table);
		if (strstr(line, "-- sealed") == NULL)
			continue;
		assert_int_equal(sscanf(line, " %63[a-z_] BLOB", column), 1);
		n_sealed++;
		for (const struct sealed_column *c = sealed_columns; c->table != NULL; c++)
			is_listed |= strcmp(c->table, table) == 0 && strcmp(c->column, column) == 0;
		if (!is_listed)
			fail_msg("%s.%s is sealed and not in the list", table, column);
	}
	for (const struct sealed_column *c = sealed_columns; c->table != NULL; c++)
		n_listed++;
	assert_int_equal(n_sealed, n_listed);
	assert_true(n_listed >= 5);
}

/* ---- interrupted ---- */

struct stopping {
	int64_t after, calls;
};

static int stop_after(void *arg, int64_t done, int64_t total)
{
	struct stopping *s = arg;

	assert_in_range(done, 0, total);
	s->calls++;
	return done >= s->after;
}

static void interrupted_after_any_row_it_goes_on_and_ends_with_the_same_key(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL;

	fill(r);
	before = values_load(r);
	for (int64_t k = 0; k <= (int64_t)before->n; k++) {
		struct stopping s = {.after = k};
		AUTO(rotation_done)
		struct rotation first = {.progress = stop_after, .arg = &s, .page_rows = 1};
		AUTO(rotation_done) struct rotation second = {.page_rows = 1};
		struct fault f = {0};

		assert_int_equal(run_command(r, secrets_rotate, &first, &f), ROTATION_STOPPED);
		assert_int_equal(first.n_resealed, k);
		assert_int_equal(assert_same(before, first.key), k);
		assert_int_equal(count_keys(r, VAULT_KEY_RETIRING), 1);
		rotate(r, &second);
		assert_true(second.is_resumed);
		assert_int_equal(second.key, first.key);
		assert_int_equal(second.n_resealed, (int64_t)before->n - k);
		assert_int_equal(assert_same(before, second.key), before->n);
		assert_int_equal(count_keys(r, VAULT_KEY_RETIRING), 0);
	}
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit WHERE action = 'vault.rotated'"),
		before->n + 1);
}

static void pages_of_any_size_miss_no_row(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL;

	fill(r);
	before = values_load(r);
	for (int64_t rows = 1; rows < 7; rows++) {
		AUTO(rotation_done) struct rotation x = {.page_rows = rows};

		rotate(r, &x);
		assert_int_equal(x.n_resealed, before->n);
		assert_int_equal(assert_same(before, x.key), before->n);
	}
}

static void a_full_disk_ends_it_and_it_can_go_on(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL;
	AUTO(rotation_done) struct rotation first = {0}, second = {0};
	struct fault f = {0};

	fill(r);
	before = values_load(r);
	rig_break(r, "UPDATE", "tokens", NULL);
	assert_int_equal(run_command(r, secrets_rotate, &first, &f), -1);
	assert_int_equal(f.kind, FAULT_STORE);
	assert_int_equal(assert_same(before, first.key), first.n_resealed);
	rig_mend(r, "tokens");
	rotate(r, &second);
	assert_int_equal(second.key, first.key);
	assert_int_equal(assert_same(before, second.key), before->n);
}

/* ---- beside a server ---- */

/* Played between the reading of a value and its swap. */
static struct meddling {
	struct rig *rig;
	const char *column;
	struct sealed *theirs;
	struct value *at;
	bool deletes;
} * meddling;

int __real_vault_unseal(struct vault *v, const struct vault_place *at, const void *sealed,
	size_t len, struct secret *ret, struct fault *f);
int __wrap_vault_unseal(struct vault *v, const struct vault_place *at, const void *sealed,
	size_t len, struct secret *ret, struct fault *f);
int __wrap_vault_unseal(struct vault *v, const struct vault_place *at, const void *sealed,
	size_t len, struct secret *ret, struct fault *f)
{
	struct meddling *m = meddling;

	if (m != NULL && strcmp(at->column, m->column) == 0 &&
		strcmp(at->row, m->at->place.row) == 0) {
		meddling = NULL;
		if (m->deletes)
			rig_run(m->rig, "DELETE FROM clients WHERE branch_id = 'branch-1'");
		else
			put_blob(m->rig, m->at, m->theirs);
	}
	return __real_vault_unseal(v, at, sealed, len, ret, f);
}

static struct value *find_value(struct values *v, const char *plain)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->all[i].plain, plain) == 0)
			return &v->all[i];
	fail_msg("%s is not stored", plain);
	return NULL;
}

static void a_value_that_a_server_changes_at_that_moment_stays_as_the_server_wrote_it(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL;
	AUTO(sealed_drop) struct sealed theirs = {0};
	AUTO(rotation_done) struct rotation x = {0};
	struct meddling m = {.rig = r, .column = "refresh_token", .theirs = &theirs};

	fill(r);
	before = values_load(r);
	m.at = find_value(before, "refresh-1");
	seal_text(r, "refresh_token", &m.at->key, "from the server", &theirs); /* by the old key */
	meddling = &m;
	rotate(r, &x);
	assert_null(meddling);
	assert_int_equal(x.n_overtaken, 1);
	assert_int_equal(x.n_resealed, before->n);
	snprintf(m.at->plain, sizeof(m.at->plain), "from the server");
	assert_int_equal(assert_same(before, x.key), before->n);
}

static void a_row_that_is_deleted_at_that_moment_stays_deleted(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL, *after = NULL;
	AUTO(rotation_done) struct rotation x = {0};
	struct meddling m = {.rig = r, .column = "refresh_token", .deletes = true};

	fill(r);
	before = values_load(r);
	m.at = find_value(before, "refresh-1");
	meddling = &m;
	rotate(r, &x);
	after = values_load(r);
	for (size_t i = 0; i < after->n; i++) {
		assert_int_equal(key_of(&after->all[i]), x.key);
		assert_string_not_equal(after->all[i].plain, "refresh-1");
	}
	assert_true(after->n < before->n);
}

/* A blob of the old key that is stored when everything has been walked. */
struct straggler {
	struct rig *rig;
	struct value *at;
	int times;
};

static int let_one_straggle(void *arg, int64_t done, int64_t total)
{
	struct straggler *s = arg;

	if (done == total && total > 0 && s->times-- > 0)
		put_blob(s->rig, s->at, &s->at->blob);
	return 0;
}

static void what_comes_late_under_the_old_key_is_found_by_the_next_walk(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL;
	struct straggler s = {.rig = r, .times = 1};
	AUTO(rotation_done) struct rotation x = {.progress = let_one_straggle, .arg = &s};

	fill(r);
	before = values_load(r);
	s.at = find_value(before, "access-0");
	rotate(r, &x);
	assert_int_equal(x.n_resealed, before->n + 1);
	assert_int_equal(assert_same(before, x.key), before->n);
}

static void a_process_that_goes_on_with_another_ring_is_told_of_not_fought_forever(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL;
	struct straggler s = {.rig = r, .times = 1000};
	AUTO(rotation_done) struct rotation x = {.progress = let_one_straggle, .arg = &s};
	AUTO(rotation_done) struct rotation second = {0};
	struct fault f = {0};

	fill(r);
	before = values_load(r);
	s.at = find_value(before, "access-0");
	assert_int_equal(run_command(r, secrets_rotate, &x, &f), -1);
	assert_int_equal(f.kind, FAULT_CONFLICT);
	assert_non_null(strstr(f.text, "another copy of the key ring"));
	assert_int_equal(count_keys(r, VAULT_KEY_RETIRING), 1);
	rotate(r, &second);
	assert_true(second.is_resumed);
	assert_int_equal(assert_same(before, x.key), before->n);
}

static void a_refresh_under_way_stores_under_the_new_key(void **state)
{
	struct rig *r = *state;
	AUTO(rotation_done) struct rotation x = {0};
	AUTO(values_freep) struct values *after = NULL;
	AUTO(mem_freep) char *spent = NULL;
	struct call c = {0};
	struct ask *a;

	rig_connected(r, "b", "old", "first", -1000, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	a = provider_wait();
	rotate(r, &x);
	provider_answers(a, 200, ROTATED);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_READY);
	after = values_load(r);
	assert_int_equal(key_of(find_value(after, "second")), x.key);
	assert_int_equal(key_of(find_value(after, "new")), x.key);
	time_passes(HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	a = provider_wait();
	spent = ask_field(a, "refresh_token");
	assert_string_equal(spent, "second");
	provider_answers(a, 200, ROTATED);
	calls_wait(2);
}

static void tokens_kept_in_memory_over_a_rotation_are_stored_under_the_new_key(void **state)
{
	struct rig *r = *state;
	AUTO(rotation_done) struct rotation x = {0}, forgetting = {0};
	AUTO(values_freep) struct values *after = NULL;
	struct call c = {0};
	struct fault f = {0};

	rig_connected(r, "b", "old", "first", -1000, HOUR);
	rig_break(r, "UPDATE OF last_refreshed_at_ms", "tokens", NULL);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, ROTATED);
	calls_wait(1);
	timer_wait();
	rotate(r, &x);
	assert_int_equal(run_command(r, secrets_forget, &forgetting, &f), ROTATION_DONE);
	assert_int_equal(forgetting.n_forgotten, 1);
	rig_mend(r, "tokens");
	timer_wait_and_fire();
	rig_wait_idle(r->tm);
	after = values_load(r);
	assert_int_equal(key_of(find_value(after, "second")), x.key);
	assert_int_equal(key_of(find_value(after, "new")), x.key);
}

static void a_server_that_follows_says_so_and_tells_of_a_bad_ring_once(void **state)
{
	struct rig *r = *state;
	AUTO(rotation_done) struct rotation x = {0};
	struct fault f = {0};

	CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(log_count("vault.key_changed"), 0);
	rotate(r, &x);
	CHECK(token_management_follow(r->tm, &f), &f);
	CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(log_count("vault.key_changed"), 1);
	assert_int_equal(chmod(r->key_file, 0644), 0);
	for (int i = 0; i < 3; i++)
		CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(log_count("vault.ring_refused"), 1);
	assert_int_equal(chmod(r->key_file, 0600), 0);
	for (int i = 0; i < 3; i++)
		CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(log_count("vault.ring_refused"), 1);
	assert_int_equal(log_count("vault.ring_taken"), 1);
}

static void two_rotations_do_not_run_at_once(void **state)
{
	struct rig *r = *state;
	AUTO(rotation_done) struct rotation x = {0};
	struct vault_rotation *other = NULL;
	secrets_fn *const all[] = {secrets_rotate, secrets_prepare, secrets_forget};
	struct fault f = {0};

	CHECK(vault_rotation_begin(r->vault, &other, &f), &f);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(run_command(r, all[i], &x, &f), -1);
		assert_int_equal(f.kind, FAULT_CONFLICT);
	}
	vault_rotation_end(other);
	assert_int_equal(count_keys(r, VAULT_KEY_ACTIVE), 1);
	rotate(r, &x);
}

/* ---- what cannot be opened ---- */

static void damage(struct rig *r, struct value *at, size_t byte)
{
	at->blob.bytes[byte] ^= 1;
	put_blob(r, at, &at->blob);
}

static bool names(const struct rotation *x, const char *what)
{
	for (int64_t i = 0; i < x->n_failed; i++)
		if (strstr(x->failures[i], what) != NULL)
			return true;
	return false;
}

static void what_cannot_be_opened_is_named_and_does_not_stop_the_rest(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *values = NULL, *before = NULL;
	AUTO(rotation_done) struct rotation x = {0}, again = {0};
	AUTO(sealed_drop) struct sealed nonsense = sealed_from("nonsense", 8);

	fill(r);
	values = values_load(r);
	damage(r, find_value(values, "refresh-0"), 40);
	damage(r, find_value(values, "access-1"), 2);
	put_blob(r, find_value(values, "refresh-1"), &find_value(values, "refresh-2")->blob);
	put_blob(r, find_value(values, "verifier-2"), &nonsense);
	before = values_load(r);
	rotate(r, &x);
	assert_int_equal(x.n_failed, 4);
	assert_int_equal(x.n_resealed, before->n - 4);
	assert_true(names(&x, "tokens.refresh_token of row 1 was altered"));
	assert_true(names(&x, "tokens.refresh_token of row 2 was altered or moved"));
	assert_true(names(&x, "tokens.access_token of row 2 was sealed by key"));
	assert_true(names(&x, "connect_flows.code_verifier of row 02ab"));
	assert_int_equal(assert_same(before, x.key), before->n - 4);
	/* It has ended, damage or not. */
	assert_int_equal(count_keys(r, VAULT_KEY_RETIRING), 0);
	rotate(r, &again);
	assert_false(again.is_resumed);
	assert_int_equal(again.n_failed, 4);
}

static void more_failures_than_are_named_are_counted(void **state)
{
	struct rig *r = *state;
	AUTO(rotation_done) struct rotation x = {0};

	fill(r);
	rig_run(r, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)"
		   " INSERT INTO connect_flows (state_hash, client_id, browser_hash, code_verifier,"
		   " provider, token_url, redirect_uri, scope, created_at_ms, expires_at_ms)"
		   " SELECT CAST(CAST(i AS TEXT) AS {bytes}), 1, CAST('0' AS {bytes}), CAST('12' AS"
		   " {bytes}), 'google', '', '', '', 1, 2 FROM n");
	rotate(r, &x);
	assert_int_equal(x.n_failed, 150);
	assert_non_null(x.failures[ROTATION_FAILURES_NAMED - 1]);
}

/* ---- prepared ---- */

static void a_prepared_key_is_the_one_that_the_next_rotation_takes(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL;
	AUTO(rotation_done) struct rotation first = {0}, second = {0}, x = {0};
	uint32_t old = vault_active_key(r->vault);
	struct fault f = {0};

	fill(r);
	before = values_load(r);
	assert_int_equal(run_command(r, secrets_prepare, &first, &f), ROTATION_DONE);
	assert_int_equal(assert_same(before, old), before->n);
	assert_int_equal(run_command(r, secrets_prepare, &second, &f), ROTATION_DONE);
	assert_int_equal(first.key, second.key);
	assert_true(second.is_resumed);
	rotate(r, &x);
	assert_int_equal(x.key, first.key);
	assert_int_equal(assert_same(before, x.key), before->n);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'vault.key_prepared'"), 1);
}

/* ---- forgetting ---- */

static void forgetting_waits_and_takes_out_what_no_value_uses(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL;
	AUTO(rotation_done) struct rotation last = {0}, f1 = {0};
	int64_t since_ms;
	struct fault f = {0};

	fill(r);
	before = values_load(r);
	for (size_t i = 1; i <= 3; i++) {
		rotate(r, &last);
		assert_int_equal(last.n_kept, i);
		assert_int_equal(count_keys(r, VAULT_KEY_RETIRED), i);
	}
	since_ms = mono_now_ms;
	assert_int_equal(run_command(r, secrets_forget, &f1, &f), ROTATION_DONE);
	assert_in_range(mono_now_ms - since_ms, 10000, 20000);
	assert_int_equal(f1.n_forgotten, 3);
	assert_int_equal(f1.n_kept, 0);
	assert_int_equal(f1.key, last.key);
	assert_int_equal(f1.n_resealed, 0);
	assert_int_equal(assert_same(before, last.key), before->n);
	assert_int_equal(count_keys(r, VAULT_KEY_RETIRED), 0);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit WHERE action = "
				       "'vault.keys_forgotten'"),
		1);
	since_ms = mono_now_ms;
	assert_int_equal(run_command(r, secrets_forget, &f1, &f), ROTATION_DONE);
	assert_int_equal(mono_now_ms, since_ms); /* nothing to forget, nothing to wait for */
}

static void a_key_that_a_broken_value_names_is_not_forgotten(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *values = NULL;
	AUTO(rotation_done) struct rotation first = {0}, second = {0}, x = {0};
	struct fault f = {0};

	fill(r);
	values = values_load(r);
	damage(r, find_value(values, "refresh-0"), 40);
	rotate(r, &first);
	rotate(r, &second);
	assert_int_equal(count_keys(r, VAULT_KEY_RETIRED), 2);
	assert_int_equal(run_command(r, secrets_forget, &x, &f), ROTATION_DONE);
	assert_int_equal(x.n_failed, 1);
	assert_int_equal(x.n_forgotten, 1);
	assert_int_equal(x.n_kept, 1);
	/* Mended, it opens as ever. */
	damage(r, find_value(values, "refresh-0"), 40);
	rotation_done(&x);
	x = (struct rotation){0};
	assert_int_equal(run_command(r, secrets_forget, &x, &f), ROTATION_DONE);
	assert_int_equal(x.n_resealed, 1);
	assert_int_equal(x.n_forgotten, 1);
	assert_int_equal(assert_same(values, second.key), values->n);
}

static void forgetting_first_ends_what_was_interrupted(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *before = NULL;
	struct stopping s = {.after = 3};
	AUTO(rotation_done)
	struct rotation first = {.progress = stop_after, .arg = &s, .page_rows = 1}, x = {0};
	struct fault f = {0};

	fill(r);
	before = values_load(r);
	assert_int_equal(run_command(r, secrets_rotate, &first, &f), ROTATION_STOPPED);
	assert_int_equal(count_keys(r, VAULT_KEY_RETIRING), 1);
	assert_int_equal(run_command(r, secrets_forget, &x, &f), ROTATION_DONE);
	assert_true(x.is_resumed);
	assert_int_equal(x.key, first.key);
	assert_int_equal(x.n_resealed, before->n - 3);
	assert_int_equal(x.n_forgotten, 1);
	assert_int_equal(assert_same(before, first.key), before->n);
}

static void a_stopped_forgetting_forgets_nothing(void **state)
{
	struct rig *r = *state;
	AUTO(rotation_done) struct rotation first = {0};
	struct stopping s = {.after = 5};
	AUTO(rotation_done)
	struct rotation x = {.progress = stop_after, .arg = &s, .page_rows = 1};
	struct fault f = {0};

	fill(r);
	rotate(r, &first);
	assert_int_equal(run_command(r, secrets_forget, &x, &f), ROTATION_STOPPED);
	assert_int_equal(count_keys(r, VAULT_KEY_RETIRED), 1);
}

/* ---- what is told ---- */

static void the_audit_tells_what_was_done_and_no_secret(void **state)
{
	struct rig *r = *state;
	AUTO(values_freep) struct values *values = NULL;
	AUTO(rotation_done) struct rotation x = {0};
	AUTO(mem_freep) char *detail = NULL, *actor = NULL;
	char wanted[160];

	fill(r);
	values = values_load(r);
	damage(r, find_value(values, "refresh-0"), 40);
	rotate(r, &x);
	actor = rig_text(r, "SELECT actor FROM audit WHERE action = 'vault.rotated'");
	detail = rig_text(r, "SELECT detail FROM audit WHERE action = 'vault.rotated'");
	assert_string_equal(actor, "cli");
	snprintf(wanted, sizeof(wanted),
		"{\"key\":%" PRIu32 ",\"resealed\":15,\"overtaken\":0,\"failed\":1,"
		"\"resumed\":false}",
		x.key);
	assert_string_equal(detail, wanted);
	for (size_t i = 0; i < values->n; i++)
		assert_false(names(&x, values->all[i].plain));
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(everything_stored_comes_under_the_new_key),
		RIG_TEST(an_empty_database_only_gets_a_new_key),
		RIG_TEST(every_column_that_the_schema_calls_sealed_is_in_the_list),
		RIG_TEST(interrupted_after_any_row_it_goes_on_and_ends_with_the_same_key),
		RIG_TEST(pages_of_any_size_miss_no_row),
		RIG_TEST(a_full_disk_ends_it_and_it_can_go_on),
		RIG_TEST(a_value_that_a_server_changes_at_that_moment_stays_as_the_server_wrote_it),
		RIG_TEST(a_row_that_is_deleted_at_that_moment_stays_deleted),
		RIG_TEST(what_comes_late_under_the_old_key_is_found_by_the_next_walk),
		RIG_TEST(a_process_that_goes_on_with_another_ring_is_told_of_not_fought_forever),
		RIG_TEST(a_refresh_under_way_stores_under_the_new_key),
		RIG_TEST(tokens_kept_in_memory_over_a_rotation_are_stored_under_the_new_key),
		RIG_TEST(a_server_that_follows_says_so_and_tells_of_a_bad_ring_once),
		RIG_TEST(two_rotations_do_not_run_at_once),
		RIG_TEST(what_cannot_be_opened_is_named_and_does_not_stop_the_rest),
		RIG_TEST(more_failures_than_are_named_are_counted),
		RIG_TEST(a_prepared_key_is_the_one_that_the_next_rotation_takes),
		RIG_TEST(forgetting_waits_and_takes_out_what_no_value_uses),
		RIG_TEST(a_key_that_a_broken_value_names_is_not_forgotten),
		RIG_TEST(forgetting_first_ends_what_was_interrupted),
		RIG_TEST(a_stopped_forgetting_forgets_nothing),
		RIG_TEST(the_audit_tells_what_was_done_and_no_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
