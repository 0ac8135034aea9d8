/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "../database.h"
#include "review_fetcher/review_find.h"

static const struct review_filter any = {
	.replied = -1, .deleted = -1, .since_us = INT64_MIN, .until_us = INT64_MAX};

/* One page as JSON; *cursor is replaced by the next. -1 with *f. */
static json_t *page_of(
	const struct review_filter *filter, int64_t limit, struct buf *cursor, struct fault *f)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 24);
	AUTO(buf_drop) struct buf next = BUF_INIT(1024);
	struct list_page page = {.cursor = cursor->len ? buf_text(cursor) : NULL, .limit = limit};
	struct json_out out = JSON_OUT(&text);
	json_t *json = NULL;

	json_open(&out, '{');
	if (reviews_list(world.rf, filter, &page, &out, &next, f) < 0)
		return NULL;
	json_close(&out, '}');
	if (json_parse(text.data, text.len, &json, f) < 0)
		fail_msg("%s: %s", f->text, buf_text(&text));
	buf_reset(cursor);
	buf_add_text(cursor, buf_text(&next));
	return json;
}

/* How many reviews a filter finds, over pages of `limit`; that none comes twice and order holds is
 * checked. */
static int64_t count_pages(const struct review_filter *filter, int64_t limit)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
	int64_t found = 0, last = 0;
	char time[40] = "";
	struct fault f = {0};

	do {
		AUTO(json_drop) json_t *json = page_of(filter, limit, &cursor, &f);
		const json_t *reviews = json_member(json, "reviews");

		if (!json)
			fail_msg("%s", f.text);
		assert_int_equal(json_int(json, "count", -1), json_array_size(reviews));
		for (size_t i = 0; i < json_array_size(reviews); i++, found++) {
			const json_t *one = json_array_get(reviews, i);
			int64_t id = json_int(one, "id", -1);
			int order = strcmp(time, json_text(one, "review_updated_time"));

			if (order == 0)
				order = id < last ? 1 : -1;
			if (found > 0)
				assert_true(
					filter->order == REVIEWS_OLDEST ? order < 0 : order > 0);
			last = id;
			snprintf(time, sizeof(time), "%s", json_text(one, "review_updated_time"));
		}
		if (cursor.len)
			assert_int_equal(json_array_size(reviews), limit);
	} while (cursor.len);
	return found;
}

static void walk(void)
{
	assert_string_equal(world_run(world_job()), "completed");
}

static void pages_hold_every_review_once_in_both_orders(void **state)
{
	struct review_filter filter = any;

	(void)state;
	walk();
	assert_int_equal(count_pages(&filter, 7), 30);
	assert_int_equal(count_pages(&filter, 30), 30);
	assert_int_equal(count_pages(&filter, 500), 30);
	filter.order = REVIEWS_OLDEST;
	assert_int_equal(count_pages(&filter, 4), 30);
}

static void a_page_stays_where_it_was_when_rows_come(void **state)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
	struct fault f = {0};
	json_t *json;
	int64_t last;

	(void)state;
	walk();
	json = page_of(&any, 10, &cursor, &f);
	last = json_int(json_array_get(json_member(json, "reviews"), 9), "id", -1);
	assert_int_equal(json_int(json, "total_reviews", -1), 30);
	json_drop(&json);
	world_number("INSERT INTO reviews (location_id, review_id, account_id, raw, content_hash,"
		     " created_at_ms, updated_at_ms, last_seen_ms, review_updated_us) VALUES"
		     " ('l000-0', 'late', '1', '{}', (SELECT content_hash FROM reviews LIMIT 1), "
		     "1, 1, 1, 9000000000000000) RETURNING 0");
	json = page_of(&any, 10, &cursor, &f);
	assert_int_equal(
		json_int(json_array_get(json_member(json, "reviews"), 0), "id", -1), last - 1);
	json_drop(&json);
}

