/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statement of a page of reviews.
 *
 * Of a few locations the newest reviews are found by sorting what the locations have; of many, by
 * walking the index of all reviews and skipping what is not theirs. Either is slow in the other's
 * case, so the number of locations that the filter leaves decides. For words it is the same, where
 * the engine does not choose by itself. A '+' before a column takes its index from the engine's
 * choice.
 */
#include "review_fetcher/review_find.h"

#define WORDS_MAX 8192

void review_find_init(struct review_finder *x, const struct review_filter *filter)
{
	*x = (struct review_finder){.filter = filter, .words = BUF_INIT(WORDS_MAX)};
}

void review_find_done(struct review_finder *x)
{
	buf_drop(&x->words);
}

static bool has_places(const struct review_filter *f)
{
	return f->scope.branches || f->branch_id || f->account_id;
}

/* The conditions on where a review was found, over location_parents p. */
static void narrow_places(struct query *q, const struct review_filter *f)
{
	query_scope(q, "p.branch_id", &f->scope);
	if (f->branch_id)
		query_where(q, " AND p.branch_id = $?", db_text(f->branch_id));
	if (f->account_id)
		query_where(q, " AND p.account_id = $?", db_text(f->account_id));
}

static int read_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

static int look_at_places(struct review_finder *x, struct db *db, struct fault *f)
{
	AUTO(query_done) struct query q = {0};
	int64_t n = 0;

	if (x->filter->location_id || !has_places(x->filter))
		return 0;
	query_init(&q, db,
		"SELECT count(*) FROM (SELECT p.location_id FROM location_parents p WHERE 1 = 1");
	narrow_places(&q, x->filter);
	query_where(&q, " LIMIT $?) few", db_int(FEW_LOCATIONS + 1));
	if (query_run(&q, db, read_number, &n, f) < 0)
		return -1;
	x->few_places = n <= FEW_LOCATIONS;
	return 0;
}

int review_find_places(
	struct review_finder *x, struct db *db, db_row_fn *each, void *arg, struct fault *f)
{
	AUTO(query_done) struct query q = {0};

	query_init(&q, db, "SELECT DISTINCT p.location_id FROM location_parents p WHERE 1 = 1");
	narrow_places(&q, x->filter);
	query_add(&q, " ORDER BY p.location_id");
	return query_run(&q, db, each, arg, f);
}

static int look_at_words(struct review_finder *x, struct db *db, struct fault *f)
{
	int64_t n = 0;

	if (!x->filter->q)
		return 0;
	if (review_words(db_engine(db), x->filter->q, &x->words) != 0 || buf_failed(&x->words))
		return fault_input(
			f, "q", "has no word to look for: give letters or digits, as in q=coffee");
	if (db_engine(db) != DB_SQLITE)
		return 0;
	if (db_read(db,
		    "SELECT count(*) FROM (SELECT 1 FROM review_words WHERE review_words MATCH $1"
		    " LIMIT $2) few",
		    read_number, &n, f, db_text(buf_text(&x->words)), db_int(FEW_MATCHES + 1)) < 0)
		return -1;
	x->few_matches = n <= FEW_MATCHES;
	return 0;
}

int review_find_start(struct review_finder *x, struct db *db, struct fault *f)
{
	if (x->is_ready)
		return 0;
	buf_reset(&x->words);
	if (look_at_places(x, db, f) < 0 || look_at_words(x, db, f) < 0)
		return -1;
	x->is_ready = true;
	return 0;
}

/* Not the order's index but what is named more narrowly leads to the rows. */
static bool is_narrow(const struct review_finder *x)
{
	return x->few_places || x->few_matches || x->filter->location_id;
}

static void narrow_words(struct query *q, const struct review_finder *x)
{
	struct db_value words = db_text(buf_text(&x->words));

	if (q->engine != DB_SQLITE)
		query_where(q, " AND r.words @@ to_tsquery('simple', review_plain($?))", words);
	else if (x->few_matches)
		query_where(q,
			" AND r.id IN (SELECT rowid FROM review_words WHERE review_words MATCH $?)",
			words);
	else
		query_where(q,
			" AND EXISTS (SELECT 1 FROM review_words WHERE review_words MATCH $?"
			" AND rowid = r.id)",
			words);
}

