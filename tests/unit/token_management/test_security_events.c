/* SPDX-License-Identifier: Apache-2.0 */
/* What security events do to many rows, to old rows, and over the end of a process. */
#include "rig.h"
#include "signer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "token_management/refresh_names.h"
#include "token_management/token_management_google.h"

#define TOKEN_A "1//0gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-one"
#define TOKEN_B "1//0gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-two"
#define MINUTE_MS 60000

struct taking {
	unsigned answers;
	enum security_event_outcome outcome;
};

static void on_taken(void *arg, const struct security_event_result *r)
{
	struct taking *t = arg;

	t->answers++;
	t->outcome = r->outcome;
}

/* The keys are asked for by the first event of a test. */
static void give_keys(struct rig *r)
{
	AUTO(buf_drop) struct buf keys = BUF_INIT(8192);

	if (!r->tm->google_keys.was_asked) {
		signer_keys("k", NULL, &keys);
		provider_answers_fresh(provider_wait(), buf_text(&keys), -1);
	}
	rig_wait_idle(r->tm);
}

static void deliver(struct rig *r, const char *jti, const char *kind, const char *subject)
{
	AUTO(buf_drop) struct buf claims = BUF_INIT(8192), token = BUF_INIT(16384);
	struct taking t = {0};

	buf_addf(&claims,
		"{\"iss\":\"https://accounts.google.com/\",\"aud\":\"1-app\",\"iat\":%" PRId64
		",\"jti\":\"%s\",\"events\":{\"https://schemas.openid.net/secevent/%s/event-type/"
		"%s\":"
		"{\"subject\":%s,\"reason\":\"hijacking\"}}}",
		clock_wall_ms() / 1000 + 120, jti, text_starts(kind, "token") ? "oauth" : "risc",
		kind, subject);
	signer_sign("k", buf_text(&claims), &token);
	security_event_take(r->tm, token.data, token.len, on_taken, &t);
	give_keys(r);
	assert_int_equal(t.answers, 1);
	assert_int_equal(t.outcome, SECURITY_EVENT_TAKEN);
}

static void deliver_token(struct rig *r, const char *jti, const char *token, bool by_prefix)
{
	AUTO(buf_drop) struct buf subject = BUF_INIT(1024), name = BUF_INIT(256);
	uint8_t once[HASH_SHA512_SIZE], twice[HASH_SHA512_SIZE];

	hash_sha512(token, strlen(token), once);
	hash_sha512(once, sizeof(once), twice);
	if (by_prefix)
		buf_add(&name, token, 16);
	else
		text_base64(&name, twice, sizeof(twice));
	buf_addf(&subject,
		"{\"subject_type\":\"oauth_token\",\"token_type\":\"refresh_token\","
		"\"token_identifier_alg\":\"%s\",\"token\":\"%s\"}",
		by_prefix ? "prefix" : "hash_base64_sha512_sha512", buf_text(&name));
	deliver(r, jti, "token-revoked", buf_text(&subject));
}

/* All rows become Google's, of one app and account. */
static void share_account(struct rig *r)
{
	rig_run(r, "UPDATE clients SET client_id = '1-app'");
	rig_run(r, "UPDATE tokens SET google_subject = 'person', last_refreshed_at_ms = 1");
}

static void follow(struct rig *r)
{
	struct fault f = {0};

	CHECK(token_management_follow(r->tm, &f), &f);
	rig_wait_idle(r->tm);
}

#define PERSON                                                                 \
	"{\"subject_type\":\"iss-sub\",\"iss\":\"https://accounts.google.com/" \
	"\",\"sub\":\"person\"}"
#define COUNT(where) rig_number(r, "SELECT count(*) FROM " where)

