/* SPDX-License-Identifier: Apache-2.0 */
/* The world as it is, for tests that must know the truth. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "simulator/control.h"
#include "simulator/review_json.h"

#define REVIEWS_PIECE 100

static void put_totals(const struct overlay *o, uint64_t location, struct json_out *out)
{
	struct place_totals totals;

	overlay_totals(o, location, &totals);
	json_add_int(out, "reviews", totals.count);
	json_add_int(out, "rated", totals.rated);
	json_add_int(out, "star_sum", totals.star_sum);
}

void control_world_get(struct request *r)
{
	const struct overlay *o = &r->sim->overlay;
	const struct world *w = &o->world;
	struct json_out out = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	struct place_totals totals;
	int64_t sum = 0;

	overlay_read(&r->sim->overlay);
	for (uint64_t l = 0; l < world_location_count(w); l++) {
		if (overlay_state(o, l) != PLACE_LIVE)
			continue;
		totals.count = world_review_count(w, l);
		if (overlay_place(o, l))
			overlay_totals(o, l, &totals);
		sum += totals.count;
	}
	json_open(&out, '{');
	json_add_int(&out, "seed", (int64_t)w->seed);
	json_add_int(&out, "users", w->users);
	json_add_int(&out, "accounts_per_user", w->accounts);
	json_add_int(&out, "locations_per_account", w->locations);
	json_add_int(&out, "reviews_per_location", w->reviews);
	json_add_bool(&out, "reviews_exact", w->reviews_exact);
	json_add_int(&out, "shared", w->shared);
	json_add_int(&out, "unverified_every", w->unverified_every);
	json_add_time(&out, "end", w->end_us / 1000);
	json_add_int(&out, "accounts", (int64_t)world_account_count(w));
	json_add_int(&out, "locations", (int64_t)world_location_count(w));
	json_add_int(&out, "reviews", sum);
	json_add_int(&out, "changes", o->n_changes);
	json_add_int(&out, "grants", grants_count(&r->sim->grants));
	json_close(&out, '}');
	overlay_done(&r->sim->overlay);
}

/* ---- lists ---- */

typedef void put_row_fn(const struct overlay *o, uint64_t n, struct json_out *out);

static void write_list(struct request *r, const char *name, uint64_t all, put_row_fn *put)
{
	int64_t offset, limit;
	struct json_out out;

	if (!control_range(r, &offset, &limit))
		return;
	out = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	overlay_read(&r->sim->overlay);
	json_open(&out, '{');
	json_add_int(&out, "total", (int64_t)all);
	json_key(&out, name);
	json_open(&out, '[');
	for (uint64_t n = (uint64_t)offset; n < all && n < (uint64_t)offset + (uint64_t)limit; n++)
		put(&r->sim->overlay, n, &out);
	json_close(&out, ']');
	json_close(&out, '}');
	overlay_done(&r->sim->overlay);
}

static void put_user(const struct overlay *o, uint64_t user, struct json_out *out)
{
	char text[WORLD_NAME_SIZE];

	json_open(out, '{');
	json_add_int(out, "number", (int64_t)user);
	world_user_email(&o->world, user, text);
	json_add_text(out, "email", text);
	world_user_sub(&o->world, user, text);
	json_add_text(out, "sub", text);
	json_close(out, '}');
}

static void put_account(const struct overlay *o, uint64_t account, struct json_out *out)
{
	const struct world *w = &o->world;
	char text[WORLD_NAME_SIZE];

	json_open(out, '{');
	json_add_int(out, "number", (int64_t)account);
	world_account_id(w, account, text);
	json_add_text(out, "id", text);
	json_add_text(out, "type", world_account_type(w, account));
	world_account_title(w, account, text);
	json_add_text(out, "title", text);
	world_user_email(w, account / (uint64_t)w->accounts, text);
	json_add_text(out, "user", text);
	json_add_int(out, "locations", world_visible_count(w, account));
	json_close(out, '}');
}

