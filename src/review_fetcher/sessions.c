/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream session keeps a token out of the address that a browser's EventSource is given: it is
 * left here under a name that works once, for two minutes, and in memory only.
 */
#include "review_fetcher/sessions.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "review_fetcher/engine.h"

#define SESSIONS_MAX 1000

struct session {
	struct secret access_token;
	char *branch_id, *actor, *remote;
	int64_t expires_ms; /* monotonic */
};

static void session_free(void *session)
{
	struct session *s = session;

	if (!s)
		return;
	secret_drop(&s->access_token);
	mem_free(s->branch_id);
	mem_free(s->actor);
	mem_free(s->remote);
	mem_free(s);
}

struct tidying {
	int64_t now_ms;
	char id[SESSION_ID_SIZE];
	size_t len;
};

static int find_expired(void *arg, const void *key, size_t len, void *value)
{
	struct tidying *t = arg;

	if (((struct session *)value)->expires_ms > t->now_ms || len > sizeof(t->id))
		return 0;
	memcpy(t->id, key, len);
	t->len = len;
	return 1;
}

static void tidy(struct review_fetcher *rf)
{
	struct tidying t = {.now_ms = clock_mono_ms()};

	while (map_each(&rf->sessions, find_expired, &t))
		session_free(map_remove(&rf->sessions, t.id, t.len));
}

void sessions_tidy(struct review_fetcher *rf)
{
	pthread_mutex_lock(&rf->lock);
	tidy(rf);
	pthread_mutex_unlock(&rf->lock);
}

void sessions_free(struct review_fetcher *rf)
{
	map_drop_all(&rf->sessions, session_free);
}

int sessions_open(struct review_fetcher *rf, struct job_input *moved,
	char ret_id[static SESSION_ID_SIZE], struct fault *f)
{
	struct session *s = mem_alloc(sizeof(*s));
	bool full;

	s->access_token = secret_take(&moved->access_token);
	s->branch_id = moved->branch_id ? mem_text(moved->branch_id) : NULL;
	s->actor = moved->actor ? mem_text(moved->actor) : NULL;
	s->remote = moved->remote ? mem_text(moved->remote) : NULL;
	s->expires_ms = clock_mono_ms() + SESSION_MS;
	rand_text(SESSION_ID_BYTES, ret_id);
	pthread_mutex_lock(&rf->lock);
	tidy(rf);
	full = rf->sessions.count >= SESSIONS_MAX;
	if (!full)
		map_put(&rf->sessions, ret_id, strlen(ret_id), s);
	pthread_mutex_unlock(&rf->lock);
	if (!full)
		return 0;
	session_free(s);
	(void)fault_raise(
		f, FAULT_THROTTLED, "Service is at capacity. Please retry after a few seconds.");
	f->retry_after_ms = 5000;
	return -1;
}

int sessions_start_job(
	struct review_fetcher *rf, const char *session_id, char ret_id[static 37], struct fault *f)
{
	struct job_input input = {.mode = "full"};
	struct session *s;
	int started;

	pthread_mutex_lock(&rf->lock);
	tidy(rf);
	s = map_remove(&rf->sessions, session_id, strlen(session_id));
	pthread_mutex_unlock(&rf->lock);
	if (!s)
		return fault_raise(f, FAULT_MISSING,
			"this stream session has expired, was used already, or never was");
	input.branch_id = s->branch_id;
	input.actor = s->actor;
	input.remote = s->remote;
	input.access_token = secret_take(&s->access_token);
	started = jobs_start(rf, &input, ret_id, f);
	secret_drop(&input.access_token);
	session_free(s);
	return started;
}
