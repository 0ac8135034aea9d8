/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/security_events.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/metrics.h"
#include "jose/jose.h"
#include "store/store.h"
#include "token_management/internal.h"

#define EVENTS_MAX 8 /* in one token; Google sends one */
#define AUDIENCES_MAX 32
#define JTI_BYTES_MAX 512
/* An event has no end of life; Google tries for days at most, and clocks differ by minutes. */
#define AGE_MOST_MS (INT64_C(14) * 24 * 60 * 60 * 1000)
#define AHEAD_MOST_MS (5 * 60 * 1000)
#define KEPT_MS (AGE_MOST_MS + 2 * AHEAD_MOST_MS) /* so that none comes twice */

#define SWEEP_EVERY_MS (60 * 1000)
#define OPEN_FOR_MS (30 * 1000) /* younger ones are under way */
#define OPEN_MOST 16
#define PURGE_MOST 1000

#define EVENTS(label)                                          \
	METRIC_COUNTER("review_fetcher_security_events_total", \
		"Security events that Google sent, by outcome.", "outcome=\"" label "\"")
static struct metric taken = EVENTS("taken"), repeated = EVENTS("repeated"),
		     refused = EVENTS("refused"), put_off = EVENTS("put_off");
METRICS_FROM_START(&taken, &repeated, &refused, &put_off)

struct receiving {
	struct token_management *tm;
	security_event_done_fn *done;
	void *arg;
	struct security_event_result result;
	char *audience;
	size_t n, n_unknown;
	bool is_new[EVENTS_MAX];
	struct security_event events[EVENTS_MAX];
	struct security_page pages[EVENTS_MAX];
};

/* ---- what the claims say ---- */

static void refuse(struct receiving *x, const char *err, const char *words)
{
	x->result = (struct security_event_result){
		.outcome = SECURITY_EVENT_REFUSED, .err = err, .words = words};
}

/* RFC 8417 section 2.3; an access token or an ID token under the same keys says something else. */
static bool is_security_type(const char *typ)
{
	static const char *const types[] = {"", "JWT", "secevent+jwt", "application/secevent+jwt"};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strcasecmp(typ, types[i]) == 0)
			return true;
	return false;
}

static void add_audience(struct buf *lines, const json_t *one)
{
	const char *text = json_string_value(one);

	if (text == NULL || strlen(text) > LIMIT_CLIENT_ID_BYTES || strchr(text, '\n') != NULL)
		return;
	buf_add_text(lines, text);
	buf_add_char(lines, '\n');
}

static void read_audience(struct receiving *x, const json_t *claims)
{
	AUTO(buf_drop) struct buf lines = BUF_INIT(AUDIENCES_MAX * (LIMIT_CLIENT_ID_BYTES + 1));
	const json_t *aud = json_member(claims, "aud"), *one;
	size_t i;

	if (json_is_string(aud))
		add_audience(&lines, aud);
	json_array_foreach(aud, i, one)
	{
		if (i < AUDIENCES_MAX)
			add_audience(&lines, one);
	}
	x->audience = mem_text(buf_text(&lines));
}

static void copy_word(const json_t *object, const char *name, char *to, size_t size)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	const char *text = claim_text(object, name, size - 1);

	if (text != NULL && text[strspn(text, letters)] == '\0')
		snprintf(to, size, "%s", text);
}

/* Who or what it is about (RFC 9493, and the names of its draft that Google uses). */
static void read_subject(const json_t *event, struct security_event *e)
{
	const json_t *subject = json_member(event, "subject");
	const char *sub = claim_text(subject, "sub", sizeof(e->subject) - 1);
	const char *type = claim_text(subject, "token_type", 64);

	if (json_member(subject, "iss") != NULL && !google_is_issuer(subject))
		return;
	if (e->kind != SECURITY_TOKEN_REVOKED)
		snprintf(e->subject, sizeof(e->subject), "%s", sub != NULL ? sub : "");
	else if (type == NULL || strcmp(type, "refresh_token") == 0)
		e->has_name =
			refresh_name_read(claim_text(subject, "token_identifier_alg", 64),
				claim_text(subject, "token", 256), &e->name_kind, e->name) == 0;
}

/* "https://schemas.openid.net/secevent/risc/event-type/account-disabled" */
static enum security_kind read_kind(const char *uri)
{
	static const char *const starts[] = {"https://schemas.openid.net/secevent/risc/event-type/",
		"https://schemas.openid.net/secevent/oauth/event-type/"};

	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		if (text_starts(uri, starts[i]))
			return security_kind_parse(uri + strlen(starts[i]));
	return SECURITY_KINDS;
}

