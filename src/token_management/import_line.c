/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/import_line.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/limits.h"
#include "token_management/client_check.h"
#include "token_management/internal.h"

#define SCOPE_BYTES 4096
#define GRANTED_LEAST_MS INT64_C(946684800000) /* the year 2000 */
#define CLOCK_SKEW_MS (5 * 60 * 1000)

static void add_flaw(struct import_line *l, const char *field, const char *format, ...)
	PRINTF_LIKE(3, 4);
static void add_flaw(struct import_line *l, const char *field, const char *format, ...)
{
	va_list args;
	struct import_flaw *flaw;

	if (l->n_flaws == IMPORT_FLAWS_MAX)
		return;
	flaw = &l->flaws[l->n_flaws++];
	snprintf(flaw->field, sizeof(flaw->field), "%s", field);
	va_start(args, format);
	vsnprintf(flaw->text, sizeof(flaw->text), format, args);
	va_end(args);
}

static void add_fault(struct import_line *l, const char *field, const struct fault *f)
{
	const char *named = f->field[0] != '\0' ? f->field : field;
	size_t len = strlen(named);
	/* The report names the field by itself. */
	bool leads = strncmp(f->text, named, len) == 0 && f->text[len] == ' ';

	add_flaw(l, named, "%s", leads ? f->text + len + 1 : f->text);
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* In place, as POST /clients does it: the object is ours. */
static const char *trimmed(json_t *object, const char *name, const json_t *value)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	json_t *shorter;

	while (len > 0 && is_blank(text[len - 1]))
		len--;
	while (len > 0 && is_blank(*text)) {
		text++;
		len--;
	}
	if (len == json_string_length(value))
		return text;
	shorter = json_stringn(text, len);
	if (shorter == NULL || json_object_set_new(object, name, shorter) != 0)
		return "";
	return json_string_value(shorter);
}

/* NULL when absent or null (a flaw when it is required), or no string that we take. */
static const char *take_text(struct import_line *l, const char *name, bool required)
{
	json_t *value = json_member(l->object, name);
	const char *text;

	if (value == NULL || json_is_null(value)) {
		if (required)
			add_flaw(l, name, "is missing: it is required");
		return NULL;
	}
	if (!json_is_string(value)) {
		add_flaw(l, name, "is no string: put it between quotes");
		return NULL;
	}
	text = json_string_value(value);
	if (memchr(text, '\0', json_string_length(value)) != NULL) {
		add_flaw(l, name, "holds a NUL character (\\u0000): take it out");
		return NULL;
	}
	text = trimmed(l->object, name, value);
	if (*text == '\0') {
		add_flaw(l, name, "is empty: give 1 byte at least%s",
			required ? "" : ", or leave it out");
		return NULL;
	}
	return text;
}

/* ---- the fields ---- */

static void read_client(const struct token_management *tm, struct import_line *l)
{
	const struct provider *p = provider_find(tm, l->provider);
	struct client_input *in = &l->in;
	struct fault f = {0};
	size_t before = l->n_flaws;

	in->client_id = take_text(l, "client_id", false);
	in->client_secret = take_text(l, "client_secret", false);
	in->private_key = take_text(l, "private_key", false);
	in->key_id = take_text(l, "key_id", false);
	if (l->n_flaws == before && p != NULL && client_check_app(tm, in, p, &f) < 0)
		add_fault(l, "client_id", &f);
	in->redirect_uri = take_text(l, "redirect_uri", false);
	if (in->redirect_uri != NULL &&
		(client_check_redirect(in->redirect_uri, &f) < 0 ||
			(p != NULL && client_check_callback(in->redirect_uri, p, &f) < 0)))
		add_fault(l, "redirect_uri", &f);
	in->branch_id = take_text(l, "branch_id", true);
	if (in->branch_id != NULL &&
		client_check_text(in->branch_id, LIMIT_BRANCH_ID_BYTES, "branch_id", &f) < 0)
		add_fault(l, "branch_id", &f);
	else if (in->branch_id != NULL)
		snprintf(l->branch_id, sizeof(l->branch_id), "%s", in->branch_id);
	in->workspace_email = take_text(l, "workspace_email", true);
	if (in->workspace_email != NULL && client_check_email(in->workspace_email, &f) < 0)
		add_fault(l, "workspace_email", &f);
	in->workspace_name = take_text(l, "workspace_name", true);
	if (in->workspace_name != NULL &&
		client_check_text(in->workspace_name, LIMIT_NAME_BYTES, "workspace_name", &f) < 0)
		add_fault(l, "workspace_name", &f);
}

