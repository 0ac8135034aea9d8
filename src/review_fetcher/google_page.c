/* SPDX-License-Identifier: Apache-2.0 */
#include "review_fetcher/google.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/limits.h"

#define ID_MAX 512
#define ITEMS_MAX 5000 /* far beyond any page size; what is more is meant to hurt */

static const char *keep(struct google_page *p, char *made)
{
	/* Grows by doubling at powers of two, so that no capacity has to be remembered. */
	if ((p->n_made & (p->n_made - 1)) == 0)
		p->made = mem_resize(p->made, (p->n_made ? p->n_made * 2 : 1) * sizeof(*p->made));
	p->made[p->n_made++] = made;
	return made;
}

/* jansson's buffer is jansson's to free; ours goes the way of everything else that was made. */
static const char *dump(struct google_page *p, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	const char *kept;

	if (!text)
		return NULL;
	kept = keep(p, mem_text(text));
	mem_wipe_free(text);
	return kept;
}

/*
 * A member's text, NULL when it is none. A NUL inside, which JSON can say and neither C nor
 * PostgreSQL can hold, becomes U+FFFD; the raw item keeps the original.
 */
static const char *text_of(struct google_page *p, const json_t *object, const char *key)
{
	const json_t *value = json_member(object, key);
	const char *bytes = json_string_value(value);
	size_t len = json_string_length(value);
	AUTO(buf_drop) struct buf clean = BUF_INIT(4 * (size_t)LIMIT_GOOGLE_PAGE_BYTES);

	if (!bytes || strlen(bytes) == len)
		return bytes;
	for (size_t i = 0; i < len; i++) {
		if (bytes[i])
			buf_add_char(&clean, bytes[i]);
		else
			buf_add_text(&clean, "\xef\xbf\xbd");
	}
	return keep(p, mem_text(buf_text(&clean)));
}

/* An id has to fit a path segment and a key; anything else is not one. */
static const char *usable_id(const char *id)
{
	size_t len = id ? strlen(id) : 0;

	if (len == 0 || len > ID_MAX || strchr(id, '/') || text_equal(id, ".") ||
		text_equal(id, ".."))
		return NULL;
	return id;
}

/* What stands behind the last `collection` ("locations/") of a resource name. */
static const char *id_after(const char *name, const char *collection)
{
	const char *at = NULL;

	for (const char *p = name; p && (p = strstr(p, collection)); p++) {
		if (p == name || p[-1] == '/')
			at = p + strlen(collection);
	}
	return usable_id(at);
}

static void add_part(struct buf *line, const char *part)
{
	if (!part || !*part)
		return;
	if (line->len)
		buf_add_text(line, ", ");
	buf_add_text(line, part);
}

/* Absent for businesses that come to their customers: then there is no address, not an empty one.
 */
static const char *address_of(struct google_page *p, const json_t *location)
{
	static const char *const parts[] = {
		"locality", "administrativeArea", "postalCode", "regionCode"};
	const json_t *address = json_member(location, "storefrontAddress");
	const json_t *lines = json_member(address, "addressLines");
	AUTO(buf_drop) struct buf line = BUF_INIT(4096);

	for (size_t i = 0; i < json_array_size(lines); i++)
		add_part(&line, json_string_value(json_array_get(lines, i)));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		add_part(&line, text_of(p, address, parts[i]));
	return line.len ? keep(p, mem_text(buf_text(&line))) : NULL;
}

static bool read_account(struct google_page *p, const json_t *item, struct google_account *ret)
{
	ret->id = id_after(text_of(p, item, "name"), "accounts/");
	if (!ret->id)
		return false;
	ret->name = text_of(p, item, "accountName");
	ret->type = text_of(p, item, "type");
	ret->role = text_of(p, item, "role");
	ret->raw = dump(p, item);
	return ret->raw != NULL;
}

