/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "METHOD target" as it comes over the wire: split, routed, its parameters and its query decoded.
 * What comes out must be NUL-terminated UTF-8 that came from inside the input's room.
 */
#include <stdlib.h>
#include <string.h>

#include "api/route.h"
#include "api/uri.h"
#include "base/mem.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_true)
{
	if (!is_true)
		abort();
}

static void check_pairs(const struct name_value *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		must(text_is_utf8(pairs[i].name, strlen(pairs[i].name)));
		must(text_is_utf8(pairs[i].value, strlen(pairs[i].value)));
	}
}

static void check_route(const char *method, const char *path)
{
	/* Exactly the room that the contract demands, so that a byte more is seen. */
	char *scratch = mem_resize(NULL, strlen(path) + 1);
	struct route_match m;

	switch (route_find(method, path, scratch, &m)) {
	case ROUTE_FOUND:
		must(m.route != NULL && m.n_params <= REQUEST_PARAMS_MAX);
		for (size_t i = 0; i < m.n_params; i++)
			must(*m.params[i].value != '\0' && m.params[i].value >= scratch &&
				m.params[i].value <= scratch + strlen(path));
		check_pairs(m.params, m.n_params);
		break;
	case ROUTE_NO_METHOD:
		must(strstr(m.allow, "OPTIONS") != NULL);
		break;
	case ROUTE_NO_PATH:
	case ROUTE_BAD_ENCODING:
		break;
	}
	mem_free(scratch);
}

static void check_query(char *query)
{
	struct name_value pairs[REQUEST_QUERY_MAX];
	struct fault f;
	size_t n = 0;

	if (query_decode(query, pairs, REQUEST_QUERY_MAX, &n, &f) == 0) {
		must(n <= REQUEST_QUERY_MAX);
		check_pairs(pairs, n);
	} else {
		must(f.kind == FAULT_INPUT && text_is_utf8(f.text, strlen(f.text)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = mem_text_n((const char *)data, size);
	char *target = strchr(line, ' ');
	char *path, *query;

	if (target) {
		*target++ = '\0';
		if (uri_split(target, &path, &query) == 0) {
			check_route(line, path);
			check_query(query);
		}
	}
	mem_free(line);
	return 0;
}
