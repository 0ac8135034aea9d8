/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdio.h>

#include "base/mem.h"
#include "token_management/revoke.h"

#define HOUR 3600000

static const struct actor cli = {.name = "cli"};

struct ended {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned n;
	enum revoke_outcome outcome;
	uint32_t retry_after_ms;
	bool is_deleted;
	int64_t siblings_total;
	char siblings[200]; /* each with a blank before it */
};
static struct ended ended = {
	.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int begin(void **state)
{
	ended.n = 0;
	return rig_up(state);
}

static void on_end(void *arg, const struct revoke_result *r)
{
	struct ended *e = arg;

	pthread_mutex_lock(&e->lock);
	e->n++;
	e->outcome = r->outcome;
	e->retry_after_ms = r->retry_after_ms;
	e->is_deleted = r->is_deleted;
	e->siblings_total = r->siblings_total;
	e->siblings[0] = '\0';
	for (size_t i = 0, at = 0; i < r->n_siblings && at < sizeof(e->siblings); i++)
		at += (size_t)snprintf(
			e->siblings + at, sizeof(e->siblings) - at, " %s", r->siblings[i]);
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

static void ended_wait(unsigned n)
{
	pthread_mutex_lock(&ended.lock);
	while (ended.n < n)
		pthread_cond_wait(&ended.changed, &ended.lock);
	pthread_mutex_unlock(&ended.lock);
}

enum { FORCE = 1, DELETE = 2 };
static void revoke(struct rig *r, const char *branch, unsigned how)
{
	const struct revoke_wish wish = {
		.branch_id = branch,
		.who = &cli,
		.force = (how & FORCE) != 0,
		.deletes = (how & DELETE) != 0,
	};

	tokens_revoke(r->tm, &wish, on_end, &ended);
}

static void assert_status(struct rig *r, const char *wanted)
{
	char *status = rig_text(r, "SELECT status FROM clients");

	assert_string_equal(status, wanted);
	mem_free(status);
}

static struct ask *asked_to_revoke(const char *token)
{
	struct ask *a = provider_wait();
	char *sent = ask_field(a, "token");

	assert_string_equal(sent, token);
	mem_free(sent);
	return a;
}

static void the_refresh_token_is_revoked_at_the_provider_and_then_here(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	call_now(r->tm, &c, "b");
	revoke(r, "b", 0);
	struct ask *a = asked_to_revoke("first");
	assert_status(r, "revoking");
	assert_false(call_read(r->tm, &c, "b", 0)); /* already now */
	provider_answers(a, 200, "{}");
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_DONE);
	rig_wait_idle(r->tm);
	assert_status(r, "revoked");
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tokens WHERE refresh_token IS NULL"
				       " AND access_token IS NULL AND is_revoked = 1"),
		1);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit WHERE actor = 'cli' AND action"
				       " IN ('connection.revoking', 'connection.revoked')"),
		2);
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_REVOKED);
	revoke(r, "b", 0);
	ended_wait(2);
	assert_int_equal(ended.outcome, REVOKE_DONE);
	assert_int_equal(provider_count(), 1);
}

static void a_token_that_the_provider_knows_no_more_is_revoked(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	revoke(r, "b", 0);
	provider_answers(asked_to_revoke("first"), 400, "{\"error\":\"invalid_token\"}");
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_DONE);
	rig_wait_idle(r->tm);
	assert_status(r, "revoked");
}

static void the_app_shows_itself_to_the_configured_address(void **state)
{
	struct rig *r = *state;
	struct ask *a;
	char *id, *secret, *hint;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	revoke(r, "b", 0);
	a = asked_to_revoke("first");
	assert_string_equal(a->url, r->tm->providers.entries[0].own->p.revoke_url);
	id = ask_field(a, "client_id");
	secret = ask_field(a, "client_secret");
	hint = ask_field(a, "token_type_hint");
	assert_string_equal(id, "app-b");
	assert_string_equal(secret, "secret-b");
	assert_string_equal(hint, "refresh_token");
	mem_free(id);
	mem_free(secret);
	mem_free(hint);
	provider_answers(a, 200, "");
	ended_wait(1);
}

static void the_body_of_a_200_means_nothing(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	revoke(r, "b", 0);
	provider_answers(asked_to_revoke("first"), 200, "{\"error\":\"server_error\"}");
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_DONE);
	rig_wait_idle(r->tm);
	assert_status(r, "revoked");
}

