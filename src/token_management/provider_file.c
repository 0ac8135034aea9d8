/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/provider_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "core/limits.h"
#include "core/nearest.h"
#include "token_management/provider_value.h"

#define FILE_MOST_BYTES (1024 * 1024)
#define TITLE_BYTES 60
#define SCOPES_BYTES 4096
#define METADATA_OIDC "/.well-known/openid-configuration"
#define METADATA_OAUTH "/.well-known/oauth-authorization-server"

/* ---- the keys of a record ---- */

typedef int read_fn(struct reading *r, const json_t *value, struct fault *f);

static int read_name(struct reading *r, const json_t *value, struct fault *f)
{
	const char *name;

	if (value_text(r, value, PROVIDER_NAME_BYTES, &name, f) < 0)
		return -1;
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(name))
		return value_refuse(r, r->key, f,
			"is '%s': it must be small letters, digits, '-' and '_'; title is for"
			" people",
			name);
	r->record->p.name = name;
	return 0;
}

static int read_title(struct reading *r, const json_t *value, struct fault *f)
{
	if (value_text(r, value, TITLE_BYTES, &r->record->p.title, f) < 0)
		return -1;
	return text_is_utf8(r->record->p.title, strlen(r->record->p.title))
		       ? 0
		       : value_refuse(r, r->key, f, "must be UTF-8");
}

static int read_issuer(struct reading *r, const json_t *value, struct fault *f)
{
	if (value_text(r, value, LIMIT_URL_BYTES, &r->record->p.issuer, f) < 0)
		return -1;
	/* RFC 8414 section 2. */
	return strchr(r->record->p.issuer, '?') == NULL
		       ? 0
		       : value_refuse(r, r->key, f, "must not hold a query");
}

static int read_discovery(struct reading *r, const json_t *value, struct fault *f)
{
	static const char *const choices[] = {
		"openid-configuration", "oauth-authorization-server", "off", NULL};
	int chosen;

	if (value_choice(r, value, choices, &chosen, f) < 0)
		return -1;
	r->finds = chosen == 0 ? FIND_OIDC : chosen == 1 ? FIND_OAUTH : FIND_OFF;
	return 0;
}

static int read_auth_url(struct reading *r, const json_t *value, struct fault *f)
{
	return value_text(r, value, LIMIT_URL_BYTES, &r->record->p.auth_url, f);
}

static int read_token_url(struct reading *r, const json_t *value, struct fault *f)
{
	return value_text(r, value, LIMIT_URL_BYTES, &r->record->p.token_url, f);
}

static int read_revoke_url(struct reading *r, const json_t *value, struct fault *f)
{
	return value_text(r, value, LIMIT_URL_BYTES, &r->record->p.revoke_url, f);
}

static int read_scopes(struct reading *r, const json_t *value, struct fault *f)
{
	return value_scopes(r, value, &r->record->p.scopes, f);
}

static int read_required(struct reading *r, const json_t *value, struct fault *f)
{
	return value_scopes(r, value, &r->record->p.required_scopes, f);
}

static int read_auth(struct reading *r, const json_t *value, struct fault *f)
{
	static const char *const choices[] = {
		"client_secret_basic", "client_secret_post", "private_key_jwt", "none", NULL};
	static const enum provider_auth means[] = {
		PROVIDER_AUTH_BASIC, PROVIDER_AUTH_BODY, PROVIDER_AUTH_KEY, PROVIDER_AUTH_NONE};
	int chosen;

	if (value_choice(r, value, choices, &chosen, f) < 0)
		return -1;
	r->record->p.auth = means[chosen];
	return 0;
}

/* Beside the file, unless the path is a whole one. */
static void key_path(const struct reading *r, const char *name, struct buf *ret)
{
	const char *slash = strrchr(r->path, '/');

	if (name[0] != '/' && slash != NULL)
		buf_add(ret, r->path, (size_t)(slash - r->path) + 1);
	buf_add_text(ret, name);
}

