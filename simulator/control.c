/* SPDX-License-Identifier: Apache-2.0 */
/* Counts, faults, settings, clients, quota. */
#include "simulator/control.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

bool control_body(struct request *r, json_t **ret)
{
	struct fault f;

	if (!r->body.len) {
		*ret = json_object();
		return true;
	}
	if (json_parse(buf_text(&r->body), r->body.len, ret, &f) == 0)
		return true;
	answer_control_error(r, 400, "%s", f.text);
	return false;
}

static bool read_number(struct request *r, const char *name, int64_t most, int64_t *ret)
{
	const char *text = params_get(&r->query, name);

	if (!text)
		return true;
	if (text_parse_int(text, ret) == 0 && *ret >= 0 && *ret <= most)
		return true;
	answer_control_error(
		r, 400, "%s must be a whole number from 0 to %lld", name, (long long)most);
	return false;
}

bool control_range(struct request *r, int64_t *ret_offset, int64_t *ret_limit)
{
	*ret_offset = 0;
	*ret_limit = CONTROL_LIST;
	return read_number(r, "offset", INT64_MAX, ret_offset) &&
	       read_number(r, "limit", CONTROL_LIST_MAX, ret_limit);
}

void control_ok(struct request *r)
{
	buf_add_text(answer_start(r, 200, ANSWER_JSON), "{\"ok\":true}");
}

bool control_keys(struct request *r, const json_t *object, const char *const *known)
{
	const char *key;
	json_t *value;
	size_t i;

	if (!json_is_object(object)) {
		answer_control_error(r, 400, "the body must be a JSON object");
		return false;
	}
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		for (i = 0; known[i] && strcmp(known[i], key) != 0; i++)
			;
		if (!known[i]) {
			answer_control_error(r, 400, "there is no field \"%.40s\" here", key);
			return false;
		}
	}
	return true;
}

/* ---- counts ---- */

void control_counts(struct request *r)
{
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));

	counts_write(&r->sim->counts, &o, atomic_load(&r->sim->faults.applied));
}

void control_counts_reset(struct request *r)
{
	counts_reset(&r->sim->counts);
	atomic_store(&r->sim->faults.applied, 0);
	control_ok(r);
}

/* ---- faults ---- */

void control_faults_get(struct request *r)
{
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));

	json_open(&o, '{');
	json_key(&o, "faults");
	faults_write(&r->sim->faults, &o);
	json_close(&o, '}');
}

void control_faults_post(struct request *r)
{
	AUTO(json_drop) json_t *body = NULL;
	AUTO(buf_drop) struct buf ids = BUF_INIT(1024 * 1024);
	struct json_out o = JSON_OUT(&ids);
	const json_t *list;
	struct fault f;
	int64_t id;
	size_t n;

	if (!control_body(r, &body))
		return;
	list = json_is_array(body) ? body : NULL;
	n = list ? json_array_size(list) : 1;
	json_open(&o, '{');
	json_key(&o, "ids");
	json_open(&o, '[');
	for (size_t i = 0; i < n; i++) {
		if (faults_add(&r->sim->faults, list ? json_array_get(list, i) : body, &id, &f) <
			0) {
			answer_control_error(r, 400, "%s", f.text);
			return;
		}
		json_put_int(&o, id);
	}
	json_close(&o, ']');
	json_close(&o, '}');
	buf_add(answer_start(r, 200, ANSWER_JSON), ids.data, ids.len);
}

void control_faults_clear(struct request *r)
{
	faults_clear(&r->sim->faults);
	control_ok(r);
}

void control_fault_delete(struct request *r)
{
	int64_t id;

	if (text_parse_int(r->args[0], &id) == 0 && faults_remove(&r->sim->faults, id))
		control_ok(r);
	else
		answer_control_error(r, 404, "there is no fault %s", r->args[0]);
}

/* ---- settings ---- */

static const char *const modes[] = {
	[CONSENT_ASK] = "ask", [CONSENT_ALLOW] = "allow", [CONSENT_DENY] = "deny"};

