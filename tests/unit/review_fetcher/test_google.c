/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/text.h"
#include "review_fetcher/google.h"

static void read_page(enum google_api kind, const char *json, struct google_page *p)
{
	struct fault f = {0};

	if (google_page_read(kind, json, strlen(json), p, &f) < 0)
		fail_msg("%s", f.text);
}

static void addresses_hold_what_each_api_wants(void **state)
{
	AUTO(buf_drop) struct buf url = BUF_INIT(4096);

	(void)state;
	google_accounts_url(&url, "https://a.example", NULL);
	assert_string_equal(buf_text(&url), "https://a.example/v1/accounts?pageSize=20");
	buf_reset(&url);
	google_accounts_url(&url, "https://a.example", "n&x=1");
	assert_string_equal(
		buf_text(&url), "https://a.example/v1/accounts?pageSize=20&pageToken=n%26x%3D1");
	buf_reset(&url);
	google_locations_url(&url, "http://b", "116999999999999999999", NULL);
	assert_string_equal(buf_text(&url),
		"http://b/v1/accounts/116999999999999999999/locations?readMask=name%2Ctitle"
		"%2CstoreCode%2ClanguageCode%2CstorefrontAddress%2CphoneNumbers%2Ccategories"
		"%2Cmetadata&pageSize=100");
	buf_reset(&url);
	google_reviews_url(&url, "http://c", "1", "2", "tok");
	assert_string_equal(buf_text(&url),
		"http://c/v4/accounts/1/locations/2/reviews?orderBy=updateTime%20desc&pageSize=50"
		"&pageToken=tok");
}

static void an_id_cannot_leave_its_place_in_an_address(void **state)
{
	AUTO(buf_drop) struct buf url = BUF_INIT(4096);

	(void)state;
	google_reviews_url(&url, "http://c", "1", "a/b?c#d e", NULL);
	assert_string_equal(buf_text(&url),
		"http://c/v4/accounts/1/locations/a%2Fb%3Fc%23d%20e/reviews"
		"?orderBy=updateTime%20desc&pageSize=50");
}

static void accounts_lose_their_prefix_and_keep_long_ids(void **state)
{
	struct google_page p;

	(void)state;
	read_page(GOOGLE_ACCOUNTS,
		"{\"accounts\":[{\"name\":\"accounts/"
		"116999999999999999999\",\"accountName\":\"Kai\","
		"\"type\":\"LOCATION_GROUP\",\"role\":\"OWNER\",\"vettedState\":\"NOT_VETTED\"},"
		"{\"name\":\"accounts/2\"},{\"accountName\":\"no name\"},{\"name\":\"accounts/\"},"
		"{\"name\":\"locations/3\"},{\"name\":\"accounts/"
		"..\"},{\"name\":7},\"text\",null],\"nextPageToken\":\"abc\"}",
		&p);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.skipped, 7);
	assert_string_equal(p.accounts[0].id, "116999999999999999999");
	assert_string_equal(p.accounts[0].name, "Kai");
	assert_string_equal(p.accounts[0].type, "LOCATION_GROUP");
	assert_string_equal(p.accounts[0].role, "OWNER");
	assert_string_equal(p.accounts[0].raw,
		"{\"name\":\"accounts/116999999999999999999\",\"accountName\":\"Kai\","
		"\"type\":\"LOCATION_GROUP\",\"role\":\"OWNER\",\"vettedState\":\"NOT_VETTED\"}");
	assert_null(p.accounts[1].name);
	assert_string_equal(p.next_token, "abc");
	google_page_done(&p);
}

static void locations_come_with_and_without_an_account_in_their_name(void **state)
{
	struct google_page p;

	(void)state;
	read_page(GOOGLE_LOCATIONS,
		"{\"locations\":[{\"name\":\"locations/"
		"5\",\"title\":\"Bakery\",\"storeCode\":\"B1\","
		"\"storefrontAddress\":{\"regionCode\":\"DE\",\"postalCode\":\"20095\","
		"\"locality\":\"Hamburg\",\"addressLines\":[\"Kai 1\",\"\",3,\"Hof\"]},"
		"\"phoneNumbers\":{\"primaryPhone\":\"+49 40 1\"},"
		"\"categories\":{\"primaryCategory\":{\"displayName\":\"Bakery shop\"}}},"
		"{\"name\":\"accounts/1/locations/6\",\"latlng\":null}]}",
		&p);
	assert_int_equal(p.n, 2);
	assert_string_equal(p.locations[0].id, "5");
	assert_string_equal(p.locations[0].address, "Kai 1, Hof, Hamburg, 20095, DE");
	assert_string_equal(p.locations[0].phone, "+49 40 1");
	assert_string_equal(p.locations[0].category, "Bakery shop");
	assert_string_equal(p.locations[0].store_code, "B1");
	assert_string_equal(p.locations[1].id, "6");
	assert_null(p.locations[1].address); /* a service-area business has none */
	assert_null(p.next_token);
	google_page_done(&p);
}