static void narrow_rating(struct query *q, const struct review_finder *x)
{
	const unsigned stars = x->filter->ratings;
	const char *comma = "";

	if (stars == 0)
		return;
	/* Several of them: their indexes together would have to be sorted. */
	if ((stars & (stars - 1)) != 0 || is_narrow(x))
		query_add(q, " AND +r.rating IN (");
	else
		query_add(q, " AND r.rating IN (");
	for (int star = 1; star <= 5; star++) {
		if (!(stars & REVIEW_STAR(star)))
			continue;
		buf_addf(&q->sql, "%s%d", comma, star);
		comma = ", ";
	}
	query_add(q, ")");
}

/* What the columns of a review tell by themselves. */
static void narrow_content(struct query *q, const struct review_finder *x)
{
	const struct review_filter *f = x->filter;

	query_add(q, f->deleted > 0 ? " AND r.deleted_at_ms IS NOT NULL"
				    : " AND r.deleted_at_ms IS NULL");
	if (f->location_id)
		query_where(q, " AND r.location_id = $?", db_text(f->location_id));
	narrow_rating(q, x);
	if (f->replied >= 0)
		query_add(q,
			f->replied ? " AND r.reply_text IS NOT NULL" : " AND r.reply_text IS NULL");
	if (f->since_us != INT64_MIN)
		query_where(q, " AND r.review_updated_us >= $?", db_int(f->since_us));
	if (f->until_us != INT64_MAX)
		query_where(q, " AND r.review_updated_us < $?", db_int(f->until_us));
}

/* What other tables tell. */
static void narrow_beside(struct query *q, const struct review_finder *x)
{
	if (x->filter->q)
		narrow_words(q, x);
	if (!has_places(x->filter))
		return;
	query_add(q, x->few_places ? " AND r.location_id IN (SELECT p.location_id"
				     " FROM location_parents p WHERE 1 = 1"
				   : " AND EXISTS (SELECT 1 FROM location_parents p"
				     " WHERE p.location_id = r.location_id");
	narrow_places(q, x->filter);
	query_add(q, ")");
}

static void narrow(struct query *q, const struct review_finder *x)
{
	narrow_content(q, x);
	narrow_beside(q, x);
}

static void order(struct query *q, const struct review_finder *x)
{
	const enum review_order by = x->filter->order;

	if (by == REVIEWS_STORED)
		query_add(q, is_narrow(x) ? " ORDER BY +r.id" : " ORDER BY r.id");
	else if (x->few_places || x->few_matches)
		query_add(q, by == REVIEWS_OLDEST
				     ? " ORDER BY +r.review_updated_us ASC, r.id ASC"
				     : " ORDER BY +r.review_updated_us DESC, r.id DESC");
	else
		query_add(q, by == REVIEWS_OLDEST
				     ? " ORDER BY r.review_updated_us ASC, r.id ASC"
				     : " ORDER BY r.review_updated_us DESC, r.id DESC");
}

static void go_behind(
	struct query *q, const struct review_finder *x, const struct review_mark *after)
{
	if (x->filter->order == REVIEWS_STORED) {
		query_where(
			q, is_narrow(x) ? " AND +r.id > $?" : " AND r.id > $?", db_int(after->id));
		return;
	}
	query_where(q,
		x->filter->order == REVIEWS_OLDEST ? " AND (r.review_updated_us, r.id) > ($?, "
						   : " AND (r.review_updated_us, r.id) < ($?, ",
		db_int(after->us));
	query_where(q, "$?)", db_int(after->id));
}

int review_find(struct review_finder *x, struct db *db, const struct review_mark *after,
	int64_t limit, db_row_fn *each, void *arg, struct fault *f)
{
	AUTO(query_done) struct query q = {0};

	if (review_find_start(x, db, f) < 0)
		return -1;
	query_init(&q, db,
		!x->explain                  ? ""
		: db_engine(db) == DB_SQLITE ? "EXPLAIN QUERY PLAN "
					     : "EXPLAIN ");
	query_add(&q, "SELECT " REVIEW_COLUMNS " FROM reviews r"
		      " LEFT JOIN locations l ON l.location_id = r.location_id WHERE 1 = 1");
	narrow(&q, x);
	if (after)
		go_behind(&q, x, after);
	order(&q, x);
	query_where(&q, " LIMIT $?", db_int(limit));
	return query_run(&q, db, each, arg, f);
}

