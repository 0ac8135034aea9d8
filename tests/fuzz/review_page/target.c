/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages and errors of Google's three APIs. The first byte chooses: which listing, and whether the
 * rest is a page, an error, a batch or one review. What must hold whatever comes: no crash, and
 * texts that a database takes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "review_fetcher/google.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(bool holds)
{
	if (!holds)
		abort();
}

static void want_text(const char *text)
{
	want(text == NULL || text_is_utf8(text, strlen(text)));
}

static void want_id(const char *id)
{
	want(id && *id && !strchr(id, '/'));
	want_text(id);
}

static void look_at_review(const struct google_review *r)
{
	want_id(r->id);
	want(r->rating >= 0 && r->rating <= 5);
	want_text(r->comment);
	want_text(r->reviewer_name);
	want_text(r->reviewer_photo_url);
	want_text(r->reply_text);
	want_text(r->reply_state);
	want_text(r->media);
	want(r->raw != NULL);
	want_text(r->raw);
}

static void look_at_page(enum google_api kind, const struct google_page *p)
{
	want(p->total >= -1);
	want_text(p->next_token);
	for (size_t i = 0; i < p->n; i++) {
		if (kind == GOOGLE_REVIEWS) {
			look_at_review(&p->reviews[i]);
		} else if (kind == GOOGLE_LOCATIONS) {
			want_id(p->locations[i].id);
			want_text(p->locations[i].title);
			want_text(p->locations[i].address);
			want_text(p->locations[i].raw);
		} else {
			want_id(p->accounts[i].id);
			want_text(p->accounts[i].name);
			want_text(p->accounts[i].raw);
		}
	}
}

/* A batch, or one review alone. */
static void look_at_others(bool is_one, const char *bytes, size_t len)
{
	struct google_page page;
	struct fault f;

	if ((is_one ? google_review_read(bytes, len, &page, &f)
		    : google_batch_read(bytes, len, &page, &f)) != 0)
		return;
	look_at_page(GOOGLE_REVIEWS, &page);
	for (size_t i = 0; i < page.n && !is_one; i++)
		want_id(page.reviews[i].location_id);
	google_page_done(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum google_api kind;
	struct google_page page;
	struct google_error error;
	struct fault f;

	if (size == 0)
		return 0;
	hash_init();
	kind = (enum google_api)(data[0] % GOOGLE_APIS);
	if (data[0] & 0x80) {
		look_at_others((data[0] & 1) != 0, (const char *)data + 1, size - 1);
	} else if (data[0] & 0x40) {
		google_error_read(kind, 400 + data[0] % 110, (const char *)data + 1, size - 1,
			(data[0] & 0x20) != 0, &error);
		want(error.class <= GOOGLE_BUG && error.retry_after_ms >= -1);
		want_text(error.text);
		want_text(error.reason);
	} else if (google_page_read(kind, (const char *)data + 1, size - 1, &page, &f) == 0) {
		look_at_page(kind, &page);
		google_page_done(&page);
	}
	return 0;
}