static void read_event(struct receiving *x, const char *uri, const json_t *event,
	const struct security_event *common)
{
	struct security_event *e = &x->events[x->n];

	*e = *common;
	e->kind = read_kind(uri);
	if (e->kind == SECURITY_KINDS) {
		x->n_unknown++;
		return;
	}
	copy_word(event, e->kind == SECURITY_VERIFICATION ? "state" : "reason", e->reason,
		sizeof(e->reason));
	read_subject(event, e);
	e->audience = mem_text(x->audience);
	x->n++;
}

static bool read_times(struct receiving *x, const json_t *claims, struct security_event *ret)
{
	ret->received_at_ms = clock_wall_ms();
	if (claim_time_ms(claims, "iat", &ret->issued_at_ms) != 0)
		refuse(x, "invalid_request", "it has no iat");
	else if (ret->issued_at_ms > ret->received_at_ms + AHEAD_MOST_MS)
		refuse(x, "invalid_request", "it was issued in the future");
	else if (ret->issued_at_ms < ret->received_at_ms - AGE_MOST_MS)
		refuse(x, "invalid_request", "it is too old");
	else
		return true;
	return false;
}

static bool read_claims(struct receiving *x, const struct google_jwt_result *r)
{
	const json_t *events = json_member(r->claims, "events");
	const char *jti = claim_text(r->claims, "jti", JTI_BYTES_MAX), *uri;
	struct security_event common = {0};
	json_t *event;

	if (!google_is_issuer(r->claims))
		refuse(x, "invalid_issuer", "it is not from Google");
	else if (!is_security_type(r->typ) || !json_is_object(events) ||
		 json_object_size(events) == 0 || json_object_size(events) > EVENTS_MAX)
		refuse(x, "invalid_request", "it is no security event token");
	else if (jti == NULL || jti[0] == '\0')
		refuse(x, "invalid_request", "it has no jti");
	else if (read_times(x, r->claims, &common)) {
		hash_blake2b(jti, strlen(jti), common.jti_hash);
		read_audience(x, r->claims);
		json_object_foreach((json_t *)(uintptr_t)events, uri, event)
			read_event(x, uri, event, &common);
		return true;
	}
	return false;
}

/* ---- storing ---- */

static int see_any(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	bool *found = arg;

	(void)c, (void)n_cols, (void)f;
	*found = true;
	return 1;
}

/* 0: one of our apps is meant; 1: none. */
static int check_audience(struct db *db, const struct receiving *x, struct fault *f)
{
	const char *ours = x->tm->settings->google_client_id;
	char id[LIMIT_CLIENT_ID_BYTES + 1];
	bool found = false;
	size_t len;

	for (const char *at = x->audience; *at != '\0' && !found; at += len + 1) {
		len = strcspn(at, "\n");
		snprintf(id, sizeof(id), "%.*s", (int)len, at);
		found = ours != NULL && strcmp(id, ours) == 0;
		if (!found && db_read(db,
				      "SELECT 1 FROM clients WHERE client_id = $1"
				      " AND provider = 'google' LIMIT 1",
				      see_any, &found, f, db_text(id)) < 0)
			return -1;
	}
	return found ? 0 : 1;
}

static struct db_value name_if(const struct security_event *e, enum refresh_name_kind kind)
{
	return db_bytes(e->has_name && e->name_kind == kind ? e->name : NULL, sizeof(e->name));
}

static int add_row(struct db *db, const struct security_event *e, bool *ret_is_new, struct fault *f)
{
	int64_t changed;

	if (db_exec(db,
		    "INSERT INTO security_events (jti_hash, kind, audience, subject, refresh_hash,"
		    " refresh_prefix, reason, issued_at_ms, received_at_ms)"
		    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
		    &changed, f, db_bytes(e->jti_hash, sizeof(e->jti_hash)),
		    db_text(security_kind_name(e->kind)), db_text(e->audience),
		    db_text(e->subject[0] != '\0' ? e->subject : NULL),
		    name_if(e, REFRESH_NAME_HASH), name_if(e, REFRESH_NAME_PREFIXED),
		    db_text(e->reason[0] != '\0' ? e->reason : NULL), db_int(e->issued_at_ms),
		    db_int(e->received_at_ms)) < 0)
		return -1;
	*ret_is_new = changed > 0;
	return 0;
}

