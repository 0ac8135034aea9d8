/* SPDX-License-Identifier: Apache-2.0 */
/* Providers beside Google: the file, its refusals, discovery, and that one's outage is its own. */
#include "rig.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/metrics.h"

#define ISSUER "https://id.example"
#define PLAIN                                                                   \
	"\"name\":\"plain\",\"authorization_url\":\"https://plain.example/a\"," \
	"\"token_url\":\"https://plain.example/t\""
#define METADATA(issuer, more)                                                            \
	"{\"issuer\":\"" issuer "\",\"authorization_endpoint\":\"https://id.example/a\"," \
	"\"token_endpoint\":\"https://id.example/t\"" more "}"

static const char *write_file(struct rig *r, const char *text)
{
	static char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/providers.json", r->folder);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	return path;
}

/* ---- the file ---- */

static int start_with(
	struct rig *r, const char *text, struct token_management **ret, struct fault *f)
{
	struct token_management_parts parts = {.settings = &r->settings,
		.store = r->store,
		.vault = r->vault,
		.net = (struct net *)1,
		.pool = r->pool};

	r->settings.providers_file = write_file(r, text);
	return token_management_new(&parts, ret, f);
}

static void assert_refused(struct rig *r, const char *text, const char *words)
{
	struct token_management *tm;
	struct fault f = {0};

	assert_int_equal(start_with(r, text, &tm, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, "PROVIDERS_FILE");
	if (strstr(f.text, words) == NULL)
		fail_msg("%s\nlacks: %s", f.text, words);
}

static void assert_record_refused(struct rig *r, const char *record, const char *words)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(65536);

	buf_addf(&text, "{\"providers\":[{%s}]}", record);
	assert_refused(r, buf_text(&text), words);
}