static int read_key_file(struct reading *r, const json_t *value, struct fault *f)
{
	AUTO(buf_drop) struct buf path = BUF_INIT(8192);
	AUTO(buf_drop) struct buf text = {0};
	AUTO(value_close_fd) int fd = -1;
	struct stat st;
	const char *name;

	if (value_text(r, value, 4096, &name, f) < 0)
		return -1;
	key_path(r, name, &path);
	fd = open(buf_text(&path), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return value_refuse(r, r->key, f, "'%s' cannot be opened: %s",
			value_short_path(buf_text(&path)), strerror(errno));
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
		return value_refuse(r, r->key, f,
			"'%s' must be a file that its owner alone can read: chmod 600",
			value_short_path(buf_text(&path)));
	if (value_read_whole(fd, LIMIT_PRIVATE_KEY_BYTES, &text) < 0 || text.len == 0)
		return value_refuse(r, r->key, f, "'%s' must hold 1 to %d bytes",
			value_short_path(buf_text(&path)), LIMIT_PRIVATE_KEY_BYTES);
	secret_drop(&r->record->p.key);
	r->record->p.key = secret_from(buf_text(&text), text.len);
	return 0;
}

static int read_key_id(struct reading *r, const json_t *value, struct fault *f)
{
	return value_text(r, value, LIMIT_KEY_ID_BYTES, &r->record->p.key_id, f);
}

static int read_alg(struct reading *r, const json_t *value, struct fault *f)
{
	const char *choices[JOSE_SIGN_ALG_COUNT + 1] = {0};
	int chosen;

	for (int i = 0; i < JOSE_SIGN_ALG_COUNT; i++)
		choices[i] = jose_sign_alg_name((enum jose_sign_alg)i);
	if (value_choice(r, value, choices, &chosen, f) < 0)
		return -1;
	r->record->p.alg = (enum jose_sign_alg)chosen;
	r->record->p.has_alg = true;
	return 0;
}

static int read_audience(struct reading *r, const json_t *value, struct fault *f)
{
	static const char *const choices[] = {"issuer", "token_url", NULL};
	int chosen;

	if (value_choice(r, value, choices, &chosen, f) < 0)
		return -1;
	r->record->p.audience_is_token_url = chosen == 1;
	return 0;
}

static int read_pkce(struct reading *r, const json_t *value, struct fault *f)
{
	static const char *const choices[] = {"S256", "none", NULL};
	int chosen;

	if (value_choice(r, value, choices, &chosen, f) < 0)
		return -1;
	r->record->p.has_no_pkce = chosen == 1;
	return 0;
}

static int read_auth_params(struct reading *r, const json_t *value, struct fault *f)
{
	return value_params(r, value, &r->record->p.extra, &r->record->p.n_extra, f);
}

static int read_token_params(struct reading *r, const json_t *value, struct fault *f)
{
	return value_params(r, value, &r->record->p.token_extra, &r->record->p.n_token_extra, f);
}

static int read_sends_iss(struct reading *r, const json_t *value, struct fault *f)
{
	return value_bool(r, value, &r->record->p.sends_iss, f);
}

static int read_rotates(struct reading *r, const json_t *value, struct fault *f)
{
	return value_bool(r, value, &r->record->p.rotates, f);
}

static int read_assumed(struct reading *r, const json_t *value, struct fault *f)
{
	return value_seconds(r, value, &r->record->p.assumed_lifetime_ms, f);
}

static int read_max(struct reading *r, const json_t *value, struct fault *f)
{
	return value_seconds(r, value, &r->record->p.max_lifetime_ms, f);
}

static int read_reach(struct reading *r, const json_t *value, struct fault *f)
{
	static const char *const choices[] = {"grant", "account", NULL};
	int chosen;

	if (value_choice(r, value, choices, &chosen, f) < 0)
		return -1;
	r->record->p.revocation_ends = chosen == 0 ? PROVIDER_ENDS_GRANT : PROVIDER_ENDS_ACCOUNT;
	return 0;
}

static const struct {
	const char *key;
	read_fn *read;
} fields[] = {
	{"name", read_name},
	{"title", read_title},
	{"issuer", read_issuer},
	{"discovery", read_discovery},
	{"authorization_url", read_auth_url},
	{"token_url", read_token_url},
	{"revocation_url", read_revoke_url},
	{"scopes", read_scopes},
	{"required_scopes", read_required},
	{"client_auth", read_auth},
	{"private_key_file", read_key_file},
	{"key_id", read_key_id},
	{"assertion_alg", read_alg},
	{"assertion_audience", read_audience},
	{"pkce", read_pkce},
	{"authorization_params", read_auth_params},
	{"token_params", read_token_params},
	{"sends_iss", read_sends_iss},
	{"rotates_refresh_token", read_rotates},
	{"assumed_lifetime_sec", read_assumed},
	{"max_lifetime_sec", read_max},
	{"revocation_ends", read_reach},
};

/* ---- a record ---- */

static int read_key(struct reading *r, const char *key, const json_t *value, struct fault *f)
{
	struct nearest near = NEAREST(key);
	char shown[TEXT_EXCERPT_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (strcmp(fields[i].key, key) == 0) {
			r->key = fields[i].key;
			return fields[i].read(r, value, f);
		}
		nearest_offer(&near, fields[i].key);
	}
	text_excerpt(key, shown);
	if (near.best != NULL)
		return value_refuse(r, NULL, f, "has a key '%s' that is not known: is '%s' meant?",
			shown, near.best);
	return value_refuse(r, NULL, f,
		"has a key '%s' that is not known; docs/providers.md lists those that are", shown);
}

/* RFC 8414 section 3.1 puts the well-known part before the issuer's path, OpenID behind it. */
static void set_metadata_url(struct reading *r)
{
	struct provider *p = &r->record->p;
	AUTO(buf_drop) struct buf url = BUF_INIT(LIMIT_URL_BYTES + 64);
	size_t len = strlen(p->issuer);
	const char *authority = strstr(p->issuer, "://");
	size_t host_len = authority != NULL ? (size_t)(authority - p->issuer) + 3 +
						      strcspn(authority + 3, "/")
					    : len;

	if (len > 0 && p->issuer[len - 1] == '/')
		len--;
	if (r->finds == FIND_OAUTH) {
		buf_add(&url, p->issuer, host_len);
		buf_add_text(&url, METADATA_OAUTH);
		if (len > host_len)
			buf_add(&url, p->issuer + host_len, len - host_len);
	} else {
		buf_add(&url, p->issuer, len);
		buf_add_text(&url, METADATA_OIDC);
	}
	p->metadata_url = provider_record_keep(r->record, mem_text(buf_text(&url)));
}

static int settle_discovery(struct reading *r, struct fault *f)
{
	struct provider *p = &r->record->p;

	if (r->finds == FIND_UNSAID)
		r->finds = provider_is_found(p) ? FIND_OFF : FIND_OIDC;
	if (r->finds != FIND_OFF && p->issuer == NULL)
		return value_refuse(r, NULL, f,
			"has neither an issuer to discover nor both authorization_url and"
			" token_url: give one or the other");
	if (r->finds == FIND_OFF && !provider_is_found(p))
		return value_refuse(r, p->auth_url == NULL ? "authorization_url" : "token_url", f,
			"is missing, and discovery is off: give it, or an issuer to discover");
	if (p->sends_iss && p->issuer == NULL)
		return value_refuse(r, "sends_iss", f,
			"is true, but there is no issuer to compare with: give issuer");
	if (r->finds != FIND_OFF)
		set_metadata_url(r);
	return 0;
}

static int settle_key(struct reading *r, struct fault *f)
{
	struct provider *p = &r->record->p;
	struct fault flaw = {0};

	if (p->auth != PROVIDER_AUTH_KEY &&
		(secret_is_set(&p->key) || p->key_id != NULL || p->has_alg))
		return value_refuse(r, "client_auth", f,
			"is %s, but the record has a key of private_key_jwt: change it, or take"
			" the key out",
			provider_auth_name(p->auth));
	if (secret_is_set(&p->key) && jose_sign_check(&p->key, p->has_alg ? &p->alg : NULL,
					      "private_key_file", &p->alg, &flaw) < 0)
		return value_refuse(r, NULL, f, ".%s", flaw.text);
	return 0;
}

static int settle(struct reading *r, struct fault *f)
{
	struct provider *p = &r->record->p;
	AUTO(buf_drop) struct buf lacking = BUF_INIT(SCOPES_BYTES);
	struct fault flaw = {0};

	if (p->name == NULL)
		return value_refuse(r, "name", f, "is missing: give the provider a name");
	if (p->title == NULL)
		p->title = p->name;
	if (provider_check(p, &flaw) < 0)
		return value_refuse(r, flaw.field, f, "%s", flaw.text);
	scopes_missing(p->required_scopes, p->scopes, &lacking);
	if (lacking.len > 0)
		return value_refuse(r, "required_scopes", f, "has what scopes lacks: %.80s",
			buf_text(&lacking));
	if (p->assumed_lifetime_ms > p->max_lifetime_ms)
		return value_refuse(r, "assumed_lifetime_sec", f,
			"is above max_lifetime_sec, which is %" PRId64, p->max_lifetime_ms / 1000);
	return settle_discovery(r, f) < 0 ? -1 : settle_key(r, f);
}

static int read_record(struct reading *r, json_t *value, struct fault *f)
{
	r->record->p = (struct provider){
		.scopes = "",
		.required_scopes = "",
		.auth = PROVIDER_AUTH_BASIC, /* RFC 8414 section 2 assumes it too */
		.assumed_lifetime_ms = 3600 * 1000,
		.max_lifetime_ms = 24 * 3600 * 1000,
	};
	if (!json_is_object(value))
		return value_refuse(r, NULL, f, "must be an object");
	for (void *at = json_object_iter(value); at != NULL;
		at = json_object_iter_next(value, at)) {
		if (read_key(r, json_object_iter_key(at), json_object_iter_value(at), f) < 0)
			return -1;
	}
	return settle(r, f);
}

/* ---- the file ---- */

static int read_json(const char *path, json_t **ret, struct fault *f)
{
	AUTO(buf_drop) struct buf text = {0};
	AUTO(value_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct fault flaw = {0};

	if (fd < 0 || value_read_whole(fd, FILE_MOST_BYTES, &text) < 0)
		return fault_input(f, "PROVIDERS_FILE",
			"PROVIDERS_FILE=%s cannot be read: %s; give a JSON file of at most 1 MiB,"
			" or take the setting out",
			value_short_path(path), errno != 0 ? strerror(errno) : "it is too long");
	if (json_parse(buf_text(&text), text.len, ret, &flaw) < 0)
		return fault_input(f, "PROVIDERS_FILE", "%s is not JSON: %.150s",
			value_short_path(path), flaw.text);
	return 0;
}

static const json_t *find_records(const char *path, json_t *root, struct fault *f)
{
	json_t *records = json_member(root, "providers");
	void *at;

	for (at = json_is_object(root) ? json_object_iter(root) : NULL; at != NULL;
		at = json_object_iter_next(root, at)) {
		if (strcmp(json_object_iter_key(at), "providers") == 0)
			continue;
		fault_input(f, "PROVIDERS_FILE",
			"%s has a key '%.40s' that is not known: is 'providers' meant?",
			value_short_path(path), json_object_iter_key(at));
		return NULL;
	}
	if (json_is_array(records))
		return records;
	fault_input(f, "PROVIDERS_FILE", "%s must hold {\"providers\": […]}, a list of records",
		value_short_path(path));
	return NULL;
}

int provider_file_read(
	const char *path, size_t most, struct provider_record **ret, size_t *ret_n, struct fault *f)
{
	AUTO(json_drop) json_t *root = NULL;
	const json_t *records;

	*ret_n = 0;
	if (read_json(path, &root, f) < 0)
		return -1;
	records = find_records(path, root, f);
	if (records == NULL)
		return -1;
	if (json_array_size(records) > most)
		return fault_input(f, "PROVIDERS_FILE",
			"%s has %zu providers: at most %zu are taken", value_short_path(path),
			json_array_size(records), most);
	for (size_t i = 0; i < json_array_size(records); i++) {
		struct reading r = {.path = path, .index = i};

		r.record = ret[(*ret_n)++] = mem_alloc(sizeof(*r.record));
		if (read_record(&r, json_array_get(records, i), f) < 0)
			return -1;
	}
	return 0;
}
