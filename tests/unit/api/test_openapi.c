/* SPDX-License-Identifier: Apache-2.0 */
/* The document that is built in against the live table of routes. What the handlers read and answer
 * is held by tests/house/check_openapi.py and tests/integration/openapi.test.mjs. */
#include "../test.h"

#include <stdio.h>

#include "api/docs.h"
#include "api/route.h"
#include "base/json.h"
#include "base/text.h"

static json_t *document;
static size_t n_routes;

static const json_t *operation_of(const struct route *r)
{
	const json_t *path = json_member(json_member(document, "paths"), r->path);
	char method[16];
	size_t n = 0;

	for (const char *c = r->method; *c && n < sizeof(method) - 1; c++)
		method[n++] = (char)(*c | 0x20);
	method[n] = '\0';
	return json_member(path, method);
}

static void check_route(void *arg, const struct route *r)
{
	const json_t *operation = operation_of(r);

	(void)arg;
	n_routes++;
	if (operation == NULL)
		fail_msg("%s %s is described by no piece of src/api/openapi", r->method, r->path);
	assert_string_equal(json_text(operation, "summary"), r->summary);
}

static void every_route_is_described_in_its_own_words(void **state)
{
	(void)state;
	n_routes = 0;
	route_each(check_route, NULL);
}

static void nothing_is_described_that_is_no_route(void **state)
{
	const char *path;
	json_t *methods;
	size_t n = 0;

	(void)state;
	json_object_foreach(json_member(document, "paths"), path, methods) n +=
		json_object_size(methods);
	assert_int_equal(n, n_routes);
}

/* Each of the route's scopes by key and by session; nothing else but what the flags add. */
static void check_scopes(void *arg, const struct route *r)
{
	const json_t *ways = json_member(operation_of(r), "security"), *way;
	unsigned by_key = 0, by_session = 0, flags = 0;
	size_t i;

	(void)arg;
	json_array_foreach(ways, i, way)
	{
		const json_t *key = json_member(way, "key"), *session = json_member(way, "session");
		const char *scope = json_string_value(json_array_get(key ? key : session, 0));
		unsigned bits = key || session ? ROUTE_ANY_KEY : 0;

		for (unsigned bit = 1; scope && bit <= KEY_ADMIN; bit <<= 1)
			if (text_equal(scope, key_scope_name((enum key_scope)bit)))
				bits = bit;
		by_key |= key ? bits : 0;
		by_session |= session ? bits : 0;
		flags |= json_member(way, "ticket") ? ROUTE_OR_TICKET : 0;
		flags |= json_object_size(way) == 0 ? ROUTE_OR_LOOPBACK : 0;
	}
	if (by_key != (r->scope & 0xffu) || by_session != by_key ||
		flags != (r->scope & (ROUTE_OR_TICKET | ROUTE_OR_LOOPBACK)))
		fail_msg("%s %s: the scopes are others", r->method, r->path);
}

static void every_route_names_the_scopes_that_it_takes(void **state)
{
	(void)state;
	route_each(check_scopes, NULL);
}

static void check_path(void *arg, const struct route *r)
{
	const json_t *parameters = json_member(operation_of(r), "parameters"), *p;
	char name[128];
	size_t i, n = 0, wanted = 0;

	(void)arg;
	for (const char *c = r->path; *c; c++)
		wanted += *c == '{';
	json_array_foreach(parameters, i, p)
	{
		if (!text_equal(json_text(p, "in"), "path"))
			continue;
		snprintf(name, sizeof(name), "{%s}", json_text(p, "name"));
		if (strstr(r->path, name) == NULL)
			fail_msg("%s %s has no %s", r->method, r->path, name);
		n++;
	}
	if (n != wanted)
		fail_msg("%s %s: a parameter of the path is missing", r->method, r->path);
}

static void every_parameter_of_a_path_is_described(void **state)
{
	(void)state;
	route_each(check_path, NULL);
}

static int read_document(void **state)
{
	const struct embedded_file *file = docs_file("openapi.json");
	struct fault f;

	(void)state;
	return json_parse((const char *)file->data, file->len, &document, &f);
}

static int drop_document(void **state)
{
	(void)state;
	json_drop(&document);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_is_described_in_its_own_words),
		cmocka_unit_test(nothing_is_described_that_is_no_route),
		cmocka_unit_test(every_route_names_the_scopes_that_it_takes),
		cmocka_unit_test(every_parameter_of_a_path_is_described),
	};

	return cmocka_run_group_tests(tests, read_document, drop_document);
}
