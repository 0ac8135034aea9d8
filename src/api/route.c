/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of routes become one tree of path segments, built at the first question, so that
 * finding a route costs a few comparisons however many routes there are. A literal segment goes
 * before a parameter, but a literal that has not the method does not hide a parameter that has: GET
 * /tokens/refresh asks for a branch named "refresh".
 */
#include "api/route.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "base/text.h"

#define SEGMENTS_MAX 12

struct endpoint {
	const struct route *route;
	struct route_count *count;
	const char *names[REQUEST_PARAMS_MAX];
	size_t n_names;
	struct endpoint *next;
};

struct node {
	char *literal; /* NULL: a parameter */
	size_t len;
	struct node *child, *sibling; /* the parameter, if any, is the last of its siblings */
	struct endpoint *endpoints;
};

static const struct route *const tables[] = {
	health_routes,
	google_routes,
	notification_routes,
	reply_routes,
	client_routes,
	overview_routes,
	key_routes,
	audit_routes,
	connect_routes,
	link_routes,
	session_routes,
	console_routes,
	token_routes,
	import_routes,
	job_routes,
	review_routes,
	nested_routes,
	demo_routes,
	event_routes,
	docs_routes,
};

static const struct route *extra_table;
static struct node root;
static pthread_once_t built = PTHREAD_ONCE_INIT;

static struct node *find_or_add_child(struct node *parent, const char *text, size_t len)
{
	const bool is_param = text[0] == '{';
	struct node **at = &parent->child;

	for (; *at; at = &(*at)->sibling) {
		if ((*at)->literal == NULL)
			break;
		if (!is_param && (*at)->len == len && memcmp((*at)->literal, text, len) == 0)
			return *at;
	}
	if (is_param && *at)
		return *at;

	struct node *n = mem_alloc(sizeof(*n));
	n->literal = is_param ? NULL : mem_text_n(text, len);
	n->len = len;
	n->sibling = *at;
	*at = n;
	return n;
}

static void add_route(const struct route *route)
{
	struct endpoint *e = mem_alloc(sizeof(*e));
	struct node *n = &root;
	const char *at = route->path;

	e->route = route;
	e->count = route_count_new(route);
	while (*at == '/') {
		const char *text = at + 1;
		const size_t len = strcspn(text, "/");
		if (len == 0)
			break;
		n = find_or_add_child(n, text, len);
		if (text[0] == '{' && e->n_names < REQUEST_PARAMS_MAX)
			e->names[e->n_names++] = mem_text_n(text + 1, len - 2);
		at = text + len;
	}
	e->next = n->endpoints;
	n->endpoints = e;
}

void route_use(const struct route *extra)
{
	extra_table = extra;
}

void route_each(void (*each)(void *arg, const struct route *route), void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		for (const struct route *r = tables[i]; r->method; r++)
			each(arg, r);
	for (const struct route *r = extra_table; r && r->method; r++)
		each(arg, r);
}

static void add_each(void *arg, const struct route *route)
{
	(void)arg;
	add_route(route);
}

static void build(void)
{
	route_each(add_each, NULL);
}

struct segment {
	const char *text;
	size_t len;
};

struct walk {
	const char *method;
	struct segment segments[SEGMENTS_MAX];
	size_t n_segments;
	size_t params[REQUEST_PARAMS_MAX]; /* indices of segments */
	const struct endpoint *found;
	const struct endpoint *other[8]; /* same path, another method */
	size_t n_other;
};

/* True when the segment is copied or decoded into *scratch, which moves on. */
static bool read_segment(const char *text, size_t len, char **scratch, struct segment *ret)
{
	bool is_plain = true;

	for (size_t i = 0; i < len && is_plain; i++)
		is_plain = text[i] != '%' && (unsigned char)text[i] < 0x80;
	ret->text = *scratch;
	ret->len = len;
	if (is_plain) {
		memcpy(*scratch, text, len);
		(*scratch)[len] = '\0';
	} else if (text_percent_decode(text, len, false, *scratch, &ret->len) != 0) {
		return false;
	}
	*scratch += ret->len + 1;
	return true;
}

