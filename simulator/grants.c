/* SPDX-License-Identifier: Apache-2.0 */
/* Grants and the tokens they give. */
#include "simulator/grants.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "simulator/grants_inner.h"
#include "simulator/world.h"

void grants_lock(struct grants *g)
{
	pthread_mutex_lock(&g->lock);
}

void grants_unlock(struct grants *g)
{
	struct buf lines = g->pending;

	g->pending = BUF_INIT(JOURNAL_LINE_MAX * 64);
	pthread_mutex_unlock(&g->lock);
	if (lines.len)
		journal_add(g->journal, &lines);
	buf_drop(&lines);
}

bool scope_has(const char *scope, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = scope; (at = strstr(at, word)); at += len)
		if ((at == scope || at[-1] == ' ') && (at[len] == '\0' || at[len] == ' '))
			return true;
	return false;
}

/* ---- grants ---- */

#define LOGIN_KEY_MAX 300
static size_t login_key(uint64_t user, const char *client_id, char ret[static LOGIN_KEY_MAX])
{
	int len = snprintf(ret, LOGIN_KEY_MAX, "%llu %s", (unsigned long long)user, client_id);

	return len < LOGIN_KEY_MAX ? (size_t)len : LOGIN_KEY_MAX - 1;
}

struct login *login_find(const struct grants *g, uint64_t user, const struct oauth_client *client)
{
	char key[LOGIN_KEY_MAX];

	return map_get(&g->logins, key, login_key(user, client->id, key));
}

static struct login *login_make(struct grants *g, uint64_t user, struct oauth_client *client)
{
	struct login *login = login_find(g, user, client);
	char key[LOGIN_KEY_MAX];

	if (login)
		return login;
	login = mem_alloc(sizeof(*login));
	login->user = user;
	login->client = client;
	map_put(&g->logins, key, login_key(user, client->id, key), login);
	return login;
}

void refresh_text(char ret[static GRANTS_TOKEN_SIZE])
{
	char random[RAND_TEXT_SIZE(66)];

	rand_text(66, random);
	snprintf(ret, GRANTS_TOKEN_SIZE, "1//0g%s", random);
}

static void forget_refresh(struct grants *g, struct refresh_token *t)
{
	if (!t)
		return;
	map_remove(&g->by_refresh, t->text, strlen(t->text));
	mem_free(t);
}

/* Gives the grant this refresh token; the one before stays known as an old one. */
void grant_name_refresh(struct grants *g, struct grant *grant, const char *text)
{
	size_t len = strlen(text);
	struct refresh_token *t = mem_alloc(sizeof(*t) + len + 1);

	if (grant->refresh) {
		grant->refresh->is_old = true;
		forget_refresh(g, grant->old[grant->n_old % GRANT_OLD_MAX]);
		grant->old[grant->n_old++ % GRANT_OLD_MAX] = grant->refresh;
	}
	t->grant = grant;
	memcpy(t->text, text, len + 1);
	grant->refresh = t;
	map_put(&g->by_refresh, t->text, len, t);
}

static void journal_grant(struct grants *g, const struct grant *grant)
{
	struct json_out o = JSON_OUT(&g->pending);

	json_open(&o, '{');
	json_add_text(&o, "k", "grant");
	json_add_int(&o, "id", (int64_t)grant->id);
	json_add_int(&o, "user", (int64_t)grant->user);
	json_add_text(&o, "client_id", grant->login->client->id);
	json_add_text(&o, "scope", grant->scope);
	if (grant->refresh)
		json_add_text(&o, "refresh", grant->refresh->text);
	json_add_bool(&o, "limited", grant->is_limited);
	json_add_int(&o, "issued", grant->issued_ms);
	json_add_int(&o, "ends", grant->refresh_ends_ms);
	json_close(&o, '}');
	buf_add_char(&g->pending, '\n');
}

static void journal_number(struct grants *g, const char *kind, const char *name, int64_t n)
{
	struct json_out o = JSON_OUT(&g->pending);

	json_open(&o, '{');
	json_add_text(&o, "k", kind);
	json_add_int(&o, name, n);
	json_close(&o, '}');
	buf_add_char(&g->pending, '\n');
}

