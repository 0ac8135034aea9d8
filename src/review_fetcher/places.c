/* SPDX-License-Identifier: Apache-2.0 */
/* The accounts and locations that were found. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/query.h"

struct listing {
	const struct review_scope *scope;
	const struct list_page *page;
	const char *account_id;
	struct json_out *out;
	struct buf *cursor;
	int64_t room, last_id, shown;
	struct buf last; /* the branch, a line break, the account */
	bool open;       /* a location's object and its list of parents are open */
};

static int write_account(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct listing *l = arg;

	(void)n_cols;
	(void)f;
	if (l->room-- == 0) {
		cursor_write(l->cursor, 'a', buf_text(&l->last), 0);
		return 1;
	}
	json_open(l->out, '{');
	put_column(l->out, "branch_id", &cols[0]);
	put_column(l->out, "account_id", &cols[1]);
	put_column(l->out, "name", &cols[2]);
	put_column(l->out, "type", &cols[3]);
	put_column(l->out, "role", &cols[4]);
	json_add_time(l->out, "created_at", db_get_int(&cols[5]));
	json_add_time(l->out, "updated_at", db_get_int(&cols[6]));
	json_add_int(l->out, "locations", db_get_int(&cols[7]));
	json_add_int(l->out, "review_count", db_get_int(&cols[8]));
	put_double(l->out, "average_rating", &cols[9]);
	json_add_time(l->out, "last_synced_at", db_get_int(&cols[10]));
	json_add_int(l->out, "locations_with_errors", db_get_int(&cols[11]));
	json_close(l->out, '}');
	buf_reset(&l->last);
	buf_addf(&l->last, "%s\n%s", db_get_text(&cols[0]), db_get_text(&cols[1]));
	return 0;
}

static int after_account(struct query *q, const char *cursor, struct buf *hold, struct fault *f)
{
	const char *text = NULL;
	const char *account;
	int64_t unused;

	if (cursor_read(cursor, 'a', hold, &text, &unused, f) < 0)
		return -1;
	account = strrchr(text, '\n');
	if (!account)
		return fault_input(f, "cursor", "cursor is not one of this list's");
	query_where(q, " AND (a.branch_id, a.account_id) > ($?, ",
		db_text_n(text, (size_t)(account - text)));
	query_where(q, "$?)", db_text(account + 1));
	return 0;
}

/* Counts are Google's of the last whole pass: cheap, and what the account's owner sees. */
static int accounts_body(struct db *db, void *arg, struct fault *f)
{
	static const char sql[] =
		"SELECT a.branch_id, a.account_id, a.name, a.type, a.role, a.created_at_ms,"
		" a.updated_at_ms, count(l.location_id), COALESCE(sum(l.total_review_count), 0),"
		" sum(l.average_rating * l.total_review_count)"
		" / NULLIF(sum(CASE WHEN l.average_rating IS NOT NULL THEN l.total_review_count "
		"END), 0),"
		" max(l.last_synced_at_ms), count(l.last_error)"
		" FROM (SELECT * FROM accounts a WHERE 1 = 1";
	struct listing *l = arg;
	AUTO(query_done) struct query q;
	AUTO(buf_drop) struct buf hold = {0};

	query_init(&q, db, sql);
	query_scope(&q, "a.branch_id", l->scope);
	if (l->page->cursor && after_account(&q, l->page->cursor, &hold, f) < 0)
		return -1;
	query_where(
		&q, " ORDER BY a.branch_id, a.account_id LIMIT $?) a", db_int(l->page->limit + 1));
	query_add(&q,
		" LEFT JOIN location_parents p ON p.branch_id = a.branch_id"
		" AND p.account_id = a.account_id"
		" LEFT JOIN locations l ON l.location_id = p.location_id"
		" GROUP BY a.branch_id, a.account_id, a.name, a.type, a.role, a.created_at_ms,"
		" a.updated_at_ms ORDER BY a.branch_id, a.account_id");
	return query_run(&q, db, write_account, l, f);
}

int accounts_list(struct review_fetcher *rf, const struct review_scope *scope,
	const struct list_page *page, struct json_out *ret, struct buf *ret_cursor, struct fault *f)
{
	struct listing l = {.scope = scope,
		.page = page,
		.out = ret,
		.cursor = ret_cursor,
		.room = page->limit,
		.last = BUF_INIT(4096)};
	int listed;

	json_key(ret, "accounts");
	json_open(ret, '[');
	listed = store_use(rf->parts.store, accounts_body, &l, f);
	buf_drop(&l.last);
	json_close(ret, ']');
	return listed < 0 ? -1 : 0;
}

static void close_location(struct listing *l)
{
	if (!l->open)
		return;
	json_close(l->out, ']');
	json_close(l->out, '}');
	l->open = false;
}