static void put_location(const struct overlay *o, uint64_t location, struct json_out *out)
{
	static const char *const states[] = {[PLACE_LIVE] = "live",
		[PLACE_UNVERIFIED] = "unverified",
		[PLACE_VANISHED] = "vanished"};
	const struct world *w = &o->world;
	uint64_t account = location / (uint64_t)w->locations;
	char text[WORLD_NAME_SIZE], id[WORLD_ID_SIZE], name[WORLD_NAME_SIZE];

	json_open(out, '{');
	json_add_int(out, "number", (int64_t)location);
	world_location_id(w, location, id);
	json_add_text(out, "id", id);
	world_account_id(w, account, text);
	json_add_text(out, "account", text);
	snprintf(name, sizeof(name), "accounts/%.32s/locations/%s", text, id);
	json_add_text(out, "name", name);
	world_location_title(w, location, text);
	json_add_text(out, "title", text);
	world_user_email(w, account / (uint64_t)w->accounts, text);
	json_add_text(out, "user", text);
	json_add_text(out, "state", states[overlay_state(o, location)]);
	put_totals(o, location, out);
	json_close(out, '}');
}

void control_world_users(struct request *r)
{
	write_list(r, "users", (uint64_t)r->sim->overlay.world.users, put_user);
}

void control_world_accounts(struct request *r)
{
	write_list(r, "accounts", world_account_count(&r->sim->overlay.world), put_account);
}

void control_world_locations(struct request *r)
{
	write_list(r, "locations", world_location_count(&r->sim->overlay.world), put_location);
}

static bool find_location(struct request *r, uint64_t *ret)
{
	*ret = world_location_find(&r->sim->overlay.world, r->args[0], strlen(r->args[0]));
	if (*ret != WORLD_NONE)
		return true;
	answer_control_error(r, 404, "there is no location %s", r->args[0]);
	return false;
}

void control_world_location(struct request *r)
{
	struct json_out out;
	uint64_t location;

	if (!find_location(r, &location))
		return;
	out = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	overlay_read(&r->sim->overlay);
	put_location(&r->sim->overlay, location, &out);
	overlay_done(&r->sim->overlay);
}

/* ---- all reviews, as lines ---- */

struct walk {
	struct overlay *overlay;
	uint64_t location, end; /* location numbers */
	bool has_key;
	struct review_key after;
};

/* One piece of one location: the lock is held for that long only, the key carries on. */
static bool walk_piece(void *arg, struct buf *piece)
{
	struct walk *walk = arg;
	const struct world *w = &walk->overlay->world;
	struct review_cursor cursor;
	struct review review;
	struct json_out out;
	char account[WORLD_ID_SIZE], id[WORLD_ID_SIZE], parent[WORLD_NAME_SIZE];
	int n = 0;

	if (walk->location >= walk->end)
		return false;
	world_account_id(w, walk->location / (uint64_t)w->locations, account);
	world_location_id(w, walk->location, id);
	snprintf(parent, sizeof(parent), "accounts/%s/locations/%s", account, id);
	overlay_read(walk->overlay);
	review_cursor_open(&cursor, walk->overlay, walk->location, ORDER_UPDATE_DESC,
		walk->has_key ? &walk->after : NULL);
	while (n < REVIEWS_PIECE && overlay_state(walk->overlay, walk->location) == PLACE_LIVE &&
		review_cursor_next(&cursor, &review)) {
		out = JSON_OUT(piece);
		review_write(w, walk->location, parent, &review, &out);
		buf_add_char(piece, '\n');
		walk->after =
			(struct review_key){.update_us = review.update_us, .index = review.index};
		n++;
	}
	overlay_done(walk->overlay);
	walk->has_key = n == REVIEWS_PIECE;
	if (!walk->has_key)
		walk->location++;
	return true;
}

static void stream_walk(struct request *r, uint64_t from, uint64_t end)
{
	struct walk *walk = mem_alloc(sizeof(*walk));

	*walk = (struct walk){.overlay = &r->sim->overlay, .location = from, .end = end};
	answer_start(r, 200, "application/x-ndjson");
	r->answer.stream = (struct stream){.fill = walk_piece, .drop = mem_free, .arg = walk};
}

void control_world_location_reviews(struct request *r)
{
	uint64_t location;

	if (find_location(r, &location))
		stream_walk(r, location, location + 1);
}

void control_world_reviews(struct request *r)
{
	const struct world *w = &r->sim->overlay.world;
	const char *email = params_get(&r->query, "user");
	uint64_t each = (uint64_t)(w->accounts * w->locations), user = world_user_find(w, email);

	if (!email)
		stream_walk(r, 0, world_location_count(w));
	else if (user == WORLD_NONE)
		answer_control_error(r, 404, "there is no user %s", email);
	else
		stream_walk(r, user * each, (user + 1) * each);
}
