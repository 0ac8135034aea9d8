/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "token_management/slots.h"

#define HOUR 3600000
#define GRANTED "{\"access_token\":\"new\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"
#define ROTATED                                                                       \
	"{\"access_token\":\"new\",\"refresh_token\":\"second\",\"expires_in\":3600," \
	"\"token_type\":\"Bearer\"}"

static void assert_text(char *owned, const char *wanted)
{
	assert_string_equal(owned, wanted);
	mem_free(owned);
}

static void a_living_token_is_served_without_asking_anybody(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	assert_false(call_read(r->tm, &c, "b", 0)); /* not yet in memory */
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_READY);
	assert_string_equal(c.access, "old");
	assert_false(c.degraded);
	assert_true(call_read(r->tm, &c, "b", 0));
	assert_string_equal(c.access, "old");
	assert_string_equal(c.branch, "b");
	assert_int_equal(provider_count(), 0);
}

static void ten_thousand_waiters_cost_one_request_and_all_get_the_new_token(void **state)
{
	enum { N = 10000 };
	struct rig *r = *state;
	struct call *calls = calloc(N, sizeof(*calls));
	struct ask *a;

	rig_connected(r, "b", "old", "first", -1000, HOUR);
	for (size_t i = 0; i < N; i++)
		call_obtain(r->tm, &calls[i], "b", 0, false);
	a = provider_wait();
	assert_text(ask_field(a, "grant_type"), "refresh_token");
	assert_text(ask_field(a, "refresh_token"), "first");
	assert_text(ask_field(a, "client_id"), "app-b");
	assert_text(ask_field(a, "client_secret"), "secret-b");
	assert_null(a->basic);
	assert_null(ask_field(a, "scope")); /* as granted, never more */
	assert_string_equal(a->url, "https://oauth2.test/token");
	provider_answers(a, 200, GRANTED);
	calls_wait(N);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(calls[i].outcome, TOKEN_READY);
		assert_string_equal(calls[i].access, "new");
		assert_int_equal(calls[i].answers, 1);
	}
	assert_int_equal(provider_count(), 1);
	free(calls);
}

static void a_token_inside_the_margin_is_refreshed(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", 300000, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
	assert_int_equal(c.expires_at_ms, wall_now_ms + HOUR);
	assert_true(call_read(r->tm, &c, "b", 0));
	assert_string_equal(c.access, "new");
}

static void a_token_just_outside_the_margin_is_not_refreshed(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", 300001, HOUR);
	call_now(r->tm, &c, "b");
	assert_string_equal(c.access, "old");
	time_passes(1);
	assert_false(call_read(r->tm, &c, "b", 0));
	assert_int_equal(provider_count(), 0);
}

static void a_response_without_refresh_token_keeps_the_old_one(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	int64_t row = rig_connected(r, "b", "old", "first", -1, HOUR);

	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_text(rig_unsealed(r, row, "refresh_token"), "first");
	assert_text(rig_unsealed(r, row, "access_token"), "new");
}

static void a_rotated_refresh_token_is_in_the_database_before_anybody_is_answered(void **state)
{
	struct rig *r = *state;
	struct call calls[20];

	rig_connected(r, "b", "old", "first", -1, HOUR);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		calls[i] = (struct call){.rig = r, .looks = true};
		call_obtain(r->tm, &calls[i], "b", 0, false);
	}
	provider_answers(provider_wait(), 200, ROTATED);
	calls_wait(ARRAY_LEN(calls));
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		assert_string_equal(calls[i].access, "new");
		assert_text(calls[i].stored_refresh, "second");
	}
}

static void the_next_refresh_spends_the_rotated_token(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	struct ask *a;

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, ROTATED);
	calls_wait(1);
	time_passes(HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	a = provider_wait();
	assert_text(ask_field(a, "refresh_token"), "second");
	provider_answers(a, 200, GRANTED);
	calls_wait(2);
	assert_int_equal(rig_number(r, "SELECT fence FROM tokens"), 2);
}

