/* SPDX-License-Identifier: Apache-2.0 */
/* What was found: accounts, locations, reviews. */
#include <string.h>

#include "api/caller.h"
#include "api/negotiate.h"
#include "api/path.h"
#include "api/route.h"
#include "api/scope.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#define GOOGLE_ID_BYTES 512
#define SEARCH_BYTES 255

static const char *read_text(struct request *req, const char *name, size_t max)
{
	const char *text = request_query(req, name);

	if (text && strlen(text) > max)
		request_error(
			req, "query", name, "has %zu bytes: give at most %zu", strlen(text), max);
	return text && *text ? text : NULL;
}

/* What the caller may see, and the one branch it wants of that, if it named one. */
static const char *read_scope(struct request *req, struct seen_branches *seen)
{
	seen_branches_init(req, seen);
	return read_text(req, "branch_id", LIMIT_BRANCH_ID_BYTES);
}

/* A branch out of a bound key's sight is as good as unknown: nothing is found. *one is borrowed. */
static struct review_scope narrowed(
	struct request *req, const struct seen_branches *seen, const char **one)
{
	if (*one == NULL)
		return seen_branches_scope(seen);
	if (req->has_key && req->key.is_bound &&
		!keys_may_see(request_tokens(req), &req->key, *one, strlen(*one)))
		return (struct review_scope){.branches = one, .n = 0};
	return (struct review_scope){.branches = one, .n = 1};
}

static int list_accounts(struct request *req, struct fault *f)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(2048);
	AUTO(seen_branches_done) struct seen_branches seen;
	const char *branch = read_scope(req, &seen);
	struct list_page page;

	request_page(req, &page.limit, &page.cursor);
	if (request_check(req, f) < 0)
		return -1;
	const struct review_scope scope = narrowed(req, &seen, &branch);
	struct json_out out = answer_json(req);
	if (accounts_list(request_reviews(req), &scope, &page, &out, &cursor, f) < 0)
		return -1;
	list_end(&out, &cursor);
	return 0;
}

static int list_locations(struct request *req, struct fault *f)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
	AUTO(seen_branches_done) struct seen_branches seen;
	const char *branch = read_scope(req, &seen);
	const char *account = read_text(req, "account_id", GOOGLE_ID_BYTES);
	struct list_page page;

	request_page(req, &page.limit, &page.cursor);
	if (request_check(req, f) < 0)
		return -1;
	const struct review_scope scope = narrowed(req, &seen, &branch);
	struct json_out out = answer_json(req);
	if (locations_list(request_reviews(req), &scope, account, &page, &out, &cursor, f) < 0)
		return -1;
	list_end(&out, &cursor);
	return 0;
}

static int64_t read_instant(struct request *req, const char *name, int64_t fallback)
{
	const char *text = request_query(req, name);
	char shown[TEXT_EXCERPT_SIZE];
	int64_t us;

	if (text == NULL)
		return fallback;
	if (clock_parse_us(text, &us) == 0)
		return us;
	request_error(req, "query", name,
		"is '%s': give an instant like 2026-01-31T12:00:00Z (a '+' has to be sent as "
		"%%2B)",
		text_excerpt(text, shown));
	return fallback;
}

static enum review_order read_order(struct request *req)
{
	static const char *const orders[] = {[REVIEWS_NEWEST] = "newest",
		[REVIEWS_OLDEST] = "oldest",
		[REVIEWS_STORED] = "stored"};
	const char *order = request_query(req, "order");
	char shown[TEXT_EXCERPT_SIZE];

	for (size_t i = 0; order && i < ARRAY_LEN(orders); i++)
		if (text_equal(order, orders[i]))
			return (enum review_order)i;
	if (order)
		request_error(req, "query", "order", "is '%s': give newest, oldest or stored",
			text_excerpt(order, shown));
	return REVIEWS_NEWEST;
}

/* One number of stars, or several with commas between them. */
static unsigned read_ratings(struct request *req)
{
	const char *text = request_query(req, "rating");
	char shown[TEXT_EXCERPT_SIZE];
	unsigned stars = 0;

	if (text == NULL)
		return 0;
	for (const char *at = text; *at >= '1' && *at <= '5'; at += 2) {
		stars |= REVIEW_STAR(*at - '0');
		if (at[1] == '\0')
			return stars;
		if (at[1] != ',')
			break;
	}
	request_error(req, "query", "rating",
		"is '%s': give a number of stars from 1 to 5, or several as in 1,2",
		text_excerpt(text, shown));
	return 0;
}