static void a_lone_access_token_that_cannot_be_revoked_is_no_endless_loop(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "b", "old", NULL, HOUR, HOUR);
	revoke(r, "b", 0);
	provider_answers(asked_to_revoke("old"), 400, "{\"error\":\"unsupported_token_type\"}");
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_DONE);
	rig_wait_idle(r->tm);
	assert_status(r, "revoked");
	assert_int_equal(provider_count(), 1);
}

static void an_outage_leaves_it_revoking_and_it_is_tried_again_after_retry_after(void **state)
{
	struct rig *r = *state;
	int64_t before;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	revoke(r, "b", 0);
	provider_answers_later(asked_to_revoke("first"), 503, 40000);
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_WAITS);
	assert_true(ended.retry_after_ms >= 40000);
	assert_status(r, "revoking");
	before = wall_now_ms;
	timer_wait_and_fire();
	assert_true(wall_now_ms - before >= 40000);
	provider_answers(asked_to_revoke("first"), 200, "");
	rig_wait_idle(r->tm);
	assert_status(r, "revoked");
	assert_int_equal(ended.n, 1);
}

static void what_a_process_could_not_end_the_next_one_does(void **state)
{
	struct rig *r = *state;
	struct fault f = {0};

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	rig_run(r, "UPDATE clients SET status = 'revoking'");
	CHECK(token_management_follow(r->tm, &f), &f);
	provider_answers(asked_to_revoke("first"), 200, "");
	rig_wait_idle(r->tm);
	assert_status(r, "revoked");
	CHECK(token_management_follow(r->tm, &f), &f);
	rig_wait_idle(r->tm);
	assert_int_equal(provider_count(), 1);
}

static void a_new_consent_is_not_undone_by_an_old_revocation(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	revoke(r, "b", 0);
	struct ask *a = asked_to_revoke("first");
	rig_run(r, "UPDATE clients SET status = 'connected'");
	provider_answers(a, 200, "");
	ended_wait(1);
	rig_wait_idle(r->tm);
	assert_status(r, "connected");
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM tokens WHERE refresh_token IS NOT NULL"), 1);
}

static void without_a_grant_there_is_nothing_to_revoke(void **state)
{
	struct rig *r = *state;

	rig_register(r, "b");
	revoke(r, "b", 0);
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_NOTHING);
	revoke(r, "nobody", 0);
	ended_wait(2);
	assert_int_equal(ended.outcome, REVOKE_UNKNOWN);
	assert_status(r, "pending");
	assert_int_equal(provider_count(), 0);
}

/* ---- shared grants ---- */

static void set_app(struct rig *r, const char *branch, const char *oauth_id, const char *subject)
{
	char sql[400];

	if (oauth_id != NULL)
		snprintf(sql, sizeof(sql),
			"UPDATE clients SET client_id = '%s' WHERE branch_id = '%s'", oauth_id,
			branch);
	else
		snprintf(sql, sizeof(sql),
			"UPDATE clients SET client_id = NULL WHERE branch_id = '%s'", branch);
	rig_run(r, sql);
	snprintf(sql, sizeof(sql),
		"UPDATE tokens SET google_subject = '%s', last_refreshed_at_ms = 1,"
		" next_refresh_at_ms = 9000000000000"
		" WHERE client_id = (SELECT id FROM clients WHERE branch_id = '%s')",
		subject, branch);
	rig_run(r, sql);
}

static void connected_as(
	struct rig *r, const char *branch, const char *oauth_id, const char *subject)
{
	rig_connected(r, branch, "access", branch, HOUR, HOUR);
	set_app(r, branch, oauth_id, subject);
}

static void assert_state_of(struct rig *r, const char *branch, const char *wanted)
{
	char sql[160];
	char *status;

	snprintf(sql, sizeof(sql), "SELECT status FROM clients WHERE branch_id = '%s'", branch);
	status = rig_text(r, sql);
	assert_string_equal(status, wanted);
	mem_free(status);
}

/* "b" has siblings "other-app" and "default"; the rest differs in one thing each. */
static void make_family(struct rig *r)
{
	r->settings.google_client_id = "77-default.apps";
	connected_as(r, "b", "77-one.apps", "anna");
	connected_as(r, "other-app", "77-two.apps", "anna");
	connected_as(r, "default", NULL, "anna");
	connected_as(r, "other-project", "778-one.apps", "anna");
	connected_as(r, "other-account", "77-one.apps", "berta");
	connected_as(r, "dead", "77-one.apps", "anna");
	rig_run(r, "UPDATE clients SET status = 'needs_reconnect' WHERE branch_id = 'dead'");
}