static void reviews_are_taken_as_they_are(void **state)
{
	struct google_page p;
	const struct google_review *r;

	(void)state;
	read_page(GOOGLE_REVIEWS,
		"{\"reviews\":[{\"name\":\"accounts/1/locations/2/reviews/Abc-_=\","
		"\"reviewId\":\"Abc-_=\",\"reviewer\":{\"displayName\":\"J\\u00fcrgen\","
		"\"profilePhotoUrl\":\"https://p.example/1\"},\"starRating\":\"FIVE\","
		"\"comment\":\"(Translated by Google) Good\\n\\n(Original)\\nGut\","
		"\"createTime\":\"2026-01-02T03:04:05Z\",\"updateTime\":\"2026-01-02T05:04:05.5+02:"
		"00\","
		"\"reviewReply\":{\"comment\":\"Danke\",\"updateTime\":\"2026-01-03T00:00:00."
		"000001Z\","
		"\"reviewReplyState\":\"PENDING\",\"policyViolation\":\"NEW_KIND\"},"
		"\"reviewMediaItems\":[{\"thumbnailUrl\":\"https://m.example\"}],"
		"\"reviewReplyUrl\":\"https://r.example\",\"fieldOf2027\":{\"a\":[1]}}],"
		"\"averageRating\":4.5,\"totalReviewCount\":1}",
		&p);
	assert_int_equal(p.n, 1);
	r = &p.reviews[0];
	assert_string_equal(r->id, "Abc-_=");
	assert_int_equal(r->rating, 5);
	assert_string_equal(r->reviewer_name, "J\xc3\xbcrgen");
	assert_string_equal(r->reviewer_photo_url, "https://p.example/1");
	assert_string_equal(r->comment, "(Translated by Google) Good\n\n(Original)\nGut");
	assert_false(r->is_anonymous);
	assert_int_equal(r->created_us, 1767323045000000);
	assert_int_equal(r->updated_us, 1767323045500000);
	assert_string_equal(r->reply_text, "Danke");
	assert_string_equal(r->reply_state, "PENDING");
	assert_int_equal(r->reply_updated_us, 1767398400000001);
	assert_string_equal(r->media, "[{\"thumbnailUrl\":\"https://m.example\"}]");
	assert_non_null(strstr(r->raw, "\"fieldOf2027\":{\"a\":[1]}"));
	assert_int_equal(p.total, 1);
	assert_true(p.average > 4.4 && p.average < 4.6);
	google_page_done(&p);
}

static void a_bare_rating_of_nobody_is_a_review(void **state)
{
	struct google_page p;

	(void)state;
	read_page(GOOGLE_REVIEWS,
		"{\"reviews\":[{\"reviewId\":\"a\",\"reviewer\":{\"isAnonymous\":true},"
		"\"starRating\":\"ONE\",\"createTime\":\"2026-01-02T03:04:05Z\"},"
		"{\"name\":\"accounts/1/locations/2/reviews/b\"}]}",
		&p);
	assert_int_equal(p.n, 2);
	assert_true(p.reviews[0].is_anonymous);
	assert_null(p.reviews[0].comment);
	assert_null(p.reviews[0].reviewer_name);
	assert_null(p.reviews[0].reply_text);
	assert_int_equal(p.reviews[0].rating, 1);
	/* never updated: it sorts by when it was written */
	assert_int_equal(p.reviews[0].updated_us, p.reviews[0].created_us);
	assert_string_equal(p.reviews[1].id, "b");
	assert_int_equal(p.reviews[1].rating, 0);
	assert_int_equal(p.reviews[1].updated_us, 0);
	assert_int_equal(p.total, -1);
	google_page_done(&p);
}

