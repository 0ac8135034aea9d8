/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdio.h>

#include "base/mem.h"

#define MINUTE 60000
#define HOUR (60 * MINUTE)

static const struct actor cli = {.name = "cli"};

static int begin(void **state)
{
	const int up = rig_up(state);
	struct rig *r = *state;

	r->settings.session_idle_ms = 2 * HOUR;
	r->settings.session_life_ms = 12 * HOUR;
	return up;
}

static void make_key(struct rig *r, const struct key_input *in, char id[static 16])
{
	AUTO(secret_drop) struct secret key = {0};
	struct fault f = {0};

	CHECK(keys_create(r->tm, in, &cli, &key, id, &f), &f);
}

static void sign_in(struct rig *r, const char *key, struct session_start *ret)
{
	struct fault f = {0};

	CHECK(sessions_begin(r->tm, key, "10.0.0.1", ret, &f), &f);
}

static enum key_outcome check(
	struct token_management *tm, const struct session_start *s, struct session_grant *ret)
{
	return sessions_check(tm, s->cookie.bytes, s->cookie.len, ret);
}

static int forget_audit(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db_exec(db, "DELETE FROM audit", NULL, f);
}

static void a_session_has_the_rights_of_its_key_and_no_more(void **state)
{
	struct rig *r = *state;
	const char *const branches[] = {"b"};
	const struct key_input in = {
		.name = "n", .scopes = KEY_TOKENS_READ, .branches = branches, .n_branches = 1};
	AUTO(session_start_done) struct session_start s = {0};
	struct session_grant grant;
	char id[16], text[SESSION_LEN + 1];

	make_key(r, &in, id);
	sign_in(r, id, &s);
	assert_int_equal(check(r->tm, &s, &grant), KEY_GOOD);
	assert_string_equal(grant.key.id, id);
	assert_int_equal(grant.key.scopes, KEY_TOKENS_READ);
	assert_true(keys_may_see(r->tm, &grant.key, "b", 1));
	assert_false(keys_may_see(r->tm, &grant.key, "c", 1));
	for (size_t i = 0; i < SESSION_LEN; i++) {
		memcpy(text, s.cookie.bytes, SESSION_LEN + 1);
		text[i] = text[i] == 'a' ? 'b' : 'a';
		assert_int_equal(sessions_check(r->tm, text, SESSION_LEN, &grant), KEY_UNKNOWN);
		assert_int_equal(grant.key.scopes, 0);
	}
}

static void only_the_hash_of_a_session_is_stored(void **state)
{
	struct rig *r = *state;
	const struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	AUTO(session_start_done) struct session_start s = {0};
	char id[16], sql[256];

	make_key(r, &in, id);
	sign_in(r, id, &s);
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM sessions WHERE instr(hash, '%s') > 0",
		s.cookie.bytes + SESSION_ID_LEN + 1);
	assert_int_equal(rig_number(r, sql), 0);
	assert_false(log_holds(s.cookie.bytes + SESSION_ID_LEN + 1));
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'session.created'"), 1);
}

static void a_revoked_key_ends_its_sessions_in_all_processes(void **state)
{
	struct rig *r = *state;
	const struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	AUTO(session_start_done) struct session_start s = {0};
	struct token_management *second = rig_second(r);
	struct session_grant grant;
	struct fault f = {0};
	char id[16];

	make_key(r, &in, id);
	sign_in(r, id, &s);
	CHECK(token_management_follow(second, &f), &f);
	assert_int_equal(check(second, &s, &grant), KEY_GOOD);
	CHECK(keys_revoke(r->tm, id, &cli, &f), &f);
	assert_int_equal(check(r->tm, &s, &grant), KEY_REVOKED);
	CHECK(token_management_follow(second, &f), &f);
	assert_int_equal(check(second, &s, &grant), KEY_REVOKED);
	rig_second_down(second);
}