static void tokens_of_an_older_version_get_their_names_and_are_found(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "old-a", "access", TOKEN_A, 1000, 3600000);
	rig_connected(r, "old-b", "access", "1//0gBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB", 1000, 3600000);
	rig_connected(r, "short", "access", "tiny", 1000, 3600000);
	share_account(r);
	assert_int_equal(COUNT("tokens WHERE refresh_hash IS NULL"), 3);
	/* It comes before the names are there, and waits for them. */
	deliver_token(r, "j1", TOKEN_A, false);
	assert_int_equal(COUNT("security_events WHERE done_at_ms IS NULL"), 1);
	assert_int_equal(COUNT("clients WHERE status = 'connected'"), 3);
	follow(r);
	assert_int_equal(COUNT("tokens WHERE refresh_hash IS NULL"), 0);
	assert_int_equal(COUNT("tokens WHERE length(refresh_hash) = 0"), 1);
	time_passes(2 * MINUTE_MS);
	follow(r);
	follow(r);
	assert_int_equal(COUNT("security_events WHERE done_at_ms IS NULL"), 0);
	assert_int_equal(
		COUNT("clients WHERE status = 'needs_reconnect' AND branch_id = 'old-a'"), 1);
	assert_int_equal(COUNT("clients WHERE status = 'connected'"), 2);
	assert_int_equal(COUNT("tokens WHERE refresh_token IS NULL AND refresh_hash IS NULL"), 1);
}

static void a_prefix_of_two_ends_neither_but_asks(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "a", "access", TOKEN_A, 3600000, 3600000);
	rig_connected(r, "b", "access", TOKEN_B, 3600000, 3600000);
	share_account(r);
	follow(r);
	deliver_token(r, "j1", TOKEN_A, true);
	assert_int_equal(COUNT("clients WHERE status = 'connected'"), 2);
	assert_int_equal(COUNT("audit WHERE action = 'connection.checked'"), 2);
	deliver_token(r, "j2", TOKEN_B, false);
	assert_int_equal(COUNT("clients WHERE status = 'connected' AND branch_id = 'a'"), 1);
	assert_int_equal(COUNT("clients WHERE status = 'needs_reconnect' AND branch_id = 'b'"), 1);
}

static void no_part_of_a_token_lies_beside_it(void **state)
{
	struct rig *r = *state;
	rig_connected(r, "a", "access", TOKEN_A, 3600000, 3600000);
	follow(r);
	assert_int_equal(COUNT("tokens WHERE length(refresh_hash) = 32"), 1);
	assert_int_equal(COUNT("tokens WHERE length(refresh_prefix) = 32"), 1);
	assert_int_equal(
		rig_number(r, rig_is_postgres(r) ? "SELECT count(*) FROM tokens WHERE position("
						   "CAST('1//0g' AS BYTEA) IN refresh_prefix) > 0"
						 : "SELECT count(*) FROM tokens WHERE instr("
						   "refresh_prefix, CAST('1//0g' AS BLOB)) > 0"),
		0);
}

static void insert_many(struct rig *r, int n)
{
	char sql[400];

	rig_connected(r, "b0", "access", TOKEN_A, 3600000, 3600000);
	snprintf(sql, sizeof(sql),
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
		" INSERT INTO clients (redirect_uri, branch_id, workspace_email, workspace_name,"
		" status, status_since_ms, created_at_ms, updated_at_ms)"
		" SELECT 'x', 'b' || i, 'x', 'x', 'connected', 1, 1, 1 FROM n",
		n - 1);
	rig_run(r, sql);
	rig_run(r, "INSERT INTO tokens (client_id, refresh_token, refresh_hash, created_at_ms,"
		   " updated_at_ms) SELECT id, CAST('0' AS {bytes}), CAST('' AS {bytes}), 1, 1 "
		   "FROM clients"
		   " WHERE id NOT IN (SELECT client_id FROM tokens)");
	share_account(r);
}