/* Its texts are the request's. */
static struct review_filter read_filter(struct request *req, const struct seen_branches *seen)
{
	return (struct review_filter){
		.scope = seen_branches_scope(seen),
		.branch_id = read_text(req, "branch_id", LIMIT_BRANCH_ID_BYTES),
		.account_id = read_text(req, "account_id", GOOGLE_ID_BYTES),
		.location_id = read_text(req, "location_id", GOOGLE_ID_BYTES),
		.q = read_text(req, "q", SEARCH_BYTES),
		.ratings = read_ratings(req),
		.replied = request_query_either(req, "replied"),
		.deleted = request_query_either(req, "deleted") == 1 ? 1 : -1,
		.since_us = read_instant(req, "since", INT64_MIN),
		.until_us = read_instant(req, "until", INT64_MAX),
	};
}

/* ---- exports ---- */

struct exporting {
	struct stream stream;
	struct review_export *source;
	struct caller caller;
};

static int fill_export(struct stream *s, struct buf *out, int64_t *ret_wait_ms, struct fault *f)
{
	struct exporting *x = CONTAINER_OF(s, struct exporting, stream);
	const char *gone = caller_gone(&x->caller);
	bool end;

	(void)ret_wait_ms;
	/* It breaks off, so that nobody takes the part that came for all. */
	if (gone)
		return fault_raise(f, FAULT_DENIED, "%s", gone);
	if (reviews_export_next(x->source, out, &end, f) < 0)
		return -1;
	return end ? STREAM_END : STREAM_MORE;
}

static void close_export(struct stream *s)
{
	struct exporting *x = CONTAINER_OF(s, struct exporting, stream);

	reviews_export_close(x->source);
	mem_free(x);
}

/* ?format= for who cannot set a header, such as a link; 1: an export, 0: a list, -1: not given. */
static int read_format(struct request *req, enum review_format *ret)
{
	const char *format = request_query(req, "format");
	char shown[TEXT_EXCERPT_SIZE];

	if (format == NULL)
		return -1;
	*ret = text_equal(format, "csv") ? REVIEWS_AS_CSV : REVIEWS_AS_NDJSON;
	if (text_equal(format, "csv") || text_equal(format, "ndjson"))
		return 1;
	if (!text_equal(format, "json"))
		request_error(req, "query", "format", "is '%s': give json, ndjson or csv",
			text_excerpt(format, shown));
	return 0;
}

/* What Accept ranks highest; JSON when in doubt. 1: an export, *ret says of which kind. */
static int wants_export(struct request *req, enum review_format *ret)
{
	const int named = read_format(req, ret);
	const char *accept = request_header(req, "Accept");
	const int json = accept_weight(accept, "application/json");
	const int csv = accept_weight(accept, "text/csv");
	int ndjson = accept_weight(accept, "application/x-ndjson");
	const int lines = accept_weight(accept, "application/jsonl");

	if (named >= 0)
		return named;
	ndjson = ndjson > lines ? ndjson : lines;
	*ret = csv > ndjson ? REVIEWS_AS_CSV : REVIEWS_AS_NDJSON;
	return (csv > ndjson ? csv : ndjson) > (json > 0 ? json : 0);
}

/* attachment; filename="reviews-BRANCH-2026-01-31.csv"; of the branch what is safe in a name. */
static void name_export(struct request *req, const char *branch, const char *ending)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(512);
	char now[CLOCK_TEXT_SIZE];

	clock_format_ms(clock_wall_ms(), now);
	buf_add_text(&b, "attachment; filename=\"reviews");
	for (const char *at = branch ? branch : ""; *at; at++) {
		if (at == branch)
			buf_add_char(&b, '-');
		buf_add_char(
			&b, strchr("\"\\/:*?<>|%;", *at) || *at <= ' ' || *at > '~' ? '_' : *at);
	}
	buf_addf(&b, "-%.10s.%s\"", now, ending);
	answer_header(req, "Content-Disposition", buf_text(&b));
}

static int export_reviews(struct request *req, const struct review_filter *filter,
	enum review_format format, struct fault *f)
{
	static const char *const paging[] = {"limit", "cursor", "order"};
	struct exporting *x;
	struct review_export *source = NULL;

