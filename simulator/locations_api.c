/* SPDX-License-Identifier: Apache-2.0 */
/* Business Information v1: accounts.locations.list. */
#include "simulator/locations_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "simulator/api.h"

#define PAGE 10
#define PAGE_MAX 100

enum sort { SORT_NONE, SORT_TITLE, SORT_CODE };

struct listing {
	uint64_t user, account; /* account WORLD_NONE: the wildcard */
	struct read_mask mask;
	char title[WORLD_NAME_SIZE], code[32]; /* filters; "": none */
	bool has_filter, is_descending;
	enum sort sort;
	int64_t size, total;
};

/* ---- what was asked ---- */

/* One `key=value` of a filter, value with or without quotes. False: not understood. */
static bool read_term(struct listing *l, const char *term, size_t len)
{
	static const char *const keys[] = {"title=", "storeCode=", "store_code="};
	size_t key;
	char *to;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		key = strlen(keys[i]);
		if (len <= key || memcmp(term, keys[i], key) != 0)
			continue;
		term += key;
		len -= key;
		if (len >= 2 && term[0] == '"' && term[len - 1] == '"') {
			term++;
			len -= 2;
		}
		to = i == 0 ? l->title : l->code;
		snprintf(to, i == 0 ? sizeof(l->title) : sizeof(l->code), "%.*s", (int)len, term);
		return true;
	}
	return false;
}

static bool read_filter(struct request *r, struct listing *l)
{
	const char *at = params_get(&r->query, "filter"), *end;
	size_t len;

	l->has_filter = at && *at;
	while (at && *at) {
		end = strstr(at, " AND ");
		len = end ? (size_t)(end - at) : strlen(at);
		if (!read_term(l, at, len)) {
			answer_invalid(r, "filter",
				"This filter is not understood: use title=\"…\" or "
				"storeCode=\"…\", joined by AND.");
			return false;
		}
		at = end ? end + strlen(" AND ") : NULL;
	}
	return true;
}

static bool read_order(struct request *r, struct listing *l)
{
	const char *order = params_get(&r->query, "orderBy");
	size_t len;

	if (!order || !*order)
		return true;
	len = strcspn(order, " ");
	if (len == 5 && memcmp(order, "title", 5) == 0)
		l->sort = SORT_TITLE;
	else if ((len == 9 && memcmp(order, "storeCode", 9) == 0) ||
		 (len == 10 && memcmp(order, "store_code", 10) == 0))
		l->sort = SORT_CODE;
	l->is_descending = strcmp(order + len, " desc") == 0;
	if (!l->sort || (order[len] && !l->is_descending)) {
		answer_invalid(r, "order_by",
			"The order must be title or storeCode, with or without desc.");
		return false;
	}
	return true;
}

static bool read_account(struct request *r, struct listing *l)
{
	l->account = WORLD_NONE;
	return strcmp(r->args[0], "-") == 0 || api_account(r, l->user, r->args[0], &l->account);
}

/* ---- the rows ---- */

static int64_t candidates(const struct world *w, const struct listing *l)
{
	return l->account == WORLD_NONE ? w->accounts * w->locations
					: world_visible_count(w, l->account);
}

static uint64_t candidate(const struct world *w, const struct listing *l, int64_t n)
{
	if (l->account == WORLD_NONE)
		return l->user * (uint64_t)(w->accounts * w->locations) + (uint64_t)n;
	return world_visible_at(w, l->account, n);
}

static bool is_listed(const struct overlay *o, const struct listing *l, uint64_t location)
{
	char text[WORLD_NAME_SIZE];

	if (overlay_state(o, location) == PLACE_VANISHED)
		return false;
	if (*l->title) {
		world_location_title(&o->world, location, text);
		if (strcmp(text, l->title) != 0)
			return false;
	}
	if (*l->code) {
		location_store_code(location, text);
		return strcmp(text, l->code) == 0;
	}
	return true;
}

struct row {
	uint64_t location;
	char text[WORLD_NAME_SIZE];
};

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = strcmp(x->text, y->text);

	return order ? order : x->location < y->location ? -1 : x->location > y->location;
}