static void filters_leave_what_they_say(void **state)
{
	struct review_filter filter = any;

	(void)state;
	walk();
	world_number("UPDATE reviews SET reply_text = 'Danke' WHERE id IN (1, 2) RETURNING 0");
	world_number("UPDATE reviews SET comment = '100 % fein_er' WHERE id = 3 RETURNING 0");
	world_number("UPDATE reviews SET deleted_at_ms = 5 WHERE id = 4 RETURNING 0");
	world_number("UPDATE reviews SET review_updated_us = 1000000 WHERE id = 5 RETURNING 0");
	assert_int_equal(count_pages(&filter, 9), 29);
	filter.deleted = 1;
	assert_int_equal(count_pages(&filter, 9), 1);
	filter = any;
	filter.ratings = REVIEW_STAR(4);
	assert_int_equal(
		count_pages(&filter, 9) + world_number("SELECT count(*) FROM reviews WHERE rating "
						       "IS NULL AND deleted_at_ms IS NULL"),
		29);
	filter.ratings = REVIEW_STAR(1);
	assert_int_equal(count_pages(&filter, 9), 0);
	filter = any;
	filter.replied = 1;
	assert_int_equal(count_pages(&filter, 9), 2);
	filter.replied = 0;
	assert_int_equal(count_pages(&filter, 9), 27);
	filter = any;
	filter.until_us = 2000000;
	assert_int_equal(count_pages(&filter, 9), 1);
	filter.since_us = 1000001;
	assert_int_equal(count_pages(&filter, 9), 0);
	filter = any;
	filter.location_id = "l000-1";
	assert_true(count_pages(&filter, 3) >= 7);
	filter.account_id = "100000000000000000001";
	assert_int_equal(count_pages(&filter, 3), 0);
}

/* Each of them leaves one review out that the others would let through. */
static void all_filters_hold_at_once(void **state)
{
	static const char *const branches[] = {"harbour", "elsewhere"};
	struct review_filter filter = {
		.scope = {branches, 2},
		.branch_id = "harbour",
		.account_id = "100000000000000000001",
		.q = "\"good soup\" hot*",
		.ratings = REVIEW_STAR(2) | REVIEW_STAR(3),
		.replied = 1,
		.deleted = -1,
		.since_us = 1000,
		.until_us = 2000,
	};

	(void)state;
	walk();
	world_number("UPDATE reviews SET comment = 'Good soup, hotter than hot', rating = 3,"
		     " reply_text = 'Thanks', review_updated_us = 1500 WHERE location_id ="
		     " 'l001-1' RETURNING 0");
	filter.location_id = "l001-1";
	const int64_t all =
		world_number("SELECT count(*) FROM reviews WHERE location_id = 'l001-1'");
	assert_true(all >= 7);
	assert_int_equal(count_pages(&filter, 3), all);
	const int64_t id = world_number("SELECT min(id) FROM reviews WHERE location_id = 'l001-1'");
	static const char *const changes[] = {"comment = 'Good hot soup'", "rating = 4",
		"rating = NULL", "reply_text = NULL", "review_updated_us = 999",
		"review_updated_us = 2000", "deleted_at_ms = 5"};
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		char sql[256];

		snprintf(sql, sizeof(sql), "UPDATE reviews SET %s WHERE id = %lld RETURNING 0",
			changes[i], (long long)(id + (int64_t)i));
		world_number(sql);
		for (enum review_order by = REVIEWS_NEWEST; by <= REVIEWS_OLDEST; by++) {
			filter.order = by;
			assert_int_equal(count_pages(&filter, 3), all - (int64_t)i - 1);
		}
	}
	filter.branch_id = "elsewhere";
	assert_int_equal(count_pages(&filter, 3), 0);
}

static int64_t found_by(const char *q)
{
	struct review_filter filter = any;

	filter.q = q;
	return count_pages(&filter, 9);
}

