/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event against the connections. Google's word ends a connection only where it speaks of the
 * grant itself; where it may be about an older grant, or about something else than grants, the
 * token endpoint is asked, which always knows.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/internal.h"
#include "token_management/security_events.h"
#include "token_management/state.h"

/* A grant that was refreshed later than this before the event may be a newer one: two clocks. */
#define CLOCKS_DIFFER_MS 60000
/* How long the name of a token is looked for while others have no name yet. */
#define NAMES_WAIT_MS (24 * 60 * 60 * 1000)

static const struct actor google = {.name = "google"};

static const char *const kinds[SECURITY_KINDS] = {
	[SECURITY_TOKEN_REVOKED] = "token-revoked",
	[SECURITY_TOKENS_REVOKED] = "tokens-revoked",
	[SECURITY_SESSIONS_REVOKED] = "sessions-revoked",
	[SECURITY_ACCOUNT_DISABLED] = "account-disabled",
	[SECURITY_ACCOUNT_ENABLED] = "account-enabled",
	[SECURITY_CREDENTIALS] = "account-credential-change-required",
	[SECURITY_VERIFICATION] = "verification",
};

const char *security_kind_name(enum security_kind kind)
{
	return kinds[kind];
}

enum security_kind security_kind_parse(const char *name)
{
	unsigned i = 0;

	while (i < SECURITY_KINDS && strcmp(kinds[i], name) != 0)
		i++;
	return (enum security_kind)i;
}

void security_event_drop(struct security_event *e)
{
	mem_free(e->audience);
	*e = (struct security_event){0};
}

void security_page_drop(struct security_page *p)
{
	for (size_t i = 0; i < p->n_forget; i++)
		mem_free(p->forget[i]);
	p->n_rows = p->n_forget = 0;
}

/* ---- reading ---- */

struct connection {
	int64_t row, refreshed_at_ms;
	enum connection_state state;
	bool is_suspended, has_refresh;
	char *branch_id;
};

struct reading {
	const struct token_management *tm;
	struct security_event *e;
	size_t n_rows, n; /* seen; of the event's project */
	struct connection found[SECURITY_PAGE];
};

static void reading_free(struct reading **x)
{
	for (size_t i = 0; i < (*x)->n; i++)
		mem_free((*x)->found[i].branch_id);
	mem_free(*x);
}

/* A grant is of a whole project, which is the client id up to the first '-'. */
static bool is_of_project(const char *client_id, const char *lines)
{
	size_t len = client_id != NULL ? strcspn(client_id, "-") : 0;

	for (const char *at = lines; len > 0 && *at != '\0'; at += strcspn(at, "\n")) {
		at += strspn(at, "\n");
		if (strcspn(at, "-\n") == len && memcmp(at, client_id, len) == 0)
			return true;
	}
	return false;
}

static int see_connection(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct reading *x = arg;
	const char *client_id = db_get_text(&c[2]);

	(void)n_cols;
	(void)f;
	x->n_rows++;
	x->e->after_row = db_get_int(&c[0]);
	if (client_id == NULL)
		client_id = x->tm->settings->google_client_id;
	if (is_of_project(client_id, x->e->audience))
		x->found[x->n++] = (struct connection){
			.row = x->e->after_row,
			.branch_id = mem_text(db_get_text(&c[1])),
			.refreshed_at_ms = db_get_int(&c[3]),
			.state = state_parse(db_get_text(&c[4])),
			.is_suspended = c[5].type != DB_NULL,
			.has_refresh = db_get_int(&c[6]) != 0,
		};
	return 0;
}

#define CONNECTIONS(where)                                                                      \
	"SELECT c.id, c.branch_id, c.client_id, t.last_refreshed_at_ms, c.status,"              \
	" t.suspended_at_ms, CASE WHEN t.refresh_token IS NULL THEN 0 ELSE 1 END FROM tokens t" \
	" JOIN clients c ON c.id = t.client_id WHERE " where                                    \
	" AND c.provider = 'google' AND t.client_id > $2"                                       \
	" AND c.status IN ('connected', 'degraded', 'needs_reconnect')"                         \
	" ORDER BY t.client_id LIMIT $3"

