/* SPDX-License-Identifier: Apache-2.0 */
/* Background refresh: nobody reads, and the provider is a loop of the test. */
#include "rig.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/metrics.h"
#include "token_management/due.h"
#include "token_management/grant.h"

#define MINUTE 60000
#define HOUR 3600000
#define DAY (INT64_C(24) * HOUR)
#define GRANTED "{\"access_token\":\"new\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"
#define REFUSED "{\"error\":\"invalid_client\"}"

/* ---- rows by the thousand ---- */

struct filling {
	struct rig *rig;
	int64_t first, count, due_from_ms, due_spread_ms;
	const char *app;
};

static void seal_text(
	struct rig *r, const char *column, int64_t row, const char *text, struct sealed *ret)
{
	AUTO(secret_drop) struct secret plain = secret_from(text, strlen(text));

	grant_seal(r->tm, column, row, &plain, ret);
}

static int fill_one(
	struct db *db, const struct filling *x, int64_t row, int64_t due_ms, struct fault *f)
{
	AUTO(sealed_drop) struct sealed secret = {0}, access = {0}, refresh = {0};
	char branch[32];

	snprintf(branch, sizeof(branch), "many-%" PRId64, row);
	seal_text(x->rig, "client_secret", row, "secret", &secret);
	seal_text(x->rig, "access_token", row, "old", &access);
	seal_text(x->rig, "refresh_token", row, "first", &refresh);
	if (db_exec(db,
		    "INSERT INTO clients (id, client_id, client_secret, redirect_uri, branch_id,"
		    " workspace_email, workspace_name, status, status_since_ms, created_at_ms,"
		    " updated_at_ms) VALUES ($1, $2, $3, 'https://a.example/cb', $4, "
		    "'a@example.com',"
		    " 'A', 'connected', 1, 1, 1)",
		    NULL, f, db_int(row), db_text(x->app), db_sealed(&secret), db_text(branch)) < 0)
		return -1;
	return db_exec(db,
		"INSERT INTO tokens (client_id, access_token, refresh_token, scope, "
		"requested_scope,"
		" expires_at_ms, lifetime_ms, next_refresh_at_ms, created_at_ms, updated_at_ms)"
		" VALUES ($1, $2, $3, 'a', 'a', $4, $5, $6, 1, 1)",
		NULL, f, db_int(row), db_sealed(&access), db_sealed(&refresh),
		db_int(due_ms + 10 * MINUTE), db_int(HOUR), db_int(due_ms));
}

static int fill_body(struct db *db, void *arg, struct fault *f)
{
	const struct filling *x = arg;

	for (int64_t i = 0; i < x->count; i++)
		if (fill_one(db, x, x->first + i, x->due_from_ms + i * x->due_spread_ms / x->count,
			    f) < 0)
			return -1;
	return 0;
}

static void fill(
	struct rig *r, int64_t first, int64_t count, int64_t due_spread_ms, const char *app)
{
	struct filling x = {.rig = r,
		.first = first,
		.count = count,
		.due_from_ms = clock_wall_ms(),
		.due_spread_ms = due_spread_ms,
		.app = app};
	struct fault f = {0};

	CHECK(store_transact(r->store, fill_body, &x, &f), &f);
}

/* ---- the world ---- */

struct world {
	struct token_management *tm[2];
	unsigned answered, granted, most_in_flight;
	int64_t began_mono_ms;
	int64_t heals_at_ms; /* before it, the provider is away */
	bool refuses;        /* the app */
	int64_t second;
	unsigned in_second, most_a_second;
};

static unsigned n_works(struct token_management *tm)
{
	unsigned n = 0;

	if (tm == NULL)
		return 0;
	pthread_mutex_lock(&tm->work.lock);
	for (const struct work *w = tm->work.first; w != NULL; w = w->next)
		n++;
	pthread_mutex_unlock(&tm->work.lock);
	return n;
}

/* Until whoever still runs waits for the provider; answers how many do. */
static unsigned settle(struct world *w)
{
	for (;;) {
		unsigned asks = provider_count() - w->answered;

		if (n_works(w->tm[0]) + n_works(w->tm[1]) == asks &&
			asks == provider_count() - w->answered)
			return asks;
		sched_yield();
	}
}

