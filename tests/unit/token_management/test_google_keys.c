/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"
#include "signer.h"

#include <stdio.h>

#include "base/buf.h"
#include "token_management/token_management_google.h"

#define MINUTE_MS 60000
#define HOUR_MS (60 * MINUTE_MS)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct check {
	unsigned answers;
	enum google_jwt_outcome outcome;
	uint32_t retry_after_ms;
	char iss[64];
};

static void on_checked(void *arg, const struct google_jwt_result *r)
{
	struct check *c = arg;
	const char *iss = r->claims != NULL ? json_text(r->claims, "iss") : NULL;

	pthread_mutex_lock(&lock);
	c->answers++;
	c->outcome = r->outcome;
	c->retry_after_ms = r->retry_after_ms;
	snprintf(c->iss, sizeof(c->iss), "%s", iss != NULL ? iss : "");
	pthread_mutex_unlock(&lock);
}

static void begin_check(struct rig *r, const char *kid, struct check *c)
{
	AUTO(buf_drop) struct buf token = BUF_INIT(8192);

	*c = (struct check){0};
	signer_sign(kid, "{\"iss\":\"someone\"}", &token);
	google_jwt_check(r->tm, token.data, token.len, on_checked, c);
}

static void google_answers_keys(const char *kid, const char *another, int64_t fresh_ms)
{
	AUTO(buf_drop) struct buf keys = BUF_INIT(8192);

	signer_keys(kid, another, &keys);
	provider_answers_fresh(provider_wait(), buf_text(&keys), fresh_ms);
}

/* Begins with keys "a", fresh for that long. */
static void learn(struct rig *r, int64_t fresh_ms)
{
	struct check c;

	begin_check(r, "a", &c);
	google_answers_keys("a", NULL, fresh_ms);
	rig_wait_idle(r->tm);
	assert_int_equal(c.answers, 1);
	assert_int_equal(c.outcome, GOOGLE_JWT_GOOD);
	assert_string_equal(c.iss, "someone");
}

static void many_who_need_the_keys_ask_once(void **state)
{
	struct rig *r = *state;
	struct check c[5];

	for (size_t i = 0; i < ARRAY_LEN(c); i++)
		begin_check(r, "a", &c[i]);
	google_answers_keys("a", NULL, -1);
	rig_wait_idle(r->tm);
	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		assert_int_equal(c[i].answers, 1);
		assert_int_equal(c[i].outcome, GOOGLE_JWT_GOOD);
	}
	assert_int_equal(provider_count(), 1);
}

static void fresh_keys_are_not_fetched_again(void **state)
{
	struct rig *r = *state;
	struct check c;

	learn(r, 2 * HOUR_MS);
	time_passes(2 * HOUR_MS - MINUTE_MS);
	begin_check(r, "a", &c);
	assert_int_equal(c.outcome, GOOGLE_JWT_GOOD);
	assert_int_equal(c.answers, 1);
	assert_int_equal(provider_count(), 1);
	time_passes(2 * MINUTE_MS);
	begin_check(r, "a", &c);
	assert_int_equal(c.answers, 0);
	google_answers_keys("a", NULL, -1);
	rig_wait_idle(r->tm);
	assert_int_equal(c.outcome, GOOGLE_JWT_GOOD);
}

static void freshness_has_a_floor_and_a_ceiling(void **state)
{
	struct rig *r = *state;
	struct check c;

	learn(r, 0);
	time_passes(4 * MINUTE_MS);
	begin_check(r, "a", &c);
	assert_int_equal(c.answers, 1);
	time_passes(2 * MINUTE_MS);
	begin_check(r, "a", &c);
	assert_int_equal(c.answers, 0);
	google_answers_keys("a", NULL, INT64_C(31536000000));
	rig_wait_idle(r->tm);
	time_passes(24 * HOUR_MS + 1);
	begin_check(r, "a", &c);
	assert_int_equal(c.answers, 0);
	google_answers_keys("a", NULL, -1);
	rig_wait_idle(r->tm);
	assert_int_equal(provider_count(), 3);
}

static void a_new_key_is_found_within_a_minute_of_asking(void **state)
{
	struct rig *r = *state;
	struct check c;

	learn(r, HOUR_MS);
	begin_check(r, "b", &c);
	assert_int_equal(c.answers, 1);
	assert_int_equal(c.outcome, GOOGLE_JWT_REFUSED);
	time_passes(MINUTE_MS);
	begin_check(r, "b", &c);
	google_answers_keys("a", "b", HOUR_MS);
	rig_wait_idle(r->tm);
	assert_int_equal(c.outcome, GOOGLE_JWT_GOOD);
	assert_int_equal(provider_count(), 2);
}

static void invented_key_ids_make_us_ask_once_a_minute(void **state)
{
	struct rig *r = *state;
	struct check c;

	learn(r, 6 * HOUR_MS);
	for (int minute = 0; minute < 3; minute++) {
		time_passes(MINUTE_MS);
		begin_check(r, "invented", &c);
		google_answers_keys("a", NULL, 6 * HOUR_MS);
		rig_wait_idle(r->tm);
		assert_int_equal(c.outcome, GOOGLE_JWT_REFUSED);
		for (int i = 0; i < 20; i++) {
			begin_check(r, "another", &c);
			assert_int_equal(c.outcome, GOOGLE_JWT_REFUSED);
			assert_int_equal(c.answers, 1);
		}
	}
	assert_int_equal(provider_count(), 4);
}

