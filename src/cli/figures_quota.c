/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left of each project's quota. Rows know how many starts were taken in this minute and in
 * the one before; of that one the part counts which is younger than a minute. The gauges are made
 * as projects are met, and never end, as no metric does.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/figures.h"
#include "core/metrics.h"
#include "store/store.h"

#define MINUTE_US INT64_C(60000000)
#define PAIRS_MOST 300 /* of project and API: what Prometheus should be asked to keep */

struct pair {
	struct metric limit, left;
	char labels[240];
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pair *pairs[PAIRS_MOST];
static size_t n_pairs;

/* A label's value, escaped as the text exposition wants it; what is longer is cut. */
static void add_value(struct buf *to, const char *text)
{
	for (size_t i = 0; text[i] != '\0' && i < 80; i++) {
		if (text[i] == '\n')
			buf_add_text(to, "\\n");
		else if (text[i] == '"' || text[i] == '\\')
			buf_addf(to, "\\%c", text[i]);
		else
			buf_add_char(to, text[i]);
	}
}

/* NULL: there are too many. */
static struct pair *find_pair(const char *labels)
{
	struct pair *p;

	for (size_t i = 0; i < n_pairs; i++)
		if (text_equal(pairs[i]->labels, labels))
			return pairs[i];
	if (n_pairs == PAIRS_MOST)
		return NULL;
	p = pairs[n_pairs++] = mem_alloc(sizeof(*p));
	snprintf(p->labels, sizeof(p->labels), "%s", labels);
	p->limit = (struct metric)METRIC_GAUGE("review_fetcher_google_quota_per_minute",
		"Requests a minute that a project may send to an API of Google.", p->labels);
	p->left = (struct metric)METRIC_GAUGE("review_fetcher_google_quota_left",
		"How many of them were not taken within the last minute, by any process.",
		p->labels);
	return p;
}

struct measuring {
	int64_t per_minute, now_us;
};

static int64_t taken(const struct measuring *m, int64_t minute, int64_t starts, int64_t before)
{
	const int64_t behind = m->now_us / MINUTE_US - minute;
	const int64_t rest_us = MINUTE_US - m->now_us % MINUTE_US;

	if (behind == 0)
		return starts + before * rest_us / MINUTE_US;
	return behind == 1 ? starts * rest_us / MINUTE_US : 0;
}

static int take_budget(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	const struct measuring *m = arg;
	const int64_t left = m->per_minute - taken(m, db_get_int(&cols[2]), db_get_int(&cols[3]),
						     db_get_int(&cols[4]));
	AUTO(buf_drop) struct buf labels = BUF_INIT(sizeof(((struct pair *)NULL)->labels));
	struct pair *p;

	(void)n_cols, (void)f;
	buf_add_text(&labels, "project=\"");
	add_value(&labels, db_get_text(&cols[0]));
	buf_add_text(&labels, "\",api=\"");
	add_value(&labels, db_get_text(&cols[1]));
	buf_add_text(&labels, "\"");
	pthread_mutex_lock(&lock);
	p = find_pair(buf_text(&labels));
	pthread_mutex_unlock(&lock);
	if (p == NULL)
		return 0;
	metric_set(&p->limit, m->per_minute);
	metric_set(&p->left, left > 0 ? left : 0);
	return 0;
}

int figures_measure_quota(struct db *db, int64_t per_minute, struct fault *f)
{
	struct measuring m = {.per_minute = per_minute};

	if (db_now_us(db, &m.now_us, f) < 0)
		return -1;
	return db_read(db,
		"SELECT project, api, minute, minute_starts, before_starts FROM api_budgets"
		" ORDER BY project, api",
		take_budget, &m, f);
}