static int take_body(struct db *db, void *arg, struct fault *f)
{
	struct receiving *x = arg;
	int outcome = check_audience(db, x, f);

	if (outcome != 0)
		return outcome;
	for (size_t i = 0; i < x->n; i++) {
		struct security_event *e = &x->events[i];

		security_page_drop(&x->pages[i]); /* of an earlier run of this body */
		e->after_row = e->n_ended = e->n_asked = e->n_restored = 0;
		if (add_row(db, e, &x->is_new[i], f) < 0 ||
			(x->is_new[i] && security_apply(db, x->tm, e, &x->pages[i], f) < 0))
			return -1;
	}
	return 0;
}

static void log_taken(const struct security_event *e)
{
	log_event(e->n_ended > 0 ? LOG_WARN : LOG_INFO, "security_event.taken",
		F_STR("kind", security_kind_name(e->kind)), F_STR("reason", e->reason),
		F_INT("ended", e->n_ended), F_INT("asked", e->n_asked),
		F_INT("restored", e->n_restored));
}

/* ---- going on behind the first page ---- */

struct going_on {
	struct work work;
	struct security_event event;
	struct security_page page;
};

static int go_on_body(struct db *db, void *arg, struct fault *f)
{
	struct going_on *x = arg;

	security_page_drop(&x->page);
	return security_apply(db, x->work.tm, &x->event, &x->page, f);
}

static void step_go_on(struct work *w)
{
	struct going_on *x = CONTAINER_OF(w, struct going_on, work);
	const int64_t from = x->event.after_row;
	struct fault f = {0};
	bool goes_on = false;

	if (!work_is_stopping(w->tm)) {
		if (store_transact(w->tm->store, go_on_body, x, &f) < 0)
			log_event(LOG_WARN, "security_event.waits", F_FAULT(&f));
		else {
			security_page_take(w->tm, &x->event, &x->page);
			goes_on = !x->event.is_done && x->event.after_row > from;
		}
	}
	if (goes_on) {
		work_submit(w, step_go_on);
		return;
	}
	if (x->event.is_done)
		log_taken(&x->event);
	work_end(w);
	security_event_drop(&x->event);
	security_page_drop(&x->page);
	mem_free(x);
}

/* The row keeps it, should this process end before. */
static void go_on(struct token_management *tm, struct security_event *moved)
{
	struct going_on *x = mem_alloc(sizeof(*x));

	x->event = *moved;
	*moved = (struct security_event){0};
	x->work.is_behind = true;
	work_begin(tm, &x->work);
	work_submit(&x->work, step_go_on);
}

/* ---- taking ---- */

static void follow_up(struct receiving *x)
{
	if (x->n_unknown > 0)
		log_event(LOG_INFO, "security_event.unknown", F_INT("events", x->n_unknown));
	for (size_t i = 0; i < x->n; i++) {
		struct security_event *e = &x->events[i];

		metric_add(x->is_new[i] ? &taken : &repeated, 1);
		if (!x->is_new[i])
			continue;
		security_page_take(x->tm, e, &x->pages[i]);
		if (e->is_done)
			log_taken(e);
		else if (e->after_row > 0)
			go_on(x->tm, e);
	}
}

static void take(struct receiving *x, const struct google_jwt_result *r, struct fault *f)
{
	int outcome;

	if (!read_claims(x, r))
		return;
	outcome = store_transact(x->tm->store, take_body, x, f);
	if (outcome < 0)
		x->result = (struct security_event_result){
			.outcome = SECURITY_EVENT_FAILED, .fault = f};
	else if (outcome == 1)
		refuse(x, "invalid_audience", "it is for another app");
	else
		follow_up(x);
}

static void on_checked(void *arg, const struct google_jwt_result *r)
{
	struct receiving *x = arg;
	struct fault f = {0};

	x->result = (struct security_event_result){.outcome = SECURITY_EVENT_TAKEN};
	if (r->outcome == GOOGLE_JWT_GOOD)
		take(x, r, &f);
	else if (r->outcome == GOOGLE_JWT_REFUSED)
		refuse(x, "invalid_key", "it is not signed under a key of Google's");
	else
		x->result = (struct security_event_result){
			.outcome = SECURITY_EVENT_LATER, .retry_after_ms = r->retry_after_ms};
	if (x->result.outcome == SECURITY_EVENT_REFUSED)
		metric_add(&refused, 1);
	else if (x->result.outcome != SECURITY_EVENT_TAKEN)
		metric_add(&put_off, 1);
	x->done(x->arg, &x->result);
	for (size_t i = 0; i < x->n; i++) {
		security_event_drop(&x->events[i]);
		security_page_drop(&x->pages[i]);
	}
	mem_free(x->audience);
	mem_free(x);
}

