/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "token_management/token_management_import.h"

#define GRANTED "{\"access_token\":\"new\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"

static const struct actor cli = {.name = "cli"};
static const struct import_options keep = {.who = &cli};
static const struct import_options replacing = {.who = &cli, .replaces = true};

static void add_line(struct buf *b, const char *branch, const char *token)
{
	buf_addf(b,
		"{\"client_id\":\"app\",\"client_secret\":\"app-secret\",\"branch_id\":\"%s\","
		"\"workspace_email\":\"m@example.com\",\"workspace_name\":\"N\","
		"\"refresh_token\":\"%s\"}\n",
		branch, token);
}

/* In pieces of so many bytes. */
static struct import_status bring(
	struct rig *r, const struct import_options *options, const struct buf *lines, size_t piece)
{
	struct import *x = NULL;
	struct fault f = {0};
	struct import_status s;

	CHECK(import_begin(r->tm, options, &x, &f), &f);
	for (size_t at = 0; at < lines->len; at += piece)
		CHECK(import_take(x, lines->data + at,
			      lines->len - at < piece ? lines->len - at : piece, &f),
			&f);
	CHECK(import_end(x, &f), &f);
	CHECK(import_status(r->tm, import_id(x), &s, &f), &f);
	import_free(x);
	return s;
}

static struct import_status look(struct rig *r, const char *id)
{
	struct fault f = {0};
	struct import_status s;

	CHECK(import_status(r->tm, id, &s, &f), &f);
	return s;
}

static void assert_text(char *owned, const char *wanted)
{
	assert_string_equal(owned, wanted);
	mem_free(owned);
}

static void lines_cut_anywhere_come_in_whole(void **state)
{
	struct rig *r = *state;

	for (size_t piece = 1; piece < 400; piece = piece * 3 + 1) {
		AUTO(buf_drop) struct buf lines = BUF_INIT(65536);
		char branch[32];
		struct import_status s;

		for (int i = 0; i < 3; i++) {
			snprintf(branch, sizeof(branch), "b-%zu-%d", piece, i);
			add_line(&lines, branch, branch);
		}
		s = bring(r, &keep, &lines, piece);
		assert_int_equal(s.lines, 3);
		assert_int_equal(s.waiting, 3);
		assert_true(s.is_whole);
	}
}

static void what_is_imported_is_pending_and_due_with_its_secrets_sealed(void **state)
{
	struct rig *r = *state;
	AUTO(buf_drop) struct buf lines = BUF_INIT(65536);
	int64_t id;

	add_line(&lines, "b", "the-token");
	bring(r, &keep, &lines, lines.len);
	id = rig_number(r, "SELECT id FROM clients");
	assert_text(rig_text(r, "SELECT status FROM clients"), "pending");
	assert_text(rig_unsealed(r, id, "refresh_token"), "the-token");
	assert_int_equal(rig_number(r, "SELECT access_token IS NULL FROM tokens"), 1);
	assert_true(rig_number(r, "SELECT next_refresh_at_ms FROM tokens") <= clock_wall_ms());
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'client.imported'"), 1);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM clients"
				       " WHERE instr(client_secret, 'app-secret') > 0"),
		0);
}

static void the_first_refresh_verifies_it(void **state)
{
	struct rig *r = *state;
	AUTO(buf_drop) struct buf lines = BUF_INIT(65536);
	struct import_status s;
	struct call c = {0};

	add_line(&lines, "b", "the-token");
	s = bring(r, &keep, &lines, 7);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_READY);
	rig_wait_idle(r->tm);
	s = look(r, s.id);
	assert_int_equal(s.verified, 1);
	assert_int_equal(s.waiting, 0);
	assert_text(rig_text(r, "SELECT status FROM clients"), "connected");
	assert_true(rig_number(r, "SELECT next_refresh_at_ms FROM tokens") > clock_wall_ms());
}

static void an_outage_leaves_it_waiting_and_a_dead_grant_fails_it(void **state)
{
	struct rig *r = *state;
	AUTO(buf_drop) struct buf lines = BUF_INIT(65536);
	struct import_status s;
	struct call c = {0};

	add_line(&lines, "b", "the-token");
	s = bring(r, &keep, &lines, 7);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 503, "");
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	rig_wait_idle(r->tm);
	s = look(r, s.id);
	assert_int_equal(s.waiting, 1);
	assert_text(rig_text(r, "SELECT status FROM clients"), "pending");
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action LIKE 'connection.%'"), 0);
	time_passes(c.retry_after_ms + 1);
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 400, "{\"error\":\"invalid_grant\"}");
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_NEEDS_RECONNECT);
	rig_wait_idle(r->tm);
	s = look(r, s.id);
	assert_int_equal(s.failed, 1);
	assert_int_equal(rig_number(r, "SELECT instr(reason, 'invalid_grant') > 0 FROM"
				       " import_lines"),
		1);
}

