/* SPDX-License-Identifier: Apache-2.0 */
/* Grants as the APIs check them, and as the control routes see and make them. */
#include "simulator/grants_inner.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "simulator/world.h"

#define MINUTE_MS 60000

/*
 * A window starts with its first request and lasts a minute, or what stands for one. A little slack
 * keeps an evenly paced caller, whose requests jitter by a few milliseconds, from falling over the
 * edge. 0 taken, else ms to wait.
 */
static int64_t window_take(
	struct quota_window *w, int64_t limit, const struct quota_rules *rules, int64_t now_ms)
{
	int64_t minute_ms = rules->minute_ms > 0 ? rules->minute_ms : MINUTE_MS;
	int64_t most = limit + (limit * rules->slack_percent + 99) / 100;

	if (now_ms - w->started_ms >= minute_ms || now_ms < w->started_ms)
		*w = (struct quota_window){.started_ms = now_ms};
	if (w->used >= most)
		return w->started_ms + minute_ms - now_ms;
	w->used++;
	return 0;
}

static struct quota_window *profile_window(struct project *p, uint64_t location)
{
	struct quota_window *w = map_get(&p->profiles, &location, sizeof(location));

	if (!w) {
		w = mem_alloc(sizeof(*w));
		map_put(&p->profiles, &location, sizeof(location), w);
	}
	return w;
}

static int64_t take_quota(struct project *p, int api, const uint64_t *edited,
	const struct quota_rules *rules, int64_t now_ms)
{
	struct quota_rules strict = {.minute_ms = rules->minute_ms};
	int64_t wait = 0;

	if (rules->per_minute == 0)
		return MINUTE_MS;
	if (rules->per_minute > 0)
		wait = window_take(&p->windows[api], rules->per_minute, rules, now_ms);
	if (wait == 0 && edited && rules->edits_per_minute >= 0)
		wait = window_take(
			profile_window(p, *edited), rules->edits_per_minute, &strict, now_ms);
	return wait;
}

static enum bearer_outcome check(struct grants *g, const char *token, size_t len, const char *scope,
	int64_t now_ms, struct grant **ret)
{
	struct access_parts parts;
	struct grant *grant;

	if (access_read(g, token, len, &parts) != 0)
		return BEARER_INVALID;
	grant = map_get(&g->by_id, &parts.grant, sizeof(parts.grant));
	if (!grant)
		return BEARER_INVALID;
	*ret = grant;
	if (parts.ends_ms <= now_ms || parts.generation != g->generation)
		return BEARER_EXPIRED;
	return scope_has(grant->scope, scope) ? BEARER_GOOD : BEARER_NO_SCOPE;
}

enum bearer_outcome grants_check_bearer(struct grants *g, const char *token, size_t len,
	const char *scope, int api, const uint64_t *edited, const struct quota_rules *rules,
	int64_t now_ms, struct bearer *ret)
{
	struct grant *grant = NULL;
	enum bearer_outcome outcome;

	grants_lock(g);
	outcome = check(g, token, len, scope, now_ms, &grant);
	if (outcome == BEARER_GOOD) {
		ret->user = grant->user;
		snprintf(ret->project, sizeof(ret->project), "%s",
			grant->login->client->project->name);
		ret->retry_ms =
			take_quota(grant->login->client->project, api, edited, rules, now_ms);
		if (ret->retry_ms > 0)
			outcome = BEARER_THROTTLED;
	}
	grants_unlock(g);
	return outcome;
}

/* ---- control ---- */

struct selection {
	uint64_t user;
	const char *client_id;
	struct grant **rows;
	size_t n;
};

static int select_grant(void *arg, const void *key, size_t len, void *value)
{
	struct selection *s = arg;
	struct grant *grant = value;

	(void)key, (void)len;
	if ((s->user == WORLD_NONE || s->user == grant->user) &&
		(!s->client_id || text_equal(s->client_id, grant->login->client->id)))
		s->rows[s->n++] = grant;
	return 0;
}

int64_t grants_kill(struct grants *g, uint64_t user, const char *client_id)
{
	struct selection s = {.user = user, .client_id = client_id};

	grants_lock(g);
	s.rows = mem_alloc_array(g->by_id.count, sizeof(*s.rows));
	map_each(&g->by_id, select_grant, &s);
	for (size_t i = 0; i < s.n; i++)
		grant_drop(g, s.rows[i], true);
	grants_unlock(g);
	mem_free(s.rows);
	return (int64_t)s.n;
}

bool grants_kill_refresh(struct grants *g, const char *refresh)
{
	struct refresh_token *t;

	grants_lock(g);
	t = map_get(&g->by_refresh, refresh, strlen(refresh));
	if (t)
		grant_drop(g, t->grant, true);
	grants_unlock(g);
	return t != NULL;
}

void grants_mint(struct grants *g, const char *client_id, uint64_t user, const char *scope,
	int64_t access_ttl_sec, int64_t now_ms, struct issued *ret)
{
	struct grant *grant;

	refresh_text(ret->refresh);
	grants_lock(g);
	grant = grant_new(g, user, client_make(g, client_id), scope, ret->refresh, false, now_ms);
	ret->expires_in = access_ttl_sec > 0 ? access_ttl_sec : g->settings.access_ttl_sec;
	access_write(g, grant, now_ms + ret->expires_in * 1000, ret->access);
	ret->scope = mem_text(scope);
	ret->client_id = mem_text(client_id);
	ret->user = user;
	grants_unlock(g);
}

static void put_grant(const struct grant *grant, bool with_tokens, struct buf *to)
{
	struct json_out o = JSON_OUT(to);

	json_open(&o, '{');
	json_add_int(&o, "id", (int64_t)grant->id);
	json_add_int(&o, "user", (int64_t)grant->user);
	json_add_text(&o, "client_id", grant->login->client->id);
	json_add_text(&o, "project", grant->login->client->project->name);
	json_add_text(&o, "scope", grant->scope);
	json_add_int(&o, "refreshes", grant->refreshes);
	json_add_int(&o, "rotations", grant->n_old);
	json_add_time(&o, "issued_at", grant->issued_ms);
	json_add_bool(&o, "has_refresh_token", grant->refresh != NULL);
	if (with_tokens && grant->refresh)
		json_add_text(&o, "refresh_token", grant->refresh->text);
	json_close(&o, '}');
	buf_add_char(to, '\n');
}

uint64_t grants_write(
	struct grants *g, uint64_t after, int64_t limit, bool with_tokens, struct buf *to)
{
	const struct grant *grant;
	uint64_t id;

	grants_lock(g);
	for (id = after + 1; id <= g->last_id && limit > 0; id++) {
		grant = map_get(&g->by_id, &id, sizeof(id));
		if (!grant)
			continue;
		put_grant(grant, with_tokens, to);
		limit--;
	}
	id = id > g->last_id ? 0 : id - 1;
	grants_unlock(g);
	return id;
}

int64_t grants_count(struct grants *g)
{
	int64_t n;

	grants_lock(g);
	n = (int64_t)g->by_id.count;
	grants_unlock(g);
	return n;
}
