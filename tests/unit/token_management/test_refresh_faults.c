/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define HOUR 3600000
#define GRANTED "{\"access_token\":\"new\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"
#define ROTATED "{\"access_token\":\"new\",\"refresh_token\":\"second\",\"expires_in\":3600}"

static void assert_text(char *owned, const char *wanted)
{
	assert_string_equal(owned, wanted);
	mem_free(owned);
}

static void assert_status(struct rig *r, const char *wanted)
{
	assert_text(rig_text(r, "SELECT status FROM clients"), wanted);
}

/* ---- a dead grant ---- */

static void a_dead_grant_is_reported_once_and_never_asked_again(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 400,
		"{\"error\":\"invalid_grant\",\"error_description\":\"Bad Request\"}");
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_NEEDS_RECONNECT);
	rig_wait_idle(r->tm);
	assert_status(r, "needs_reconnect");
	for (int i = 0; i < 5; i++) {
		time_passes(HOUR);
		call_now(r->tm, &c, "b");
		assert_int_equal(c.outcome, TOKEN_NEEDS_RECONNECT);
	}
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, true);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_NEEDS_RECONNECT);
	assert_int_equal(provider_count(), 1);
	assert_int_equal(log_count("grant.dead"), 1);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit WHERE action = "
				       "'connection.needs_reconnect'"),
		1);
}

static void a_dead_grant_ends_what_memory_still_served(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	call_now(r->tm, &c, "b");
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, true);
	provider_answers(provider_wait(), 401, "{\"error\":\"invalid_grant\"}");
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_NEEDS_RECONNECT);
	assert_false(call_read(r->tm, &c, "b", 0));
}

/* ---- failures that leave the grant alone ---- */

static void assert_not_dead(struct rig *r, struct call *c)
{
	calls_wait(1);
	rig_wait_idle(r->tm);
	assert_int_equal(c->outcome, TOKEN_UNAVAILABLE);
	assert_true(c->retry_after_ms > 0);
	assert_true(strlen(c->reason) > 0);
	assert_status(r, "degraded");
	assert_int_equal(rig_number(r, "SELECT refresh_failures FROM tokens"), 1);
	assert_text(
		rig_unsealed(r, rig_number(r, "SELECT id FROM clients"), "refresh_token"), "first");
	assert_int_equal(rig_number(r, "SELECT lease_owner IS NULL FROM tokens"), 1);
}

/* Asked again only when the time has come; then everything heals. */
static void assert_heals(struct rig *r, struct call *c)
{
	int64_t wait = c->retry_after_ms;
	struct ask *a;

	call_now(r->tm, c, "b");
	assert_int_equal(c->outcome, TOKEN_UNAVAILABLE);
	assert_int_equal(provider_count(), 1);
	time_passes(wait + 1);
	calls_forget();
	call_obtain(r->tm, c, "b", 0, false);
	a = provider_wait();
	assert_text(ask_field(a, "refresh_token"), "first");
	provider_answers(a, 200, GRANTED);
	calls_wait(1);
	rig_wait_idle(r->tm);
	assert_string_equal(c->access, "new");
	assert_status(r, "connected");
	assert_int_equal(rig_number(r, "SELECT refresh_failures FROM tokens"), 0);
	assert_int_equal(rig_number(r, "SELECT retry_at_ms IS NULL FROM tokens"), 1);
}

static void answer_fails(struct rig *r, long status, const char *body)
{
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), status, body);
	assert_not_dead(r, &c);
	assert_heals(r, &c);
}

static void a_server_error_never_kills_a_grant_whatever_it_says(void **state)
{
	answer_fails(*state, 500, "{\"error\":\"invalid_grant\"}");
}

static void a_page_of_a_proxy_never_kills_a_grant(void **state)
{
	answer_fails(*state, 400, "<html>invalid_grant</html>");
}

static void a_cut_off_answer_never_kills_a_grant(void **state)
{
	answer_fails(*state, 200, "{\"access_token\":\"ne");
}