int review_find_count(
	struct review_finder *x, struct db *db, int64_t most, int64_t *ret, struct fault *f)
{
	AUTO(query_done) struct query q = {0};

	query_init(&q, db, "SELECT count(*) FROM (SELECT 1 FROM reviews r WHERE 1 = 1");
	narrow(&q, x);
	query_where(&q, " LIMIT $?) counted", db_int(most));
	return query_run(&q, db, read_number, ret, f);
}

/* ---- by the day ---- */

#define DAY_US "86400000000"

static bool is_whole_day(int64_t us)
{
	return us == INT64_MIN || us == INT64_MAX || us % REVIEW_DAY_US == 0;
}

/* Days that are counted already tell it: review_days. */
static bool is_counted(const struct review_filter *f)
{
	return !has_places(f) && !f->location_id && !f->q && f->deleted <= 0 &&
	       is_whole_day(f->since_us) && is_whole_day(f->until_us);
}

static void count_days(struct query *q, const struct review_filter *f)
{
	query_add(q, "SELECT d.day, d.rating, CAST(sum(d.n) AS BIGINT), 0 FROM review_days d WHERE "
		     "1 = 1");
	if (f->since_us != INT64_MIN)
		query_where(q, " AND d.day >= $?", db_int(f->since_us / REVIEW_DAY_US));
	if (f->until_us != INT64_MAX)
		query_where(q, " AND d.day < $?", db_int(f->until_us / REVIEW_DAY_US));
	if (f->ratings != 0) {
		query_add(q, " AND d.rating IN (0");
		for (int star = 1; star <= 5; star++)
			if (f->ratings & REVIEW_STAR(star))
				buf_addf(&q->sql, ", %d", star);
		query_add(q, ") AND d.rating <> 0");
	}
	if (f->replied >= 0)
		query_where(q, " AND d.is_answered = $?", db_int(f->replied));
	query_add(q, " GROUP BY d.day, d.rating HAVING sum(d.n) > 0 ORDER BY 1, 2");
}

/* The newest that the filter leaves: of a few places, or with rare words. */
static void count_found(struct query *q, const struct review_finder *x, int64_t most)
{
	query_add(q, "SELECT newest.us / " DAY_US ", newest.rating, count(*), count(*) FROM"
		     " (SELECT COALESCE(r.rating, 0) AS rating, r.review_updated_us AS us"
		     " FROM reviews r WHERE r.review_updated_us > 0");
	narrow(q, x);
	order(q, x);
	query_where(q, " LIMIT $?) newest GROUP BY 1, 2 ORDER BY 1, 2", db_int(most));
}

/* What is found anywhere: the newest of all are looked at, however few the filter leaves of them.
 */
static void count_seen(struct query *q, const struct review_finder *x, int64_t most)
{
	query_add(q, "SELECT r.review_updated_us / " DAY_US ", COALESCE(r.rating, 0),"
		     " count(CASE WHEN 1 = 1");
	narrow_beside(q, x);
	query_add(q, " THEN 1 END), count(*) FROM (SELECT r.id, r.location_id, r.rating,"
		     " r.review_updated_us");
	query_add(q, q->engine != DB_SQLITE && x->filter->q ? ", r.words" : "");
	query_add(q, " FROM reviews r WHERE r.review_updated_us > 0");
	narrow_content(q, x);
	order(q, x);
	query_where(q, " LIMIT $?) r GROUP BY 1, 2 ORDER BY 1, 2", db_int(most));
}

int review_find_days(struct review_finder *x, struct db *db, int64_t most, db_row_fn *each,
	void *arg, struct fault *f)
{
	AUTO(query_done) struct query q = {0};

	if (review_find_start(x, db, f) < 0)
		return -1;
	query_init(&q, db, "");
	if (is_counted(x->filter))
		count_days(&q, x->filter);
	else if (is_narrow(x))
		count_found(&q, x, most);
	else
		count_seen(&q, x, most);
	return query_run(&q, db, each, arg, f);
}
