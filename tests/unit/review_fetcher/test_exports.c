/* SPDX-License-Identifier: Apache-2.0 */
/* Exports hold a page and no more: neither memory nor the database's log grows with the rows. */
#include "world.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../database.h"
#include "review_fetcher/review_find.h"

#ifdef __SANITIZE_ADDRESS__
/* Declared here: gcc 12 brings the function, and its header only where clang is installed. */
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

#define ROWS 4000
#define SLACK_BYTES (512 * 1024)
#define PIECE_BYTES (1024 * 1024)
#define WAL_SLACK_BYTES (2 * 1024 * 1024)

static const struct review_filter any = {
	.replied = -1, .deleted = -1, .since_us = INT64_MIN, .until_us = INT64_MAX};

/* What malloc has given out: freed memory that stays with the process does not count. */
static size_t live_bytes(void)
{
#ifdef __SANITIZE_ADDRESS__
	return __sanitizer_get_current_allocated_bytes();
#else
	const struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
#endif
}

/* Looked at while a row is being written, so that what lives only within a page is seen as well. */
static size_t peak;
struct review_mark __real_review_row_mark(const struct db_value *cols);
struct review_mark __wrap_review_row_mark(const struct db_value *cols);
struct review_mark __wrap_review_row_mark(const struct db_value *cols)
{
	static unsigned n;

	if (n++ % 40 == 0 && live_bytes() > peak)
		peak = live_bytes();
	return __real_review_row_mark(cols);
}

static void fill(int64_t from, int64_t n)
{
	char sql[1024];

	snprintf(sql, sizeof(sql),
		"INSERT INTO reviews (location_id, review_id, account_id, rating, comment, raw,"
		" content_hash, created_at_ms, updated_at_ms, last_seen_ms, review_updated_us)"
		" SELECT 'l000-0', 'more-' || i, '1', 4, 'Number ' || i || ' of the many, %0200d',"
		" '{}', (SELECT content_hash FROM reviews LIMIT 1), 1, 1, 1, i FROM"
		" (WITH RECURSIVE n (i) AS (SELECT %lld UNION ALL SELECT i + 1 FROM n"
		" WHERE i < %lld) SELECT i FROM n) m RETURNING 0",
		0, (long long)from + 1, (long long)(from + n));
	world_number(sql);
}

/* How many rows; *ret_peak: live bytes at most, above what was live before. */
static int64_t drain(enum review_format format, size_t *ret_peak)
{
	struct buf piece = BUF_INIT(16 * PIECE_BYTES);
	struct review_export *x;
	struct fault f = {0};
	int64_t lines = 0;
	bool end = false;
	const size_t before = live_bytes();

	peak = 0;
	assert_int_equal(reviews_export_open(world.rf, &any, format, &x, &f), 0);
	while (!end) {
		buf_reset(&piece);
		assert_int_equal(reviews_export_next(x, &piece, &end, &f), 0);
		assert_true(piece.len < PIECE_BYTES);
		for (const char *at = buf_text(&piece); (at = strchr(at, '\n')); at++)
			lines++;
	}
	reviews_export_close(x);
	buf_drop(&piece);
	*ret_peak = peak > before ? peak - before : 0;
	return lines;
}

static void memory_does_not_grow_with_the_rows_of_an_export(void **state)
{
	size_t small[2], large[2], warm;

	(void)state;
	assert_string_equal(world_run(world_job()), "completed");
	fill(0, ROWS);
	const int64_t few = drain(REVIEWS_AS_NDJSON, &warm);
	assert_int_equal(few, ROWS + 30);
	assert_int_equal(drain(REVIEWS_AS_NDJSON, &small[0]), few);
	assert_int_equal(drain(REVIEWS_AS_CSV, &small[1]), few + 1);
	fill(ROWS, 3 * (int64_t)ROWS);
	assert_int_equal(drain(REVIEWS_AS_NDJSON, &large[0]), few + 3 * (int64_t)ROWS);
	assert_int_equal(drain(REVIEWS_AS_CSV, &large[1]), few + 3 * (int64_t)ROWS + 1);
	for (int i = 0; i < 2; i++)
		if (large[i] > small[i] + SLACK_BYTES)
			fail_msg("%zu bytes for four times the rows, %zu before", large[i],
				small[i]);
}