static bool read_location(struct google_page *p, const json_t *item, struct google_location *ret)
{
	ret->id = id_after(text_of(p, item, "name"), "locations/");
	if (!ret->id)
		return false;
	ret->title = text_of(p, item, "title");
	ret->store_code = text_of(p, item, "storeCode");
	ret->address = address_of(p, item);
	ret->phone = text_of(p, json_member(item, "phoneNumbers"), "primaryPhone");
	ret->category = text_of(
		p, json_member(json_member(item, "categories"), "primaryCategory"), "displayName");
	ret->raw = dump(p, item);
	return ret->raw != NULL;
}

static int rating_of(const char *stars)
{
	static const char *const names[] = {"ONE", "TWO", "THREE", "FOUR", "FIVE"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (stars && text_equal(stars, names[i]))
			return (int)i + 1;
	}
	return 0;
}

static int64_t instant_of(struct google_page *p, const json_t *object, const char *key)
{
	const char *text = text_of(p, object, key);
	int64_t us = 0;

	if (!text || clock_parse_us(text, &us) != 0)
		return 0;
	return us;
}

static bool read_review(struct google_page *p, const json_t *item, struct google_review *ret)
{
	const json_t *reviewer = json_member(item, "reviewer");
	const json_t *reply = json_member(item, "reviewReply");
	const json_t *media = json_member(item, "reviewMediaItems");

	ret->id = usable_id(text_of(p, item, "reviewId"));
	if (!ret->id)
		ret->id = id_after(text_of(p, item, "name"), "reviews/");
	if (!ret->id)
		return false;
	ret->star = text_of(p, item, "starRating");
	ret->rating = rating_of(ret->star);
	ret->comment = text_of(p, item, "comment");
	ret->reviewer_name = text_of(p, reviewer, "displayName");
	ret->reviewer_photo_url = text_of(p, reviewer, "profilePhotoUrl");
	ret->is_anonymous = json_flag(reviewer, "isAnonymous", false);
	ret->created_us = instant_of(p, item, "createTime");
	ret->updated_us = instant_of(p, item, "updateTime");
	if (!ret->updated_us)
		ret->updated_us = ret->created_us;
	ret->has_reply = json_is_object(reply);
	if (ret->has_reply) {
		ret->reply_text = text_of(p, reply, "comment");
		ret->reply_state = text_of(p, reply, "reviewReplyState");
		ret->reply_policy = text_of(p, reply, "policyViolation");
		ret->reply_updated_us = instant_of(p, reply, "updateTime");
	}
	ret->media = json_array_size(media) ? dump(p, media) : NULL;
	ret->raw = dump(p, item);
	return ret->raw != NULL;
}

/* "accounts/a/locations/l", beside the review or as the start of its name. */
static bool read_batch_item(struct google_page *p, const json_t *item, struct google_review *ret)
{
	const json_t *review = json_member(item, "review");
	const char *name = text_of(p, item, "name");
	const char *at, *end;
	char *id;

	if (!read_review(p, review, ret))
		return false;
	if (!name || !strstr(name, "locations/"))
		name = text_of(p, review, "name");
	at = name ? strstr(name, "locations/") : NULL;
	if (!at)
		return false;
	at += strlen("locations/");
	end = at + strcspn(at, "/");
	id = mem_text_n(at, (size_t)(end - at));
	ret->location_id = usable_id(keep(p, id));
	return ret->location_id != NULL;
}

/* The listings, which come first in enum google_api, and the batch, whose items are wrapped
 * reviews. */
enum shape { SHAPE_BATCH = GOOGLE_REVIEWS + 1, SHAPES };

static bool read_item(int shape, struct google_page *p, const json_t *item)
{
	switch (shape) {
	case GOOGLE_ACCOUNTS:
		return read_account(p, item, &p->accounts[p->n]);
	case GOOGLE_LOCATIONS:
		return read_location(p, item, &p->locations[p->n]);
	case GOOGLE_REVIEWS:
		return read_review(p, item, &p->reviews[p->n]);
	default:
		return read_batch_item(p, item, &p->reviews[p->n]);
	}
}