static void a_redirect_is_not_followed_and_kills_nothing(void **state)
{
	answer_fails(*state, 302, "");
}

static void a_misconfigured_client_marks_the_branch_but_not_its_grant(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	char *reason;

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 401, "{\"error\":\"invalid_client\"}");
	assert_not_dead(r, &c);
	assert_true(c.retry_after_ms >= 30000);
	reason = rig_text(r, "SELECT status_reason FROM clients");
	assert_non_null(strstr(reason, "invalid_client"));
	mem_free(reason);
	assert_non_null(strstr(c.reason, "invalid_client"));
	call_now(r->tm, &c, "b"); /* the same words while it is left alone */
	assert_non_null(strstr(c.reason, "invalid_client"));
	assert_heals(r, &c);
}

static void a_limit_is_waited_out_as_long_as_the_provider_says(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers_later(provider_wait(), 429, 120000);
	assert_not_dead(r, &c);
	assert_int_equal(c.retry_after_ms, 120000);
	assert_heals(r, &c);
}

static void an_outage_with_retry_after_is_waited_out(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers_later(provider_wait(), 503, 90000);
	assert_not_dead(r, &c);
	assert_int_equal(c.retry_after_ms, 90000);
	assert_heals(r, &c);
}

static void an_unreachable_provider_kills_nothing(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_fails(provider_wait(), NET_UNREACHABLE);
	assert_not_dead(r, &c);
	assert_heals(r, &c);
}

static void an_answer_lost_on_the_way_leads_to_a_try_with_the_old_token(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_fails(provider_wait(), NET_BROKEN);
	assert_not_dead(r, &c);
	assert_heals(r, &c);
}

static void a_retry_after_of_a_year_holds_nobody_off_for_more_than_an_hour(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers_later(provider_wait(), 503, INT64_C(31536000000));
	assert_not_dead(r, &c);
	assert_int_equal(c.retry_after_ms, HOUR);
}

static void a_token_with_life_left_is_served_while_refreshing_fails(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", 200000, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers_later(provider_wait(), 503, 60000);
	calls_wait(1);
	rig_wait_idle(r->tm);
	assert_int_equal(c.outcome, TOKEN_READY);
	assert_string_equal(c.access, "old");
	assert_true(c.degraded);
	/* from memory too, without a word to the provider … */
	assert_true(call_read(r->tm, &c, "b", 0));
	assert_true(c.degraded);
	assert_int_equal(provider_count(), 1);
	/* … until it may be asked again */
	time_passes(60001);
	assert_false(call_read(r->tm, &c, "b", 0));
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_false(c.degraded);
	assert_string_equal(c.access, "new");
}

static void a_degraded_token_is_not_served_past_its_end(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", 20000, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers_later(provider_wait(), 503, 60000);
	calls_wait(1);
	time_passes(20000);
	assert_false(call_read(r->tm, &c, "b", 0));
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_int_equal(c.retry_after_ms, 40000);
	assert_int_equal(provider_count(), 1);
}

static void a_failure_is_remembered_by_the_row_over_a_restart(void **state)
{
	struct rig *r = *state;
	struct token_management *second;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers_later(provider_wait(), 503, 60000);
	calls_wait(1);
	second = rig_second(r);
	call_now(second, &c, "b");
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_int_equal(provider_count(), 1);
	rig_second_down(second);
}

static void each_move_of_state_is_one_audit_row_and_one_loud_log_line(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	for (int i = 0; i < 4; i++) {
		calls_forget();
		call_obtain(r->tm, &c, "b", 0, false);
		provider_answers_later(provider_wait(), 503, -1);
		calls_wait(1);
		rig_wait_idle(r->tm);
		time_passes(61000);
	}
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'connection.degraded'"),
		1);
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'connection.connected'"),
		1);
}

