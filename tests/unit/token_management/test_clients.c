/* SPDX-License-Identifier: Apache-2.0 */
#include "../database.h"
#include "rig.h"

#include <stdio.h>

#include "base/mem.h"
#include "token_management/state.h"

#define HOUR 3600000

static const struct actor cli = {.name = "cli", .remote = "127.0.0.1"};
static const struct client_input good = {
	.client_id = "id",
	.client_secret = "CANARY-secret",
	.redirect_uri = "https://shop.example/cb",
	.branch_id = "north",
	.workspace_email = "a@b.example",
	.workspace_name = "North",
};

static void assert_refused(struct rig *r, const struct client_input *in, const char *field)
{
	struct client c;
	struct fault f = {0};

	assert_int_equal(clients_register(r->tm, in, &cli, &c, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, field);
	assert_true(strlen(f.text) > 0);
	assert_null(strstr(f.text, "CANARY"));
	assert_int_equal(rig_number(r, "SELECT count(*) FROM clients"), 0);
}

static void a_client_comes_back_as_it_was_registered(void **state)
{
	struct rig *r = *state;
	struct client c;
	struct fault f = {0};
	char *secret;

	CHECK(clients_register(r->tm, &good, &cli, &c, &f), &f);
	assert_true(c.id > 0);
	assert_string_equal(c.client_oauth_id, "id");
	assert_string_equal(c.redirect_uri, "https://shop.example/cb");
	assert_string_equal(c.branch_id, "north");
	assert_string_equal(c.workspace_email, "a@b.example");
	assert_string_equal(c.workspace_name, "North");
	assert_string_equal(c.provider, "google");
	assert_string_equal(c.status, "pending");
	assert_true(c.is_active);
	assert_null(c.granted_scopes);
	assert_null(c.missing_scopes);
	assert_int_equal(c.created_at_ms, wall_now_ms);
	assert_int_equal(c.expires_at_ms, 0);
	secret = rig_unsealed(r, c.id, "client_secret");
	assert_string_equal(secret, "CANARY-secret");
	mem_free(secret);
	client_done(&c);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit WHERE action ="
				       " 'client.registered' AND actor = 'cli' AND remote ="
				       " '127.0.0.1' AND branch_id = 'north'"),
		1);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE detail LIKE '%CANARY%'"), 0);
}

static void a_second_client_for_a_branch_is_refused(void **state)
{
	struct rig *r = *state;
	struct client c;
	struct fault f = {0};

	CHECK(clients_register(r->tm, &good, &cli, &c, &f), &f);
	client_done(&c);
	assert_int_equal(clients_register(r->tm, &good, &cli, &c, &f), -1);
	assert_int_equal(f.kind, FAULT_CONFLICT);
	assert_string_equal(f.text, "Branch ID already exists");
	assert_string_equal(f.field, "branch_id");
}

static void one_app_serves_any_number_of_branches(void **state)
{
	struct rig *r = *state;
	struct client_input in = good;
	struct client c;
	struct fault f = {0};
	char branch[32], *secret;

	in.branch_id = branch;
	for (int i = 0; i < 20; i++) {
		snprintf(branch, sizeof(branch), "branch-%d", i);
		CHECK(clients_register(r->tm, &in, &cli, &c, &f), &f);
		secret = rig_unsealed(r, c.id, "client_secret");
		assert_string_equal(secret, "CANARY-secret");
		mem_free(secret);
		client_done(&c);
	}
	assert_int_equal(rig_number(r, "SELECT count(DISTINCT client_secret) FROM clients"), 20);
}