static void an_account_of_many_branches_is_seen_to_page_by_page(void **state)
{
	struct rig *r = *state;

	insert_many(r, 600);
	deliver(r, "j1", "tokens-revoked", PERSON);
	assert_int_equal(COUNT("clients WHERE status = 'needs_reconnect'"), 600);
	assert_int_equal(COUNT("audit WHERE action = 'connection.needs_reconnect'"), 600);
	assert_int_equal(COUNT("security_events WHERE done_at_ms IS NOT NULL"), 1);
	assert_int_equal(COUNT("security_events WHERE subject IS NOT NULL"), 0);
	assert_int_equal(log_count("security_event.taken"), 1);
}

static void what_a_process_left_open_is_taken_up(void **state)
{
	struct rig *r = *state;

	insert_many(r, 600);
	/* As a process leaves it that ends behind the first page. */
	rig_run(r, "INSERT INTO security_events (jti_hash, kind, audience, subject, issued_at_ms,"
		   " received_at_ms, after_row) VALUES (CAST('0123456789abcdef0123456789abcdef' AS "
		   "{bytes}), "
		   "'account-disabled', '1-app',"
		   " 'person', 1700000000000000, 1759999900000, 256)");
	follow(r);
	follow(r);
	rig_wait_idle(r->tm);
	assert_int_equal(COUNT("clients WHERE status = 'needs_reconnect' AND id > 256"), 344);
	assert_int_equal(COUNT("clients WHERE status = 'connected'"), 256);
	assert_int_equal(COUNT("tokens WHERE suspended_at_ms IS NOT NULL"), 344);
	assert_int_equal(COUNT("tokens WHERE refresh_token IS NULL"), 0);
	assert_int_equal(COUNT("security_events WHERE done_at_ms IS NULL"), 0);
}

static void an_event_is_forgotten_when_it_is_too_old_to_come_again(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "a", "access", TOKEN_A, 3600000, 3600000);
	share_account(r);
	deliver(r, "j1", "sessions-revoked", PERSON);
	deliver(r, "j1", "sessions-revoked", PERSON);
	assert_int_equal(COUNT("security_events"), 1);
	assert_int_equal(COUNT("audit WHERE action = 'connection.checked'"), 1);
	time_passes(INT64_C(13) * 24 * 60 * MINUTE_MS);
	follow(r);
	follow(r);
	assert_int_equal(COUNT("security_events"), 1);
	time_passes(INT64_C(2) * 24 * 60 * MINUTE_MS);
	follow(r);
	follow(r);
	assert_int_equal(COUNT("security_events"), 0);
}

static void the_names_of_a_refresh_token_are_googles(void **state)
{
	/* SHA-512 of SHA-512 of "1//0gexample-of-a-token", in either alphabet. */
	static const char token[] = "1//0gexample-of-a-token";
	AUTO(secret_drop) struct secret secret = secret_from(token, strlen(token));
	AUTO(buf_drop) struct buf standard = BUF_INIT(200), url = BUF_INIT(200);
	uint8_t once[HASH_SHA512_SIZE], twice[HASH_SHA512_SIZE], name[HASH_BLAKE2B_SIZE];
	enum refresh_name_kind kind;
	struct refresh_names names;

	(void)state;
	hash_sha512(token, strlen(token), once);
	hash_sha512(once, sizeof(once), twice);
	text_base64(&standard, twice, sizeof(twice));
	text_base64url(&url, twice, sizeof(twice));
	refresh_names_of(&secret, &names);
	assert_int_equal(
		refresh_name_read("hash_base64_sha512_sha512", buf_text(&standard), &kind, name),
		0);
	assert_memory_equal(name, names.by_hash, sizeof(name));
	assert_int_equal(
		refresh_name_read("hash_base64_sha512_sha512", buf_text(&url), &kind, name), 0);
	assert_memory_equal(name, names.by_hash, sizeof(name));
	assert_int_equal(kind, REFRESH_NAME_HASH);
	assert_int_equal(refresh_name_read("prefix", "1//0gexample-of-", &kind, name), 0);
	assert_memory_equal(name, names.by_prefix, sizeof(name));
	assert_int_equal(refresh_name_read("prefix", "1//0gexample-of", &kind, name), 1);
	assert_int_equal(refresh_name_read("prefix", NULL, &kind, name), 1);
	assert_int_equal(refresh_name_read("plain", token, &kind, name), 1);
	assert_int_equal(refresh_name_read("hash_base64_sha512_sha512", "AAAA", &kind, name), 1);
	assert_int_equal(refresh_name_read("hash_base64_sha512_sha512", "A=A=", &kind, name), 1);
}

