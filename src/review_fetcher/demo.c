/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's answer is JSON lines, each a page as Google's APIs write it, so that the demo
 * shows what the mapping of real pages makes of them.
 */
#include "review_fetcher/review_fetcher_demo.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/query.h"

#define ANSWER_BYTES_MAX (24 * 1024 * 1024)
#define WAIT_MOST_MS 30000
#define CLIENT_ID 1 /* the original's word for who it belongs to */

struct demo {
	struct review_fetcher *rf;
	enum demo_kind kind;
	demo_done_fn *done;
	void *arg;
	struct net_reply reply;
	struct task task;
	struct demo_items items;
	size_t cap;
	int64_t now_ms;
	char *location; /* of the place that is open */
	char *account;  /* of the places */
	bool is_open;
};

void demo_items_done(struct demo_items *d)
{
	buf_drop(&d->text);
	buf_drop(&d->account);
	mem_free(d->items);
	*d = (struct demo_items){0};
}

/* ---- items ---- */

static void begin_item(struct demo *d)
{
	struct demo_items *all = &d->items;

	if (all->n == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 64;
		all->items = mem_resize(all->items, d->cap * sizeof(*all->items));
	}
	all->items[all->n++] = (struct demo_item){.at = all->text.len};
}

static void end_item(struct demo *d)
{
	struct demo_item *last = &d->items.items[d->items.n - 1];

	last->len = d->items.text.len - last->at;
}

static void put_times(struct demo *d, struct json_out *o)
{
	json_add_time(o, "created_at", d->now_ms);
	json_add_time(o, "updated_at", d->now_ms);
}

static void put_account(struct demo *d, const struct google_account *a, int64_t id, struct buf *to)
{
	struct json_out o = JSON_OUT(to);
	char name[600];

	snprintf(name, sizeof(name), "accounts/%s", a->id);
	json_open(&o, '{');
	json_add_int(&o, "id", id);
	json_add_text(&o, "account_id", a->id);
	json_add_int(&o, "client_id", CLIENT_ID);
	json_add_text(&o, "google_account_name", name);
	json_add_text(&o, "account_display_name", a->name);
	put_times(d, &o);
	json_close(&o, '}');
}

/* The object stays open. */
static void put_location(
	struct demo *d, const struct google_location *l, const char *account, int64_t id)
{
	struct json_out o = JSON_OUT(&d->items.text);
	char name[600];

	snprintf(name, sizeof(name), "locations/%s", l->id);
	json_open(&o, '{');
	json_add_int(&o, "id", id);
	json_add_text(&o, "location_id", l->id);
	json_add_int(&o, "client_id", CLIENT_ID);
	json_add_text(&o, "google_account_id", account);
	json_add_text(&o, "location_name", name);
	json_add_text(&o, "location_title", l->title);
	json_add_text(&o, "address", l->address);
	json_add_text(&o, "phone", l->phone);
	json_add_text(&o, "category", l->category);
	put_times(d, &o);
}

static void put_review(struct demo *d, const struct google_review *r, const char *account,
	const char *location, int64_t id)
{
	struct json_out o = JSON_OUT(&d->items.text);

	json_open(&o, '{');
	json_add_int(&o, "id", id);
	json_add_int(&o, "client_id", CLIENT_ID);
	json_add_text(&o, "account_id", account);
	json_add_text(&o, "location_id", location);
	json_add_text(&o, "google_review_id", r->id);
	json_key(&o, "rating");
	if (r->rating > 0)
		json_put_int(&o, r->rating);
	else
		json_put_null(&o);
	json_add_text(&o, "comment", r->comment);
	json_add_text(&o, "reviewer_name", r->reviewer_name);
	json_add_text(&o, "reviewer_photo_url", r->reviewer_photo_url);
	put_instant(&o, "review_created_time", r->created_us);
	json_add_text(&o, "reply_text", r->reply_text);
	put_instant(&o, "reply_time", r->reply_updated_us);
	put_times(d, &o);
	json_close(&o, '}');
}

/* ---- lines ---- */

static void close_place(struct demo *d)
{
	if (!d->is_open)
		return;
	buf_add_text(&d->items.text, "]}");
	d->is_open = false;
	end_item(d);
}

static void take_accounts(struct demo *d, const struct google_page *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const int64_t id = json_int(p->root, "number", 0);

		if (d->kind == DEMO_PLACES) {
			put_account(d, &p->accounts[i], id, &d->items.account);
			mem_free(d->account);
			d->account = mem_text(p->accounts[i].id);
			continue;
		}
		begin_item(d);
		put_account(d, &p->accounts[i], id, &d->items.text);
		end_item(d);
	}
}

static void take_locations(struct demo *d, const struct google_page *p)
{
	const char *account = json_text(p->root, "account");

	for (size_t i = 0; i < p->n; i++) {
		close_place(d);
		begin_item(d);
		put_location(d, &p->locations[i], account, json_int(p->root, "number", 0));
		if (d->kind != DEMO_PLACES) {
			buf_add_char(&d->items.text, '}');
			end_item(d);
			continue;
		}
		buf_add_text(&d->items.text, ",\"reviews\":[");
		d->is_open = true;
		mem_free(d->location);
		d->location = mem_text(p->locations[i].id);
		d->items.accounts_join &= text_equal(account, d->account);
	}
}

