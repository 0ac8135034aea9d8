/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world as the seed makes it: users, their accounts, the locations of these and the reviews of
 * those. Nothing is stored; everything is a pure function of (options, number), so that a world of
 * millions of reviews costs no memory and two worlds of one seed are the same. What people change
 * afterwards lives in overlay.h. All functions: any thread.
 *
 * Numbers: user 0…; account = user * accounts + n; location = account * locations + n; a review is
 * its location and an index, 0 the oldest. Update times rise strictly with the index.
 */
#ifndef SIMULATOR_WORLD_H
#define SIMULATOR_WORLD_H

#include "base/attr.h"
#include "base/buf.h"

#define WORLD_NONE UINT64_MAX
#define WORLD_ID_SIZE 32
#define WORLD_NAME_SIZE 96
#define WORLD_REVIEW_ID_SIZE 48
#define WORLD_COMMENT_MAX 4096 /* bytes */

struct world {
	uint64_t seed;
	int64_t users, accounts, locations; /* per level above */
	int64_t reviews;                    /* mean per location */
	bool reviews_exact;                 /* every location has exactly that many */
	int64_t shared; /* so many locations of a user's first account show in the others too */
	int64_t unverified_every; /* every so many-th location is unverified; 0: none */
	int64_t end_us;           /* nothing happened after this instant */
};

/* ---- users ---- */
void world_user_email(const struct world *w, uint64_t user, char ret[static WORLD_NAME_SIZE]);
void world_user_sub(const struct world *w, uint64_t user, char ret[static WORLD_ID_SIZE]);
uint64_t world_user_find(const struct world *w, const char *email); /* WORLD_NONE: nobody */

/* ---- accounts: account number n of a user is PERSONAL when n is 0 ---- */
uint64_t world_account_count(const struct world *w);
void world_account_id(const struct world *w, uint64_t account, char ret[static WORLD_ID_SIZE]);
uint64_t world_account_find(const struct world *w, const char *id, size_t len);
const char *world_account_type(const struct world *w, uint64_t account);
void world_account_title(const struct world *w, uint64_t account, char ret[static WORLD_NAME_SIZE]);

/* ---- locations ---- */
uint64_t world_location_count(const struct world *w);
void world_location_id(const struct world *w, uint64_t location, char ret[static WORLD_ID_SIZE]);
uint64_t world_location_find(const struct world *w, const char *id, size_t len);
void world_location_title(
	const struct world *w, uint64_t location, char ret[static WORLD_NAME_SIZE]);
/* How many locations an account shows, and the n-th of them (the shared ones come last). */
int64_t world_visible_count(const struct world *w, uint64_t account);
uint64_t world_visible_at(const struct world *w, uint64_t account, int64_t n);
bool world_is_visible(const struct world *w, uint64_t account, uint64_t location);
uint32_t world_review_count(const struct world *w, uint64_t location);
/* Sum of the stars of the reviews below index n, and how many of these have stars at all. */
void world_star_sum(
	const struct world *w, uint64_t location, uint32_t n, int64_t *ret_sum, int64_t *ret_rated);

/* ---- reviews ---- */
struct review_reply {
	bool is_there;
	const char *comment; /* NULL: made by world_reply_text */
	int64_t update_us;
	const char *state;  /* "APPROVED", …; NULL: the field is absent */
	const char *policy; /* with REJECTED */
};
struct review {
	uint32_t index;
	int star;              /* 1 to 5; 0: STAR_RATING_UNSPECIFIED */
	const char *star_name; /* another word in place of ONE … FIVE; counts as unrated. Or NULL */
	bool is_anonymous, has_media, has_future_field;
	bool is_rating_only;
	const char *comment; /* NULL: made by world_comment, unless is_rating_only */
	int64_t create_us, update_us;
	int fraction_digits; /* 0, 3, 6 or 9 in its times */
	struct review_reply reply;
};
int world_star(const struct world *w, uint64_t location, uint32_t index);
int64_t world_update_us(const struct world *w, uint64_t location, uint32_t index);
/* As generated; strings are static. index may pass world_review_count (for later additions). */
void world_review(const struct world *w, uint64_t location, uint32_t index, struct review *ret);
/* Appends the text. 1 to 4,096 bytes of UTF-8. */
void world_comment(const struct world *w, uint64_t location, uint32_t index, struct buf *ret);
void world_reply_text(const struct world *w, uint64_t location, uint32_t index, struct buf *ret);
void world_review_id(const struct world *w, uint64_t location, uint32_t index,
	char ret[static WORLD_REVIEW_ID_SIZE]);
/* The index whose id this is; 1 when there is none below `limit`. */
MUST_CHECK int world_review_find(const struct world *w, uint64_t location, const char *id,
	size_t len, uint32_t limit, uint32_t *ret);

/* A number that only the seed, the kind of thing and its numbers decide. */
uint64_t world_dice(const struct world *w, unsigned kind, uint64_t a, uint64_t b);

#endif
