/* SPDX-License-Identifier: Apache-2.0 */
#include "api/uri.h"

#include <string.h>
#include <strings.h>
#include "base/text.h"

static char *skip_authority(char *target)
{
	char *rest = NULL;

	if (strncasecmp(target, "http://", 7) == 0)
		rest = target + 7;
	else if (strncasecmp(target, "https://", 8) == 0)
		rest = target + 8;
	return rest ? rest + strcspn(rest, "/?") : target;
}

int uri_split(char *target, char **ret_path, char **ret_query)
{
	char *path = skip_authority(target);
	char *query = strchr(path, '?');

	if (query)
		*query++ = '\0';
	/* "http://host" and "http://host?q" mean the root. */
	if (path != target && *path == '\0')
		path = memcpy(target, "/", 2);
	if (*path != '/')
		return 1;
	*ret_path = path;
	*ret_query = query;
	return 0;
}

static bool is_given(const struct name_value *pairs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(pairs[i].name, name) == 0)
			return true;
	return false;
}

static int decode_pair(char *pair, size_t number, struct name_value *ret, struct fault *f)
{
	char *value = strchr(pair, '=');
	char shown[TEXT_EXCERPT_SIZE];
	size_t len;

	if (value)
		*value++ = '\0';
	else
		value = pair + strlen(pair);
	if (text_percent_decode(pair, strlen(pair), true, pair, &len) != 0)
		return fault_raise(f, FAULT_INPUT,
			"the name of query parameter number %zu is not percent-encoded UTF-8: "
			"write each byte outside A-Z a-z 0-9 - . _ ~ as %%XX, and no NUL",
			number);
	if (text_percent_decode(value, strlen(value), true, value, &len) != 0)
		return fault_raise(f, FAULT_INPUT,
			"the value of query parameter '%s' is not percent-encoded UTF-8: write "
			"each "
			"byte outside A-Z a-z 0-9 - . _ ~ as %%XX, and no NUL",
			text_excerpt(pair, shown));
	*ret = (struct name_value){pair, value};
	return 0;
}

int query_decode(char *query, struct name_value *ret, size_t max, size_t *ret_n, struct fault *f)
{
	char shown[TEXT_EXCERPT_SIZE];
	size_t n = 0, number = 0;

	while (query) {
		char *next = strchr(query, '&');
		struct name_value pair;
		if (next)
			*next++ = '\0';
		if (*query) {
			if (n == max)
				return fault_raise(f, FAULT_INPUT,
					"the query has more than %zu parameters: send fewer", max);
			if (decode_pair(query, ++number, &pair, f) < 0)
				return -1;
			if (is_given(ret, n, pair.name))
				return fault_raise(f, FAULT_INPUT,
					"query parameter '%s' is given twice: send it once",
					text_excerpt(pair.name, shown));
			ret[n++] = pair;
		}
		query = next;
	}
	*ret_n = n;
	return 0;
}
