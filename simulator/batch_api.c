/* SPDX-License-Identifier: Apache-2.0 */
/*
 * v4: locations.batchGetReviews. One order over up to fifty locations: their cursors are merged,
 * ties go by the place in the list. Google does not say how it orders across locations; this is the
 * simplest reading of orderBy.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "simulator/review_json.h"
#include "simulator/reviews_api.h"

struct head { /* the next review of one location */
	struct place_name place;
	struct review_cursor cursor;
	struct review review;
	bool is_there;
};

struct batch {
	enum review_order order;
	int64_t size;
	bool skips_rating_only;
	uint64_t scope;
	size_t n;
	struct head heads[BATCH_LOCATIONS_MAX];
};

static struct review_key key_of(const struct review *review)
{
	return (struct review_key){.star = review->star_name ? 0 : review->star,
		.update_us = review->update_us,
		.index = review->index};
}

static void advance(const struct batch *b, struct head *h)
{
	do
		h->is_there = review_cursor_next(&h->cursor, &h->review);
	while (h->is_there && b->skips_rating_only && h->review.is_rating_only);
}

/* The head that comes first; the index is no tie-breaker between locations. NULL: all are done. */
static struct head *first_head(struct batch *b)
{
	struct review_key best_key, key;
	struct head *best = NULL;

	for (size_t i = 0; i < b->n; i++) {
		if (!b->heads[i].is_there)
			continue;
		key = key_of(&b->heads[i].review);
		key.index = 0;
		if (!best || review_key_compare(b->order, &key, &best_key) < 0) {
			best = &b->heads[i];
			best_key = key;
		}
	}
	return best;
}

/* Where location number i goes on, when location `position` was the last to give a review. */
static struct review_key resume_key(const struct page_token *after, size_t i)
{
	struct review_key key = after->key;

	if (i < after->position)
		key.index = 0; /* its reviews of that instant came before */
	else if (i > after->position)
		key.index = UINT32_MAX; /* its reviews of that instant are still to come */
	return key;
}

static void write_page(struct request *r, struct batch *b, const struct page_token *after)
{
	const struct overlay *overlay = &r->sim->overlay;
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	struct page_token next = {.scope = b->scope};
	struct review_key key;
	struct head *h;
	int64_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		if (after)
			key = resume_key(after, i);
		review_cursor_open(&b->heads[i].cursor, overlay, b->heads[i].place.location,
			b->order, after ? &key : NULL);
		advance(b, &b->heads[i]);
	}
	json_open(&o, '{');
	while ((h = first_head(b)) && n < b->size) {
		if (n++ == 0) {
			json_key(&o, "locationReviews");
			json_open(&o, '[');
		}
		json_open(&o, '{');
		json_add_text(&o, "name", h->place.text);
		json_key(&o, "review");
		review_write(&overlay->world, h->place.location, h->place.text, &h->review, &o);
		json_close(&o, '}');
		next.key = key_of(&h->review);
		next.position = (uint64_t)(h - b->heads);
		advance(b, h);
	}
	if (n)
		json_close(&o, ']');
	if (h)
		api_token_add(r, &o, &next);
	json_close(&o, '}');
}

/* ---- what was asked ---- */

static bool read_name(struct request *r, uint64_t user, const char *name, struct place_name *ret)
{
	static const char accounts[] = "accounts/", locations[] = "/locations/";
	const char *account, *at, *location;

	if (!name || !text_starts(name, accounts) || !(at = strstr(name, locations))) {
		answer_invalid(r, "location_names",
			"A location name must look like accounts/{a}/locations/{l}.");
		return false;
	}
	account = name + strlen(accounts);
	location = at + strlen(locations);
	return reviews_place(
		r, user, account, (size_t)(at - account), location, strlen(location), ret);
}

static bool read_locations(struct request *r, uint64_t user, const json_t *names, struct batch *b)
{
	b->n = json_array_size(names);
	if (b->n == 0 || b->n > BATCH_LOCATIONS_MAX) {
		answer_invalid(r, "location_names", "There must be 1 to 50 location names.");
		return false;
	}
	for (size_t i = 0; i < b->n; i++)
		if (!read_name(r, user, json_string_value(json_array_get(names, i)),
			    &b->heads[i].place))
			return false;
	return true;
}

static uint64_t scope_of(const struct request *r, const json_t *body)
{
	const json_t *names = json_member(body, "locationNames");
	const char *parts[BATCH_LOCATIONS_MAX + 4] = {"batch", r->args[0],
		json_text(body, "orderBy"),
		json_flag(body, "ignoreRatingOnlyReviews", false) ? "rated" : NULL};
	size_t n = json_array_size(names);

	if (n > BATCH_LOCATIONS_MAX)
		n = BATCH_LOCATIONS_MAX;
	for (size_t i = 0; i < n; i++)
		parts[4 + i] = json_string_value(json_array_get(names, i));
	return api_scope(parts, 4 + n);
}

static bool read_size(struct request *r, const json_t *body, int64_t *ret)
{
	struct page_size rule = {.standard = REVIEWS_PAGE, .most = REVIEWS_PAGE};
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)json_int(body, "pageSize", 0));
	rule.text = text;
	return api_page_size(r, &rule, ret);
}

static void serve(struct request *r, uint64_t user, const json_t *body)
{
	AUTO(mem_freep) struct batch *b = mem_alloc(sizeof(*b));
	struct page_token after;
	bool is_first;

	b->scope = scope_of(r, body);
	b->skips_rating_only = json_flag(body, "ignoreRatingOnlyReviews", false);
	if (!reviews_order(r, json_text(body, "orderBy"), &b->order) ||
		!read_size(r, body, &b->size) ||
		!api_token_read(r, json_text(body, "pageToken"), b->scope, &after, &is_first))
		return;
	overlay_read(&r->sim->overlay);
	if (read_locations(r, user, json_member(body, "locationNames"), b)) {
		if (tunables(r->sim).batch_empty)
			buf_add_text(answer_start(r, 200, ANSWER_JSON), "{}");
		else
			write_page(r, b, is_first ? NULL : &after);
	}
	overlay_done(&r->sim->overlay);
}

void reviews_batch(struct request *r)
{
	AUTO(json_drop) json_t *body = NULL;
	uint64_t user, account;
	struct fault f;

	if (!api_begin(r, API_REVIEWS, NULL, &user) || !api_account(r, user, r->args[0], &account))
		return;
	if (json_parse(buf_text(&r->body), r->body.len, &body, &f) < 0 || !json_is_object(body)) {
		answer_invalid(r, "body", "The body must be a JSON object.");
		return;
	}
	serve(r, user, body);
}
