/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"

static const struct actor cli = {.name = "cli"};

static struct secret make(struct token_management *tm, const struct key_input *in, char id[16])
{
	struct secret key = {0};
	struct fault f = {0};

	CHECK(keys_create(tm, in, &cli, &key, id, &f), &f);
	return key;
}

static enum key_outcome check(
	struct token_management *tm, const struct secret *key, struct key_grant *ret)
{
	return keys_check(tm, key->bytes, key->len, ret);
}

static void a_key_opens_what_its_scopes_say(void **state)
{
	struct rig *r = *state;
	struct key_input in = {.name = "n", .scopes = KEY_TOKENS_READ | KEY_REVIEWS_READ};
	struct key_grant grant;
	char id[16];
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	assert_true(text_starts(key.bytes, "rf_"));
	assert_int_equal(key.len, KEY_LEN);
	assert_int_equal(memcmp(key.bytes + 3, id, KEY_ID_LEN), 0);
	assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	assert_string_equal(grant.id, id);
	assert_int_equal(grant.scopes, KEY_TOKENS_READ | KEY_REVIEWS_READ);
	assert_true(keys_may_see(r->tm, &grant, "any", 3));
}

static void an_admin_key_has_all_scopes(void **state)
{
	struct rig *r = *state;
	struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	struct key_grant grant;
	char id[16];
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	assert_int_equal(grant.scopes & KEY_REVIEWS_REPLY, KEY_REVIEWS_REPLY);
	assert_int_equal(grant.scopes, 255);
}

static void a_key_altered_anywhere_is_unknown(void **state)
{
	struct rig *r = *state;
	struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	struct key_grant grant;
	char id[16], text[KEY_LEN + 2];
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	for (size_t i = 0; i < KEY_LEN; i++) {
		memcpy(text, key.bytes, KEY_LEN + 1);
		text[i] = text[i] == 'a' ? 'b' : 'a';
		assert_int_equal(keys_check(r->tm, text, KEY_LEN, &grant), KEY_UNKNOWN);
		assert_int_equal(grant.scopes, 0);
	}
	assert_int_equal(keys_check(r->tm, key.bytes, KEY_LEN - 1, &grant), KEY_UNKNOWN);
	assert_int_equal(keys_check(r->tm, "", 0, &grant), KEY_UNKNOWN);
}

static void only_the_hash_of_a_key_is_stored(void **state)
{
	struct rig *r = *state;
	struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	char id[16], sql[300];
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	assert_int_equal(rig_number(r, "SELECT length(hash) FROM api_keys"), HASH_BLAKE2B_SIZE);
	snprintf(sql, sizeof(sql),
		"SELECT count(*) FROM api_keys, audit WHERE instr(hash, '%s') > 0"
		" OR instr(name, '%s') > 0"
		" OR instr(detail, '%s') > 0",
		key.bytes + 12, key.bytes + 12, key.bytes + 12);
	assert_int_equal(rig_number(r, sql), 0);
	assert_false(log_holds(key.bytes + 12));
}

static void a_bound_key_sees_its_branches_and_no_other(void **state)
{
	static const char *const branches[] = {"north", "south \"2\""};
	struct rig *r = *state;
	struct key_input in = {
		.name = "n", .scopes = KEY_TOKENS_READ, .branches = branches, .n_branches = 2};
	struct key_grant grant;
	char id[16], **names;
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	assert_true(grant.is_bound);
	assert_true(keys_may_see(r->tm, &grant, "north", 5));
	assert_true(keys_may_see(r->tm, &grant, branches[1], strlen(branches[1])));
	assert_false(keys_may_see(r->tm, &grant, "nort", 4));
	assert_false(keys_may_see(r->tm, &grant, "east", 4));
	assert_int_equal(keys_branches(r->tm, &grant, &names), 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(names[i], branches[i]);
		mem_free(names[i]);
	}
	mem_free(names);
}

