/* SPDX-License-Identifier: Apache-2.0 */
/* Notifications v1: one setting, one topic an account. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "simulator/api.h"

/* Writes the setting as it is: {"name", "pubsubTopic", "notificationTypes"}, empty fields left out.
 */
static void write_setting(struct request *r, const char *account)
{
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	AUTO(json_drop) json_t *kept = NULL;
	const json_t *types;
	const char *text;
	char name[96];
	struct fault f;

	pthread_mutex_lock(&r->sim->settings_lock);
	text = map_get(&r->sim->notifications, account, strlen(account));
	if (text && json_parse(text, strlen(text), &kept, &f) < 0)
		kept = NULL;
	pthread_mutex_unlock(&r->sim->settings_lock);
	snprintf(name, sizeof(name), "accounts/%s/notificationSetting", account);
	json_open(&o, '{');
	json_add_text(&o, "name", name);
	text = json_text(kept, "pubsubTopic");
	if (text && *text)
		json_add_text(&o, "pubsubTopic", text);
	types = json_member(kept, "notificationTypes");
	if (json_array_size(types)) {
		json_key(&o, "notificationTypes");
		json_open(&o, '[');
		for (size_t i = 0; i < json_array_size(types); i++)
			json_put_text(&o, json_string_value(json_array_get(types, i)));
		json_close(&o, ']');
	}
	json_close(&o, '}');
}

void notification_get(struct request *r)
{
	uint64_t user, account;

	if (api_begin(r, API_NOTIFICATIONS, NULL, &user) &&
		api_account(r, user, r->args[0], &account))
		write_setting(r, r->args[0]);
}

static bool is_topic(const char *text)
{
	const char *at;

	if (!text || !*text)
		return true;
	at = strstr(text, "/topics/");
	return text_starts(text, "projects/") && at && at > text + strlen("projects/") &&
	       at[strlen("/topics/")];
}

static bool check_body(struct request *r, const json_t *body)
{
	const json_t *types = json_member(body, "notificationTypes");

	if (!json_is_object(body) || !is_topic(json_text(body, "pubsubTopic"))) {
		answer_invalid(
			r, "pubsub_topic", "The topic must look like projects/{p}/topics/{t}.");
		return false;
	}
	for (size_t i = 0; i < json_array_size(types); i++) {
		if (!json_is_string(json_array_get(types, i))) {
			answer_invalid(
				r, "notification_types", "The notification types must be strings.");
			return false;
		}
	}
	return true;
}

/* The mask is a comma list of the two fields. */
static bool read_mask(struct request *r, bool *ret_topic, bool *ret_types)
{
	const char *at = params_get(&r->query, "updateMask");
	size_t len;

	*ret_topic = *ret_types = false;
	for (; at && *at; at += len + (at[len] == ',')) {
		len = strcspn(at, ",");
		if ((len == 11 && memcmp(at, "pubsubTopic", 11) == 0) ||
			(len == 12 && memcmp(at, "pubsub_topic", 12) == 0))
			*ret_topic = true;
		else if ((len == 17 && memcmp(at, "notificationTypes", 17) == 0) ||
			 (len == 18 && memcmp(at, "notification_types", 18) == 0))
			*ret_types = true;
		else
			break;
	}
	if ((*ret_topic || *ret_types) && !*at)
		return true;
	answer_invalid(r, "update_mask",
		"update_mask is required: pubsubTopic, notificationTypes or both.");
	return false;
}

/* What the mask names and the body lacks is emptied. */
static void set_field(json_t *setting, const char *key, const json_t *body)
{
	json_t *value = json_member(body, key);

	if (value)
		json_object_set(setting, key, value);
	else
		json_object_del(setting, key);
}

static void keep(struct request *r, const json_t *body, bool has_topic, bool has_types)
{
	struct simulator *s = r->sim;
	const char *account = r->args[0];
	AUTO(json_drop) json_t *now = NULL;
	struct fault f;
	char *text;

	pthread_mutex_lock(&s->settings_lock);
	text = map_get(&s->notifications, account, strlen(account));
	if (!text || json_parse(text, strlen(text), &now, &f) < 0)
		now = json_object();
	if (has_topic)
		set_field(now, "pubsubTopic", body);
	if (has_types)
		set_field(now, "notificationTypes", body);
	text = json_dumps(now, JSON_COMPACT);
	mem_free(map_put(&s->notifications, account, strlen(account), text));
	pthread_mutex_unlock(&s->settings_lock);
}

static void journal_setting(struct request *r)
{
	AUTO(buf_drop) struct buf line = BUF_INIT(JOURNAL_LINE_MAX);
	struct json_out o = JSON_OUT(&line);
	const char *text;

	json_open(&o, '{');
	json_add_text(&o, "k", "notification");
	json_add_text(&o, "account", r->args[0]);
	pthread_mutex_lock(&r->sim->settings_lock);
	text = map_get(&r->sim->notifications, r->args[0], strlen(r->args[0]));
	json_add_text(&o, "setting", text);
	pthread_mutex_unlock(&r->sim->settings_lock);
	json_close(&o, '}');
	buf_add_char(&line, '\n');
	journal_add(r->sim->journal, &line);
}

void notification_patch(struct request *r)
{
	AUTO(json_drop) json_t *body = NULL;
	bool has_topic, has_types;
	uint64_t user, account;
	struct fault f;

	if (!api_begin(r, API_NOTIFICATIONS, NULL, &user) ||
		!api_account(r, user, r->args[0], &account) ||
		!read_mask(r, &has_topic, &has_types))
		return;
	if (json_parse(buf_text(&r->body), r->body.len, &body, &f) < 0) {
		answer_invalid(r, "body", "The body must be a JSON object.");
		return;
	}
	if (!check_body(r, body))
		return;
	keep(r, body, has_topic, has_types);
	journal_setting(r);
	write_setting(r, r->args[0]);
}
