/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "store/store.h"
#include "token_management/internal.h"

static const char *const states[CLIENT_STATES] = {"connected", "expiring", "degraded",
	"needs_reconnect", "pending", "revoking", "revoked", "inactive"};

const char *client_state_name(size_t state)
{
	return states[state];
}

static int64_t *place_of(int64_t *counts, const char *state)
{
	for (size_t i = 0; i < CLIENT_STATES; i++)
		if (strcmp(states[i], state) == 0)
			return &counts[i];
	return NULL;
}

static int take_count(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	const bool is_active = db_get_int(&c[0]) != 0;
	int64_t *place = place_of(arg, is_active ? db_get_text(&c[1]) : "inactive");

	(void)n_cols;
	(void)f;
	if (place != NULL)
		*place += db_get_int(&c[2]);
	return 0;
}

static int take_due(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	*(int64_t *)arg += db_get_int(&c[0]);
	return 0;
}

struct counting {
	const struct token_management *tm;
	int64_t *counts;
};

/* Those whose refresh is due are few: of each provider, the start of the background's own index. */
static int count_body(struct db *db, void *arg, struct fault *f)
{
	const struct counting *x = arg;
	const struct db_value now = db_int(clock_wall_ms());
	int64_t due = 0;

	if (db_read(db,
		    "SELECT is_active, status, count(*) FROM clients GROUP BY is_active, status",
		    take_count, x->counts, f) < 0)
		return -1;
	for (size_t i = 0; i < x->tm->providers.n; i++)
		if (db_read(db,
			    "SELECT count(*) FROM tokens t JOIN clients c ON c.id = t.client_id"
			    " WHERE t.provider = $1 AND t.next_refresh_at_ms <= $2"
			    " AND c.is_active = 1 AND c.status = 'connected'",
			    take_due, &due, f, db_text(x->tm->providers.entries[i].own->p.name),
			    now) < 0)
			return -1;
	*place_of(x->counts, "connected") -= due;
	*place_of(x->counts, "expiring") += due;
	return 0;
}

int clients_count(struct token_management *tm, int64_t ret[static CLIENT_STATES], struct fault *f)
{
	struct counting x = {.tm = tm, .counts = ret};

	memset(ret, 0, CLIENT_STATES * sizeof(*ret));
	return store_use(tm->store, count_body, &x, f);
}