static void a_record_that_is_not_sound_stops_the_start_with_place_value_and_cure(void **state)
{
	static const char *const cases[][2] = {
		{"\"title\":\"x\"", "providers[0].name is missing"},
		{"\"name\":\"Big\"", "providers[0].name is 'Big': it must be small letters"},
		{PLAIN ",\"tokn_url\":\"x\"",
			"'tokn_url' that is not known: is 'token_url' meant?"},
		{PLAIN ",\"sends_iss\":1", "providers[0].sends_iss must be true or false"},
		{PLAIN ",\"sends_iss\":true",
			"providers[0].sends_iss is true, but there is no issuer"},
		{PLAIN ",\"client_auth\":\"basic\"",
			"providers[0].client_auth is 'basic': it must be client_secret_basic,"},
		{PLAIN ",\"assumed_lifetime_sec\":1",
			"providers[0].assumed_lifetime_sec is 1: it must be 60 to"},
		{PLAIN ",\"assumed_lifetime_sec\":\"x\"", "providers[0].assumed_lifetime_sec must "
							  "be a whole number of seconds from 60"},
		{PLAIN ",\"assumed_lifetime_sec\":999999", "is above max_lifetime_sec"},
		{PLAIN ",\"scopes\":[\"a b\"]",
			"providers[0].scopes has as entry 0 what is no scope"},
		{PLAIN ",\"scopes\":[\"a\"],\"required_scopes\":[\"b\"]",
			"providers[0].required_scopes has what scopes lacks: b"},
		{PLAIN ",\"authorization_params\":{\"redirect_uri\":\"x\"}",
			"providers[0].authorization_params extra parameters may not set "
			"'redirect_uri'"},
		{PLAIN ",\"token_params\":{\"grant_type\":\"x\"}",
			"providers[0].token_params extra parameters may not set 'grant_type'"},
		{PLAIN ",\"revocation_url\":\"http://plain.example/r\"",
			"providers[0].revocation_url must be https (http only for localhost"},
		{"\"name\":\"a\",\"authorization_url\":\"https://a.example/a?state=x\","
		 "\"token_url\":\"https://a.example/t\"",
			"authorization URL may not set 'state'"},
		{"\"name\":\"a\"", "neither an issuer to discover nor both"},
		{"\"name\":\"a\",\"issuer\":\"" ISSUER "\",\"discovery\":\"off\"",
			"providers[0].authorization_url is missing, and discovery is off"},
		{"\"name\":\"a\",\"issuer\":\"http://id.example\"",
			"providers[0].issuer must be https"},
		{PLAIN ",\"private_key_file\":\"none.pem\"", "none.pem' cannot be opened"},
		{PLAIN ",\"key_id\":\"k\"", "providers[0].client_auth is client_secret_basic, but"},
		{PLAIN ",\"pkce\":\"plain\"",
			"providers[0].pkce is 'plain': it must be S256 or none"},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_record_refused(r, cases[i][0], cases[i][1]);
	assert_refused(r, "{", "is not JSON");
	assert_refused(r, "[]", "must hold {\"providers\"");
	assert_refused(
		r, "{\"provider\":[]}", "'provider' that is not known: is 'providers' meant?");
	assert_refused(r, "{\"providers\":[7]}", "providers[0] must be an object");
}

static void two_records_may_not_share_a_name_or_an_issuer(void **state)
{
	struct rig *r = *state;

	assert_refused(
		r, "{\"providers\":[{" PLAIN "},{" PLAIN "}]}", "providers[1].name is 'plain'");
	assert_refused(r,
		"{\"providers\":[{\"name\":\"a\",\"issuer\":\"" ISSUER "\"},"
		"{\"name\":\"b\",\"issuer\":\"" ISSUER "\"}]}",
		"providers[1].issuer is that of provider 'a'");
	assert_record_refused(r, "\"name\":\"g\",\"issuer\":\"https://accounts.google.com\"",
		"that of provider 'google'");
	assert_record_refused(r,
		"\"name\":\"google\",\"authorization_url\":\"https://x.example/a\","
		"\"token_url\":\"https://x.example/t\"",
		"the built-in provider");
}

/* ---- discovery ---- */

static struct token_management *start_discovering(struct rig *r)
{
	struct token_management *tm;
	struct fault f = {0};

	CHECK(start_with(
		      r, "{\"providers\":[{\"name\":\"id\",\"issuer\":\"" ISSUER "\"}]}", &tm, &f),
		&f);
	return tm;
}

static void metadata_of_another_issuer_is_not_believed(void **state)
{
	static const char *const bad[] = {METADATA("https://id.example/", ""),
		METADATA("https://ID.example", ""), METADATA("https://evil.example", ""), "[]",
		"<html>",
		"{\"issuer\":\"" ISSUER "\",\"authorization_endpoint\":\"https://id.example/a\"}",
		METADATA(ISSUER, ",\"revocation_endpoint\":\"http://id.example/r\"")};
	struct rig *r = *state;
	struct token_management *tm = start_discovering(r);
	const struct provider *p;
	struct fault f = {0};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct ask *a = provider_wait();

		assert_string_equal(a->url, ISSUER "/.well-known/openid-configuration");
		provider_answers(a, 200, bad[i]);
		timer_wait_and_fire();
		assert_null(providers_ready(tm, "id", &f));
		assert_int_equal(f.kind, FAULT_UPSTREAM);
		assert_null(provider_find(tm, "id")->token_url);
	}
	assert_int_equal(log_count("provider.not_discovered"), ARRAY_LEN(bad));
	provider_answers(provider_wait(), 200,
		METADATA(ISSUER, ",\"authorization_response_iss_parameter_supported\":true"));
	rig_wait_idle(tm);
	p = providers_ready(tm, "id", &f);
	assert_non_null(p);
	assert_string_equal(p->token_url, "https://id.example/t");
	assert_true(p->sends_iss);
	rig_second_down(tm);
}