static void an_unknown_rating_is_neither_five_nor_zero_stars_but_none(void **state)
{
	static const char *const ratings[] = {
		"\"STAR_RATING_UNSPECIFIED\"", "\"SIX\"", "\"\"", "\"5\"", "5", "null", "{}"};
	char json[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ratings); i++) {
		struct google_page p;

		snprintf(json, sizeof(json),
			"{\"reviews\":[{\"reviewId\":\"a\",\"starRating\":%s}]}", ratings[i]);
		read_page(GOOGLE_REVIEWS, json, &p);
		assert_int_equal(p.reviews[0].rating, 0);
		google_page_done(&p);
	}
}

static void odd_fields_cost_themselves_only(void **state)
{
	struct google_page p;

	(void)state;
	read_page(GOOGLE_REVIEWS,
		"{\"reviews\":[{\"reviewId\":\"a\",\"reviewer\":\"Kai\",\"comment\":[1],"
		"\"updateTime\":\"yesterday\",\"createTime\":12,\"reviewReply\":\"no\","
		"\"reviewMediaItems\":{}},{\"reviewId\":\"with/slash\"},{\"reviewId\":\"\"},7],"
		"\"averageRating\":\"high\",\"totalReviewCount\":\"12\",\"nextPageToken\":\"\"}",
		&p);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.skipped, 3);
	assert_null(p.reviews[0].comment);
	assert_null(p.reviews[0].reply_text);
	assert_null(p.reviews[0].media);
	assert_int_equal(p.reviews[0].updated_us, 0);
	assert_int_equal(p.total, 12);
	assert_true(p.average < 0);
	assert_null(p.next_token);
	google_page_done(&p);
}

static void a_nul_in_a_text_becomes_a_replacement_character(void **state)
{
	struct google_page p;

	(void)state;
	read_page(GOOGLE_REVIEWS,
		"{\"reviews\":[{\"reviewId\":\"a\",\"comment\":\"one\\u0000two\"},"
		"{\"reviewId\":\"b\",\"comment\":\"\\u0000\"}]}",
		&p);
	assert_string_equal(p.reviews[0].comment, "one\xef\xbf\xbdtwo");
	assert_string_equal(p.reviews[1].comment, "\xef\xbf\xbd");
	assert_non_null(strstr(p.reviews[0].raw, "one\\u0000two"));
	google_page_done(&p);
}

static void an_empty_object_is_an_empty_page(void **state)
{
	(void)state;
	for (int kind = 0; kind < GOOGLE_APIS; kind++) {
		struct google_page p;

		read_page((enum google_api)kind, "{}", &p);
		assert_int_equal(p.n, 0);
		assert_null(p.next_token);
		google_page_done(&p);
	}
}

/* What cannot be read must fail: a page taken for the last one would hide all that follow. */
static void what_is_not_a_page_is_refused(void **state)
{
	static const char *const bodies[] = {"", "<html></html>",
		"{\"reviews\":[{\"reviewId\":\"a\"", "[]", "null", "7", "{\"reviews\":{}}",
		"{\"reviews\":\"x\"}", "{\"reviews\":[],\"nextPageToken\":7}",
		"{\"reviews\":[],\"nextPageToken\":{}}", "{\"error\":{\"code\":500}}",
		"{\"reviews\":[]}}", "{\"reviews\":[]} x"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct google_page p;
		struct fault f = {0};

		if (google_page_read(GOOGLE_REVIEWS, bodies[i], strlen(bodies[i]), &p, &f) == 0)
			fail_msg("%s was taken for a page", bodies[i]);
		assert_int_equal(f.kind, FAULT_UPSTREAM);
	}
}

struct error_case {
	enum google_api kind;
	long status;
	bool had_page_token;
	const char *body;
	enum google_class class;
};

#define RPC(status, more) \
	"{\"error\":{\"code\":1,\"message\":\"m\",\"status\":\"" status "\"" more "}}"
#define INFO(reason)                                      \
	",\"details\":[{\"@type\":\"type.googleapis.com/" \
	"google.rpc.ErrorInfo\",\"reason\":\"" reason "\"}]"