	for (size_t i = 0; i < ARRAY_LEN(paging); i++)
		if (request_query(req, paging[i]))
			request_error(req, "query", paging[i],
				"has no meaning for an export, which has all reviews in the order "
				"they were stored: leave it out");
	if (request_check(req, f) < 0 ||
		reviews_export_open(request_reviews(req), filter, format, &source, f) < 0)
		return -1;
	x = mem_alloc(sizeof(*x));
	x->stream = (struct stream){.fill = fill_export, .close = close_export};
	x->source = source;
	caller_init(&x->caller, req);
	req->answer.stream = &x->stream;
	if (format == REVIEWS_AS_CSV) {
		req->answer.content_type = "text/csv; charset=utf-8; header=present";
		name_export(req, filter->branch_id, "csv");
	} else {
		req->answer.content_type = "application/x-ndjson";
		name_export(req, filter->branch_id, "ndjson");
	}
	answer_header(req, "Vary", "Accept");
	return 0;
}

/* ---- the list ---- */

static int list_reviews(struct request *req, struct fault *f)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
	AUTO(seen_branches_done) struct seen_branches seen;
	enum review_format format;
	struct list_page page;

	seen_branches_init(req, &seen);
	struct review_filter filter = read_filter(req, &seen);
	filter.order = read_order(req);
	if (wants_export(req, &format))
		return export_reviews(req, &filter, format, f);
	request_page(req, &page.limit, &page.cursor);
	if (request_check(req, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	if (reviews_list(request_reviews(req), &filter, &page, &out, &cursor, f) < 0)
		return -1;
	json_add_text(&out, "topic", "reviews-raw"); /* the original's */
	json_add_time(&out, "timestamp", clock_wall_ms());
	list_end(&out, &cursor);
	return 0;
}

static int sum_reviews(struct request *req, struct fault *f)
{
	AUTO(seen_branches_done) struct seen_branches seen;

	seen_branches_init(req, &seen);
	const struct review_filter filter = read_filter(req, &seen);
	if (request_check(req, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	if (reviews_sum(request_reviews(req), &filter, &out, f) < 0)
		return -1;
	json_close(&out, '}');
	return 0;
}

static int get_review(struct request *req, struct fault *f)
{
	AUTO(seen_branches_done) struct seen_branches seen;
	struct json_out out = JSON_OUT(&req->answer.body);
	int64_t id;

	seen_branches_init(req, &seen);
	if (path_id(req, "id", &id, f) < 0)
		return -1;
	const struct review_scope scope = seen_branches_scope(&seen);
	return reviews_write(request_reviews(req), &scope, id, &out, f);
}

/* Which branch belongs to which project is not for a key that sees some branches only. */
static int list_projects(struct request *req, struct fault *f)
{
	AUTO(seen_branches_done) struct seen_branches seen;

	seen_branches_init(req, &seen);
	struct json_out out = answer_json(req);
	if (projects_list(request_reviews(req), seen.names != NULL, &out, f) < 0)
		return -1;
	json_close(&out, '}');
	return 0;
}

const struct route review_routes[] = {
	{"GET", "/api/v1/projects", KEY_REVIEWS_READ, ROUTE_WORKER, list_projects, NULL,
		"The Google Cloud projects: their quota, and what Google refuses them"},
	{"GET", "/api/v1/accounts", KEY_REVIEWS_READ, ROUTE_WORKER, list_accounts, NULL,
		"The Google accounts that were found"},
	{"GET", "/api/v1/locations", KEY_REVIEWS_READ, ROUTE_WORKER, list_locations, NULL,
		"The locations that were found, with counts, average, last sync and last error"},
	{"GET", "/api/v1/reviews", KEY_REVIEWS_READ, ROUTE_WORKER, list_reviews, NULL,
		"Reviews, newest update first, with filters; all of them as NDJSON or CSV"},
	{"GET", "/api/v1/reviews/summary", KEY_REVIEWS_READ, ROUTE_WORKER, sum_reviews, NULL,
		"How people rate, by the day"},
	{"GET", "/api/v1/reviews/{id}", KEY_REVIEWS_READ, ROUTE_WORKER, get_review, NULL,
		"One review, with Google's own words"},
	{0},
};