/* No text about it shows it: a mistyped token may be a good one. */
static void read_token(struct import_line *l)
{
	struct fault f = {0};

	l->refresh_token = take_text(l, "refresh_token", true);
	if (l->refresh_token == NULL)
		return;
	if (client_check_credential(
		    l->refresh_token, LIMIT_ACCESS_TOKEN_BYTES, "refresh_token", &f) < 0)
		add_fault(l, "refresh_token", &f);
	l->refresh_token_len = strlen(l->refresh_token);
}

static void read_scope(struct import_line *l)
{
	struct fault f = {0};

	l->scope = take_text(l, "scope", false);
	if (l->scope != NULL && client_check_credential(l->scope, SCOPE_BYTES, "scope", &f) < 0)
		add_fault(l, "scope", &f);
}

static void read_provider(const struct token_management *tm, struct import_line *l)
{
	char shown[TEXT_EXCERPT_SIZE];
	size_t before = l->n_flaws;

	l->provider = take_text(l, "provider", false);
	if (l->provider == NULL && l->n_flaws == before)
		l->provider = PROVIDER_GOOGLE;
	if (l->provider != NULL && provider_find(tm, l->provider) == NULL)
		add_flaw(l, "provider", "is '%s': no provider is called so; leave it out for %s",
			text_excerpt(l->provider, shown), PROVIDER_GOOGLE);
}

static void read_granted_at(struct import_line *l)
{
	const char *text = take_text(l, "granted_at", false);
	char shown[TEXT_EXCERPT_SIZE];
	int64_t us;

	if (text == NULL)
		return;
	if (clock_parse_us(text, &us) != 0) {
		add_flaw(l, "granted_at",
			"is '%s': give an instant like 2026-01-31T12:00:00Z, or leave it out",
			text_excerpt(text, shown));
		return;
	}
	l->granted_at_ms = us / 1000;
	if (l->granted_at_ms < GRANTED_LEAST_MS ||
		l->granted_at_ms > clock_wall_ms() + CLOCK_SKEW_MS)
		add_flaw(l, "granted_at",
			"is '%s': give an instant from the year 2000 to now, or leave it out",
			text_excerpt(text, shown));
}

/* The NUL between the two is in neither. */
static void identify(struct import_line *l)
{
	AUTO(buf_drop)
	struct buf both = BUF_INIT_WIPED(LIMIT_BRANCH_ID_BYTES + LIMIT_ACCESS_TOKEN_BYTES + 2);

	buf_add(&both, l->in.branch_id, strlen(l->in.branch_id) + 1);
	buf_add(&both, l->refresh_token, l->refresh_token_len);
	hash_blake2b(both.data, both.len, l->identity);
}

/* ---- the line ---- */

void import_line_read(
	const struct token_management *tm, json_t *object, int64_t number, struct import_line *ret)
{
	*ret = (struct import_line){.number = number};
	if (!json_is_object(object)) {
		add_flaw(ret, "",
			"the line is no JSON object: write {\"branch_id\": …} on one line");
		return;
	}
	ret->object = json_incref(object);
	read_provider(tm, ret);
	read_client(tm, ret);
	read_token(ret);
	read_scope(ret);
	read_granted_at(ret);
	if (ret->n_flaws == 0)
		identify(ret);
}

void import_line_parse(const struct token_management *tm, const char *bytes, size_t len,
	int64_t number, struct import_line *ret)
{
	AUTO(json_drop) json_t *object = NULL;
	struct fault f = {0};

	if (json_parse(bytes, len, &object, &f) < 0) {
		*ret = (struct import_line){.number = number};
		add_flaw(ret, "", "%s", f.text);
		return;
	}
	import_line_read(tm, object, number, ret);
}

void import_line_done(struct import_line *l)
{
	json_drop(&l->object);
	*l = (struct import_line){0};
}
