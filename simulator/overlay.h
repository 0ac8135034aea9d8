/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has changed since the seed: new, edited, answered, deleted and restored reviews, locations
 * that lost their verification or vanished. Memory grows with the number of changes, never with the
 * world.
 *
 * A reader takes overlay_read(), reads through review cursors, and ends with overlay_done(); a
 * writer does the same with overlay_write(). Everything else below wants one of the two to be held.
 */
#ifndef SIMULATOR_OVERLAY_H
#define SIMULATOR_OVERLAY_H

#include "base/attr.h"
#include "base/map.h"
#include "simulator/world.h"

#include <pthread.h>

enum place_state { PLACE_LIVE, PLACE_UNVERIFIED, PLACE_VANISHED };

struct change { /* one review that is not as the seed made it; strings in `review` are owned */
	struct review review;
	bool is_deleted;
	char *star_name, *comment, *reply_comment, *reply_state, *reply_policy;
};

struct place { /* one location with changes */
	uint64_t location;
	struct map by_index;     /* uint32_t → struct change */
	struct change **by_time; /* the live ones, by (update_us, index) rising */
	size_t n_live, cap;
	uint32_t next_index;
	int64_t count_delta, star_delta, rated_delta;
	enum place_state state;
	bool has_state;
};

struct overlay {
	struct world world;
	pthread_rwlock_t lock;
	struct map places; /* uint64_t → struct place */
	int64_t last_us;   /* instants of changes strictly rise */
	int64_t n_changes;
	bool reply_moves_review; /* a reply also sets the review's updateTime (Google does not say)
				  */
};

void overlay_init(struct overlay *o, const struct world *w);
void overlay_free(struct overlay *o);
void overlay_read(struct overlay *o);
void overlay_write(struct overlay *o);
void overlay_done(struct overlay *o);

/* ---- reading ---- */
const struct place *overlay_place(const struct overlay *o, uint64_t location); /* NULL: unchanged */
enum place_state overlay_state(const struct overlay *o, uint64_t location);
struct place_totals {
	int64_t count, star_sum, rated;
};
void overlay_totals(const struct overlay *o, uint64_t location, struct place_totals *ret);
/* One past the highest index that a review of this location may have. */
uint32_t overlay_index_limit(const struct overlay *o, uint64_t location);
/* 0: *ret is the review as it is now (strings valid while the lock is held). 1: deleted or never
 * there. */
MUST_CHECK int overlay_review(
	const struct overlay *o, uint64_t location, uint32_t index, struct review *ret);
bool overlay_is_deleted(const struct overlay *o, uint64_t location, uint32_t index);

enum review_order { ORDER_UPDATE_DESC, ORDER_RATING, ORDER_RATING_DESC };
struct review_key { /* the place of a review in an order; ties go by index */
	int star;
	int64_t update_us;
	uint32_t index;
};
/* Walks the live reviews of one location in an order, in constant memory. */
struct review_cursor {
	const struct overlay *overlay;
	const struct place *place;
	uint64_t location;
	enum review_order order;
	int star;                /* the class being walked, in the rating orders */
	int64_t base_at, top_at; /* next candidates; -1: none left */
	uint32_t base_n;
	bool at_end;
};
/* after NULL: from the start; else from the first review that comes after that key. */
void review_cursor_open(struct review_cursor *c, const struct overlay *o, uint64_t location,
	enum review_order order, const struct review_key *after);
/* False at the end. Strings in *ret are valid while the lock is held. */
bool review_cursor_next(struct review_cursor *c, struct review *ret);
/* Below zero when a comes before b in the order. */
int review_key_compare(
	enum review_order order, const struct review_key *a, const struct review_key *b);

/* ---- changing ---- */
/* An instant for the next change: now, or one microsecond after the last one. */
int64_t overlay_tick(struct overlay *o, int64_t now_us);
struct review_edit { /* what to set; NULL or negative leaves it as it is */
	int star;
	const char *star_name;
	const char *comment;
	bool no_comment; /* makes it rating-only */
	int is_anonymous;
};
/* *ret_index: the new review's. */
void overlay_add(struct overlay *o, uint64_t location, int64_t at_us,
	const struct review_edit *edit, uint32_t *ret_index);
/* 0 done, 1 no such live review (for restore: it is not deleted). */
MUST_CHECK int overlay_edit(struct overlay *o, uint64_t location, uint32_t index, int64_t at_us,
	const struct review_edit *edit);
MUST_CHECK int overlay_delete(struct overlay *o, uint64_t location, uint32_t index);
MUST_CHECK int overlay_restore(struct overlay *o, uint64_t location, uint32_t index);
/* comment NULL takes the reply away. */
MUST_CHECK int overlay_reply(struct overlay *o, uint64_t location, uint32_t index, int64_t at_us,
	const char *comment, const char *state, const char *policy);
void overlay_set_state(struct overlay *o, uint64_t location, enum place_state state);

#endif