static void words_phrases_and_beginnings_are_found_whatever_the_accents(void **state)
{
	(void)state;
	walk();
	world_number("UPDATE reviews SET comment = 'Crème brûlée, un-bel-ievable! \\ e-mail' WHERE "
		     "id = 3"
		     " RETURNING 0");
	world_number("UPDATE reviews SET reviewer_name = 'O''Hara' WHERE id = 9 RETURNING 0");
	assert_int_equal(found_by("creme"), 1);
	assert_int_equal(found_by("CRÈME"), 1);
	assert_int_equal(found_by("brulee creme"), 1);
	assert_int_equal(found_by("\"creme brulee\""), 1);
	assert_int_equal(found_by("\"brulee creme\""), 0);
	assert_int_equal(found_by("bru*"), 1);
	assert_int_equal(found_by("bru"), 0);
	assert_int_equal(found_by("\"creme bru\"*"), 1);
	assert_int_equal(found_by("e-mail"), 1);
	assert_int_equal(found_by("o'hara"), 1);
	assert_int_equal(found_by("o'h*"), 1);
	assert_int_equal(found_by("creme tea"), 0);
	assert_true(found_by("Gut \xf0\x9f\x91\x8d") > 10);
	/* Writing without blanks is one word up to its next sign; pictures are none. */
	world_number("UPDATE reviews SET comment = 'とても良いお店でした。また来ます "
		     "\xf0\x9f\x91\x8d Größe' WHERE id"
		     " = 5 RETURNING 0");
	assert_int_equal(found_by("とても良いお店でした"), 1);
	assert_int_equal(found_by("とても*"), 1);
	assert_int_equal(found_by("また来ます"), 1);
	assert_int_equal(found_by("店"), 0);
	assert_int_equal(found_by("GRÖSSE"), 0); /* ß is no SS */
	assert_int_equal(found_by("größe"), 1);
	assert_int_equal(found_by("große"), 1);
	/* Rows that change or go take their words along. */
	world_number("UPDATE reviews SET comment = 'tea' WHERE id = 3 RETURNING 0");
	assert_int_equal(found_by("creme"), 0);
	assert_int_equal(found_by("tea"), 1);
	world_number("DELETE FROM reviews WHERE id = 3 RETURNING 0");
	assert_int_equal(found_by("tea"), 0);
}

static void no_input_is_a_mistake_of_the_engine(void **state)
{
	static const char *const odd[] = {"\"", "\"open", "a\"b\"c", "*a", "a*b", "NOT", "AND OR",
		"a AND", "NEAR(a b, 2)", "comment:a", "^a", "-a", "a + b", "(a", "a)", "{a b}:c",
		"' OR 1=1", "a & b", "a | !b", "a <-> b", "a:*", "a:B", "\\", "a\\'",
		"\xe2\x80\x9cgut\xe2\x80\x9d", "'", "\"\" a", "\xf0\x9f\x91\x8d"};
	static const char *const empty[] = {"%", "_", "\"\"", "***", "!?", "-", " "};
	AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
	struct review_filter filter = any;
	struct fault f = {0};

	(void)state;
	walk();
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		AUTO(json_drop) json_t *json = NULL;

		filter.q = odd[i];
		buf_reset(&cursor);
		json = page_of(&filter, 9, &cursor, &f);
		if (!json && f.kind != FAULT_INPUT)
			fail_msg("%s: %s", odd[i], f.text);
	}
	for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
		filter.q = empty[i];
		buf_reset(&cursor);
		assert_null(page_of(&filter, 9, &cursor, &f));
		assert_int_equal(f.kind, FAULT_INPUT);
		assert_string_equal(f.field, "q");
	}
}

/* ---- stability ---- */

static void note_ids(const json_t *page, int *seen)
{
	const json_t *reviews = json_member(page, "reviews");

	for (size_t i = 0; i < json_array_size(reviews); i++)
		seen[json_int(json_array_get(reviews, i), "id", 0)]++;
}

static void write_between(int round)
{
	char sql[400];

	snprintf(sql, sizeof(sql),
		"INSERT INTO reviews (location_id, review_id, account_id, raw, content_hash,"
		" created_at_ms, updated_at_ms, last_seen_ms, review_updated_us) VALUES"
		" ('l000-0', 'late-%d', '1', '{}', (SELECT content_hash FROM reviews LIMIT 1), 1,"
		" 1, 1, %d) RETURNING 0",
		round, round % 2 ? 1000 : 2000000000);
	world_number(sql);
	/* One that was shown, or will be, is edited; one is deleted. */
	snprintf(sql, sizeof(sql),
		"UPDATE reviews SET review_updated_us = 9000000000000000 + %d WHERE id = %d "
		"RETURNING 0",
		round, 5 + round * 4);
	world_number(sql);
	snprintf(sql, sizeof(sql), "UPDATE reviews SET deleted_at_ms = 5 WHERE id = %d RETURNING 0",
		6 + round * 4);
	world_number(sql);
}