static void a_refused_app_is_the_apps_error(void **state)
{
	struct rig *r = *state;
	AUTO(buf_drop) struct buf lines = BUF_INIT(65536);
	struct import_status s;
	struct call c = {0};

	add_line(&lines, "b", "the-token");
	s = bring(r, &keep, &lines, 7);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 401, "{\"error\":\"invalid_client\"}");
	calls_wait(1);
	rig_wait_idle(r->tm);
	s = look(r, s.id);
	assert_int_equal(s.app_refused, 1);
	assert_int_equal(s.failed, 0);
	assert_text(rig_text(r, "SELECT status FROM clients"), "pending");
	/* The same token with a line that names the app rightly. */
	s = bring(r, &keep, &lines, 7);
	assert_int_equal(s.waiting, 1);
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	rig_wait_idle(r->tm);
	assert_int_equal(look(r, s.id).verified, 1);
}

static void the_same_lines_again_change_nothing(void **state)
{
	struct rig *r = *state;
	AUTO(buf_drop) struct buf lines = BUF_INIT(65536);
	struct import_status s;
	int64_t fence;

	add_line(&lines, "b", "the-token");
	bring(r, &keep, &lines, 7);
	fence = rig_number(r, "SELECT fence FROM tokens");
	s = bring(r, &replacing, &lines, 7);
	assert_int_equal(s.waiting, 1);
	assert_int_equal(rig_number(r, "SELECT fence FROM tokens"), fence);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM clients"), 1);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'client.imported'"), 1);
}

static void another_token_for_a_branch_that_lives_needs_replace(void **state)
{
	struct rig *r = *state;
	AUTO(buf_drop) struct buf lines = BUF_INIT(65536);
	int64_t id = rig_connected(r, "b", "old", "first", 3600000, 3600000);
	struct import_status s;

	add_line(&lines, "b", "second");
	s = bring(r, &keep, &lines, 7);
	assert_int_equal(s.exists, 1);
	assert_text(rig_unsealed(r, id, "refresh_token"), "first");
	s = bring(r, &replacing, &lines, 7);
	assert_int_equal(s.waiting, 1);
	assert_text(rig_unsealed(r, id, "refresh_token"), "second");
	assert_text(rig_text(r, "SELECT status FROM clients"), "pending");
}

static void a_client_that_is_deleted_settles_its_line(void **state)
{
	struct rig *r = *state;
	AUTO(buf_drop) struct buf lines = BUF_INIT(65536);
	struct import_status s;
	struct fault f = {0};

	add_line(&lines, "b", "the-token");
	s = bring(r, &keep, &lines, 7);
	CHECK(clients_delete(r->tm, rig_number(r, "SELECT id FROM clients"), &cli, &f), &f);
	s = look(r, s.id);
	assert_int_equal(s.failed, 1);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM imported_tokens"), 0);
	s = bring(r, &keep, &lines, 7);
	assert_int_equal(s.waiting, 1);
}

static void many_are_verified_at_a_pace_that_leaves_room(void **state)
{
	struct rig *r = *state;
	AUTO(buf_drop) struct buf lines = BUF_INIT(1024 * 1024);
	int64_t pace = 4 * r->settings.token_refresh_concurrency, last;
	char branch[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(branch, sizeof(branch), "b%d", i);
		add_line(&lines, branch, branch);
	}
	bring(r, &keep, &lines, 4096);
	last = rig_number(r, "SELECT max(next_refresh_at_ms) FROM tokens") - clock_wall_ms();
	assert_in_range(last, 990 * 1000 / pace, 1000 * 1000 / pace);
}

static void reports_of_a_month_ago_are_let_go(void **state)
{
	struct rig *r = *state;
	AUTO(buf_drop) struct buf lines = BUF_INIT(65536);

	add_line(&lines, "b", "the-token");
	bring(r, &keep, &lines, 7);
	time_passes(INT64_C(31) * 24 * 3600 * 1000);
	bring(r, &keep, &lines, 7);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM imports"), 1);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM import_lines"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_cut_anywhere_come_in_whole),
		TEST(what_is_imported_is_pending_and_due_with_its_secrets_sealed),
		TEST(the_first_refresh_verifies_it),
		TEST(an_outage_leaves_it_waiting_and_a_dead_grant_fails_it),
		TEST(a_refused_app_is_the_apps_error),
		TEST(the_same_lines_again_change_nothing),
		TEST(another_token_for_a_branch_that_lives_needs_replace),
		TEST(a_client_that_is_deleted_settles_its_line),
		TEST(many_are_verified_at_a_pace_that_leaves_room),
		TEST(reports_of_a_month_ago_are_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