static void an_unusable_answer_still_brings_its_new_refresh_token_home(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	int64_t row = rig_connected(r, "b", "old", "first", -1, HOUR);

	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200,
		"{\"access_token\":\"x\",\"token_type\":\"mac\",\"refresh_token\":\"second\"}");
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE); /* not handed out as a bearer token */
	assert_text(rig_unsealed(r, row, "refresh_token"), "second");
}

static void a_secret_that_cannot_be_unsealed_is_our_fault_and_asks_nobody(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	rig_run(r, "UPDATE clients SET client_secret = CAST('12345' AS {bytes})");
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_int_equal(provider_count(), 0);
	assert_status(r, "degraded");
}

static void a_connection_without_refresh_token_lives_out_its_token(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", NULL, 100000, HOUR);
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_READY);
	assert_true(c.degraded);
	time_passes(100001);
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_NEEDS_RECONNECT);
	assert_status(r, "needs_reconnect");
	assert_int_equal(provider_count(), 0);
}

static struct rig *reconnecting;

/* Says that a row was read; what another process would do then is done here. */
static void reconnect_when_read(const char *line, size_t len)
{
	struct rig *r = reconnecting;

	(void)len;
	if (r == NULL || strstr(line, "grant.unreadable") == NULL)
		return;
	reconnecting = NULL;
	rig_run(r, "UPDATE tokens SET refresh_token = (SELECT refresh_token FROM kept)");
}

static void a_connection_made_anew_while_its_old_row_is_judged_lives(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	rig_run(r, "CREATE TABLE kept AS SELECT refresh_token FROM tokens");
	rig_run(r, "UPDATE tokens SET refresh_token = NULL, access_token = CAST('12' AS {bytes})");
	reconnecting = r;
	log_use(reconnect_when_read);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_null(reconnecting);
	assert_int_equal(c.outcome, TOKEN_READY);
	assert_status(r, "connected");
}

/* ---- the database fails ---- */

static void break_store(struct rig *r)
{
	rig_break(r, "UPDATE OF access_token", "tokens", NULL);
}

static void nothing_is_served_before_it_is_durable(void **state)
{
	struct rig *r = *state;
	struct call c = {0}, late = {0};
	int64_t row = rig_connected(r, "b", "old", "first", -1, HOUR);

	call_obtain(r->tm, &c, "b", 0, false);
	break_store(r);
	provider_answers(provider_wait(), 200, ROTATED);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_string_equal(c.access, "");
	for (int i = 0; i < 3; i++) {
		call_obtain(r->tm, &late, "b", 0, false);
		timer_wait_and_fire();
		calls_wait((unsigned)i + 2);
		assert_int_equal(late.outcome, TOKEN_UNAVAILABLE);
	}
	assert_text(rig_unsealed(r, row, "refresh_token"), "first");
	rig_mend(r, "tokens");
	calls_forget();
	call_obtain(r->tm, &late, "b", 0, false);
	timer_wait_and_fire();
	calls_wait(1);
	assert_string_equal(late.access, "new");
	assert_text(rig_unsealed(r, row, "refresh_token"), "second");
	assert_int_equal(provider_count(), 1);
}

static void a_living_token_is_served_while_the_new_one_cannot_be_stored(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", 100000, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	break_store(r);
	provider_answers(provider_wait(), 200, ROTATED);
	calls_wait(1);
	assert_string_equal(c.access, "old");
	assert_true(c.degraded);
	rig_mend(r, "tokens");
	timer_wait_and_fire();
	rig_wait_idle(r->tm);
	assert_true(call_read(r->tm, &c, "b", 0));
	assert_string_equal(c.access, "new");
}

static void storing_is_given_up_after_ten_minutes(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	int64_t spent = 0;

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	break_store(r);
	provider_answers(provider_wait(), 200, ROTATED);
	while (spent <= 600000)
		spent += timer_wait_and_fire();
	rig_wait_idle(r->tm);
	assert_int_equal(log_count("grant.store_failed"), 1);
	assert_int_equal(log_count("grant.store_given_up"), 1);
	rig_mend(r, "tokens");
}

