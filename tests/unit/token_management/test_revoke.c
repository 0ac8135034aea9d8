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
	tokens_revoke(r->tm, "b", &cli, on_end, &ended);
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
	tokens_revoke(r->tm, "b", &cli, on_end, &ended);
	ended_wait(2);
	assert_int_equal(ended.outcome, REVOKE_DONE);
	assert_int_equal(provider_count(), 1);
}

static void a_token_that_the_provider_knows_no_more_is_revoked(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "b", "old", "first", HOUR, HOUR);
	tokens_revoke(r->tm, "b", &cli, on_end, &ended);
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
	tokens_revoke(r->tm, "b", &cli, on_end, &ended);
	a = asked_to_revoke("first");
	assert_string_equal(a->url, r->tm->google.revoke_url);
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
	tokens_revoke(r->tm, "b", &cli, on_end, &ended);
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
	tokens_revoke(r->tm, "b", &cli, on_end, &ended);
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
	tokens_revoke(r->tm, "b", &cli, on_end, &ended);
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
	tokens_revoke(r->tm, "b", &cli, on_end, &ended);
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
	tokens_revoke(r->tm, "b", &cli, on_end, &ended);
	ended_wait(1);
	assert_int_equal(ended.outcome, REVOKE_NOTHING);
	tokens_revoke(r->tm, "nobody", &cli, on_end, &ended);
	ended_wait(2);
	assert_int_equal(ended.outcome, REVOKE_UNKNOWN);
	assert_status(r, "pending");
	assert_int_equal(provider_count(), 0);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
