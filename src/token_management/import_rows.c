/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/import_rows.h"

#include <string.h>

#include "base/clock.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/internal.h"

struct verdict { /* on one line */
	int64_t client_row;
	const char *state, *reason;
};

static int put_line(struct db *db, const struct import_batch *b, const struct import_line *l,
	const struct verdict *v, struct fault *f)
{
	bool is_open = strcmp(v->state, "waiting") == 0;

	return db_exec(db,
		"INSERT INTO import_lines (import_id, line, branch_id, client_id, state, reason,"
		" settled_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)"
		" ON CONFLICT (import_id, line) DO NOTHING",
		NULL, f, db_text(b->import_id), db_int(l->number),
		db_text(l->branch_id[0] != '\0' ? l->branch_id : NULL),
		db_int_or_null(v->client_row, v->client_row > 0), db_text(v->state),
		db_text(v->reason), db_int_or_null(clock_wall_ms(), !is_open));
}

static int put_invalid(
	struct db *db, const struct import_batch *b, const struct import_line *l, struct fault *f)
{
	AUTO(buf_drop) struct buf reason = BUF_INIT(IMPORT_FLAWS_MAX * sizeof(l->flaws[0]) + 64);

	for (size_t i = 0; i < l->n_flaws; i++)
		buf_addf(&reason, "%s%s%s%s", i > 0 ? "; " : "", l->flaws[i].field,
			l->flaws[i].field[0] != '\0' ? " " : "", l->flaws[i].text);
	return put_line(
		db, b, l, &(struct verdict){.state = "invalid", .reason = buf_text(&reason)}, f);
}

/* ---- a connection ---- */

static int64_t due_ms(const struct import_batch *b, int64_t n_due)
{
	int64_t paced = b->first_due_ms + (b->n_due + n_due) * b->due_step_us / 1000;
	int64_t now = clock_wall_ms();

	return paced > now ? paced : now;
}

/* The fence moves on, so that a refresh with an older grant can no longer write. */
static int put_tokens(struct db *db, const struct import_batch *b, const struct import_line *l,
	int64_t client_row, int64_t due_at_ms, struct fault *f)
{
	AUTO(secret_drop) struct secret plain = secret_from(l->refresh_token, l->refresh_token_len);
	AUTO(sealed_drop) struct sealed sealed = {0};
	struct refresh_names names;
	int64_t now = clock_wall_ms();
	const char *asked = provider_find(b->tm, l->provider)->required_scopes;

	grant_seal(b->tm, "refresh_token", client_row, &plain, &sealed);
	refresh_names_of(&plain, &names);
	return db_exec(db,
		"INSERT INTO tokens (client_id, provider, refresh_token, scope, requested_scope,"
		" next_refresh_at_ms, created_at_ms, updated_at_ms, refresh_hash, refresh_prefix)"
		" VALUES ($1, $8, $2, $3, $4, $5, $6, $7, $9, $10)"
		" ON CONFLICT (client_id) DO UPDATE SET provider = excluded.provider,"
		" access_token = NULL,"
		" refresh_token = excluded.refresh_token, token_type = 'Bearer',"
		" scope = excluded.scope, requested_scope = excluded.requested_scope,"
		" google_subject = NULL, google_email = NULL, expires_at_ms = NULL,"
		" lifetime_ms = NULL, next_refresh_at_ms = excluded.next_refresh_at_ms,"
		" refresh_token_expires_at_ms = NULL, is_valid = 1, is_revoked = 0,"
		" refresh_failures = 0, retry_at_ms = NULL, lease_owner = NULL,"
		" lease_until_ms = NULL, fence = tokens.fence + 1, last_refreshed_at_ms = NULL,"
		" refresh_hash = excluded.refresh_hash, refresh_prefix = excluded.refresh_prefix,"
		" suspended_at_ms = NULL,"
		" updated_at_ms = excluded.updated_at_ms",
		NULL, f, db_int(client_row), db_sealed(&sealed), db_text(l->scope), db_text(asked),
		db_int(due_at_ms), db_int(l->granted_at_ms > 0 ? l->granted_at_ms : now),
		db_int(now), db_text(l->provider), refresh_names_hash(&names),
		refresh_names_prefix(&names));
}

static int remember(struct db *db, const struct import_line *l, int64_t client_row, struct fault *f)
{
	return db_exec(db,
		"INSERT INTO imported_tokens (identity, client_id, at_ms) VALUES ($1, $2, $3)"
		" ON CONFLICT (identity) DO UPDATE SET client_id = excluded.client_id,"
		" at_ms = excluded.at_ms",
		NULL, f, db_bytes(l->identity, sizeof(l->identity)), db_int(client_row),
		db_int(clock_wall_ms()));
}