static int read_page(struct db *db, struct reading *x, struct fault *f)
{
	const struct security_event *e = x->e;
	struct db_value key =
		e->has_name ? db_bytes(e->name, sizeof(e->name)) : db_text(e->subject);
	const char *sql = !e->has_name ? CONNECTIONS("t.google_subject = $1")
			  : e->name_kind == REFRESH_NAME_HASH
				  ? CONNECTIONS("t.refresh_hash = $1")
				  : CONNECTIONS("t.refresh_prefix = $1");

	return db_read(
		db, sql, see_connection, x, f, key, db_int(e->after_row), db_int(SECURITY_PAGE));
}

/* ---- what becomes of one ---- */

static bool is_living(const struct connection *c)
{
	return c->state == STATE_CONNECTED || c->state == STATE_DEGRADED;
}

static int move(struct db *db, const struct connection *c, enum connection_state to,
	const char *reason, struct fault *f)
{
	const struct state_change m = {
		.client_row = c->row, .to = to, .reason = reason, .who = &google};

	return state_move(db, &m, f) < 0 ? -1 : 0;
}

/* The provider is asked at once, by the ordinary refresh. */
static int probe(
	struct db *db, struct security_event *e, const struct connection *c, struct fault *f)
{
	char detail[96];

	if (!is_living(c))
		return 0;
	e->n_asked++;
	snprintf(detail, sizeof(detail), "{\"event\":\"%s\"}", security_kind_name(e->kind));
	if (audit_write(db, &google, "connection.checked", c->branch_id, detail, f) < 0)
		return -1;
	return db_exec(db,
		"UPDATE tokens SET next_refresh_at_ms = $2, retry_at_ms = NULL,"
		" suspended_at_ms = $3 WHERE client_id = $1",
		NULL, f, db_int(c->row), db_int(clock_wall_ms()),
		db_int_or_null(e->issued_at_ms, e->kind == SECURITY_ACCOUNT_DISABLED));
}

/* What Google has revoked is deleted here too, as it demands; a suspended grant may come back. */
static int end(struct db *db, struct security_event *e, const struct connection *c, struct fault *f)
{
	bool is_suspended = e->kind == SECURITY_ACCOUNT_DISABLED;
	char words[200];

	snprintf(words, sizeof(words), "Google %s%s%s%s: connect the branch again",
		is_suspended                        ? "has disabled the account"
		: e->kind == SECURITY_TOKEN_REVOKED ? "has revoked this grant"
						    : "has revoked all grants of this account",
		e->reason[0] != '\0' ? " (" : "", e->reason, e->reason[0] != '\0' ? ")" : "");
	if (is_living(c)) {
		e->n_ended++;
		if (move(db, c, STATE_NEEDS_RECONNECT, words, f) < 0)
			return -1;
	} else if (is_suspended) {
		return 0; /* it was dead before */
	}
	return db_exec(db,
		"UPDATE tokens SET is_valid = 0, next_refresh_at_ms = NULL, retry_at_ms = NULL,"
		" access_token = NULL, expires_at_ms = NULL, updated_at_ms = $2,"
		" suspended_at_ms = $3,"
		" refresh_token = CASE WHEN $4 = 1 THEN refresh_token ELSE NULL END,"
		" refresh_hash = CASE WHEN $4 = 1 THEN refresh_hash ELSE NULL END,"
		" refresh_prefix = CASE WHEN $4 = 1 THEN refresh_prefix ELSE NULL END"
		" WHERE client_id = $1",
		NULL, f, db_int(c->row), db_int(clock_wall_ms()),
		db_int_or_null(e->issued_at_ms, is_suspended), db_int(is_suspended));
}

static int restore(
	struct db *db, struct security_event *e, const struct connection *c, struct fault *f)
{
	if (!c->is_suspended)
		return 0;
	if (c->state == STATE_NEEDS_RECONNECT && c->has_refresh) {
		e->n_restored++;
		if (move(db, c, STATE_DEGRADED,
			    "Google has enabled the account again; the grant is being tried",
			    f) < 0)
			return -1;
	}
	return db_exec(db,
		"UPDATE tokens SET suspended_at_ms = NULL, retry_at_ms = NULL,"
		" is_valid = CASE WHEN refresh_token IS NULL THEN is_valid ELSE 1 END,"
		" next_refresh_at_ms = CASE WHEN refresh_token IS NULL THEN next_refresh_at_ms"
		" ELSE $2 END, updated_at_ms = $2 WHERE client_id = $1",
		NULL, f, db_int(c->row), db_int(clock_wall_ms()));
}