static void what_was_there_throughout_comes_once_however_others_write(void **state)
{
	(void)state;
	walk();
	for (enum review_order by = REVIEWS_NEWEST; by <= REVIEWS_STORED; by += 2) {
		AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
		struct review_filter filter = any;
		int seen[100] = {0}, round = 0;
		struct fault f = {0};

		filter.order = by;
		world_number("UPDATE reviews SET deleted_at_ms = NULL RETURNING 0");
		world_number("DELETE FROM reviews WHERE id > 30 RETURNING 0");
		do {
			AUTO(json_drop) json_t *json = page_of(&filter, 5, &cursor, &f);

			assert_non_null(json);
			note_ids(json, seen);
			if (round < 6)
				write_between(round++);
		} while (cursor.len);
		for (int id = 1; id <= 30; id++) {
			bool edited = id >= 5 && (id - 5) % 4 == 0 && id <= 25;
			bool deleted = id >= 6 && (id - 6) % 4 == 0 && id <= 26;

			assert_true(seen[id] <= 1);
			/* By update an edited one moves to the front: it is news then. */
			if (!deleted && (!edited || by == REVIEWS_STORED))
				assert_int_equal(seen[id], 1);
		}
	}
}

/* ---- plans ---- */

static int see_plan(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)f;
	buf_addf(arg, "%s\n", db_get_text(&cols[n_cols - 1]));
	return 0;
}

struct planning {
	struct review_filter filter;
	bool many;
	struct buf plan;
};

static int plan_body(struct db *db, void *arg, struct fault *f)
{
	struct planning *p = arg;
	const struct review_mark after = {.us = 5, .id = 7};
	struct review_finder x;
	int planned;

	review_find_init(&x, &p->filter);
	planned = review_find_start(&x, db, f);
	if (planned == 0 && p->many)
		x.few_places = x.few_matches = false;
	x.explain = true;
	if (planned == 0)
		planned = review_find(&x, db, &after, 51, see_plan, &p->plan, f);
	review_find_done(&x);
	return planned;
}

static void assert_by_index(const struct review_filter *filter, bool many)
{
	struct planning p = {.filter = *filter, .many = many, .plan = BUF_INIT(1 << 16)};
	struct fault f = {0};

	world.looking = true;
	if (store_use(world.store, plan_body, &p, &f) < 0)
		fail_msg("%s", f.text);
	world.looking = false;
	if (strstr(buf_text(&p.plan), "SCAN r\n") || strstr(buf_text(&p.plan), "SCAN p\n") ||
		strstr(buf_text(&p.plan), "SCAN l\n"))
		fail_msg("reads all there is:\n%s", buf_text(&p.plan));
	if (many && filter->order != REVIEWS_STORED &&
		strstr(buf_text(&p.plan), "TEMP B-TREE FOR ORDER"))
		fail_msg("sorts all there is:\n%s", buf_text(&p.plan));
	buf_drop(&p.plan);
}

static void no_filter_reads_or_sorts_all_reviews(void **state)
{
	struct review_filter filters[12];

	(void)state;
	if (database_server() != NULL)
		skip(); /* its plans follow what is in the tables */
	for (size_t i = 0; i < ARRAY_LEN(filters); i++)
		filters[i] = any;
	filters[1].ratings = REVIEW_STAR(1);
	filters[2].ratings = REVIEW_STAR(1) | REVIEW_STAR(2);
	filters[3].replied = 0;
	filters[4].replied = 1;
	filters[5].since_us = 3;
	filters[6].until_us = 9;
	filters[7].deleted = 1;
	filters[8].branch_id = "harbour";
	filters[9].account_id = "100000000000000000001";
	filters[10].location_id = "l000-1";
	filters[11].q = "gut kaff*";
	walk();
	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		for (enum review_order by = REVIEWS_NEWEST; by <= REVIEWS_STORED; by++) {
			filters[i].order = by;
			assert_by_index(&filters[i], false);
			assert_by_index(&filters[i], true);
		}
	}
}

/* ---- exports ---- */

static void export(const struct review_filter *filter, enum review_format format, struct buf *ret)
{
	struct review_export *x;
	struct fault f = {0};
	bool end = false;

	*ret = BUF_INIT(1 << 24);
	if (reviews_export_open(world.rf, filter, format, &x, &f) < 0)
		fail_msg("%s", f.text);
	while (!end)
		assert_int_equal(reviews_export_next(x, ret, &end, &f), 0);
	reviews_export_close(x);
}