void grant_drop(struct grants *g, struct grant *grant, bool journalled)
{
	struct login *login = grant->login;
	char key[LOGIN_KEY_MAX];

	if (grant->older)
		grant->older->newer = grant->newer;
	else
		login->oldest = grant->newer;
	if (grant->newer)
		grant->newer->older = grant->older;
	else
		login->newest = grant->older;
	if (grant->is_limited)
		login->n_limited--;
	if (!login->newest) {
		map_remove(&g->logins, key, login_key(login->user, login->client->id, key));
		mem_free(login);
	}
	if (journalled)
		journal_number(g, "drop", "id", (int64_t)grant->id);
	map_remove(&g->by_id, &grant->id, sizeof(grant->id));
	forget_refresh(g, grant->refresh);
	for (unsigned i = 0; i < GRANT_OLD_MAX; i++)
		forget_refresh(g, grant->old[i]);
	mem_free(grant->scope);
	mem_free(grant);
}

int64_t login_drop_grants(struct grants *g, struct login *login)
{
	struct grant *grant, *older;
	int64_t n = 0;

	for (grant = login->newest; grant; grant = older, n++) {
		older = grant->older;
		grant_drop(g, grant, true);
	}
	return n;
}

int64_t project_drop_user(struct grants *g, struct project *project, uint64_t user)
{
	struct login *login;
	int64_t n = 0;

	for (const struct oauth_client *c = project->first; c; c = c->next_in_project) {
		login = login_find(g, user, c);
		if (login)
			n += login_drop_grants(g, login);
	}
	return n;
}

static void keep_limit(struct grants *g, struct login *login)
{
	struct grant *grant, *newer;

	for (grant = login->oldest; grant && login->n_limited > g->settings.max_per_login;
		grant = newer) {
		newer = grant->newer;
		if (grant->is_limited)
			grant_drop(g, grant, true);
	}
}

static struct grant *grant_link(struct grants *g, uint64_t id, uint64_t user,
	struct oauth_client *client, const char *scope)
{
	struct grant *grant = mem_alloc(sizeof(*grant));
	struct login *login = login_make(g, user, client);

	grant->id = id;
	grant->user = user;
	grant->login = login;
	grant->scope = mem_text(scope);
	grant->older = login->newest;
	if (login->newest)
		login->newest->newer = grant;
	else
		login->oldest = grant;
	login->newest = grant;
	map_put(&g->by_id, &grant->id, sizeof(grant->id), grant);
	return grant;
}

/* refresh NULL: a grant without one. */
struct grant *grant_new(struct grants *g, uint64_t user, struct oauth_client *client,
	const char *scope, const char *refresh, bool is_limited, int64_t now_ms)
{
	struct grant *grant = grant_link(g, ++g->last_id, user, client, scope);

	grant->is_limited = is_limited;
	grant->issued_ms = now_ms;
	if (refresh) {
		grant_name_refresh(g, grant, refresh);
		if (g->settings.refresh_ttl_sec > 0)
			grant->refresh_ends_ms = now_ms + g->settings.refresh_ttl_sec * 1000;
	}
	journal_grant(g, grant);
	if (is_limited) {
		grant->login->n_limited++;
		keep_limit(g, grant->login);
	}
	return grant;
}

/* ---- codes ---- */

static void code_drop(struct grants *g, struct code *c)
{
	map_remove(&g->codes, c->text, strlen(c->text));
	mem_free(c->client_id);
	mem_free(c->redirect_uri);
	mem_free(c->challenge);
	mem_free(c->nonce);
	mem_free(c->scope);
	mem_free(c);
}

static void purge_codes(struct grants *g, int64_t now_ms, size_t keep)
{
	struct code *c;

	while ((c = g->oldest_code) &&
		(now_ms - c->made_ms > GRANTS_CODE_MS || g->codes.count > keep)) {
		g->oldest_code = c->next;
		if (!g->oldest_code)
			g->newest_code = NULL;
		code_drop(g, c);
	}
}

