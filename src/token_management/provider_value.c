/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/provider_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

#define SCOPES_BYTES 4096
#define PARAMS_MOST 32
#define PARAM_BYTES 1024
#define LIFETIME_MOST_S (INT64_C(366) * 24 * 3600)

/* ---- memory ---- */

void *provider_record_keep(struct provider_record *r, void *moved)
{
	r->kept = mem_resize(r->kept, (r->n_kept + 1) * sizeof(*r->kept));
	r->kept[r->n_kept++] = moved;
	return moved;
}

void provider_record_free(struct provider_record *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n_kept; i++)
		mem_free(r->kept[i]);
	mem_free(r->kept);
	secret_drop(&r->p.key);
	mem_free(r);
}

/* ---- saying what is wrong ---- */

/* The end of a long path tells more than its start. */
const char *value_short_path(const char *path)
{
	size_t len = strlen(path);

	return len > 60 ? path + len - 60 : path;
}

int value_refuse(const struct reading *r, const char *key, struct fault *f, const char *format, ...)
	PRINTF_LIKE(4, 5);
int value_refuse(const struct reading *r, const char *key, struct fault *f, const char *format, ...)
{
	char words[sizeof(f->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	return fault_input(f, "PROVIDERS_FILE", "%s: providers[%zu]%s%s %s",
		value_short_path(r->path), r->index, key != NULL ? "." : "", key != NULL ? key : "",
		words);
}

/* ---- files ---- */

void value_close_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* -1: errno says why, 0 for too long. */
int value_read_whole(int fd, size_t most, struct buf *ret)
{
	char piece[4096];
	ssize_t n;

	*ret = BUF_INIT_WIPED(most);
	while ((n = read(fd, piece, sizeof(piece))) > 0)
		buf_add(ret, piece, (size_t)n);
	secret_wipe(piece, sizeof(piece));
	if (n == 0 && !buf_failed(ret))
		return 0;
	errno = n < 0 ? errno : 0;
	return -1;
}

/* ---- values ---- */

int value_text(
	struct reading *r, const json_t *value, size_t most, const char **ret, struct fault *f)
{
	const char *text = json_string_value(value);
	char shown[TEXT_EXCERPT_SIZE];

	if (text == NULL)
		return value_refuse(r, r->key, f, "must be a text");
	if (text[0] == '\0' || strlen(text) != json_string_length(value) || strlen(text) > most)
		return value_refuse(r, r->key, f, "is '%s': it must have 1 to %zu bytes",
			text_excerpt(text, shown), most);
	for (const char *c = text; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return value_refuse(r, r->key, f, "must not hold control characters");
	}
	*ret = provider_record_keep(r->record, mem_text(text));
	return 0;
}

int value_choice(struct reading *r, const json_t *value, const char *const *choices, int *ret,
	struct fault *f)
{
	AUTO(buf_drop) struct buf all = BUF_INIT(256);
	const char *text = json_string_value(value);
	char shown[TEXT_EXCERPT_SIZE];

	for (int i = 0; choices[i] != NULL; i++) {
		if (text != NULL && strcmp(text, choices[i]) == 0) {
			*ret = i;
			return 0;
		}
		buf_addf(&all, "%s%s",
			i == 0                   ? ""
			: choices[i + 1] != NULL ? ", "
						 : " or ",
			choices[i]);
	}
	if (text == NULL)
		return value_refuse(r, r->key, f, "must be %s", buf_text(&all));
	return value_refuse(
		r, r->key, f, "is '%s': it must be %s", text_excerpt(text, shown), buf_text(&all));
}

int value_bool(struct reading *r, const json_t *value, bool *ret, struct fault *f)
{
	if (!json_is_boolean(value))
		return value_refuse(r, r->key, f, "must be true or false");
	*ret = json_is_true(value);
	return 0;
}

int value_seconds(struct reading *r, const json_t *value, int64_t *ret_ms, struct fault *f)
{
	int64_t seconds = json_is_integer(value) ? json_integer_value(value) : -1;

	if (!json_is_integer(value))
		return value_refuse(r, r->key, f,
			"must be a whole number of seconds from 60 to %" PRId64, LIFETIME_MOST_S);
	if (seconds < 60 || seconds > LIFETIME_MOST_S)
		return value_refuse(r, r->key, f,
			"is %" PRId64 ": it must be 60 to %" PRId64 " seconds; no token is taken to"
			" live for ever",
			seconds, LIFETIME_MOST_S);
	*ret_ms = seconds * 1000;
	return 0;
}

/* RFC 6749 section 3.3: visible ASCII but for '"' and '\'. */
static bool is_scope(const char *text)
{
	size_t len = 0;

	for (; text != NULL && text[len] != '\0'; len++) {
		if (text[len] <= 0x20 || text[len] > 0x7e || text[len] == '"' || text[len] == '\\')
			return false;
	}
	return len > 0;
}

int value_scopes(struct reading *r, const json_t *value, const char **ret, struct fault *f)
{
	AUTO(buf_drop) struct buf all = BUF_INIT(SCOPES_BYTES);
	const json_t *one;
	size_t i;

	if (!json_is_array(value))
		return value_refuse(
			r, r->key, f, "must be an array of scopes, such as [\"openid\"]");
	json_array_foreach(value, i, one)
	{
		if (!is_scope(json_string_value(one)))
			return value_refuse(r, r->key, f,
				"has as entry %zu what is no scope: a text without blanks and"
				" quotes",
				i);
		buf_addf(&all, "%s%s", i > 0 ? " " : "", json_string_value(one));
	}
	if (buf_failed(&all))
		return value_refuse(r, r->key, f, "is longer than %d bytes in all", SCOPES_BYTES);
	*ret = provider_record_keep(r->record, mem_text(buf_text(&all)));
	return 0;
}

int value_params(struct reading *r, const json_t *value, const struct provider_param **ret,
	size_t *ret_n, struct fault *f)
{
	struct provider_param *params;
	const char *name, *text;
	json_t *one;
	size_t n = 0;

	if (!json_is_object(value) || json_object_size(value) > PARAMS_MOST)
		return value_refuse(
			r, r->key, f, "must be an object of at most %d texts", PARAMS_MOST);
	params = provider_record_keep(r->record, mem_alloc_array(PARAMS_MOST + 1, sizeof(*params)));
	/* jansson's macro for objects takes the table as one that may change; it does not. */
	for (void *at = json_object_iter((json_t *)(uintptr_t)value); at != NULL;
		at = json_object_iter_next((json_t *)(uintptr_t)value, at)) {
		name = json_object_iter_key(at);
		one = json_object_iter_value(at);
		text = json_string_value(one);
		if (text == NULL || strlen(text) != json_string_length(one) ||
			strlen(text) > PARAM_BYTES || name[0] == '\0' || strlen(name) > PARAM_BYTES)
			return value_refuse(r, r->key, f,
				"must hold texts of at most %d bytes, '%.40s' is none", PARAM_BYTES,
				name);
		params[n++] = (struct provider_param){
			provider_record_keep(r->record, mem_text(name)),
			provider_record_keep(r->record, mem_text(text)),
		};
	}
	*ret = params;
	*ret_n = n;
	return 0;
}
