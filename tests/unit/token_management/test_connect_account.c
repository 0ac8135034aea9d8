/* SPDX-License-Identifier: Apache-2.0 */
/* Links as those see them who look after them, and the account that consents. */
#include "rig.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"

#define MANAGE "https://www.googleapis.com/auth/business.manage"
#define HOUR_MS 3600000
#define SCOPE "openid email " MANAGE

static const struct actor cli = {.name = "cli"};

static struct end {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned n;
	enum connect_outcome outcome;
	bool is_wrong;
	char account[128], missing[128];
} ended = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void on_end(void *arg, const struct connect_result *r)
{
	(void)arg;
	pthread_mutex_lock(&ended.lock);
	ended.n++;
	ended.outcome = r->outcome;
	ended.is_wrong = r->is_wrong_account;
	snprintf(ended.account, sizeof(ended.account), "%s", r->account ? r->account : "");
	snprintf(ended.missing, sizeof(ended.missing), "%s",
		r->missing_scopes ? r->missing_scopes : "");
	pthread_cond_broadcast(&ended.changed);
	pthread_mutex_unlock(&ended.lock);
}

static void wait_for_end(unsigned n)
{
	pthread_mutex_lock(&ended.lock);
	while (ended.n < n)
		pthread_cond_wait(&ended.changed, &ended.lock);
	pthread_mutex_unlock(&ended.lock);
}

static int begin(void **state)
{
	ended.n = 0;
	return rig_up(state);
}

struct browser {
	char cookie[64], state[64], location[2048];
};

static void take_start(struct connect_start *start, struct browser *ret)
{
	const char *at = strstr(buf_text(&start->location), "&state=");

	snprintf(ret->location, sizeof(ret->location), "%s", buf_text(&start->location));
	snprintf(ret->state, sizeof(ret->state), "%.43s", at + strlen("&state="));
	snprintf(ret->cookie, sizeof(ret->cookie), "%s", start->cookie);
	connect_start_done(start);
}

static void start_flow(struct rig *r, int64_t client, const char *ticket, struct browser *b)
{
	struct connect_start start;
	struct fault f = {0};

	assert_int_equal(connect_begin(r->tm, client, ticket, b->cookie[0] ? b->cookie : NULL, &cli,
				 &start, &f),
		LINK_GOOD);
	take_start(&start, b);
}

static void come_back(struct rig *r, const struct browser *b)
{
	struct connect_reply reply = {.state = b->state, .browser = b->cookie, .code = "code"};

	connect_finish(r->tm, &reply, on_end, NULL);
}

/* The provider's answer to a code, by an account; email NULL: it names none. */
static void grant_as(const char *subject, const char *email, const char *verified)
{
	AUTO(buf_drop) struct buf claims = BUF_INIT(1024), jwt = BUF_INIT(2048);
	AUTO(buf_drop) struct buf answer = BUF_INIT(4096);

	buf_addf(&claims,
		"{\"iss\":\"https://accounts.google.com\",\"aud\":\"app-b\",\"sub\":\"%s\"",
		subject);
	if (email)
		buf_addf(&claims, ",\"email\":\"%s\",\"email_verified\":%s", email, verified);
	buf_add_text(&claims, "}");
	text_base64url(&jwt, buf_text(&claims), claims.len);
	buf_addf(&answer,
		"{\"access_token\":\"new\",\"refresh_token\":\"fresh\",\"expires_in\":3599,"
		"\"scope\":\"" SCOPE "\",\"token_type\":\"Bearer\",\"id_token\":\"e30.%s.c2ln\"}",
		buf_text(&jwt));
	provider_answers(provider_wait(), 200, buf_text(&answer));
}

static void connect_as(struct rig *r, int64_t client, const char *subject, const char *email)
{
	struct browser b = {0};
	unsigned n = ended.n;

	start_flow(r, client, NULL, &b);
	come_back(r, &b);
	grant_as(subject, email, "true");
	wait_for_end(n + 1);
}

static void refuse_others(struct rig *r)
{
	r->settings.connect_wrong_account = WRONG_ACCOUNT_REFUSE;
}

static void assert_text(char *owned, const char *wanted)
{
	assert_string_equal(owned, wanted);
	mem_free(owned);
}

/* ---- the account ---- */

