/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_lease.h"

#include "base/clock.h"
#include "base/text.h"

struct look {
	const struct lease *lease;
	bool found, is_free, is_ours;
	int64_t fence, beat;
};

static int see_lease(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct look *k = arg;

	(void)n_cols, (void)f;
	k->found = true;
	k->is_free = db_get_text(&cols[0]) == NULL;
	k->fence = db_get_int(&cols[1]);
	k->beat = db_get_int(&cols[2]);
	k->is_ours =
		text_equal(db_get_text(&cols[0]), k->lease->owner) && k->fence == k->lease->fence;
	return 0;
}

static int look_at(struct db *db, void *arg, struct fault *f)
{
	struct look *k = arg;

	return db_read(db, "SELECT owner, fence, beat FROM leases WHERE name = $1", see_lease, k, f,
		db_text(k->lease->name));
}

/* 1: it is as it was looked at, and is taken or renewed; 0: somebody was faster. */
static int claim_body(struct db *db, void *arg, struct fault *f)
{
	const struct look *k = arg;
	const struct lease *l = k->lease;
	int64_t changed;

	if (!k->found) {
		if (db_exec(db,
			    "INSERT INTO leases (name, owner, fence, beat) VALUES ($1, $2, 1, 0)"
			    " ON CONFLICT (name) DO NOTHING",
			    &changed, f, db_text(l->name), db_text(l->owner)) < 0)
			return -1;
		return changed == 1;
	}
	if (db_exec(db,
		    "UPDATE leases SET owner = $2, fence = fence + $5, beat = beat + 1"
		    " WHERE name = $1 AND fence = $3 AND beat = $4",
		    &changed, f, db_text(l->name), db_text(l->owner), db_int(k->fence),
		    db_int(k->beat), db_int(k->is_ours ? 0 : 1)) < 0)
		return -1;
	return changed == 1;
}

/* Somebody has it. Whether it has stood still for so long that it is nobody's any more. */
static bool has_run_out(struct lease *l, const struct look *k, int64_t now_ms)
{
	if (l->seen_at_ms == 0 || l->seen_fence != k->fence || l->seen_beat != k->beat) {
		l->seen_fence = k->fence;
		l->seen_beat = k->beat;
		l->seen_at_ms = now_ms;
		return false;
	}
	return now_ms - l->seen_at_ms >= l->ttl_ms;
}

int lease_take(struct store *s, struct lease *l, struct fault *f)
{
	const int64_t now_ms = clock_mono_ms();
	struct look k = {.lease = l};
	int claimed;

	if (store_use(s, look_at, &k, f) < 0)
		return -1;
	if (!k.is_ours)
		l->fence = 0;
	if (k.found && !k.is_ours && !k.is_free && !has_run_out(l, &k, now_ms))
		return LEASE_ELSEWHERE;
	claimed = store_transact(s, claim_body, &k, f);
	if (claimed < 0)
		return -1;
	l->seen_at_ms = 0;
	l->fence = !claimed ? 0 : !k.found ? 1 : k.fence + (k.is_ours ? 0 : 1);
	/* From before the look on: who watches began to count no earlier. */
	l->held_until_ms = now_ms + l->ttl_ms;
	return claimed ? LEASE_HELD : LEASE_ELSEWHERE;
}

bool lease_is_held(const struct lease *l)
{
	return l->fence != 0 && clock_mono_ms() < l->held_until_ms;
}

int lease_keep(struct db *db, const struct lease *l, struct fault *f)
{
	int64_t changed;

	if (l->fence == 0)
		return LEASE_ELSEWHERE;
	/* An update, not a look: it holds the row until the commit. */
	if (db_exec(db,
		    "UPDATE leases SET beat = beat + 1 WHERE name = $1 AND fence = $2"
		    " AND owner = $3",
		    &changed, f, db_text(l->name), db_int(l->fence), db_text(l->owner)) < 0)
		return -1;
	return changed == 1 ? LEASE_HELD : LEASE_ELSEWHERE;
}

static int give_body(struct db *db, void *arg, struct fault *f)
{
	const struct lease *l = arg;

	return db_exec(db,
		"UPDATE leases SET owner = NULL, beat = beat + 1 WHERE name = $1 AND fence = $2",
		NULL, f, db_text(l->name), db_int(l->fence));
}

int lease_give(struct store *s, struct lease *l, struct fault *f)
{
	if (l->fence != 0 && store_transact(s, give_body, l, f) < 0)
		return -1;
	l->fence = 0;
	return 0;
}

static int give_all_body(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db_exec(db, "UPDATE leases SET owner = NULL WHERE owner IS NOT NULL", NULL, f);
}

int lease_give_all(struct store *s, struct fault *f)
{
	return store_transact(s, give_all_body, NULL, f);
}