static void a_database_that_cannot_be_read_is_no_reason_to_ask_the_provider(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	rig_run(r, "ALTER TABLE tokens RENAME TO away");
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_true(c.retry_after_ms > 0);
	rig_run(r, "ALTER TABLE away RENAME TO tokens");
	time_passes(1000);
	call_now(r->tm, &c, "b");
	assert_string_equal(c.access, "old");
	assert_int_equal(provider_count(), 0);
}

/* ---- leases and fences ---- */

#define HELD "UPDATE tokens SET lease_owner = 'another', fence = 7, lease_until_ms = "

static void hold_lease(struct rig *r)
{
	char sql[160];

	snprintf(sql, sizeof(sql), HELD "%" PRId64, clock_wall_ms() + 30000);
	rig_run(r, sql);
}

static void a_lease_of_another_process_is_waited_for_and_its_token_taken(void **state)
{
	struct rig *r = *state;
	struct token_management *second = rig_second(r);
	struct call c = {0}, other = {0};
	struct ask *a;

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(second, &other, "b", 0, false);
	a = provider_wait();
	call_obtain(r->tm, &c, "b", 0, true); /* forced: the refresh of the other one counts */
	for (int i = 0; i < 3; i++)
		assert_true(timer_wait_and_fire() <= 250);
	timer_wait();
	provider_answers(a, 200, ROTATED);
	calls_wait(1);
	timer_wait_and_fire();
	calls_wait(2);
	assert_string_equal(other.access, "new");
	assert_string_equal(c.access, "new");
	assert_int_equal(provider_count(), 1);
	rig_second_down(second);
}

static void a_lease_whose_holder_is_silent_is_taken_over_after_its_time(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	int64_t waited = 0;

	rig_connected(r, "b", "old", "first", -1, HOUR);
	hold_lease(r);
	call_obtain(r->tm, &c, "b", 0, false);
	while (waited < 30000) {
		assert_int_equal(provider_count(), 0);
		waited += timer_wait_and_fire();
	}
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
	assert_int_equal(rig_number(r, "SELECT fence FROM tokens"), 8);
}

static void a_lease_is_not_taken_over_because_clocks_differ(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1000000, HOUR);
	hold_lease(r);
	wall_now_ms += 5 * 60000; /* ours is ahead: by it the lease ended long ago */
	call_obtain(r->tm, &c, "b", 0, false);
	timer_wait_and_fire();
	timer_wait();
	assert_int_equal(provider_count(), 0);
	wall_now_ms += 60 * 60000; /* no clock is that wrong */
	timer_wait_and_fire();
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
}

static void a_living_token_is_served_while_another_process_takes_its_time(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	int64_t waited = 0;

	rig_connected(r, "b", "old", "first", 200000, HOUR);
	hold_lease(r);
	call_obtain(r->tm, &c, "b", 0, false);
	while (waited <= 2500)
		waited += timer_wait_and_fire();
	calls_wait(1);
	assert_string_equal(c.access, "old");
	timer_wait();
	rig_run(r, "UPDATE tokens SET lease_owner = NULL, expires_at_ms = expires_at_ms + 3600000");
	timer_wait_and_fire();
	rig_wait_idle(r->tm);
	assert_int_equal(provider_count(), 0);
}

static void a_result_whose_fence_was_lost_is_dropped(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	struct ask *a;
	int64_t row = rig_connected(r, "b", "old", "first", -1, HOUR);

	call_obtain(r->tm, &c, "b", 0, false);
	a = provider_wait();
	rig_run(r, "UPDATE tokens SET fence = fence + 1, lease_owner = NULL");
	provider_answers(a, 200, ROTATED);
	a = provider_wait(); /* the row is asked again, and says: refresh */
	assert_text(rig_unsealed(r, row, "refresh_token"), "first");
	assert_int_equal(log_count("grant.fence_lost"), 1);
	provider_answers(a, 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
}

static void a_dead_answer_for_a_lost_fence_kills_nothing(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	struct ask *a;

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	a = provider_wait();
	rig_run(r, "UPDATE tokens SET fence = fence + 1, lease_owner = NULL,"
		   " expires_at_ms = expires_at_ms + 3600000");
	provider_answers(a, 400, "{\"error\":\"invalid_grant\"}");
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_READY);
	assert_status(r, "connected");
}