static void the_case_of_an_address_does_not_matter_and_nothing_else_is_guessed(void **state)
{
	static const struct {
		const char *email;
		bool is_wrong;
	} rows[] = {{"owner@example.com", false}, {"OWNER@Example.COM", false},
		{"o.wner@example.com", true}, {"owner+x@example.com", true},
		{"owner@example.co", true}};
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");

	refuse_others(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct browser b = {0};

		start_flow(r, client, NULL, &b);
		come_back(r, &b);
		grant_as("", rows[i].email, "true"); /* nameless: nobody is asked to revoke */
		wait_for_end((unsigned)i + 1);
		assert_int_equal(
			ended.outcome, rows[i].is_wrong ? CONNECT_WRONG_ACCOUNT : CONNECT_DONE);
	}
}

static void warned_of_a_wrong_account_it_is_connected_and_shown(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	AUTO(client_done) struct client c = {0};
	const struct client_change change = {.workspace_email = "Other@example.com"};
	struct fault f = {0};

	connect_as(r, client, "1", "other@example.com");
	assert_int_equal(ended.outcome, CONNECT_DONE);
	assert_true(ended.is_wrong);
	assert_string_equal(ended.account, "other@example.com");
	CHECK(clients_get(r->tm, client, &c, &f), &f);
	assert_string_equal(c.connected_email, "other@example.com");
	assert_string_equal(c.status_reason,
		"connected as other@example.com, not as the expected owner@example.com");
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit"
				       " WHERE action = 'connection.wrong_account'"),
		1);
	assert_int_equal(log_count("connect.wrong_account"), 1);
	client_done(&c); /* the expectation was wrong: once it is changed nothing is to be said */
	CHECK(clients_change(r->tm, client, &change, &cli, &c, &f), &f);
	assert_null(c.status_reason);
}

static void refusing_stores_nothing_and_gives_the_grant_back(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct browser b = {0};
	struct ask *a;

	refuse_others(r);
	start_flow(r, client, NULL, &b);
	come_back(r, &b);
	grant_as("1", "other@example.com", "true");
	a = provider_wait();
	assert_string_equal(a->url, "https://oauth2.test/revoke");
	assert_text(ask_field(a, "token"), "fresh");
	provider_answers(a, 200, "");
	wait_for_end(1);
	assert_int_equal(ended.outcome, CONNECT_WRONG_ACCOUNT);
	assert_string_equal(ended.account, "other@example.com");
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tokens"), 0);
	assert_text(rig_text(r, "SELECT status FROM clients"), "pending");
	assert_text(rig_text(r, "SELECT detail FROM audit WHERE action = 'connect.wrong_account'"),
		"{\"account\":\"other@example.com\",\"expected\":\"owner@example.com\","
		"\"siblings\":0,\"given_back\":true}");
}

static void a_grant_is_not_given_back_where_a_sibling_would_die_with_it(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b"), other = rig_register(r, "c");

	/* Another branch lives by that account and project. */
	rig_run(r, "UPDATE clients SET client_id = 'app-b' WHERE branch_id = 'c'");
	connect_as(r, other, "1", "other@example.com");
	assert_int_equal(ended.outcome, CONNECT_DONE);
	refuse_others(r);
	connect_as(r, client, "1", "other@example.com");
	assert_int_equal(ended.outcome, CONNECT_WRONG_ACCOUNT);
	assert_int_equal(provider_count(), 2); /* two codes, no revocation */
	assert_text(rig_text(r, "SELECT status FROM clients WHERE branch_id = 'c'"), "connected");
}

static void a_grant_is_not_given_back_where_the_branch_itself_lives_by_it(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");

	connect_as(r, client, "1", "other@example.com");
	refuse_others(r);
	connect_as(r, client, "1", "other@example.com");
	assert_int_equal(ended.outcome, CONNECT_WRONG_ACCOUNT);
	assert_int_equal(provider_count(), 2);
	assert_text(rig_text(r, "SELECT status FROM clients"), "connected");
}

/* Imported connections have no account until the provider names one, and some never. */
static void a_grant_is_not_given_back_while_the_account_of_another_branch_is_unknown(void **state)
{
	static const char *const states[] = {"connected", "degraded", "pending"};
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	char sql[128];

	rig_connected(r, "c", "old", "first", HOUR_MS, HOUR_MS);
	rig_run(r, "UPDATE clients SET client_id = 'app-b' WHERE branch_id = 'c'");
	rig_run(r, "UPDATE tokens SET google_subject = NULL");
	refuse_others(r);
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		snprintf(sql, sizeof(sql), "UPDATE clients SET status = '%s' WHERE branch_id = 'c'",
			states[i]);
		rig_run(r, sql);
		connect_as(r, client, "1", "other@example.com");
		assert_int_equal(ended.outcome, CONNECT_WRONG_ACCOUNT);
		assert_int_equal(provider_count(), i + 1); /* a code each, no revocation */
	}
	/* One of another project is no sibling, whoever it is. */
	rig_run(r, "UPDATE clients SET client_id = 'another-app' WHERE branch_id = 'c'");
	struct browser b = {0};
	start_flow(r, client, NULL, &b);
	come_back(r, &b);
	grant_as("1", "other@example.com", "true");
	struct ask *a = provider_wait();
	assert_string_equal(a->url, "https://oauth2.test/revoke");
	provider_answers(a, 200, "");
	wait_for_end((unsigned)ARRAY_LEN(states) + 1);
}

