/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to reviews, seen by full and quick passes. */
#include "shop.h"
#include "world.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/text.h"

#define EVENTS "SELECT count(*) FROM events WHERE kind LIKE 'review.%'"
#define HISTORY "SELECT count(*) FROM review_changes"
#define LIVE "SELECT count(*) FROM reviews WHERE deleted_at_ms IS NULL"
#define HOUR_MS 3600000LL

static const char *run(const char *mode)
{
	world.wall_ms += HOUR_MS;
	return world_run(world_job_of(mode));
}

static void fill(int locations, int n)
{
	shops_open(locations, n);
	assert_string_equal(run("full"), "completed");
	assert_int_equal(world_number(LIVE), (int64_t)locations * n);
	assert_int_equal(world_number(EVENTS), (int64_t)locations * n);
	shops.lists = shops.gets = shops.batches = 0;
	world.calls_all = 0;
}

/* The last job's count of a kind, and that history and outbox say the same. */
static void assert_changes(const char *kind, const char *column, int64_t n)
{
	char sql[160];

	snprintf(sql, sizeof(sql), "SELECT %s FROM jobs ORDER BY created_at_ms DESC LIMIT 1",
		column);
	assert_int_equal(world_number(sql), n);
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM review_changes WHERE kind = '%s'", kind);
	assert_int_equal(world_number(sql), n);
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM events WHERE kind = 'review.%s'", kind);
	assert_int_equal(world_number(sql), n);
}

/* ---- nothing changes when nothing changes ---- */

static int add_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct buf *b = arg;

	(void)f;
	for (size_t i = 0; i < n_cols; i++) {
		buf_addf(b, "%d:%lld:", (int)cols[i].type, (long long)db_get_int(&cols[i]));
		if (cols[i].type == DB_TEXT || cols[i].type == DB_BYTES)
			buf_add(b, cols[i].bytes, cols[i].len);
	}
	buf_add_char(b, '\n');
	return 0;
}

static int read_all(struct db *db, void *arg, struct fault *f)
{
	static const char *const sql[] = {
		"SELECT id, location_id, review_id, account_id, rating, comment, reviewer_name,"
		" reviewer_photo_url, is_anonymous, review_created_us, review_updated_us, "
		"reply_text,"
		" reply_updated_us, reply_state, raw, content_hash, created_at_ms, updated_at_ms,"
		" deleted_at_ms, changes FROM reviews ORDER BY id",
		"SELECT * FROM review_changes ORDER BY review, n",
		"SELECT event_id, kind, branch_id, ref, data, at_ms FROM events"
		" WHERE kind LIKE 'review.%' ORDER BY event_id",
		"SELECT location_id, title, raw, average_rating, total_review_count, last_error,"
		" watermark_us, count_gap, parked_at_ms, created_at_ms, updated_at_ms FROM "
		"locations"
		" ORDER BY id",
		"SELECT * FROM accounts ORDER BY account_id",
	};

	for (size_t i = 0; i < ARRAY_LEN(sql); i++) {
		if (db_run(db, sql[i], NULL, 0, add_row, arg, NULL, f) < 0)
			return -1;
	}
	return 0;
}

static void fingerprint(uint8_t ret[static HASH_BLAKE2B_SIZE])
{
	AUTO(buf_drop) struct buf all = BUF_INIT(1 << 26);
	struct fault f = {0};

	if (store_use(world.store, read_all, &all, &f) < 0)
		fail_msg("%s", f.text);
	assert_true(all.len > 1000);
	hash_blake2b(all.data, all.len, ret);
}

static void repeating_any_pass_leaves_every_table_as_it_is(void **state)
{
	static const char *const modes[] = {"full", "quick", "quick", "full"};
	uint8_t before[HASH_BLAKE2B_SIZE], after[HASH_BLAKE2B_SIZE];

	(void)state;
	fill(3, 70);
	shops.shop[1].reviews[3].gone = true;
	shops.shop[1].reviews[4].reply = "Thanks";
	shops.shop[1].reviews[4].reply_s = world.wall_ms / 1000;
	assert_string_equal(run("full"), "completed");
	fingerprint(before);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		assert_string_equal(run(modes[i]), "completed");
		fingerprint(after);
		assert_memory_equal(before, after, sizeof(before));
	}
}

/* ---- each kind once ---- */

