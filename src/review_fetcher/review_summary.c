/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How people rate, by the day. What it looks at is bounded: the newest reviews, so many at most,
 * whether there are thousands or millions behind them.
 */
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/query.h"
#include "store/store.h"

#define LOOKED_AT_MOST 20000
#define DAY_US "86400000000"
#define DAY_SECONDS 86400
#define RATINGS 6 /* 0: none that is known */

struct summing {
	const struct review_filter *filter;
	struct json_out *out;
	int64_t day; /* that is open; -1: none */
	int64_t of_day[RATINGS], of_all[RATINGS], total;
};

static void put_counts(struct json_out *o, const int64_t *counts)
{
	json_open(o, '[');
	for (int i = 0; i < RATINGS; i++)
		json_put_int(o, counts[i]);
	json_close(o, ']');
}

static void end_day(struct summing *s)
{
	if (s->day < 0)
		return;
	json_open(s->out, '{');
	json_add_int(s->out, "at", s->day * DAY_SECONDS);
	json_key(s->out, "ratings");
	put_counts(s->out, s->of_day);
	json_close(s->out, '}');
	for (int i = 0; i < RATINGS; i++)
		s->of_day[i] = 0;
}

static int take_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct summing *s = arg;
	const int64_t day = db_get_int(&cols[0]), n = db_get_int(&cols[2]);
	int64_t rating = db_get_int(&cols[1]);

	(void)n_cols;
	(void)f;
	if (rating < 0 || rating >= RATINGS)
		rating = 0;
	if (day != s->day)
		end_day(s);
	s->day = day;
	s->of_day[rating] += n;
	s->of_all[rating] += n;
	s->total += n;
	return 0;
}

/* The locations of the branches are few beside all reviews: their own index finds the newest. */
static void narrow(struct query *q, const struct review_filter *f)
{
	if (f->location_id)
		query_where(q, " AND r.location_id = $?", db_text(f->location_id));
	if (f->since_us != INT64_MIN)
		query_where(q, " AND r.review_updated_us >= $?", db_int(f->since_us));
	if (!f->scope.branches && !f->branch_id)
		return;
	query_add(q, " AND r.location_id IN (SELECT p.location_id FROM location_parents p"
		     " WHERE 1 = 1");
	query_scope(q, "p.branch_id", &f->scope);
	if (f->branch_id)
		query_where(q, " AND p.branch_id = $?", db_text(f->branch_id));
	query_add(q, ")");
}

static int sum_body(struct db *db, void *arg, struct fault *f)
{
	struct summing *s = arg;
	AUTO(query_done) struct query q;

	query_init(&q, db,
		"SELECT newest.review_updated_us / " DAY_US ", COALESCE(newest.rating, 0),"
		" count(*) FROM (SELECT r.rating, r.review_updated_us FROM reviews r"
		" WHERE r.deleted_at_ms IS NULL AND r.review_updated_us > 0");
	narrow(&q, s->filter);
	query_where(
		&q, " ORDER BY r.review_updated_us DESC LIMIT $?) newest", db_int(LOOKED_AT_MOST));
	query_add(&q, " GROUP BY newest.review_updated_us / " DAY_US ", COALESCE(newest.rating, 0)"
		      " ORDER BY 1, 2");
	return query_run(&q, db, take_row, s, f);
}

int reviews_sum(struct review_fetcher *rf, const struct review_filter *filter, struct json_out *ret,
	struct fault *f)
{
	struct summing s = {.filter = filter, .out = ret, .day = -1};
	int summed;

	json_key(ret, "days");
	json_open(ret, '[');
	summed = store_use(rf->parts.store, sum_body, &s, f);
	end_day(&s);
	json_close(ret, ']');
	json_key(ret, "ratings");
	put_counts(ret, s.of_all);
	json_add_int(ret, "total", s.total);
	json_add_bool(ret, "newest_only", s.total >= LOOKED_AT_MOST);
	return summed < 0 ? -1 : 0;
}
