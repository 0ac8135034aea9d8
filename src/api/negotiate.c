/* SPDX-License-Identifier: Apache-2.0 */
#include "api/negotiate.h"

#include <string.h>
#include <strings.h>

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

static bool word_is(const char *at, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(at, word, len) == 0;
}

/* A weight in thousandths (RFC 9110 section 12.4.2); a malformed one counts as 1. */
static int read_weight(const char *at)
{
	int weight = 0, unit = 100;

	if (*at != '0')
		return 1000;
	if (at[1] != '.')
		return 0;
	for (at += 2; *at >= '0' && *at <= '9' && unit > 0; at++, unit /= 10)
		weight += (*at - '0') * unit;
	return weight;
}

/* The weight of one media range, up to end, whatever its other parameters are. */
static int range_weight(const char *at, const char *end)
{
	while ((at = memchr(at, ';', (size_t)(end - at))) != NULL) {
		at = skip_blanks(at + 1);
		if ((*at == 'q' || *at == 'Q') && at[1] == '=')
			return read_weight(at + 2);
		if (at >= end)
			break;
	}
	return 1000;
}

int accept_weight(const char *accept, const char *type)
{
	int weight = -1;

	for (const char *at = accept ? accept : ""; *at;) {
		at = skip_blanks(at);
		const char *end = at + strcspn(at, ",");
		if (word_is(at, strcspn(at, ";, \t"), type))
			weight = range_weight(at, end);
		at = *end ? end + 1 : end;
	}
	return weight;
}

bool accept_prefers_html(const char *accept)
{
	int html = -1, json = -1, anything = 0;

	for (const char *at = accept ? accept : ""; *at;) {
		at = skip_blanks(at);
		const char *end = at + strcspn(at, ",");
		const size_t len = strcspn(at, ";, \t");
		if (word_is(at, len, "text/html"))
			html = range_weight(at, end);
		else if (word_is(at, len, "application/json") ||
			 word_is(at, len, "application/problem+json"))
			json = range_weight(at, end);
		else if (word_is(at, len, "*/*"))
			anything = range_weight(at, end);
		at = *end ? end + 1 : end;
	}
	if (html <= 0)
		return false;
	return json < 0 ? html >= anything : html > json;
}

static bool charset_is_utf8(const char *params)
{
	const char *at = strcasestr(params, "charset=");

	if (at == NULL)
		return true;
	at += strlen("charset=");
	at += *at == '"';
	return strncasecmp(at, "utf-8", 5) == 0 || strncasecmp(at, "utf8", 4) == 0;
}

bool content_type_is_json(const char *content_type)
{
	if (content_type == NULL)
		return true;
	const char *at = skip_blanks(content_type);
	const size_t len = strcspn(at, "; \t");
	const bool is_json = word_is(at, len, "application/json") ||
			     (len > 5 && strncasecmp(at + len - 5, "+json", 5) == 0);
	return is_json && charset_is_utf8(at + len);
}

bool content_type_is_ndjson(const char *content_type)
{
	const char *at = skip_blanks(content_type ? content_type : "");
	const size_t len = strcspn(at, "; \t");

	return (word_is(at, len, "application/x-ndjson") ||
		       word_is(at, len, "application/jsonl")) &&
	       charset_is_utf8(at + len);
}

bool cookie_find(const char *header, const char *name, char *ret, size_t size)
{
	const size_t name_len = strlen(name);

	for (const char *at = header ? header : ""; *at;) {
		at = skip_blanks(at);
		const size_t len = strcspn(at, ";");
		if (len > name_len && at[name_len] == '=' && memcmp(at, name, name_len) == 0) {
			const char *value = at + name_len + 1;
			size_t value_len = len - name_len - 1;
			while (value_len > 0 &&
				(value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
				value_len--;
			if (value_len >= size)
				return false;
			memcpy(ret, value, value_len);
			ret[value_len] = '\0';
			return true;
		}
		at += len + (at[len] == ';');
	}
	return false;
}

const char *bearer_token(const char *authorization, size_t *ret_len)
{
	if (authorization == NULL || strncasecmp(authorization, "Bearer", 6) != 0)
		return NULL;
	const char *token = authorization + 6 + strspn(authorization + 6, " ");
	if (token == authorization + 6 || *token == '\0')
		return NULL;
	*ret_len = strlen(token);
	while (token[*ret_len - 1] == ' ')
		--*ret_len;
	return token;
}

/* The name in "name:port", "[v6]:port" or "name". */
static size_t host_len(const char *host)
{
	if (host[0] == '[')
		return strcspn(host, "]") + (strchr(host, ']') != NULL);
	return strcspn(host, ":/");
}

bool host_is_ours(const char *host, const char *public_url)
{
	if (host == NULL)
		return true; /* HTTP/1.0: no browser sends that */
	const size_t len = host_len(host);
	if (word_is(host, len, "localhost") || word_is(host, len, "[::1]"))
		return true;
	if (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == len)
		return true;
	const char *ours = public_url ? strstr(public_url, "://") : NULL;
	return ours && host_len(ours + 3) == len && strncasecmp(ours + 3, host, len) == 0;
}