static size_t count_lines(const struct buf *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->len; i++)
		n += b->data[i] == '\n';
	return n;
}

static void an_export_has_each_review_once_by_place_or_of_all(void **state)
{
	static const char *const branches[] = {"harbour"};
	struct review_filter filter = any;
	struct buf text;

	(void)state;
	world.reviews = 700;
	world.settings.google_requests_per_minute = 60000;
	walk();
	const int64_t all = world_number("SELECT count(*) FROM reviews");
	export(&filter, REVIEWS_AS_NDJSON, &text);
	assert_int_equal(count_lines(&text), all);
	buf_drop(&text);
	filter.scope = (struct review_scope){branches, 1};
	export(&filter, REVIEWS_AS_NDJSON, &text);
	assert_int_equal(count_lines(&text), all);
	buf_drop(&text);
	filter.scope.n = 0;
	export(&filter, REVIEWS_AS_CSV, &text);
	assert_int_equal(count_lines(&text), 1);
	buf_drop(&text);
}

static void csv_is_quoted_and_no_words_become_a_formula(void **state)
{
	struct review_filter filter = any;
	struct buf text;

	(void)state;
	walk();
	world_number("UPDATE reviews SET comment = '=HYPERLINK(\"x\",\"y\")', reviewer_name = 'A, "
		     "\"B\"',"
		     " reply_text = 'two\nlines' WHERE id = 3 RETURNING 0");
	filter.replied = 1;
	export(&filter, REVIEWS_AS_CSV, &text);
	assert_true(text_starts(buf_text(&text), "id,account_id,location_id,location_title,"));
	assert_non_null(
		strstr(buf_text(&text), ",\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\",\"A, \"\"B\"\"\","));
	assert_non_null(strstr(buf_text(&text), ",\"two\nlines\","));
	assert_string_equal(buf_text(&text) + text.len - 2, "\r\n");
	buf_drop(&text);
}

static void a_bound_caller_sees_its_branches_only(void **state)
{
	static const char *const others[] = {"elsewhere"}, *const both[] = {"elsewhere", "harbour"};
	struct review_filter filter = any;
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 20);
	struct json_out out = JSON_OUT(&text);
	struct fault f = {0};

	(void)state;
	walk();
	filter.scope = (struct review_scope){others, 1};
	assert_int_equal(count_pages(&filter, 9), 0);
	assert_int_equal(reviews_write(world.rf, &filter.scope, 1, &out, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	filter.branch_id = "harbour"; /* asking for it by name does not help */
	assert_int_equal(count_pages(&filter, 9), 0);
	filter.scope = (struct review_scope){others, 0}; /* bound to nothing any more */
	assert_int_equal(count_pages(&filter, 9), 0);
	filter.scope = (struct review_scope){both, 2};
	assert_int_equal(count_pages(&filter, 9), 30);
	assert_int_equal(reviews_write(world.rf, &filter.scope, 1, &out, &f), 0);
	assert_non_null(strstr(buf_text(&text), "\"google_review_id\":\"l"));
	assert_non_null(strstr(buf_text(&text), "\"raw\":{\"reviewId\":"));
	assert_non_null(
		strstr(buf_text(&text), "\"review_updated_time\":\"2026-02-03T04:05:06.123456Z\""));
}

static void many_locations_are_listed_like_few(void **state)
{
	struct review_filter filter = any;

	(void)state;
	world.accounts = 1;
	world.locations = 230;
	world.reviews = 2;
	world.settings.google_requests_per_minute = 60000;
	walk();
	filter.branch_id = "harbour";
	assert_int_equal(count_pages(&filter, 50), 461);
	filter.account_id = "100000000000000000000";
	assert_int_equal(count_pages(&filter, 50), 461);
	filter.branch_id = "elsewhere";
	assert_int_equal(count_pages(&filter, 50), 0);
}

static void a_cursor_of_another_list_is_refused(void **state)
{
	static const char *const odd[] = {"x", "bjEsMQ", "!!", "", "bjEs", "bizEsMSw"};
	AUTO(buf_drop) struct buf cursor = BUF_INIT(1024);
	struct review_filter filter = any;
	struct fault f = {0};
	json_t *json;

	(void)state;
	walk();
	json = page_of(&any, 3, &cursor, &f);
	json_drop(&json);
	filter.order = REVIEWS_OLDEST;
	assert_null(page_of(&filter, 3, &cursor, &f));
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, "cursor");
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		if (!*odd[i])
			continue;
		buf_reset(&cursor);
		buf_add_text(&cursor, odd[i]);
		json = page_of(&any, 3, &cursor, &f);
		if (json) /* a cursor by accident is one, and leads somewhere */
			json_drop(&json);
		else
			assert_int_equal(f.kind, FAULT_INPUT);
	}
}