static void the_first_sight_is_new_without_a_copy(void **state)
{
	(void)state;
	fill(2, 3);
	assert_changes("new", "reviews_new", 6);
	assert_int_equal(world_number("SELECT count(*) FROM review_changes WHERE before_json IS NOT"
				      " NULL OR after_json IS NOT NULL"),
		0);
	assert_int_equal(
		world_number(
			"SELECT count(DISTINCT event_id) FROM events WHERE kind LIKE 'review.%'"),
		6);
	assert_int_equal(
		world_number("SELECT count(*) FROM review_changes WHERE changed_us IS NULL"), 0);
}

static void an_edit_is_found_once_with_what_was_and_what_is(void **state)
{
	struct shop_review *r;

	(void)state;
	fill(2, 3);
	r = &shops.shop[1].reviews[1];
	r->star = "ONE";
	r->comment = "It broke";
	r->updated_s = world.wall_ms / 1000;
	for (int i = 0; i < 2; i++) {
		assert_string_equal(run("full"), "completed");
		assert_int_equal(
			world_number("SELECT count(*) FROM review_changes WHERE kind = 'edited'"),
			1);
	}
	assert_string_equal(
		world_text("SELECT before_json FROM review_changes WHERE kind = 'edited'"),
		"{\"rating\":4,\"comment\":\"Good\",\"media\":null}");
	assert_string_equal(
		world_text("SELECT after_json FROM review_changes WHERE kind = 'edited'"),
		"{\"rating\":1,\"comment\":\"It broke\",\"media\":null}");
	assert_int_equal(
		world_number(
			"SELECT changed_us / 1000000 FROM review_changes WHERE kind = 'edited'"),
		r->updated_s);
	assert_non_null(strstr(world_text("SELECT data FROM events WHERE kind = 'review.edited'"),
		"{\"type\":\"review_raw\",\"event\":\"review.edited\",\"event_id\":\""));
	assert_string_equal(
		world_text("SELECT branch_id FROM events WHERE kind = 'review.edited'"), "harbour");
	assert_int_equal(
		world_number("SELECT count(*) FROM events e WHERE kind = 'review.edited' AND"
			     " data LIKE '%' || event_id || '%'"),
		1);
	assert_int_equal(world_number("SELECT count(*) FROM review_changes c JOIN reviews r ON"
				      " r.id = c.review WHERE c.kind = 'edited' AND r.changes = 2"),
		1);
}

static void a_reply_that_does_not_move_its_review_is_found_in_all_its_stages(void **state)
{
	struct shop_review *r;

	(void)state;
	fill(2, 70);
	r = &shops.shop[1].reviews[2]; /* on the second page */
	r->reply = "Thanks";
	r->reply_s = world.wall_ms / 1000;
	r->reply_state = "PENDING";
	/* A quick pass does not come so far: that is what the full pass is for. */
	assert_string_equal(run("quick"), "completed");
	assert_changes("reply_added", "replies_added", 0);
	assert_string_equal(run("full"), "completed");
	assert_changes("reply_added", "replies_added", 1);
	assert_int_equal(world_number("SELECT changed_us / 1000000 FROM review_changes WHERE kind ="
				      " 'reply_added'"),
		r->reply_s);
	r->reply_state = "APPROVED"; /* nobody says when */
	assert_string_equal(run("full"), "completed");
	assert_changes("reply_changed", "replies_changed", 1);
	assert_int_equal(world_number("SELECT count(*) FROM review_changes WHERE kind ="
				      " 'reply_changed' AND changed_us IS NULL"),
		1);
	r->reply = NULL;
	assert_string_equal(run("full"), "completed");
	assert_changes("reply_removed", "replies_removed", 1);
	assert_changes("edited", "reviews_edited", 0);
	assert_int_equal(world_number(EVENTS), 140 + 3);
}

static void an_edit_and_a_reply_at_once_are_two_changes_of_one_review(void **state)
{
	struct shop_review *r;

	(void)state;
	fill(2, 3);
	r = &shops.shop[0].reviews[0];
	r->comment = "Better now";
	r->updated_s = r->reply_s = world.wall_ms / 1000;
	r->reply = "Glad to hear";
	assert_string_equal(run("quick"), "completed");
	assert_changes("edited", "reviews_edited", 1);
	assert_changes("reply_added", "replies_added", 1);
	assert_int_equal(
		world_number(
			"SELECT reviews_changed FROM jobs ORDER BY created_at_ms DESC LIMIT 1"),
		1);
}