static void leases_of_a_process_that_is_gone_are_void_at_the_start(void **state)
{
	struct rig *r = *state;
	struct token_management *second;
	struct call c = {0};

	if (rig_is_postgres(r))
		skip(); /* there it may be alive: its lease ends by itself */
	rig_connected(r, "b", "old", "first", -1, HOUR);
	hold_lease(r);
	second = rig_second(r);
	call_obtain(second, &c, "b", 0, false);
	provider_answers(provider_wait(), 200, GRANTED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
	rig_second_down(second);
}

static void the_request_ends_before_the_lease_does(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	struct ask *a;

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	a = provider_wait();
	assert_true(a->timeout_ms <= 20000);
	provider_answers(a, 200, GRANTED);
	calls_wait(1);
}

/* ---- changes from elsewhere ---- */

static void a_change_made_elsewhere_takes_effect_when_the_feed_is_read(void **state)
{
	struct rig *r = *state;
	struct token_management *second = rig_second(r);
	struct actor who = {.name = "cli"};
	struct fault f = {0};
	struct call c = {0};
	int64_t row = rig_connected(r, "b", "old", "first", HOUR, HOUR);

	call_now(r->tm, &c, "b");
	CHECK(clients_delete(second, row, &who, &f), &f);
	CHECK(token_management_follow(r->tm, &f), &f);
	assert_false(call_read(r->tm, &c, "b", 0));
	rig_second_down(second);
}

/* ---- stopping ---- */

static void a_stop_lets_what_is_under_way_be_stored(void **state)
{
	struct rig *r = *state;
	struct call c = {0};
	struct ask *a;
	int64_t row = rig_connected(r, "b", "old", "first", -1, HOUR);

	call_obtain(r->tm, &c, "b", 0, false);
	a = provider_wait();
	token_management_stop(r->tm, 0);
	provider_answers(a, 200, ROTATED);
	calls_wait(1);
	assert_string_equal(c.access, "new");
	assert_text(rig_unsealed(r, row, "refresh_token"), "second");
}

static void after_a_stop_nothing_is_asked(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	token_management_stop(r->tm, 0);
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_int_equal(provider_count(), 0);
}

static void a_request_cut_off_by_the_stop_counts_as_no_failure(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "b", 0, false);
	provider_fails(provider_wait(), NET_STOPPED);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_status(r, "connected");
	assert_int_equal(rig_number(r, "SELECT refresh_failures FROM tokens"), 0);
	assert_int_equal(rig_number(r, "SELECT lease_owner IS NULL FROM tokens"), 1);
}

static void a_stop_wakes_who_waits_for_a_lease_or_the_database(void **state)
{
	struct rig *r = *state;
	struct call c = {0}, d = {0};

	rig_connected(r, "held", "old", "first", -1, HOUR);
	hold_lease(r);
	rig_connected(r, "broken", "old", "first", -1, HOUR);
	call_obtain(r->tm, &c, "held", 0, false);
	timer_wait_and_fire();
	call_obtain(r->tm, &d, "broken", 0, false);
	break_store(r);
	provider_answers(provider_wait(), 200, ROTATED);
	calls_wait(1);
	token_management_stop(r->tm, 0);
	calls_wait(2);
	rig_wait_idle(r->tm);
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_int_equal(log_count("grant.store_given_up"), 1);
	rig_mend(r, "tokens");
}

/* ---- secrets ---- */