static void take_reviews(struct demo *d, const struct google_page *p)
{
	const char *account = json_text(p->root, "account");
	const char *location = json_text(p->root, "location");
	const json_t *numbers = json_member(p->root, "numbers");

	for (size_t i = 0; i < p->n; i++) {
		struct demo_item *place = d->is_open ? &d->items.items[d->items.n - 1] : NULL;

		if (place && place->reviews++ > 0)
			buf_add_char(&d->items.text, ',');
		if (place)
			d->items.locations_join &= text_equal(location, d->location);
		else
			begin_item(d);
		put_review(d, &p->reviews[i], account, location,
			json_integer_value(json_array_get(numbers, i)));
		if (!place)
			end_item(d);
	}
}

/* What a line is, its keys say; they are the simulator's. */
static int take_line(struct demo *d, const char *line, size_t len, struct fault *f)
{
	static const struct {
		const char *mark;
		enum google_api kind;
		void (*take)(struct demo *d, const struct google_page *p);
	} kinds[] = {
		{"\"reviews\":[", GOOGLE_REVIEWS, take_reviews},
		{"\"locations\":[", GOOGLE_LOCATIONS, take_locations},
		{"\"accounts\":[", GOOGLE_ACCOUNTS, take_accounts},
	};
	struct google_page page;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!memmem(line, len, kinds[i].mark, strlen(kinds[i].mark)))
			continue;
		if (google_page_read(kinds[i].kind, line, len, &page, f) < 0)
			return -1;
		kinds[i].take(d, &page);
		google_page_done(&page);
		return 0;
	}
	d->items.is_truncated |= text_starts(line, "{\"truncated\":true}");
	return 0;
}

static int read_lines(struct demo *d, struct fault *f)
{
	const char *at = buf_text(&d->reply.body);

	for (const char *end; (end = strchr(at, '\n')) != NULL; at = end + 1)
		if (take_line(d, at, (size_t)(end - at), f) < 0)
			return -1;
	close_place(d);
	if (buf_failed(&d->items.text))
		return fault_raise(f, FAULT_UPSTREAM, "the simulator's answer is too large");
	return 0;
}

/* ---- asking ---- */

static int judge(const struct demo *d, struct fault *f)
{
	const struct net_reply *r = &d->reply;
	const char *where = d->rf->parts.settings->simulator_url;

	if (r->result == NET_ANSWERED && r->status == 200)
		return 0;
	(void)fault_raise(f, FAULT_UPSTREAM,
		"The Google simulator at %.60s does not answer the demo (%.60s): start it, as "
		"./run does",
		where, r->result == NET_ANSWERED ? "it refused" : r->error);
	return -1;
}

static void finish(struct task *task)
{
	struct demo *d = CONTAINER_OF(task, struct demo, task);
	struct fault f = {0};
	const bool good = judge(d, &f) == 0 && read_lines(d, &f) == 0;

	d->done(d->arg, good ? &d->items : NULL, good ? NULL : &f);
	demo_items_done(&d->items);
	buf_drop(&d->reply.body);
	mem_free(d->account);
	mem_free(d->location);
	mem_free(d);
}

/* The net thread. */
static void take_reply(void *arg, struct net_reply *reply)
{
	struct demo *d = arg;

	d->reply = *reply;
	reply->body = (struct buf){0};
	d->task.run = finish;
	pool_submit(d->rf->parts.pool, &d->task);
}

static void add_number(struct buf *url, const char *key, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, n);
	net_url_add(url, key, text);
}

/* What it is drawn by may be a token: only a hash of it goes anywhere. */
static void add_seed(struct buf *url, const char *seed)
{
	uint8_t hash[HASH_SHA256_SIZE];
	char text[17];

	if (!seed)
		return;
	hash_sha256(seed, strlen(seed), hash);
	for (size_t i = 0; i < 8; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	net_url_add(url, "seed", text);
}

static void write_url(struct review_fetcher *rf, const struct demo_wish *w, struct buf *url)
{
	static const char *const paths[] = {[DEMO_ACCOUNTS] = "accounts",
		[DEMO_LOCATIONS] = "locations",
		[DEMO_REVIEWS] = "reviews",
		[DEMO_PLACES] = "places"};

	buf_addf(url, "%s/_control/demo/%s", rf->parts.settings->simulator_url, paths[w->kind]);
	add_number(url, "limit", w->limit);
	add_seed(url, w->seed);
	if (w->kind == DEMO_PLACES)
		add_number(url, "reviews", w->reviews);
	if (w->parent)
		net_url_add(url, w->kind == DEMO_LOCATIONS ? "account" : "location", w->parent);
}

int demo_ask(struct review_fetcher *rf, const struct demo_wish *wish, demo_done_fn *done, void *arg,
	struct fault *f)
{
	AUTO(buf_drop) struct buf url = BUF_INIT(4096);
	struct demo *d;

	if (!rf->parts.settings->mock_google_api)
		return fault_raise(f, FAULT_CONFLICT,
			"The demo shows the bundled Google simulator, and this service speaks with "
			"Google itself: start it with MOCK_GOOGLE_API=true, as ./run does");
	d = mem_alloc(sizeof(*d));
	d->rf = rf;
	d->kind = wish->kind;
	d->done = done;
	d->arg = arg;
	d->now_ms = clock_wall_ms();
	d->items = (struct demo_items){.text = BUF_INIT(2 * ANSWER_BYTES_MAX),
		.account = BUF_INIT(8192),
		.accounts_join = true,
		.locations_join = true};
	write_url(rf, wish, &url);
	struct net_request request = {
		.method = "GET",
		.url = buf_text(&url),
		.timeout_ms = wish->wait_ms < WAIT_MOST_MS ? (uint32_t)wish->wait_ms : WAIT_MOST_MS,
		.max_reply_bytes = ANSWER_BYTES_MAX,
	};
	net_send(rf->parts.net, &request, take_reply, d);
	return 0;
}