static void open_location(struct listing *l, const struct db_value *cols)
{
	struct json_out *o = l->out;

	json_open(o, '{');
	json_add_int(o, "id", db_get_int(&cols[0]));
	put_column(o, "location_id", &cols[1]);
	put_column(o, "title", &cols[2]);
	put_column(o, "store_code", &cols[3]);
	put_column(o, "address", &cols[4]);
	put_column(o, "phone", &cols[5]);
	put_column(o, "category", &cols[6]);
	json_add_int(o, "review_count", db_get_int(&cols[7]));
	put_number(o, "total_review_count", &cols[8]);
	put_double(o, "average_rating", &cols[9]);
	json_add_time(o, "last_synced_at", db_get_int(&cols[10]));
	put_column(o, "last_error", &cols[11]);
	json_add_time(o, "last_checked_at", db_get_int(&cols[16]));
	json_add_time(o, "last_full_at", db_get_int(&cols[17]));
	json_add_time(o, "parked_at", db_get_int(&cols[18]));
	if (cols[18].type == DB_NULL)
		json_add_null(o, "parked_reason");
	else
		put_column(o, "parked_reason", &cols[11]);
	json_add_time(o, "retry_at", db_get_int(&cols[19]));
	json_add_time(o, "created_at", db_get_int(&cols[12]));
	json_add_time(o, "updated_at", db_get_int(&cols[13]));
	put_column(o, "account_id", &cols[15]);
	json_key(o, "parents");
	json_open(o, '[');
	l->open = true;
	l->shown++;
	l->last_id = db_get_int(&cols[0]);
}

/* One row a parent; the rows of a location stand together. */
static int write_location(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct listing *l = arg;

	(void)n_cols;
	(void)f;
	if (!l->open || db_get_int(&cols[0]) != l->last_id) {
		close_location(l);
		if (l->room-- == 0) {
			cursor_write(l->cursor, 'l', NULL, l->last_id);
			return 1;
		}
		open_location(l, cols);
	}
	json_open(l->out, '{');
	put_column(l->out, "branch_id", &cols[14]);
	put_column(l->out, "account_id", &cols[15]);
	json_close(l->out, '}');
	return 0;
}

static void narrow(struct query *q, const struct listing *l)
{
	query_scope(q, "p.branch_id", l->scope);
	if (l->account_id)
		query_where(q, " AND p.account_id = $?", db_text(l->account_id));
}

static int locations_body(struct db *db, void *arg, struct fault *f)
{
	static const char sql[] =
		"SELECT l.id, l.location_id, l.title, l.store_code, l.address, l.phone, l.category,"
		" (SELECT count(*) FROM reviews r WHERE r.location_id = l.location_id"
		" AND r.deleted_at_ms IS NULL), l.total_review_count, l.average_rating,"
		" l.last_synced_at_ms, l.last_error, l.created_at_ms, l.updated_at_ms, p.branch_id,"
		" p.account_id, l.checked_at_ms, l.full_at_ms, l.parked_at_ms, l.retry_at_ms"
		" FROM (SELECT * FROM locations l WHERE EXISTS"
		" (SELECT 1 FROM location_parents p WHERE p.location_id = l.location_id";
	struct listing *l = arg;
	AUTO(query_done) struct query q;
	AUTO(buf_drop) struct buf hold = {0};
	const char *unused;
	int64_t id;

	query_init(&q, db, sql);
	narrow(&q, l);
	query_add(&q, ")");
	if (l->page->cursor) {
		if (cursor_read(l->page->cursor, 'l', &hold, &unused, &id, f) < 0)
			return -1;
		query_where(&q, " AND l.id < $?", db_int(id));
	}
	query_where(&q, " ORDER BY l.id DESC LIMIT $?) l", db_int(l->page->limit + 1));
	query_add(&q, " JOIN location_parents p ON p.location_id = l.location_id");
	narrow(&q, l);
	query_add(&q, " ORDER BY l.id DESC, p.branch_id, p.account_id");
	return query_run(&q, db, write_location, l, f);
}

int locations_list(struct review_fetcher *rf, const struct review_scope *scope,
	const char *account_id, const struct list_page *page, struct json_out *ret,
	struct buf *ret_cursor, struct fault *f)
{
	struct listing l = {.scope = scope,
		.page = page,
		.account_id = account_id,
		.out = ret,
		.cursor = ret_cursor,
		.room = page->limit};
	int listed;

	json_key(ret, "locations");
	json_open(ret, '[');
	listed = store_use(rf->parts.store, locations_body, &l, f);
	close_location(&l);
	json_close(ret, ']');
	return listed < 0 ? -1 : 0;
}
