/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row holds when the next start is free. Who wants some moves that time ahead by as many
 * intervals, in one statement, and owns the starts between: a compare-and-set that any SQL database
 * can do, with no lock that outlives the transaction. Shares are small (gate.c), so that what a
 * dead process had taken is lost for a second at most.
 *
 * All times are the database's (db_now_us). Should its clock be set back, a calendar that is
 * further ahead than all processes together can take it begins again at now.
 */
#include "review_fetcher/budget.h"

#include "store/store.h"

#define RESERVE_SHARE 10 /* a tenth */
#define RESERVE_BURST 5
#define AHEAD_MOST_US 120000000
#define MINUTE_US 60000000
#define ANSWERED_EVERY_MS 600000
#define LATELY_MS (24LL * 60 * 60 * 1000)
#define EDITS_PER_MINUTE 10
#define EDITS_BURST 5

struct budget_paces budget_paces(int64_t per_minute)
{
	int64_t reserve = per_minute / RESERVE_SHARE;
	struct budget_paces p = {.has_reserve = reserve > 0};

	p.work = net_pace(per_minute - reserve, 1);
	if (p.has_reserve)
		p.reserve = net_pace(reserve, reserve < RESERVE_BURST ? reserve : RESERVE_BURST);
	return p;
}

struct row {
	struct budget_ask *ask;
	bool found;
	int64_t work_next_us, reserve_next_us, answered_at_ms;
	bool diagnosed;
};

static int read_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct row *r = arg;

	(void)n_cols;
	(void)f;
	r->found = true;
	r->work_next_us = db_get_int(&cols[0]);
	r->reserve_next_us = db_get_int(&cols[1]);
	r->ask->paused_until_us = db_get_int(&cols[2]);
	r->ask->throttles = db_get_int(&cols[3]);
	r->answered_at_ms = db_get_int(&cols[4]);
	r->diagnosed = db_get_int(&cols[5]) != 0;
	return 0;
}

#define ROW_COLUMNS                                                                  \
	"work_next_us, reserve_next_us, paused_until_us, throttles, answered_at_ms," \
	" CASE WHEN diagnosis IS NULL THEN 0 ELSE 1 END"

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/*
 * Moves the calendar: from here on the row is ours until the commit. What is not paused gives
 * starts; zero of them is fine. Requests that were under way together are refused together: that is
 * one 429, not several, so only the first of them counts.
 */
static int take(struct db *db, struct row *r, struct fault *f)
{
	static const char sql[] =
		"UPDATE api_budgets SET"
		" work_next_us = CASE WHEN paused_until_us > $3 THEN work_next_us"
		" WHEN work_next_us > $3 AND work_next_us <= $3 + $4 THEN work_next_us + $5"
		" ELSE $3 + $5 END,"
		" reserve_next_us = CASE WHEN paused_until_us > $3 THEN reserve_next_us"
		" WHEN reserve_next_us > $3 AND reserve_next_us <= $3 + $4 THEN reserve_next_us + "
		"$6"
		" ELSE $3 + $6 END,"
		" before_starts = CASE WHEN minute = $7 THEN before_starts"
		" WHEN minute = $7 - 1 THEN minute_starts ELSE 0 END,"
		" minute_starts = CASE WHEN minute = $7 THEN minute_starts ELSE 0 END"
		" + CASE WHEN paused_until_us > $3 THEN 0 ELSE CAST($8 AS BIGINT) END,"
		" minute = $7 WHERE project = $1 AND api = $2 RETURNING " ROW_COLUMNS;
	struct budget_ask *a = r->ask;

	return db_read(db, sql, read_row, r, f, db_text(a->project), db_text(a->api),
		db_int(a->now_us), db_int(AHEAD_MOST_US),
		db_int(a->n_work * a->paces.work.interval_us),
		db_int(a->n_reserve * a->paces.reserve.interval_us), db_int(a->now_us / MINUTE_US),
		db_int(a->n_work + a->n_reserve));
}

static int pause_all(struct db *db, const struct budget_ask *a, struct fault *f)
{
	static const char sql[] =
		"UPDATE api_budgets SET throttles = throttles +"
		" CASE WHEN paused_until_us > $3 THEN 0 ELSE 1 END,"
		" paused_until_us = CASE WHEN paused_until_us > $4 THEN paused_until_us ELSE $4 "
		"END,"
		" work_next_us = CASE WHEN work_next_us > $4 THEN work_next_us ELSE $4 END,"
		" reserve_next_us = CASE WHEN reserve_next_us > $5 THEN reserve_next_us ELSE $5 END"
		" WHERE project = $1 AND api = $2";
	int64_t until_us = a->now_us + a->pause_us;

	/* No burst behind a pause: Google has just said that it is too much. */
	return db_exec(db, sql, NULL, f, db_text(a->project), db_text(a->api), db_int(a->now_us),
		db_int(until_us), db_int(until_us + a->paces.reserve.lead_us));
}

