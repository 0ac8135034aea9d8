/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google's Business Profile APIs, as far as reading goes: where to ask, what a page says, what an
 * error means. All of it pure, so that the fuzzer and the tests drive it without a network.
 */
#ifndef REVIEW_FETCHER_GOOGLE_H
#define REVIEW_FETCHER_GOOGLE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/json.h"

/* Each is an API of its own at Google, with its own quota: 300 a minute per Cloud project. */
enum google_api {
	GOOGLE_ACCOUNTS,
	GOOGLE_LOCATIONS,
	GOOGLE_REVIEWS,
	GOOGLE_NOTIFICATIONS, /* the one that lists nothing */
	GOOGLE_APIS
};
const char *google_api_name(enum google_api api); /* for people: what the Cloud console calls it */

/* Page sizes are the maxima: a page is what costs. */
#define GOOGLE_ACCOUNTS_PER_PAGE 20
#define GOOGLE_LOCATIONS_PER_PAGE 100
#define GOOGLE_REVIEWS_PER_PAGE 50
#define GOOGLE_BATCH_LOCATIONS 50

/*
 * The addresses of the three listings, appended. base has no slash at its end, ids no prefix;
 * page_token is NULL for the first page. Ids and tokens are percent-encoded: they are data of
 * another party.
 */
void google_accounts_url(struct buf *ret, const char *base, const char *page_token);
void google_locations_url(
	struct buf *ret, const char *base, const char *account_id, const char *page_token);
void google_reviews_url(struct buf *ret, const char *base, const char *account_id,
	const char *location_id, const char *page_token);
/* One review by its name. */
void google_review_url(struct buf *ret, const char *base, const char *account_id,
	const char *location_id, const char *review_id);
/* batchGetReviews, a POST: the address and the body for the newest reviews of n locations of one
 * account, all in one order. */
void google_batch_url(struct buf *ret, const char *base, const char *account_id);
void google_batch_body(struct buf *ret, const char *account_id, char *const *location_ids, size_t n,
	const char *page_token);

/*
 * Pages. Unknown fields are ignored, unknown enum values are no value, and an item without a usable
 * name is left out and counted: one odd item never costs its neighbours. Every text is borrowed
 * from the page.
 */
struct google_account {
	const char *id; /* without "accounts/" */
	const char *name, *type, *role;
	const char *raw; /* the item as compact JSON, for all three kinds */
};

struct google_location {
	const char *id; /* without "locations/" and what may stand before it */
	const char *title, *store_code, *address, *phone, *category;
	const char *raw;
};

struct google_review {
	const char *id;
	const char *location_id; /* of a batch only */
	int rating;              /* 1 to 5; 0: Google says none that we know */
	const char *star;        /* in Google's word */
	const char *comment, *reviewer_name, *reviewer_photo_url; /* each may be NULL */
	bool is_anonymous;
	int64_t created_us, updated_us; /* epoch microseconds; 0: not given */
	bool has_reply;
	const char *reply_text, *reply_state, *reply_policy;
	int64_t reply_updated_us; /* its own: it need not move the review's */
	const char *media;        /* compact JSON, or NULL */
	const char *raw;
};

struct google_page {
	struct google_account *accounts;
	struct google_location *locations;
	struct google_review *reviews;
	size_t n;               /* of the kind that was read */
	size_t skipped;         /* items without a usable name */
	const char *next_token; /* NULL on the last page */
	int64_t total;          /* totalReviewCount; -1: not given */
	double average;         /* averageRating; negative: not given */
	json_t *root;           /* owns most texts */
	char **made;            /* … and these are the rest */
	size_t n_made;
};

/* *ret by google_page_done. -1 FAULT_UPSTREAM: not a page (cut off, not JSON, of another shape). */
MUST_CHECK int google_page_read(enum google_api kind, const char *bytes, size_t len,
	struct google_page *ret, struct fault *f);
/* The same for batchGetReviews, whose items say of which location they are. */
MUST_CHECK int google_batch_read(
	const char *bytes, size_t len, struct google_page *ret, struct fault *f);
/* The same for one review alone. */
MUST_CHECK int google_review_read(
	const char *bytes, size_t len, struct google_page *ret, struct fault *f);
void google_page_done(struct google_page *p);

/* What an error touches, and so what is done about it. */
enum google_class {
	GOOGLE_TRANSIENT,       /* try again later */
	GOOGLE_THROTTLED,       /* pause the whole budget of this API and project */
	GOOGLE_TOKEN_REFUSED,   /* 401: another token once, then the grant is dead */
	GOOGLE_PROJECT_REFUSED, /* the Cloud project may not use this API: nobody's job gets through
				 */
	GOOGLE_TENANT_REFUSED,  /* this grant lacks the right: the branch has to act */
	GOOGLE_RESOURCE_REFUSED, /* this account or location only */
	GOOGLE_STALE_PAGE,       /* start this listing again */
	GOOGLE_BUG,              /* we asked wrongly; asking again cannot help */
};
const char *google_class_name(enum google_class class);

struct google_error {
	enum google_class class;
	int64_t retry_after_ms; /* from RetryInfo; -1: not given */
	char reason[64];        /* ErrorInfo.reason or the status word; "" when there is none */
	char text[200];         /* for people: what happened and, where known, what to do */
};
/*
 * Reads an answer that is not 200. kind is the listing that was asked and had_page_token whether
 * beyond its first page: Google says INVALID_ARGUMENT both for a token that is stale and for our
 * own mistakes. Bodies that are not JSON are fine.
 */
void google_error_read(enum google_api kind, long status, const char *bytes, size_t len,
	bool had_page_token, struct google_error *ret);
/* How many bytes of a text fit into room without cutting a character: a database may refuse half of
 * one. */
int google_words_fit(const char *text, size_t room);

#endif