static void words_that_come_back_are_changes_of_their_own(void **state)
{
	struct shop_review *r;

	(void)state;
	fill(2, 3);
	r = &shops.shop[0].reviews[1];
	for (int i = 0; i < 4; i++) {
		r->comment = i % 2 ? "Good" : "Bad";
		r->updated_s = world.wall_ms / 1000 + 60;
		assert_string_equal(run("quick"), "completed");
	}
	assert_int_equal(
		world_number("SELECT count(*) FROM review_changes WHERE kind = 'edited'"), 4);
	assert_int_equal(world_number("SELECT count(DISTINCT event_id) FROM events WHERE kind ="
				      " 'review.edited'"),
		4);
}

static void a_new_picture_of_the_reviewer_is_taken_over_silently(void **state)
{
	(void)state;
	fill(1, 3);
	/* The original differs, but nothing that a reader would notice. */
	shops.shop[0].reviews[0].updated_s += 60;
	assert_string_equal(run("full"), "completed");
	assert_int_equal(world_number(EVENTS), 3);
	assert_int_equal(world_number("SELECT count(*) FROM reviews WHERE updated_at_ms > "
				      "created_at_ms"),
		0);
}

/* ---- deletions ---- */

static void a_deletion_is_believed_after_a_complete_pass_and_a_not_found(void **state)
{
	(void)state;
	fill(2, 70);
	shops.shop[0].reviews[5].gone = shops.shop[0].reviews[60].gone = true;
	shops.shop[1].reviews[0].gone = true;
	assert_string_equal(run("full"), "completed");
	assert_changes("deleted", "reviews_deleted", 3);
	assert_int_equal(shops.gets, 3);
	assert_int_equal(world_number(LIVE), 137);
	assert_string_equal(run("full"), "completed");
	assert_int_equal(shops.gets, 3);
	assert_int_equal(
		world_number("SELECT count(*) FROM events WHERE kind = 'review.deleted'"), 3);
	assert_non_null(strstr(
		world_text("SELECT data FROM events WHERE kind = 'review.deleted' AND ref = 'r5'"),
		"\"comment\":\"Good\""));
}

static void a_review_that_is_only_missing_from_the_listing_is_not_deleted(void **state)
{
	const char *job;

	(void)state;
	fill(2, 10);
	shops.shop[0].reviews[5].hidden = true;
	world.wall_ms += HOUR_MS;
	job = world_job_of("full");
	assert_string_equal(world_run(job), "partial");
	assert_non_null(
		strstr(world_status(job), "Google says this location has 9 reviews, and 10 came"));
	assert_int_equal(shops.gets, 2); /* the listing was read again, for it might have moved */
	assert_int_equal(world_number(LIVE), 20);
	assert_int_equal(
		world_number("SELECT count(*) FROM events WHERE kind = 'review.deleted'"), 0);
}

static void a_pass_that_was_cut_short_deletes_nothing(void **state)
{
	(void)state;
	fill(2, 120);
	shops.shop[0].reviews[5].gone = true;
	world.rules[0] = (struct rule){
		.match = "l000-0/reviews?orderBy=updateTime%20desc&pageSize=50&pageToken=p100",
		.count = 100,
		.status = 500,
		.retry_after_ms = -1};
	assert_string_equal(run("full"), "partial");
	assert_int_equal(shops.gets, 0);
	assert_int_equal(world_number(LIVE), 240);
	world.rules[0].match = NULL;
	assert_string_equal(run("full"), "completed");
	assert_int_equal(world_number(LIVE), 239);
}

static void a_not_found_that_cannot_be_asked_for_proves_nothing(void **state)
{
	(void)state;
	fill(2, 10);
	shops.shop[0].reviews[5].gone = true;
	world.rules[0] = (struct rule){
		.match = "/reviews/r5", .count = 100, .status = 503, .retry_after_ms = -1};
	assert_string_equal(run("full"), "partial");
	assert_int_equal(world_number(LIVE), 20);
	assert_int_equal(world_number("SELECT count(*) FROM locations WHERE parked_at_ms IS NOT"
				      " NULL"),
		0);
}

