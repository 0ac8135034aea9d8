/* SPDX-License-Identifier: Apache-2.0 */
/* From text to a typed value: one parser a type, one wording for all refusals. */
#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "core/nearest.h"
#include "core/settings_table.h"

#define SECOND_MS INT64_C(1000)
#define DAY_MS (24 * 60 * 60 * SECOND_MS)
#define SHOWN_MOST 48

static void *place(const struct settings *s, const struct setting *row)
{
	return (char *)(uintptr_t)s + row->offset;
}

char *setting_text(const struct settings *s, const struct setting *row)
{
	char *text;

	memcpy(&text, place(s, row), sizeof(text));
	return text;
}

void setting_set_text(struct settings *s, const struct setting *row, const char *text)
{
	char *copy = text != NULL ? mem_text(text) : NULL;

	mem_free(setting_text(s, row));
	memcpy(place(s, row), &copy, sizeof(copy));
}

/* A value as it may stand in a message: cut, and without control characters. */
static void add_shown(struct buf *to, const char *text)
{
	for (size_t i = 0; text[i] != '\0'; i++) {
		if (i == SHOWN_MOST) {
			buf_add_text(to, "...");
			return;
		}
		buf_add_char(to, (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i]);
	}
}

/* "API_PORT=99999 (flag) must be a whole number from 0 to 65535; try 65535". */
static int refuse(const struct setting *row, const struct setting_given *given, const char *why,
	const char *suggestion, struct fault *f)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1024);

	buf_add_text(&text, row->key);
	if (!row->secret) {
		buf_add_char(&text, '=');
		add_shown(&text, buf_text(&given->text));
	}
	buf_addf(&text, " (%s) %s%smust be ", given->from, why, why[0] != '\0' ? "; it " : "");
	setting_bounds(row, &text);
	if (suggestion != NULL)
		buf_addf(&text, "; try %s", suggestion);
	return fault_input(f, row->key, "%s", buf_text(&text));
}

static int assign_number(struct settings *s, const struct setting *row,
	const struct setting_given *given, struct fault *f)
{
	const char *text = buf_text(&given->text);
	int64_t factor = row->type == SETTING_DAYS ? DAY_MS : SECOND_MS;
	int64_t value;
	char nearest[24];

	if (text_parse_int(text, &value) != 0 || value < row->min || value > row->max) {
		/* "30s" or "8084.5" means its number; what has none means the default. */
		value = strtoll(text, NULL, 10);
		if (!isdigit((unsigned char)text[0]) && text[0] != '-')
			return refuse(row, given, "", row->fallback, f);
		value = value < row->min ? row->min : value > row->max ? row->max : value;
		snprintf(nearest, sizeof(nearest), "%" PRId64, value);
		return refuse(row, given, "", nearest, f);
	}
	if (row->type != SETTING_INT)
		value *= factor;
	memcpy(place(s, row), &value, sizeof(value));
	return 0;
}

static int assign_decimal(struct settings *s, const struct setting *row,
	const struct setting_given *given, struct fault *f)
{
	const char *text = buf_text(&given->text);
	char *end;
	double value = strtod(text, &end);

	/* The characters are checked too: strtod also takes hexadecimal, inf and nan. */
	if (strspn(text, "0123456789.") != strlen(text) || *end != '\0' || end == text ||
		value < (double)row->min || value > (double)row->max)
		return refuse(row, given, "", row->fallback, f);
	memcpy(place(s, row), &value, sizeof(value));
	return 0;
}

static int assign_bool(struct settings *s, const struct setting *row,
	const struct setting_given *given, struct fault *f)
{
	static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};
	const char *text = buf_text(&given->text);
	struct nearest near = NEAREST(text);
	bool value;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasecmp(text, words[i]) == 0) {
			value = i % 2 == 1;
			memcpy(place(s, row), &value, sizeof(value));
			return 0;
		}
		nearest_offer(&near, words[i]);
	}
	return refuse(row, given, "", near.best != NULL ? near.best : row->fallback, f);
}

static int assign_level(struct settings *s, const struct setting *row,
	const struct setting_given *given, struct fault *f)
{
	static const char *const words[] = {"debug", "info", "warn", "error", "warning"};
	const char *text = buf_text(&given->text);
	struct nearest near = NEAREST(text);

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasecmp(text, words[i]) == 0) {
			s->log_level = i == 4 ? LOG_WARN : (enum log_level)i;
			return 0;
		}
		nearest_offer(&near, words[i]);
	}
	return refuse(row, given, "", near.best != NULL ? near.best : row->fallback, f);
}