static void write_settings(struct request *r)
{
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	struct tunables t = tunables(r->sim);
	const struct grants_settings *g = &r->sim->grants.settings;

	json_open(&o, '{');
	json_add_text(&o, "auto_consent", modes[t.auto_consent]);
	json_add_text(&o, "auto_account", t.auto_account);
	json_add_text(&o, "issuer", t.issuer);
	json_add_bool(&o, "send_iss", t.send_iss);
	json_add_bool(&o, "strict_page_size", t.strict_page_size);
	json_add_bool(&o, "batch_empty", t.batch_empty);
	json_add_text(&o, "reply_state", t.reply_state);
	overlay_read(&r->sim->overlay);
	json_add_bool(&o, "reply_moves_review", r->sim->overlay.reply_moves_review);
	overlay_done(&r->sim->overlay);
	pthread_mutex_lock(&r->sim->grants.lock);
	json_add_int(&o, "access_token_ttl_sec", g->access_ttl_sec);
	json_add_int(&o, "refresh_token_ttl_sec", g->refresh_ttl_sec);
	json_add_int(&o, "max_refresh_tokens", g->max_per_login);
	json_add_bool(&o, "strict_clients", g->strict_clients);
	pthread_mutex_unlock(&r->sim->grants.lock);
	json_key(&o, "quota");
	json_open(&o, '{');
	if (t.quota.per_minute >= 0)
		json_add_int(&o, "per_minute", t.quota.per_minute);
	else
		json_add_null(&o, "per_minute");
	if (t.quota.edits_per_minute >= 0)
		json_add_int(&o, "edits_per_minute", t.quota.edits_per_minute);
	else
		json_add_null(&o, "edits_per_minute");
	json_add_int(&o, "slack_percent", t.quota.slack_percent);
	json_close(&o, '}');
	json_close(&o, '}');
}

void control_settings_get(struct request *r)
{
	write_settings(r);
}

static void set_text(const json_t *body, const char *key, char *to, size_t size)
{
	const char *text = json_text(body, key);

	if (text)
		snprintf(to, size, "%s", text);
}

/* Every member there is must have the type that its kind of setting has. */
static bool check_types(struct request *r, const json_t *body)
{
	static const char *const texts[] = {
		"auto_consent", "auto_account", "issuer", "reply_state"};
	static const char *const flags[] = {"send_iss", "strict_page_size", "batch_empty",
		"reply_moves_review", "strict_clients"};
	static const char *const numbers[] = {
		"access_token_ttl_sec", "refresh_token_ttl_sec", "max_refresh_tokens"};
	const json_t *value;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		value = json_member(body, texts[i]);
		if (value && !json_is_string(value)) {
			answer_control_error(r, 400, "%s must be a string", texts[i]);
			return false;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		value = json_member(body, flags[i]);
		if (value && !json_is_boolean(value)) {
			answer_control_error(r, 400, "%s must be true or false", flags[i]);
			return false;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		value = json_member(body, numbers[i]);
		if (value && (!json_is_integer(value) || json_integer_value(value) < 0)) {
			answer_control_error(r, 400, "%s must be a whole number", numbers[i]);
			return false;
		}
	}
	return true;
}

static bool read_mode(struct request *r, const json_t *body, enum consent_mode *ret)
{
	const char *mode = json_text(body, "auto_consent");

	if (!mode)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (strcmp(modes[i], mode) == 0) {
			*ret = (enum consent_mode)i;
			return true;
		}
	}
	answer_control_error(r, 400, "auto_consent must be ask, allow or deny");
	return false;
}

static void set_grants(struct grants *g, const json_t *body)
{
	struct grants_settings *s = &g->settings;

	pthread_mutex_lock(&g->lock);
	s->access_ttl_sec = json_int(body, "access_token_ttl_sec", s->access_ttl_sec);
	s->refresh_ttl_sec = json_int(body, "refresh_token_ttl_sec", s->refresh_ttl_sec);
	s->max_per_login = json_int(body, "max_refresh_tokens", s->max_per_login);
	s->strict_clients = json_flag(body, "strict_clients", s->strict_clients);
	pthread_mutex_unlock(&g->lock);
}