static void a_review_that_returns_is_restored_once(void **state)
{
	(void)state;
	fill(2, 10);
	shops.shop[0].reviews[5].gone = true;
	assert_string_equal(run("full"), "completed");
	shops.shop[0].reviews[5].gone = false;
	shops.shop[0].reviews[5].comment = "Back again";
	assert_string_equal(run("full"), "completed");
	assert_changes("restored", "reviews_restored", 1);
	assert_changes("edited", "reviews_edited", 0);
	assert_int_equal(world_number(LIVE), 20);
	assert_non_null(
		strstr(world_text("SELECT after_json FROM review_changes WHERE kind = 'restored'"),
			"Back again"));
	assert_string_equal(run("full"), "completed");
	assert_int_equal(
		world_number("SELECT count(*) FROM events WHERE kind = 'review.restored'"), 1);
}

static void a_listing_that_moves_while_it_is_read_deletes_nothing(void **state)
{
	(void)state;
	fill(1, 120);
	shops.moves_after = 2; /* the oldest review goes to the top while page two is read */
	assert_string_equal(run("full"), "completed");
	assert_int_equal(world_number(LIVE), 120);
	assert_int_equal(
		world_number("SELECT count(*) FROM events WHERE kind = 'review.deleted'"), 0);
}

/* ---- quick passes ---- */

static void only_locations_with_something_new_are_listed(void **state)
{
	(void)state;
	fill(110, 3);
	shop_add(17);
	shops.shop[90].reviews[1].comment = "Hm";
	shops.shop[90].reviews[1].updated_s = world.wall_ms / 1000;
	assert_string_equal(run("quick"), "completed");
	assert_changes("edited", "reviews_edited", 1);
	assert_int_equal(shops.batches, 3);
	assert_int_equal(shops.lists, 2);
	assert_int_equal(world.calls_all, 5);
	assert_int_equal(world_number("SELECT count(*) FROM jobs WHERE locations = 110"), 2);
	assert_int_equal(world_number("SELECT count(*) FROM locations WHERE last_synced_at_ms <"
				      " (SELECT max(created_at_ms) FROM jobs)"),
		0);
}

static void a_quick_pass_reads_to_behind_the_watermark_and_no_further(void **state)
{
	(void)state;
	world.page_size = 10;
	fill(2, 100);
	for (int i = 0; i < 25; i++)
		shop_add(0);
	assert_string_equal(run("quick"), "completed");
	assert_int_equal(world_number("SELECT reviews_new FROM jobs WHERE mode = 'quick'"), 25);
	assert_int_equal(shops.lists, 3);
	assert_int_equal(world_number(LIVE), 225);
}

static void what_an_aborted_pass_stored_is_no_watermark(void **state)
{
	(void)state;
	world.page_size = 10;
	fill(2, 100);
	for (int i = 0; i < 25; i++)
		shop_add(0);
	world.rules[0] = (struct rule){
		.match = "pageToken=p10", .count = 4, .status = 500, .retry_after_ms = -1};
	assert_string_equal(run("quick"), "partial");
	assert_int_equal(world_number(LIVE), 210);
	assert_string_equal(run("quick"), "completed");
	assert_int_equal(world_number(LIVE), 225);
}

static void a_count_that_disagrees_makes_a_quick_pass_read_everything(void **state)
{
	(void)state;
	world.page_size = 10;
	fill(2, 100);
	shops.shop[0].reviews[3].gone = true;
	shop_add(0);
	assert_string_equal(run("quick"), "completed");
	assert_changes("deleted", "reviews_deleted", 1);
	assert_int_equal(shops.gets, 1);
	assert_int_equal(shops.lists, 10);
}

static void a_gap_that_google_keeps_is_said_each_time_and_read_once(void **state)
{
	const char *job;

	(void)state;
	world.page_size = 10;
	fill(2, 100);
	shops.shop[0].lie = 2;
	assert_string_equal(run("full"), "partial");
	shops.lists = 0;
	shop_add(0);
	world.wall_ms += HOUR_MS;
	job = world_job_of("quick");
	assert_string_equal(world_run(job), "partial");
	assert_non_null(strstr(
		world_status(job), "Google says this location has 103 reviews, and 101 came"));
	assert_int_equal(shops.lists, 1);
	/* And when nothing is new, the batch does not make it whole. */
	assert_string_equal(run("quick"), "partial");
	assert_int_equal(shops.lists, 1);
	shops.shop[0].lie = 0;
	assert_string_equal(run("full"), "completed");
	assert_string_equal(run("quick"), "completed");
}