static void each_bad_field_is_named(void **state)
{
	static const char *const emails[] = {"", "a", "@b.example", "a@", "a@b", "a@@b.example",
		"a b@c.example", "a@b.example, c@d.example", "a@.example", "a@b..example", "a@b."};
	static const char *const branches[] = {"", "a\nb", "a\x7f", "a\xc2\x85", "a\xff"};
	static const char *const uris[] = {
		"", "http://shop.example/cb", "https://x/cb#f", "shop/cb"};
	struct rig *r = *state;
	struct client_input in = good;
	char big[600];

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(emails); i++) {
		in.workspace_email = emails[i];
		assert_refused(r, &in, "workspace_email");
	}
	in = good;
	for (size_t i = 0; i < ARRAY_LEN(branches); i++) {
		in.branch_id = branches[i];
		assert_refused(r, &in, "branch_id");
	}
	in.branch_id = big;
	assert_refused(r, &in, "branch_id");
	in = good;
	for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
		in.redirect_uri = uris[i];
		assert_refused(r, &in, "redirect_uri");
	}
	in = good;
	in.client_id = big;
	assert_refused(r, &in, "client_id");
	in.client_id = "";
	assert_refused(r, &in, "client_id");
	in = good;
	in.client_secret = big;
	assert_refused(r, &in, "client_secret");
	in = good;
	in.workspace_name = big;
	assert_refused(r, &in, "workspace_name");
	in.workspace_name = NULL;
	assert_refused(r, &in, "workspace_name");
}

static void a_refusal_shows_the_value_but_never_a_password(void **state)
{
	struct rig *r = *state;
	struct client_input in = good;
	struct client c;
	struct fault f = {0};

	in.workspace_email = "nobody";
	assert_int_equal(clients_register(r->tm, &in, &cli, &c, &f), -1);
	assert_non_null(strstr(f.text, "workspace_email is 'nobody'"));
	in = good;
	in.redirect_uri = "http://shop.example/cb";
	assert_int_equal(clients_register(r->tm, &in, &cli, &c, &f), -1);
	assert_non_null(strstr(f.text, "redirect_uri 'http://shop.example/cb' must be https"));
	in.redirect_uri = "https://me:CANARY@shop.example/cb";
	assert_refused(r, &in, "redirect_uri");
}

static void the_longest_values_are_taken(void **state)
{
	struct rig *r = *state;
	struct client_input in = good;
	struct client c;
	struct fault f = {0};
	char id[LIMIT_CLIENT_ID_BYTES + 1], secret[LIMIT_CLIENT_SECRET_BYTES + 1];
	char branch[LIMIT_BRANCH_ID_BYTES + 1];

	memset(id, 'i', sizeof(id) - 1);
	memset(secret, 's', sizeof(secret) - 1);
	memset(branch, 'b', sizeof(branch) - 1);
	id[sizeof(id) - 1] = secret[sizeof(secret) - 1] = branch[sizeof(branch) - 1] = '\0';
	in.client_id = id;
	in.client_secret = secret;
	in.branch_id = branch;
	CHECK(clients_register(r->tm, &in, &cli, &c, &f), &f);
	assert_string_equal(c.branch_id, branch);
	client_done(&c);
	in.branch_id = "Zürich/Bahnhofstraße \xf0\x9f\x8d\x95";
	CHECK(clients_register(r->tm, &in, &cli, &c, &f), &f);
	assert_string_equal(c.branch_id, in.branch_id);
	client_done(&c);
}

static void without_an_app_of_its_own_a_branch_uses_the_default_one(void **state)
{
	struct rig *r = *state;
	struct client_input in = good;
	struct client c;
	struct fault f = {0};

	in.client_id = in.client_secret = NULL;
	assert_refused(r, &in, "client_id");
	r->settings.google_client_id = "default-app";
	r->settings.google_client_secret = secret_from("CANARY-default", 14);
	in.client_id = "only this";
	assert_refused(r, &in, "client_secret");
	in.client_id = NULL;
	in.redirect_uri = NULL;
	CHECK(clients_register(r->tm, &in, &cli, &c, &f), &f);
	assert_string_equal(c.client_oauth_id, "default-app");
	assert_string_equal(c.redirect_uri, "http://localhost:8084/token-management/auth/callback");
	assert_int_equal(rig_number(r, "SELECT client_secret IS NULL FROM clients"), 1);
	client_done(&c);
}