static void a_forced_refresh_joins_the_one_that_runs(void **state)
{
	struct rig *r = *state;
	struct call one = {0}, two = {0};
	struct ask *a;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	call_obtain(r->tm, &one, "b", 0, true);
	a = provider_wait();
	call_obtain(r->tm, &two, "b", 0, true);
	provider_answers(a, 200, GRANTED);
	calls_wait(2);
	rig_wait_idle(r->tm);
	assert_string_equal(one.access, "new");
	assert_string_equal(two.access, "new");
	assert_int_equal(provider_count(), 1);
}

static void short_lived_tokens_are_not_refreshed_at_each_read(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, 60000);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, "{\"access_token\":\"new\",\"expires_in\":60}");
	calls_wait(1);
	rig_wait_idle(r->tm);
	time_passes(29000);
	assert_true(call_read(r->tm, &c, "b", 0));
	time_passes(2000);
	assert_false(call_read(r->tm, &c, "b", 0));
	assert_int_equal(provider_count(), 1);
}

static void a_min_ttl_beyond_what_the_provider_issues_is_no_storm(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR / 2, HOUR);
	call_obtain(r->tm, &c, "b", 2 * HOUR, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
	rig_wait_idle(r->tm);
	for (int i = 0; i < 59; i++) {
		assert_true(call_read(r->tm, &c, "b", 2 * HOUR));
		assert_false(c.degraded);
		time_passes(1000);
	}
	assert_int_equal(provider_count(), 1);
}

static void a_min_ttl_that_a_refresh_can_meet_is_met(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR / 2, HOUR);
	call_now(r->tm, &c, "b");
	assert_true(call_read(r->tm, &c, "b", HOUR / 4));
	assert_false(call_read(r->tm, &c, "b", HOUR * 3 / 4));
	calls_forget();
	call_obtain(r->tm, &c, "b", HOUR * 3 / 4, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
}

static void a_caller_who_needs_more_than_the_others_found_gets_it(void **state)
{
	struct rig *r = *state;
	struct call easy = {0}, hard = {0};

	/* Both wait on the same look at the row, or the second on one of its own: the same for
	 * them. */
	rig_connected(r, "b", "old", "first", HOUR / 2, HOUR);
	call_obtain(r->tm, &easy, "b", 0, false);
	call_obtain(r->tm, &hard, "b", HOUR * 3 / 4, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(2);
	assert_string_equal(hard.access, "new");
	assert_int_equal(easy.outcome, TOKEN_READY);
	assert_int_equal(provider_count(), 1);
}

static void a_refused_token_is_replaced_though_it_seems_to_live(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	call_now(r->tm, &c, "b");
	tokens_reject(r->tm, "b", "another", 7);
	assert_true(call_read(r->tm, &c, "b", 0));
	tokens_reject(r->tm, "b", "old", 3);
	assert_false(call_read(r->tm, &c, "b", 0));
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
	assert_true(call_read(r->tm, &c, "b", 0));
}

static void a_refused_token_stays_refused_when_memory_is_emptied(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	call_now(r->tm, &c, "b");
	tokens_reject(r->tm, "b", "old", 3);
	slots_forget(r->tm, "b"); /* as after any change of the branch's row */
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
}

static void a_token_is_refused_though_memory_was_emptied_before(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	call_now(r->tm, &c, "b");
	slots_forget(r->tm, "b");
	tokens_reject(r->tm, "b", "old", 3);
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
}

static void outcomes_without_a_token_say_why(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	call_now(r->tm, &c, "nobody");
	assert_int_equal(c.outcome, TOKEN_UNKNOWN);
	assert_int_equal(c.client_row, 0);
	assert_true(strlen(c.reason) > 0);
	rig_register(r, "new");
	call_now(r->tm, &c, "new");
	assert_int_equal(c.outcome, TOKEN_PENDING);
	assert_true(c.client_row > 0);
	rig_connected(r, "off", "old", "first", HOUR, HOUR);
	rig_run(r, "UPDATE clients SET is_active = 0 WHERE branch_id = 'off'");
	call_now(r->tm, &c, "off");
	assert_int_equal(c.outcome, TOKEN_INACTIVE);
	rig_connected(r, "gone", "old", "first", HOUR, HOUR);
	rig_run(r, "UPDATE clients SET status = 'revoked' WHERE branch_id = 'gone'");
	call_now(r->tm, &c, "gone");
	assert_int_equal(c.outcome, TOKEN_REVOKED);
	assert_int_equal(provider_count(), 0);
}

static size_t count_slots(struct rig *r)
{
	size_t n = 0;

	for (size_t i = 0; i < SLOT_SHARDS; i++)
		n += r->tm->slots.shards[i].slots.count;
	return n;
}

static void unknown_branches_leave_nothing_in_memory(void **state)
{
	struct rig *r = *state;
	struct call calls[100] = {0};
	char branch[16];

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		snprintf(branch, sizeof(branch), "x%zu", i);
		call_obtain(r->tm, &calls[i], branch, 0, false);
	}
	calls_wait(ARRAY_LEN(calls));
	rig_wait_idle(r->tm);
	assert_int_equal(count_slots(r), 0);
}

