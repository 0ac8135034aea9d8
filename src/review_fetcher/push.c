/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message becomes a job of one call before it is acknowledged, so that neither a crash nor a full
 * budget loses it. Pub/Sub delivers at least once: a message counts once, and one for a review that
 * is about to be read anyway is no second job.
 */
#include "review_fetcher/review_fetcher_push.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/metrics.h"
#include "review_fetcher/engine.h"
#include "store/store.h"

#define ID_MAX 512 /* of an account, a location, a review */
#define MESSAGE_ID_MAX 256
#define DATA_MAX (64 * 1024)
#define BRANCHES_MAX 16
#define KEPT_MS (INT64_C(8) * 24 * 60 * 60 * 1000) /* a subscription keeps messages for 7 days */

#define MESSAGES(label)                                      \
	METRIC_COUNTER("review_fetcher_push_messages_total", \
		"Push messages from Google, by what came of them.", "outcome=\"" label "\"")
static struct metric queued = MESSAGES("queued"), repeated = MESSAGES("repeated"),
		     unknown = MESSAGES("unknown_location"), ignored = MESSAGES("ignored");
METRICS_FROM_START(&queued, &repeated, &unknown, &ignored)

struct push {
	struct review_fetcher *rf;
	char message_id[MESSAGE_ID_MAX + 1];
	char account_id[ID_MAX + 1], location_id[ID_MAX + 1], review_id[ID_MAX + 1];
	/* who can read it */
	char *branches[BRANCHES_MAX], *accounts[BRANCHES_MAX];
	size_t n, chosen;
	char job_id[37];
	bool is_new, is_queued;
};

static void push_done(struct push *p)
{
	for (size_t i = 0; i < p->n; i++) {
		mem_free(p->branches[i]);
		mem_free(p->accounts[i]);
	}
}

/* ---- the message ---- */

/* Copies the segment behind `collection`/ at *at, and moves on behind it. */
static bool take_segment(const char **at, const char *collection, char ret[static ID_MAX + 1])
{
	size_t len;

	if (!text_starts(*at, collection))
		return false;
	*at += strlen(collection);
	len = strcspn(*at, "/");
	if (len == 0 || len > ID_MAX)
		return false;
	memcpy(ret, *at, len);
	ret[len] = '\0';
	*at += len;
	return true;
}

static bool read_name(const char *name, struct push *p)
{
	const char *at = name;

	return name != NULL && take_segment(&at, "accounts/", p->account_id) &&
	       take_segment(&at, "/locations/", p->location_id) &&
	       take_segment(&at, "/reviews/", p->review_id) && *at == '\0';
}

/* Google documents that the name is there, not under which member. */
static bool find_name(const json_t *object, struct push *p)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (read_name(json_string_value(value), p))
			return true;
	}
	return false;
}

/* Pub/Sub's base64 is the ordinary one, padded. */
static int decode(const char *text, struct buf *ret)
{
	AUTO(buf_drop) struct buf digits = BUF_INIT(2 * DATA_MAX);

	for (size_t i = 0; text[i] != '\0' && text[i] != '='; i++)
		buf_add_char(&digits, text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
	return buf_failed(&digits) ? 1 : text_base64url_decode(buf_text(&digits), digits.len, ret);
}

/* 0; 1: there is nothing for us in it. */
static int read_message(const char *body, size_t len, struct push *p)
{
	AUTO(json_drop) json_t *envelope = NULL, *data = NULL;
	AUTO(buf_drop) struct buf bytes = BUF_INIT(DATA_MAX);
	const json_t *message;
	const char *id, *text;
	struct fault unused;

	if (json_parse(body, len, &envelope, &unused) < 0)
		return 1;
	message = json_member(envelope, "message");
	id = json_text(message, "messageId");
	text = json_text(message, "data");
	if (!id || !*id || strlen(id) > MESSAGE_ID_MAX || !text || decode(text, &bytes) != 0 ||
		json_parse(buf_text(&bytes), bytes.len, &data, &unused) < 0)
		return 1;
	snprintf(p->message_id, sizeof(p->message_id), "%s", id);
	return find_name(data, p) ? 0 : 1;
}

/* ---- who can read it ---- */

static int see_branch(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct push *p = arg;

	(void)n_cols;
	(void)f;
	p->branches[p->n] = mem_text(db_get_text(&cols[0]));
	p->accounts[p->n++] = mem_text(db_get_text(&cols[1]));
	return p->n == BRANCHES_MAX;
}

static int branches_body(struct db *db, void *arg, struct fault *f)
{
	static const char sql[] =
		"SELECT branch_id, account_id FROM location_parents WHERE location_id = $1"
		" AND branch_id <> '' ORDER BY CASE WHEN account_id = $2 THEN 0 ELSE 1 END,"
		" branch_id LIMIT $3";
	struct push *p = arg;

	return db_read(db, sql, see_branch, p, f, db_text(p->location_id), db_text(p->account_id),
		db_int(BRANCHES_MAX));
}

/* 0; 1: nobody here has this location, or nobody who is connected. */
static int choose_branch(struct push *p, struct fault *f)
{
	if (store_use(p->rf->parts.store, branches_body, p, f) < 0)
		return -1;
	for (p->chosen = 0; p->chosen < p->n; p->chosen++) {
		struct fault why = {0};

		if (job_check_branch(p->rf, p->branches[p->chosen], &why) == 0)
			return 0;
		if (why.kind != FAULT_CONFLICT && why.kind != FAULT_MISSING) {
			*f = why;
			return -1;
		}
	}
	return 1;
}

/* ---- storing ---- */

static int see_any(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)cols;
	(void)n_cols;
	(void)f;
	*(bool *)arg = true;
	return 1;
}

