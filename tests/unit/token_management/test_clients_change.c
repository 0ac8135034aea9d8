/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdio.h>

#include "base/mem.h"

#define HOUR 3600000
#define GRANTED "{\"access_token\":\"new\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"
#define BAD_CLIENT "{\"error\":\"invalid_client\"}"

static const struct actor cli = {.name = "cli", .remote = "127.0.0.1"};

static void change_secret(struct rig *r, int64_t id, const char *secret)
{
	struct client_change change = {.client_secret = secret};
	struct client c;
	struct fault f = {0};

	CHECK(clients_change(r->tm, id, &change, &cli, &c, &f), &f);
	client_done(&c);
}

/* The provider is asked, with this secret, and answers. */
static void asked_with(const char *secret, long status, const char *body)
{
	struct ask *a = provider_wait();
	char *sent = ask_field(a, "client_secret");

	assert_string_equal(sent, secret);
	mem_free(sent);
	provider_answers(a, status, body);
}

static void assert_field(struct rig *r, const struct client_change *change, const char *field)
{
	struct client c;
	struct fault f = {0};
	int64_t id = rig_number(r, "SELECT id FROM clients");

	assert_int_equal(clients_change(r->tm, id, change, &cli, &c, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, field);
	assert_null(strstr(f.text, "CANARY"));
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'client.changed'"), 0);
}

static void only_what_is_given_changes(void **state)
{
	struct rig *r = *state;
	int64_t id = rig_register(r, "b");
	struct client_change change = {.workspace_name = "Corner shop"};
	struct client c;
	struct fault f = {0};

	CHECK(clients_change(r->tm, id, &change, &cli, &c, &f), &f);
	assert_string_equal(c.workspace_name, "Corner shop");
	assert_string_equal(c.workspace_email, "owner@example.com");
	assert_string_equal(c.redirect_uri, "https://shop.example/callback");
	assert_true(c.is_active);
	client_done(&c);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit WHERE action = 'client.changed'"
				       " AND branch_id = 'b' AND remote = '127.0.0.1'"),
		1);
	assert_int_equal(rig_changes(r, "'b'", false), 2);
}

static void each_bad_field_of_a_change_is_named(void **state)
{
	struct rig *r = *state;

	rig_register(r, "b");
	assert_field(r, &(struct client_change){.client_secret = "CANARY\x01"}, "client_secret");
	assert_field(r, &(struct client_change){.redirect_uri = "ftp://x"}, "redirect_uri");
	assert_field(r, &(struct client_change){.workspace_email = "nobody"}, "workspace_email");
	assert_field(r, &(struct client_change){.workspace_name = "a\nb"}, "workspace_name");
}

static void an_unknown_client_cannot_be_changed(void **state)
{
	struct rig *r = *state;
	struct client_change change = {.workspace_name = "x"};
	struct client c;
	struct fault f = {0};

	assert_int_equal(clients_change(r->tm, 99, &change, &cli, &c, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
}

static void the_default_app_has_its_secret_in_the_settings(void **state)
{
	struct rig *r = *state;
	int64_t id = rig_register(r, "b");
	struct client_change change = {.client_secret = "x"};
	struct client c;
	struct fault f = {0};

	rig_run(r, "UPDATE clients SET client_id = NULL, client_secret = NULL");
	assert_int_equal(clients_change(r->tm, id, &change, &cli, &c, &f), -1);
	assert_int_equal(f.kind, FAULT_CONFLICT);
	assert_non_null(strstr(f.text, "GOOGLE_CLIENT_SECRET"));
}

static void a_branch_that_is_switched_off_hands_out_nothing_even_from_memory(void **state)
{
	struct rig *r = *state;
	int64_t id = rig_connected(r, "b", "old", "first", HOUR, HOUR);
	bool is_active = false;
	struct client_change change = {.is_active = &is_active};
	struct client client;
	struct call c = {0};
	struct fault f = {0};

	call_now(r->tm, &c, "b");
	assert_true(call_read(r->tm, &c, "b", 0));
	CHECK(clients_change(r->tm, id, &change, &cli, &client, &f), &f);
	assert_string_equal(client.status, "inactive");
	client_done(&client);
	assert_false(call_read(r->tm, &c, "b", 0));
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_INACTIVE);
	is_active = true;
	CHECK(clients_change(r->tm, id, &change, &cli, &client, &f), &f);
	client_done(&client);
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_READY);
}

/* ---- the two secrets ---- */

static void a_refused_new_secret_gives_way_to_the_old_one_in_the_same_refresh(void **state)
{
	struct rig *r = *state;
	int64_t id = rig_connected(r, "b", "old", "first", -1, HOUR);
	struct call c = {0};

	change_secret(r, id, "CANARY-second");
	call_obtain(r->tm, &c, "b", 0, false);
	asked_with("CANARY-second", 401, BAD_CLIENT);
	asked_with("secret-b", 200, GRANTED);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_READY);
	assert_false(c.degraded);
	assert_string_equal(c.access, "new");
	assert_int_equal(rig_number(r, "SELECT refresh_failures FROM tokens"), 0);
	assert_false(log_holds("CANARY"));
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE detail LIKE '%CANARY%'"), 0);
}

