/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a flow ended stays with its row for a while: the page after it can be shown again by any
 * process, its address holding neither code nor state, and a new try can begin from it.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/connect_exchange.h"

static void write_detail(const struct exchange *x, struct buf *ret)
{
	struct json_out o = JSON_OUT(ret);

	json_open(&o, '{');
	json_add_text(&o, "missing", x->missing);
	json_add_text(&o, "account", x->identity.email[0] != '\0' ? x->identity.email : NULL);
	json_add_bool(&o, "wrong", x->is_wrong_account);
	json_add_text(
		&o, "provider_error", x->provider_error[0] != '\0' ? x->provider_error : NULL);
	json_add_text(&o, "reason", x->fault.text[0] != '\0' ? x->fault.text : NULL);
	json_close(&o, '}');
}

int connect_note_end(
	struct db *db, const struct exchange *x, enum connect_outcome outcome, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(16384);

	write_detail(x, &detail);
	return db_exec(db,
		"UPDATE connect_flows SET ended_as = $2, ended_detail = $3, ended_at_ms = $4"
		" WHERE state_hash = $1",
		NULL, f, db_bytes(x->state_hash, sizeof(x->state_hash)),
		db_text(connect_outcome_name(outcome)), db_text(buf_text(&detail)),
		db_int(clock_wall_ms()));
}

static enum connect_outcome parse_outcome(const char *name)
{
	for (unsigned i = 0; name != NULL && i < CONNECT_OUTCOMES; i++) {
		if (strcmp(connect_outcome_name((enum connect_outcome)i), name) == 0)
			return (enum connect_outcome)i;
	}
	return CONNECT_BAD_STATE;
}

bool connect_may_begin_again(const char *ended_as, const char *detail, bool *ret_chooses_account)
{
	AUTO(json_drop) json_t *j = NULL;
	struct fault f = {0};
	bool is_wrong = false;

	if (detail != NULL && json_parse(detail, strlen(detail), &j, &f) == 0)
		is_wrong = json_flag(j, "wrong", false);
	*ret_chooses_account = is_wrong;
	return parse_outcome(ended_as) != CONNECT_DONE || is_wrong;
}

struct past {
	uint8_t browser_hash[HASH_BLAKE2B_SIZE];
	bool found;
	int64_t client_row;
	enum connect_outcome outcome;
	char *provider, *detail;
};

static int read_past(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct past *p = arg;

	(void)n_cols;
	(void)f;
	if (c[2].type == DB_NULL || c[1].len != HASH_BLAKE2B_SIZE ||
		!hash_equal(c[1].bytes, p->browser_hash, HASH_BLAKE2B_SIZE))
		return 1;
	p->found = true;
	p->client_row = db_get_int(&c[0]);
	p->outcome = parse_outcome(db_get_text(&c[2]));
	p->detail = row_copy_text(&c[3]);
	p->provider = row_copy_text(&c[4]);
	return 1;
}

struct recalling {
	const uint8_t *state_hash;
	struct past *past;
	struct grant *grant;
};

static int recall_body(struct db *db, void *arg, struct fault *f)
{
	struct recalling *x = arg;

	if (db_read(db,
		    "SELECT client_id, browser_hash, ended_as, ended_detail, provider"
		    " FROM connect_flows WHERE state_hash = $1",
		    read_past, x->past, f, db_bytes(x->state_hash, HASH_BLAKE2B_SIZE)) < 0)
		return -1;
	if (!x->past->found)
		return 1;
	return grant_load_by_id(db, x->past->client_row, x->grant, f);
}

static void past_done(struct past *p)
{
	mem_free(p->provider);
	mem_free(p->detail);
}

/* Tells it as connect_finish did; what it borrows lives until done is back. */
static void tell(struct token_management *tm, const struct past *past, const struct grant *g,
	const char *state, connect_done_fn *done, void *arg)
{
	const struct provider *p = provider_find(tm, past->provider);
	AUTO(json_drop) json_t *j = NULL;
	struct fault fault = {.kind = FAULT_UPSTREAM}, ignored = {0};
	struct connect_result r = {
		.outcome = past->outcome,
		.client_row = g->client_row,
		.client_oauth_id = grant_app_id(tm, g),
		.branch_id = g->branch_id,
		.workspace_name = g->workspace_name,
		.workspace_email = g->workspace_email,
		.provider = past->provider,
		.provider_title = p != NULL ? p->title : NULL,
		.state = state,
	};

	if (past->detail != NULL &&
		json_parse(past->detail, strlen(past->detail), &j, &ignored) == 0) {
		r.missing_scopes = json_text(j, "missing");
		r.account = json_text(j, "account");
		r.is_wrong_account = json_flag(j, "wrong", false);
		r.provider_error = json_text(j, "provider_error");
		if (json_text(j, "reason") != NULL) {
			snprintf(fault.text, sizeof(fault.text), "%s", json_text(j, "reason"));
			r.fault = &fault;
		}
	}
	done(arg, &r);
}

int connect_recall(struct token_management *tm, const char *state, const char *browser,
	connect_done_fn *done, void *arg, struct fault *f)
{
	AUTO(grant_done) struct grant g = {0};
	AUTO(past_done) struct past past = {0};
	uint8_t hash[HASH_BLAKE2B_SIZE];
	struct recalling x = {.state_hash = hash, .past = &past, .grant = &g};
	int result;

	if (!connect_is_ours(state) || !connect_is_ours(browser))
		return 1;
	connect_hash(state, hash);
	connect_hash(browser, past.browser_hash);
	result = store_use(tm->store, recall_body, &x, f);
	if (result == 0)
		tell(tm, &past, &g, state, done, arg);
	return result;
}
