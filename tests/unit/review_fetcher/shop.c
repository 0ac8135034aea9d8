/* SPDX-License-Identifier: Apache-2.0 */
#include "shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "world.h"

#include "base/json.h"
#include "base/text.h"

struct shops shops;

void shops_open(int locations, int n)
{
	shops = (struct shops){.n = locations, .now_s = world.wall_ms / 1000};
	world.accounts = 1;
	world.locations = locations;
	for (int s = 0; s < locations; s++) {
		shops.shop[s].n = n;
		for (int i = 0; i < n; i++)
			shops.shop[s].reviews[i] = (struct shop_review){.star = "FOUR",
				.comment = i % 3 ? "Good" : NULL,
				.updated_s = shops.now_s - (n - i) * 86400LL - s};
	}
}

struct shop_review *shop_add(int shop)
{
	struct shop *s = &shops.shop[shop];
	struct shop_review *r = &s->reviews[s->n++];

	*r = (struct shop_review){
		.star = "FIVE", .comment = "Brand new", .updated_s = world.wall_ms / 1000};
	return r;
}

struct entry {
	int shop, i;
	int64_t updated_s;
};

static int by_update(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->updated_s != y->updated_s)
		return x->updated_s < y->updated_s ? 1 : -1;
	return x->i - y->i;
}

static void add_time(struct json_out *o, const char *key, int64_t s)
{
	time_t at = (time_t)s;
	char text[40];
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_add_text(o, key, text);
}

static void put(struct json_out *o, int shop, int i)
{
	const struct shop_review *r = &shops.shop[shop].reviews[i];
	char text[120];

	json_open(o, '{');
	snprintf(text, sizeof(text), "accounts/a/locations/l000-%d/reviews/r%d", shop, i);
	json_add_text(o, "name", text);
	snprintf(text, sizeof(text), "r%d", i);
	json_add_text(o, "reviewId", text);
	json_add_text(o, "starRating", r->star);
	if (r->comment)
		json_add_text(o, "comment", r->comment);
	add_time(o, "createTime", shops.now_s - 400 * 86400LL + i);
	add_time(o, "updateTime", r->updated_s);
	if (r->reply) {
		json_key(o, "reviewReply");
		json_open(o, '{');
		json_add_text(o, "comment", r->reply);
		add_time(o, "updateTime", r->reply_s);
		if (r->reply_state)
			json_add_text(o, "reviewReplyState", r->reply_state);
		json_close(o, '}');
	}
	json_close(o, '}');
}

void shop_write(int shop, int i, struct buf *ret)
{
	struct json_out o = JSON_OUT(ret);

	put(&o, shop, i);
}

static struct entry entries[SHOPS_MAX * SHOP_REVIEWS_MAX];

static int gather(int shop, int n)
{
	const struct shop *s = &shops.shop[shop];

	for (int i = 0; i < s->n; i++) {
		if (!s->reviews[i].gone && !s->reviews[i].hidden)
			entries[n++] = (struct entry){shop, i, s->reviews[i].updated_s};
	}
	return n;
}

static void put_next(struct json_out *o, int next, int all)
{
	char text[32];

	if (next >= all)
		return;
	snprintf(text, sizeof(text), "p%d", next);
	json_add_text(o, "nextPageToken", text);
}

static int number_after(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? (int)strtol(at + strlen(name), NULL, 10) : 0;
}

static long list(const char *url, int shop, int size, struct buf *ret)
{
	struct json_out o = JSON_OUT(ret);
	int n = gather(shop, 0), at = number_after(url, "pageToken=p");

	qsort(entries, (size_t)n, sizeof(*entries), by_update);
	if (shop == 0 && ++shops.lists == shops.moves_after)
		shops.shop[0].reviews[0].updated_s = world.wall_ms / 1000;
	else if (shop != 0)
		shops.lists++;
	json_open(&o, '{');
	json_key(&o, "reviews");
	json_open(&o, '[');
	for (int i = at; i < n && i < at + size; i++)
		put(&o, shop, entries[i].i);
	json_close(&o, ']');
	if (n + shops.shop[shop].lie)
		json_add_int(&o, "totalReviewCount", n + shops.shop[shop].lie);
	json_key(&o, "averageRating");
	json_put_double(&o, 4.5);
	put_next(&o, at + size, n);
	json_close(&o, '}');
	return 200;
}

static long one(const char *url, int shop, struct buf *ret)
{
	struct json_out o = JSON_OUT(ret);
	int i = number_after(url, "/reviews/r");

	shops.gets++;
	if (i >= shops.shop[shop].n || shops.shop[shop].reviews[i].gone) {
		buf_add_text(ret, "{\"error\":{\"code\":404,\"status\":\"NOT_FOUND\"}}");
		return 404;
	}
	put(&o, shop, i);
	return 200;
}

static int gather_batch(const char *body)
{
	AUTO(json_drop) json_t *root = NULL;
	const json_t *names;
	struct fault f = {0};
	int n = 0, shop;

	assert_int_equal(json_parse(body, strlen(body), &root, &f), 0);
	names = json_member(root, "locationNames");
	assert_in_range(json_array_size(names), 2, 50);
	for (size_t i = 0; i < json_array_size(names); i++) {
		shop = number_after(json_string_value(json_array_get(names, i)), "/l000-");
		if (shops.batch != BATCH_FORGETS || shop != 1)
			n = gather(shop, n);
	}
	return n;
}

static long batch(const char *body, struct buf *ret)
{
	struct json_out o = JSON_OUT(ret);
	int n, at = number_after(body, "\"pageToken\":\"p");
	char name[64];

	shops.batches++;
	if (shops.batch == BATCH_REFUSED) {
		buf_add_text(ret, "{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\"}}");
		return 400;
	}
	n = gather_batch(body);
	if (shops.batch != BATCH_GROUPED)
		qsort(entries, (size_t)n, sizeof(*entries), by_update);
	json_open(&o, '{');
	if (shops.batch != BATCH_EMPTY) {
		json_key(&o, "locationReviews");
		json_open(&o, '[');
		for (int i = at; i < n && i < at + 50; i++) {
			json_open(&o, '{');
			snprintf(name, sizeof(name), "accounts/a/locations/l000-%d",
				entries[i].shop);
			json_add_text(&o, "name", name);
			json_key(&o, "review");
			put(&o, entries[i].shop, entries[i].i);
			json_close(&o, '}');
		}
		json_close(&o, ']');
		put_next(&o, at + 50, n);
	}
	json_close(&o, '}');
	return 200;
}

long shops_answer(const char *url, const char *body, int page_size, struct buf *ret)
{
	int shop = number_after(url, "/locations/l000-");

	if (strstr(url, "batchGetReviews"))
		return batch(body, ret);
	if (strstr(url, "/reviews/"))
		return one(url, shop, ret);
	return list(url, shop, page_size, ret);
}