static void siblings_are_named_before_anything_happens(void **state)
{
	struct rig *r = *state;

	make_family(r);
	revoke(r, "b", 0);
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_SHARED);
	assert_string_equal(ended.siblings, " other-app default");
	assert_int_equal(ended.siblings_total, 2);
	revoke(r, "b", DELETE);
	ended_wait(2);
	assert_int_equal(ended.outcome, REVOKE_SHARED);
	assert_false(ended.is_deleted);
	assert_int_equal(provider_count(), 0);
	assert_state_of(r, "b", "connected");
}

static void another_provider_ends_one_client_id_alone(void **state)
{
	struct rig *r = *state;

	make_family(r);
	r->tm->providers.entries[0].own->p.revocation_ends = PROVIDER_ENDS_ACCOUNT;
	set_app(r, "other-account", "77-one.apps", "anna");
	revoke(r, "b", 0);
	ended_wait(1);
	assert_string_equal(ended.siblings, " other-account");
}

/* There a 200 may also mean that the token was unknown (RFC 7009 section 2.2). */
static void siblings_at_another_provider_are_only_put_to_the_test(void **state)
{
	struct rig *r = *state;

	make_family(r);
	r->tm->providers.entries[0].own->p.revocation_ends = PROVIDER_ENDS_ACCOUNT;
	set_app(r, "other-account", "77-one.apps", "anna");
	revoke(r, "b", FORCE);
	provider_answers(asked_to_revoke("b"), 200, "");
	ended_wait(1);
	rig_wait_idle(r->tm);
	assert_state_of(r, "other-account", "connected");
	assert_int_equal(ended.siblings_total, 0);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM tokens WHERE next_refresh_at_ms < 9000000000000"
			      " AND next_refresh_at_ms IS NOT NULL"),
		1);
}

static void siblings_of_a_revoked_grant_need_to_be_reconnected_and_hear_why(void **state)
{
	struct rig *r = *state;
	struct call c = {0};

	make_family(r);
	call_now(r->tm, &c, "other-app");
	assert_true(call_read(r->tm, &c, "other-app", 0));
	revoke(r, "b", FORCE);
	provider_answers(asked_to_revoke("b"), 200, "");
	ended_wait(1);
	rig_wait_idle(r->tm);
	assert_int_equal(ended.outcome, REVOKE_DONE);
	assert_int_equal(ended.siblings_total, 2);
	assert_false(call_read(r->tm, &c, "other-app", 0));
	assert_state_of(r, "b", "revoked");
	assert_state_of(r, "other-app", "needs_reconnect");
	assert_state_of(r, "default", "needs_reconnect");
	assert_state_of(r, "other-project", "connected");
	assert_state_of(r, "other-account", "connected");
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM clients c JOIN tokens t ON t.client_id = c.id"
			      " WHERE c.branch_id IN ('other-app', 'default') AND t.is_valid = 0"
			      " AND t.next_refresh_at_ms IS NULL"
			      " AND c.status_reason LIKE '%revoked: connect this branch again'"
			      " AND c.status_reason NOT LIKE '%''b''%'"),
		2);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit WHERE actor = 'cli'"
				       " AND action = 'connection.needs_reconnect'"),
		2);
	assert_int_equal(rig_changes(r, "'b', 'other-app', 'default'", true), 3);
	assert_int_equal(log_count("grant.siblings_ended"), 1);
}

/* Dead for another reason perhaps: the siblings' own refresh tells. */
static void a_grant_that_was_dead_before_only_puts_its_siblings_to_the_test(void **state)
{
	struct rig *r = *state;

	make_family(r);
	revoke(r, "b", FORCE);
	provider_answers(asked_to_revoke("b"), 400, "{\"error\":\"invalid_token\"}");
	ended_wait(1);
	rig_wait_idle(r->tm);
	assert_state_of(r, "b", "revoked");
	assert_state_of(r, "other-app", "connected");
	assert_int_equal(ended.siblings_total, 0);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM tokens WHERE next_refresh_at_ms < 9000000000000"
			      " AND next_refresh_at_ms IS NOT NULL"),
		2);
}

static void a_sibling_that_connected_meanwhile_is_only_put_to_the_test(void **state)
{
	struct rig *r = *state;

	make_family(r);
	revoke(r, "b", FORCE);
	struct ask *a = asked_to_revoke("b");
	rig_run(r, "UPDATE tokens SET last_refreshed_at_ms = 8000000000000 WHERE client_id ="
		   " (SELECT id FROM clients WHERE branch_id = 'default')");
	provider_answers(a, 200, "");
	ended_wait(1);
	rig_wait_idle(r->tm);
	assert_state_of(r, "other-app", "needs_reconnect");
	assert_state_of(r, "default", "connected");
	assert_int_equal(ended.siblings_total, 1);
}