static void a_good_new_secret_is_all_that_is_asked_with(void **state)
{
	struct rig *r = *state;
	int64_t id = rig_connected(r, "b", "old", "first", -1, HOUR);
	struct call c = {0};

	change_secret(r, id, "second");
	call_obtain(r->tm, &c, "b", 0, false);
	asked_with("second", 200, GRANTED);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_READY);
	assert_int_equal(provider_count(), 1);
}

static void two_refused_secrets_leave_the_grant_alive(void **state)
{
	struct rig *r = *state;
	int64_t id = rig_connected(r, "b", "old", "first", -1, HOUR);
	struct call c = {0};

	change_secret(r, id, "second");
	call_obtain(r->tm, &c, "b", 0, false);
	asked_with("second", 401, BAD_CLIENT);
	asked_with("secret-b", 401, BAD_CLIENT);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_int_equal(provider_count(), 2);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM clients WHERE status = 'degraded'"), 1);
}

static void a_mended_secret_heals_at_once(void **state)
{
	struct rig *r = *state;
	int64_t id = rig_connected(r, "b", "old", "first", -1, HOUR);
	struct call c = {0};

	call_obtain(r->tm, &c, "b", 0, false);
	asked_with("secret-b", 401, BAD_CLIENT);
	calls_wait(1);
	call_now(r->tm, &c, "b");
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_int_equal(provider_count(), 1);
	change_secret(r, id, "second");
	calls_forget();
	call_obtain(r->tm, &c, "b", 0, false);
	asked_with("second", 200, GRANTED);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_READY);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM clients WHERE status = 'connected'"), 1);
}

static void the_old_secret_is_not_tried_after_the_overlap(void **state)
{
	struct rig *r = *state;
	int64_t id = rig_connected(r, "b", "old", "first", -1, HOUR);
	struct call c = {0};

	change_secret(r, id, "second");
	time_passes(CLIENT_SECRET_OVERLAP_MS + 1);
	call_obtain(r->tm, &c, "b", 0, false);
	asked_with("second", 401, BAD_CLIENT);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_UNAVAILABLE);
	assert_int_equal(provider_count(), 1);
}

static void the_same_secret_again_does_not_push_the_previous_one_out(void **state)
{
	struct rig *r = *state;
	int64_t id = rig_connected(r, "b", "old", "first", -1, HOUR);
	struct call c = {0};

	change_secret(r, id, "second");
	change_secret(r, id, "second");
	call_obtain(r->tm, &c, "b", 0, false);
	asked_with("second", 401, BAD_CLIENT);
	asked_with("secret-b", 200, GRANTED);
	calls_wait(1);
	assert_int_equal(c.outcome, TOKEN_READY);
}

/* ---- the audit ---- */

struct seen {
	int64_t last, n;
	char actions[200];
};

static int see(void *arg, const struct audit_row *row, struct fault *f)
{
	struct seen *s = arg;
	size_t used = strlen(s->actions);

	(void)f;
	s->last = row->id;
	s->n++;
	snprintf(s->actions + used, sizeof(s->actions) - used, "%s ", row->action);
	return 0;
}

static void see_all(struct rig *r, struct audit_filter filter, struct seen *ret)
{
	struct fault f = {0};

	*ret = (struct seen){0};
	filter.limit = filter.limit ? filter.limit : 50;
	CHECK(audit_list(r->tm, &filter, see, ret, &f), &f);
}

static void the_audit_is_read_newest_first_by_filter_and_page(void **state)
{
	struct rig *r = *state;
	int64_t a = rig_register(r, "a"), start = wall_now_ms;
	struct seen s;

	time_passes(1000);
	rig_register(r, "b");
	change_secret(r, a, "second");
	see_all(r, (struct audit_filter){0}, &s);
	assert_string_equal(s.actions, "client.changed client.registered client.registered ");
	see_all(r, (struct audit_filter){.branch_id = "a"}, &s);
	assert_int_equal(s.n, 2);
	see_all(r, (struct audit_filter){.branch_id = "a", .action = "client.changed"}, &s);
	assert_int_equal(s.n, 1);
	see_all(r, (struct audit_filter){.actor = "nobody"}, &s);
	assert_int_equal(s.n, 0);
	see_all(r, (struct audit_filter){.since_ms = start + 1}, &s);
	assert_int_equal(s.n, 2);
	see_all(r, (struct audit_filter){.until_ms = start + 1}, &s);
	assert_int_equal(s.n, 1);
	see_all(r, (struct audit_filter){.limit = 2}, &s);
	assert_int_equal(s.n, 2);
	see_all(r, (struct audit_filter){.before_id = s.last}, &s);
	assert_int_equal(s.n, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_what_is_given_changes),
		TEST(each_bad_field_of_a_change_is_named),
		TEST(an_unknown_client_cannot_be_changed),
		TEST(the_default_app_has_its_secret_in_the_settings),
		TEST(a_branch_that_is_switched_off_hands_out_nothing_even_from_memory),
		TEST(a_refused_new_secret_gives_way_to_the_old_one_in_the_same_refresh),
		TEST(a_good_new_secret_is_all_that_is_asked_with),
		TEST(two_refused_secrets_leave_the_grant_alive),
		TEST(a_mended_secret_heals_at_once),
		TEST(the_old_secret_is_not_tried_after_the_overlap),
		TEST(the_same_secret_again_does_not_push_the_previous_one_out),
		TEST(the_audit_is_read_newest_first_by_filter_and_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