static void count_second(struct world *w, unsigned n)
{
	if (w->second != mono_now_ms / 1000)
		w->in_second = 0;
	w->second = mono_now_ms / 1000;
	w->in_second += n;
	if (w->in_second > w->most_a_second)
		w->most_a_second = w->in_second;
}

/* Answers all that wait, or else lets time go on to the next timer. */
static void step(struct world *w)
{
	unsigned n = settle(w);

	if (n > w->most_in_flight)
		w->most_in_flight = n;
	count_second(w, n);
	for (unsigned i = 0; i < n; i++) {
		struct ask *a = provider_wait();

		w->answered++;
		if (wall_now_ms < w->heals_at_ms)
			provider_answers(a, 503, "away");
		else if (w->refuses)
			provider_answers(a, 401, REFUSED);
		else
			provider_answers(a, 200, GRANTED);
		w->granted += wall_now_ms >= w->heals_at_ms && !w->refuses;
	}
	if (n == 0)
		timer_wait_and_fire();
}

static void run_for(struct world *w, int64_t ms)
{
	int64_t end = mono_now_ms + ms;

	while (mono_now_ms < end)
		step(w);
	while (settle(w) > 0)
		step(w);
}

/* Only its last three hours minute by minute. */
static void run_to_day(struct world *w, int day)
{
	const int64_t end = day * DAY, ran = mono_now_ms - w->began_mono_ms;

	settle(w); /* what the start does is done at the start */
	time_passes(end - ran - 3 * HOUR);
	run_for(w, 3 * HOUR);
}

static struct world begin(struct rig *r)
{
	struct world w = {.tm = {r->tm}, .began_mono_ms = mono_now_ms};

	token_management_refresh_due(r->tm);
	return w;
}

static int64_t value_of(const char *name)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 20);
	const char *at;

	metrics_write(&text);
	for (at = buf_text(&text); (at = strstr(at, name)) != NULL; at++)
		if ((at == buf_text(&text) || at[-1] == '\n') && at[strlen(name)] == ' ')
			return strtoll(at + strlen(name), NULL, 10);
	fail_msg("no metric %s", name);
	return 0;
}

/* ---- tests ---- */

static void a_token_that_nobody_reads_stays_fresh(void **state)
{
	struct rig *r = *state;
	struct call c = {.rig = r};
	struct world w;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	w = begin(r);
	run_for(&w, 45 * MINUTE);
	assert_int_equal(w.granted, 0);
	run_for(&w, 11 * MINUTE);
	assert_int_equal(w.granted, 1);
	assert_int_equal(rig_number(r, "SELECT fence FROM tokens"), 1);
	run_for(&w, 3 * HOUR);
	assert_in_range(w.granted, 4, 5);
	assert_true(rig_number(r, "SELECT expires_at_ms FROM tokens") > wall_now_ms);
	assert_false(call_read(r->tm, &c, "b", 0)); /* and takes no memory */
}

static void a_token_that_is_read_is_replaced_in_memory_before_anybody_must_wait(void **state)
{
	struct rig *r = *state;
	struct call c = {.rig = r};
	struct world w;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	call_now(r->tm, &c, "b");
	w = begin(r);
	assert_true(call_read(r->tm, &c, "b", 0));
	run_for(&w, 56 * MINUTE);
	assert_true(call_read(r->tm, &c, "b", 0));
	assert_string_equal(c.access, "new");
	/* Nobody reads it in all the next hour: it leaves memory, and stays fresh. */
	run_for(&w, 2 * HOUR);
	assert_false(call_read(r->tm, &c, "b", 0));
	assert_true(rig_number(r, "SELECT expires_at_ms FROM tokens") > wall_now_ms);
}

static void a_reader_joins_the_refresh_of_the_background(void **state)
{
	struct rig *r = *state;
	struct call c = {.rig = r};
	struct world w;

	rig_connected(r, "b", "old", "first", -1, HOUR);
	rig_run(r, "UPDATE tokens SET next_refresh_at_ms = 1");
	w = begin(r);
	assert_int_equal(settle(&w), 1);
	call_obtain(r->tm, &c, "b", 0, false);
	assert_int_equal(settle(&w), 1);
	step(&w);
	calls_wait(1);
	assert_string_equal(c.access, "new");
	settle(&w);
	assert_int_equal(provider_count(), 1);
	assert_true(call_read(r->tm, &c, "b", 0));
}