static void what_cannot_be_a_branch_is_never_taken_for_one_that_is(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	char branch[LIMIT_BRANCH_ID_BYTES + 1], longer[LIMIT_BRANCH_ID_BYTES + 10];

	memset(branch, 'x', sizeof(branch));
	branch[sizeof(branch) - 1] = '\0';
	snprintf(longer, sizeof(longer), "%sy", branch);
	rig_connected(r, branch, "old", "first", HOUR, HOUR);
	call_now(r->tm, &c, longer);
	assert_int_equal(c.outcome, TOKEN_UNKNOWN);
	call_now(r->tm, &c, "\xff");
	assert_int_equal(c.outcome, TOKEN_UNKNOWN);
	call_now(r->tm, &c, "");
	assert_int_equal(c.outcome, TOKEN_UNKNOWN);
	call_now(r->tm, &c, branch);
	assert_int_equal(c.outcome, TOKEN_READY);
}

static void memory_lets_go_of_branches_that_nobody_reads(void **state)
{
	struct rig *r = *state;
	struct fault f = {0};
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	CHECK(token_management_follow(r->tm, &f), &f); /* of the registration */
	call_now(r->tm, &c, "b");
	for (size_t i = 0; i < SLOT_SHARDS; i++)
		CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(count_slots(r), 1);
	time_passes(HOUR);
	for (size_t i = 0; i < SLOT_SHARDS; i++)
		CHECK(token_management_follow(r->tm, &f), &f);
	assert_int_equal(count_slots(r), 0);
}

static void a_deleted_client_is_unknown_at_once(void **state)
{
	struct rig *r = *state;
	struct actor who = {.name = "cli"};
	struct fault f = {0};
	struct call c = {0};
	int64_t row = rig_connected(r, "b", "old", "first", HOUR, HOUR);

	call_now(r->tm, &c, "b");
	CHECK(clients_delete(r->tm, row, &who, &f), &f);
	assert_false(call_read(r->tm, &c, "b", 0));
	assert_int_equal(count_slots(r), 0);
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_UNKNOWN);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tokens"), 0);
}

static void a_clock_set_back_does_not_make_a_dead_token_live(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	call_now(r->tm, &c, "b");
	time_passes(HOUR + 1000);
	wall_now_ms -= HOUR; /* the wall clock says that an hour is left */
	assert_false(call_read(r->tm, &c, "b", 0));
	wall_now_ms -= HOUR; /* and now the row says more than was ever issued */
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
}

