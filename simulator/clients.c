/* SPDX-License-Identifier: Apache-2.0 */
/* The OAuth clients: remembered on first sight, or set through the control route. */
#include "simulator/grants_inner.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

struct oauth_client *client_find(const struct grants *g, const char *id)
{
	return map_get(&g->clients, id, strlen(id));
}

static struct project *project_make(struct grants *g, const char *client_id)
{
	size_t len = strcspn(client_id, "-");
	struct project *p = map_get(&g->projects, client_id, len);

	if (p)
		return p;
	p = mem_alloc(sizeof(*p));
	p->name = mem_text_n(client_id, len);
	map_put(&g->projects, client_id, len, p);
	return p;
}

struct oauth_client *client_make(struct grants *g, const char *id)
{
	struct oauth_client *c = client_find(g, id);

	if (c)
		return c;
	c = mem_alloc(sizeof(*c));
	c->id = mem_text(id);
	c->project = project_make(g, id);
	c->next_in_project = c->project->first;
	c->project->first = c;
	map_put(&g->clients, id, strlen(id), c);
	return c;
}

static void put_client(struct json_out *o, const struct oauth_client *c, bool with_secrets)
{
	json_add_text(o, "client_id", c->id);
	json_add_text(o, "project", c->project->name);
	json_add_bool(o, "disabled", c->is_disabled);
	json_key(o, "redirect_uris");
	json_open(o, '[');
	for (int i = 0; i < CLIENT_URIS_MAX && c->redirect_uris[i]; i++)
		json_put_text(o, c->redirect_uris[i]);
	json_close(o, ']');
	if (!with_secrets) {
		json_add_int(o, "secrets", !!c->secrets[0] + !!c->secrets[1]);
		return;
	}
	json_key(o, "client_secrets");
	json_open(o, '[');
	for (int i = 0; i < CLIENT_SECRETS_MAX; i++)
		if (c->secrets[i])
			json_put_text(o, c->secrets[i]);
	json_close(o, ']');
}

static void journal_client(struct grants *g, const struct oauth_client *c)
{
	struct json_out o = JSON_OUT(&g->pending);

	json_open(&o, '{');
	json_add_text(&o, "k", "client");
	put_client(&o, c, true);
	json_close(&o, '}');
	buf_add_char(&g->pending, '\n');
}

static enum client_outcome see(struct grants *g, const char *id, struct oauth_client **ret)
{
	struct oauth_client *c = client_find(g, id);

	if (!c && g->settings.strict_clients)
		return CLIENT_UNKNOWN;
	if (!c) {
		c = client_make(g, id);
		journal_client(g, c);
	}
	*ret = c;
	return c->is_disabled ? CLIENT_DISABLED : CLIENT_GOOD;
}

static bool has_redirect(const struct oauth_client *c, const char *uri)
{
	if (!c->redirect_uris[0])
		return true;
	for (int i = 0; i < CLIENT_URIS_MAX && c->redirect_uris[i]; i++)
		if (strcmp(c->redirect_uris[i], uri) == 0)
			return true;
	return false;
}

enum client_outcome grants_check_redirect(struct grants *g, const char *client_id, const char *uri)
{
	struct oauth_client *c;
	enum client_outcome outcome;

	grants_lock(g);
	outcome = see(g, client_id, &c);
	if (outcome == CLIENT_GOOD && !has_redirect(c, uri))
		outcome = CLIENT_BAD_REDIRECT;
	grants_unlock(g);
	return outcome;
}

static enum client_outcome check_secret(
	struct grants *g, struct oauth_client *c, const char *secret)
{
	if (!secret || !*secret)
		return CLIENT_NO_SECRET;
	if (!c->secrets[0] && !c->secrets[1]) {
		c->secrets[0] = mem_text(secret);
		journal_client(g, c);
		return CLIENT_GOOD;
	}
	for (int i = 0; i < CLIENT_SECRETS_MAX; i++)
		if (text_equal(c->secrets[i], secret))
			return CLIENT_GOOD;
	return CLIENT_BAD_SECRET;
}

enum client_outcome grants_check_client(struct grants *g, const char *client_id, const char *secret)
{
	struct oauth_client *c;
	enum client_outcome outcome;

	grants_lock(g);
	outcome = see(g, client_id, &c);
	if (outcome == CLIENT_GOOD)
		outcome = check_secret(g, c, secret);
	grants_unlock(g);
	return outcome;
}

/* ---- changing ---- */

static void set_list(char **list, size_t max, const json_t *value)
{
	size_t n = json_array_size(value);

	for (size_t i = 0; i < max; i++) {
		mem_free(list[i]);
		list[i] = i < n ? mem_text(json_string_value(json_array_get(value, i))) : NULL;
	}
}