static void dead_revoked_and_inactive_connections_are_never_asked_for(void **state)
{
	struct rig *r = *state;
	struct world w;

	fill(r, 1, 5, 0, "app");
	rig_run(r, "UPDATE clients SET status = 'needs_reconnect' WHERE id = 1");
	rig_run(r, "UPDATE clients SET status = 'revoked' WHERE id = 2");
	rig_run(r, "UPDATE clients SET is_active = 0 WHERE id = 3");
	rig_run(r, "UPDATE tokens SET refresh_token = NULL WHERE client_id = 4");
	w = begin(r);
	run_for(&w, 30 * MINUTE);
	assert_int_equal(provider_count(), 1);
	/* Nor are they looked at again. */
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM tokens WHERE next_refresh_at_ms IS NULL"), 4);
}

static void a_branch_that_is_switched_on_again_is_kept_fresh_again(void **state)
{
	struct rig *r = *state;
	struct client_change on = {.is_active = &(bool){true}};
	struct actor who = {.name = "cli"};
	struct client c;
	struct fault f = {0};
	struct world w;

	fill(r, 1, 1, 0, "app");
	rig_run(r, "UPDATE clients SET is_active = 0");
	w = begin(r);
	run_for(&w, 10 * MINUTE);
	assert_int_equal(provider_count(), 0);
	CHECK(clients_change(r->tm, 1, &on, &who, &c, &f), &f);
	client_done(&c);
	run_for(&w, 2 * MINUTE);
	assert_int_equal(w.granted, 1);
}

static void a_dead_grant_is_asked_for_once(void **state)
{
	struct rig *r = *state;
	struct world w;

	fill(r, 1, 1, 0, "app");
	w = begin(r);
	assert_int_equal(settle(&w), 1);
	w.answered++;
	provider_answers(provider_wait(), 400, "{\"error\":\"invalid_grant\"}");
	run_for(&w, 2 * DAY);
	assert_int_equal(provider_count(), 1);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM clients WHERE status = 'needs_reconnect'"), 1);
}

static void a_grant_without_background_is_exercised_within_thirty_days(void **state)
{
	struct rig *r = *state;
	struct world w;

	r->settings.token_background_refresh = false;
	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	w = begin(r);
	run_to_day(&w, 26);
	assert_int_equal(w.granted, 0);
	run_to_day(&w, 30);
	run_for(&w, HOUR);
	assert_int_equal(w.granted, 1);
	run_to_day(&w, 61);
	assert_int_equal(w.granted, 2);
}

static void a_hundred_thousand_tokens_of_one_minute_are_not_due_in_one_second(void **state)
{
	enum { N = 100000, SECONDS = 301 };
	struct rig *r = *state;
	unsigned *per_second = calloc(SECONDS, sizeof(*per_second));
	int64_t expires = wall_now_ms + HOUR;
	unsigned most = 0;

	for (int64_t row = 1; row <= N; row++) {
		int64_t before =
			expires - 300000 - due_after_success(&r->settings, row, expires, HOUR);

		assert_in_range(before, 0, 300000);
		assert_int_equal(expires - 300000 - before,
			due_after_success(&r->settings, row, expires, HOUR));
		if (++per_second[before / 1000] > most)
			most = per_second[before / 1000];
	}
	assert_true(most < 2 * N / 300);
	free(per_second);
}

static void an_outage_of_an_hour_ends_without_a_storm_and_costs_no_connection(void **state)
{
	const char *text = getenv("DUE_ROWS"); /* 100000 takes its time */
	int64_t n = text != NULL ? strtoll(text, NULL, 10) : 3000, began = wall_now_ms;
	struct rig *r = *state;
	struct world w;

	fill(r, 1, n, HOUR, "app");
	w = begin(r);
	w.heals_at_ms = wall_now_ms + HOUR;
	run_for(&w, 50 * MINUTE);
	assert_int_equal(
		value_of("review_fetcher_background_provider_failing{provider=\"google\"}"), 1);
	while (wall_now_ms < w.heals_at_ms)
		step(&w);
	assert_true(w.answered < 400); /* probes, not retries of each */
	assert_int_equal(log_count("due.provider_failing"), 1);
	w.most_in_flight = w.most_a_second = 0;
	while (w.granted < n && wall_now_ms < w.heals_at_ms + DAY)
		step(&w);
	run_for(&w, MINUTE);
	print_message("# %" PRId64 " rows: %u asked in the outage, %" PRId64
		      " s to recover, at most %u in flight, %u a second\n",
		n, w.answered - w.granted, (wall_now_ms - w.heals_at_ms) / 1000, w.most_in_flight,
		w.most_a_second);
	assert_int_equal(w.granted, n);
	assert_true(w.most_in_flight <= 64);
	assert_true(w.most_a_second <= 64 * 5 + 64 / 4 + 1);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM tokens WHERE last_refreshed_at_ms > 1"), n);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM clients WHERE status = 'connected'"), n);
	assert_int_equal(
		value_of("review_fetcher_background_provider_failing{provider=\"google\"}"), 0);
	assert_int_equal(log_count("due.provider_answers"), 1);
	assert_true(wall_now_ms > began);
}

