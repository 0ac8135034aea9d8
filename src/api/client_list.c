/* SPDX-License-Identifier: Apache-2.0 */
/* GET /token-management/clients: filtered, in an order, page by page. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/client_json.h"
#include "api/scope.h"
#include "base/text.h"

static const char *read_status(struct request *req)
{
	static const char *const known[] = {"pending", "connected", "expiring", "degraded",
		"needs_reconnect", "revoking", "revoked", "inactive"};
	const char *status = request_query(req, "status");
	char shown[TEXT_EXCERPT_SIZE];

	for (size_t i = 0; status && i < ARRAY_LEN(known); i++)
		if (strcmp(status, known[i]) == 0)
			return status;
	if (status)
		request_error(req, "query", "status",
			"is '%s': give pending, connected, expiring, degraded, "
			"needs_reconnect, revoking, "
			"revoked or inactive",
			text_excerpt(status, shown));
	return NULL;
}

static const char *read_search(struct request *req)
{
	const char *q = request_query(req, "q");

	if (q && strlen(q) > LIMIT_NAME_BYTES)
		request_error(req, "query", "q", "has %zu bytes: give at most %d", strlen(q),
			LIMIT_NAME_BYTES);
	return q && *q ? q : NULL;
}

static const char *const sorts[] = {
	[CLIENTS_BY_ID] = "id",
	[CLIENTS_BY_BRANCH] = "branch_id",
	[CLIENTS_BY_NAME] = "workspace_name",
	[CLIENTS_BY_EXPIRY] = "expires_at",
};

static void read_order(struct request *req, struct client_filter *filter)
{
	const char *sort = request_query(req, "sort"), *order = request_query(req, "order");
	char shown[TEXT_EXCERPT_SIZE];
	size_t i = 0;

	while (sort && i < ARRAY_LEN(sorts) && strcmp(sort, sorts[i]) != 0)
		i++;
	if (i == ARRAY_LEN(sorts))
		request_error(req, "query", "sort",
			"is '%s': give id, branch_id, workspace_name or expires_at",
			text_excerpt(sort, shown));
	else
		filter->sort = (enum client_sort)i;
	filter->descending = order && strcmp(order, "desc") == 0;
	if (order && !filter->descending && strcmp(order, "asc") != 0)
		request_error(req, "query", "order", "is '%s': give asc or desc",
			text_excerpt(order, shown));
}

/* ---- cursors: the order they belong to, the last row's id, and what it was sorted by ---- */

static void write_cursor(
	const struct client_filter *filter, const struct client *last, struct buf *ret)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1024);

	buf_addf(&text, "%s %d %" PRId64 " ", sorts[filter->sort], filter->descending, last->id);
	if (filter->sort == CLIENTS_BY_BRANCH)
		buf_add_text(&text, last->branch_id);
	else if (filter->sort == CLIENTS_BY_NAME)
		buf_add_text(&text, last->workspace_name);
	else if (filter->sort == CLIENTS_BY_EXPIRY)
		buf_addf(&text, "%" PRId64, last->expires_at_ms);
	text_base64url(ret, buf_text(&text), text.len);
}

static int take_cursor(struct request *req, const char *cursor, struct client_filter *filter)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1024), expected = BUF_INIT(64);
	char *end;

	if (text_base64url_decode(cursor, strlen(cursor), &text) < 0 || buf_failed(&text))
		return -1;
	buf_addf(&expected, "%s %d ", sorts[filter->sort], filter->descending);
	if (!text_starts(buf_text(&text), buf_text(&expected)))
		return -1;
	filter->after_id = strtoll(buf_text(&text) + expected.len, &end, 10);
	if (filter->after_id <= 0 || *end++ != ' ')
		return -1;
	if (filter->sort == CLIENTS_BY_EXPIRY)
		return text_parse_int(end, &filter->after_number);
	filter->after_text = request_text(req, end);
	return 0;
}

static void read_cursor(struct request *req, const char *cursor, struct client_filter *filter)
{
	if (cursor && take_cursor(req, cursor, filter) < 0)
		request_error(req, "query", "cursor",
			"is not one of this list's: give next_cursor of the previous answer "
			"unchanged and the same sort and order, or leave it out");
}

/* ---- */

struct listing {
	struct json_out *out;
	const struct client_filter *filter;
	struct buf *cursor;
	int64_t room;
	bool has_more;
};

static int write_one(void *arg, const struct client *c, struct fault *f)
{
	struct listing *l = arg;

	(void)f;
	if (l->room == 0) {
		l->has_more = true;
		return 0;
	}
	l->room--;
	if (l->room == 0)
		write_cursor(l->filter, c, l->cursor);
	json_open(l->out, '{');
	client_write_identity(l->out, c);
	client_write_state(l->out, c);
	json_close(l->out, '}');
	return 0;
}

/* A key that is bound to nothing (any more) sees nothing. */
static int list_for(
	struct request *req, struct client_filter *filter, struct listing *l, struct fault *f)
{
	AUTO(seen_branches_done) struct seen_branches seen;

	seen_branches_init(req, &seen);
	if (seen.names && seen.n == 0)
		return 0;
	filter->branches = (const char *const *)seen.names;
	filter->n_branches = seen.n;
	return clients_list(request_tokens(req), filter, write_one, l, f);
}

int client_list_handle(struct request *req, struct fault *f)
{
	AUTO(buf_drop) struct buf next = BUF_INIT(2048);
	const char *cursor;
	int64_t limit;

	request_page(req, &limit, &cursor);
	struct client_filter filter = {
		.status = read_status(req),
		.q = read_search(req),
		.limit = limit + 1, /* one more says whether there is a next page */
	};
	read_order(req, &filter);
	if (req->n_errors == 0)
		read_cursor(req, cursor, &filter);
	if (request_check(req, f) < 0)
		return -1;

	struct json_out out = answer_json(req);
	struct listing l = {.out = &out, .filter = &filter, .cursor = &next, .room = limit};
	json_key(&out, "clients");
	json_open(&out, '[');
	if (list_for(req, &filter, &l, f) < 0)
		return -1;
	json_close(&out, ']');
	if (!l.has_more)
		buf_reset(&next);
	list_end(&out, &next);
	return 0;
}
