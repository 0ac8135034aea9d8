/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/due_rows.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/grant.h"
#include "token_management/internal.h"

#define ADOPT_MOST 500
#define FAR_MS (INT64_C(2) * 24 * 60 * 60 * 1000) /* beyond the life of any access token */
#define CAN_REFRESH                                                             \
	"(c.is_active = 1 AND c.status IN ('connected', 'degraded', 'pending')" \
	" AND t.refresh_token IS NOT NULL)"

void due_row_done(struct due_row *r)
{
	mem_free(r->branch_id);
	mem_free(r->app_id);
	*r = (struct due_row){0};
}

/* ---- reading ---- */

struct reading {
	struct token_management *tm;
	const char *provider;
	int64_t until_ms;
	size_t most, n;
	struct due_row *rows;
};

static int read_row(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct reading *x = arg;
	const char *app = db_get_text(&c[3]);

	(void)n_cols;
	(void)f;
	if (app == NULL)
		app = x->tm->settings->google_client_id;
	x->rows[x->n++] = (struct due_row){
		.client_row = db_get_int(&c[0]),
		.at_ms = db_get_int(&c[1]),
		.branch_id = mem_text(db_get_text(&c[2])),
		.app_id = mem_text(app != NULL ? app : ""),
		.can_refresh = db_get_int(&c[4]) != 0,
	};
	return x->n == x->most;
}

static int read_body(struct db *db, void *arg, struct fault *f)
{
	struct reading *x = arg;

	return db_read(db,
		"SELECT t.client_id, t.next_refresh_at_ms, c.branch_id, c.client_id,"
		" CASE WHEN " CAN_REFRESH " THEN 1 ELSE 0 END"
		" FROM tokens t JOIN clients c ON c.id = t.client_id"
		" WHERE t.provider = $3 AND t.next_refresh_at_ms <= $1"
		" ORDER BY t.next_refresh_at_ms LIMIT $2",
		read_row, x, f, db_int(x->until_ms), db_int((int64_t)x->most),
		db_text(x->provider));
}

int due_rows_read(struct token_management *tm, const char *provider, int64_t until_ms, size_t most,
	struct due_row *ret, size_t *ret_n, struct fault *f)
{
	struct reading x = {
		.tm = tm, .provider = provider, .until_ms = until_ms, .most = most, .rows = ret};
	int outcome = store_use(tm->store, read_body, &x, f);

	for (size_t i = 0; outcome < 0 && i < x.n; i++)
		due_row_done(&ret[i]);
	*ret_n = outcome < 0 ? 0 : x.n;
	return outcome < 0 ? -1 : 0;
}

/* ---- moving ---- */

struct moving {
	const struct due_move *moves;
	size_t n;
};

static int move_body(struct db *db, void *arg, struct fault *f)
{
	const struct moving *x = arg;

	for (size_t i = 0; i < x->n; i++) {
		const struct due_move *m = &x->moves[i];

		if (db_exec(db,
			    "UPDATE tokens SET next_refresh_at_ms = $3"
			    " WHERE client_id = $1 AND next_refresh_at_ms = $2",
			    NULL, f, db_int(m->client_row), db_int(m->from_ms),
			    db_int_or_null(m->to_ms, m->to_ms > 0)) < 0)
			return -1;
	}
	return 0;
}

int due_rows_move(
	struct token_management *tm, const struct due_move *moves, size_t n, struct fault *f)
{
	struct moving x = {.moves = moves, .n = n};

	return n > 0 ? store_transact(tm->store, move_body, &x, f) : 0;
}

/* ---- adopting ---- */

struct adopting {
	struct token_management *tm;
	const char *provider;
	int64_t after, last;
	size_t n;
	struct due_move found[ADOPT_MOST];
};

static int find_orphan(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct adopting *x = arg;
	int64_t client_row = db_get_int(&c[1]), expires = db_get_int(&c[2]), now = clock_wall_ms();
	int64_t lifetime = db_get_int(&c[3]);

	(void)n_cols;
	(void)f;
	x->last = db_get_int(&c[0]);
	/* What is past is due now, a little spread. */
	x->found[x->n++] = (struct due_move){
		.client_row = client_row,
		.to_ms = due_after_success(x->tm->settings, client_row,
			expires > now ? expires
				      : now + x->tm->settings->token_refresh_margin_ms * 2,
			lifetime),
	};
	return x->n == ADOPT_MOST;
}

static int adopt_body(struct db *db, void *arg, struct fault *f)
{
	struct adopting *x = arg;

	x->n = 0;
	if (db_read(db,
		    "SELECT t.id, t.client_id, t.expires_at_ms, t.lifetime_ms"
		    " FROM tokens t JOIN clients c ON c.id = t.client_id"
		    " WHERE t.provider = $3 AND t.next_refresh_at_ms IS NULL AND t.id > $1"
		    " AND " CAN_REFRESH " ORDER BY t.id LIMIT $2",
		    find_orphan, x, f, db_int(x->after), db_int(ADOPT_MOST),
		    db_text(x->provider)) < 0)
		return -1;
	for (size_t i = 0; i < x->n; i++)
		if (db_exec(db,
			    "UPDATE tokens SET next_refresh_at_ms = $2"
			    " WHERE client_id = $1 AND next_refresh_at_ms IS NULL",
			    NULL, f, db_int(x->found[i].client_row), db_int(x->found[i].to_ms)) < 0)
			return -1;
	return 0;
}

int due_rows_adopt(
	struct token_management *tm, const char *provider, int64_t *after, struct fault *f)
{
	struct adopting *x = mem_alloc(sizeof(*x));
	int outcome;

	x->tm = tm;
	x->provider = provider;
	x->after = *after;
	outcome = store_transact(tm->store, adopt_body, x, f);
	if (outcome >= 0) {
		*after = x->last;
		outcome = x->n < ADOPT_MOST;
	}
	mem_free(x);
	return outcome;
}

static int forget_body(struct db *db, void *arg, struct fault *f)
{
	return db_exec(db,
		"UPDATE tokens SET next_refresh_at_ms = NULL"
		" WHERE provider = $2 AND next_refresh_at_ms > $1",
		NULL, f, db_int(clock_wall_ms() + FAR_MS), db_text(arg));
}

int due_rows_forget_far(struct token_management *tm, const char *provider, struct fault *f)
{
	void *arg;

	memcpy(&arg, &provider, sizeof(arg)); /* a body takes no const */
	return store_transact(tm->store, forget_body, arg, f);
}