static void a_key_bound_to_no_branch_sees_nothing(void **state)
{
	static const char *const none[] = {NULL};
	struct rig *r = *state;
	struct key_input in = {.name = "n", .scopes = KEY_TOKENS_READ, .branches = none};
	struct key_grant grant;
	char id[16];
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	assert_false(keys_may_see(r->tm, &grant, "any", 3));
}

static void a_key_ends_when_it_expires(void **state)
{
	struct rig *r = *state;
	struct key_input in = {
		.name = "n", .scopes = KEY_ADMIN, .expires_at_ms = wall_now_ms + 1000};
	struct key_grant grant;
	char id[16];
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	time_passes(999);
	assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	time_passes(1);
	assert_int_equal(check(r->tm, &key, &grant), KEY_EXPIRED);
	assert_int_equal(grant.scopes, 0);
}

static void a_revoked_key_opens_nothing_here_and_elsewhere(void **state)
{
	struct rig *r = *state;
	struct token_management *second = rig_second(r);
	struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	struct key_grant grant;
	struct fault f = {0};
	char id[16];
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	assert_int_equal(check(second, &key, &grant), KEY_UNKNOWN);
	CHECK(token_management_follow(second, &f), &f);
	assert_int_equal(check(second, &key, &grant), KEY_GOOD);
	CHECK(keys_revoke(r->tm, id, &cli, &f), &f);
	assert_int_equal(check(r->tm, &key, &grant), KEY_REVOKED);
	CHECK(token_management_follow(second, &f), &f);
	assert_int_equal(check(second, &key, &grant), KEY_REVOKED);
	assert_int_equal(keys_revoke(r->tm, id, &cli, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	assert_int_equal(keys_revoke(r->tm, "nobody", &cli, &f), -1);
	rig_second_down(second);
}

static void a_rate_lets_a_minutes_worth_through_and_then_paces(void **state)
{
	struct rig *r = *state;
	struct key_input in = {.name = "n", .scopes = KEY_ADMIN, .per_minute = 60};
	struct key_grant grant;
	char id[16];
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	for (int i = 0; i < 60; i++)
		assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	assert_int_equal(check(r->tm, &key, &grant), KEY_TOO_FAST);
	assert_int_equal(grant.retry_after_ms, 1000);
	assert_string_equal(grant.id, id);
	time_passes(999);
	assert_int_equal(check(r->tm, &key, &grant), KEY_TOO_FAST);
	time_passes(1);
	assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	assert_int_equal(check(r->tm, &key, &grant), KEY_TOO_FAST);
	time_passes(60000);
	for (int i = 0; i < 60; i++)
		assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	assert_int_equal(check(r->tm, &key, &grant), KEY_TOO_FAST);
}

struct runner {
	struct task task;
	struct rig *rig;
	const struct secret *key;
	_Atomic int *good;
	_Atomic int *left;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void hammer(struct task *t)
{
	struct runner *x = CONTAINER_OF(t, struct runner, task);
	struct key_grant grant;

	for (int i = 0; i < 1000; i++) {
		if (check(x->rig->tm, x->key, &grant) == KEY_GOOD)
			atomic_fetch_add(x->good, 1);
	}
	pthread_mutex_lock(&lock);
	atomic_fetch_sub(x->left, 1);
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static void a_rate_is_exact_over_all_threads(void **state)
{
	struct rig *r = *state;
	struct key_input in = {.name = "n", .scopes = KEY_ADMIN, .per_minute = 500};
	_Atomic int good = 0, left = 4;
	struct runner runners[4];
	char id[16];
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	for (size_t i = 0; i < ARRAY_LEN(runners); i++) {
		runners[i] = (struct runner){
			.task.run = hammer, .rig = r, .key = &key, .good = &good, .left = &left};
		pool_submit(r->pool, &runners[i].task);
	}
	pthread_mutex_lock(&lock);
	while (left > 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	assert_int_equal(good, 500);
}

static void the_last_use_is_written_down_lazily(void **state)
{
	struct rig *r = *state;
	struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	struct key_grant grant;
	struct fault f = {0};
	char id[16];
	int64_t first;
	AUTO(secret_drop) struct secret key = make(r->tm, &in, id);

	CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(rig_number(r, "SELECT last_used_at_ms IS NULL FROM api_keys"), 1);
	first = wall_now_ms;
	assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(rig_number(r, "SELECT last_used_at_ms FROM api_keys"), first);
	time_passes(5000);
	assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(rig_number(r, "SELECT last_used_at_ms FROM api_keys"), first);
	time_passes(60000);
	assert_int_equal(check(r->tm, &key, &grant), KEY_GOOD);
	CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(rig_number(r, "SELECT last_used_at_ms FROM api_keys"), first + 65000);
}

static int count_row(void *arg, const struct key_row *k, struct fault *f)
{
	(void)f;
	assert_string_equal(k->name, "two words");
	assert_string_equal(k->scopes, "clients:read tokens:read");
	assert_null(k->branches);
	*(int *)arg += 1;
	return 0;
}

static void keys_are_listed_with_all_but_their_secret(void **state)
{
	struct rig *r = *state;
	struct key_input in = {.name = "two words", .scopes = KEY_TOKENS_READ | KEY_CLIENTS_READ};
	struct fault f = {0};
	char id[16];
	int n = 0;
	AUTO(secret_drop) struct secret one = make(r->tm, &in, id);
	AUTO(secret_drop) struct secret two = make(r->tm, &in, id);

	assert_false(secret_equal(&one, &two));
	CHECK(keys_list(r->tm, count_row, &n, &f), &f);
	assert_int_equal(n, 2);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'key.created'"), 2);
}

static void scopes_are_read_with_commas_or_blanks(void **state)
{
	struct fault f = {0};
	unsigned bits = 0;

	(void)state;
	assert_int_equal(key_scopes_parse("tokens:read, clients:read  admin", &bits, &f), 0);
	assert_int_equal(bits, KEY_TOKENS_READ | KEY_CLIENTS_READ | KEY_ADMIN);
	assert_int_equal(key_scopes_parse("tokens:reed", &bits, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_non_null(strstr(f.text, "tokens:reed"));
	assert_non_null(strstr(f.text, "tokens:manage"));
	assert_int_equal(key_scopes_parse(" ,", &bits, &f), -1);
	for (unsigned bit = 1; bit <= KEY_ADMIN; bit *= 2)
		assert_int_equal(
			key_scopes_parse(key_scope_name((enum key_scope)bit), &bits, &f), 0);
}

static void a_key_without_name_or_scope_is_refused(void **state)
{
	struct rig *r = *state;
	struct key_input in = {.name = "", .scopes = KEY_ADMIN};
	struct secret key = {0};
	struct fault f = {0};
	char id[16];

	assert_int_equal(keys_create(r->tm, &in, &cli, &key, id, &f), -1);
	assert_string_equal(f.field, "name");
	in = (struct key_input){.name = "n"};
	assert_int_equal(keys_create(r->tm, &in, &cli, &key, id, &f), -1);
	assert_string_equal(f.field, "scope");
	in = (struct key_input){.name = "n", .scopes = 1, .expires_at_ms = wall_now_ms};
	assert_int_equal(keys_create(r->tm, &in, &cli, &key, id, &f), -1);
	assert_null(key.bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_key_opens_what_its_scopes_say),
		TEST(an_admin_key_has_all_scopes),
		TEST(a_key_altered_anywhere_is_unknown),
		TEST(only_the_hash_of_a_key_is_stored),
		TEST(a_bound_key_sees_its_branches_and_no_other),
		TEST(a_key_bound_to_no_branch_sees_nothing),
		TEST(a_key_ends_when_it_expires),
		TEST(a_revoked_key_opens_nothing_here_and_elsewhere),
		TEST(a_rate_lets_a_minutes_worth_through_and_then_paces),
		TEST(a_rate_is_exact_over_all_threads),
		TEST(the_last_use_is_written_down_lazily),
		TEST(keys_are_listed_with_all_but_their_secret),
		cmocka_unit_test(scopes_are_read_with_commas_or_blanks),
		TEST(a_key_without_name_or_scope_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
