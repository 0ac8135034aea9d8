/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the audit. Nothing here writes: the table refuses changes, whoever tries. */
#include "store/store.h"
#include "token_management/internal.h"

struct listing {
	const struct audit_filter *filter;
	audit_each_fn *each;
	void *arg;
};

static int list_row(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	const struct listing *x = arg;
	const struct audit_row row = {
		.id = db_get_int(&c[0]),
		.at_ms = db_get_int(&c[1]),
		.actor = db_get_text(&c[2]),
		.action = db_get_text(&c[3]),
		.branch_id = db_get_text(&c[4]),
		.remote = db_get_text(&c[5]),
		.detail = db_get_text(&c[6]),
	};

	(void)n_cols;
	return x->each(x->arg, &row, f);
}

static int list_body(struct db *db, void *arg, struct fault *f)
{
	struct listing *x = arg;
	const struct audit_filter *q = x->filter;

	return db_read(db,
		"SELECT id, at_ms, actor, action, branch_id, remote, detail FROM audit"
		" WHERE id < $1 AND at_ms >= $2 AND at_ms < $3"
		" AND (CAST($4 AS TEXT) IS NULL OR branch_id = $4)"
		" AND (CAST($5 AS TEXT) IS NULL OR action = $5)"
		" AND (CAST($6 AS TEXT) IS NULL OR actor = $6)"
		" ORDER BY id DESC LIMIT $7",
		list_row, x, f, db_int(q->before_id > 0 ? q->before_id : INT64_MAX),
		db_int(q->since_ms), db_int(q->until_ms > 0 ? q->until_ms : INT64_MAX),
		db_text(q->branch_id), db_text(q->action), db_text(q->actor), db_int(q->limit));
}

int audit_list(struct token_management *tm, const struct audit_filter *filter, audit_each_fn *each,
	void *arg, struct fault *f)
{
	struct listing x = {.filter = filter, .each = each, .arg = arg};

	return store_use(tm->store, list_body, &x, f);
}