static void read_items(int shape, struct google_page *p, const json_t *items)
{
	size_t n = json_array_size(items);

	if (!n)
		return;
	if (shape == GOOGLE_ACCOUNTS)
		p->accounts = mem_alloc_array(n, sizeof(*p->accounts));
	else if (shape == GOOGLE_LOCATIONS)
		p->locations = mem_alloc_array(n, sizeof(*p->locations));
	else
		p->reviews = mem_alloc_array(n, sizeof(*p->reviews));
	for (size_t i = 0; i < n; i++) {
		if (read_item(shape, p, json_array_get(items, i)))
			p->n++;
		else
			p->skipped++;
	}
}

/*
 * A listing that loses its next token by a type we did not expect would look complete. So the frame
 * of a page is held to its shape, while what is in it is not.
 */
static int read_frame(int shape, struct google_page *p, struct fault *f)
{
	static const char *const lists[SHAPES] = {
		"accounts", "locations", "reviews", "locationReviews"};
	const json_t *items = json_member(p->root, lists[shape]);
	const json_t *next = json_member(p->root, "nextPageToken");

	if (!json_is_object(p->root))
		return fault_raise(f, FAULT_UPSTREAM, "the page is not a JSON object");
	if (json_member(p->root, "error"))
		return fault_raise(f, FAULT_UPSTREAM, "the page is an error with status 200");
	if (items && !json_is_array(items) && !json_is_null(items))
		return fault_raise(f, FAULT_UPSTREAM, "`%s` is not an array", lists[shape]);
	if (json_array_size(items) > ITEMS_MAX)
		return fault_raise(f, FAULT_UPSTREAM,
			"the page has %zu items, more than a page can", json_array_size(items));
	if (next && !json_is_string(next) && !json_is_null(next))
		return fault_raise(f, FAULT_UPSTREAM, "`nextPageToken` is not a string");
	read_items(shape, p, items);
	p->next_token = text_of(p, p->root, "nextPageToken");
	if (p->next_token && !*p->next_token)
		p->next_token = NULL;
	return 0;
}

static void read_totals(struct google_page *p)
{
	const json_t *average = json_member(p->root, "averageRating");
	const json_t *total = json_member(p->root, "totalReviewCount");
	const char *text = json_string_value(total);
	int64_t number;

	p->total = json_is_integer(total) ? json_integer_value(total) : -1;
	/* int64 values are strings in Google's JSON mapping; an int32 may become one some day. */
	if (text && text_parse_int(text, &number) == 0)
		p->total = number;
	if (p->total < 0)
		p->total = -1;
	p->average = json_is_number(average) ? json_number_value(average) : -1.0;
}

static int read_page(
	int shape, const char *bytes, size_t len, struct google_page *ret, struct fault *f)
{
	struct google_page p = {0};

	if (json_parse(bytes, len, &p.root, f) < 0) {
		f->kind = FAULT_UPSTREAM;
		return -1;
	}
	if (read_frame(shape, &p, f) < 0) {
		google_page_done(&p);
		return -1;
	}
	read_totals(&p);
	*ret = p;
	return 0;
}

int google_page_read(enum google_api kind, const char *bytes, size_t len, struct google_page *ret,
	struct fault *f)
{
	return read_page((int)kind, bytes, len, ret, f);
}

int google_batch_read(const char *bytes, size_t len, struct google_page *ret, struct fault *f)
{
	return read_page(SHAPE_BATCH, bytes, len, ret, f);
}

int google_review_read(const char *bytes, size_t len, struct google_page *ret, struct fault *f)
{
	struct google_page p = {.total = -1, .average = -1.0};

	if (json_parse(bytes, len, &p.root, f) < 0) {
		f->kind = FAULT_UPSTREAM;
		return -1;
	}
	p.reviews = mem_alloc(sizeof(*p.reviews));
	if (!read_review(&p, p.root, p.reviews)) {
		google_page_done(&p);
		return fault_raise(f, FAULT_UPSTREAM, "the answer is not a review");
	}
	p.n = 1;
	*ret = p;
	return 0;
}

void google_page_done(struct google_page *p)
{
	for (size_t i = 0; i < p->n_made; i++)
		mem_free(p->made[i]);
	mem_free(p->made);
	mem_free(p->accounts);
	mem_free(p->locations);
	mem_free(p->reviews);
	json_decref(p->root);
	*p = (struct google_page){0};
}
