/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"

#define HOUR 3600000
#define DAY (24 * HOUR)
#define MANAGE "https://www.googleapis.com/auth/business.manage"
#define ANSWER(access, refresh, scope)                                                       \
	"{\"access_token\":\"" access "\"," refresh "\"expires_in\":3599,\"scope\":\"" scope \
	"\",\"token_type\":\"Bearer\"}"
#define FULL_SCOPE "openid https://www.googleapis.com/auth/userinfo.email " MANAGE
#define GRANTED ANSWER("new", "\"refresh_token\":\"first\",", FULL_SCOPE)

static const struct actor cli = {.name = "cli"};

static void assert_text(char *owned, const char *wanted)
{
	assert_string_equal(owned, wanted);
	mem_free(owned);
}

/* ---- the end of a flow, noted down ---- */

struct end {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned n;
	enum connect_outcome outcome;
	int64_t client_row, expires_at_ms;
	char branch[64], app[64], error[64], text[240];
};
#define END_INIT                                                                       \
	{                                                                              \
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
	}

static void on_end(void *arg, const struct connect_result *result)
{
	struct end *e = arg;

	pthread_mutex_lock(&e->lock);
	e->n++;
	e->outcome = result->outcome;
	e->client_row = result->client_row;
	e->expires_at_ms = result->expires_at_ms;
	snprintf(e->branch, sizeof(e->branch), "%s",
		result->branch_id != NULL ? result->branch_id : "");
	snprintf(e->app, sizeof(e->app), "%s",
		result->client_oauth_id != NULL ? result->client_oauth_id : "");
	snprintf(e->error, sizeof(e->error), "%s",
		result->provider_error != NULL ? result->provider_error : "");
	snprintf(e->text, sizeof(e->text), "%s", result->fault != NULL ? result->fault->text : "");
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

static void end_wait(struct end *e, unsigned n)
{
	pthread_mutex_lock(&e->lock);
	while (e->n < n)
		pthread_cond_wait(&e->changed, &e->lock);
	pthread_mutex_unlock(&e->lock);
}

/* ---- a flow ---- */

struct flow {
	char state[64], cookie[64], challenge[64];
};

/* A decoded parameter of a URL; fails when it is not there exactly once. */
static void url_param(const char *url, const char *name, char *to, size_t size)
{
	size_t name_len = strlen(name), len, n = 0;

	for (const char *at = strchr(url, '?'); at != NULL; at = strchr(at, '&')) {
		at++;
		if (strncmp(at, name, name_len) != 0 || at[name_len] != '=')
			continue;
		len = strcspn(at, "&") - name_len - 1;
		assert_true(len < size);
		assert_int_equal(text_percent_decode(at + name_len + 1, len, false, to, &len), 0);
		to[len] = '\0';
		n++;
	}
	if (n != 1)
		fail_msg("%s is there %zu times in %s", name, n, url);
}

static void begin(struct rig *r, int64_t client, const char *browser, struct flow *ret)
{
	struct connect_start start;
	struct fault f = {0};

	CHECK(connect_begin(r->tm, client, NULL, browser, &cli, &start, &f), &f);
	url_param(buf_text(&start.location), "state", ret->state, sizeof(ret->state));
	url_param(buf_text(&start.location), "code_challenge", ret->challenge,
		sizeof(ret->challenge));
	snprintf(ret->cookie, sizeof(ret->cookie), "%s", start.cookie);
	connect_start_done(&start);
}

static void call_back(struct rig *r, const struct flow *flow, const char *code, struct end *e)
{
	struct connect_reply reply = {.state = flow->state, .browser = flow->cookie, .code = code};

	connect_finish(r->tm, &reply, on_end, e);
}

static void connect(struct rig *r, int64_t client, const char *answer, struct end *e)
{
	struct flow flow;
	unsigned n = e->n;

	begin(r, client, NULL, &flow);
	call_back(r, &flow, "code", e);
	provider_answers(provider_wait(), 200, answer);
	end_wait(e, n + 1);
}

/* ---- the way to the provider ---- */

static void the_authorization_url_has_each_parameter_once(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct connect_start start;
	struct fault f = {0};
	char value[256];
	const char *url;

	CHECK(connect_begin(r->tm, client, NULL, NULL, &cli, &start, &f), &f);
	url = buf_text(&start.location);
	assert_true(text_starts(url, "https://accounts.test/auth?hl=en&"));
	url_param(url, "hl", value, sizeof(value));
	assert_string_equal(value, "en");
	url_param(url, "response_type", value, sizeof(value));
	assert_string_equal(value, "code");
	url_param(url, "client_id", value, sizeof(value));
	assert_string_equal(value, "app-b");
	url_param(url, "redirect_uri", value, sizeof(value));
	assert_string_equal(value, "https://shop.example/callback");
	url_param(url, "scope", value, sizeof(value));
	assert_string_equal(value, "openid email " MANAGE);
	url_param(url, "code_challenge_method", value, sizeof(value));
	assert_string_equal(value, "S256");
	url_param(url, "access_type", value, sizeof(value));
	assert_string_equal(value, "offline");
	url_param(url, "prompt", value, sizeof(value));
	assert_string_equal(value, "consent");
	url_param(url, "login_hint", value, sizeof(value));
	assert_string_equal(value, "owner@example.com");
	assert_null(strstr(url, "include_granted_scopes"));
	assert_null(strstr(url, "secret-b"));
	connect_start_done(&start);
}

static void no_two_flows_share_a_state_or_a_verifier(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct flow one, two;

	begin(r, client, NULL, &one);
	begin(r, client, NULL, &two);
	assert_string_not_equal(one.state, two.state);
	assert_string_not_equal(one.challenge, two.challenge);
	assert_string_not_equal(one.cookie, two.cookie);
	assert_int_equal(strlen(one.state), 43); /* 256 bits */
	assert_int_equal(strlen(one.challenge), 43);
	begin(r, client, one.cookie, &two);
	assert_string_equal(one.cookie, two.cookie); /* a browser keeps its own */
	begin(r, client, "made up by somebody", &two);
	assert_string_not_equal(two.cookie, "made up by somebody");
}

static void neither_state_nor_cookie_nor_verifier_is_stored_readable(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct flow flow;
	char sql[256];

	begin(r, client, NULL, &flow);
	snprintf(sql, sizeof(sql),
		"SELECT count(*) FROM connect_flows WHERE instr(state_hash, '%s') > 0 OR"
		" instr(browser_hash, '%s') > 0",
		flow.state, flow.cookie);
	assert_int_equal(rig_number(r, sql), 0);
	assert_true(rig_number(r, "SELECT length(code_verifier) FROM connect_flows") > 64);
}

static void an_unknown_or_inactive_client_starts_no_flow(void **state)
{
	struct rig *r = *state;
	struct connect_start start;
	struct fault f = {0};
	int64_t client = rig_register(r, "b");

	assert_int_equal(connect_begin(r->tm, 999, NULL, NULL, &cli, &start, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	assert_string_equal(f.text, "Client not found or inactive");
	rig_run(r, "UPDATE clients SET is_active = 0");
	assert_int_equal(connect_begin(r->tm, client, NULL, NULL, &cli, &start, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
}

/* ---- the way back ---- */

static void a_code_becomes_a_sealed_connection_and_a_token_in_memory(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;
	struct ask *a;
	struct call c = {0};
	AUTO(buf_drop) struct buf challenge = BUF_INIT(64);
	char *verifier;

	begin(r, client, NULL, &flow);
	call_back(r, &flow, "the/code+1", &e);
	a = provider_wait();
	assert_string_equal(a->url, "https://oauth2.test/token");
	assert_text(ask_field(a, "grant_type"), "authorization_code");
	assert_text(ask_field(a, "code"), "the/code+1");
	assert_text(ask_field(a, "redirect_uri"), "https://shop.example/callback");
	assert_text(ask_field(a, "client_id"), "app-b");
	assert_text(ask_field(a, "client_secret"), "secret-b");
	verifier = ask_field(a, "code_verifier");
	assert_in_range(strlen(verifier), 43, 128);
	provider_challenge(verifier, &challenge);
	assert_string_equal(buf_text(&challenge), flow.challenge);
	mem_free(verifier);
	provider_answers(a, 200, GRANTED);
	end_wait(&e, 1);
	assert_int_equal(e.outcome, CONNECT_DONE);
	assert_string_equal(e.branch, "b");
	assert_string_equal(e.app, "app-b");
	assert_int_equal(e.expires_at_ms, wall_now_ms + 3599000);
	assert_true(call_read(r->tm, &c, "b", 0));
	assert_string_equal(c.access, "new");
	assert_text(rig_unsealed(r, client, "refresh_token"), "first");
	assert_text(rig_unsealed(r, client, "access_token"), "new");
	assert_text(rig_text(r, "SELECT status FROM clients"), "connected");
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'connection.connected'"),
		1);
}

static void a_state_is_good_for_one_request_only(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end first = END_INIT, second = END_INIT;
	struct flow flow;

	begin(r, client, NULL, &flow);
	call_back(r, &flow, "code", &first);
	call_back(r, &flow, "code", &second); /* while the first one is on its way */
	assert_int_equal(second.outcome, CONNECT_REPLAYED);
	assert_int_equal(second.client_row, 0);
	provider_answers(provider_wait(), 500, "");
	end_wait(&first, 1);
	assert_int_equal(first.outcome, CONNECT_UNAVAILABLE);
	call_back(r, &flow, "code", &second); /* nor after it failed */
	assert_int_equal(second.outcome, CONNECT_REPLAYED);
	assert_int_equal(provider_count(), 1);
}

struct racer {
	struct task task;
	struct rig *rig;
	const struct flow *flow;
	struct end *end;
};

static void race(struct task *t)
{
	struct racer *x = CONTAINER_OF(t, struct racer, task);

	call_back(x->rig, x->flow, "code", x->end);
}

static void many_callbacks_at_once_make_one_exchange(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct racer racers[12];
	struct flow flow;

	begin(r, client, NULL, &flow);
	for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
		racers[i] = (struct racer){.task.run = race, .rig = r, .flow = &flow, .end = &e};
		pool_submit(r->pool, &racers[i].task);
	}
	provider_answers(provider_wait(), 200, GRANTED);
	end_wait(&e, ARRAY_LEN(racers));
	rig_wait_idle(r->tm);
	assert_int_equal(provider_count(), 1);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tokens"), 1);
}

static void a_wrong_state_or_browser_asks_nobody(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow, other;
	struct connect_reply reply = {.code = "code"};

	begin(r, client, NULL, &flow);
	begin(r, client, NULL, &other);
	reply.browser = flow.cookie;
	connect_finish(r->tm, &reply, on_end, &e); /* no state */
	assert_int_equal(e.outcome, CONNECT_BAD_STATE);
	reply.state = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"; /* unknown */
	connect_finish(r->tm, &reply, on_end, &e);
	assert_int_equal(e.outcome, CONNECT_BAD_STATE);
	reply.state = flow.state;
	reply.browser = NULL; /* no cookie */
	connect_finish(r->tm, &reply, on_end, &e);
	assert_int_equal(e.outcome, CONNECT_OTHER_BROWSER);
	reply.browser = other.cookie; /* another browser */
	connect_finish(r->tm, &reply, on_end, &e);
	assert_int_equal(e.outcome, CONNECT_OTHER_BROWSER);
	assert_int_equal(provider_count(), 0);
	assert_int_equal(e.n, 4);
	call_back(r, &flow, "code", &e); /* its own browser is not kept out by all that */
	provider_answers(provider_wait(), 200, GRANTED);
	end_wait(&e, 5);
	assert_int_equal(e.outcome, CONNECT_DONE);
}

static void a_flow_ends_after_ten_minutes(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;

	begin(r, client, NULL, &flow);
	time_passes(CONNECT_FLOW_MS);
	call_back(r, &flow, "code", &e);
	assert_int_equal(e.outcome, CONNECT_EXPIRED);
	time_passes(2 * HOUR);
	begin(r, client, NULL, &flow); /* sweeps */
	assert_int_equal(rig_number(r, "SELECT count(*) FROM connect_flows"), 1);
}

static void an_answer_of_another_issuer_spends_no_code(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;
	struct connect_reply reply = {.code = "code", .iss = "https://evil.example"};

	begin(r, client, NULL, &flow);
	reply.state = flow.state;
	reply.browser = flow.cookie;
	connect_finish(r->tm, &reply, on_end, &e);
	assert_int_equal(e.outcome, CONNECT_FAILED);
	assert_true(strlen(e.text) > 0);
	reply.code = NULL;
	reply.error = "access_denied"; /* nor is its error believed */
	begin(r, client, NULL, &flow);
	reply.state = flow.state;
	reply.browser = flow.cookie;
	connect_finish(r->tm, &reply, on_end, &e);
	assert_int_equal(e.outcome, CONNECT_FAILED);
	assert_string_equal(e.error, "");
	assert_int_equal(provider_count(), 0);
}

/* A callback with a code and this issuer (NULL: none), to a flow of its own. */
static void answer_from(struct rig *r, int64_t client, const char *iss, struct end *e)
{
	struct connect_reply reply = {.code = "code", .iss = iss};
	struct flow flow;

	begin(r, client, NULL, &flow);
	reply.state = flow.state;
	reply.browser = flow.cookie;
	connect_finish(r->tm, &reply, on_end, e);
}

static void an_issuer_is_compared_byte_by_byte(void **state)
{
	static const char *const near[] = {"https://accounts.google.com/",
		"HTTPS://accounts.google.com", "https://accounts.google.com:443",
		"https://accounts.google.co", "accounts.google.com", ""};
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;

	for (size_t i = 0; i < ARRAY_LEN(near); i++) {
		answer_from(r, client, near[i], &e);
		assert_int_equal(e.outcome, CONNECT_FAILED);
	}
	assert_int_equal(e.n, ARRAY_LEN(near));
	assert_int_equal(provider_count(), 0);
}

static void a_provider_that_sends_its_issuer_must_send_it(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;

	r->tm->providers.entries[0].own->p.sends_iss = true;
	answer_from(r, client, NULL, &e);
	assert_int_equal(e.outcome, CONNECT_FAILED);
	assert_int_equal(provider_count(), 0);
	r->tm->providers.entries[0].own->p.sends_iss = false;
	answer_from(r, client, NULL, &e);
	provider_answers(provider_wait(), 200, GRANTED);
	end_wait(&e, 2);
	assert_int_equal(e.outcome, CONNECT_DONE);
}

static void an_error_of_another_issuer_is_not_believed(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;
	struct connect_reply reply = {.error = "access_denied", .iss = "https://evil.example"};

	begin(r, client, NULL, &flow);
	reply.state = flow.state;
	reply.browser = flow.cookie;
	connect_finish(r->tm, &reply, on_end, &e);
	assert_int_equal(e.outcome, CONNECT_FAILED); /* not CONNECT_REFUSED */
	assert_string_equal(e.error, "");
	assert_null(strstr(e.text, "access_denied"));
}

static void a_state_altered_anywhere_asks_nobody(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow, altered;

	begin(r, client, NULL, &flow);
	for (size_t i = 0; flow.state[i] != '\0'; i++) {
		altered = flow;
		altered.state[i] = altered.state[i] == 'A' ? 'B' : 'A';
		call_back(r, &altered, "code", &e);
		assert_int_equal(e.outcome, CONNECT_BAD_STATE);
	}
	assert_int_equal(e.n, 43);
	assert_int_equal(provider_count(), 0);
}

/* The verifier that an exchange shows. */
static void exchange_verifier(struct rig *r, int64_t client, struct end *e, char ret[130])
{
	struct flow flow;
	struct ask *a;
	char *verifier;
	unsigned n = e->n;

	begin(r, client, NULL, &flow);
	call_back(r, &flow, "code", e);
	a = provider_wait();
	verifier = ask_field(a, "code_verifier");
	assert_non_null(verifier);
	snprintf(ret, 130, "%s", verifier);
	mem_free(verifier);
	provider_answers(a, 200, GRANTED);
	end_wait(e, n + 1);
}

static void a_verifier_is_64_unreserved_characters_never_used_twice(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	char verifiers[8][130];

	for (size_t i = 0; i < ARRAY_LEN(verifiers); i++) {
		exchange_verifier(r, client, &e, verifiers[i]);
		assert_int_equal(strlen(verifiers[i]), 64); /* of 6 random bits each */
		assert_int_equal(strspn(verifiers[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						      "abcdefghijklmnopqrstuvwxyz0123456789-._~"),
			64);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(verifiers[i], verifiers[j]);
	}
}

/* A provider that cannot do S256 is one that we do not connect to. */
static void a_refused_s256_never_becomes_plain(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;
	struct connect_start start;
	struct connect_reply reply = {.error = "invalid_request"};
	struct fault f = {0};
	char method[16];

	begin(r, client, NULL, &flow);
	reply.state = flow.state;
	reply.browser = flow.cookie;
	connect_finish(r->tm, &reply, on_end, &e);
	assert_int_equal(e.outcome, CONNECT_MISCONFIGURED);
	begin(r, client, NULL, &flow);
	call_back(r, &flow, "code", &e);
	provider_answers(provider_wait(), 400, "{\"error\":\"invalid_request\"}");
	end_wait(&e, 2);
	assert_int_equal(e.outcome, CONNECT_MISCONFIGURED);
	assert_int_equal(provider_count(), 1);
	CHECK(connect_begin(r->tm, client, NULL, flow.cookie, &cli, &start, &f), &f);
	url_param(buf_text(&start.location), "code_challenge_method", method, sizeof(method));
	assert_string_equal(method, "S256");
	connect_start_done(&start);
}

static void a_code_whose_exchange_failed_is_never_sent_again(void **state)
{
	static const struct {
		long status;
		const char *body;
	} answers[] = {{500, ""}, {429, ""}, {302, ""}, {200, "<html>"},
		{400, "{\"error\":\"invalid_grant\"}"}, {401, "{\"error\":\"invalid_client\"}"}};
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;

	for (unsigned i = 0; i <= ARRAY_LEN(answers); i++) {
		begin(r, client, NULL, &flow);
		call_back(r, &flow, "code", &e);
		if (i < ARRAY_LEN(answers))
			provider_answers(provider_wait(), answers[i].status, answers[i].body);
		else
			provider_fails(provider_wait(), NET_BROKEN);
		end_wait(&e, i + 1);
		assert_int_not_equal(e.outcome, CONNECT_DONE);
		rig_wait_idle(r->tm);
		assert_int_equal(provider_count(), i + 1);
	}
}

/* The exception: a provider that refused the app has not looked at the code. */
static void a_code_is_sent_again_only_to_show_the_previous_secret(void **state)
{
	static const char refused[] = "{\"error\":\"invalid_client\"}";
	struct rig *r = *state;
	int64_t id = rig_register(r, "b");
	struct client_change change = {.client_secret = "secret-new"};
	struct client changed;
	struct end e = END_INIT;
	struct fault f = {0};
	struct flow flow;
	struct ask *a;

	CHECK(clients_change(r->tm, id, &change, &cli, &changed, &f), &f);
	client_done(&changed);
	begin(r, id, NULL, &flow);
	call_back(r, &flow, "code", &e);
	provider_answers(provider_wait(), 500, refused); /* says nothing of the app */
	end_wait(&e, 1);
	assert_int_equal(provider_count(), 1);
	begin(r, id, NULL, &flow);
	call_back(r, &flow, "code", &e);
	provider_answers(provider_wait(), 401, refused);
	a = provider_wait();
	assert_text(ask_field(a, "client_secret"), "secret-b");
	assert_text(ask_field(a, "code"), "code");
	provider_answers(a, 401, refused);
	end_wait(&e, 2);
	assert_int_equal(e.outcome, CONNECT_MISCONFIGURED);
	assert_int_equal(provider_count(), 3);
}

static void the_issuer_itself_is_welcome(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;
	struct connect_reply reply = {.code = "code", .iss = "https://accounts.google.com"};

	begin(r, client, NULL, &flow);
	reply.state = flow.state;
	reply.browser = flow.cookie;
	connect_finish(r->tm, &reply, on_end, &e);
	provider_answers(provider_wait(), 200, GRANTED);
	end_wait(&e, 1);
	assert_int_equal(e.outcome, CONNECT_DONE);
}

static void a_code_goes_where_the_flow_was_begun_whatever_the_settings_say_now(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;
	struct ask *a;

	begin(r, client, NULL, &flow);
	r->tm->providers.entries[0].own->p.token_url = "https://elsewhere.test/token";
	rig_run(r, "UPDATE clients SET redirect_uri = 'https://elsewhere.test/callback'");
	call_back(r, &flow, "code", &e);
	a = provider_wait();
	assert_string_equal(a->url, "https://oauth2.test/token");
	assert_text(ask_field(a, "redirect_uri"), "https://shop.example/callback");
	provider_answers(a, 200, GRANTED);
	end_wait(&e, 1);
}

static void two_branches_with_one_app_and_one_redirect_uri_never_mix(void **state)
{
	struct rig *r = *state;
	int64_t a = rig_register(r, "a"), b = rig_register(r, "b");
	struct end first = END_INIT, second = END_INIT;
	struct flow flow_a, flow_b;
	struct ask *ask_a, *ask_b;
	struct call c = {0};

	rig_run(r, "UPDATE clients SET client_id = 'one-app'");
	begin(r, a, NULL, &flow_a);
	begin(r, b, flow_a.cookie, &flow_b); /* even in one browser */
	call_back(r, &flow_b, "code-b", &second);
	ask_b = provider_wait();
	call_back(r, &flow_a, "code-a", &first);
	ask_a = provider_wait();
	provider_answers(ask_b, 200, ANSWER("token-b", "\"refresh_token\":\"rb\",", FULL_SCOPE));
	provider_answers(ask_a, 200, ANSWER("token-a", "\"refresh_token\":\"ra\",", FULL_SCOPE));
	end_wait(&first, 1);
	end_wait(&second, 1);
	assert_string_equal(first.branch, "a");
	assert_string_equal(second.branch, "b");
	assert_text(rig_unsealed(r, a, "refresh_token"), "ra");
	assert_text(rig_unsealed(r, b, "refresh_token"), "rb");
	assert_true(call_read(r->tm, &c, "a", 0));
	assert_string_equal(c.access, "token-a");
	assert_true(call_read(r->tm, &c, "b", 0));
	assert_string_equal(c.access, "token-b");
}

/* ---- what the person or the provider said instead ---- */

static void a_refusal_is_told_from_a_failure(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;
	struct connect_reply reply = {.error = "access_denied"};

	begin(r, client, NULL, &flow);
	reply.state = flow.state;
	reply.browser = flow.cookie;
	connect_finish(r->tm, &reply, on_end, &e);
	assert_int_equal(e.outcome, CONNECT_REFUSED);
	assert_string_equal(e.error, "access_denied");
	assert_string_equal(e.branch, "b");
	begin(r, client, NULL, &flow);
	reply.error = "<script>CANARY</script>";
	reply.state = flow.state;
	reply.browser = flow.cookie;
	connect_finish(r->tm, &reply, on_end, &e);
	assert_int_equal(e.outcome, CONNECT_MISCONFIGURED);
	assert_string_equal(e.error, "");
	assert_false(log_holds("CANARY"));
	assert_int_equal(provider_count(), 0);
	assert_text(rig_text(r, "SELECT status FROM clients"), "pending");
}

static void a_callback_that_says_nothing_leaves_the_flow_open(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;

	begin(r, client, NULL, &flow);
	call_back(r, &flow, NULL, &e);
	assert_int_equal(e.outcome, CONNECT_BAD_REQUEST);
	call_back(r, &flow, "code", &e);
	provider_answers(provider_wait(), 200, GRANTED);
	end_wait(&e, 2);
	assert_int_equal(e.outcome, CONNECT_DONE);
}

static void an_unticked_scope_keeps_no_token(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;

	connect(r, client,
		ANSWER("new", "\"refresh_token\":\"first\",",
			"openid https://www.googleapis.com/auth/userinfo.email"),
		&e);
	assert_int_equal(e.outcome, CONNECT_MISSING_SCOPE);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tokens"), 0);
	assert_text(rig_text(r, "SELECT status FROM clients"), "pending");
}

static void no_scope_in_the_answer_means_all_that_was_asked(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;

	connect(r, client,
		"{\"access_token\":\"new\",\"refresh_token\":\"first\",\"expires_in\":3599}", &e);
	assert_int_equal(e.outcome, CONNECT_DONE);
	assert_text(rig_text(r, "SELECT scope FROM tokens"), "openid email " MANAGE);
}

static void granted_and_missing_scopes_are_shown(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct client c;
	struct fault f = {0};

	connect(r, client, ANSWER("new", "\"refresh_token\":\"first\",", MANAGE " openid"), &e);
	assert_int_equal(e.outcome, CONNECT_DONE);
	CHECK(clients_get(r->tm, client, &c, &f), &f);
	assert_string_equal(c.granted_scopes, MANAGE " openid");
	assert_string_equal(c.missing_scopes, "email");
	assert_string_equal(c.status, "connected");
	client_done(&c);
}

static void without_a_refresh_token_there_is_no_connection(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;

	connect(r, client, ANSWER("new", "", FULL_SCOPE), &e);
	assert_int_equal(e.outcome, CONNECT_NO_REFRESH_TOKEN);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tokens"), 0);
}

static void an_earlier_refresh_token_is_kept_when_none_comes(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_connected(r, "b", "old", "first", HOUR, HOUR);
	struct end e = END_INIT;

	connect(r, client, ANSWER("new", "", FULL_SCOPE), &e);
	assert_int_equal(e.outcome, CONNECT_DONE);
	assert_text(rig_unsealed(r, client, "refresh_token"), "first");
	assert_text(rig_unsealed(r, client, "access_token"), "new");
}

static void a_dead_refresh_token_is_not_kept(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_connected(r, "b", "old", "first", HOUR, HOUR);
	struct end e = END_INIT;

	rig_run(r, "UPDATE clients SET status = 'needs_reconnect'");
	connect(r, client, ANSWER("new", "", FULL_SCOPE), &e);
	assert_int_equal(e.outcome, CONNECT_NO_REFRESH_TOKEN);
}

static void a_refresh_token_of_another_account_is_not_kept(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_connected(r, "b", "old", "first", HOUR, HOUR);
	struct end e = END_INIT;

	rig_run(r, "UPDATE tokens SET google_subject = '123'");
	connect(r, client, ANSWER("new", "", FULL_SCOPE), &e);
	assert_int_equal(e.outcome, CONNECT_NO_REFRESH_TOKEN);
	assert_text(rig_unsealed(r, client, "access_token"), "old");
}

static void the_account_that_consented_is_read_from_the_id_token(void **state)
{
	static const char payload[] = "{\"iss\":\"https://accounts.google.com\",\"aud\":\"app-b\","
				      "\"sub\":\"1089\",\"email\":\"boss@example.com\"}";
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	AUTO(buf_drop) struct buf answer = BUF_INIT(4096);
	struct end e = END_INIT;

	buf_add_text(&answer,
		"{\"access_token\":\"new\",\"refresh_token\":\"first\",\"expires_in\":3599,"
		"\"id_token\":\"e30.");
	text_base64url(&answer, payload, sizeof(payload) - 1);
	buf_add_text(&answer, ".c2ln\"}");
	connect(r, client, buf_text(&answer), &e);
	assert_int_equal(e.outcome, CONNECT_DONE);
	assert_text(rig_text(r, "SELECT google_subject FROM tokens"), "1089");
	assert_text(rig_text(r, "SELECT google_email FROM tokens"), "boss@example.com");
}

static void a_failed_exchange_says_how(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;

	begin(r, client, NULL, &flow);
	call_back(r, &flow, "code", &e);
	provider_answers(provider_wait(), 401,
		"{\"error\":\"invalid_client\",\"error_description\":\"CANARY\"}");
	end_wait(&e, 1);
	assert_int_equal(e.outcome, CONNECT_MISCONFIGURED);
	assert_string_equal(e.error, "invalid_client");
	assert_non_null(strstr(e.text, "invalid_client"));
	assert_null(strstr(e.text, "CANARY"));
	assert_int_equal(
		rig_number(r, "SELECT count(*) FROM audit WHERE action = 'connect.failed'"), 1);
}

static void a_new_consent_heals_a_dead_connection(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_connected(r, "b", "old", "first", -1, HOUR);
	struct end e = END_INIT;
	struct call c = {0};

	call_obtain(r->tm, &c, "b", 0, false);
	provider_answers(provider_wait(), 400, "{\"error\":\"invalid_grant\"}");
	calls_wait(1);
	rig_wait_idle(r->tm);
	connect(r, client, ANSWER("new", "\"refresh_token\":\"fresh\",", FULL_SCOPE), &e);
	assert_int_equal(e.outcome, CONNECT_DONE);
	call_now(r->tm, &c, "b");
	assert_string_equal(c.access, "new");
	assert_text(rig_text(r, "SELECT status FROM clients"), "connected");
}

static void a_refresh_with_the_old_grant_cannot_overwrite_a_new_consent(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_connected(r, "b", "old", "first", -1, HOUR);
	struct end e = END_INIT;
	struct call c = {0};
	struct ask *refresh;

	call_obtain(r->tm, &c, "b", 0, false);
	refresh = provider_wait();
	connect(r, client, ANSWER("new", "\"refresh_token\":\"fresh\",", FULL_SCOPE), &e);
	provider_answers(refresh, 200,
		"{\"access_token\":\"stale\",\"refresh_token\":\"stale\",\"expires_in\":3600}");
	calls_wait(1);
	assert_string_equal(c.access, "new");
	assert_text(rig_unsealed(r, client, "refresh_token"), "fresh");
}

static void a_connection_that_cannot_be_stored_is_tried_again(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct flow flow;

	rig_break(r, "INSERT", "tokens", NULL);
	begin(r, client, NULL, &flow);
	call_back(r, &flow, "code", &e);
	provider_answers(provider_wait(), 200, GRANTED);
	timer_wait_and_fire();
	timer_wait();
	rig_mend(r, "tokens");
	timer_wait_and_fire();
	end_wait(&e, 1);
	assert_int_equal(e.outcome, CONNECT_DONE);
	assert_int_equal(provider_count(), 1);
}

static void a_connection_stored_late_is_under_the_key_of_that_moment(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	uint32_t old = vault_active_key(r->vault);
	struct vault_rotation *rotation;
	struct end e = END_INIT;
	struct flow flow;
	struct fault f = {0};

	rig_break(r, "INSERT", "tokens", NULL);
	begin(r, client, NULL, &flow);
	call_back(r, &flow, "code", &e);
	provider_answers(provider_wait(), 200, GRANTED);
	timer_wait();
	CHECK(vault_rotation_begin(r->vault, &rotation, &f), &f);
	CHECK(vault_rotation_prepare(rotation, &f), &f);
	CHECK(vault_rotation_activate(rotation, &f), &f);
	CHECK(vault_rotation_finish(rotation, &f), &f);
	CHECK(vault_rotation_forget(rotation, &old, 1, &f), &f);
	vault_rotation_end(rotation);
	rig_mend(r, "tokens");
	timer_wait_and_fire();
	end_wait(&e, 1);
	assert_int_equal(e.outcome, CONNECT_DONE);
	assert_text(rig_unsealed(r, client, "refresh_token"), "first");
}

/* ---- links ---- */

static void make_link(struct rig *r, int64_t client, char *ticket, size_t size)
{
	AUTO(buf_drop) struct buf url = BUF_INIT(1024);
	int64_t expires_at_ms;
	struct fault f = {0};

	CHECK(connect_link(r->tm, client, &cli, &url, &expires_at_ms, &f), &f);
	assert_true(
		text_starts(buf_text(&url), "http://localhost:8084/token-management/oauth/login/"));
	assert_int_equal(expires_at_ms, wall_now_ms + DAY);
	url_param(buf_text(&url), "ticket", ticket, size);
}

static void assert_link(struct rig *r, int64_t client, const char *ticket, const char *browser,
	enum link_outcome wanted)
{
	struct connect_start start;
	struct fault f = {0};

	assert_int_equal(connect_look(r->tm, client, ticket, browser, &f), wanted);
	assert_int_equal(connect_begin(r->tm, client, ticket, browser, &cli, &start, &f), wanted);
	connect_start_done(&start);
}

static void a_link_belongs_to_the_browser_that_opened_it_first(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b"), other = rig_register(r, "c");
	char ticket[64], cookie[64];
	struct connect_start start;
	struct fault f = {0};

	make_link(r, client, ticket, sizeof(ticket));
	assert_link(r, other, ticket, NULL, LINK_UNKNOWN);
	assert_link(r, client, "nonsense", NULL, LINK_UNKNOWN);
	CHECK(connect_begin(r->tm, client, ticket, NULL, &cli, &start, &f), &f);
	snprintf(cookie, sizeof(cookie), "%s", start.cookie);
	connect_start_done(&start);
	assert_link(r, client, ticket, NULL, LINK_OTHER_BROWSER);
	CHECK(connect_begin(r->tm, client, ticket, cookie, &cli, &start, &f), &f);
	assert_string_equal(start.cookie, cookie);
	connect_start_done(&start);
}

static void a_link_is_used_up_by_a_connection_not_by_a_refusal(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	struct end e = END_INIT;
	struct connect_start start;
	struct fault f = {0};
	struct flow flow;
	struct connect_reply reply = {
		.error = "access_denied", .state = flow.state, .browser = flow.cookie};
	char ticket[64];

	make_link(r, client, ticket, sizeof(ticket));
	for (int i = 0; i < 2; i++) {
		CHECK(connect_begin(
			      r->tm, client, ticket, i == 0 ? NULL : flow.cookie, &cli, &start, &f),
			&f);
		url_param(buf_text(&start.location), "state", flow.state, sizeof(flow.state));
		snprintf(flow.cookie, sizeof(flow.cookie), "%s", start.cookie);
		connect_start_done(&start);
		if (i == 0)
			connect_finish(r->tm, &reply, on_end, &e);
	}
	assert_int_equal(e.outcome, CONNECT_REFUSED);
	call_back(r, &flow, "code", &e);
	provider_answers(provider_wait(), 200, GRANTED);
	end_wait(&e, 2);
	assert_int_equal(e.outcome, CONNECT_DONE);
	assert_link(r, client, ticket, flow.cookie, LINK_USED);
}

static void a_link_expires_after_a_day(void **state)
{
	struct rig *r = *state;
	int64_t client = rig_register(r, "b");
	char ticket[64];

	make_link(r, client, ticket, sizeof(ticket));
	time_passes(DAY);
	assert_link(r, client, ticket, NULL, LINK_EXPIRED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_authorization_url_has_each_parameter_once),
		TEST(no_two_flows_share_a_state_or_a_verifier),
		TEST(neither_state_nor_cookie_nor_verifier_is_stored_readable),
		TEST(an_unknown_or_inactive_client_starts_no_flow),
		TEST(a_code_becomes_a_sealed_connection_and_a_token_in_memory),
		TEST(a_state_is_good_for_one_request_only),
		TEST(many_callbacks_at_once_make_one_exchange),
		TEST(a_wrong_state_or_browser_asks_nobody),
		TEST(a_flow_ends_after_ten_minutes),
		TEST(an_answer_of_another_issuer_spends_no_code),
		TEST(an_issuer_is_compared_byte_by_byte),
		TEST(a_provider_that_sends_its_issuer_must_send_it),
		TEST(an_error_of_another_issuer_is_not_believed),
		TEST(a_state_altered_anywhere_asks_nobody),
		TEST(a_verifier_is_64_unreserved_characters_never_used_twice),
		TEST(a_refused_s256_never_becomes_plain),
		TEST(a_code_whose_exchange_failed_is_never_sent_again),
		TEST(a_code_is_sent_again_only_to_show_the_previous_secret),
		TEST(the_issuer_itself_is_welcome),
		TEST(a_code_goes_where_the_flow_was_begun_whatever_the_settings_say_now),
		TEST(two_branches_with_one_app_and_one_redirect_uri_never_mix),
		TEST(a_refusal_is_told_from_a_failure),
		TEST(a_callback_that_says_nothing_leaves_the_flow_open),
		TEST(an_unticked_scope_keeps_no_token),
		TEST(no_scope_in_the_answer_means_all_that_was_asked),
		TEST(granted_and_missing_scopes_are_shown),
		TEST(without_a_refresh_token_there_is_no_connection),
		TEST(an_earlier_refresh_token_is_kept_when_none_comes),
		TEST(a_dead_refresh_token_is_not_kept),
		TEST(a_refresh_token_of_another_account_is_not_kept),
		TEST(the_account_that_consented_is_read_from_the_id_token),
		TEST(a_failed_exchange_says_how),
		TEST(a_new_consent_heals_a_dead_connection),
		TEST(a_refresh_with_the_old_grant_cannot_overwrite_a_new_consent),
		TEST(a_connection_that_cannot_be_stored_is_tried_again),
		TEST(a_connection_stored_late_is_under_the_key_of_that_moment),
		TEST(a_link_belongs_to_the_browser_that_opened_it_first),
		TEST(a_link_is_used_up_by_a_connection_not_by_a_refusal),
		TEST(a_link_expires_after_a_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