/* What the user's earlier grants in the project cover, added to scope. Owned by the caller. */
static char *with_granted(const struct grants *g, const struct consent *c)
{
	AUTO(buf_drop) struct buf scope = BUF_INIT(4096);
	struct oauth_client *client = client_find(g, c->client_id);
	const struct login *login;
	char word[256];

	buf_add_text(&scope, c->scope);
	for (client = client ? client->project->first : NULL; client;
		client = client->next_in_project) {
		login = login_find(g, c->user, client);
		for (const struct grant *x = login ? login->newest : NULL; x; x = x->older) {
			for (const char *at = x->scope; *at; at += strspn(at, " ")) {
				size_t len = strcspn(at, " ");

				snprintf(word, sizeof(word), "%.*s", (int)len, at);
				at += len;
				if (!scope_has(buf_text(&scope), word))
					buf_addf(&scope, " %s", word);
			}
		}
	}
	return mem_text(buf_text(&scope));
}

static bool has_consent(const struct grants *g, const char *client_id, uint64_t user)
{
	const struct oauth_client *c = client_find(g, client_id);

	for (c = c ? c->project->first : NULL; c; c = c->next_in_project)
		if (login_find(g, user, c))
			return true;
	return false;
}

bool grants_has_consent(struct grants *g, const char *client_id, uint64_t user)
{
	bool answer;

	grants_lock(g);
	answer = has_consent(g, client_id, user);
	grants_unlock(g);
	return answer;
}

void grants_code(struct grants *g, const struct consent *c, int64_t now_ms,
	char ret[static GRANTS_CODE_SIZE])
{
	struct code *code = mem_alloc(sizeof(*code));
	char random[RAND_TEXT_SIZE(48)];

	rand_text(48, random);
	snprintf(code->text, sizeof(code->text), "4/0A%s", random);
	memcpy(ret, code->text, GRANTS_CODE_SIZE);
	code->client_id = mem_text(c->client_id);
	code->redirect_uri = mem_text(c->redirect_uri);
	code->challenge = c->challenge ? mem_text(c->challenge) : NULL;
	code->nonce = c->nonce ? mem_text(c->nonce) : NULL;
	code->user = c->user;
	code->made_ms = now_ms;
	grants_lock(g);
	purge_codes(g, now_ms, GRANTS_CODES_MAX);
	code->scope = c->includes_granted ? with_granted(g, c) : mem_text(c->scope);
	/* Google gives a refresh token with the first consent only, unless asked to prompt again.
	 */
	code->is_offline =
		c->is_offline && (c->is_prompted || !has_consent(g, c->client_id, c->user));
	map_put(&g->codes, code->text, strlen(code->text), code);
	if (g->newest_code)
		g->newest_code->next = code;
	else
		g->oldest_code = code;
	g->newest_code = code;
	grants_unlock(g);
}

/* ---- tokens ---- */

void issued_drop(struct issued *i)
{
	mem_free(i->scope);
	mem_free(i->nonce);
	mem_free(i->client_id);
	*i = (struct issued){0};
}

static void issue(struct grants *g, const struct grant *grant, int64_t ttl_sec, int64_t now_ms,
	struct issued *ret)
{
	ret->expires_in = ttl_sec > 0 ? ttl_sec : g->settings.access_ttl_sec;
	access_write(g, grant, now_ms + ret->expires_in * 1000, ret->access);
	ret->scope = mem_text(grant->scope);
	ret->client_id = mem_text(grant->login->client->id);
	ret->user = grant->user;
	if (grant->refresh_ends_ms)
		ret->refresh_expires_in = (grant->refresh_ends_ms - now_ms) / 1000;
	atomic_fetch_add(&g->counts->tokens_issued, 1);
}

/* RFC 7636 section 4.6; only S256 is taken when the code is made. */
static bool verifies(const char *challenge, const char *verifier)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(64);
	uint8_t hash[HASH_SHA256_SIZE];

	if (!challenge)
		return true;
	if (!verifier)
		return false;
	hash_sha256(verifier, strlen(verifier), hash);
	text_base64url(&text, hash, sizeof(hash));
	return strcmp(buf_text(&text), challenge) == 0;
}

