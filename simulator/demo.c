/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of the world for the service's demo routes, in one answer and without a grant: JSON lines,
 * each a page as Google's APIs write it, with the numbers of what is in it beside. `seed` chooses
 * where a list begins, so that one seed shows the same again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "simulator/accounts_api.h"
#include "simulator/control.h"
#include "simulator/locations_api.h"
#include "simulator/review_json.h"

#define MOST 5000
#define LINE_REVIEWS 50
#define PLACE_REVIEWS 50 /* of one place, where none is named */
#define BYTES_MAX (16 * 1024 * 1024)

struct showing {
	const struct overlay *overlay;
	struct buf *to;
	uint64_t seed;
	int64_t left; /* accounts, locations or reviews */
	bool is_truncated;
};

static bool is_full(struct showing *s)
{
	s->is_truncated = s->is_truncated || s->to->len > BYTES_MAX;
	return s->left <= 0 || s->is_truncated;
}

static void put_account(struct showing *s, uint64_t account)
{
	struct json_out o = JSON_OUT(s->to);

	json_open(&o, '{');
	json_add_int(&o, "number", (int64_t)account + 1);
	json_key(&o, "accounts");
	json_open(&o, '[');
	account_write(&s->overlay->world, account, &o);
	json_close(&o, ']');
	json_close(&o, '}');
	buf_add_char(s->to, '\n');
}

/* Through the account that is asked, or the one that owns it. */
static void put_location(struct showing *s, uint64_t account, uint64_t location)
{
	struct json_out o = JSON_OUT(s->to);
	struct read_mask all;
	char id[WORLD_ID_SIZE];

	memset(&all, 0, sizeof(all));
	memset(all.whole, 1, sizeof(all.whole));
	world_account_id(&s->overlay->world, account, id);
	json_open(&o, '{');
	json_add_int(&o, "number", (int64_t)location + 1);
	json_add_text(&o, "account", id);
	json_key(&o, "locations");
	json_open(&o, '[');
	location_write(s->overlay, location, &all, &o);
	json_close(&o, ']');
	json_close(&o, '}');
	buf_add_char(s->to, '\n');
}

struct page {
	struct review reviews[LINE_REVIEWS];
	size_t n;
	char account[WORLD_ID_SIZE], location[WORLD_ID_SIZE], parent[WORLD_NAME_SIZE];
};

static void put_reviews(struct showing *s, const struct page *p, uint64_t location)
{
	struct json_out o = JSON_OUT(s->to);

	json_open(&o, '{');
	json_add_text(&o, "account", p->account);
	json_add_text(&o, "location", p->location);
	json_key(&o, "numbers");
	json_open(&o, '[');
	for (size_t i = 0; i < p->n; i++)
		json_put_int(&o, (int64_t)(location << 24 | p->reviews[i].index) + 1);
	json_close(&o, ']');
	json_key(&o, "reviews");
	json_open(&o, '[');
	for (size_t i = 0; i < p->n; i++)
		review_write(&s->overlay->world, location, p->parent, &p->reviews[i], &o);
	json_close(&o, ']');
	json_close(&o, '}');
	buf_add_char(s->to, '\n');
}

/* The newest of one place, most of them at most; counts them off. */
static void show_reviews(struct showing *s, uint64_t account, uint64_t location, int64_t most)
{
	const struct world *w = &s->overlay->world;
	struct review_cursor cursor;
	struct page page;
	bool more = overlay_state(s->overlay, location) == PLACE_LIVE;

	world_account_id(w, account, page.account);
	world_location_id(w, location, page.location);
	snprintf(page.parent, sizeof(page.parent), "accounts/%s/locations/%s", page.account,
		page.location);
	review_cursor_open(&cursor, s->overlay, location, ORDER_UPDATE_DESC, NULL);
	while (more && most > 0 && !is_full(s)) {
		for (page.n = 0; page.n < LINE_REVIEWS && most > 0 && s->left > 0 && more;) {
			more = review_cursor_next(&cursor, &page.reviews[page.n]);
			if (!more)
				break;
			page.n++;
			most--;
			s->left--;
		}
		if (page.n > 0)
			put_reviews(s, &page, location);
	}
}

/* ---- what is asked ---- */

static uint64_t owner(const struct world *w, uint64_t location)
{
	return location / (uint64_t)w->locations;
}

