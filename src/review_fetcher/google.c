/* SPDX-License-Identifier: Apache-2.0 */
#include "review_fetcher/google.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "net/net.h"

/* A missing readMask is a 400; a nested path into a repeated field too, so these are all whole. */
#define READ_MASK \
	"name,title,storeCode,languageCode,storefrontAddress,phoneNumbers,categories,metadata"

const char *google_api_name(enum google_api api)
{
	switch (api) {
	case GOOGLE_ACCOUNTS:
		return "My Business Account Management API";
	case GOOGLE_LOCATIONS:
		return "My Business Business Information API";
	case GOOGLE_REVIEWS:
		return "Google My Business API (v4)";
	case GOOGLE_NOTIFICATIONS:
		return "My Business Notifications API";
	case GOOGLE_APIS:
		break;
	}
	return "Google";
}

static void add_page(struct buf *url, int page_size, const char *page_token)
{
	char size[16];

	snprintf(size, sizeof(size), "%d", page_size);
	net_url_add(url, "pageSize", size);
	if (page_token && *page_token)
		net_url_add(url, "pageToken", page_token);
}

void google_accounts_url(struct buf *ret, const char *base, const char *page_token)
{
	buf_add_text(ret, base);
	buf_add_text(ret, "/v1/accounts");
	add_page(ret, GOOGLE_ACCOUNTS_PER_PAGE, page_token);
}

void google_locations_url(
	struct buf *ret, const char *base, const char *account_id, const char *page_token)
{
	buf_add_text(ret, base);
	buf_add_text(ret, "/v1/accounts/");
	text_percent_encode(ret, account_id, strlen(account_id));
	buf_add_text(ret, "/locations");
	net_url_add(ret, "readMask", READ_MASK);
	add_page(ret, GOOGLE_LOCATIONS_PER_PAGE, page_token);
}

static void add_account(struct buf *ret, const char *base, const char *account_id)
{
	buf_add_text(ret, base);
	buf_add_text(ret, "/v4/accounts/");
	text_percent_encode(ret, account_id, strlen(account_id));
}

/* The location's own name has no account; v4 answers 404 without one, so both halves are put
 * together. */
static void add_location(
	struct buf *ret, const char *base, const char *account_id, const char *location_id)
{
	add_account(ret, base, account_id);
	buf_add_text(ret, "/locations/");
	text_percent_encode(ret, location_id, strlen(location_id));
	buf_add_text(ret, "/reviews");
}

void google_reviews_url(struct buf *ret, const char *base, const char *account_id,
	const char *location_id, const char *page_token)
{
	add_location(ret, base, account_id, location_id);
	net_url_add(ret, "orderBy", "updateTime desc");
	add_page(ret, GOOGLE_REVIEWS_PER_PAGE, page_token);
}

void google_review_url(struct buf *ret, const char *base, const char *account_id,
	const char *location_id, const char *review_id)
{
	add_location(ret, base, account_id, location_id);
	buf_add_char(ret, '/');
	text_percent_encode(ret, review_id, strlen(review_id));
}

void google_batch_url(struct buf *ret, const char *base, const char *account_id)
{
	add_account(ret, base, account_id);
	buf_add_text(ret, "/locations:batchGetReviews");
}

void google_batch_body(struct buf *ret, const char *account_id, char *const *location_ids, size_t n,
	const char *page_token)
{
	struct json_out o = JSON_OUT(ret);
	char name[1100]; /* two ids, each of at most 512 bytes */

	json_open(&o, '{');
	json_key(&o, "locationNames");
	json_open(&o, '[');
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "accounts/%s/locations/%s", account_id,
			location_ids[i]);
		json_put_text(&o, name);
	}
	json_close(&o, ']');
	json_add_int(&o, "pageSize", GOOGLE_REVIEWS_PER_PAGE);
	json_add_text(&o, "orderBy", "updateTime desc");
	if (page_token)
		json_add_text(&o, "pageToken", page_token);
	json_close(&o, '}');
}