static void more_siblings_than_are_named_are_counted_and_all_are_ended(void **state)
{
	struct rig *r = *state;

	connected_as(r, "b", "77-one", "anna");
	connected_as(r, "seed", "77-one", "anna");
	rig_run(r, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 599)"
		   " INSERT INTO clients (client_id, redirect_uri, branch_id, workspace_email,"
		   " workspace_name, status, status_since_ms, created_at_ms, updated_at_ms)"
		   " SELECT '77-x', 'u', 'many-' || i, 'e', 'n', 'connected', 1, 1, 1 FROM n");
	rig_run(r, "INSERT INTO tokens (client_id, google_subject, created_at_ms, updated_at_ms)"
		   " SELECT id, 'anna', 1, 1 FROM clients WHERE client_id = '77-x'");
	revoke(r, "b", 0);
	ended_wait(1);
	assert_int_equal(ended.siblings_total, 600);
	revoke(r, "b", FORCE);
	provider_answers(asked_to_revoke("b"), 200, "");
	ended_wait(2);
	assert_int_equal(ended.siblings_total, 600);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM clients WHERE status = 'needs_reconnect'"),
		600);
}

/* ---- deleting with it ---- */

static void deleting_with_revocation_asks_the_provider_first(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	revoke(r, "b", DELETE);
	struct ask *a = asked_to_revoke("first");
	assert_status(r, "revoking");
	provider_answers(a, 200, "");
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_DONE);
	assert_true(ended.is_deleted);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM clients"), 0);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit WHERE action IN"
				       " ('connection.revoked', 'client.deleted')"),
		2);
}

static void what_has_no_grant_is_deleted_at_once(void **state)
{
	struct rig *r = *state;

	rig_register(r, "b");
	revoke(r, "b", DELETE);
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_NOTHING);
	assert_true(ended.is_deleted);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM clients"), 0);
	assert_int_equal(provider_count(), 0);
}

static void in_an_outage_the_client_stays_until_it_is_deleted_again(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	revoke(r, "b", DELETE);
	provider_answers_later(asked_to_revoke("first"), 503, 40000);
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_WAITS);
	assert_false(ended.is_deleted);
	timer_wait_and_fire();
	provider_answers(asked_to_revoke("first"), 200, "");
	rig_wait_idle(r->tm);
	assert_status(r, "revoked");
	revoke(r, "b", DELETE);
	ended_wait(2);
	assert_true(ended.is_deleted);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM clients"), 0);
}

static void what_connected_again_meanwhile_is_not_deleted(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	revoke(r, "b", DELETE);
	struct ask *a = asked_to_revoke("first");
	rig_run(r, "UPDATE clients SET status = 'connected'");
	provider_answers(a, 200, "");
	ended_wait(1);
	assert_false(ended.is_deleted);
	assert_status(r, "connected");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_refresh_token_is_revoked_at_the_provider_and_then_here),
		TEST(a_token_that_the_provider_knows_no_more_is_revoked),
		TEST(the_app_shows_itself_to_the_configured_address),
		TEST(the_body_of_a_200_means_nothing),
		TEST(a_lone_access_token_that_cannot_be_revoked_is_no_endless_loop),
		TEST(an_outage_leaves_it_revoking_and_it_is_tried_again_after_retry_after),
		TEST(what_a_process_could_not_end_the_next_one_does),
		TEST(a_new_consent_is_not_undone_by_an_old_revocation),
		TEST(without_a_grant_there_is_nothing_to_revoke),
		TEST(siblings_are_named_before_anything_happens),
		TEST(another_provider_ends_one_client_id_alone),
		TEST(siblings_at_another_provider_are_only_put_to_the_test),
		TEST(siblings_of_a_revoked_grant_need_to_be_reconnected_and_hear_why),
		TEST(a_grant_that_was_dead_before_only_puts_its_siblings_to_the_test),
		TEST(a_sibling_that_connected_meanwhile_is_only_put_to_the_test),
		TEST(more_siblings_than_are_named_are_counted_and_all_are_ended),
		TEST(deleting_with_revocation_asks_the_provider_first),
		TEST(what_has_no_grant_is_deleted_at_once),
		TEST(in_an_outage_the_client_stays_until_it_is_deleted_again),
		TEST(what_connected_again_meanwhile_is_not_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
