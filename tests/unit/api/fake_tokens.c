/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_tokens.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "token_management/token_management_audit.h"
#include "token_management/token_management_google.h"

#define WAITERS_MAX 512

static const struct {
	const char *key;
	enum key_outcome outcome;
	unsigned scopes;
	bool is_bound;
} keys[] = {
	{"rf_all", KEY_GOOD, KEY_ADMIN, false},
	{"rf_tokens", KEY_GOOD, KEY_TOKENS_READ, false},
	{"rf_bound", KEY_GOOD,
		KEY_TOKENS_READ | KEY_TOKENS_MANAGE | KEY_CLIENTS_READ | KEY_CLIENTS_WRITE, true},
	{"rf_expired", KEY_EXPIRED, 0, false},
	{"rf_revoked", KEY_REVOKED, 0, false},
	{"rf_fast", KEY_TOO_FAST, 0, false},
};

struct token_result fake_result = {
	.outcome = TOKEN_UNAVAILABLE, .reason = "down", .retry_after_ms = 5000};
enum connect_outcome fake_connect_outcome = CONNECT_DONE;
const char *fake_connect_account;
enum revoke_outcome fake_revoke_outcome = REVOKE_DONE;
_Atomic int fake_waiting;
struct fault fake_register_fault;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	token_done_fn *done;
	void *arg;
} waiters[WAITERS_MAX];
static size_t first_waiter, n_waiters;

/* ---- keys ---- */

