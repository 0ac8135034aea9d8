/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/siblings.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/internal.h"

#define BATCH 256

/* Other callers may not see that branch's name, so the words leave it out. */
#define REASON                                                                           \
	"the provider ended this grant together with that of another branch of the same" \
	" account and OAuth project, which was revoked: connect this branch again"

/* $3: rows after this one, so that a batch follows the other. */
#define SIBLING_SELECT                                                                \
	"SELECT c.id, c.branch_id, c.client_id, t.last_refreshed_at_ms FROM tokens t" \
	" JOIN clients c ON c.id = t.client_id"                                       \
	" WHERE t.google_subject = $1 AND c.provider = $2 AND t.client_id > $3"       \
	" AND t.client_id <> $4 AND c.status IN ('connected', 'degraded')"            \
	" ORDER BY t.client_id LIMIT $5"

/* ---- who is one ---- */

static bool is_of_project(
	const struct token_management *tm, const struct grant *g, const struct db_value *oauth_id)
{
	const struct provider *p = provider_find(tm, g->provider);
	const char *ours = grant_app_id(tm, g), *its = db_get_text(oauth_id);
	size_t len;

	if (its == NULL)
		its = tm->settings->google_client_id;
	if (ours == NULL || its == NULL || p == NULL || p->revocation_ends == PROVIDER_ENDS_GRANT)
		return false;
	if (p->revocation_ends == PROVIDER_ENDS_ACCOUNT)
		return strcmp(ours, its) == 0;
	len = strcspn(ours, "-");
	return len == strcspn(its, "-") && memcmp(ours, its, len) == 0;
}

/* ---- naming them ---- */

void siblings_done(struct siblings *s)
{
	for (size_t i = 0; i < s->n; i++)
		mem_free(s->branches[i]);
	*s = (struct siblings){0};
}

struct finding {
	const struct token_management *tm;
	const struct grant *g;
	struct siblings *ret;
};

static int find_row(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct finding *x = arg;

	(void)n_cols;
	(void)f;
	if (!is_of_project(x->tm, x->g, &c[2]))
		return 0;
	x->ret->total++;
	if (x->ret->n < SIBLINGS_LISTED)
		x->ret->branches[x->ret->n++] = row_copy_text(&c[1]);
	return 0;
}

int siblings_find(struct db *db, const struct token_management *tm, const struct grant *g,
	struct siblings *ret, struct fault *f)
{
	struct finding x = {.tm = tm, .g = g, .ret = ret};

	if (g->subject == NULL)
		return 0;
	return db_read(db, SIBLING_SELECT, find_row, &x, f, db_text(g->subject),
		db_text(g->provider), db_int(0), db_int(g->client_row), db_int(INT64_MAX));
}

struct hiding {
	const struct token_management *tm;
	const struct grant *g;
	bool *ret;
};

static int find_nameless(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct hiding *x = arg;

	(void)n_cols;
	(void)f;
	*x->ret = is_of_project(x->tm, x->g, &c[0]);
	return *x->ret;
}

int siblings_may_hide(struct db *db, const struct token_management *tm, const struct grant *g,
	bool *ret, struct fault *f)
{
	struct hiding x = {.tm = tm, .g = g, .ret = ret};

	*ret = false;
	return db_read(db,
		"SELECT c.client_id FROM tokens t JOIN clients c ON c.id = t.client_id"
		" WHERE t.google_subject IS NULL AND t.refresh_token IS NOT NULL"
		" AND c.provider = $1 AND c.status IN ('pending', 'connected', 'degraded')",
		find_nameless, &x, f, db_text(g->provider));
}

/* ---- what becomes of them ---- */

struct sibling {
	int64_t row;
	char *branch_id;
	bool is_doubted;
};

struct batch {
	const struct token_management *tm;
	const struct grant *g;
	const struct siblings_fate *fate;
	int64_t after, last; /* rows */
	size_t n_rows, n;
	struct sibling found[BATCH];
};

static void forget_found(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		mem_free(b->found[i].branch_id);
	b->n = b->n_rows = 0;
}

static int batch_row(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct batch *b = arg;

	(void)n_cols;
	(void)f;
	b->n_rows++;
	b->last = db_get_int(&c[0]);
	if (is_of_project(b->tm, b->g, &c[2]))
		b->found[b->n++] = (struct sibling){
			.row = b->last,
			.branch_id = row_copy_text(&c[1]),
			.is_doubted =
				!b->fate->is_ended_now || db_get_int(&c[3]) >= b->fate->asked_at_ms,
		};
	return 0;
}

static int doubt(struct db *db, const struct sibling *s, struct fault *f)
{
	return db_exec(db,
		"UPDATE tokens SET next_refresh_at_ms = $2"
		" WHERE client_id = $1 AND next_refresh_at_ms > $2",
		NULL, f, db_int(s->row), db_int(clock_wall_ms()));
}

static int end(struct db *db, const struct batch *b, const struct sibling *s, struct fault *f)
{
	const struct state_change move = {
		.client_row = s->row,
		.to = STATE_NEEDS_RECONNECT,
		.reason = REASON,
		.who = b->fate->who,
	};

	if (state_move(db, &move, f) < 0)
		return -1;
	return db_exec(db,
		"UPDATE tokens SET is_valid = 0, next_refresh_at_ms = NULL, retry_at_ms = NULL,"
		" updated_at_ms = $2 WHERE client_id = $1",
		NULL, f, db_int(s->row), db_int(clock_wall_ms()));
}

static int batch_body(struct db *db, void *arg, struct fault *f)
{
	struct batch *b = arg;
	int result;

	forget_found(b); /* of an earlier run of this body */
	if (db_read(db, SIBLING_SELECT, batch_row, b, f, db_text(b->g->subject),
		    db_text(b->g->provider), db_int(b->after), db_int(b->g->client_row),
		    db_int(BATCH)) < 0)
		return -1;
	for (size_t i = 0; i < b->n; i++) {
		const struct sibling *s = &b->found[i];
		result = s->is_doubted ? doubt(db, s, f) : end(db, b, s, f);
		if (result < 0)
			return -1;
	}
	return 0;
}

/* After the commit: memory follows. */
static void take_batch(
	struct token_management *tm, const struct batch *b, struct siblings_fate *ret)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->found[i].is_doubted) {
			ret->n_doubted++;
		} else {
			ret->n_ended++;
			slots_forget(tm, b->found[i].branch_id);
		}
	}
	if (ret->n_doubted > 0)
		due_hear_next(tm, b->g->provider, clock_wall_ms());
}

int siblings_end(struct token_management *tm, const struct grant *g, struct siblings_fate *fate,
	struct fault *f)
{
	struct batch *b;
	int result;

	if (g->subject == NULL)
		return 0;
	b = mem_alloc(sizeof(*b));
	*b = (struct batch){.tm = tm, .g = g, .fate = fate};
	do {
		b->after = b->last;
		result = store_transact(tm->store, batch_body, b, f);
		if (result == 0)
			take_batch(tm, b, fate);
	} while (result == 0 && b->n_rows == BATCH);
	forget_found(b);
	mem_free(b);
	return result;
}