/* The scopes stand in the browser's address line, where "email" can be taken out. */
static void refusing_lets_no_nameless_or_unverified_account_pass(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct browser b = {0};

	refuse_others(r);
	connect_as(r, client, "", NULL);
	assert_int_equal(ended.outcome, CONNECT_WRONG_ACCOUNT);
	start_flow(r, client, NULL, &b);
	come_back(r, &b);
	grant_as("", "owner@example.com", "false");
	wait_for_end(2);
	assert_int_equal(ended.outcome, CONNECT_WRONG_ACCOUNT);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tokens"), 0);
}

static void after_a_wrong_account_the_next_try_lets_the_person_choose(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	AUTO(buf_drop) struct buf url = BUF_INIT(1024);
	struct connect_start start;
	struct browser b = {0}, other = {0};
	char ticket[64];
	int64_t expires_at_ms;
	struct fault f = {0};

	CHECK(connect_link(r->tm, client, &cli, &url, &expires_at_ms, &f), &f);
	snprintf(ticket, sizeof(ticket), "%s", strstr(buf_text(&url), "ticket=") + 7);
	start_flow(r, client, ticket, &b);
	assert_null(strstr(b.location, "select_account"));
	assert_int_equal(connect_again(r->tm, b.state, b.cookie, &cli, &start, &f),
		LINK_FLOW_OVER); /* runs */
	come_back(r, &b);
	grant_as("1", "other@example.com", "true");
	wait_for_end(1);
	assert_true(ended.is_wrong);

	start_flow(r, client, NULL, &other); /* another browser has another cookie */
	assert_int_equal(
		connect_again(r->tm, b.state, other.cookie, &cli, &start, &f), LINK_FLOW_OVER);
	assert_int_equal(connect_again(r->tm, b.state, b.cookie, &cli, &start, &f), LINK_GOOD);
	take_start(&start, &b);
	assert_non_null(strstr(b.location, "prompt=select_account%20consent"));
	assert_non_null(strstr(b.location, "login_hint=owner%40example.com"));
	come_back(r, &b);
	grant_as("2", "owner@example.com", "true");
	wait_for_end(2);
	assert_int_equal(ended.outcome, CONNECT_DONE);
	assert_false(ended.is_wrong);
	assert_int_equal(connect_look(r->tm, client, ticket, b.cookie, &f), LINK_USED);
	assert_int_equal(connect_again(r->tm, b.state, b.cookie, &cli, &start, &f), LINK_FLOW_OVER);
}

static void how_a_flow_ended_is_remembered_for_its_browser_alone(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct connect_reply reply = {.error = "invalid_client"};
	struct browser b = {0};
	struct fault f = {0};

	start_flow(r, client, NULL, &b);
	assert_int_equal(connect_recall(r->tm, b.state, b.cookie, on_end, NULL, &f), 1); /* runs */
	reply.state = b.state;
	reply.browser = b.cookie;
	connect_finish(r->tm, &reply, on_end, NULL);
	assert_int_equal(ended.outcome, CONNECT_MISCONFIGURED);
	ended.outcome = CONNECT_DONE;
	assert_int_equal(connect_recall(r->tm, b.state, b.cookie, on_end, NULL, &f), 0);
	assert_int_equal(ended.outcome, CONNECT_MISCONFIGURED);
	assert_int_equal(connect_recall(r->tm, b.state, b.state, on_end, NULL, &f), 1);
	assert_int_equal(ended.n, 2);
}

/* ---- links ---- */

struct seen {
	size_t n;
	char id[CONNECT_LINK_ID_SIZE];
	bool is_bound;
};

static int see_link(void *arg, const struct connect_link_row *row, struct fault *f)
{
	struct seen *s = arg;

	(void)f;
	s->n++;
	s->is_bound = row->is_bound;
	memcpy(s->id, row->id, sizeof(s->id));
	assert_string_equal(row->made_by, "cli");
	return 0;
}