static void show_accounts(struct showing *s, const char *parent)
{
	const struct world *w = &s->overlay->world;
	const uint64_t all = world_account_count(w);

	(void)parent;
	for (uint64_t i = 0; i < all && !is_full(s); i++, s->left--)
		put_account(s, (s->seed + i) % all);
}

static void show_locations(struct showing *s, const char *parent)
{
	const struct world *w = &s->overlay->world;
	const uint64_t account = parent ? world_account_find(w, parent, strlen(parent)) : 0;
	const uint64_t all = parent ? (uint64_t)(account == WORLD_NONE ? 0 : w->locations)
				    : world_location_count(w);

	for (uint64_t i = 0; i < all && !is_full(s); i++) {
		const uint64_t at = (s->seed + i) % all;
		const uint64_t location = parent ? world_visible_at(w, account, (int64_t)at) : at;

		if (overlay_state(s->overlay, location) == PLACE_VANISHED)
			continue;
		put_location(s, owner(w, location), location);
		s->left--;
	}
}

static void show_all_reviews(struct showing *s, const char *parent)
{
	const struct world *w = &s->overlay->world;
	const uint64_t only = parent ? world_location_find(w, parent, strlen(parent)) : 0;
	const uint64_t all = world_location_count(w);

	if (parent && only != WORLD_NONE)
		show_reviews(s, owner(w, only), only, s->left);
	for (uint64_t i = 0; !parent && i < all && !is_full(s); i++) {
		const uint64_t location = (s->seed + i) % all;

		show_reviews(s, owner(w, location), location, PLACE_REVIEWS);
	}
}

/* One account, and its locations each followed by its reviews. */
static void show_places(struct showing *s, int64_t reviews)
{
	const struct world *w = &s->overlay->world;
	const uint64_t account = s->seed % world_account_count(w);
	const int64_t all = world_visible_count(w, account), most = s->left;

	put_account(s, account);
	for (int64_t i = 0, n = 0; i < all && n < most && !is_full(s); i++) {
		const uint64_t location = world_visible_at(w, account, i);

		if (overlay_state(s->overlay, location) == PLACE_VANISHED)
			continue;
		put_location(s, account, location);
		s->left = reviews;
		show_reviews(s, account, location, reviews);
		s->left = 1;
		n++;
	}
}

/* False: answered. */
static bool begin(struct request *r, struct showing *s)
{
	const char *seed = params_get(&r->query, "seed");
	const char *limit = params_get(&r->query, "limit");

	*s = (struct showing){.overlay = &r->sim->overlay,
		.seed = seed ? strtoull(seed, NULL, 16) : 0,
		.left = CONTROL_LIST};
	if (!limit || (text_parse_int(limit, &s->left) == 0 && s->left >= 0 && s->left <= MOST))
		return true;
	answer_control_error(r, 400, "limit must be a whole number from 0 to %d", MOST);
	return false;
}

static void end(struct showing *s)
{
	if (s->is_truncated)
		buf_add_text(s->to, "{\"truncated\":true}\n");
}

typedef void show_fn(struct showing *s, const char *parent);

static void list(struct request *r, show_fn *show, const char *parent)
{
	struct showing s;

	if (!begin(r, &s))
		return;
	s.to = answer_start(r, 200, "application/x-ndjson");
	overlay_read(&r->sim->overlay);
	show(&s, parent);
	overlay_done(&r->sim->overlay);
	end(&s);
}

void control_demo_accounts(struct request *r)
{
	list(r, show_accounts, NULL);
}

void control_demo_locations(struct request *r)
{
	list(r, show_locations, params_get(&r->query, "account"));
}

void control_demo_reviews(struct request *r)
{
	list(r, show_all_reviews, params_get(&r->query, "location"));
}

void control_demo_places(struct request *r)
{
	const char *reviews = params_get(&r->query, "reviews");
	int64_t most = CONTROL_LIST;
	struct showing s;

	if (reviews && (text_parse_int(reviews, &most) != 0 || most < 0 || most > MOST)) {
		answer_control_error(r, 400, "reviews must be a whole number from 0 to %d", MOST);
		return;
	}
	if (!begin(r, &s))
		return;
	s.to = answer_start(r, 200, "application/x-ndjson");
	overlay_read(&r->sim->overlay);
	show_places(&s, most);
	overlay_done(&r->sim->overlay);
	end(&s);
}