static int assign_choice(struct settings *s, const struct setting *row,
	const struct setting_given *given, struct fault *f)
{
	const char *text = buf_text(&given->text);
	struct nearest near = NEAREST(text);

	for (int64_t i = 0; row->choices[i] != NULL; i++) {
		if (strcasecmp(text, row->choices[i]) == 0) {
			memcpy(place(s, row), &i, sizeof(i));
			return 0;
		}
		nearest_offer(&near, row->choices[i]);
	}
	return refuse(row, given, "", near.best != NULL ? near.best : row->fallback, f);
}

bool settings_is_loopback(const char *host, size_t len)
{
	char name[64];
	struct in_addr v4;
	struct in6_addr v6;

	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	if (strcasecmp(name, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, name, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_port(const char *text, size_t len)
{
	long port = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		port = port * 10 + (text[i] - '0');
	}
	return port >= 1 && port <= 65535;
}

/* The length of the host at the start of an authority (RFC 3986 section 3.2); 0: it is not one. */
static size_t host_len(const char *authority, size_t len)
{
	const char *colon;
	size_t host;

	if (authority[0] == '[') {
		const char *bracket = memchr(authority, ']', len);

		host = bracket != NULL ? (size_t)(bracket - authority) + 1 : 0;
	} else {
		colon = memchr(authority, ':', len);
		host = colon != NULL ? (size_t)(colon - authority) : len;
	}
	if (host < len &&
		(authority[host] != ':' || !is_port(authority + host + 1, len - host - 1)))
		return 0;
	return host;
}

static bool has_foreign_character(const char *url)
{
	for (; *url != '\0'; url++) {
		if (*url <= ' ' || *url >= 0x7f || strchr("\"<>\\^`{|}", *url) != NULL)
			return true;
	}
	return false;
}

/* NULL when it will do, else what is wrong with it. */
static const char *address_fault(const struct setting *row, const char *url)
{
	size_t scheme = strncasecmp(url, "https://", 8) == 0 ? 8 : 7;
	const char *authority = url + scheme;
	size_t len, host;

	if (scheme == 7 && strncasecmp(url, "http://", 7) != 0)
		return "has no http:// or https:// at its start";
	if (has_foreign_character(url))
		return "holds a character that addresses cannot have";
	len = strcspn(authority, "/?#");
	if (memchr(authority, '@', len) != NULL)
		return "bears user information";
	if (strchr(url, '#') != NULL)
		return "bears a fragment";
	if (row->type == SETTING_BASE && strchr(url, '?') != NULL)
		return "bears a query";
	host = host_len(authority, len);
	if (host == 0)
		return "names no host, or a port that is not from 1 to 65535";
	if (scheme == 7 && !row->plain_http && !settings_is_loopback(authority, host))
		return "is http beyond loopback";
	return NULL;
}

static int assign_text(struct settings *s, const struct setting *row,
	const struct setting_given *given, struct fault *f)
{
	const char *text = buf_text(&given->text);
	size_t len = given->text.len;
	bool is_address = row->type == SETTING_BASE || row->type == SETTING_ADDRESS;
	const char *why = NULL;

	if (len < (size_t)row->min || len > (size_t)row->max)
		return refuse(row, given, "is too long", NULL, f);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return refuse(row, given, "holds a control character", row->fallback, f);
	}
	if (!text_is_utf8(text, len))
		return refuse(row, given, "is not UTF-8", row->fallback, f);
	if (is_address)
		why = address_fault(row, text);
	if (why != NULL)
		return refuse(row, given, why, row->fallback, f);
	if (row->type == SETTING_SECRET) {
		secret_drop(place(s, row));
		*(struct secret *)place(s, row) = secret_from(text, len);
		return 0;
	}
	setting_set_text(s, row, text);
	if (row->type == SETTING_BASE) {
		char *mine = setting_text(s, row);

		while (len > 0 && mine[len - 1] == '/')
			mine[--len] = '\0';
	}
	return 0;
}

int setting_assign(struct settings *s, const struct setting *row, const struct setting_given *given,
	struct fault *f)
{
	switch (row->type) {
	case SETTING_INT:
	case SETTING_SECONDS:
	case SETTING_DAYS:
		return assign_number(s, row, given, f);
	case SETTING_DECIMAL:
		return assign_decimal(s, row, given, f);
	case SETTING_BOOL:
		return assign_bool(s, row, given, f);
	case SETTING_LEVEL:
		return assign_level(s, row, given, f);
	case SETTING_CHOICE:
		return assign_choice(s, row, given, f);
	case SETTING_TEXT:
	case SETTING_BASE:
	case SETTING_ADDRESS:
	case SETTING_SECRET:
		return assign_text(s, row, given, f);
	}
	return fault_raise(f, FAULT_BUG, "setting %s has no type", row->key);
}