static void a_batch_that_cannot_be_trusted_is_replaced_by_listings(void **state)
{
	static const struct {
		enum shop_batch batch;
		int lists;
	} cases[] = {
		{BATCH_EMPTY, 60}, {BATCH_REFUSED, 60}, {BATCH_GROUPED, 60}, {BATCH_FORGETS, 2}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		world_down(state);
		world_up(state);
		fill(60, 60);
		shops.batch = cases[i].batch;
		shop_add(7);
		assert_string_equal(run("quick"), "completed");
		assert_int_equal(world_number(LIVE), 60 * 60 + 1);
		assert_changes("deleted", "reviews_deleted", 0);
		assert_in_range(shops.lists, 1, cases[i].lists);
		if (cases[i].batch != BATCH_FORGETS && cases[i].batch != BATCH_GROUPED)
			assert_int_equal(shops.lists, cases[i].lists);
	}
}

static void batches_that_are_never_answered_are_soon_not_asked(void **state)
{
	(void)state;
	fill(120, 1);
	shops.batch = BATCH_REFUSED;
	assert_string_equal(run("quick"), "completed");
	assert_in_range(shops.batches, 1, 3);
	assert_int_equal(shops.lists, 120);
}

static void a_flood_of_changes_is_read_from_the_listings(void **state)
{
	(void)state;
	fill(20, 2);
	for (int s = 0; s < 20; s++)
		for (int i = 0; i < 30; i++)
			shop_add(s);
	assert_string_equal(run("quick"), "completed");
	assert_int_equal(world_number(LIVE), 20 * 32);
	assert_in_range(shops.batches, 1, 4);
}

#define LISTINGS "SELECT count(*) FROM jobs WHERE mode = 'places'"

static void run_listings(void)
{
	while (world_number(LISTINGS " AND finished_at_ms IS NULL") > 0)
		assert_true(world_step());
}

static void places_are_listed_again_after_a_full_interval(void **state)
{
	(void)state;
	fill(3, 2);
	shops.n = world.locations = 4;
	shop_add(3);
	assert_string_equal(run("quick"), "completed");
	assert_int_equal(world_number(LIVE), 6);
	assert_int_equal(world.calls_all, 1);
	world.wall_ms += 25 * HOUR_MS;
	assert_string_equal(run("quick"), "completed");
	run_listings();
	assert_int_equal(world_number(LIVE), 7);
	assert_int_equal(world.calls[0] + world.calls[1], 4);
	assert_string_equal(
		world_text("SELECT status FROM jobs WHERE mode = 'places'"), "completed");
}

/* The batches and the changed locations, whether the places are due to be listed or not; that
 * costs its pages, once, and the locations that are new. */
static void no_quick_pass_pays_for_the_listing_of_places(void **state)
{
	const char *job;

	(void)state;
	fill(110, 2);
	for (int i = 0; i < 4; i++) {
		world.wall_ms += (i == 2 ? 25 : 1) * HOUR_MS;
		world.calls_all = shops.lists = shops.batches = 0;
		shop_add(i);
		if (i == 2)
			shops.n = world.locations = 111;
		job = world_job_of("quick");
		assert_string_equal(world_run(job), "completed");
		assert_non_null(strstr(world_status(job), "\"google_calls\":4,"));
		run_listings();
		assert_int_equal(shops.batches, 3);
		assert_int_equal(world_number(LISTINGS), i < 2 ? 0 : 1);
		/* accounts, two pages of locations, and what is new */
		assert_int_equal(world.calls_all, i == 2 ? 4 + 4 : 4);
	}
	assert_int_equal(world_number(LISTINGS " AND google_calls = 4 AND locations = 1"), 1);
}

static void a_listing_of_places_that_an_account_refuses_is_not_repeated_by_every_pass(void **state)
{
	(void)state;
	world.rules[0] = (struct rule){
		.match = "/v1/accounts/", .count = 1000, .status = 403, .retry_after_ms = -1};
	world.rules[0].skip = 1; /* the first of two is listed */
	shops_open(3, 2);
	world.accounts = 2;
	assert_string_equal(run("full"), "partial");
	world.rules[0].skip = 1;
	for (int i = 0; i < 5; i++) {
		assert_string_equal(run("quick"), "completed");
		run_listings();
	}
	assert_int_equal(world_number(LISTINGS), 0); /* the full job was one */
	world.wall_ms += 25 * HOUR_MS;
	for (int i = 0; i < 5; i++) {
		assert_string_equal(run("quick"), "completed");
		run_listings();
	}
	assert_int_equal(world_number(LISTINGS), 1);
	assert_int_equal(world_number(LISTINGS " AND status = 'partial'"), 1);
}

