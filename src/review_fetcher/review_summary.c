/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How people rate, by the day. Days of all reviews are counted as reviews change; for what is
 * filtered more narrowly reviews are looked at, the newest, so many at most, whether there are
 * thousands or millions behind them.
 */
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/review_find.h"
#include "store/store.h"

#define LOOKED_AT_MOST 50000
#define DAY_SECONDS 86400
#define RATINGS 6 /* 0: none that is known */

struct summing {
	struct review_finder find;
	struct json_out *out;
	int64_t day; /* that is open; -1: none */
	int64_t first_day, looked_at;
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
	s->day = -1;
}

static int take_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct summing *s = arg;
	const int64_t day = db_get_int(&cols[0]), n = db_get_int(&cols[2]);
	int64_t rating = db_get_int(&cols[1]);

	(void)n_cols;
	(void)f;
	if (s->first_day < 0)
		s->first_day = day;
	s->looked_at += db_get_int(&cols[3]);
	if (n == 0)
		return 0;
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

static int sum_body(struct db *db, void *arg, struct fault *f)
{
	struct summing *s = arg;

	return review_find_days(&s->find, db, LOOKED_AT_MOST, take_row, s, f);
}

int reviews_sum(struct review_fetcher *rf, const struct review_filter *filter, struct json_out *ret,
	struct fault *f)
{
	struct review_filter newest = *filter;
	struct summing s = {.out = ret, .day = -1, .first_day = -1};
	int summed;
	bool is_bounded;

	newest.order = REVIEWS_NEWEST;
	review_find_init(&s.find, &newest);
	json_key(ret, "days");
	json_open(ret, '[');
	summed = store_use(rf->parts.store, sum_body, &s, f);
	review_find_done(&s.find);
	end_day(&s);
	json_close(ret, ']');
	is_bounded = s.looked_at >= LOOKED_AT_MOST;
	json_key(ret, "ratings");
	put_counts(ret, s.of_all);
	json_add_int(ret, "total", s.total);
	json_add_bool(ret, "newest_only", is_bounded);
	json_add_time(ret, "counted_since", is_bounded ? s.first_day * DAY_SECONDS * 1000 : 0);
	return summed < 0 ? -1 : 0;
}