void security_event_take(struct token_management *tm, const char *text, size_t len,
	security_event_done_fn *done, void *arg)
{
	struct receiving *x = mem_alloc(sizeof(*x));

	x->tm = tm;
	x->done = done;
	x->arg = arg;
	google_jwt_check(tm, text, len, on_checked, x);
}

/* ---- now and then ---- */

struct opening {
	size_t n;
	struct security_event found[OPEN_MOST];
};

static void read_name(
	struct security_event *e, const struct db_value *c, enum refresh_name_kind kind)
{
	if (c->type != DB_BYTES || c->len != sizeof(e->name))
		return;
	e->has_name = true;
	e->name_kind = kind;
	memcpy(e->name, c->bytes, sizeof(e->name));
}

static void copy_text(const struct db_value *c, char *to, size_t size)
{
	const char *text = db_get_text(c);

	snprintf(to, size, "%s", text != NULL ? text : "");
}

static int see_open(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct opening *x = arg;
	struct security_event *e = &x->found[x->n++];

	(void)n_cols;
	(void)f;
	if (c[0].len == sizeof(e->jti_hash))
		memcpy(e->jti_hash, c[0].bytes, sizeof(e->jti_hash));
	e->kind = security_kind_parse(db_get_text(&c[1]));
	e->audience = mem_text(db_get_text(&c[2]));
	copy_text(&c[3], e->subject, sizeof(e->subject));
	read_name(e, &c[4], REFRESH_NAME_HASH);
	read_name(e, &c[5], REFRESH_NAME_PREFIXED);
	copy_text(&c[6], e->reason, sizeof(e->reason));
	e->issued_at_ms = db_get_int(&c[7]);
	e->received_at_ms = db_get_int(&c[8]);
	e->after_row = db_get_int(&c[9]);
	return x->n == OPEN_MOST;
}

static int sweep_body(struct db *db, void *arg, struct fault *f)
{
	int64_t now = clock_wall_ms();

	if (db_exec(db,
		    "DELETE FROM security_events WHERE (jti_hash, kind) IN (SELECT jti_hash, kind"
		    " FROM security_events WHERE received_at_ms < $1 LIMIT $2)",
		    NULL, f, db_int(now - KEPT_MS), db_int(PURGE_MOST)) < 0)
		return -1;
	return db_read(db,
		"SELECT jti_hash, kind, audience, subject, refresh_hash, refresh_prefix, reason,"
		" issued_at_ms, received_at_ms, after_row FROM security_events"
		" WHERE done_at_ms IS NULL AND received_at_ms < $1 ORDER BY received_at_ms LIMIT "
		"$2",
		see_open, arg, f, db_int(now - OPEN_FOR_MS), db_int(OPEN_MOST));
}

/* One page a call; at the end it begins anew with the next sweep, for what was imported since. */
static int sweep_names(struct token_management *tm, struct fault *f)
{
	struct security_sweep *s = &tm->security_sweep;
	int n;

	if (s->names_done)
		return 0;
	n = refresh_names_adopt(tm, &s->names_after, f);
	if (n < 0)
		return -1;
	if (n < REFRESH_NAMES_PAGE) {
		s->names_done = true;
		s->names_after = 0;
	}
	return 0;
}

int security_sweep(struct token_management *tm, struct fault *f)
{
	struct security_sweep *s = &tm->security_sweep;
	struct opening *x;
	int result;

	if (sweep_names(tm, f) < 0)
		return -1;
	if (!s->names_done || clock_mono_ms() < s->next_mono_ms)
		return 0;
	x = mem_alloc(sizeof(*x));
	result = store_transact(tm->store, sweep_body, x, f);
	for (size_t i = 0; i < x->n; i++) {
		if (result >= 0)
			go_on(tm, &x->found[i]);
		security_event_drop(&x->found[i]);
	}
	mem_free(x);
	if (result < 0)
		return -1;
	s->next_mono_ms = clock_mono_ms() + SWEEP_EVERY_MS;
	s->names_done = false;
	return 0;
}