static int note_answer(struct db *db, const struct row *r, struct fault *f)
{
	static const char sql[] = "UPDATE api_budgets SET throttles = 0, answered_at_ms = $3,"
				  " diagnosis = NULL, diagnosed_at_ms = NULL"
				  " WHERE project = $1 AND api = $2";
	struct budget_ask *a = r->ask;
	int64_t now_ms = a->now_us / 1000;

	if (a->throttles == 0 && !r->diagnosed && r->answered_at_ms > now_ms - ANSWERED_EVERY_MS)
		return 0;
	a->throttles = 0;
	return db_exec(db, sql, NULL, f, db_text(a->project), db_text(a->api), db_int(now_ms));
}

static int note_diagnosis(struct db *db, const struct budget_ask *a, struct fault *f)
{
	return db_exec(db,
		"UPDATE api_budgets SET diagnosis = $3, diagnosed_at_ms = $4"
		" WHERE project = $1 AND api = $2",
		NULL, f, db_text(a->project), db_text(a->api), db_text(a->diagnosis),
		db_int(a->now_us / 1000));
}

static int make(struct db *db, const struct budget_ask *a, struct fault *f)
{
	return db_exec(db,
		"INSERT INTO api_budgets (project, api) VALUES ($1, $2) ON CONFLICT DO NOTHING",
		NULL, f, db_text(a->project), db_text(a->api));
}

static void give(struct row *r)
{
	struct budget_ask *a = r->ask;
	int64_t reserve_us = r->reserve_next_us - a->n_reserve * a->paces.reserve.interval_us;

	a->paused = a->paused_until_us > a->now_us;
	a->work_first_us = r->work_next_us - a->n_work * a->paces.work.interval_us;
	a->reserve_first_us = later(a->now_us, reserve_us - a->paces.reserve.lead_us);
	a->answered_lately = a->answered || r->answered_at_ms > a->now_us / 1000 - LATELY_MS;
}

int budget_settle(struct db *db, void *ask, struct fault *f)
{
	struct budget_ask *a = ask;
	struct row r = {.ask = a};

	if (db_now_us(db, &a->now_us, f) < 0 || take(db, &r, f) < 0)
		return -1;
	if (!r.found && (make(db, a, f) < 0 || take(db, &r, f) < 0))
		return -1;
	if (a->pause_us > 0) {
		if (pause_all(db, a, f) < 0)
			return -1;
		a->throttles += a->paused_until_us <= a->now_us;
		a->paused_until_us = later(a->paused_until_us, a->now_us + a->pause_us);
	}
	if (a->answered && note_answer(db, &r, f) < 0)
		return -1;
	if (a->diagnosis && note_diagnosis(db, a, f) < 0)
		return -1;
	give(&r);
	return 0;
}

struct edit {
	bool taken;
	int64_t next_us;
};

static int read_edit(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct edit *e = arg;

	(void)n_cols;
	(void)f;
	e->next_us = db_get_int(&cols[0]);
	return 0;
}

static int note_edit(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)cols;
	(void)n_cols;
	(void)f;
	((struct edit *)arg)->taken = true;
	return 0;
}

int budget_take_edit(struct db *db, const char *location_id, int64_t *ret_wait_ms, struct fault *f)
{
	static const char take_sql[] =
		"INSERT INTO edit_budgets (location_id, next_us) VALUES ($1, $2 + $3)"
		" ON CONFLICT (location_id) DO UPDATE SET next_us = $3 +"
		" CASE WHEN edit_budgets.next_us > $2 AND edit_budgets.next_us <= $2 + $5"
		" THEN edit_budgets.next_us ELSE $2 END"
		" WHERE edit_budgets.next_us <= $2 + $4 OR edit_budgets.next_us > $2 + $5"
		" RETURNING next_us";
	struct net_pace pace = net_pace(EDITS_PER_MINUTE, EDITS_BURST);
	struct edit e = {0};
	int64_t now_us;

	*ret_wait_ms = 0;
	if (db_now_us(db, &now_us, f) < 0 ||
		db_read(db, take_sql, note_edit, &e, f, db_text(location_id), db_int(now_us),
			db_int(pace.interval_us), db_int(pace.lead_us),
			db_int(pace.lead_us + AHEAD_MOST_US)) < 0)
		return -1;
	if (e.taken)
		return 0;
	if (db_read(db, "SELECT next_us FROM edit_budgets WHERE location_id = $1", read_edit, &e, f,
		    db_text(location_id)) < 0)
		return -1;
	*ret_wait_ms = later(1, (e.next_us - pace.lead_us - now_us + 999) / 1000);
	return 0;
}
