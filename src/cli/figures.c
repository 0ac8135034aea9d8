/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/figures.h"

#include <string.h>

#include "base/clock.h"
#include "core/metrics.h"
#include "core/settings.h"
#include "store/store.h"

#define CONNECTIONS(state)                                                                       \
	METRIC_GAUGE("review_fetcher_connections", "Branches by the state of their connection.", \
		"state=\"" state "\"")
#define JOBS(status)                                                                       \
	METRIC_GAUGE("review_fetcher_jobs", "Review jobs that have not ended, by status.", \
		"status=\"" status "\"")
#define PROJECTS(status)                                                       \
	METRIC_GAUGE("review_fetcher_google_projects",                         \
		"Google APIs of Cloud projects, by what Google lets them do.", \
		"status=\"" status "\"")

/* A label's value and its gauge. */
struct figure {
	const char *value;
	struct metric metric;
};
static struct figure connections[] = {
	{"pending", CONNECTIONS("pending")},
	{"connected", CONNECTIONS("connected")},
	{"degraded", CONNECTIONS("degraded")},
	{"needs_reconnect", CONNECTIONS("needs_reconnect")},
	{"revoking", CONNECTIONS("revoking")},
	{"revoked", CONNECTIONS("revoked")},
	{"inactive", CONNECTIONS("inactive")},
};
static struct figure jobs[] = {
	{"queued", JOBS("queued")},
	{"running", JOBS("running")},
	{"waiting", JOBS("waiting")},
};
static struct figure projects[] = {
	{"ok", PROJECTS("ok")},
	{"paused", PROJECTS("paused")},
	{"not_approved", PROJECTS("not_approved")},
};
static struct metric refresh_lag = METRIC_GAUGE("review_fetcher_refresh_lag_seconds",
	"How long the token that is due longest has waited for its refresh; 0: none is due.", "");
static struct metric schedule_lag = METRIC_GAUGE("review_fetcher_schedule_lag_seconds",
	"How long the branch that is due longest has waited for its review pass; 0: none is due.",
	"");
static struct metric parked = METRIC_GAUGE("review_fetcher_locations_parked",
	"Locations that are left alone for a while, because they cannot be read.", "");
static struct metric importing = METRIC_GAUGE("review_fetcher_import_lines_waiting",
	"Imported connections that wait to be verified.", "");

#define BEHIND(consumer)                                                                 \
	METRIC_GAUGE("review_fetcher_delivery_lag",                                      \
		"How many events a consumer has not taken; 0 where none is configured.", \
		"consumer=\"" consumer "\"")
#define LATE(consumer)                                                                         \
	METRIC_GAUGE("review_fetcher_delivery_lag_seconds",                                    \
		"How long the oldest event that a consumer has not taken has waited; 0: none " \
		"has.",                                                                        \
		"consumer=\"" consumer "\"")

struct consumer {
	const char *name;
	struct metric behind, late;
};
static struct consumer consumers[] = {
	{"kafka", BEHIND("kafka"), LATE("kafka")},
	{"webhook", BEHIND("webhook"), LATE("webhook")},
};
METRICS_FROM_START(
	&consumers[0].behind, &consumers[0].late, &consumers[1].behind, &consumers[1].late)

struct counting {
	struct figure *figures;
	size_t n;
};
static int64_t *place_of(int64_t *counts, const struct counting *c, const char *value)
{
	for (size_t i = 0; i < c->n; i++)
		if (value && strcmp(c->figures[i].value, value) == 0)
			return &counts[i];
	return NULL;
}

struct tally {
	const struct counting *of;
	int64_t counts[8];
};

static int take(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct tally *t = arg;
	int64_t *place = place_of(t->counts, t->of, db_get_text(&cols[0]));

	(void)n_cols, (void)f;
	if (place)
		*place += db_get_int(&cols[1]);
	return 0;
}

/* Rows of (value, count); a value without a row is 0. */
static int count_into(struct db *db, const struct counting *of, const char *sql,
	struct db_value arg, struct fault *f)
{
	struct tally t = {.of = of};

	if (db_read(db, sql, take, &t, f, arg) < 0)
		return -1;
	for (size_t i = 0; i < of->n; i++)
		metric_set(&of->figures[i].metric, t.counts[i]);
	return 0;
}

static int take_one(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols, (void)f;
	*(int64_t *)arg = cols[0].type == DB_NULL ? 0 : db_get_int(&cols[0]);
	return 0;
}

static int count_one(struct db *db, struct metric *to, const char *sql, struct fault *f)
{
	int64_t n = 0;

	if (db_read(db, sql, take_one, &n, f) < 0)
		return -1;
	metric_set(to, n);
	return 0;
}