typedef int list_fn(
	const struct list_page *page, struct json_out *out, struct buf *next, struct fault *f);

static int list_accounts(
	const struct list_page *page, struct json_out *out, struct buf *next, struct fault *f)
{
	return accounts_list(world.rf, NULL, page, out, next, f);
}

static int list_locations(
	const struct list_page *page, struct json_out *out, struct buf *next, struct fault *f)
{
	return locations_list(world.rf, NULL, NULL, page, out, next, f);
}

static int list_jobs(
	const struct list_page *page, struct json_out *out, struct buf *next, struct fault *f)
{
	return jobs_list(world.rf, NULL, page, out, next, f);
}

/* All items of a list over pages of two, as one array. */
static json_t *collect(list_fn *list, const char *name)
{
	AUTO(buf_drop) struct buf cursor = BUF_INIT(4096);
	json_t *all = json_array();
	struct fault f = {0};

	do {
		AUTO(buf_drop) struct buf text = BUF_INIT(1 << 20);
		AUTO(buf_drop) struct buf next = BUF_INIT(4096);
		AUTO(json_drop) json_t *json = NULL;
		struct list_page page = {
			.cursor = cursor.len ? buf_text(&cursor) : NULL, .limit = 2};
		struct json_out out = JSON_OUT(&text);

		json_open(&out, '{');
		if (list(&page, &out, &next, &f) < 0)
			fail_msg("%s", f.text);
		json_close(&out, '}');
		if (json_parse(text.data, text.len, &json, &f) < 0)
			fail_msg("%s", f.text);
		json_array_extend(all, json_member(json, name));
		buf_reset(&cursor);
		buf_add_text(&cursor, buf_text(&next));
	} while (cursor.len);
	return all;
}

static void accounts_and_locations_say_what_was_found(void **state)
{
	AUTO(json_drop) json_t *accounts = NULL;
	AUTO(json_drop) json_t *locations = NULL;
	const json_t *shared = NULL;

	(void)state;
	world.accounts = 5;
	world.all_share_one = true;
	walk();
	accounts = collect(list_accounts, "accounts");
	assert_int_equal(json_array_size(accounts), 5);
	assert_string_equal(
		json_text(json_array_get(accounts, 4), "account_id"), "100000000000000000004");
	assert_int_equal(json_int(json_array_get(accounts, 0), "locations", -1), 3);
	assert_int_equal(json_int(json_array_get(accounts, 0), "review_count", -1), 22);
	locations = collect(list_locations, "locations");
	assert_int_equal(json_array_size(locations), 11);
	for (size_t i = 0; i < json_array_size(locations); i++) {
		const json_t *one = json_array_get(locations, i);

		assert_int_equal(
			json_int(one, "review_count", -1), json_int(one, "total_review_count", -2));
		assert_non_null(json_text(one, "last_synced_at"));
		if (text_equal(json_text(one, "location_id"), "shared"))
			shared = one;
	}
	assert_int_equal(json_array_size(json_member(shared, "parents")), 5);
}

static void jobs_are_listed_newest_first(void **state)
{
	AUTO(json_drop) json_t *jobs = NULL;

	(void)state;
	for (int i = 0; i < 5; i++) {
		world.wall_ms += 1000;
		walk();
	}
	jobs = collect(list_jobs, "jobs");
	assert_int_equal(json_array_size(jobs), 5);
	for (size_t i = 1; i < 5; i++)
		assert_true(strcmp(json_text(json_array_get(jobs, i - 1), "created_at"),
				    json_text(json_array_get(jobs, i), "created_at")) > 0);
}