static void metadata_is_read_again_when_the_provider_does_not_answer(void **state)
{
	struct rig *r = *state;
	struct token_management *tm = start_discovering(r);
	const struct provider *before;
	struct fault f = {0};

	provider_answers(provider_wait(), 200, METADATA(ISSUER, ""));
	rig_wait_idle(tm);
	before = providers_ready(tm, "id", &f);
	providers_doubt(tm, "id"); /* it is of this minute */
	assert_int_equal(provider_count(), 1);
	time_passes(61000);
	providers_doubt(tm, "id");
	provider_answers(provider_wait(), 200,
		METADATA(ISSUER, ",\"revocation_endpoint\":\"https://id.example/r\""));
	rig_wait_idle(tm);
	assert_string_equal(providers_ready(tm, "id", &f)->revoke_url, "https://id.example/r");
	assert_null(before->revoke_url); /* whoever began with it goes on with it */
	rig_second_down(tm);
}

/* ---- one's outage ---- */

static unsigned n_works(struct token_management *tm)
{
	unsigned n = 0;

	pthread_mutex_lock(&tm->work.lock);
	for (const struct work *w = tm->work.first; w != NULL; w = w->next)
		n++;
	pthread_mutex_unlock(&tm->work.lock);
	return n;
}

static int64_t value_of(const char *name)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 20);
	const char *at;

	metrics_write(&text);
	at = strstr(buf_text(&text), name);
	return at != NULL ? strtoll(at + strlen(name), NULL, 10) : -1;
}

static void the_outage_of_one_provider_slows_no_other(void **state)
{
	struct rig *r = *state;
	struct token_management *tm;
	char branch[32];
	unsigned answered = 0, granted = 0;
	int64_t began;
	struct fault f = {0};

	for (int i = 0; i < 40; i++) {
		snprintf(branch, sizeof(branch), "plain-%d", i);
		rig_connected(r, branch, "old", "refresh", 1000, 3600000);
	}
	rig_run(r, "UPDATE clients SET provider = 'plain'");
	rig_run(r, "UPDATE tokens SET provider = 'plain', next_refresh_at_ms = 1");
	for (int i = 0; i < 8; i++) {
		snprintf(branch, sizeof(branch), "google-%d", i);
		rig_connected(r, branch, "old", "refresh", 1000, 3600000);
	}
	rig_run(r, "UPDATE tokens SET next_refresh_at_ms = 2 WHERE provider = 'google'");
	r->settings.token_refresh_concurrency = 4;
	CHECK(start_with(r, "{\"providers\":[{" PLAIN "}]}", &tm, &f), &f);
	began = mono_now_ms;
	token_management_refresh_due(tm);
	while (granted < 8) {
		unsigned waiting = provider_count() - answered;

		if (n_works(tm) != waiting) {
			sched_yield();
		} else if (waiting == 0) {
			timer_wait_and_fire();
		} else {
			struct ask *a = provider_wait();
			bool is_plain = strstr(a->url, "plain.example") != NULL;

			answered++;
			granted += !is_plain;
			provider_answers(a, is_plain ? 503 : 200,
				is_plain ? "away"
					 : "{\"access_token\":\"new\",\"expires_in\":3600,"
					   "\"token_type\":\"Bearer\"}");
		}
	}
	assert_true(mono_now_ms - began < 2000);
	rig_second_down(tm);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tokens t JOIN clients c ON c.id ="
				       " t.client_id WHERE c.provider = 'google' AND c.status ="
				       " 'connected' AND t.last_refreshed_at_ms > 1"),
		8);
	assert_int_equal(
		value_of("review_fetcher_background_provider_failing{provider=\"google\"}"), 0);
	assert_true(value_of("review_fetcher_token_refreshes_total{outcome=\"provider_down\","
			     "provider=\"plain\"}") > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_record_that_is_not_sound_stops_the_start_with_place_value_and_cure),
		TEST(two_records_may_not_share_a_name_or_an_issuer),
		TEST(metadata_of_another_issuer_is_not_believed),
		TEST(metadata_is_read_again_when_the_provider_does_not_answer),
		TEST(the_outage_of_one_provider_slows_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