static int act(struct db *db, struct security_event *e, const struct connection *c, bool is_alone,
	struct fault *f)
{
	bool may_be_newer = c->refreshed_at_ms >= e->issued_at_ms - CLOCKS_DIFFER_MS;

	switch (e->kind) {
	case SECURITY_TOKEN_REVOKED:
		return is_alone ? end(db, e, c, f) : probe(db, e, c, f);
	case SECURITY_TOKENS_REVOKED:
	case SECURITY_ACCOUNT_DISABLED:
		return may_be_newer ? probe(db, e, c, f) : end(db, e, c, f);
	case SECURITY_ACCOUNT_ENABLED:
		return restore(db, e, c, f);
	case SECURITY_SESSIONS_REVOKED:
	case SECURITY_CREDENTIALS:
		return probe(db, e, c, f);
	case SECURITY_VERIFICATION:
	case SECURITY_KINDS:
		break;
	}
	return 0;
}

/* ---- the page ---- */

static int see_any(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	bool *found = arg;

	(void)c, (void)n_cols, (void)f;
	*found = true;
	return 1;
}

/* Nobody has that token, unless it is among those whose names are not written down yet. */
static int is_over(
	struct db *db, struct security_event *e, const struct reading *x, struct fault *f)
{
	bool has_nameless = false;

	e->is_done = x->n_rows < SECURITY_PAGE;
	if (!e->has_name || x->n_rows > 0 || e->after_row > 0 ||
		clock_wall_ms() - e->received_at_ms > NAMES_WAIT_MS)
		return 0;
	if (db_read(db,
		    "SELECT 1 FROM tokens WHERE refresh_hash IS NULL AND refresh_token IS NOT NULL"
		    " LIMIT 1",
		    see_any, &has_nameless, f) < 0)
		return -1;
	e->is_done = !has_nameless;
	return 0;
}

static int note(struct db *db, const struct security_event *e, struct fault *f)
{
	if (e->is_done)
		return db_exec(db,
			"UPDATE security_events SET after_row = $3, done_at_ms = $4, subject = "
			"NULL,"
			" refresh_hash = NULL, refresh_prefix = NULL, audience = ''"
			" WHERE jti_hash = $1 AND kind = $2",
			NULL, f, db_bytes(e->jti_hash, sizeof(e->jti_hash)),
			db_text(security_kind_name(e->kind)), db_int(e->after_row),
			db_int(clock_wall_ms()));
	return db_exec(db,
		"UPDATE security_events SET after_row = $3 WHERE jti_hash = $1 AND kind = $2", NULL,
		f, db_bytes(e->jti_hash, sizeof(e->jti_hash)), db_text(security_kind_name(e->kind)),
		db_int(e->after_row));
}

int security_apply(struct db *db, const struct token_management *tm, struct security_event *e,
	struct security_page *ret, struct fault *f)
{
	AUTO(reading_free) struct reading *x = mem_alloc(sizeof(*x));
	bool has_target = e->has_name || e->subject[0] != '\0';

	x->tm = tm;
	x->e = e;
	if (has_target && e->kind != SECURITY_VERIFICATION && read_page(db, x, f) < 0)
		return -1;
	if (is_over(db, e, x, f) < 0)
		return -1;
	for (size_t i = 0; i < x->n; i++) {
		if (act(db, e, &x->found[i], x->n == 1, f) < 0)
			return -1;
		ret->forget[ret->n_forget++] = TAKE(x->found[i].branch_id);
	}
	ret->n_rows = x->n_rows;
	return note(db, e, f);
}

void security_page_take(
	struct token_management *tm, const struct security_event *e, struct security_page *p)
{
	bool is_asking = e->n_asked + e->n_restored > 0;

	for (size_t i = 0; i < p->n_forget && e->n_ended > 0; i++)
		slots_forget(tm, p->forget[i]);
	if (is_asking)
		due_hear_next(tm, "google", clock_wall_ms());
}