/* ---- the nested snapshot ---- */

static json_t *nested(const char *job, const struct nested_bounds *bounds, int64_t least,
	struct nested_seen *seen)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1 << 26);
	struct fault f = {0};
	json_t *json = NULL;

	if (nested_write(world.rf, job, bounds, least, &text, seen, &f) < 0)
		fail_msg("%s", f.text);
	if (text.len && json_parse(text.data, text.len, &json, &f) < 0)
		fail_msg("%s: %s", f.text, buf_text(&text));
	return json;
}

static const struct nested_bounds wide = {500, 10000, 5000, false};

static void the_snapshot_has_the_originals_shape(void **state)
{
	const char *job;
	AUTO(json_drop) json_t *json = NULL;
	const json_t *account, *location, *review;
	struct nested_seen seen = {.pages = -1};

	(void)state;
	walk();
	job = world_text("SELECT id FROM jobs");
	json = nested(job, &wide, 0, &seen);
	assert_true(seen.has_ended);
	assert_int_equal(json_int(json_member(json, "stats"), "accounts", -1), 2);
	assert_int_equal(json_int(json_member(json, "stats"), "locations", -1), 4);
	assert_int_equal(json_int(json_member(json, "stats"), "reviews", -1), 30);
	assert_true(json_flag(json_member(json, "joins_ok"),
		"account.account_id == location.google_account_id", false));
	assert_true(json_flag(json_member(json, "joins_ok"),
		"location.location_id == review.location_id", false));
	account = json_array_get(json_member(json, "accounts"), 1);
	assert_string_equal(json_text(json_member(account, "account"), "google_account_name"),
		"accounts/100000000000000000001");
	assert_int_equal(json_int(json_member(account, "account"), "client_id", -1), 7);
	assert_int_equal(json_int(json_member(account, "stats"), "reviews", -1), 15);
	location = json_array_get(json_member(account, "locations"), 0);
	assert_string_equal(json_text(location, "google_account_id"), "100000000000000000001");
	review = json_array_get(json_member(location, "reviews"), 0);
	assert_string_equal(json_text(review, "location_id"), json_text(location, "location_id"));
	assert_non_null(json_text(review, "google_review_id"));
}

static void the_snapshot_keeps_its_bounds_and_is_made_only_for_news(void **state)
{
	static const struct nested_bounds narrow = {1, 1, 3, false};
	const char *job = world_job();
	struct nested_seen seen = {.pages = -1};
	unsigned made = 0;
	json_t *json = NULL;

	(void)state;
	world.page_size = 3;
	while (!seen.has_ended) {
		json_t *next;

		(void)world_step();
		next = nested(job, &narrow, seen.pages + 1, &seen);
		if (!next)
			continue;
		json_decref(json);
		json = next;
		made++;
	}
	/* pages, and once at the start and at the end */
	assert_true(made <= (unsigned)world_number("SELECT pages FROM jobs") + 2);
	assert_int_equal(json_int(json_member(json, "stats"), "accounts", -1), 1);
	assert_int_equal(json_int(json_member(json, "stats"), "locations", -1), 1);
	assert_int_equal(json_int(json_member(json, "stats"), "reviews", -1), 3);
	json_decref(json);
	assert_null(nested(job, &narrow, seen.pages + 1, &seen));
}

/* What a stream of each eighth part sends grows with the job, not with its square. */
static void snapshots_of_a_growing_job_cost_a_multiple_of_the_last_one(void **state)
{
	const char *job = world_job();
	struct nested_seen seen = {.pages = -1};
	int64_t shown = 0, last = 0;

	(void)state;
	world.page_size = 1;
	while (!seen.has_ended) {
		json_t *json;

		(void)world_step();
		json = nested(job, &wide, seen.pages + 1 + seen.pages / 8, &seen);
		if (!json)
			continue;
		last = json_int(json_member(json, "stats"), "reviews", -1);
		shown += last;
		json_decref(json);
	}
	assert_int_equal(last, 30);
	assert_true(shown <= 9 * last);
}

