/* SPDX-License-Identifier: Apache-2.0 */
/* GET /token-management/audit: who did what to which connection, when and from where. */
#include <string.h>

#include "api/route.h"
#include "api/scope.h"
#include "base/clock.h"
#include "base/text.h"

static int64_t read_time(struct request *req, const char *name)
{
	const char *text = request_query(req, name);
	int64_t us;

	if (text == NULL)
		return 0;
	if (clock_parse_us(text, &us) == 0)
		return us / 1000;
	request_error(req, "query", name,
		"is not a time: write it like 2026-01-31T12:00:00Z, with any '+' sent as %%2B");
	return 0;
}

static const char *read_word(struct request *req, const char *name, size_t max)
{
	const char *text = request_query(req, name);

	if (text && strlen(text) > max)
		request_error(
			req, "query", name, "has %zu bytes: give at most %zu", strlen(text), max);
	return text && *text ? text : NULL;
}

struct listing {
	struct json_out *out;
	int64_t room, last_id;
	bool has_more;
};

static int write_row(void *arg, const struct audit_row *row, struct fault *f)
{
	struct listing *l = arg;

	(void)f;
	if (l->room == 0) {
		l->has_more = true;
		return 1;
	}
	l->room--;
	l->last_id = row->id;
	json_open(l->out, '{');
	json_add_int(l->out, "id", row->id);
	json_add_time(l->out, "at", row->at_ms);
	json_add_text(l->out, "actor", row->actor);
	json_add_text(l->out, "action", row->action);
	json_add_text(l->out, "branch_id", row->branch_id);
	json_add_text(l->out, "remote", row->remote);
	json_key(l->out, "detail");
	if (row->detail)
		json_put_raw(l->out, row->detail, strlen(row->detail));
	else
		json_put_null(l->out);
	json_close(l->out, '}');
	return 0;
}

static int list_audit(struct request *req, struct fault *f)
{
	const char *cursor;
	int64_t limit;

	request_page(req, &limit, &cursor);
	const struct audit_filter filter = {
		.branch_id = read_word(req, "branch_id", LIMIT_BRANCH_ID_BYTES),
		.action = read_word(req, "action", LIMIT_NAME_BYTES),
		.actor = read_word(req, "actor", LIMIT_NAME_BYTES),
		.since_ms = read_time(req, "since"),
		.until_ms = read_time(req, "until"),
		.before_id = list_cursor_read(req, cursor),
		.limit = limit + 1, /* one more says whether there is a next page */
	};
	if (request_check(req, f) < 0)
		return -1;
	if (req->has_key && req->key.is_bound)
		return fault_raise(f, FAULT_DENIED,
			"This key is bound to branches; the audit needs one that is not");

	struct json_out out = answer_json(req);
	struct listing l = {.out = &out, .room = limit};
	json_key(&out, "events");
	json_open(&out, '[');
	if (audit_list(request_tokens(req), &filter, write_row, &l, f) < 0)
		return -1;
	json_close(&out, ']');
	list_cursor_write(&out, l.has_more ? l.last_id : 0);
	json_close(&out, '}');
	return 0;
}

const struct route audit_routes[] = {
	{"GET", "/token-management/audit", KEY_ADMIN, ROUTE_WORKER, list_audit, NULL,
		"Who did what to which connection, the newest first"},
	{0},
};
