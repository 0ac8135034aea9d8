/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/grants.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "simulator/world.h"
#include "../test.h"

#define NOW INT64_C(1767312000000)
#define CLIENT "12-a"
/* RFC 7636 appendix B */
#define VERIFIER "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
#define CALLBACK "http://localhost/cb"

static struct counts counts;

static int start(void **state)
{
	struct grants *g = mem_alloc(sizeof(*g));

	hash_init();
	grants_init(g, &counts);
	*state = g;
	return 0;
}

static int end(void **state)
{
	grants_free(*state);
	mem_free(*state);
	return 0;
}

static void make_code(
	struct grants *g, uint64_t user, int64_t now, char code[static GRANTS_CODE_SIZE])
{
	struct consent c = {.client_id = CLIENT,
		.redirect_uri = CALLBACK,
		.challenge = CHALLENGE,
		.user = user,
		.scope = "a b",
		.is_offline = true,
		.is_prompted = true};

	grants_code(g, &c, now, code);
}

static enum grant_outcome trade(struct grants *g, const char *code, const char *verifier,
	int64_t now, char refresh[static GRANTS_TOKEN_SIZE])
{
	struct token_wish wish = {0};
	struct issued issued = {0};
	enum grant_outcome outcome =
		grants_exchange(g, CLIENT, code, CALLBACK, verifier, &wish, now, &issued);

	memcpy(refresh, issued.refresh, GRANTS_TOKEN_SIZE);
	issued_drop(&issued);
	return outcome;
}

static enum grant_outcome renew(struct grants *g, const char *refresh,
	const struct token_wish *wish, int64_t now, struct issued *ret)
{
	issued_drop(ret);
	return grants_refresh(g, CLIENT, refresh, wish, now, ret);
}

static enum bearer_outcome bear(struct grants *g, const char *token, const char *scope, int64_t now)
{
	static const struct quota_rules rules = {.per_minute = -1, .edits_per_minute = -1};
	struct bearer who;

	return grants_check_bearer(g, token, strlen(token), scope, 0, NULL, &rules, now, &who);
}

static void the_verifier_of_the_rfc_fits_its_challenge_and_no_other_does(void **state)
{
	char code[GRANTS_CODE_SIZE], refresh[GRANTS_TOKEN_SIZE];

	make_code(*state, 0, NOW, code);
	assert_int_equal(trade(*state, code, VERIFIER, NOW, refresh), GRANT_DONE);
	make_code(*state, 0, NOW, code);
	assert_int_equal(trade(*state, code, CHALLENGE, NOW, refresh), GRANT_BAD_VERIFIER);
	make_code(*state, 0, NOW, code);
	assert_int_equal(trade(*state, code, NULL, NOW, refresh), GRANT_BAD_VERIFIER);
	assert_int_equal(trade(*state, code, VERIFIER, NOW, refresh), GRANT_BAD_CODE);
}

static void a_code_lives_ten_minutes(void **state)
{
	char code[GRANTS_CODE_SIZE], refresh[GRANTS_TOKEN_SIZE];

	make_code(*state, 0, NOW, code);
	assert_int_equal(
		trade(*state, code, VERIFIER, NOW + GRANTS_CODE_MS + 1, refresh), GRANT_BAD_CODE);
	make_code(*state, 0, NOW, code);
	assert_int_equal(trade(*state, code, VERIFIER, NOW + GRANTS_CODE_MS, refresh), GRANT_DONE);
}

static void an_access_token_is_good_for_its_scope_and_its_time(void **state)
{
	struct grants *g = *state;
	struct issued issued = {0};

	grants_mint(g, CLIENT, 0, "one https://x/two", 100, NOW, &issued);
	assert_int_equal(bear(g, issued.access, "one", NOW + 99999), BEARER_GOOD);
	assert_int_equal(bear(g, issued.access, "https://x/two", NOW), BEARER_GOOD);
	assert_int_equal(bear(g, issued.access, "https://x/tw", NOW), BEARER_NO_SCOPE);
	assert_int_equal(bear(g, issued.access, "one", NOW + 100000), BEARER_EXPIRED);
	assert_int_equal(bear(g, issued.refresh, "one", NOW), BEARER_INVALID);
	issued.access[40] = issued.access[40] == 'A' ? 'B' : 'A';
	assert_int_equal(bear(g, issued.access, "one", NOW), BEARER_INVALID);
	issued_drop(&issued);
}

static void a_rotated_token_is_known_again(void **state)
{
	struct grants *g = *state;
	struct token_wish rotate = {.rotate = true}, plain = {0},
			  detect = {.reuse_detection = true};
	char first[GRANTS_TOKEN_SIZE], second[GRANTS_TOKEN_SIZE];
	struct issued issued = {0};
	int64_t reused = atomic_load(&counts.refresh_reused);

	grants_mint(g, CLIENT, 0, "a", 0, NOW, &issued);
	memcpy(first, issued.refresh, sizeof(first));
	assert_int_equal(renew(g, first, &rotate, NOW, &issued), GRANT_DONE);
	memcpy(second, issued.refresh, sizeof(second));
	assert_string_not_equal(first, second);
	assert_int_equal(renew(g, first, &plain, NOW, &issued), GRANT_DEAD);
	assert_int_equal(renew(g, second, &plain, NOW, &issued), GRANT_DONE);
	assert_string_equal(issued.refresh, "");
	assert_int_equal(renew(g, first, &detect, NOW, &issued), GRANT_DEAD);
	assert_int_equal(renew(g, second, &plain, NOW, &issued), GRANT_DEAD);
	assert_int_equal(atomic_load(&counts.refresh_reused) - reused, 2);
	issued_drop(&issued);
}