/* The age of the oldest instant that the statement finds, before now. */
static int measure_lag(
	struct db *db, struct metric *to, const char *sql, int64_t now_ms, struct fault *f)
{
	int64_t oldest_ms = 0;

	if (db_read(db, sql, take_one, &oldest_ms, f, db_int(now_ms)) < 0)
		return -1;
	metric_set(to, oldest_ms > 0 && oldest_ms < now_ms ? (now_ms - oldest_ms) / 1000 : 0);
	return 0;
}

static int measure_tokens(struct db *db, int64_t now_ms, struct fault *f)
{
	static const struct counting states = {
		connections, sizeof(connections) / sizeof(*connections)};

	if (count_into(db, &states,
		    "SELECT CASE WHEN is_active = $1 THEN status ELSE 'inactive' END, count(*)"
		    " FROM clients GROUP BY is_active, status",
		    db_int(1), f) < 0 ||
		measure_lag(db, &refresh_lag,
			"SELECT min(t.next_refresh_at_ms) FROM tokens t JOIN clients c ON c.id = "
			"t.client_id WHERE t.next_refresh_at_ms <= $1 AND c.is_active = 1"
			" AND c.status IN ('connected', 'degraded')",
			now_ms, f) < 0)
		return -1;
	return count_one(db, &importing,
		"SELECT count(*) FROM import_lines WHERE state IN ('waiting', 'app_refused')", f);
}

static int measure_reviews(struct db *db, int64_t now_ms, struct fault *f)
{
	static const struct counting live = {jobs, sizeof(jobs) / sizeof(*jobs)};
	static const struct counting budgets = {projects, sizeof(projects) / sizeof(*projects)};

	if (count_into(db, &live,
		    "SELECT CASE WHEN status = 'waiting' AND waiting_until_ms <= $1 THEN 'running'"
		    " ELSE status END, count(*) FROM jobs"
		    " WHERE status IN ('queued', 'running', 'waiting') GROUP BY 1",
		    db_int(now_ms), f) < 0 ||
		count_into(db, &budgets,
			"SELECT CASE WHEN diagnosis IS NOT NULL THEN 'not_approved'"
			" WHEN paused_until_us > $1 THEN 'paused' ELSE 'ok' END, count(*)"
			" FROM api_budgets GROUP BY 1",
			db_int(now_ms * 1000), f) < 0 ||
		measure_lag(db, &schedule_lag,
			"SELECT min(due_ms) FROM branch_schedules WHERE due_ms IS NOT NULL"
			" AND due_ms <= $1",
			now_ms, f) < 0)
		return -1;
	return count_one(
		db, &parked, "SELECT count(*) FROM locations WHERE parked_at_ms IS NOT NULL", f);
}

struct lag {
	int64_t position, end, oldest_ms;
};

static int take_lag(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct lag *l = arg;

	(void)n_cols, (void)f;
	l->position = db_get_int(&cols[0]);
	l->end = db_get_int(&cols[1]);
	l->oldest_ms = cols[2].type == DB_NULL ? INT64_MAX : db_get_int(&cols[2]);
	return 0;
}

/* From the rows and not by who delivers, for it may be nobody. */
static int measure_delivery(
	struct db *db, struct consumer *c, bool is_configured, int64_t now_ms, struct fault *f)
{
	static const char sql[] =
		"SELECT c.position, (SELECT COALESCE(max(e.position), 0) FROM events e),"
		" (SELECT e.at_ms FROM events e WHERE e.position > c.position"
		" ORDER BY e.position LIMIT 1) FROM event_consumers c WHERE c.name = $1";
	struct lag l = {.oldest_ms = INT64_MAX};

	if (is_configured && db_read(db, sql, take_lag, &l, f, db_text(c->name)) < 0)
		return -1;
	metric_set(&c->behind, l.end > l.position ? l.end - l.position : 0);
	metric_set(&c->late, l.oldest_ms < now_ms ? (now_ms - l.oldest_ms) / 1000 : 0);
	return 0;
}

static int measure_body(struct db *db, void *arg, struct fault *f)
{
	const struct settings *s = arg;
	const int64_t now_ms = clock_wall_ms();

	if (measure_tokens(db, now_ms, f) < 0 || measure_reviews(db, now_ms, f) < 0 ||
		measure_delivery(db, &consumers[0], s->kafka_bootstrap_servers != NULL, now_ms, f) <
			0 ||
		measure_delivery(db, &consumers[1], s->webhook_url != NULL, now_ms, f) < 0)
		return -1;
	return figures_measure_quota(db, s->google_requests_per_minute, f);
}

int figures_measure(struct store *store, const struct settings *settings, struct fault *f)
{
	return store_use(store, measure_body, (void *)(uintptr_t)settings, f);
}