/* A single slash at the end is forgiven, as the original did by a redirect. */
static enum route_outcome read_segments(struct walk *w, const char *path, char *scratch)
{
	while (path[0] == '/' && path[1] != '\0') {
		const char *text = path + 1;
		const char *end = strchr(text, '/');
		const size_t len = end ? (size_t)(end - text) : strlen(text);
		if (w->n_segments == SEGMENTS_MAX)
			return ROUTE_NO_PATH;
		if (!read_segment(text, len, &scratch, &w->segments[w->n_segments++]))
			return ROUTE_BAD_ENCODING;
		path = text + len;
	}
	return path[0] == '\0' || strcmp(path, "/") == 0 ? ROUTE_FOUND : ROUTE_NO_PATH;
}

static bool method_fits(const char *route, const char *asked)
{
	return strcmp(route, asked) == 0 ||
	       (strcmp(asked, "HEAD") == 0 && strcmp(route, "GET") == 0);
}

static bool match_here(struct walk *w, const struct node *n)
{
	for (const struct endpoint *e = n->endpoints; e; e = e->next) {
		if (method_fits(e->route->method, w->method)) {
			w->found = e;
			return true;
		}
		if (w->n_other < ARRAY_LEN(w->other))
			w->other[w->n_other++] = e;
	}
	return false;
}

static bool match(struct walk *w, const struct node *n, size_t depth, size_t n_params)
{
	if (depth == w->n_segments)
		return match_here(w, n);

	const struct segment *s = &w->segments[depth];
	for (const struct node *c = n->child; c; c = c->sibling) {
		if (c->literal) {
			if (c->len == s->len && memcmp(c->literal, s->text, s->len) == 0 &&
				match(w, c, depth + 1, n_params))
				return true;
		} else if (s->len > 0 && n_params < REQUEST_PARAMS_MAX) {
			w->params[n_params] = depth;
			if (match(w, c, depth + 1, n_params + 1))
				return true;
		}
	}
	return false;
}

static void add_allowed(struct route_match *ret, const char *method)
{
	const size_t used = strlen(ret->allow);

	if (strstr(ret->allow, method) == NULL)
		snprintf(ret->allow + used, sizeof(ret->allow) - used, "%s%s", used ? ", " : "",
			method);
}

static void list_allowed(const struct walk *w, struct route_match *ret)
{
	ret->allow[0] = '\0';
	ret->open = false;
	for (size_t i = 0; i < w->n_other; i++) {
		add_allowed(ret, w->other[i]->route->method);
		if (strcmp(w->other[i]->route->method, "GET") == 0)
			add_allowed(ret, "HEAD");
		ret->open |= w->other[i]->route->scope == 0;
	}
	add_allowed(ret, "OPTIONS");
}

enum route_outcome route_find(
	const char *method, const char *path, char *scratch, struct route_match *ret)
{
	struct walk w;

	pthread_once(&built, build);
	w.method = method;
	w.n_segments = 0;
	w.n_other = 0;
	w.found = NULL;
	ret->route = NULL;
	ret->count = NULL;
	ret->n_params = 0;
	ret->allow[0] = '\0';

	const enum route_outcome read = read_segments(&w, path, scratch);
	if (read != ROUTE_FOUND)
		return read;
	if (!match(&w, &root, 0, 0)) {
		if (w.n_other == 0)
			return ROUTE_NO_PATH;
		list_allowed(&w, ret);
		return ROUTE_NO_METHOD;
	}
	ret->route = w.found->route;
	ret->count = w.found->count;
	ret->n_params = w.found->n_names;
	for (size_t i = 0; i < ret->n_params; i++)
		ret->params[i] =
			(struct name_value){w.found->names[i], w.segments[w.params[i]].text};
	return ROUTE_FOUND;
}