static int write_audit(struct db *db, const struct import_batch *b, const struct import_line *l,
	const struct client_insertion *x, const char *action, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(16384);
	struct json_out o = JSON_OUT(&detail);

	json_open(&o, '{');
	json_add_int(&o, "client", x->id);
	json_add_text(&o, "client_id", l->in.client_id);
	json_add_text(&o, "redirect_uri", x->redirect_uri);
	json_add_text(&o, "import", b->import_id);
	json_add_int(&o, "line", l->number);
	json_close(&o, '}');
	return audit_write(db, b->who, action, l->in.branch_id, buf_text(&detail), f);
}

static int write_connection(struct db *db, const struct import_batch *b,
	const struct import_line *l, const struct client_insertion *x, int64_t *n_due,
	struct fault *f)
{
	struct verdict v = {.client_row = x->id, .state = "waiting"};

	if (put_tokens(db, b, l, x->id, due_ms(b, *n_due), f) < 0 || remember(db, l, x->id, f) < 0)
		return -1;
	(*n_due)++;
	return put_line(db, b, l, &v, f);
}

/* ---- a branch that exists ---- */

struct found {
	int64_t id;
	enum connection_state state;
	bool is_known;   /* this very token was imported for it before */
	bool is_refused; /* … and waits for its app to be accepted */
	char reason[400];
};

static int see_found(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct found *x = arg;
	const char *reason = db_get_text(&c[2]);

	(void)n_cols;
	(void)f;
	x->id = db_get_int(&c[0]);
	x->state = state_parse(db_get_text(&c[1]));
	snprintf(x->reason, sizeof(x->reason), "%s", reason != NULL ? reason : "");
	x->is_known = db_get_int(&c[3]) != 0;
	x->is_refused = x->state == STATE_PENDING && db_get_int(&c[4]) != 0;
	return 1;
}

static int find_branch(
	struct db *db, const struct import_line *l, struct found *ret, struct fault *f)
{
	*ret = (struct found){0};
	return db_read(db,
		"SELECT c.id, c.status, c.status_reason,"
		" (SELECT count(*) FROM imported_tokens i"
		"  WHERE i.identity = $2 AND i.client_id = c.id),"
		" (SELECT count(*) FROM import_lines r"
		"  WHERE r.client_id = c.id AND r.state = 'app_refused')"
		" FROM clients c WHERE c.branch_id = $1",
		see_found, ret, f, db_text(l->in.branch_id),
		db_bytes(l->identity, sizeof(l->identity)));
}

/* The line was imported before: it is told again what became of it. */
static int repeat(struct db *db, const struct import_batch *b, const struct import_line *l,
	const struct found *x, struct fault *f)
{
	struct verdict v = {.client_row = x->id, .state = "exists"};

	switch (x->state) {
	case STATE_PENDING:
		v.state = "waiting";
		break;
	case STATE_CONNECTED:
	case STATE_DEGRADED:
		v.state = "verified";
		v.reason = "this token was imported before, and the connection lives";
		break;
	case STATE_NEEDS_RECONNECT:
		v.state = "failed";
		v.reason = x->reason[0] != '\0' ? x->reason : "the connection needs reconnecting";
		break;
	default:
		v.reason = "this token was imported before, and the connection was revoked since: "
			   "connect the branch again";
	}
	return put_line(db, b, l, &v, f);
}

static int put_exists(struct db *db, const struct import_batch *b, const struct import_line *l,
	const struct found *x, struct fault *f)
{
	AUTO(buf_drop) struct buf reason = BUF_INIT(512);
	struct verdict v = {.client_row = x->id, .state = "exists"};

	buf_addf(&reason, "the branch exists and is %s; nothing was changed", state_name(x->state));
	if (x->state == STATE_REVOKING)
		buf_add_text(&reason, ": wait until it is revoked, then send the line again");
	else
		buf_add_text(
			&reason, ": send the line with on_conflict=replace to give it this token");
	v.reason = buf_text(&reason);
	return put_line(db, b, l, &v, f);
}

static int replace_client(struct db *db, struct client_insertion *x, struct fault *f)
{
	const struct client_input *in = x->in;

	if (db_exec(db,
		    "UPDATE clients SET client_id = $2, client_secret = NULL,"
		    " client_secret_previous = NULL, client_secret_previous_until_ms = NULL,"
		    " redirect_uri = $3, workspace_email = $4, workspace_name = $5, provider = $6,"
		    " scope = NULL, key_id = $8, is_active = 1, updated_at_ms = $7 WHERE id = $1",
		    NULL, f, db_int(x->id), db_text(in->client_id), db_text(x->redirect_uri),
		    db_text(in->workspace_email), db_text(in->workspace_name), db_text(x->provider),
		    db_int(clock_wall_ms()), db_text(in->key_id)) < 0)
		return -1;
	return in->client_secret != NULL || in->private_key != NULL ? client_put_secret(db, x, f)
								    : 0;
}

