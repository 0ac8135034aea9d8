/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/overview: whether all is well, in one answer. */
#include <string.h>

#include "api/client_json.h"
#include "api/path.h"
#include "api/route.h"
#include "api/scope.h"
#include "base/clock.h"
#include "base/text.h"

#define SHOWN_MOST 25
#define BOUND_MOST 10000
#define DAY_MS (24 * ACTIVITY_HOUR_MS)

/* What only a person can mend, the worst first. */
static const char *const hand[] = {"needs_reconnect", "degraded", "revoking"};

struct overview {
	struct json_out *out;
	int64_t counts[CLIENT_STATES];
	int64_t room;
};

static bool needs_hand(const char *status)
{
	for (size_t i = 0; i < ARRAY_LEN(hand); i++)
		if (text_equal(status, hand[i]))
			return true;
	return false;
}

static int write_client(void *arg, const struct client *c, struct fault *f)
{
	struct overview *o = arg;

	(void)f;
	o->room--;
	json_open(o->out, '{');
	client_write_identity(o->out, c);
	client_write_state(o->out, c);
	json_close(o->out, '}');
	return 0;
}

static void write_counts(struct overview *o)
{
	int64_t total = 0;

	json_key(o->out, "connections");
	json_open(o->out, '{');
	for (size_t i = 0; i < CLIENT_STATES; i++) {
		json_add_int(o->out, client_state_name(i), o->counts[i]);
		total += o->counts[i];
	}
	json_add_int(o->out, "total", total);
	json_close(o->out, '}');
}

/* ---- all of them ---- */

static int write_hand(struct request *req, struct overview *o, struct fault *f)
{
	json_key(o->out, "needs_hand");
	json_open(o->out, '[');
	for (size_t i = 0; i < ARRAY_LEN(hand) && o->room > 0; i++) {
		const struct client_filter filter = {.status = hand[i], .limit = o->room};
		if (clients_list(request_tokens(req), &filter, write_client, o, f) < 0)
			return -1;
	}
	json_close(o->out, ']');
	return 0;
}

struct series {
	struct json_out *out;
	char name[32]; /* of the array that is open; "": none */
};

static int write_activity(void *arg, const struct activity_row *row, struct fault *f)
{
	struct series *s = arg;

	(void)f;
	if (!text_equal(s->name, row->name)) {
		if (s->name[0])
			json_close(s->out, ']');
		json_key(s->out, row->name);
		json_open(s->out, '[');
		snprintf(s->name, sizeof(s->name), "%s", row->name);
	}
	json_open(s->out, '[');
	json_put_int(s->out, row->at_ms / 1000);
	json_put_int(s->out, row->n);
	json_close(s->out, ']');
	return 0;
}

/* Each name's spans as [seconds since 1970, count]. */
static int write_series(struct request *req, struct json_out *out, const char *key, int64_t span_ms,
	int64_t since_ms, struct fault *f)
{
	struct series s = {.out = out};

	json_key(out, key);
	json_open(out, '{');
	if (activity_list(request_tokens(req), span_ms, since_ms, write_activity, &s, f) < 0)
		return -1;
	if (s.name[0])
		json_close(out, ']');
	json_close(out, '}');
	return 0;
}

static int write_all(struct request *req, struct overview *o, struct fault *f)
{
	const int64_t now_ms = clock_wall_ms();

	if (clients_count(request_tokens(req), o->counts, f) < 0)
		return -1;
	write_counts(o);
	if (write_hand(req, o, f) < 0 ||
		write_series(req, o->out, "hours", ACTIVITY_HOUR_MS, now_ms - 7 * DAY_MS, f) < 0 ||
		write_series(req, o->out, "minutes", ACTIVITY_MINUTE_MS,
			now_ms - 2 * ACTIVITY_HOUR_MS, f) < 0)
		return -1;
	return 0;
}

/* ---- what a bound key sees: its branches, one by one ---- */

static int count_client(void *arg, const struct client *c, struct fault *f)
{
	struct overview *o = arg;

	for (size_t i = 0; i < CLIENT_STATES; i++)
		o->counts[i] += text_equal(c->status, client_state_name(i));
	if (o->room > 0 && needs_hand(c->status))
		return write_client(o, c, f);
	return 0;
}

static int write_seen(
	struct request *req, const struct seen_branches *seen, struct overview *o, struct fault *f)
{
	const struct client_filter filter = {.branches = (const char *const *)seen->names,
		.n_branches = seen->n,
		.limit = BOUND_MOST};

	json_key(o->out, "needs_hand");
	json_open(o->out, '[');
	if (seen->n > 0 && clients_list(request_tokens(req), &filter, count_client, o, f) < 0)
		return -1;
	json_close(o->out, ']');
	write_counts(o);
	json_add_null(o->out, "hours");
	json_add_null(o->out, "minutes");
	return 0;
}

static int get_overview(struct request *req, struct fault *f)
{
	AUTO(seen_branches_done) struct seen_branches seen;
	struct json_out out = answer_json(req);
	struct overview o = {.out = &out, .room = SHOWN_MOST};

	seen_branches_init(req, &seen);
	json_add_time(&out, "at", clock_wall_ms());
	if ((seen.names ? write_seen(req, &seen, &o, f) : write_all(req, &o, f)) < 0)
		return -1;
	json_add_int(
		&out, "requests_per_minute", request_settings(req)->google_requests_per_minute);
	json_close(&out, '}');
	return 0;
}

/* ---- what happened to one connection ---- */

static int write_move(void *arg, const struct audit_row *row, struct fault *f)
{
	struct json_out *out = arg;

	(void)f;
	json_open(out, '{');
	json_add_int(out, "id", row->id);
	json_add_time(out, "at", row->at_ms);
	json_add_text(out, "actor", row->actor);
	json_add_text(out, "action", row->action);
	json_key(out, "detail");
	if (row->detail)
		json_put_raw(out, row->detail, strlen(row->detail));
	else
		json_put_null(out);
	json_close(out, '}');
	return 0;
}

static int get_history(struct request *req, struct fault *f)
{
	AUTO(client_done) struct client c = {0};
	const int64_t limit = request_query_int(req, "limit", 1, 500, 50);
	int64_t id;

	if (path_id(req, "id", &id, f) < 0 || request_check(req, f) < 0 ||
		clients_get(request_tokens(req), id, &c, f) < 0 ||
		request_sees(req, c.branch_id, "Client not found or inactive", f) < 0)
		return -1;
	const struct audit_filter filter = {.branch_id = c.branch_id, .limit = limit};
	struct json_out out = answer_json(req);
	json_key(&out, "history");
	json_open(&out, '[');
	if (audit_list(request_tokens(req), &filter, write_move, &out, f) < 0)
		return -1;
	json_close(&out, ']');
	json_close(&out, '}');
	return 0;
}

const struct route overview_routes[] = {
	{"GET", "/api/v1/overview", KEY_CLIENTS_READ, ROUTE_WORKER, get_overview, NULL,
		"Connections by state, what needs a hand, and how busy the service was"},
	{"GET", "/token-management/clients/{id}/history", KEY_CLIENTS_READ, ROUTE_WORKER,
		get_history, NULL, "What happened to a connection, the newest first"},
	{0},
};