static void a_refused_app_is_probed_by_one_and_heals_when_its_secret_is_mended(void **state)
{
	struct rig *r = *state;
	struct world w;
	unsigned asked;

	r->settings.token_refresh_concurrency = 4;
	due_gate_init(&r->tm->providers.entries[0].due.gate, 4, mono_now_ms);
	fill(r, 1, 200, 5 * MINUTE, "refused");
	w = begin(r);
	w.refuses = true;
	run_for(&w, 20 * MINUTE);
	asked = w.answered;
	assert_true(asked < 20);
	assert_int_equal(log_count("due.app_refused"), 1);
	assert_int_equal(
		value_of("review_fetcher_background_apps_refused{provider=\"google\"}"), 1);
	assert_true(rig_number(r, "SELECT count(*) FROM clients WHERE status = 'connected'") >=
		    200 - asked);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM clients WHERE status NOT IN"
				       " ('connected', 'degraded')"),
		0);
	/* Another app's branches never waited. */
	w.refuses = false;
	fill(r, 1001, 50, 0, "good");
	due_hear_change(r->tm); /* the secret */
	run_for(&w, 40 * MINUTE);
	assert_int_equal(w.granted, 250);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM clients WHERE status = 'connected'"), 250);
	assert_int_equal(
		value_of("review_fetcher_background_apps_refused{provider=\"google\"}"), 0);
}

static void two_processes_share_the_rows_and_each_is_refreshed_once(void **state)
{
	struct rig *r = *state;
	struct token_management *second = rig_second(r); /* its start voids leases */
	struct world w;

	fill(r, 1, 500, MINUTE, "app");
	w = begin(r);
	w.tm[1] = second;
	token_management_refresh_due(second);
	run_for(&w, 10 * MINUTE);
	assert_int_equal(w.granted, 500);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tokens WHERE fence = 1"), 500);
	rig_second_down(w.tm[1]);
}

static void one_row_that_cannot_be_written_does_not_hold_up_those_it_is_committed_with(void **state)
{
	struct rig *r = *state;
	struct world w;

	fill(r, 1, 40, 0, "app");
	rig_break(r, "UPDATE", "tokens", "OLD.client_id = 7");
	w = begin(r);
	run_for(&w, 2 * MINUTE);
	assert_int_equal(w.granted, 39);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM tokens WHERE last_refreshed_at_ms > 1"), 39);
	rig_mend(r, "tokens");
	run_for(&w, 5 * MINUTE);
	assert_int_equal(w.granted, 40);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_that_nobody_reads_stays_fresh),
		TEST(a_token_that_is_read_is_replaced_in_memory_before_anybody_must_wait),
		TEST(a_reader_joins_the_refresh_of_the_background),
		TEST(dead_revoked_and_inactive_connections_are_never_asked_for),
		TEST(a_branch_that_is_switched_on_again_is_kept_fresh_again),
		TEST(a_dead_grant_is_asked_for_once),
		TEST(a_grant_without_background_is_exercised_within_thirty_days),
		TEST(a_hundred_thousand_tokens_of_one_minute_are_not_due_in_one_second),
		TEST(an_outage_of_an_hour_ends_without_a_storm_and_costs_no_connection),
		TEST(a_refused_app_is_probed_by_one_and_heals_when_its_secret_is_mended),
		TEST(two_processes_share_the_rows_and_each_is_refreshed_once),
		TEST(one_row_that_cannot_be_written_does_not_hold_up_those_it_is_committed_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