#define FIELD(name) ",\"details\":[{\"fieldViolations\":[{\"field\":\"" name "\"}]}]"
#define LEGACY(reason) ",\"errors\":[{\"reason\":\"" reason "\"}]"

static void each_error_is_of_the_class_that_says_what_to_do(void **state)
{
	static const struct error_case cases[] = {
		{GOOGLE_REVIEWS, 500, false, RPC("INTERNAL", ""), GOOGLE_TRANSIENT},
		{GOOGLE_REVIEWS, 502, false, "<html>Bad Gateway</html>", GOOGLE_TRANSIENT},
		{GOOGLE_REVIEWS, 503, false, "", GOOGLE_TRANSIENT},
		{GOOGLE_REVIEWS, 504, false, RPC("DEADLINE_EXCEEDED", ""), GOOGLE_TRANSIENT},
		{GOOGLE_REVIEWS, 408, false, "", GOOGLE_TRANSIENT},
		{GOOGLE_REVIEWS, 409, false, RPC("ABORTED", ""), GOOGLE_TRANSIENT},
		{GOOGLE_REVIEWS, 302, false, "", GOOGLE_TRANSIENT},
		{GOOGLE_REVIEWS, 429, false, RPC("RESOURCE_EXHAUSTED", ""), GOOGLE_THROTTLED},
		{GOOGLE_REVIEWS, 429, false, "slow down", GOOGLE_THROTTLED},
		{GOOGLE_REVIEWS, 403, false, RPC("PERMISSION_DENIED", LEGACY("rateLimitExceeded")),
			GOOGLE_THROTTLED},
		{GOOGLE_REVIEWS, 429, false,
			RPC("RESOURCE_EXHAUSTED",
				",\"details\":[{\"reason\":\"RATE_LIMIT_EXCEEDED\",\"metadata\":"
				"{\"quota_limit_value\":\"0\"}}]"),
			GOOGLE_PROJECT_REFUSED},
		{GOOGLE_REVIEWS, 401, false, RPC("UNAUTHENTICATED", ""), GOOGLE_TOKEN_REFUSED},
		{GOOGLE_REVIEWS, 401, true, "", GOOGLE_TOKEN_REFUSED},
		{GOOGLE_REVIEWS, 403, false, RPC("PERMISSION_DENIED", INFO("SERVICE_DISABLED")),
			GOOGLE_PROJECT_REFUSED},
		{GOOGLE_REVIEWS, 403, false,
			RPC("PERMISSION_DENIED", LEGACY("accessNotConfigured")),
			GOOGLE_PROJECT_REFUSED},
		{GOOGLE_REVIEWS, 501, false, RPC("UNIMPLEMENTED", ""), GOOGLE_PROJECT_REFUSED},
		{GOOGLE_REVIEWS, 403, false,
			RPC("PERMISSION_DENIED", INFO("ACCESS_TOKEN_SCOPE_INSUFFICIENT")),
			GOOGLE_TENANT_REFUSED},
		{GOOGLE_ACCOUNTS, 403, false, RPC("PERMISSION_DENIED", ""), GOOGLE_TENANT_REFUSED},
		{GOOGLE_LOCATIONS, 403, false, RPC("PERMISSION_DENIED", ""),
			GOOGLE_RESOURCE_REFUSED},
		{GOOGLE_REVIEWS, 403, false, "no", GOOGLE_RESOURCE_REFUSED},
		{GOOGLE_REVIEWS, 404, false, RPC("NOT_FOUND", ""), GOOGLE_RESOURCE_REFUSED},
		{GOOGLE_LOCATIONS, 404, false, "", GOOGLE_RESOURCE_REFUSED},
		{GOOGLE_ACCOUNTS, 404, false, "", GOOGLE_BUG},
		{GOOGLE_REVIEWS, 400, false, RPC("INVALID_ARGUMENT", INFO("UNVERIFIED_LOCATION")),
			GOOGLE_RESOURCE_REFUSED},
		{GOOGLE_REVIEWS, 400, true, RPC("INVALID_ARGUMENT", INFO("UNVERIFIED_LOCATION")),
			GOOGLE_RESOURCE_REFUSED},
		{GOOGLE_REVIEWS, 400, false, RPC("FAILED_PRECONDITION", ""),
			GOOGLE_RESOURCE_REFUSED},
		{GOOGLE_REVIEWS, 400, true, RPC("INVALID_ARGUMENT", ""), GOOGLE_STALE_PAGE},
		{GOOGLE_REVIEWS, 400, true, RPC("INVALID_ARGUMENT", FIELD("page_token")),
			GOOGLE_STALE_PAGE},
		{GOOGLE_LOCATIONS, 400, true, RPC("INVALID_ARGUMENT", FIELD("read_mask")),
			GOOGLE_BUG},
		{GOOGLE_LOCATIONS, 400, false, RPC("INVALID_ARGUMENT", FIELD("read_mask")),
			GOOGLE_BUG},
		{GOOGLE_REVIEWS, 400, false, "", GOOGLE_BUG},
		{GOOGLE_REVIEWS, 405, false, "", GOOGLE_BUG},
		{GOOGLE_REVIEWS, 403, false,
			"[" RPC("PERMISSION_DENIED", INFO("SERVICE_DISABLED")) "]",
			GOOGLE_PROJECT_REFUSED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct error_case *c = &cases[i];
		struct google_error e;

		google_error_read(
			c->kind, c->status, c->body, strlen(c->body), c->had_page_token, &e);
		if (e.class != c->class)
			fail_msg("%ld %s: %s, not %s", c->status, c->body,
				google_class_name(e.class), google_class_name(c->class));
		assert_true(*e.text != '\0');
	}
}

static int64_t hint_of(const char *delay)
{
	struct google_error e;
	char json[256];

	snprintf(json, sizeof(json),
		"{\"error\":{\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
		"\"retryDelay\":\"%s\"}]}}",
		delay);
	google_error_read(GOOGLE_REVIEWS, 429, json, strlen(json), false, &e);
	return e.retry_after_ms;
}

static void retry_info_is_a_duration_or_nothing(void **state)
{
	(void)state;
	assert_int_equal(hint_of("30s"), 30000);
	assert_int_equal(hint_of("1.5s"), 1500);
	assert_int_equal(hint_of("0s"), 0);
	assert_int_equal(hint_of("99999999999s"), 24 * 60 * 60 * 1000);
	assert_int_equal(hint_of("-3s"), -1);
	assert_int_equal(hint_of("nans"), -1);
	assert_int_equal(hint_of("30"), -1);
	assert_int_equal(hint_of("s"), -1);
	assert_int_equal(hint_of(""), -1);
}

static void words_for_people_are_cut_between_characters(void **state)
{
	struct google_error e;
	char json[1200] = "{\"error\":{\"message\":\"x";

	(void)state;
	for (int i = 0; i < 300; i++)
		strcat(json, "\xc3\xbc");
	strcat(json, "\"}}");
	for (long status = 400; status < 405; status++) {
		google_error_read(GOOGLE_ACCOUNTS, status, json, strlen(json), false, &e);
		assert_true(text_is_utf8(e.text, strlen(e.text)));
	}
	assert_int_equal(google_words_fit("a\xf0\x9f\x91\x8d", 4), 1);
	assert_int_equal(google_words_fit("a\xf0\x9f\x91\x8d", 5), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_hold_what_each_api_wants),
		cmocka_unit_test(an_id_cannot_leave_its_place_in_an_address),
		cmocka_unit_test(accounts_lose_their_prefix_and_keep_long_ids),
		cmocka_unit_test(locations_come_with_and_without_an_account_in_their_name),
		cmocka_unit_test(reviews_are_taken_as_they_are),
		cmocka_unit_test(a_bare_rating_of_nobody_is_a_review),
		cmocka_unit_test(an_unknown_rating_is_neither_five_nor_zero_stars_but_none),
		cmocka_unit_test(odd_fields_cost_themselves_only),
		cmocka_unit_test(a_nul_in_a_text_becomes_a_replacement_character),
		cmocka_unit_test(an_empty_object_is_an_empty_page),
		cmocka_unit_test(what_is_not_a_page_is_refused),
		cmocka_unit_test(each_error_is_of_the_class_that_says_what_to_do),
		cmocka_unit_test(retry_info_is_a_duration_or_nothing),
		cmocka_unit_test(words_for_people_are_cut_between_characters),
	};
	hash_init();
	return cmocka_run_group_tests_name("review_fetcher/google", tests, NULL, NULL);
}