static int replace(struct db *db, const struct import_batch *b, const struct import_line *l,
	struct client_insertion *x, int64_t *n_due, struct fault *f)
{
	struct state_change move = {.client_row = x->id, .to = STATE_PENDING, .who = b->who};

	/* Lines that waited for the token before wait no more. */
	if (import_forget(db, x->id, f) < 0 || replace_client(db, x, f) < 0 ||
		state_move(db, &move, f) < 0 ||
		write_audit(db, b, l, x, "client.replaced", f) < 0 ||
		store_note_change(db, CHANGE_CLIENT, l->in.branch_id, f) < 0)
		return -1;
	return write_connection(db, b, l, x, n_due, f);
}

/* ---- a line, a batch ---- */

static int write_good(struct db *db, const struct import_batch *b, const struct import_line *l,
	int64_t *n_due, struct fault *f)
{
	AUTO(buf_drop) struct buf callback = BUF_INIT(LIMIT_URL_BYTES + 64);
	struct client_insertion x = {.tm = b->tm,
		.in = &l->in,
		.redirect_uri = l->in.redirect_uri,
		.provider = l->provider};
	struct found found;
	int outcome;

	if (x.redirect_uri == NULL) {
		client_callback_url(b->tm, l->provider, &callback);
		x.redirect_uri = buf_text(&callback);
	}
	outcome = client_insert(db, &x, f);
	if (outcome < 0)
		return -1;
	if (outcome == 0)
		return write_audit(db, b, l, &x, "client.imported", f) < 0
			       ? -1
			       : write_connection(db, b, l, &x, n_due, f);
	if (find_branch(db, l, &found, f) < 0)
		return -1;
	x.id = found.id;
	/* A token whose app was refused was not spent: it is tried again with what the line says
	 * now. */
	if (found.is_known && found.is_refused)
		return replace(db, b, l, &x, n_due, f);
	if (found.is_known)
		return repeat(db, b, l, &found, f);
	if (b->replaces && found.state != STATE_REVOKING)
		return replace(db, b, l, &x, n_due, f);
	return put_exists(db, b, l, &found, f);
}

static int write_line(struct db *db, const struct import_batch *b, const struct import_line *l,
	int64_t *n_due, struct fault *f)
{
	static const struct verdict unseen = {.state = "invalid",
		.reason = "the key is bound to other branches: use one that covers this branch_id"};

	if (l->n_flaws > 0)
		return put_invalid(db, b, l, f);
	if (b->sees != NULL && !b->sees(b->sees_arg, l->in.branch_id))
		return put_line(db, b, l, &unseen, f);
	return write_good(db, b, l, n_due, f);
}

int import_batch_write(
	struct db *db, const struct import_batch *b, int64_t *ret_due, struct fault *f)
{
	int64_t n_due = 0;

	for (size_t i = 0; i < b->n; i++)
		if (write_line(db, b, &b->lines[i], &n_due, f) < 0)
			return -1;
	if (db_exec(db,
		    "UPDATE imports SET lines = $2, is_whole = $3, updated_at_ms = $4"
		    " WHERE id = $1",
		    NULL, f, db_text(b->import_id), db_int(b->lines_total), db_int(b->is_last),
		    db_int(clock_wall_ms())) < 0)
		return -1;
	*ret_due = n_due;
	return n_due > 0 ? store_note_change(db, CHANGE_DUE, b->import_id, f) : 0;
}

/* ---- what becomes of it ---- */

static int settle(
	struct db *db, int64_t client_row, const char *state, const char *reason, struct fault *f)
{
	return db_exec(db,
		"UPDATE import_lines SET state = $2, reason = $3, settled_at_ms = $4"
		" WHERE client_id = $1 AND state IN ('waiting', 'app_refused')",
		NULL, f, db_int(client_row), db_text(state), db_text(reason),
		db_int(clock_wall_ms()));
}

int import_settle(struct db *db, const struct state_change *c, struct fault *f)
{
	if (c->to == STATE_CONNECTED)
		return settle(db, c->client_row, "verified", NULL, f);
	return settle(db, c->client_row, "failed", c->reason, f);
}

int import_put_off(
	struct db *db, int64_t client_row, const struct grant_failure *why, struct fault *f)
{
	const char *state = why->class == TOKEN_CLASS_MISCONFIGURED ? "app_refused" : "waiting";
	int64_t now = clock_wall_ms();

	return db_exec(db,
		"UPDATE import_lines SET state = $2, reason = $3, settled_at_ms = $4"
		" WHERE client_id = $1 AND state IN ('waiting', 'app_refused')",
		NULL, f, db_int(client_row), db_text(state), db_text(why->reason),
		db_int_or_null(now, why->class == TOKEN_CLASS_MISCONFIGURED));
}

int import_forget(struct db *db, int64_t client_row, struct fault *f)
{
	return settle(db, client_row, "failed",
		"the client was deleted or replaced before its token was verified", f);
}