void control_settings_post(struct request *r)
{
	static const char *const known[] = {"auto_consent", "auto_account", "issuer", "send_iss",
		"strict_page_size", "batch_empty", "reply_state", "reply_moves_review",
		"access_token_ttl_sec", "refresh_token_ttl_sec", "max_refresh_tokens",
		"strict_clients", NULL};
	AUTO(json_drop) json_t *body = NULL;
	struct tunables *t = &r->sim->tunables_now;
	enum consent_mode mode = tunables(r->sim).auto_consent;

	if (!control_body(r, &body) || !control_keys(r, body, known) || !check_types(r, body) ||
		!read_mode(r, body, &mode))
		return;
	pthread_mutex_lock(&r->sim->tunables_lock);
	t->auto_consent = mode;
	set_text(body, "auto_account", t->auto_account, sizeof(t->auto_account));
	set_text(body, "issuer", t->issuer, sizeof(t->issuer));
	set_text(body, "reply_state", t->reply_state, sizeof(t->reply_state));
	t->send_iss = json_flag(body, "send_iss", t->send_iss);
	t->strict_page_size = json_flag(body, "strict_page_size", t->strict_page_size);
	t->batch_empty = json_flag(body, "batch_empty", t->batch_empty);
	pthread_mutex_unlock(&r->sim->tunables_lock);
	set_grants(&r->sim->grants, body);
	overlay_write(&r->sim->overlay);
	r->sim->overlay.reply_moves_review =
		json_flag(body, "reply_moves_review", r->sim->overlay.reply_moves_review);
	overlay_done(&r->sim->overlay);
	write_settings(r);
}

/* null: no limit. False: answered. */
static bool read_limit(struct request *r, const json_t *body, const char *key, int64_t *ret)
{
	const json_t *value = json_member(body, key);

	if (!value)
		return true;
	if (json_is_null(value)) {
		*ret = -1;
		return true;
	}
	*ret = json_is_integer(value) ? json_integer_value(value) : -1;
	if (*ret >= 0)
		return true;
	answer_control_error(
		r, 400, "%s must be a whole number that is not negative, or null", key);
	return false;
}

void control_quota(struct request *r)
{
	static const char *const known[] = {
		"per_minute", "edits_per_minute", "slack_percent", "minute_ms", NULL};
	struct quota_rules rules = tunables(r->sim).quota;
	AUTO(json_drop) json_t *body = NULL;

	if (!control_body(r, &body) || !control_keys(r, body, known) ||
		!read_limit(r, body, "per_minute", &rules.per_minute) ||
		!read_limit(r, body, "edits_per_minute", &rules.edits_per_minute) ||
		!read_limit(r, body, "slack_percent", &rules.slack_percent) ||
		!read_limit(r, body, "minute_ms", &rules.minute_ms))
		return;
	if (rules.slack_percent < 0)
		rules.slack_percent = 0;
	pthread_mutex_lock(&r->sim->tunables_lock);
	r->sim->tunables_now.quota = rules;
	pthread_mutex_unlock(&r->sim->tunables_lock);
	write_settings(r);
}

/* ---- clients ---- */

void control_clients_get(struct request *r)
{
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));

	json_open(&o, '{');
	json_key(&o, "clients");
	grants_write_clients(&r->sim->grants, &o);
	json_close(&o, '}');
}

void control_clients_post(struct request *r)
{
	static const char *const known[] = {
		"client_id", "client_secret", "client_secrets", "redirect_uris", "disabled", NULL};
	AUTO(json_drop) json_t *body = NULL;
	struct fault f;

	if (!control_body(r, &body) || !control_keys(r, body, known))
		return;
	if (grants_set_client(&r->sim->grants, body, &f) < 0)
		answer_control_error(r, 400, "%s", f.text);
	else
		control_ok(r);
}

void control_client_delete(struct request *r)
{
	if (grants_delete_client(&r->sim->grants, r->args[0]))
		control_ok(r);
	else
		answer_control_error(r, 404, "there is no client %s", r->args[0]);
}