/* ---- an export that nobody reads on ---- */

static int64_t log_bytes(void)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/test.db-wal", world.folder);
	return stat(path, &st) == 0 ? st.st_size : 0;
}

/* What the log has come to after so many transactions over all rows. */
static int64_t rewrite_all(void)
{
	int64_t most = 0;

	for (int round = 0; round < 40; round++) {
		world_number("UPDATE reviews SET last_seen_ms = last_seen_ms + 1 RETURNING 0");
		most = log_bytes() > most ? log_bytes() : most;
	}
	return most;
}

static void a_slow_reader_holds_no_snapshot_however_much_is_written_meanwhile(void **state)
{
	struct buf piece = BUF_INIT(16 * PIECE_BYTES);
	struct review_export *x;
	struct fault f = {0};
	bool end = false;
	int64_t lines = 0;

	(void)state;
	assert_string_equal(world_run(world_job()), "completed");
	fill(0, 2000);
	const int64_t alone = database_server() == NULL ? rewrite_all() : 0;
	assert_int_equal(reviews_export_open(world.rf, &any, REVIEWS_AS_NDJSON, &x, &f), 0);
	assert_int_equal(reviews_export_next(x, &piece, &end, &f), 0);
	assert_false(end);
	if (database_server() != NULL) {
		/* What holds a snapshot between two pieces keeps the server from tidying up. */
		assert_int_equal(
			world_number("SELECT count(*) FROM pg_stat_activity WHERE datname ="
				     " current_database() AND pid <> pg_backend_pid() AND"
				     " (state LIKE 'idle in transaction%' OR backend_xmin IS"
				     " NOT NULL)"),
			0);
	} else {
		const int64_t with = rewrite_all();

		/* With a snapshot held each round would stay in it. */
		if (alone == 0 || with > alone + WAL_SLACK_BYTES)
			fail_msg("the log has %lld bytes, and %lld without a reader",
				(long long)with, (long long)alone);
	}
	while (!end) /* and it goes on where it was */
		assert_int_equal(reviews_export_next(x, &piece, &end, &f), 0);
	for (const char *at = buf_text(&piece); (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 2030);
	reviews_export_close(x);
	buf_drop(&piece);
}

/* Edited, answered, moved and deleted while it is read: each row once, what was there throughout.
 */
static void rows_that_change_while_an_export_is_read_come_once(void **state)
{
	struct buf piece = BUF_INIT(16 * PIECE_BYTES);
	struct review_export *x;
	struct fault f = {0};
	bool end = false;
	int64_t lines = 0;

	(void)state;
	assert_string_equal(world_run(world_job()), "completed");
	fill(0, 1200);
	assert_int_equal(reviews_export_open(world.rf, &any, REVIEWS_AS_NDJSON, &x, &f), 0);
	for (int round = 0; !end; round++) {
		assert_int_equal(reviews_export_next(x, &piece, &end, &f), 0);
		world_number("UPDATE reviews SET review_updated_us = review_updated_us +"
			     " 9000000000000, comment = 'edited' WHERE id % 2 = 0 RETURNING 0");
	}
	for (const char *at = buf_text(&piece); (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 1230);
	reviews_export_close(x);
	buf_drop(&piece);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(memory_does_not_grow_with_the_rows_of_an_export),
		T(a_slow_reader_holds_no_snapshot_however_much_is_written_meanwhile),
		T(rows_that_change_while_an_export_is_read_come_once),
	};
	return cmocka_run_group_tests_name("review_fetcher/exports", tests, NULL, NULL);
}