static enum grant_outcome check_code(struct grants *g, const char *client_id, const char *code,
	const char *redirect_uri, const char *verifier, int64_t now_ms, struct code **ret)
{
	struct code *c = map_get(&g->codes, code, strlen(code));

	if (c && c->is_used)
		atomic_fetch_add(&g->counts->code_reused, 1);
	if (!c || c->is_used || now_ms - c->made_ms > GRANTS_CODE_MS ||
		strcmp(c->client_id, client_id) != 0)
		return GRANT_BAD_CODE;
	c->is_used = true; /* whatever comes now, a code is shown once */
	if (!redirect_uri || strcmp(c->redirect_uri, redirect_uri) != 0)
		return GRANT_BAD_REDIRECT;
	if (!verifies(c->challenge, verifier))
		return GRANT_BAD_VERIFIER;
	*ret = c;
	return GRANT_DONE;
}

enum grant_outcome grants_exchange(struct grants *g, const char *client_id, const char *code,
	const char *redirect_uri, const char *verifier, const struct token_wish *wish,
	int64_t now_ms, struct issued *ret)
{
	enum grant_outcome outcome;
	struct grant *grant;
	struct code *c;

	grants_lock(g);
	outcome = check_code(g, client_id, code, redirect_uri, verifier, now_ms, &c);
	if (outcome == GRANT_DONE) {
		if (c->is_offline) {
			refresh_text(ret->refresh);
			atomic_fetch_add(&g->counts->refresh_tokens_issued, 1);
		}
		grant = grant_new(g, c->user, client_make(g, client_id), c->scope,
			c->is_offline ? ret->refresh : NULL, true, now_ms);
		issue(g, grant, wish->access_ttl_sec, now_ms, ret);
		ret->nonce = c->nonce ? mem_text(c->nonce) : NULL;
	}
	grants_unlock(g);
	return outcome;
}

static struct grant *living(struct grants *g, const char *client_id, const char *refresh,
	const struct token_wish *wish, int64_t now_ms)
{
	struct refresh_token *t = map_get(&g->by_refresh, refresh, strlen(refresh));

	if (!t || strcmp(t->grant->login->client->id, client_id) != 0)
		return NULL;
	if (t->is_old) {
		/* RFC 9700 section 4.14.2: an old token shown again means that it leaked. */
		atomic_fetch_add(&g->counts->refresh_reused, 1);
		if (wish->reuse_detection)
			grant_drop(g, t->grant, true);
		return NULL;
	}
	if (t->grant->refresh_ends_ms && now_ms >= t->grant->refresh_ends_ms) {
		grant_drop(g, t->grant, true);
		return NULL;
	}
	return t->grant;
}

static void journal_rotation(struct grants *g, const struct grant *grant)
{
	struct json_out o = JSON_OUT(&g->pending);

	json_open(&o, '{');
	json_add_text(&o, "k", "rotate");
	json_add_int(&o, "id", (int64_t)grant->id);
	json_add_text(&o, "refresh", grant->refresh->text);
	json_close(&o, '}');
	buf_add_char(&g->pending, '\n');
}

enum grant_outcome grants_refresh(struct grants *g, const char *client_id, const char *refresh,
	const struct token_wish *wish, int64_t now_ms, struct issued *ret)
{
	struct grant *grant;

	grants_lock(g);
	grant = living(g, client_id, refresh, wish, now_ms);
	if (grant) {
		grant->refreshes++;
		if (wish->rotate) {
			refresh_text(ret->refresh);
			grant_name_refresh(g, grant, ret->refresh);
			journal_rotation(g, grant);
			atomic_fetch_add(&g->counts->refresh_tokens_issued, 1);
		}
		issue(g, grant, wish->access_ttl_sec, now_ms, ret);
	}
	grants_unlock(g);
	return grant ? GRANT_DONE : GRANT_DEAD;
}

static struct grant *grant_by_token(struct grants *g, const char *token, int64_t now_ms)
{
	struct refresh_token *t = map_get(&g->by_refresh, token, strlen(token));
	struct access_parts parts;