static void a_missing_expires_in_is_taken_for_an_hour_and_stored_as_such(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, "{\"access_token\":\"new\"}");
	calls_wait(1);
	assert_int_equal(rig_number(r, "SELECT lifetime_ms FROM tokens"), HOUR);
	assert_in_range(rig_number(r, "SELECT next_refresh_at_ms FROM tokens"),
		wall_now_ms + HOUR - 600000, wall_now_ms + HOUR - 300000);
	assert_true(log_holds("\"lifetime_assumed\":true"));
}

static void no_token_is_believed_to_live_longer_than_a_day(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(
		provider_wait(), 200, "{\"access_token\":\"new\",\"expires_in\":99999999999}");
	calls_wait(1);
	assert_int_equal(c.expires_at_ms, wall_now_ms + 24 * HOUR);
}

static void a_refresh_asks_for_no_scope_and_goes_to_the_token_endpoint_only(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	struct ask *a;

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	a = provider_wait();
	assert_string_equal(
		a->url, r->tm->providers.entries[0].own->p.token_url); /* nothing appended */
	assert_text(ask_field(a, "grant_type"), "refresh_token");
	assert_text(ask_field(a, "refresh_token"), "first");
	assert_null(strstr(a->body, "scope="));
	provider_answers(a, 200, GRANTED);
	calls_wait(1);
	assert_int_equal(provider_count(), 1);
}

static void a_sixteen_kilobyte_token_goes_round(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	AUTO(buf_drop) struct buf body = BUF_INIT(40000);
	int64_t row = rig_connected(r, "b", "old", "first", -1, HOUR);
	char *stored;

	buf_add_text(&body, "{\"access_token\":\"");
	for (size_t i = 0; i < LIMIT_ACCESS_TOKEN_BYTES; i++)
		buf_add_char(&body, 'k');
	buf_add_text(&body, "\",\"expires_in\":3600}");
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, buf_text(&body));
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_READY);
	stored = rig_unsealed(r, row, "access_token");
	assert_int_equal(strlen(stored), LIMIT_ACCESS_TOKEN_BYTES);
	mem_free(stored);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_living_token_is_served_without_asking_anybody),
		TEST(ten_thousand_waiters_cost_one_request_and_all_get_the_new_token),
		TEST(a_token_inside_the_margin_is_refreshed),
		TEST(a_token_just_outside_the_margin_is_not_refreshed),
		TEST(a_response_without_refresh_token_keeps_the_old_one),
		TEST(a_rotated_refresh_token_is_in_the_database_before_anybody_is_answered),
		TEST(the_next_refresh_spends_the_rotated_token),
		TEST(a_forced_refresh_joins_the_one_that_runs),
		TEST(short_lived_tokens_are_not_refreshed_at_each_read),
		TEST(a_min_ttl_beyond_what_the_provider_issues_is_no_storm),
		TEST(a_min_ttl_that_a_refresh_can_meet_is_met),
		TEST(a_caller_who_needs_more_than_the_others_found_gets_it),
		TEST(a_refused_token_is_replaced_though_it_seems_to_live),
		TEST(a_refused_token_stays_refused_when_memory_is_emptied),
		TEST(a_token_is_refused_though_memory_was_emptied_before),
		TEST(outcomes_without_a_token_say_why),
		TEST(unknown_branches_leave_nothing_in_memory),
		TEST(what_cannot_be_a_branch_is_never_taken_for_one_that_is),
		TEST(memory_lets_go_of_branches_that_nobody_reads),
		TEST(a_deleted_client_is_unknown_at_once),
		TEST(a_clock_set_back_does_not_make_a_dead_token_live),
		TEST(a_missing_expires_in_is_taken_for_an_hour_and_stored_as_such),
		TEST(no_token_is_believed_to_live_longer_than_a_day),
		TEST(a_refresh_asks_for_no_scope_and_goes_to_the_token_endpoint_only),
		TEST(a_sixteen_kilobyte_token_goes_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
