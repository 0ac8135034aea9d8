/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/await.h"

#include <pthread.h>
#include <string.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/process.h"

#define PAUSE_FIRST_MS 100
#define PAUSE_MOST_MS 2000
#define DRAIN_MS 1000

struct wait {
	struct settings *settings;
	struct api *api;
	pthread_mutex_t lock;
	struct fault cause; /* under lock: HTTP threads tell it */
};

static int tell_cause(void *arg, struct fault *f)
{
	struct wait *w = arg;

	pthread_mutex_lock(&w->lock);
	*f = w->cause;
	pthread_mutex_unlock(&w->lock);
	return -1;
}

MUST_CHECK static int open_port(
	struct wait *w, struct pool *pool, struct scheduler *scheduler, struct fault *f)
{
	const struct api_parts parts = {.settings = w->settings,
		.pool = pool,
		.scheduler = scheduler,
		.check_database = tell_cause,
		.arg = w,
		.is_waiting = true};

	if (w->api != NULL)
		return 0;
	if (api_start(&parts, &w->api, f) < 0)
		return -1;
	w->settings->api_port = api_port(w->api); /* the one that is opened again afterwards */
	return 0;
}

static void close_port(struct wait *w)
{
	if (w->api == NULL)
		return;
	api_drain(w->api, DRAIN_MS);
	api_stop(w->api);
}

/* One line when it begins and one whenever the cause is another. */
static void note_cause(struct wait *w, const struct fault *f)
{
	bool is_new;

	pthread_mutex_lock(&w->lock);
	is_new = strcmp(w->cause.text, f->text) != 0;
	w->cause = *f;
	pthread_mutex_unlock(&w->lock);
	if (is_new)
		log_event(LOG_WARN, "serve.waiting", F_STR("address", w->settings->api_host),
			F_INT("port", w->settings->api_port), F_FAULT(f));
}

static bool may_pass(const struct settings *s, const struct fault *f)
{
	return f->kind == FAULT_STORE && f->retry_after_ms > 0 &&
	       text_starts(s->database_url, "postgres");
}

int await_store(struct settings *settings, const struct store_options *options, struct pool *pool,
	struct scheduler *scheduler, struct store **ret, struct fault *f)
{
	struct wait w = {.settings = settings};
	int64_t pause_ms = PAUSE_FIRST_MS;
	int outcome = AWAIT_FOUND;

	pthread_mutex_init(&w.lock, NULL);
	while (store_open(options, ret, f) < 0) {
		struct fault cause = *f;

		if (!may_pass(settings, f) || open_port(&w, pool, scheduler, f) < 0) {
			outcome = -1;
			break;
		}
		note_cause(&w, &cause);
		if (process_ends_within(pause_ms)) {
			outcome = AWAIT_ENDED;
			break;
		}
		pause_ms = pause_ms * 2 < PAUSE_MOST_MS ? pause_ms * 2 : PAUSE_MOST_MS;
	}
	close_port(&w);
	pthread_mutex_destroy(&w.lock);
	return outcome;
}