	if (t)
		return t->is_old ? NULL : t->grant;
	if (access_read(g, token, strlen(token), &parts) != 0 || parts.ends_ms <= now_ms)
		return NULL;
	return map_get(&g->by_id, &parts.grant, sizeof(parts.grant));
}

bool grants_revoke(struct grants *g, const char *token, int64_t now_ms)
{
	struct grant *grant;

	grants_lock(g);
	grant = grant_by_token(g, token, now_ms);
	if (grant)
		project_drop_user(g, grant->login->client->project, grant->user);
	grants_unlock(g);
	return grant != NULL;
}

/* ---- life ---- */

void grants_init(struct grants *g, struct counts *counts)
{
	*g = (struct grants){.counts = counts, .pending = BUF_INIT(JOURNAL_LINE_MAX * 64)};
	g->settings = (struct grants_settings){.access_ttl_sec = 3599, .max_per_login = 100};
	pthread_mutex_init(&g->lock, NULL);
	rand_bytes(g->key, sizeof(g->key));
}

static void replay_grant(struct grants *g, const json_t *line)
{
	const char *client = json_text(line, "client_id"), *refresh = json_text(line, "refresh");
	const char *scope = json_text(line, "scope");
	uint64_t id = (uint64_t)json_int(line, "id", 0), user = (uint64_t)json_int(line, "user", 0);
	struct grant *grant;

	if (!client || !scope || !id)
		return;
	grant = grant_link(g, id, user, client_make(g, client), scope);
	grant->is_limited = json_flag(line, "limited", false);
	grant->login->n_limited += grant->is_limited;
	grant->issued_ms = json_int(line, "issued", 0);
	grant->refresh_ends_ms = json_int(line, "ends", 0);
	if (refresh)
		grant_name_refresh(g, grant, refresh);
	if (id > g->last_id)
		g->last_id = id;
}

void grants_replay(struct grants *g, const json_t *line)
{
	const char *kind = json_text(line, "k"), *client_id = json_text(line, "client_id");
	struct oauth_client *client = client_id ? client_find(g, client_id) : NULL;
	uint64_t id = (uint64_t)json_int(line, "id", 0);
	struct grant *grant = map_get(&g->by_id, &id, sizeof(id));

	if (text_equal(kind, "grant"))
		replay_grant(g, line);
	else if (text_equal(kind, "drop") && grant)
		grant_drop(g, grant, false);
	else if (text_equal(kind, "rotate") && grant && json_text(line, "refresh"))
		grant_name_refresh(g, grant, json_text(line, "refresh"));
	else if (text_equal(kind, "generation"))
		g->generation = json_int(line, "generation", 0);
	else if (text_equal(kind, "client"))
		client_replay(g, line);
	else if (text_equal(kind, "no_client") && client)
		client_remove(g, client);
}

void grants_expire_access(struct grants *g)
{
	grants_lock(g);
	g->generation++;
	journal_number(g, "generation", "generation", g->generation);
	grants_unlock(g);
}

static int free_login(void *arg, const void *key, size_t len, void *value)
{
	(void)arg, (void)key, (void)len;
	mem_free(value);
	return 0;
}

static int free_grant(void *arg, const void *key, size_t len, void *value)
{
	struct grant *grant = value;

	(void)arg, (void)key, (void)len;
	mem_free(grant->refresh);
	for (unsigned i = 0; i < GRANT_OLD_MAX; i++)
		mem_free(grant->old[i]);
	mem_free(grant->scope);
	mem_free(grant);
	return 0;
}

void grants_free(struct grants *g)
{
	purge_codes(g, INT64_MAX, 0);
	map_each(&g->by_id, free_grant, NULL);
	map_each(&g->logins, free_login, NULL);
	map_drop(&g->by_id);
	map_drop(&g->by_refresh);
	map_drop(&g->logins);
	map_drop(&g->codes);
	client_free_all(g);
	buf_drop(&g->pending);
	pthread_mutex_destroy(&g->lock);
}