const char *key_scope_name(enum key_scope scope)
{
	static const char *const names[] = {"clients:read", "clients:write", "tokens:read",
		"tokens:manage", "reviews:read", "reviews:fetch", "reviews:reply", "admin"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (scope == (enum key_scope)(1u << i))
			return names[i];
	return "unknown";
}

enum key_outcome keys_check(
	struct token_management *tm, const char *key, size_t len, struct key_grant *ret)
{
	(void)tm;
	*ret = (struct key_grant){.id = "fakekey"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (strlen(keys[i].key) != len || memcmp(keys[i].key, key, len) != 0)
			continue;
		ret->scopes = keys[i].scopes;
		ret->is_bound = keys[i].is_bound;
		ret->retry_after_ms = keys[i].outcome == KEY_TOO_FAST ? 1500 : 0;
		return keys[i].outcome;
	}
	return KEY_UNKNOWN;
}

void tokens_note_read(struct token_management *tm, const struct key_grant *key, int64_t client_row,
	const char *remote)
{
	(void)tm, (void)key, (void)client_row, (void)remote;
}

int audit_note(struct token_management *tm, const struct actor *who, const char *action,
	const char *branch_id, const char *detail, struct fault *f)
{
	(void)tm, (void)who, (void)action, (void)branch_id, (void)detail, (void)f;
	return 0;
}

bool sessions_is_good(struct token_management *tm, const char *id)
{
	(void)tm, (void)id;
	return true;
}

bool keys_is_good(struct token_management *tm, const struct key_grant *key)
{
	(void)tm, (void)key;
	return true;
}

bool keys_may_see(
	struct token_management *tm, const struct key_grant *key, const char *branch_id, size_t len)
{
	(void)tm;
	return !key->is_bound || (len == 4 && memcmp(branch_id, "mine", 4) == 0);
}

size_t keys_branches(struct token_management *tm, const struct key_grant *key, char ***ret)
{
	(void)tm;
	*ret = NULL;
	if (!key->is_bound)
		return 0;
	*ret = mem_alloc(sizeof(char *));
	(*ret)[0] = mem_text("mine");
	return 1;
}

/* ---- sessions: "signed-in" is one of the key rf_tokens, "boss" of rf_all ---- */

void session_start_done(struct session_start *s)
{
	secret_drop(&s->cookie);
}

int sessions_begin(struct token_management *tm, const char *key_id, const char *remote,
	struct session_start *ret, struct fault *f)
{
	(void)tm;
	(void)remote;
	(void)f;
	*ret = (struct session_start){.id = "session1", .expires_at_ms = clock_wall_ms() + 60000};
	assert(strcmp(key_id, "fakekey") == 0);
	ret->cookie = secret_from("signed-in", strlen("signed-in"));
	return 0;
}

enum key_outcome sessions_check(
	struct token_management *tm, const char *cookie, size_t len, struct session_grant *ret)
{
	const bool is_boss = len == 4 && memcmp(cookie, "boss", 4) == 0;

	(void)tm;
	*ret = (struct session_grant){.id = "session1", .expires_at_ms = 1700000000000};
	ret->key = (struct key_grant){
		.id = "fakekey", .scopes = is_boss ? KEY_ADMIN * 2 - 1 : KEY_TOKENS_READ};
	if (is_boss || (len == 9 && memcmp(cookie, "signed-in", 9) == 0))
		return KEY_GOOD;
	return KEY_EXPIRED;
}

int sessions_learn(struct token_management *tm, const char *cookie, size_t len, struct fault *f)
{
	(void)tm;
	(void)cookie;
	(void)len;
	(void)f;
	return 0;
}

int sessions_end(struct token_management *tm, const char *id, const char *key_id,
	const struct actor *who, struct fault *f)
{
	(void)tm;
	(void)key_id;
	(void)who;
	return strcmp(id, "session1") == 0
		       ? 0
		       : fault_raise(f, FAULT_MISSING, "There is no such session");
}

int sessions_list(struct token_management *tm, const char *key_id, session_each_fn *each, void *arg,
	struct fault *f)
{
	const struct session_row row = {
		.id = "session1", .key_id = "fakekey", .key_name = key_id ? "own" : "all"};

	(void)tm;
	return each(arg, &row, f);
}

int sign_in_look(
	struct token_management *tm, const char *link, struct buf *ret_name, struct fault *f)
{
	(void)tm;
	(void)f;
	buf_add_text(ret_name, "demo");
	return strcmp(link, "good") == 0 ? 0 : 1;
}

int sign_in_take(struct token_management *tm, const char *link, const char *remote,
	struct session_start *ret, struct fault *f)
{
	*ret = (struct session_start){0};
	return strcmp(link, "good") == 0 ? sessions_begin(tm, "fakekey", remote, ret, f) : 1;
}

/* ---- clients ---- */

static const char *const branches[] = {"mine", "yours", "slow"};

static void make_client(int64_t id, struct client *ret)
{
	*ret = (struct client){
		.id = id,
		.client_oauth_id = mem_text("app.example"),
		.redirect_uri = mem_text("http://localhost/cb"),
		.branch_id = mem_text(branches[id - 1]),
		.workspace_email = mem_text("owner@example.com"),
		.workspace_name = mem_text("Example <Ltd>"),
		.provider = mem_text("google"),
		.provider_title = mem_text("Google"),
		.status = mem_text("connected"),
		.granted_scopes = mem_text("openid email"),
		.is_active = true,
		.created_at_ms = 1700000000000,
		.updated_at_ms = 1700000000000,
	};
}

void client_done(struct client *c)
{
	mem_free(c->client_oauth_id);
	mem_free(c->redirect_uri);
	mem_free(c->branch_id);
	mem_free(c->workspace_email);
	mem_free(c->workspace_name);
	mem_free(c->provider);
	mem_free(c->provider_title);
	mem_free(c->scope);
	mem_free(c->status);
	mem_free(c->status_reason);
	mem_free(c->granted_scopes);
	mem_free(c->missing_scopes);
	mem_free(c->connected_email);
	*c = (struct client){0};
}

int clients_register(struct token_management *tm, const struct client_input *in,
	const struct actor *who, struct client *ret, struct fault *f)
{
	(void)tm;
	(void)in;
	(void)who;
	if (fake_register_fault.kind != FAULT_NONE) {
		*f = fake_register_fault;
		return -1;
	}
	make_client(1, ret);
	return 0;
}

int clients_get(struct token_management *tm, int64_t id, struct client *ret, struct fault *f)
{
	(void)tm;
	if (id > (int64_t)ARRAY_LEN(branches))
		return fault_raise(f, FAULT_MISSING, "Client not found or inactive");
	make_client(id, ret);
	return 0;
}

int clients_get_by_branch(
	struct token_management *tm, const char *branch_id, struct client *ret, struct fault *f)
{
	(void)tm;
	(void)branch_id;
	(void)ret;
	return fault_raise(f, FAULT_MISSING, "Client not found or inactive");
}

int clients_list(struct token_management *tm, const struct client_filter *filter,
	client_each_fn *each, void *arg, struct fault *f)
{
	int64_t n = 0;

	(void)tm;
	for (int64_t id = filter->after_id + 1;
		id <= (int64_t)ARRAY_LEN(branches) && n < filter->limit; id++) {
		struct client c;
		if (filter->branches && strcmp(filter->branches[0], branches[id - 1]) != 0)
			continue;
		make_client(id, &c);
		const int done = each(arg, &c, f);
		client_done(&c);
		if (done != 0)
			return done < 0 ? -1 : 0;
		n++;
	}
	return 0;
}

int clients_change(struct token_management *tm, int64_t id, const struct client_change *change,
	const struct actor *who, struct client *ret, struct fault *f)
{
	(void)change;
	(void)who;
	return clients_get(tm, id, ret, f);
}

int audit_list(struct token_management *tm, const struct audit_filter *filter, audit_each_fn *each,
	void *arg, struct fault *f)
{
	(void)tm;
	(void)filter;
	(void)each;
	(void)arg;
	(void)f;
	return 0;
}

void tokens_revoke(struct token_management *tm, const struct revoke_wish *wish,
	revoke_done_fn *done, void *arg)
{
	static const char *const siblings[] = {"mine", "yours", "slow"};
	struct revoke_result result = {
		.outcome = wish->force ? REVOKE_DONE : fake_revoke_outcome,
		.client_row = 1,
		.branch_id = wish->branch_id,
		.siblings = siblings,
		.n_siblings = ARRAY_LEN(siblings),
		.siblings_total = 7,
		.provider_title = "Google",
		.retry_after_ms = 5000,
		.reason = "down",
	};

	(void)tm;
	result.is_deleted = wish->deletes && result.outcome == REVOKE_DONE;
	done(arg, &result);
}

int clients_delete(
	struct token_management *tm, int64_t id, const struct actor *who, struct fault *f)
{
	(void)tm;
	(void)id;
	(void)who;
	(void)f;
	return 0;
}

/* ---- connecting ---- */

int connect_link(struct token_management *tm, int64_t client_id, const struct actor *who,
	struct buf *ret_url, int64_t *ret_expires_at_ms, struct fault *f)
{
	(void)tm;
	(void)who;
	(void)f;
	buf_addf(ret_url, "http://localhost/login/%lld?ticket=t", (long long)client_id);
	*ret_expires_at_ms = 1700000000000;
	return 0;
}

void connect_start_done(struct connect_start *s)
{
	buf_drop(&s->location);
}

int connect_look(struct token_management *tm, int64_t client_id, const char *ticket,
	const char *browser, struct fault *f)
{
	(void)tm;
	(void)client_id;
	(void)browser;
	(void)f;
	if (strcmp(ticket, "good") != 0)
		return LINK_EXPIRED;
	return 0;
}

int connect_begin(struct token_management *tm, int64_t client_id, const char *ticket,
	const char *browser, const struct actor *who, struct connect_start *ret, struct fault *f)
{
	(void)tm;
	(void)browser;
	(void)who;
	if (ticket && strcmp(ticket, "good") != 0)
		return LINK_EXPIRED;
	if (client_id > (int64_t)ARRAY_LEN(branches))
		return fault_raise(f, FAULT_MISSING, "Client not found or inactive");
	ret->location = BUF_INIT(1024);
	buf_add_text(&ret->location, "https://accounts.example/auth?state=s");
	snprintf(ret->cookie, sizeof(ret->cookie), "browser-1");
	return 0;
}

int connect_again(struct token_management *tm, const char *state, const char *browser,
	const struct actor *who, struct connect_start *ret, struct fault *f)
{
	if (state == NULL || strcmp(state, "s") != 0)
		return LINK_FLOW_OVER;
	return connect_begin(tm, 1, NULL, browser, who, ret, f);
}

const char *connect_consent_url(const struct token_management *tm, const char *provider)
{
	(void)tm;
	(void)provider;
	return "https://accounts.example/auth";
}

int connect_links_list(struct token_management *tm, int64_t client_id, connect_link_each_fn *each,
	void *arg, struct fault *f)
{
	const struct connect_link_row row = {
		.id = "0123456789abcdef", .made_by = "key:fakekey", .created_at_ms = 1700000000000};

	(void)tm;
	(void)client_id;
	return each(arg, &row, f);
}

int connect_links_revoke(struct token_management *tm, int64_t client_id, const char *link_id,
	const struct actor *who, int64_t *ret_n, struct fault *f)
{
	(void)tm;
	(void)client_id;
	(void)who;
	*ret_n = 1;
	if (link_id && strcmp(link_id, "0123456789abcdef") != 0)
		return fault_raise(f, FAULT_MISSING, "No open link of this client has that id");
	return 0;
}

static void end_with(
	enum connect_outcome outcome, const char *state, connect_done_fn *done, void *arg)
{
	const struct fault down = {
		.kind = FAULT_UPSTREAM, .text = "The token endpoint answered 500."};
	const struct connect_result result = {
		.outcome = outcome,
		.client_row = 1,
		.client_oauth_id = "app.example",
		.branch_id = state ? "mine" : NULL,
		.workspace_name = state ? "Example <Ltd>" : NULL,
		.workspace_email = "owner@example.com",
		.provider = "google",
		.provider_title = "Google",
		.state = state,
		.provider_error = outcome == CONNECT_MISCONFIGURED ? "invalid_client" : NULL,
		.missing_scopes = outcome == CONNECT_MISSING_SCOPE
					  ? "https://www.googleapis.com/auth/business.manage odd"
					  : NULL,
		.account = fake_connect_account,
		.is_wrong_account = fake_connect_account && outcome == CONNECT_DONE,
		.expires_at_ms = 1700000000000,
		.fault = &down,
	};

	done(arg, &result);
}

int connect_recall(struct token_management *tm, const char *state, const char *browser,
	connect_done_fn *done, void *arg, struct fault *f)
{
	(void)tm;
	(void)f;
	if (strcmp(state, "s") != 0 || strcmp(browser, "browser-1") != 0)
		return 1;
	end_with(fake_connect_outcome, "s", done, arg);
	return 0;
}

void connect_finish(struct token_management *tm, const struct connect_reply *reply,
	connect_done_fn *done, void *arg)
{
	(void)tm;
	end_with(reply->state ? fake_connect_outcome : CONNECT_BAD_STATE, reply->state ? "s" : NULL,
		done, arg);
}

/* ---- tokens ---- */

static const struct token_view view = {
	.client_row = 1,
	.client_oauth_id = "app.example",
	.branch_id = "mine",
	.token_type = "Bearer",
	.scope = "https://www.googleapis.com/auth/business.manage",
	.access_token = FAKE_ACCESS_TOKEN,
	.access_token_len = sizeof(FAKE_ACCESS_TOKEN) - 1,
	.expires_at_ms = 1900000000000,
	.expires_at_text = "2030-03-17T17:46:40Z",
};

bool tokens_read(struct token_management *tm, const char *branch_id, size_t len, int64_t min_ttl_ms,
	token_copy_fn *copy, void *arg)
{
	struct token_view v = view;

	(void)tm;
	(void)len;
	v.branch_id = branch_id;
	v.degraded = min_ttl_ms == 7000;
	if (strcmp(branch_id, "mine") != 0 && strcmp(branch_id, "yours") != 0)
		return false;
	copy(arg, &v);
	return true;
}

void tokens_obtain(struct token_management *tm, const char *branch_id, int64_t min_ttl_ms,
	bool force, token_done_fn *done, void *arg)
{
	static const struct token_result unknown = {.outcome = TOKEN_UNKNOWN, .reason = "unknown"};

	(void)tm;
	(void)min_ttl_ms;
	if (strcmp(branch_id, "slow") == 0) {
		pthread_mutex_lock(&lock);
		waiters[(first_waiter + n_waiters) % WAITERS_MAX].done = done;
		waiters[(first_waiter + n_waiters) % WAITERS_MAX].arg = arg;
		n_waiters++;
		pthread_mutex_unlock(&lock);
		fake_waiting++;
		return;
	}
	const struct token_result ready = {.outcome = TOKEN_READY, .view = &view, .client_row = 1};
	done(arg, force ? &ready : &unknown);
}

bool fake_answer(void)
{
	pthread_mutex_lock(&lock);
	if (n_waiters == 0) {
		pthread_mutex_unlock(&lock);
		return false;
	}
	token_done_fn *done = waiters[first_waiter].done;
	void *arg = waiters[first_waiter].arg;
	first_waiter = (first_waiter + 1) % WAITERS_MAX;
	n_waiters--;
	pthread_mutex_unlock(&lock);
	fake_waiting--;
	done(arg, &fake_result);
	return true;
}

void tokens_reject(
	struct token_management *tm, const char *branch_id, const char *access_token, size_t len)
{
	(void)tm;
	(void)branch_id;
	(void)access_token;
	(void)len;
}

/* ---- what Google signs ---- */

enum google_jwt_look google_jwt_look(struct token_management *tm, const char *text, size_t len)
{
	(void)tm;
	if (len == 4 && memcmp(text, "many", 4) == 0)
		return GOOGLE_JWT_TOO_MANY;
	return memchr(text, '.', len) != NULL ? GOOGLE_JWT_LOOKS_FINE : GOOGLE_JWT_IS_NONE;
}

void security_event_take(struct token_management *tm, const char *text, size_t len,
	security_event_done_fn *done, void *arg)
{
	const struct security_event_result result = {
		.outcome = SECURITY_EVENT_LATER, .retry_after_ms = 30000};

	(void)tm;
	(void)text;
	(void)len;
	done(arg, &result);
}

void google_caller_check(struct token_management *tm, const char *text, size_t len,
	const struct google_caller_wish *wish, google_caller_done_fn *done, void *arg)
{
	(void)tm;
	(void)text;
	(void)len;
	(void)wish;
	done(arg, GOOGLE_CALLER_IS_NOT, 0);
}