static void a_place_that_is_not_listed_any_more_is_not_asked(void **state)
{
	(void)state;
	fill(4, 2);
	world.locations = 3;
	assert_string_equal(run("full"), "completed");
	world.calls_all = 0;
	assert_string_equal(run("quick"), "completed");
	assert_int_equal(world.calls_all, 1);
	assert_int_equal(
		world_number("SELECT locations FROM jobs ORDER BY created_at_ms DESC LIMIT 1"), 3);
	assert_int_equal(world_number(LIVE), 8);
}

/* ---- locations that cannot be read ---- */

#define NOT_FOUND_BODY                                                     \
	"{\"error\":{\"code\":404,\"message\":\"Requested entity was not " \
	"found.\",\"status\":\"NOT_FOUND\"}}"

static void a_location_that_cannot_be_read_is_left_alone_longer_each_time(void **state)
{
	const char *job;

	(void)state;
	fill(3, 2);
	shop_add(0);
	world.rules[0] = (struct rule){.match = "l000-0/reviews",
		.count = 1000,
		.status = 404,
		.body = NOT_FOUND_BODY,
		.retry_after_ms = -1};
	assert_string_equal(run("full"), "partial");
	assert_int_equal(world_number("SELECT count(*) FROM locations WHERE parked_at_ms > 0"), 1);
	world.calls_all = 0;
	job = world_job_of("quick"); /* within the hour */
	assert_string_equal(world_run(job), "partial");
	assert_int_equal(world.calls_all, 1);
	assert_non_null(strstr(world_status(job), "left alone for a while: Google answered 404"));
	assert_string_equal(run("quick"), "partial"); /* it is tried again, and fails again */
	assert_int_equal(world.calls_all, 3);
	assert_string_equal(run("quick"), "partial"); /* now it waits for two hours */
	assert_int_equal(world.calls_all, 4);
	world.rules[0].match = NULL;
	world.wall_ms += HOUR_MS;
	assert_string_equal(run("quick"), "completed");
	assert_int_equal(world_number("SELECT count(*) FROM locations WHERE parked_at_ms > 0 OR"
				      " last_error IS NOT NULL OR parked_passes > 0"),
		0);
	assert_int_equal(world_number(LIVE), 7);
}

static void a_person_who_asks_for_a_full_pass_asks_for_parked_locations_too(void **state)
{
	(void)state;
	fill(3, 2);
	world.rules[0] = (struct rule){.match = "l000-0/reviews",
		.count = 1,
		.status = 404,
		.body = NOT_FOUND_BODY,
		.retry_after_ms = -1};
	assert_string_equal(run("full"), "partial");
	assert_string_equal(world_run(world_job_of("full")), "completed");
}

static void an_outage_parks_nobody_the_first_time(void **state)
{
	(void)state;
	fill(3, 2);
	world.rules[0] =
		(struct rule){.match = "/v4/", .count = 1000, .status = 503, .retry_after_ms = -1};
	assert_string_equal(run("full"), "partial");
	assert_int_equal(world_number("SELECT count(*) FROM locations WHERE parked_at_ms > 0"), 0);
	assert_string_equal(run("full"), "partial");
	assert_int_equal(world_number("SELECT count(*) FROM locations WHERE parked_at_ms > 0"), 3);
	world.rules[0].match = NULL;
	world.wall_ms += 2 * HOUR_MS;
	assert_string_equal(run("quick"), "completed");
}

/* ---- what jobs leave ---- */

static void walks_that_ended_well_are_forgotten_after_a_day(void **state)
{
	const char *job;
	char id[37];

	(void)state;
	fill(3, 2);
	world.rules[0] = (struct rule){.match = "l000-0/reviews",
		.count = 1,
		.status = 404,
		.body = NOT_FOUND_BODY,
		.retry_after_ms = -1};
	job = world_job_of("full");
	snprintf(id, sizeof(id), "%s", job);
	assert_string_equal(world_run(id), "partial");
	assert_int_equal(world_number("SELECT count(*) FROM job_walks"), 10);
	assert_non_null(strstr(world_status(id), "\"percent\":66,\"errors_total\":1"));
	world.wall_ms += 26 * HOUR_MS;
	for (int i = 0; i < 60 && world_number("SELECT count(*) FROM job_walks") > 1; i++)
		(void)world_step();
	assert_int_equal(world_number("SELECT count(*) FROM job_walks"), 1);
	assert_non_null(strstr(world_status(id), "\"percent\":66,\"errors_total\":1"));
}