static void stale_keys_bridge_an_outage_for_a_day(void **state)
{
	struct rig *r = *state;
	struct check c;

	learn(r, HOUR_MS);
	time_passes(HOUR_MS);
	begin_check(r, "a", &c);
	provider_fails(provider_wait(), NET_UNREACHABLE);
	rig_wait_idle(r->tm);
	assert_int_equal(c.outcome, GOOGLE_JWT_GOOD);
	begin_check(r, "a", &c); /* nobody asks again within the minute */
	assert_int_equal(c.answers, 1);
	assert_int_equal(c.outcome, GOOGLE_JWT_GOOD);
	begin_check(r, "b", &c); /* it may be a new one: nobody can tell */
	assert_int_equal(c.outcome, GOOGLE_JWT_NO_KEYS);
	assert_true(c.retry_after_ms > 0 && c.retry_after_ms <= MINUTE_MS);
	time_passes(24 * HOUR_MS);
	begin_check(r, "a", &c);
	provider_answers(provider_wait(), 503, "{}");
	rig_wait_idle(r->tm);
	assert_int_equal(c.outcome, GOOGLE_JWT_NO_KEYS);
	assert_int_equal(log_count("google_keys.lost"), 2); /* once loud, once as debug */
	time_passes(MINUTE_MS);
	begin_check(r, "a", &c);
	google_answers_keys("a", NULL, HOUR_MS);
	rig_wait_idle(r->tm);
	assert_int_equal(c.outcome, GOOGLE_JWT_GOOD);
	assert_int_equal(log_count("google_keys.found_again"), 1);
}

static void an_answer_that_is_no_key_set_replaces_nothing(void **state)
{
	static const char *const answers[] = {"", "<html>", "{}", "{\"keys\":7}", "[]"};
	struct rig *r = *state;
	struct check c;

	learn(r, HOUR_MS);
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		time_passes(i == 0 ? HOUR_MS : MINUTE_MS);
		begin_check(r, "a", &c);
		provider_answers_fresh(provider_wait(), answers[i], HOUR_MS);
		rig_wait_idle(r->tm);
		assert_int_equal(c.outcome, GOOGLE_JWT_GOOD);
	}
}

static void without_any_keys_it_is_to_come_again(void **state)
{
	struct rig *r = *state;
	struct check c, d;

	begin_check(r, "a", &c);
	provider_fails(provider_wait(), NET_BROKEN);
	rig_wait_idle(r->tm);
	assert_int_equal(c.outcome, GOOGLE_JWT_NO_KEYS);
	begin_check(r, "a", &d);
	assert_int_equal(d.answers, 1);
	assert_int_equal(d.outcome, GOOGLE_JWT_NO_KEYS);
	assert_int_equal(provider_count(), 1);
}

static void the_end_of_the_service_answers_who_waits(void **state)
{
	struct rig *r = *state;
	struct check c;

	token_management_stop(r->tm, 0);
	begin_check(r, "a", &c);
	assert_int_equal(c.answers, 1);
	assert_int_equal(c.outcome, GOOGLE_JWT_NO_KEYS);
	assert_int_equal(provider_count(), 0);
}

static void a_key_that_is_gone_from_the_set_verifies_nothing_more(void **state)
{
	struct rig *r = *state;
	struct check c;

	learn(r, HOUR_MS);
	time_passes(HOUR_MS);
	begin_check(r, "a", &c);
	google_answers_keys("b", NULL, HOUR_MS);
	rig_wait_idle(r->tm);
	assert_int_equal(c.outcome, GOOGLE_JWT_REFUSED);
}

static void checks_have_a_budget_that_fills_again(void **state)
{
	AUTO(buf_drop) struct buf token = BUF_INIT(8192);
	struct rig *r = *state;
	unsigned n = 0;

	signer_sign("a", "{}", &token);
	while (google_jwt_look(r->tm, token.data, token.len) == GOOGLE_JWT_LOOKS_FINE)
		n++;
	assert_int_equal(n, 200);
	assert_int_equal(google_jwt_look(r->tm, token.data, token.len), GOOGLE_JWT_TOO_MANY);
	assert_int_equal(google_jwt_look(r->tm, "x.y.z", 5), GOOGLE_JWT_IS_NONE);
	time_passes(5);
	assert_int_equal(google_jwt_look(r->tm, token.data, token.len), GOOGLE_JWT_LOOKS_FINE);
	assert_int_equal(google_jwt_look(r->tm, token.data, token.len), GOOGLE_JWT_TOO_MANY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_who_need_the_keys_ask_once),
		TEST(fresh_keys_are_not_fetched_again),
		TEST(freshness_has_a_floor_and_a_ceiling),
		TEST(a_new_key_is_found_within_a_minute_of_asking),
		TEST(invented_key_ids_make_us_ask_once_a_minute),
		TEST(stale_keys_bridge_an_outage_for_a_day),
		TEST(an_answer_that_is_no_key_set_replaces_nothing),
		TEST(without_any_keys_it_is_to_come_again),
		TEST(the_end_of_the_service_answers_who_waits),
		TEST(a_key_that_is_gone_from_the_set_verifies_nothing_more),
		TEST(checks_have_a_budget_that_fills_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
