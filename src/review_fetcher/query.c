/* SPDX-License-Identifier: Apache-2.0 */
#include "review_fetcher/query.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define SQL_MAX 8192
#define BRANCHES_MAX (4 * 1024 * 1024)

void query_init(struct query *q, const struct db *db, const char *sql)
{
	*q = (struct query){.engine = db_engine(db),
		.sql = BUF_INIT(SQL_MAX),
		.branches = BUF_INIT(BRANCHES_MAX)};
	buf_add_text(&q->sql, sql);
}

void query_done(struct query *q)
{
	buf_drop(&q->sql);
	buf_drop(&q->branches);
}

void query_add(struct query *q, const char *sql)
{
	buf_add_text(&q->sql, sql);
}

static size_t query_arg(struct query *q, struct db_value value)
{
	if (q->n == QUERY_ARGS_MAX) {
		q->sql.failed = true;
		return q->n;
	}
	q->args[q->n] = value;
	return ++q->n;
}

void query_where(struct query *q, const char *piece, struct db_value value)
{
	const char *mark = strstr(piece, "$?");
	size_t number = query_arg(q, value);

	if (!mark) {
		q->sql.failed = true;
		return;
	}
	buf_add(&q->sql, piece, (size_t)(mark - piece));
	buf_addf(&q->sql, "$%zu", number);
	buf_add_text(&q->sql, mark + 2);
}

void query_scope(struct query *q, const char *column, const struct review_scope *scope)
{
	struct json_out out = JSON_OUT(&q->branches);

	if (!scope || !scope->branches)
		return;
	buf_reset(&q->branches);
	json_open(&out, '[');
	for (size_t i = 0; i < scope->n; i++)
		json_put_text(&out, scope->branches[i]);
	json_close(&out, ']');
	buf_add_text(&q->sql, " AND ");
	buf_add_text(&q->sql, column);
	query_where(q,
		q->engine == DB_SQLITE ? " IN (SELECT value FROM json_each($?))"
				       : " IN (SELECT json_array_elements_text($?::json))",
		db_text(buf_text(&q->branches)));
}

int query_run(struct query *q, struct db *db, db_row_fn *each, void *arg, struct fault *f)
{
	if (buf_failed(&q->sql) || buf_failed(&q->branches))
		return fault_raise(f, FAULT_BUG, "a list's statement does not fit");
	return db_run(db, buf_text(&q->sql), q->args, q->n, each, arg, NULL, f);
}

void cursor_write(struct buf *ret, char list, const char *text, int64_t number)
{
	AUTO(buf_drop) struct buf plain = BUF_INIT(4096);

	buf_addf(&plain, "%c%lld,%s", list, (long long)number, text ? text : "");
	text_base64url(ret, plain.data, plain.len);
}

int cursor_read(const char *cursor, char list, struct buf *hold, const char **ret_text,
	int64_t *ret_number, struct fault *f)
{
	char *comma;

	*hold = BUF_INIT(4096);
	if (text_base64url_decode(cursor, strlen(cursor), hold) == 0 && !buf_failed(hold) &&
		hold->len && hold->data[0] == list && strlen(hold->data) == hold->len &&
		text_is_utf8(hold->data, hold->len)) {
		comma = strchr(hold->data, ',');
		if (comma) {
			*comma = '\0';
			*ret_text = comma + 1;
			if (text_parse_int(hold->data + 1, ret_number) == 0)
				return 0;
		}
	}
	return fault_input(f, "cursor",
		"cursor is not one of this list's: give next_cursor of the previous answer"
		" unchanged, or leave it out");
}

void instant_text(int64_t us, char ret[static INSTANT_SIZE])
{
	int64_t seconds = us / 1000000, rest = us % 1000000;
	size_t len;

	*ret = '\0';
	if (us == 0)
		return;
	if (rest < 0) {
		seconds--;
		rest += 1000000;
	}
	clock_format_ms(seconds * 1000, ret);
	len = strlen(ret);
	if (rest % 1000)
		snprintf(ret + len - 1, INSTANT_SIZE - len + 1, ".%06dZ", (int)rest);
	else if (rest)
		snprintf(ret + len - 1, INSTANT_SIZE - len + 1, ".%03dZ", (int)(rest / 1000));
}

void put_instant(struct json_out *o, const char *key, int64_t us)
{
	char text[INSTANT_SIZE];

	instant_text(us, text);
	json_key(o, key);
	if (*text)
		json_put_text(o, text);
	else
		json_put_null(o);
}

void put_column(struct json_out *o, const char *key, const struct db_value *col)
{
	json_key(o, key);
	if (db_get_text(col))
		json_put_bytes(o, col->bytes, col->len);
	else
		json_put_null(o);
}

void put_number(struct json_out *o, const char *key, const struct db_value *col)
{
	json_key(o, key);
	if (col->type == DB_NULL)
		json_put_null(o);
	else
		json_put_int(o, db_get_int(col));
}

void put_double(struct json_out *o, const char *key, const struct db_value *col)
{
	json_key(o, key);
	if (col->type == DB_NULL)
		json_put_null(o);
	else
		json_put_double(o, db_get_double(col));
}