/* ---- dying on the way ---- */

static void begin_changed_world(void)
{
	fill(4, 70);
	shop_add(0);
	shops.shop[0].reviews[5].gone = shops.shop[0].reviews[6].gone = true;
	shops.shop[1].reviews[69].comment = "Edited";
	shops.shop[1].reviews[69].updated_s = world.wall_ms / 1000;
	shops.shop[2].reviews[69].reply = "Thanks";
	shops.shop[2].reviews[69].reply_s = world.wall_ms / 1000;
	world.wall_ms += HOUR_MS;
	world.steps = 0;
}

static void a_process_that_dies_between_any_two_steps_tells_each_change_once(void **state)
{
	static const char *const modes[] = {"quick", "full"};

	for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
		unsigned whole;

		world_down(state);
		world_up(state);
		begin_changed_world();
		assert_string_equal(world_run(world_job_of(modes[m])), "completed");
		whole = world.steps;
		for (unsigned last = 1; last < whole; last += 1 + last / 25) {
			const char *job;

			world_down(state);
			world_up(state);
			begin_changed_world();
			job = world_job_of(modes[m]);
			for (unsigned i = 0; i < last; i++)
				(void)world_step();
			world_kill();
			world_begin();
			assert_string_equal(world_run(job), "completed");
			assert_changes("new", "reviews_new + 280", 281);
			assert_changes("deleted", "reviews_deleted", 2);
			assert_changes("edited", "reviews_edited", 1);
			assert_changes("reply_added", "replies_added", 1);
			assert_int_equal(world_number(HISTORY), world_number(EVENTS));
			assert_int_equal(world_number(LIVE), 279);
		}
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(repeating_any_pass_leaves_every_table_as_it_is),
		T(the_first_sight_is_new_without_a_copy),
		T(an_edit_is_found_once_with_what_was_and_what_is),
		T(a_reply_that_does_not_move_its_review_is_found_in_all_its_stages),
		T(an_edit_and_a_reply_at_once_are_two_changes_of_one_review),
		T(words_that_come_back_are_changes_of_their_own),
		T(a_new_picture_of_the_reviewer_is_taken_over_silently),
		T(a_deletion_is_believed_after_a_complete_pass_and_a_not_found),
		T(a_review_that_is_only_missing_from_the_listing_is_not_deleted),
		T(a_pass_that_was_cut_short_deletes_nothing),
		T(a_not_found_that_cannot_be_asked_for_proves_nothing),
		T(a_review_that_returns_is_restored_once),
		T(a_listing_that_moves_while_it_is_read_deletes_nothing),
		T(only_locations_with_something_new_are_listed),
		T(a_quick_pass_reads_to_behind_the_watermark_and_no_further),
		T(what_an_aborted_pass_stored_is_no_watermark),
		T(a_count_that_disagrees_makes_a_quick_pass_read_everything),
		T(a_gap_that_google_keeps_is_said_each_time_and_read_once),
		T(a_batch_that_cannot_be_trusted_is_replaced_by_listings),
		T(batches_that_are_never_answered_are_soon_not_asked),
		T(a_flood_of_changes_is_read_from_the_listings),
		T(places_are_listed_again_after_a_full_interval),
		T(no_quick_pass_pays_for_the_listing_of_places),
		T(a_listing_of_places_that_an_account_refuses_is_not_repeated_by_every_pass),
		T(a_place_that_is_not_listed_any_more_is_not_asked),
		T(a_location_that_cannot_be_read_is_left_alone_longer_each_time),
		T(a_person_who_asks_for_a_full_pass_asks_for_parked_locations_too),
		T(an_outage_parks_nobody_the_first_time),
		T(walks_that_ended_well_are_forgotten_after_a_day),
		T(a_process_that_dies_between_any_two_steps_tells_each_change_once),
	};
	return cmocka_run_group_tests_name("review_fetcher/changes", tests, NULL, NULL);
}
