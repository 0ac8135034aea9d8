/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Background refresh by due time. The row says when it is due (tokens.next_refresh_at_ms, an
 * index); memory holds a window of the next rows and one timer. What is due joins its slot as a
 * caller of the lowest rank and is refreshed by the protocol of refresh.h, lease and all; so
 * processes can share the rows, and killing one costs nothing.
 */
#ifndef TOKEN_MANAGEMENT_DUE_H
#define TOKEN_MANAGEMENT_DUE_H

#include <pthread.h>

#include "base/attr.h"
#include "base/map.h"
#include "core/scheduler.h"
#include "core/settings.h"
#include "token_management/due_gate.h"

struct token_management;
struct token_response;
struct grant;
struct due_row;
struct provider_metrics;

/* ---- when: pure; jitter is hashed from the client row and so the same at each refresh ---- */

/*
 * Spread over as long again as the margin, before it begins: a hundred thousand tokens issued in
 * one minute are not due in one second, and no reader comes upon a stale one. With background
 * refresh off: 27 to 30 days from now.
 */
int64_t due_after_success(
	const struct settings *s, int64_t client_row, int64_t expires_at_ms, int64_t lifetime_ms);
/* Not before wait_ms, doubling with each failure to a quarter of an hour. */
int64_t due_after_failure(const struct settings *s, const struct grant *g, int64_t wait_ms);

/* ---- the scheduler ---- */

#define DUE_WINDOW_MOST 2048

/* One for each provider: a provider that fails holds up its own rows and no others. */
struct due {
	struct token_management *tm;
	const char *provider; /* borrowed */
	struct provider_metrics *metrics;
	pthread_mutex_t lock;
	bool is_started, is_ticking, again, wants_place;
	struct timer timer;
	struct map in_flight; /* by client row */
	struct due_gate gate;
	struct due_apps apps;
	int64_t earlier_wall_ms; /* a row in the window's time that the window does not know */
	int64_t window_end_wall_ms, wake_wall_ms;
	/* only the one tick touches these */
	struct due_row *rows;
	size_t n_rows, next_row;
	bool window_is_full;
	int64_t read_mono_ms, adopt_mono_ms;
};
void due_init(struct due *d, struct token_management *tm, const char *provider);
void due_stop(struct token_management *tm); /* the work list is stopping: no timer from now on */
void due_done(struct due *d);               /* all work has ended */

/* A provider answered, whoever asked. Any thread. */
void due_hear_answer(struct token_management *tm, const char *provider, const char *app_id,
	const struct token_response *response);
/* A row is due at a new time. */
void due_hear_next(struct token_management *tm, const char *provider, int64_t next_refresh_at_ms);
/* Rows of any provider were made due now. */
void due_hear_now(struct token_management *tm);
/* Somebody changed a client: perhaps the secret of an app that failed. */
void due_hear_change(struct token_management *tm);

#endif