static size_t count_links(struct rig *r, int64_t client, struct seen *ret)
{
	struct fault f = {0};

	*ret = (struct seen){0};
	CHECK(connect_links_list(r->tm, client, see_link, ret, &f), &f);
	return ret->n;
}

static void make_link(struct rig *r, int64_t client, char ticket[static 64])
{
	AUTO(buf_drop) struct buf url = BUF_INIT(1024);
	int64_t expires_at_ms;
	struct fault f = {0};

	CHECK(connect_link(r->tm, client, &cli, &url, &expires_at_ms, &f), &f);
	snprintf(ticket, 64, "%s", strstr(buf_text(&url), "ticket=") + 7);
}

static void a_revoked_link_opens_nothing_in_any_process(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b"), n;
	struct token_management *second = rig_second(r);
	char one[64], two[64];
	struct seen seen;
	struct fault f = {0};

	make_link(r, client, one);
	count_links(r, client, &seen);
	make_link(r, client, two);
	assert_int_equal(connect_links_revoke(r->tm, client, "0000000000000000", &cli, &n, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	CHECK(connect_links_revoke(r->tm, client, seen.id, &cli, &n, &f), &f);
	assert_int_equal(n, 1);
	assert_int_equal(connect_look(r->tm, client, one, NULL, &f), LINK_REVOKED);
	assert_int_equal(connect_look(second, client, one, NULL, &f), LINK_REVOKED);
	assert_int_equal(connect_look(second, client, two, NULL, &f), LINK_GOOD);
	assert_int_equal(count_links(r, client, &seen), 1);
	CHECK(connect_links_revoke(r->tm, client, NULL, &cli, &n, &f), &f);
	assert_int_equal(n, 1);
	assert_int_equal(connect_look(second, client, two, NULL, &f), LINK_REVOKED);
	assert_int_equal(count_links(r, client, &seen), 0);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'link.revoked'"), 2);
	rig_second_down(second);
}

static void what_was_begun_with_a_link_ends_with_it(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b"), n;
	struct browser b = {0}, late = {0};
	char ticket[64];
	struct seen seen;
	struct fault f = {0};

	make_link(r, client, ticket);
	start_flow(r, client, ticket, &b);
	late = b;
	start_flow(r, client, ticket, &late); /* a second tab */
	assert_int_equal(count_links(r, client, &seen), 1);
	assert_true(seen.is_bound);
	come_back(r, &late); /* its code is on its way when the link is revoked */
	CHECK(connect_links_revoke(r->tm, client, NULL, &cli, &n, &f), &f);
	come_back(r, &b);
	assert_int_equal(ended.outcome, CONNECT_LINK_REVOKED);
	grant_as("1", "owner@example.com", "true");
	wait_for_end(2);
	assert_int_equal(ended.outcome, CONNECT_LINK_REVOKED);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tokens"), 0);
	assert_int_equal(provider_count(), 1);
}

static void a_link_makes_one_connection_whatever_the_tabs(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct browser b = {0}, tab;
	char ticket[64];

	make_link(r, client, ticket);
	start_flow(r, client, ticket, &b);
	tab = b;
	start_flow(r, client, ticket, &tab);
	come_back(r, &b);
	grant_as("1", "owner@example.com", "true");
	wait_for_end(1);
	assert_int_equal(ended.outcome, CONNECT_DONE);
	come_back(r, &tab);
	assert_int_equal(ended.outcome, CONNECT_LINK_USED);
	assert_int_equal(provider_count(), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_case_of_an_address_does_not_matter_and_nothing_else_is_guessed),
		TEST(warned_of_a_wrong_account_it_is_connected_and_shown),
		TEST(refusing_stores_nothing_and_gives_the_grant_back),
		TEST(a_grant_is_not_given_back_where_a_sibling_would_die_with_it),
		TEST(a_grant_is_not_given_back_where_the_branch_itself_lives_by_it),
		TEST(a_grant_is_not_given_back_while_the_account_of_another_branch_is_unknown),
		TEST(refusing_lets_no_nameless_or_unverified_account_pass),
		TEST(after_a_wrong_account_the_next_try_lets_the_person_choose),
		TEST(how_a_flow_ended_is_remembered_for_its_browser_alone),
		TEST(a_revoked_link_opens_nothing_in_any_process),
		TEST(what_was_begun_with_a_link_ends_with_it),
		TEST(a_link_makes_one_connection_whatever_the_tabs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
