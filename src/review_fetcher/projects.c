/* SPDX-License-Identifier: Apache-2.0 */
/* The budgets as people see them. */
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/query.h"
#include "store/store.h"

#define MINUTE_US 60000000

struct listing {
	struct json_out *out;
	int64_t per_minute, now_ms;
};

static const char *name_of(const char *api)
{
	for (int i = 0; i < GOOGLE_APIS; i++) {
		if (text_equal(api, gate_api_key((enum google_api)i)))
			return google_api_name((enum google_api)i);
	}
	return api;
}

/* The row stands at the minute in which something was taken last. */
static void put_spent(const struct listing *l, int64_t minute, int64_t taken, int64_t before)
{
	const int64_t now = l->now_ms * 1000 / MINUTE_US;

	json_add_int(l->out, "spent_this_minute", minute == now ? taken : 0);
	json_add_int(l->out, "spent_last_minute",
		minute == now ? before : (minute == now - 1 ? taken : 0));
}

static int write_project(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct listing *l = arg;
	int64_t paused_until_ms = db_get_int(&cols[2]) / 1000;
	bool paused = paused_until_ms > l->now_ms;
	const char *diagnosis = db_get_text(&cols[4]);

	(void)n_cols;
	(void)f;
	json_open(l->out, '{');
	put_column(l->out, "project", &cols[0]);
	put_column(l->out, "api", &cols[1]);
	json_add_text(l->out, "api_name", name_of(db_get_text(&cols[1])));
	json_add_text(l->out, "status", diagnosis ? "not_approved" : (paused ? "paused" : "ok"));
	json_add_int(l->out, "requests_per_minute", l->per_minute);
	put_spent(l, db_get_int(&cols[7]), db_get_int(&cols[8]), db_get_int(&cols[9]));
	json_add_time(l->out, "paused_until", paused ? paused_until_ms : 0);
	json_add_int(l->out, "throttled_in_a_row", db_get_int(&cols[3]));
	put_column(l->out, "diagnosis", &cols[4]);
	json_add_time(l->out, "diagnosed_at", db_get_int(&cols[5]));
	json_add_time(l->out, "answered_at", db_get_int(&cols[6]));
	json_close(l->out, '}');
	return 0;
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	struct listing *l = arg;

	if (db_now_us(db, &l->now_ms, f) < 0)
		return -1;
	l->now_ms /= 1000;
	return db_read(db,
		"SELECT project, api, paused_until_us, throttles, diagnosis, diagnosed_at_ms,"
		" answered_at_ms, minute, minute_starts, before_starts FROM api_budgets ORDER BY "
		"project, "
		"api LIMIT 1000",
		write_project, l, f);
}

int projects_list(struct review_fetcher *rf, bool empty, struct json_out *ret, struct fault *f)
{
	struct listing l = {
		.out = ret, .per_minute = rf->parts.settings->google_requests_per_minute};
	int done;

	json_key(ret, "projects");
	json_open(ret, '[');
	done = empty ? 0 : store_use(rf->parts.store, list_body, &l, f);
	json_close(ret, ']');
	return done < 0 ? -1 : 0;
}