static void no_secret_is_readable_in_the_database_file(void **state)
{
	struct rig *r = *state;
	char path[160], *bytes;
	static const char *const suffixes[] = {"", "-wal"};
	size_t len;
	FILE *file;

	rig_connected(r, "b", "CANARY-access", "CANARY-refresh", HOUR, HOUR);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		snprintf(path, sizeof(path), "%s%s", r->database, suffixes[i]);
		file = fopen(path, "rb");
		if (file == NULL)
			continue;
		bytes = mem_alloc(1 << 22);
		len = fread(bytes, 1, 1 << 22, file);
		fclose(file);
		assert_true(len > 0);
		assert_null(memmem(bytes, len, "CANARY", 6));
		assert_null(memmem(bytes, len, "secret-b", 8));
		mem_free(bytes);
	}
}

static void a_sealed_value_moved_to_another_branch_does_not_open(void **state)
{
	struct rig *r = *state;
	int64_t victim = rig_connected(r, "victim", "token-v", "refresh-v", HOUR, HOUR);
	int64_t thief = rig_connected(r, "thief", "token-t", "refresh-t", HOUR, HOUR);
	struct call c = {0};
	char *text;

	(void)victim;
	rig_run(r, "UPDATE tokens SET access_token = (SELECT access_token FROM tokens"
		   " WHERE client_id = 1) WHERE client_id = 2");
	text = rig_unsealed(r, thief, "access_token");
	assert_string_not_equal(text, "token-v");
	mem_free(text);
	/* Nor is the damage served: a refresh brings a token of its own. */
	call_obtain(r->tm, &c, "thief", 0, false);
	provider_answers(provider_wait(), 200, "{\"access_token\":\"own\",\"expires_in\":3600}");
	calls_wait(1);
	assert_string_equal(c.access, "own");
	assert_int_equal(log_count("grant.unreadable"), 1);
}

/* ---- lists ---- */

struct seen {
	char branches[256];
	int64_t last_id;
};

static int see(void *arg, const struct client *c, struct fault *f)
{
	struct seen *s = arg;
	size_t len = strlen(s->branches);

	(void)f;
	snprintf(s->branches + len, sizeof(s->branches) - len, "%s ", c->branch_id);
	s->last_id = c->id;
	return 0;
}

static void assert_listed(struct rig *r, const struct client_filter *filter, const char *wanted)
{
	struct seen seen = {0};
	struct fault f = {0};

	CHECK(clients_list(r->tm, filter, see, &seen, &f), &f);
	assert_string_equal(seen.branches, wanted);
}

static void lists_are_filtered_and_paged(void **state)
{
	static const char *const some[] = {"d", "b", "nobody"};
	struct rig *r = *state;
	struct client_filter all = {.limit = 50}, filter = all;

	rig_register(r, "a");
	rig_connected(r, "b", "x", "y", HOUR, HOUR);
	rig_connected(r, "c", "x", "y", HOUR, HOUR);
	rig_register(r, "d");
	rig_run(r, "UPDATE clients SET is_active = 0 WHERE branch_id = 'c'");
	rig_run(r, "UPDATE clients SET workspace_name = '100% Pizza_' WHERE branch_id = 'a'");
	assert_listed(r, &all, "a b c d ");
	filter.limit = 2;
	assert_listed(r, &filter, "a b ");
	filter.after_id = 2;
	assert_listed(r, &filter, "c d ");
	filter = all;
	filter.status = "pending";
	assert_listed(r, &filter, "a d ");
	filter.status = "inactive";
	assert_listed(r, &filter, "c ");
	filter.status = "connected";
	assert_listed(r, &filter, "b ");
	filter = all;
	filter.q = "0% PIZZA_";
	assert_listed(r, &filter, "a ");
	filter.q = "%";
	assert_listed(r, &filter, "a ");
	filter.q = "example.COM";
	assert_listed(r, &filter, "a b c d ");
	filter = all;
	filter.branches = some;
	filter.n_branches = ARRAY_LEN(some);
	assert_listed(r, &filter, "b d ");
	filter.limit = 1;
	assert_listed(r, &filter, "b ");
	filter.after_id = 2;
	assert_listed(r, &filter, "d ");
	filter.n_branches = 0;
	assert_listed(r, &filter, "");
}