static void refresh(struct rig *r, const char *branch, const char *answer)
{
	struct call c = {.rig = r};

	calls_forget();
	call_obtain(r->tm, &c, branch, 0, true);
	provider_answers(provider_wait(), 200, answer);
	calls_wait(1);
	rig_wait_idle(r->tm);
	assert_int_equal(c.outcome, TOKEN_READY);
}

static void a_rotated_refresh_token_is_found_by_its_own_name_alone(void **state)
{
	struct rig *r = *state;

	rig_connected(r, "a", "access", TOKEN_A, 1000, 3600000);
	share_account(r);
	follow(r);
	refresh(r, "a",
		"{\"access_token\":\"x\",\"token_type\":\"Bearer\",\"expires_in\":3600,"
		"\"refresh_token\":\"" TOKEN_B "\"}");
	deliver_token(r, "j1", TOKEN_A, false);
	assert_int_equal(COUNT("clients WHERE status = 'connected'"), 1);
	/* An answer without a refresh token keeps the token and its name. */
	refresh(r, "a", "{\"access_token\":\"y\",\"token_type\":\"Bearer\",\"expires_in\":3600}");
	deliver_token(r, "j2", TOKEN_B, false);
	assert_int_equal(COUNT("clients WHERE status = 'needs_reconnect'"), 1);
}

static void a_refresh_tells_an_imported_grant_its_account(void **state)
{
	AUTO(buf_drop) struct buf token = BUF_INIT(8192), answer = BUF_INIT(16384);
	struct rig *r = *state;

	rig_connected(r, "a", "access", TOKEN_A, 1000, 3600000);
	share_account(r);
	rig_run(r, "UPDATE tokens SET google_subject = NULL");
	signer_sign("k",
		"{\"iss\":\"https://accounts.google.com\",\"aud\":\"1-app\",\"sub\":\"person\","
		"\"email\":\"p@example.com\"}",
		&token);
	buf_addf(&answer,
		"{\"access_token\":\"x\",\"token_type\":\"Bearer\",\"expires_in\":3600,"
		"\"id_token\":\"%s\"}",
		buf_text(&token));
	refresh(r, "a", buf_text(&answer));
	assert_int_equal(COUNT("tokens WHERE google_subject = 'person'"), 1);
	assert_int_equal(COUNT("tokens WHERE google_email = 'p@example.com'"), 1);
	refresh(r, "a", "{\"access_token\":\"y\",\"token_type\":\"Bearer\",\"expires_in\":3600}");
	assert_int_equal(COUNT("tokens WHERE google_subject = 'person'"), 1);
	time_passes(10 * MINUTE_MS);
	deliver(r, "j1", "tokens-revoked", PERSON);
	assert_int_equal(COUNT("clients WHERE status = 'needs_reconnect'"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tokens_of_an_older_version_get_their_names_and_are_found),
		TEST(a_prefix_of_two_ends_neither_but_asks),
		TEST(no_part_of_a_token_lies_beside_it),
		TEST(an_account_of_many_branches_is_seen_to_page_by_page),
		TEST(what_a_process_left_open_is_taken_up),
		TEST(an_event_is_forgotten_when_it_is_too_old_to_come_again),
		TEST(the_names_of_a_refresh_token_are_googles),
		TEST(a_rotated_refresh_token_is_found_by_its_own_name_alone),
		TEST(a_refresh_tells_an_imported_grant_its_account),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