static void no_failure_puts_a_secret_into_the_log_or_an_answer(void **state)
{
	static const char *const bodies[] = {
		"{\"error\":\"CANARY-refresh\"}",
		"{\"error\":\"invalid_client\",\"error_description\":\"CANARY-refresh\"}",
		"CANARY-refresh is not JSON",
		"{\"access_token\":\"CANARY-new\",\"token_type\":\"CANARY-type\"}",
		"{\"access_token\":\"CANARY-new\",\"refresh_token\":\"CANARY-next\"}",
	};
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "CANARY-access", "CANARY-refresh", -1, HOUR);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		calls_forget();
		call_obtain(r->tm, &c, "b", 0, false);
		provider_answers(provider_wait(), i < 2 ? 400 : 200, bodies[i]);
		calls_wait(1);
		rig_wait_idle(r->tm);
		assert_null(strstr(c.reason, "CANARY"));
		time_passes(61000);
	}
	assert_string_equal(c.access, "CANARY-new");
	assert_false(log_holds("CANARY"));
	assert_false(log_holds("secret-b"));
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE detail LIKE '%CANARY%'"), 0);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM clients WHERE status_reason LIKE '%CANARY%'"),
		0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_dead_grant_is_reported_once_and_never_asked_again),
		TEST(a_dead_grant_ends_what_memory_still_served),
		TEST(a_server_error_never_kills_a_grant_whatever_it_says),
		TEST(a_page_of_a_proxy_never_kills_a_grant),
		TEST(a_cut_off_answer_never_kills_a_grant),
		TEST(a_redirect_is_not_followed_and_kills_nothing),
		TEST(a_misconfigured_client_marks_the_branch_but_not_its_grant),
		TEST(a_limit_is_waited_out_as_long_as_the_provider_says),
		TEST(an_outage_with_retry_after_is_waited_out),
		TEST(an_unreachable_provider_kills_nothing),
		TEST(an_answer_lost_on_the_way_leads_to_a_try_with_the_old_token),
		TEST(a_retry_after_of_a_year_holds_nobody_off_for_more_than_an_hour),
		TEST(a_token_with_life_left_is_served_while_refreshing_fails),
		TEST(a_degraded_token_is_not_served_past_its_end),
		TEST(a_failure_is_remembered_by_the_row_over_a_restart),
		TEST(each_move_of_state_is_one_audit_row_and_one_loud_log_line),
		TEST(an_unusable_answer_still_brings_its_new_refresh_token_home),
		TEST(a_secret_that_cannot_be_unsealed_is_our_fault_and_asks_nobody),
		TEST(a_connection_without_refresh_token_lives_out_its_token),
		TEST(a_connection_made_anew_while_its_old_row_is_judged_lives),
		TEST(nothing_is_served_before_it_is_durable),
		TEST(a_living_token_is_served_while_the_new_one_cannot_be_stored),
		TEST(storing_is_given_up_after_ten_minutes),
		TEST(a_database_that_cannot_be_read_is_no_reason_to_ask_the_provider),
		TEST(a_lease_of_another_process_is_waited_for_and_its_token_taken),
		TEST(a_lease_whose_holder_is_silent_is_taken_over_after_its_time),
		TEST(a_lease_is_not_taken_over_because_clocks_differ),
		TEST(a_living_token_is_served_while_another_process_takes_its_time),
		TEST(a_result_whose_fence_was_lost_is_dropped),
		TEST(a_dead_answer_for_a_lost_fence_kills_nothing),
		TEST(leases_of_a_process_that_is_gone_are_void_at_the_start),
		TEST(the_request_ends_before_the_lease_does),
		TEST(a_change_made_elsewhere_takes_effect_when_the_feed_is_read),
		TEST(a_stop_lets_what_is_under_way_be_stored),
		TEST(after_a_stop_nothing_is_asked),
		TEST(a_request_cut_off_by_the_stop_counts_as_no_failure),
		TEST(a_stop_wakes_who_waits_for_a_lease_or_the_database),
		TEST(no_failure_puts_a_secret_into_the_log_or_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