static void an_ended_session_is_over_in_all_processes(void **state)
{
	struct rig *r = *state;
	const struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	AUTO(session_start_done) struct session_start s = {0}, other = {0};
	struct token_management *second = rig_second(r);
	struct session_grant grant;
	struct fault f = {0};
	char id[16];

	make_key(r, &in, id);
	sign_in(r, id, &s);
	sign_in(r, id, &other);
	assert_int_equal(check(second, &s, &grant), KEY_UNKNOWN); /* not heard of yet */
	CHECK(sessions_learn(second, s.cookie.bytes, s.cookie.len, &f), &f);
	CHECK(keys_load(second, NULL, &f), &f);
	assert_int_equal(check(second, &s, &grant), KEY_GOOD);
	assert_int_equal(sessions_end(second, s.id, "another", &cli, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	CHECK(sessions_end(second, s.id, id, &cli, &f), &f);
	assert_int_equal(check(second, &s, &grant), KEY_REVOKED);
	CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(check(r->tm, &s, &grant), KEY_REVOKED);
	assert_int_equal(check(r->tm, &other, &grant), KEY_GOOD);
	assert_int_equal(sessions_end(second, s.id, NULL, &cli, &f), -1);
	rig_second_down(second);
}

static void a_session_ends_unused_and_at_last_whatever_its_use(void **state)
{
	struct rig *r = *state;
	const struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	AUTO(session_start_done) struct session_start idle = {0}, used = {0};
	struct session_grant grant;
	char id[16];

	make_key(r, &in, id);
	sign_in(r, id, &idle);
	sign_in(r, id, &used);
	for (int hour = 1; hour < 12; hour++) {
		time_passes(HOUR);
		assert_int_equal(check(r->tm, &used, &grant), KEY_GOOD);
	}
	assert_int_equal(check(r->tm, &idle, &grant), KEY_EXPIRED);
	time_passes(HOUR);
	assert_int_equal(check(r->tm, &used, &grant), KEY_EXPIRED);
}

static void a_use_in_one_process_counts_in_the_others_and_after_a_restart(void **state)
{
	struct rig *r = *state;
	const struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	AUTO(session_start_done) struct session_start s = {0};
	struct token_management *second = rig_second(r);
	struct session_grant grant;
	struct fault f = {0};
	char id[16];

	make_key(r, &in, id);
	sign_in(r, id, &s);
	CHECK(token_management_follow(second, &f), &f);
	time_passes(HOUR + 30 * MINUTE);
	assert_int_equal(check(r->tm, &s, &grant), KEY_GOOD);
	CHECK(token_management_follow(r->tm, &f), &f);
	CHECK(token_management_follow(second, &f), &f);
	time_passes(HOUR);
	assert_int_equal(check(second, &s, &grant), KEY_GOOD);
	rig_second_down(second);
	second = rig_second(r);
	assert_int_equal(check(second, &s, &grant), KEY_GOOD);
	time_passes(24 * HOUR);
	CHECK(token_management_follow(second, &f), &f);
	assert_int_equal(second->sessions.sessions.count, 0); /* nor does it stay in memory */
	rig_second_down(second);
}

static void a_sign_in_link_works_once_and_not_for_a_revoked_key(void **state)
{
	struct rig *r = *state;
	const struct key_input in = {.name = "people", .scopes = KEY_ADMIN};
	AUTO(buf_drop) struct buf url = BUF_INIT(1024), name = BUF_INIT(256);
	AUTO(session_start_done) struct session_start s = {0};
	struct session_start none;
	struct session_grant grant;
	struct fault f = {0};
	char id[16];
	const char *link;

	make_key(r, &in, id);
	CHECK(sign_in_link(r->tm, id, HOUR, &cli, &url, &f), &f);
	link = strstr(buf_text(&url), "/sign-in?link=") + strlen("/sign-in?link=");
	assert_int_equal(sign_in_look(r->tm, link, &name, &f), 0);
	assert_string_equal(buf_text(&name), "people");
	assert_int_equal(sign_in_look(r->tm, "x", &name, &f), 1);
	assert_int_equal(sign_in_take(r->tm, link, NULL, &s, &f), 0);
	assert_int_equal(check(r->tm, &s, &grant), KEY_GOOD);
	assert_int_equal(sign_in_take(r->tm, link, NULL, &none, &f), 1);

	buf_reset(&url);
	CHECK(sign_in_link(r->tm, id, HOUR, &cli, &url, &f), &f);
	link = strstr(buf_text(&url), "/sign-in?link=") + strlen("/sign-in?link=");
	time_passes(HOUR);
	assert_int_equal(sign_in_take(r->tm, link, NULL, &none, &f), 1);
	buf_reset(&url);
	CHECK(sign_in_link(r->tm, id, HOUR, &cli, &url, &f), &f);
	CHECK(keys_revoke(r->tm, id, &cli, &f), &f);
	assert_int_equal(sign_in_take(r->tm, link, NULL, &none, &f), 1);
	assert_int_equal(sign_in_link(r->tm, id, HOUR, &cli, &url, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
}

static void a_key_has_so_many_sessions_and_one_more_ends_the_one_that_was_used_least_recently(
	void **state)
{
	struct rig *r = *state;
	const struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	AUTO(session_start_done) struct session_start first = {0}, other = {0};
	struct token_management *second = rig_second(r);
	struct session_grant grant;
	struct fault f = {0};
	char id[16], other_id[16];

	make_key(r, &in, id);
	make_key(r, &in, other_id);
	sign_in(r, other_id, &other);
	sign_in(r, id, &first);
	for (int i = 1; i < SESSIONS_PER_KEY; i++) {
		AUTO(session_start_done) struct session_start s = {0};

		time_passes(1000);
		sign_in(r, id, &s);
	}
	CHECK(token_management_follow(second, &f), &f);
	assert_int_equal(check(second, &first, &grant), KEY_GOOD);
	{
		AUTO(session_start_done) struct session_start s = {0};

		time_passes(1000);
		sign_in(r, id, &s);
		assert_int_equal(check(r->tm, &s, &grant), KEY_GOOD);
	}
	CHECK(token_management_follow(r->tm, &f), &f);
	CHECK(token_management_follow(second, &f), &f);
	assert_int_equal(check(r->tm, &first, &grant), KEY_REVOKED);
	assert_int_equal(check(second, &first, &grant), KEY_REVOKED);
	assert_int_equal(check(r->tm, &other, &grant), KEY_GOOD);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM sessions WHERE revoked_at_ms IS NULL"),
		SESSIONS_PER_KEY + 1);
	rig_second_down(second);
}

static void sessions_that_are_over_leave_the_database_and_the_memory(void **state)
{
	struct rig *r = *state;
	const struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	AUTO(session_start_done) struct session_start over = {0}, ended = {0};
	struct session_grant grant;
	struct fault f = {0};
	char id[16];

	make_key(r, &in, id);
	r->settings.session_life_ms = 48 * HOUR;
	sign_in(r, id, &ended);
	r->settings.session_life_ms = 12 * HOUR;
	sign_in(r, id, &over);
	CHECK(sessions_end(r->tm, ended.id, NULL, &cli, &f), &f);
	time_passes(37 * HOUR);
	CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM sessions"), 0);
	assert_int_equal(check(r->tm, &over, &grant), KEY_UNKNOWN);
	assert_int_equal(check(r->tm, &ended, &grant), KEY_UNKNOWN);
}

static void the_audit_loses_what_is_older_than_its_retention_and_nothing_else(void **state)
{
	struct rig *r = *state;
	const struct key_input in = {.name = "n", .scopes = KEY_ADMIN};
	struct fault f = {0};
	char id[16];
	int64_t rows;

	for (int i = 0; i < 600; i++)
		make_key(r, &in, id);
	rows = rig_number(r, "SELECT count(*) FROM audit");
	assert_true(rows >= 600);
	time_passes(INT64_C(800) * 24 * HOUR);
	CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit"), rows); /* 0: for ever */
	make_key(r, &in, id);
	r->settings.audit_retention_ms = INT64_C(400) * 24 * HOUR;
	CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit"), 1);
	assert_int_equal(store_transact(r->store, forget_audit, NULL, &f), -1);
	assert_non_null(strstr(f.text, "append-only"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_session_has_the_rights_of_its_key_and_no_more),
		TEST(only_the_hash_of_a_session_is_stored),
		TEST(a_revoked_key_ends_its_sessions_in_all_processes),
		TEST(an_ended_session_is_over_in_all_processes),
		TEST(a_session_ends_unused_and_at_last_whatever_its_use),
		TEST(a_use_in_one_process_counts_in_the_others_and_after_a_restart),
		TEST(a_sign_in_link_works_once_and_not_for_a_revoked_key),
		TEST(a_key_has_so_many_sessions_and_one_more_ends_the_one_that_was_used_least_recently),
		TEST(sessions_that_are_over_leave_the_database_and_the_memory),
		TEST(the_audit_loses_what_is_older_than_its_retention_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
