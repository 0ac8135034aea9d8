/* SPDX-License-Identifier: Apache-2.0 */
/* /token-management/keys: API keys, for admins. A key is in one answer only: the one that made it.
 */
#include <string.h>

#include "api/route.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#define BRANCHES_MOST 1000
#define PER_MINUTE_MOST 60000000

/* Who sees some branches only may not make a key that sees more. */
static int refuse_bound(const struct request *req, struct fault *f)
{
	if (!req->has_key || !req->key.is_bound)
		return 0;
	return fault_raise(f, FAULT_DENIED,
		"This key is bound to branches; looking after keys needs one that is not");
}

static void write_words(struct json_out *out, const char *key, const char *words)
{
	json_key(out, key);
	json_open(out, '[');
	for (words += strspn(words, " "); *words; words += strspn(words, " ")) {
		const size_t len = strcspn(words, " ");
		json_put_bytes(out, words, len);
		words += len;
	}
	json_close(out, ']');
}

static int write_key(void *arg, const struct key_row *k, struct fault *f)
{
	struct json_out *out = arg;

	(void)f;
	json_open(out, '{');
	json_add_text(out, "id", k->id);
	json_add_text(out, "name", k->name);
	write_words(out, "scopes", k->scopes);
	json_key(out, "branches");
	if (k->branches)
		json_put_raw(out, k->branches, strlen(k->branches));
	else
		json_put_null(out);
	json_add_int(out, "per_minute", k->per_minute);
	json_add_time(out, "created_at", k->created_at_ms);
	json_add_time(out, "expires_at", k->expires_at_ms);
	json_add_time(out, "revoked_at", k->revoked_at_ms);
	json_add_time(out, "last_used_at", k->last_used_at_ms);
	json_close(out, '}');
	return 0;
}

static int list_keys(struct request *req, struct fault *f)
{
	if (refuse_bound(req, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	json_key(&out, "keys");
	json_open(&out, '[');
	if (keys_list(request_tokens(req), write_key, &out, f) < 0)
		return -1;
	json_close(&out, ']');
	json_close(&out, '}');
	return 0;
}

/* ---- making ---- */

/* An array of texts; *ret (mem_free) is NULL when there is none. The texts are the body's. */
static size_t read_texts(struct request *req, json_t *body, const char *name, const char ***ret)
{
	const json_t *list = json_member(body, name);
	size_t n = 0;

	*ret = NULL;
	if (list == NULL || json_is_null(list))
		return 0;
	if (!json_is_array(list) || json_array_size(list) == 0 ||
		json_array_size(list) > BRANCHES_MOST) {
		request_error(req, "body", name, "must be a list of 1 to %d texts", BRANCHES_MOST);
		return 0;
	}
	*ret = mem_alloc_array(json_array_size(list), sizeof(**ret));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		const char *text = json_string_value(one);
		if (text && *text && strlen(text) == json_string_length(one))
			(*ret)[n++] = text;
		else
			request_error(req, "body", name,
				"holds something that is not a text of 1 byte at least without "
				"NUL");
	}
	return n;
}

static unsigned read_scopes(struct request *req, json_t *body)
{
	AUTO(buf_drop) struct buf names = BUF_INIT(1024);
	AUTO(mem_freep) const char **list = NULL;
	const size_t n = read_texts(req, body, "scopes", &list);
	struct fault f = {0};
	unsigned scopes = 0;

	for (size_t i = 0; i < n; i++)
		buf_addf(&names, "%s ", list[i]);
	if (key_scopes_parse(buf_failed(&names) ? "" : buf_text(&names), &scopes, &f) < 0)
		request_error(req, "body", "scopes", "%s", f.text);
	return scopes;
}

static int64_t read_expiry(struct request *req, json_t *body)
{
	const char *text = request_field_text(req, body, "expires_at", 1, 40, false);
	int64_t us;

	if (text == NULL)
		return 0;
	if (clock_parse_us(text, &us) == 0)
		return us / 1000;
	request_error(
		req, "body", "expires_at", "is not an instant: write it like 2026-01-31T12:00:00Z");
	return 0;
}

/* A mistyped "branches" would make a key that sees all: what is not known is refused. */
static void refuse_unknown(struct request *req, json_t *body)
{
	static const char *const known[] = {
		"name", "scopes", "branches", "expires_at", "per_minute"};
	const char *key;
	json_t *value;

	json_object_foreach(body, key, value)
	{
		size_t i = 0;
		while (i < ARRAY_LEN(known) && strcmp(key, known[i]) != 0)
			i++;
		if (i == ARRAY_LEN(known))
			request_error(req, "body", key,
				"is not known here: give name, scopes, branches, expires_at or "
				"per_minute");
	}
}

static void say_made(struct request *req, const struct secret *key, const char *id)
{
	req->answer.secret = true;
	req->answer.body = BUF_INIT_WIPED(LIMIT_RESPONSE_BYTES);
	struct json_out out = answer_json(req);

	req->answer.status = 201;
	json_add_bool(&out, "success", true);
	json_add_text(&out, "id", id);
	json_key(&out, "key");
	json_put_bytes(&out, (const char *)key->bytes, key->len);
	json_add_text(
		&out, "message", "This is the only time the key is shown: only its hash is kept");
	json_close(&out, '}');
}

static int make_key(struct request *req, struct fault *f)
{
	AUTO(json_drop) json_t *body = NULL;
	AUTO(mem_freep) const char **branches = NULL;
	AUTO(secret_drop) struct secret key = {0};
	const struct actor who = request_actor(req);
	char id[16];

	if (refuse_bound(req, f) < 0 || request_json(req, &body, f) < 0)
		return -1;
	refuse_unknown(req, body);
	struct key_input in = {
		.name = request_field_text(req, body, "name", 1, LIMIT_NAME_BYTES, true),
		.scopes = read_scopes(req, body),
		.expires_at_ms = read_expiry(req, body),
		.per_minute =
			request_field_int(req, body, "per_minute", 0, PER_MINUTE_MOST, false, 0),
	};
	in.n_branches = read_texts(req, body, "branches", &branches);
	in.branches = branches;
	if (request_check(req, f) < 0 ||
		keys_create(request_tokens(req), &in, &who, &key, id, f) < 0)
		return -1;
	say_made(req, &key, id);
	return 0;
}

static int revoke_key(struct request *req, struct fault *f)
{
	const struct actor who = request_actor(req);

	if (refuse_bound(req, f) < 0 ||
		keys_revoke(request_tokens(req), request_param(req, "id"), &who, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	json_add_bool(&out, "success", true);
	json_add_text(&out, "message", "The key opens nothing any more");
	json_close(&out, '}');
	return 0;
}

const struct route key_routes[] = {
	{"GET", "/token-management/keys", KEY_ADMIN, ROUTE_WORKER, list_keys, NULL,
		"The API keys, without the keys themselves"},
	{"POST", "/token-management/keys", KEY_ADMIN, ROUTE_WORKER, make_key, NULL,
		"Make an API key, which this answer shows once"},
	{"DELETE", "/token-management/keys/{id}", KEY_ADMIN, ROUTE_WORKER, revoke_key, NULL,
		"End an API key for good, and the sessions that were begun with it"},
	{0},
};