static void a_sample_is_drawn_by_the_jobs_id_within_its_bounds(void **state)
{
	struct nested_bounds bounds = wide;
	struct nested_seen seen = {.pages = -1}, again = seen;
	json_t *first, *second;
	const char *job;

	(void)state;
	world.reviews = 240;
	world.settings.google_requests_per_minute = 60000;
	walk();
	job = world_text("SELECT id FROM jobs");
	bounds.is_sample = true;
	first = nested(job, &bounds, 0, &seen);
	second = nested(job, &bounds, 0, &again);
	assert_true(json_equal(first, second));
	const json_t *accounts = json_member(first, "accounts"), *account, *location;
	size_t i, k;
	json_array_foreach(accounts, i, account)
	{
		json_array_foreach(json_member(account, "locations"), k, location)
			assert_true(json_array_size(json_member(location, "reviews")) <= 50);
	}
	assert_true(json_int(json_member(first, "stats"), "reviews", -1) <= 4 * 50);
	assert_int_equal(json_int(json_member(first, "stats"), "accounts", -1), 2);
	assert_int_equal(json_int(json_member(first, "stats"), "locations", -1), 4);
	json_decref(first);
	json_decref(second);
	bounds.max_reviews_per_location = 0;
	again.pages = -1;
	again.has_ended = false;
	first = nested(job, &bounds, 0, &again);
	assert_int_equal(json_int(json_member(first, "stats"), "reviews", -1), 0);
	json_decref(first);
}

/* ---- sessions ---- */

static void a_session_works_once_and_for_two_minutes(void **state)
{
	struct job_input in = {.access_token = secret_from("own-token", 9), .actor = "test"};
	char session[SESSION_ID_SIZE], job[37];
	struct fault f = {0};

	(void)state;
	assert_int_equal(sessions_open(world.rf, &in, session, &f), 0);
	assert_int_equal(strlen(session), SESSION_ID_SIZE - 1);
	assert_int_equal(sessions_start_job(world.rf, session, job, &f), 0);
	assert_int_equal(sessions_start_job(world.rf, session, job, &f), -1);
	assert_int_equal(f.kind, FAULT_MISSING);
	assert_string_equal(world_run(job), "completed");
	in.access_token = secret_from("own-token", 9);
	assert_int_equal(sessions_open(world.rf, &in, session, &f), 0);
	world.mono_ms += SESSION_MS;
	assert_int_equal(sessions_start_job(world.rf, session, job, &f), -1);
}

static void sessions_are_bounded_and_make_room_when_they_expire(void **state)
{
	struct job_input in = {.branch_id = "harbour", .actor = "test"};
	char session[SESSION_ID_SIZE];
	struct fault f = {0};
	int opened = 0;

	(void)state;
	while (sessions_open(world.rf, &in, session, &f) == 0)
		opened++;
	assert_int_equal(opened, 1000);
	assert_int_equal(f.kind, FAULT_THROTTLED);
	assert_true(f.retry_after_ms > 0);
	world.mono_ms += SESSION_MS;
	assert_int_equal(sessions_open(world.rf, &in, session, &f), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(pages_hold_every_review_once_in_both_orders),
		T(a_page_stays_where_it_was_when_rows_come),
		T(filters_leave_what_they_say),
		T(all_filters_hold_at_once),
		T(words_phrases_and_beginnings_are_found_whatever_the_accents),
		T(no_input_is_a_mistake_of_the_engine),
		T(what_was_there_throughout_comes_once_however_others_write),
		T(no_filter_reads_or_sorts_all_reviews),
		T(an_export_has_each_review_once_by_place_or_of_all),
		T(csv_is_quoted_and_no_words_become_a_formula),
		T(a_bound_caller_sees_its_branches_only),
		T(many_locations_are_listed_like_few),
		T(a_cursor_of_another_list_is_refused),
		T(accounts_and_locations_say_what_was_found),
		T(jobs_are_listed_newest_first),
		T(the_snapshot_has_the_originals_shape),
		T(the_snapshot_keeps_its_bounds_and_is_made_only_for_news),
		T(snapshots_of_a_growing_job_cost_a_multiple_of_the_last_one),
		T(a_sample_is_drawn_by_the_jobs_id_within_its_bounds),
		T(a_session_works_once_and_for_two_minutes),
		T(sessions_are_bounded_and_make_room_when_they_expire),
	};
	return cmocka_run_group_tests_name("review_fetcher/lists", tests, NULL, NULL);
}