/* Its scope is its own, so that a branch may have many at once. */
static int add_job(struct db *db, const struct push *p, int64_t now_ms, struct fault *f)
{
	static const char job_sql[] =
		"INSERT INTO jobs (id, branch_id, mode, scope, origin, status, created_at_ms, "
		"patient,"
		" locations) VALUES ($1, $2, 'push', $1, 'push', 'queued', $3, 0, 1)";
	static const char walk_sql[] =
		"INSERT INTO job_walks (job_id, kind, account_id, location_id, probe_id,"
		" pass_started_ms, state) VALUES ($1, $2, $3, $4, $5, $6, 'open')";

	if (db_exec(db, job_sql, NULL, f, db_text(p->job_id), db_text(p->branches[p->chosen]),
		    db_int(now_ms)) < 0 ||
		db_exec(db, walk_sql, NULL, f, db_text(p->job_id),
			db_text(walk_kind_name(WALK_ONE)), db_text(p->accounts[p->chosen]),
			db_text(p->location_id), db_text(p->review_id), db_int(now_ms)) < 0)
		return -1;
	return job_tell(db, p->job_id, f);
}

static int take_body(struct db *db, void *arg, struct fault *f)
{
	static const char waiting_sql[] =
		"SELECT 1 FROM jobs j JOIN job_walks w ON w.job_id = j.id WHERE j.status = 'queued'"
		" AND j.mode = 'push' AND j.branch_id = $1 AND w.location_id = $2"
		" AND w.probe_id = $3 LIMIT 1";
	struct push *p = arg;
	int64_t now_us, now_ms, changed;
	bool waits = false;

	if (db_now_us(db, &now_us, f) < 0)
		return -1;
	now_ms = now_us / 1000;
	p->is_queued = false;
	if (db_exec(db, "DELETE FROM push_messages WHERE received_at_ms < $1", NULL, f,
		    db_int(now_ms - KEPT_MS)) < 0 ||
		db_exec(db,
			"INSERT INTO push_messages (message_id, received_at_ms) VALUES ($1, $2)"
			" ON CONFLICT DO NOTHING",
			&changed, f, db_text(p->message_id), db_int(now_ms)) < 0)
		return -1;
	p->is_new = changed > 0;
	if (!p->is_new)
		return 0;
	if (db_read(db, waiting_sql, see_any, &waits, f, db_text(p->branches[p->chosen]),
		    db_text(p->location_id), db_text(p->review_id)) < 0)
		return -1;
	p->is_queued = !waits;
	return waits ? 0 : add_job(db, p, now_ms, f);
}

static int take(struct push *p, struct fault *f)
{
	int chosen = choose_branch(p, f);

	if (chosen < 0)
		return -1;
	if (chosen > 0) {
		metric_add(&unknown, 1);
		log_event(LOG_INFO, "push.unknown_location", F_STR("location", p->location_id),
			F_INT("branches", p->n));
		return 0;
	}
	rand_uuid4(p->job_id);
	if (store_transact(p->rf->parts.store, take_body, p, f) < 0)
		return -1;
	metric_add(p->is_new ? &queued : &repeated, 1);
	if (p->is_queued)
		jobs_look(p->rf);
	return 0;
}

int push_take(struct review_fetcher *rf, const char *body, size_t len, struct fault *f)
{
	AUTO(push_done) struct push p = {.rf = rf};

	if (read_message(body, len, &p) == 0)
		return take(&p, f);
	metric_add(&ignored, 1);
	log_event(LOG_INFO, "push.ignored", F_INT("bytes", len));
	return 0;
}
