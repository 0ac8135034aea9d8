/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses. What curl will do with one decides, so its own parser has the last word on host and
 * port; the checks on the raw text before it refuse what browsers, providers and curl are known to
 * read differently (user info, backslashes, escapes in the host, other alphabets).
 */
#include "net/net.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "core/limits.h"
#include "net/transfer.h"

void net_form_add(struct buf *form, const char *key, const char *value, size_t len)
{
	const char *end = value + len;

	if (form->len)
		buf_add_char(form, '&');
	text_percent_encode(form, key, strlen(key));
	buf_add_char(form, '=');
	while (value < end) {
		const char *blank = memchr(value, ' ', (size_t)(end - value));
		const char *stop = blank ? blank : end;

		text_percent_encode(form, value, (size_t)(stop - value));
		if (blank)
			buf_add_char(form, '+');
		value = blank ? blank + 1 : end;
	}
}

void net_url_add(struct buf *url, const char *key, const char *value)
{
	const char *query = strchr(buf_text(url), '?');

	if (!query)
		buf_add_char(url, '?');
	else if (query[1] && url->data[url->len - 1] != '&')
		buf_add_char(url, '&');
	text_percent_encode(url, key, strlen(key));
	buf_add_char(url, '=');
	text_percent_encode(url, value, strlen(value));
}

static void drop_curlu(CURLU **u)
{
	curl_url_cleanup(*u);
}

static void drop_part(char **part)
{
	curl_free(*part);
}

/* As curl_url_get writes hosts: lower or mixed case, IPv6 in brackets. */
static bool is_loopback_host(const char *host)
{
	char bare[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;
	size_t len = strlen(host);

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (host[0] != '[' || len < 3 || len - 2 >= sizeof(bare))
		return false;
	memcpy(bare, host + 1, len - 2);
	bare[len - 2] = '\0';
	return inet_pton(AF_INET6, bare, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool transfer_is_proxy_allowed(const char *url)
{
	AUTO(drop_curlu) CURLU *u = NULL;
	AUTO(drop_part) char *host = NULL;

	if (strncasecmp(url, "https://", 8) != 0)
		return false;
	u = curl_url();
	if (!u || curl_url_set(u, CURLUPART_URL, url, 0) ||
		curl_url_get(u, CURLUPART_HOST, &host, 0))
		return false;
	return !is_loopback_host(host);
}

/* What is wrong with the text before any parsing, in words; NULL: nothing. */
static const char *raw_flaw(const char *url, const char *authority, size_t authority_len)
{
	for (const char *p = url; *p; p++)
		if (*p <= ' ' || *p > '~' || strchr("\"<>\\^`{|}", *p))
			return "holds a character that an address cannot; escape it (%20), or "
			       "write the host as xn--…";
	if (strchr(url, '#'))
		return "must not hold a '#' part";
	if (memchr(authority, '@', authority_len))
		return "must not hold a user name or password";
	if (memchr(authority, '%', authority_len))
		return "must not hold an escape in the host";
	if (authority_len == 0 || authority[0] == ':')
		return "has no host";
	return NULL;
}

/* Whether a path has a ".." segment, escaped or not (curl and browsers would fold it away). */
static bool has_dot_dot(const char *path)
{
	while (*path) {
		size_t dots = 0;

		while (*path == '.' || strncasecmp(path, "%2e", 3) == 0) {
			path += *path == '.' ? 1 : 3;
			dots++;
		}
		if (dots == 2 && (!*path || *path == '/' || strncasecmp(path, "%2f", 3) == 0))
			return true;
		while (*path && *path != '/' && strncasecmp(path, "%2f", 3) != 0)
			path++;
		if (*path)
			path += *path == '/' ? 1 : 3;
	}
	return false;
}

static const char *redirect_flaw(const char *rest)
{
	char path[LIMIT_URL_BYTES + 1];
	size_t len = strcspn(rest, "?");

	memcpy(path, rest, len);
	path[len] = '\0';
	if (strchr(path, '*'))
		return "must be one exact address, without '*'";
	if (has_dot_dot(path))
		return "must not hold a '..' segment";
	return NULL;
}

/* What curl's parser makes of it. */
static const char *parsed_flaw(const char *url, bool is_https)
{
	AUTO(drop_curlu) CURLU *u = curl_url();
	AUTO(drop_part) char *host = NULL;
	AUTO(drop_part) char *port = NULL;

	if (!u || curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) ||
		curl_url_get(u, CURLUPART_HOST, &host, 0) || !host[0] ||
		curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT))
		return "is not an address that can be reached";
	if (strcmp(port, "0") == 0)
		return "has port 0";
	if (host[strlen(host) - 1] == '.')
		return "must not end its host with a dot";
	if (!is_https && !is_loopback_host(host))
		return "must be https (http only for localhost, 127.0.0.1 or [::1])";
	return NULL;
}

/* How long the scheme is, with what follows it; 0: it is neither of the two. */
static size_t http_len(const char *url)
{
	static const char *const schemes[] = {"https://", "http://"};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (strncasecmp(url, schemes[i], strlen(schemes[i])) == 0)
			return strlen(schemes[i]);
	return 0;
}

int net_url_check(const char *url, enum net_url_policy policy, const char *field, struct fault *f)
{
	const char *authority, *flaw;
	size_t scheme_len, authority_len;

	if (strnlen(url, LIMIT_URL_BYTES + 1) > LIMIT_URL_BYTES)
		return fault_input(f, field, "is longer than %d bytes", LIMIT_URL_BYTES);
	scheme_len = http_len(url);
	if (scheme_len == 0)
		return fault_input(f, field, "must be an address that starts with https://");
	authority = url + scheme_len;
	authority_len = strcspn(authority, "/?#\\");
	flaw = raw_flaw(url, authority, authority_len);
	if (!flaw && policy == NET_URL_REDIRECT)
		flaw = redirect_flaw(authority + authority_len);
	if (!flaw)
		flaw = parsed_flaw(url, scheme_len == strlen("https://"));
	return flaw ? fault_input(f, field, "%s", flaw) : 0;
}
