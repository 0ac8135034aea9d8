/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/activity.h"

#include "base/clock.h"
#include "core/metrics.h"
#include "store/store.h"
#include "token_management/internal.h"

#define WRITE_MS 5000
#define PURGE_MS INT64_C(600000)
#define MINUTES_KEPT_MS (6 * ACTIVITY_HOUR_MS)
#define HOURS_KEPT_MS (31 * 24 * ACTIVITY_HOUR_MS)

#define REFRESHES "review_fetcher_token_refreshes_total"
#define CALLS "review_fetcher_google_calls_total"

/* A counter is the family's, or the part of it with this label; minus: without that part. */
static const struct {
	const char *name, *family, *label, *minus;
} counts[ACTIVITY_COUNTS] = {
	{"refreshes", REFRESHES, "outcome=\"granted\"", NULL},
	{"refresh_failures", REFRESHES, NULL, "outcome=\"granted\""},
	{"token_reads", "review_fetcher_token_reads_total", NULL, NULL},
	{"google_calls", CALLS, NULL, NULL},
	{"google_throttles", CALLS, "outcome=\"throttled\"", NULL},
};

static int64_t read_count(size_t i)
{
	const int64_t n = metrics_sum(counts[i].family, counts[i].label);

	return counts[i].minus ? n - metrics_sum(counts[i].family, counts[i].minus) : n;
}

void activity_init(struct activity *a)
{
	*a = (struct activity){0};
	for (size_t i = 0; i < ACTIVITY_COUNTS; i++)
		a->written[i] = read_count(i);
}

struct writing {
	int64_t grown[ACTIVITY_COUNTS];
	int64_t now_ms;
	bool purges;
};

static int add(struct db *db, const char *name, int64_t span_ms, const struct writing *w, int64_t n,
	struct fault *f)
{
	return db_exec(db,
		"INSERT INTO activity (name, span_ms, at_ms, n) VALUES ($1, $2, $3, $4)"
		" ON CONFLICT (name, span_ms, at_ms) DO UPDATE SET n = activity.n + excluded.n",
		NULL, f, db_text(name), db_int(span_ms), db_int(w->now_ms - w->now_ms % span_ms),
		db_int(n));
}

static int purge(struct db *db, int64_t span_ms, int64_t before_ms, struct fault *f)
{
	return db_exec(db, "DELETE FROM activity WHERE span_ms = $1 AND at_ms < $2", NULL, f,
		db_int(span_ms), db_int(before_ms));
}

static int write_body(struct db *db, void *arg, struct fault *f)
{
	const struct writing *w = arg;

	for (size_t i = 0; i < ACTIVITY_COUNTS; i++) {
		if (w->grown[i] == 0)
			continue;
		if (add(db, counts[i].name, ACTIVITY_MINUTE_MS, w, w->grown[i], f) < 0 ||
			add(db, counts[i].name, ACTIVITY_HOUR_MS, w, w->grown[i], f) < 0)
			return -1;
	}
	if (!w->purges)
		return 0;
	if (purge(db, ACTIVITY_MINUTE_MS, w->now_ms - MINUTES_KEPT_MS, f) < 0)
		return -1;
	return purge(db, ACTIVITY_HOUR_MS, w->now_ms - HOURS_KEPT_MS, f);
}

int activity_write(struct token_management *tm, bool now, struct fault *f)
{
	struct activity *a = &tm->activity;
	const int64_t mono_ms = clock_mono_ms();
	struct writing w = {.now_ms = clock_wall_ms()};
	bool has_news = false;

	if (!now && mono_ms < a->write_at_ms)
		return 0;
	for (size_t i = 0; i < ACTIVITY_COUNTS; i++) {
		w.grown[i] = read_count(i) - a->written[i];
		has_news |= w.grown[i] != 0;
	}
	a->write_at_ms = mono_ms + WRITE_MS;
	w.purges = has_news && mono_ms >= a->purge_at_ms;
	if (!has_news)
		return 0;
	if (store_transact(tm->store, write_body, &w, f) < 0)
		return -1;
	for (size_t i = 0; i < ACTIVITY_COUNTS; i++)
		a->written[i] += w.grown[i];
	if (w.purges)
		a->purge_at_ms = mono_ms + PURGE_MS;
	return 0;
}

/* ---- reading ---- */

struct listing {
	int64_t span_ms, since_ms;
	activity_each_fn *each;
	void *arg;
};

static int list_row(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	const struct listing *x = arg;
	const struct activity_row row = {
		.name = db_get_text(&c[0]), .at_ms = db_get_int(&c[1]), .n = db_get_int(&c[2])};

	(void)n_cols;
	return x->each(x->arg, &row, f);
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	const struct listing *x = arg;

	return db_read(db,
		"SELECT name, at_ms, n FROM activity WHERE span_ms = $1 AND at_ms >= $2"
		" ORDER BY name, at_ms",
		list_row, arg, f, db_int(x->span_ms), db_int(x->since_ms));
}

int activity_list(struct token_management *tm, int64_t span_ms, int64_t since_ms,
	activity_each_fn *each, void *arg, struct fault *f)
{
	struct listing x = {.span_ms = span_ms, .since_ms = since_ms, .each = each, .arg = arg};

	return store_use(tm->store, list_body, &x, f);
}
