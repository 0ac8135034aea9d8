/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading by position. A filter that lets little through would make one statement walk the whole
 * table, so each call looks at a bounded span of positions, and says how far it came.
 */
#include "events/events.h"

#include <string.h>

#include "base/text.h"
#include "store/store.h"

struct reading {
	const struct event_filter *filter;
	struct events_range *range;
	event_each_fn *each;
	void *arg;
	int64_t room, last;
	int64_t newest, purged_to;
	bool is_full;
};

static bool one_of(const char *const *list, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (text_equal(list[i], text))
			return true;
	}
	return false;
}

static bool is_of_kind(const char *const *kinds, size_t n, const char *kind)
{
	for (size_t i = 0; i < n; i++) {
		const size_t len = strlen(kinds[i]);

		if (len > 0 && kinds[i][len - 1] == '.' ? text_starts(kind, kinds[i])
							: text_equal(kind, kinds[i]))
			return true;
	}
	return false;
}

bool event_filter_lets(const struct event_filter *filter, const struct event_row *row)
{
	if (filter == NULL)
		return true;
	if (filter->branches != NULL &&
		(row->branch_id == NULL ||
			!one_of(filter->branches, filter->n_branches, row->branch_id)))
		return false;
	return filter->kinds == NULL || is_of_kind(filter->kinds, filter->n_kinds, row->kind);
}

static int see_state(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct reading *r = arg;

	(void)n_cols, (void)f;
	r->newest = db_get_int(&cols[0]);
	r->purged_to = db_get_int(&cols[1]);
	if (r->newest < r->purged_to)
		r->newest = r->purged_to;
	return 0;
}

static int read_state(struct db *db, struct reading *r, struct fault *f)
{
	return db_read(db,
		"SELECT (SELECT coalesce(max(position), 0) FROM events), purged_to"
		" FROM events_state WHERE one = 1",
		see_state, r, f);
}

static int see_event(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct reading *r = arg;
	const struct event_row row = {
		.position = db_get_int(&c[0]),
		.event_id = db_get_text(&c[1]),
		.kind = db_get_text(&c[2]),
		.branch_id = db_get_text(&c[3]),
		.ref = db_get_text(&c[4]),
		.account_id = db_get_text(&c[5]),
		.location_id = db_get_text(&c[6]),
		.data = db_get_text(&c[7]),
		.at_ms = db_get_int(&c[8]),
	};
	int step = 0;

	(void)n_cols;
	if (event_filter_lets(r->filter, &row)) {
		if (r->room == 0) {
			r->is_full = true;
			return 1;
		}
		r->room--;
		step = r->each(r->arg, &row, f);
	}
	if (step >= 0)
		r->last = row.position;
	r->is_full = step > 0;
	return step;
}

static int read_body(struct db *db, void *arg, struct fault *f)
{
	struct reading *r = arg;
	int64_t from = r->range->after, to;

	/* The end first: what comes later is behind it, and is read the next time. */
	if (read_state(db, r, f) < 0)
		return -1;
	r->range->is_lagged = from < r->purged_to;
	if (r->range->is_lagged)
		from = r->purged_to;
	to = r->newest - from > EVENTS_SCAN_MAX ? from + EVENTS_SCAN_MAX : r->newest;
	r->last = from;
	if (to > from && db_read(db,
				 "SELECT position, event_id, kind, branch_id, ref, account_id,"
				 " location_id, data, at_ms FROM events"
				 " WHERE position > $1 AND position <= $2 ORDER BY position",
				 see_event, r, f, db_int(from), db_int(to)) < 0)
		return -1;
	/* A position that was purged or skipped counts as looked at. */
	if (!r->is_full && to > from)
		r->last = to;
	return 0;
}

int events_read(struct store *s, const struct event_filter *filter, int64_t limit,
	struct events_range *range, event_each_fn *each, void *arg, struct fault *f)
{
	struct reading r = {
		.filter = filter, .range = range, .each = each, .arg = arg, .room = limit};

	if (store_use(s, read_body, &r, f) < 0)
		return -1;
	range->after = r.last;
	range->end = r.newest;
	return 0;
}

static int end_body(struct db *db, void *arg, struct fault *f)
{
	return read_state(db, arg, f);
}

int events_end(struct store *s, int64_t *ret, struct fault *f)
{
	struct reading r = {0};

	if (store_use(s, end_body, &r, f) < 0)
		return -1;
	*ret = r.newest;
	return 0;
}