/* All listed locations in the order asked for; by number when none was. Owned by the caller. */
static uint64_t *sorted(const struct overlay *o, const struct listing *l, int64_t *ret_n)
{
	int64_t all = candidates(&o->world, l), n = 0;
	struct row *rows = mem_alloc_array((size_t)all, sizeof(*rows));
	uint64_t *numbers;

	for (int64_t i = 0; i < all; i++) {
		rows[n].location = candidate(&o->world, l, i);
		if (!is_listed(o, l, rows[n].location))
			continue;
		if (l->sort == SORT_TITLE)
			world_location_title(&o->world, rows[n].location, rows[n].text);
		else
			location_store_code(rows[n].location, rows[n].text);
		n++;
	}
	qsort(rows, (size_t)n, sizeof(*rows), compare_rows);
	numbers = mem_alloc_array((size_t)n, sizeof(*numbers));
	for (int64_t i = 0; i < n; i++)
		numbers[i] = rows[l->is_descending ? n - 1 - i : i].location;
	mem_free(rows);
	*ret_n = n;
	return numbers;
}

static void write_end(struct request *r, const struct listing *l, struct json_out *o, int64_t n,
	int64_t next, uint64_t scope)
{
	if (n)
		json_close(o, ']');
	if (next >= 0)
		api_token_add(
			r, o, &(struct page_token){.scope = scope, .position = (uint64_t)next});
	if (l->has_filter)
		json_add_int(o, "totalSize", l->total);
	json_close(o, '}');
}

/*
 * numbers NULL: candidates in their natural order, where the position in a page token stays right
 * while locations vanish and return.
 */
static void write_page(struct request *r, const struct listing *l, const uint64_t *numbers,
	int64_t all, int64_t from, uint64_t scope)
{
	const struct overlay *overlay = &r->sim->overlay;
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	int64_t n = 0, next = -1;
	uint64_t location;

	json_open(&o, '{');
	for (int64_t i = from; i < all; i++) {
		location = numbers ? numbers[i] : candidate(&overlay->world, l, i);
		if (!numbers && !is_listed(overlay, l, location))
			continue;
		if (n == l->size) {
			next = i;
			break;
		}
		if (n++ == 0) {
			json_key(&o, "locations");
			json_open(&o, '[');
		}
		location_write(overlay, location, &l->mask, &o);
	}
	write_end(r, l, &o, n, next, scope);
}

static void write_sorted(struct request *r, struct listing *l, int64_t from, uint64_t scope)
{
	int64_t n;
	uint64_t *numbers = sorted(&r->sim->overlay, l, &n);

	l->total = n;
	write_page(r, l, numbers, n, from, scope);
	mem_free(numbers);
}

void locations_list(struct request *r)
{
	const char *mask = params_get(&r->query, "readMask");
	const char *scope_parts[] = {"locations", r->args[0], params_get(&r->query, "filter"),
		params_get(&r->query, "orderBy")};
	uint64_t scope = api_scope(scope_parts, ARRAY_LEN(scope_parts));
	struct listing l = {0};
	struct page_token after = {0};
	bool is_first;

	if (!api_begin(r, API_LOCATIONS, NULL, &l.user) || !read_account(r, &l) ||
		!read_mask_parse(r, mask, &l.mask) || !read_filter(r, &l) || !read_order(r, &l) ||
		!api_page_size(r,
			&(struct page_size){.text = params_get(&r->query, "pageSize"),
				.standard = PAGE,
				.most = PAGE_MAX,
				.is_refused = true},
			&l.size) ||
		!api_token_read(r, params_get(&r->query, "pageToken"), scope, &after, &is_first))
		return;
	overlay_read(&r->sim->overlay);
	if (l.sort || l.has_filter)
		write_sorted(r, &l, (int64_t)after.position, scope);
	else
		write_page(r, &l, NULL, candidates(&r->sim->overlay.world, &l),
			(int64_t)after.position, scope);
	overlay_done(&r->sim->overlay);
}