static void revoking_ends_the_project_of_that_user_only(void **state)
{
	static const char *const clients[] = {"12-a", "12-b", "13-a"};
	struct grants *g = *state;
	char access[2][3][GRANTS_TOKEN_SIZE];
	struct issued issued = {0};

	for (uint64_t user = 0; user < 2; user++) {
		for (int c = 0; c < 3; c++) {
			grants_mint(g, clients[c], user, "a", 0, NOW, &issued);
			memcpy(access[user][c], issued.access, GRANTS_TOKEN_SIZE);
			issued_drop(&issued);
		}
	}
	assert_true(grants_revoke(g, access[0][1], NOW));
	assert_false(grants_revoke(g, access[0][0], NOW));
	assert_int_equal(bear(g, access[0][0], "a", NOW), BEARER_INVALID);
	assert_int_equal(bear(g, access[0][2], "a", NOW), BEARER_GOOD);
	assert_int_equal(bear(g, access[1][0], "a", NOW), BEARER_GOOD);
	assert_int_equal(grants_count(g), 4);
	assert_true(grants_delete_client(g, "12-a"));
	assert_int_equal(grants_count(g), 3);
	assert_int_equal(bear(g, access[1][0], "a", NOW), BEARER_INVALID);
}

static void the_oldest_grant_dies_past_the_limit_of_a_user_and_client(void **state)
{
	struct grants *g = *state;
	char code[GRANTS_CODE_SIZE], tokens[4][GRANTS_TOKEN_SIZE], other[GRANTS_TOKEN_SIZE];
	struct token_wish wish = {0};
	struct issued issued = {0};

	g->settings.max_per_login = 3;
	make_code(g, 1, NOW, code);
	assert_int_equal(trade(g, code, VERIFIER, NOW, other), GRANT_DONE);
	for (int i = 0; i < 4; i++) {
		make_code(g, 0, NOW, code);
		assert_int_equal(trade(g, code, VERIFIER, NOW, tokens[i]), GRANT_DONE);
	}
	assert_int_equal(renew(g, tokens[0], &wish, NOW, &issued), GRANT_DEAD);
	assert_int_equal(renew(g, tokens[1], &wish, NOW, &issued), GRANT_DONE);
	assert_int_equal(renew(g, other, &wish, NOW, &issued), GRANT_DONE);
	issued_drop(&issued);
}

static void a_refresh_token_can_have_an_end(void **state)
{
	struct grants *g = *state;
	struct token_wish wish = {0};
	struct issued issued = {0};
	char refresh[GRANTS_TOKEN_SIZE];

	g->settings.refresh_ttl_sec = 7 * 86400;
	grants_mint(g, CLIENT, 0, "a", 0, NOW, &issued);
	memcpy(refresh, issued.refresh, sizeof(refresh));
	assert_int_equal(renew(g, refresh, &wish, NOW + 86400000, &issued), GRANT_DONE);
	assert_int_equal(issued.refresh_expires_in, 6 * 86400);
	assert_int_equal(
		renew(g, refresh, &wish, NOW + 7 * INT64_C(86400000), &issued), GRANT_DEAD);
	issued_drop(&issued);
}

static void a_quota_window_lasts_a_minute_and_belongs_to_the_project(void **state)
{
	static const struct quota_rules rules = {
		.per_minute = 200, .edits_per_minute = -1, .slack_percent = 1};
	struct grants *g = *state;
	struct issued a = {0}, b = {0};
	struct bearer who;
	int taken = 0;

	grants_mint(g, "12-a", 0, "a", 0, NOW, &a);
	grants_mint(g, "12-b", 1, "a", 0, NOW, &b);
	for (int i = 0; i < 300; i++) {
		const char *token = i % 2 ? a.access : b.access;

		taken += grants_check_bearer(g, token, strlen(token), "a", 2, NULL, &rules, NOW + i,
				 &who) == BEARER_GOOD;
	}
	assert_int_equal(taken, 202);
	assert_int_equal(who.retry_ms, 60000 - 299);
	assert_string_equal(who.project, "12");
	assert_int_equal(
		grants_check_bearer(g, a.access, strlen(a.access), "a", 1, NULL, &rules, NOW, &who),
		BEARER_GOOD);
	assert_int_equal(grants_check_bearer(g, a.access, strlen(a.access), "a", 2, NULL, &rules,
				 NOW + 60000, &who),
		BEARER_GOOD);
	issued_drop(&a);
	issued_drop(&b);
}

static void scopes_are_compared_word_by_word(void **state)
{
	(void)state;
	assert_true(scope_has("a b c", "b"));
	assert_true(scope_has("ab a", "a"));
	assert_false(scope_has("ab ba", "a"));
	assert_false(scope_has("", "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_verifier_of_the_rfc_fits_its_challenge_and_no_other_does, start, end),
		cmocka_unit_test_setup_teardown(a_code_lives_ten_minutes, start, end),
		cmocka_unit_test_setup_teardown(
			an_access_token_is_good_for_its_scope_and_its_time, start, end),
		cmocka_unit_test_setup_teardown(a_rotated_token_is_known_again, start, end),
		cmocka_unit_test_setup_teardown(
			revoking_ends_the_project_of_that_user_only, start, end),
		cmocka_unit_test_setup_teardown(
			the_oldest_grant_dies_past_the_limit_of_a_user_and_client, start, end),
		cmocka_unit_test_setup_teardown(a_refresh_token_can_have_an_end, start, end),
		cmocka_unit_test_setup_teardown(
			a_quota_window_lasts_a_minute_and_belongs_to_the_project, start, end),
		cmocka_unit_test(scopes_are_compared_word_by_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
