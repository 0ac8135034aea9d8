/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/params.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

void params_add(struct params *p, const char *name, const char *value)
{
	if (p->n == PARAMS_MAX)
		return;
	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 16;
		p->rows = mem_resize(p->rows, p->cap * sizeof(*p->rows));
	}
	p->rows[p->n++] = (struct param){.name = name, .value = value ? value : ""};
}

/* Decodes [from, to) onto itself and ends it; *ret is its start. */
static int decode(char *from, char *to)
{
	size_t len;

	if (text_percent_decode(from, (size_t)(to - from), true, from, &len) != 0)
		return 1;
	from[len] = '\0';
	return 0;
}

int params_parse(struct params *p, const char *form, size_t len)
{
	char *at, *end, *next, *equals;

	p->memory = mem_text_n(form, len);
	end = p->memory + len;
	for (at = p->memory; at < end; at = next + 1) {
		next = memchr(at, '&', (size_t)(end - at));
		if (!next)
			next = end;
		if (next == at)
			continue;
		equals = memchr(at, '=', (size_t)(next - at));
		if (equals && decode(equals + 1, next) != 0)
			return 1;
		if (decode(at, equals ? equals : next) != 0)
			return 1;
		params_add(p, at, equals ? equals + 1 : "");
	}
	return 0;
}

const char *params_get(const struct params *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->rows[i].name, name) == 0)
			return p->rows[i].value;
	return NULL;
}

const char *params_doubled(const struct params *p, bool (*name_is_single)(const char *name))
{
	for (size_t i = 0; i < p->n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(p->rows[i].name, p->rows[j].name) == 0 &&
				name_is_single(p->rows[i].name))
				return p->rows[i].name;
	return NULL;
}

void params_drop(struct params *p)
{
	mem_free(p->rows);
	mem_free(p->memory);
	*p = (struct params){0};
}

void params_url_add(struct buf *url, const char *name, const char *value)
{
	buf_add_char(url, strchr(buf_text(url), '?') ? '&' : '?');
	text_percent_encode(url, name, strlen(name));
	buf_add_char(url, '=');
	text_percent_encode(url, value, strlen(value));
}