static void parts_of_names_are_found_wherever_they_stand(void **state)
{
	static const char *const odd[] = {"\"", "a\"b", "\"open", "NEAR(a b)", "a AND b", "a OR",
		"x:y", "{a}", "***", "' OR 1=1 --", "\\\\\\", "%%%", "___",
		"\xf0\x9f\x91\x8d\xf0\x9f\x91\x8d"};
	struct rig *r = *state;
	struct client_filter filter = {.limit = 50};

	rig_register(r, "north-harbour");
	rig_register(r, "south-harbour");
	rig_register(r, "pier");
	rig_run(r, "UPDATE clients SET workspace_name = 'Caf\xc3\xa9 \"Zur Br\xc3\xbc"
		   "cke\" 100%'"
		   " WHERE branch_id = 'pier'");
	rig_run(r, "UPDATE clients SET workspace_email = 'ann@quay.test'"
		   " WHERE branch_id = 'south-harbour'");
	filter.q = "arb";
	assert_listed(r, &filter, "north-harbour south-harbour ");
	filter.descending = true;
	assert_listed(r, &filter, "south-harbour north-harbour ");
	for (enum client_sort sort = CLIENTS_BY_ID; sort <= CLIENTS_BY_NAME; sort++) {
		filter = (struct client_filter){.q = "HARBOUR", .limit = 50, .sort = sort};
		struct seen seen = {0};
		struct fault f = {0};
		CHECK(clients_list(r->tm, &filter, see, &seen, &f), &f);
		assert_int_equal(strlen(seen.branches), strlen("north-harbour south-harbour "));
	}
	filter = (struct client_filter){.q = "north-harbour", .limit = 50};
	assert_listed(r, &filter, "north-harbour ");
	filter.q = "\"Zur Br\xc3\xbc"
		   "cke\" 1";
	assert_listed(r, &filter, "pier ");
	filter.q = "f\xc3\xa9 ";
	assert_listed(r, &filter, "pier ");
	filter.q = "@q";
	assert_listed(r, &filter, "south-harbour ");
	filter.q = "Z";
	assert_listed(r, &filter, "pier ");
	filter.q = "xq";
	assert_listed(r, &filter, "");
	filter.q = "N@QU";
	assert_listed(r, &filter, "south-harbour ");
	filter.status = "connected";
	assert_listed(r, &filter, "");
	filter = (struct client_filter){.q = "arb", .limit = 50, .after_id = 1};
	assert_listed(r, &filter, "south-harbour ");
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		filter = (struct client_filter){.q = odd[i], .limit = 50};
		assert_listed(r, &filter, i == 0 ? "pier " : "");
	}
	/* What changes or goes takes its names along. */
	rig_run(r, "UPDATE clients SET workspace_name = 'Lighthouse' WHERE branch_id = 'pier'");
	filter.q = "thouse";
	assert_listed(r, &filter, "pier ");
	filter.q = "Zur";
	assert_listed(r, &filter, "");
	rig_run(r, "DELETE FROM clients WHERE branch_id = 'pier'");
	filter.q = "thouse";
	assert_listed(r, &filter, "");
}