static int check_list(const json_t *described, const char *key, size_t max, struct fault *f)
{
	const json_t *list = json_member(described, key);

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > max)
		return fault_input(f, key, "%s must be an array of at most %zu strings", key, max);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!json_is_string(json_array_get(list, i)))
			return fault_input(f, key, "%s must hold strings only", key);
	return 0;
}

static void apply(struct oauth_client *c, const json_t *described)
{
	const char *secret = json_text(described, "client_secret");

	if (json_member(described, "client_secrets"))
		set_list(c->secrets, CLIENT_SECRETS_MAX, json_member(described, "client_secrets"));
	if (secret) {
		set_list(c->secrets, CLIENT_SECRETS_MAX, NULL);
		c->secrets[0] = mem_text(secret);
	}
	if (json_member(described, "redirect_uris"))
		set_list(
			c->redirect_uris, CLIENT_URIS_MAX, json_member(described, "redirect_uris"));
	c->is_disabled = json_flag(described, "disabled", c->is_disabled);
}

int grants_set_client(struct grants *g, const json_t *described, struct fault *f)
{
	const char *id = json_text(described, "client_id");
	struct oauth_client *c;

	if (!id || !*id)
		return fault_input(f, "client_id", "client_id is missing");
	if (check_list(described, "client_secrets", CLIENT_SECRETS_MAX, f) < 0 ||
		check_list(described, "redirect_uris", CLIENT_URIS_MAX, f) < 0)
		return -1;
	grants_lock(g);
	c = client_make(g, id);
	apply(c, described);
	journal_client(g, c);
	grants_unlock(g);
	return 0;
}

void client_replay(struct grants *g, const json_t *line)
{
	const char *id = json_text(line, "client_id");

	if (id)
		apply(client_make(g, id), line);
}

/* ---- ends ---- */

struct doomed {
	struct grants *g;
	struct oauth_client *client;
	struct login **rows;
	size_t n;
};

static int note_login(void *arg, const void *key, size_t len, void *value)
{
	struct doomed *d = arg;
	struct login *login = value;

	(void)key, (void)len;
	if (login->client == d->client)
		d->rows[d->n++] = login;
	return 0;
}

static void client_free(struct oauth_client *c)
{
	set_list(c->secrets, CLIENT_SECRETS_MAX, NULL);
	set_list(c->redirect_uris, CLIENT_URIS_MAX, NULL);
	mem_free(c->id);
	mem_free(c);
}

void client_remove(struct grants *g, struct oauth_client *c)
{
	struct oauth_client **at = &c->project->first;

	while (*at != c)
		at = &(*at)->next_in_project;
	*at = c->next_in_project;
	map_remove(&g->clients, c->id, strlen(c->id));
	client_free(c);
}

bool grants_delete_client(struct grants *g, const char *client_id)
{
	struct doomed d = {.g = g};
	struct json_out o;

	grants_lock(g);
	d.client = client_find(g, client_id);
	if (!d.client) {
		grants_unlock(g);
		return false;
	}
	d.rows = mem_alloc_array(g->logins.count, sizeof(*d.rows));
	map_each(&g->logins, note_login, &d);
	for (size_t i = 0; i < d.n; i++)
		login_drop_grants(g, d.rows[i]);
	client_remove(g, d.client);
	o = JSON_OUT(&g->pending);
	json_open(&o, '{');
	json_add_text(&o, "k", "no_client");
	json_add_text(&o, "client_id", client_id);
	json_close(&o, '}');
	buf_add_char(&g->pending, '\n');
	grants_unlock(g);
	mem_free(d.rows);
	return true;
}

static int free_client(void *arg, const void *key, size_t len, void *value)
{
	(void)arg, (void)key, (void)len;
	client_free(value);
	return 0;
}

static int free_window(void *arg, const void *key, size_t len, void *value)
{
	(void)arg, (void)key, (void)len;
	mem_free(value);
	return 0;
}

static int free_project(void *arg, const void *key, size_t len, void *value)
{
	struct project *p = value;

	(void)arg, (void)key, (void)len;
	map_each(&p->profiles, free_window, NULL);
	map_drop(&p->profiles);
	mem_free(p->name);
	mem_free(p);
	return 0;
}

void client_free_all(struct grants *g)
{
	map_each(&g->clients, free_client, NULL);
	map_drop(&g->clients);
	map_each(&g->projects, free_project, NULL);
	map_drop(&g->projects);
}

struct writing {
	struct json_out *o;
};

static int write_client(void *arg, const void *key, size_t len, void *value)
{
	struct writing *w = arg;

	(void)key, (void)len;
	json_open(w->o, '{');
	put_client(w->o, value, false);
	json_close(w->o, '}');
	return 0;
}

void grants_write_clients(struct grants *g, struct json_out *o)
{
	struct writing w = {.o = o};

	json_open(o, '[');
	grants_lock(g);
	map_each(&g->clients, write_client, &w);
	grants_unlock(g);
	json_close(o, ']');
}