/* Who is taken out of the index is not found: no row is read that it does not name. */
static void the_index_of_names_and_no_reading_of_all_finds_a_connection(void **state)
{
	struct rig *r = *state;
	const struct client_filter filter = {.q = "harbour", .limit = 50};

	if (database_server() != NULL)
		skip(); /* there the engine chooses */
	rig_register(r, "north-harbour");
	rig_register(r, "south-harbour");
	assert_listed(r, &filter, "north-harbour south-harbour ");
	rig_run(r, "INSERT INTO client_names (client_names, rowid, branch_id, workspace_email,"
		   " workspace_name) SELECT 'delete', id, branch_id, workspace_email,"
		   " workspace_name FROM clients WHERE branch_id = 'north-harbour'");
	assert_listed(r, &filter, "south-harbour ");
}

static void what_is_missing_is_said_to_be(void **state)
{
	struct rig *r = *state;
	struct client c;
	struct fault f = {0};

	assert_int_equal(clients_get(r->tm, 7, &c, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	assert_int_equal(clients_get_by_branch(r->tm, "nobody", &c, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	assert_int_equal(clients_delete(r->tm, 7, &cli, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	rig_register(r, "b");
	CHECK(clients_get_by_branch(r->tm, "b", &c, &f), &f);
	assert_string_equal(c.branch_id, "b");
	client_done(&c);
}

static void a_connection_due_for_refresh_shows_as_expiring(void **state)
{
	struct rig *r = *state;
	struct client c;
	struct fault f = {0};
	int64_t id = rig_connected(r, "b", "x", "y", HOUR, HOUR);

	rig_run(r, "UPDATE tokens SET next_refresh_at_ms = expires_at_ms - 300000");
	CHECK(clients_get(r->tm, id, &c, &f), &f);
	assert_string_equal(c.status, "connected");
	assert_string_equal(c.granted_scopes, "a b");
	assert_string_equal(c.missing_scopes, "");
	client_done(&c);
	time_passes(HOUR - 300000);
	CHECK(clients_get(r->tm, id, &c, &f), &f);
	assert_string_equal(c.status, "expiring");
	client_done(&c);
}

/* ---- moves of state ---- */

static int move_to(struct db *db, void *arg, struct fault *f)
{
	struct state_change move = {.client_row = 1, .to = *(enum connection_state *)arg};

	return state_move(db, &move, f);
}

static void an_illegal_move_is_a_bug_and_changes_nothing(void **state)
{
	struct rig *r = *state;
	enum connection_state to = STATE_DEGRADED;
	struct fault f = {0};
	char *status;

	rig_register(r, "b");
	assert_int_equal(store_transact(r->store, move_to, &to, &f), -1);
	assert_int_equal(f.kind, FAULT_BUG);
	status = rig_text(r, "SELECT status FROM clients");
	assert_string_equal(status, "pending");
	mem_free(status);
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action LIKE 'connection.%'"), 0);
}

static void a_deleted_client_leaves_its_audit_behind(void **state)
{
	struct rig *r = *state;
	struct fault f = {0};
	int64_t id = rig_register(r, "b");

	CHECK(clients_delete(r->tm, id, &cli, &f), &f);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM clients"), 0);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM audit WHERE branch_id = 'b'"), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_client_comes_back_as_it_was_registered),
		TEST(a_second_client_for_a_branch_is_refused),
		TEST(one_app_serves_any_number_of_branches),
		TEST(each_bad_field_is_named),
		TEST(a_refusal_shows_the_value_but_never_a_password),
		TEST(the_longest_values_are_taken),
		TEST(without_an_app_of_its_own_a_branch_uses_the_default_one),
		TEST(no_secret_is_readable_in_the_database_file),
		TEST(a_sealed_value_moved_to_another_branch_does_not_open),
		TEST(lists_are_filtered_and_paged),
		TEST(parts_of_names_are_found_wherever_they_stand),
		TEST(the_index_of_names_and_no_reading_of_all_finds_a_connection),
		TEST(what_is_missing_is_said_to_be),
		TEST(a_connection_due_for_refresh_shows_as_expiring),
		TEST(an_illegal_move_is_a_bug_and_changes_nothing),
		TEST(a_deleted_client_leaves_its_audit_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
