/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids must look random, be found again without a table, and have up to 21 digits as Google's have.
 * So an id is a few digits that only its number decides, and sixteen digits that are the number
 * itself, shuffled by a small Feistel network over 52 bits (2^52 < 10^16).
 */
#include "simulator/world.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum {
	DICE_ACCOUNT = 1,
	DICE_LOCATION,
	DICE_USER,
	DICE_COUNT,
	DICE_QUALITY,
	DICE_STARS,
	DICE_TIME,
	DICE_REVIEW,
	DICE_ID
};

#define HALF_BITS 26
#define HALF_MASK ((UINT64_C(1) << HALF_BITS) - 1)
#define NUMBER_DIGITS 16
#define SPAN_US (INT64_C(5) * 365 * 86400 * 1000000) /* the history of a location: five years */
#define STAR_BLOCK 20
#define UNRATED_EVERY 251

static uint64_t mix(uint64_t x)
{
	/* The finaliser of splitmix64: every bit of x moves half the bits of the result. */
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64_t world_dice(const struct world *w, unsigned kind, uint64_t a, uint64_t b)
{
	return mix(mix(mix(w->seed ^ (uint64_t)kind << 56) ^ a) ^ b);
}

/* ---- ids ---- */

static uint64_t round_of(const struct world *w, unsigned kind, unsigned round, uint64_t half)
{
	return world_dice(w, kind, round, half) & HALF_MASK;
}

static uint64_t shuffle(const struct world *w, unsigned kind, uint64_t n)
{
	uint64_t left = n >> HALF_BITS & HALF_MASK, right = n & HALF_MASK, next;

	for (unsigned round = 0; round < 4; round++) {
		next = left ^ round_of(w, kind, round, right);
		left = right;
		right = next;
	}
	return left << HALF_BITS | right;
}

static uint64_t unshuffle(const struct world *w, unsigned kind, uint64_t n)
{
	uint64_t left = n >> HALF_BITS & HALF_MASK, right = n & HALF_MASK, before;

	for (unsigned round = 4; round-- > 0;) {
		before = right ^ round_of(w, kind, round, left);
		right = left;
		left = before;
	}
	return left << HALF_BITS | right;
}

/* lead: how many digits stand before the sixteen; the first is never 0. */
static void write_id(
	const struct world *w, unsigned kind, uint64_t n, int lead, char ret[static WORLD_ID_SIZE])
{
	uint64_t tag = world_dice(w, kind, DICE_ID, n) % 90000 + 10000;

	for (int i = lead; i < 5; i++)
		tag /= 10;
	snprintf(ret, WORLD_ID_SIZE, "%llu%0*llu", (unsigned long long)tag, NUMBER_DIGITS,
		(unsigned long long)shuffle(w, kind, n));
}

/* The number whose id may be this; the caller compares. */
static uint64_t read_id(const struct world *w, unsigned kind, const char *id, size_t len)
{
	uint64_t n = 0;

	if (len <= NUMBER_DIGITS || len >= WORLD_ID_SIZE)
		return WORLD_NONE;
	for (size_t i = 0; i < len; i++) {
		if (id[i] < '0' || id[i] > '9')
			return WORLD_NONE;
		if (i >= len - NUMBER_DIGITS)
			n = n * 10 + (uint64_t)(id[i] - '0');
	}
	return n >> (2 * HALF_BITS) ? WORLD_NONE : unshuffle(w, kind, n);
}

static bool same_id(const char *id, size_t len, const char *own)
{
	return strlen(own) == len && memcmp(id, own, len) == 0;
}

/* ---- users ---- */

void world_user_email(const struct world *w, uint64_t user, char ret[static WORLD_NAME_SIZE])
{
	(void)w;
	snprintf(ret, WORLD_NAME_SIZE, "manager-%llu@shop.example", (unsigned long long)user + 1);
}

void world_user_sub(const struct world *w, uint64_t user, char ret[static WORLD_ID_SIZE])
{
	write_id(w, DICE_USER, user, 5, ret);
}

uint64_t world_user_find(const struct world *w, const char *email)
{
	static const char prefix[] = "manager-";
	char own[WORLD_NAME_SIZE];
	int64_t n = 0;
	const char *p;

	if (!email || !text_starts(email, prefix))
		return WORLD_NONE;
	for (p = email + strlen(prefix); *p >= '0' && *p <= '9' && n <= w->users; p++)
		n = n * 10 + (*p - '0');
	if (n < 1 || n > w->users)
		return WORLD_NONE;
	world_user_email(w, (uint64_t)n - 1, own);
	return strcmp(own, email) == 0 ? (uint64_t)n - 1 : WORLD_NONE;
}

/* ---- accounts ---- */

uint64_t world_account_count(const struct world *w)
{
	return (uint64_t)w->users * (uint64_t)w->accounts;
}

void world_account_id(const struct world *w, uint64_t account, char ret[static WORLD_ID_SIZE])
{
	write_id(w, DICE_ACCOUNT, account, 5, ret);
}

uint64_t world_account_find(const struct world *w, const char *id, size_t len)
{
	uint64_t n = read_id(w, DICE_ACCOUNT, id, len);
	char own[WORLD_ID_SIZE];

	if (n >= world_account_count(w))
		return WORLD_NONE;
	world_account_id(w, n, own);
	return same_id(id, len, own) ? n : WORLD_NONE;
}

const char *world_account_type(const struct world *w, uint64_t account)
{
	static const char *const types[] = {"LOCATION_GROUP", "USER_GROUP", "ORGANIZATION"};
	uint64_t n = account % (uint64_t)w->accounts;

	return n == 0 ? "PERSONAL" : types[(n - 1) % ARRAY_LEN(types)];
}

void world_account_title(const struct world *w, uint64_t account, char ret[static WORLD_NAME_SIZE])
{
	unsigned long long user = account / (uint64_t)w->accounts + 1;
	unsigned long long n = account % (uint64_t)w->accounts;

	if (n == 0)
		snprintf(ret, WORLD_NAME_SIZE, "Manager %llu", user);
	else
		snprintf(ret, WORLD_NAME_SIZE, "Shops of group %llu-%llu", user, n);
}

/* ---- locations ---- */

uint64_t world_location_count(const struct world *w)
{
	return world_account_count(w) * (uint64_t)w->locations;
}

/* Google's location ids are 17 to 20 digits and more; ours are 19, 20 or 21. */
void world_location_id(const struct world *w, uint64_t location, char ret[static WORLD_ID_SIZE])
{
	write_id(w, DICE_LOCATION, location, 3 + (int)(location % 3), ret);
}

uint64_t world_location_find(const struct world *w, const char *id, size_t len)
{
	uint64_t n = read_id(w, DICE_LOCATION, id, len);
	char own[WORLD_ID_SIZE];

	if (n >= world_location_count(w))
		return WORLD_NONE;
	world_location_id(w, n, own);
	return same_id(id, len, own) ? n : WORLD_NONE;
}

void world_location_title(
	const struct world *w, uint64_t location, char ret[static WORLD_NAME_SIZE])
{
	static const char *const streets[] = {"Main Street", "Harbour Road", "Station Square",
		"Market Place", "Mill Lane", "Park Avenue", "Café Corner", "Bridge & Quay"};

	(void)w;
	snprintf(ret, WORLD_NAME_SIZE, "Shop %llu %s", (unsigned long long)location + 1,
		streets[location % ARRAY_LEN(streets)]);
}

static int64_t shared_count(const struct world *w, uint64_t account)
{
	if (account % (uint64_t)w->accounts == 0)
		return 0;
	return w->shared < w->locations ? w->shared : w->locations;
}

int64_t world_visible_count(const struct world *w, uint64_t account)
{
	return w->locations + shared_count(w, account);
}

uint64_t world_visible_at(const struct world *w, uint64_t account, int64_t n)
{
	uint64_t first = account - account % (uint64_t)w->accounts;

	if (n < w->locations)
		return account * (uint64_t)w->locations + (uint64_t)n;
	return first * (uint64_t)w->locations + (uint64_t)(n - w->locations);
}

bool world_is_visible(const struct world *w, uint64_t account, uint64_t location)
{
	uint64_t owner = location / (uint64_t)w->locations;
	uint64_t first = account - account % (uint64_t)w->accounts;

	if (owner == account)
		return true;
	return owner == first &&
	       (int64_t)(location % (uint64_t)w->locations) < shared_count(w, account);
}

uint32_t world_review_count(const struct world *w, uint64_t location)
{
	uint64_t dice;
	double share;

	if (w->reviews_exact)
		return (uint32_t)w->reviews;
	dice = world_dice(w, DICE_COUNT, location, 0);
	if (dice % 16 == 0)
		return 0;
	/* Uniform between half and one and a half of the mean, and 16/15 for the empty ones. */
	share = (0.5 + (double)(dice >> 32 & 0xffff) / 65535.0) * 16.0 / 15.0;
	return (uint32_t)((double)w->reviews * share + 0.5);
}

/* ---- stars: in every block of twenty the same stars in another order, so that sums are cheap ----
 */

static const unsigned char star_blocks[][STAR_BLOCK] = {
	{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 3, 2, 1},
	{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 3, 3, 2, 1, 1},
	{5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 3, 3, 3, 2, 2, 1, 1, 1},
	{5, 5, 5, 5, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1},
};

static const unsigned char *stars_of(const struct world *w, uint64_t location)
{
	return star_blocks[world_dice(w, DICE_QUALITY, location, 0) % ARRAY_LEN(star_blocks)];
}

static int star_at(
	const struct world *w, const unsigned char *stars, uint64_t location, uint32_t index)
{
	/* x → a·x + b mod 20 is a permutation when a and 20 have no common divisor. */
	static const unsigned char steps[] = {1, 3, 7, 9, 11, 13, 17, 19};
	uint64_t dice = world_dice(w, DICE_STARS, location, index / STAR_BLOCK);

	return stars[(steps[dice & 7] * (index % STAR_BLOCK) + (dice >> 3) % STAR_BLOCK) %
		     STAR_BLOCK];
}

static bool is_unrated(uint32_t index)
{
	return index % UNRATED_EVERY == UNRATED_EVERY - 1;
}

int world_star(const struct world *w, uint64_t location, uint32_t index)
{
	return is_unrated(index) ? 0 : star_at(w, stars_of(w, location), location, index);
}

void world_star_sum(
	const struct world *w, uint64_t location, uint32_t n, int64_t *ret_sum, int64_t *ret_rated)
{
	const unsigned char *stars = stars_of(w, location);
	int64_t sum = 0;

	for (int i = 0; i < STAR_BLOCK; i++)
		sum += stars[i];
	sum *= n / STAR_BLOCK;
	for (uint32_t i = n - n % STAR_BLOCK; i < n; i++)
		sum += star_at(w, stars, location, i);
	for (uint64_t i = UNRATED_EVERY - 1; i < n; i += UNRATED_EVERY)
		sum -= star_at(w, stars, location, (uint32_t)i);
	*ret_sum = sum;
	*ret_rated = n - n / UNRATED_EVERY;
}

/* ---- reviews ---- */

static int64_t truncate_us(int64_t us, int fraction_digits)
{
	int64_t unit = fraction_digits == 0 ? 1000000 : fraction_digits == 3 ? 1000 : 1;

	return us - us % unit;
}

static int fraction_digits_of(uint64_t dice)
{
	static const unsigned char digits[] = {6, 3, 0, 9};

	return digits[dice & 3];
}

/*
 * Slot n of equal slots, plus up to half a slot: strictly rising, and truncating to whole seconds
 * cannot reorder it, since a slot is at least four seconds (below 39 million reviews at one
 * location).
 */
int64_t world_update_us(const struct world *w, uint64_t location, uint32_t index)
{
	uint32_t n = world_review_count(w, location);
	uint64_t dice = world_dice(w, DICE_TIME, location, index);
	int64_t slot = SPAN_US / (n ? n : 1);
	int64_t at = w->end_us - ((int64_t)n - (int64_t)index) * slot +
		     (int64_t)((dice >> 8) % (uint64_t)(slot / 2));

	return truncate_us(at, fraction_digits_of(dice));
}

static void roll_reply(uint64_t dice, int64_t review_us, int64_t end_us, struct review_reply *ret)
{
	static const char *const states[] = {"APPROVED", "APPROVED", "APPROVED", "APPROVED",
		"PENDING", "REJECTED", NULL, "STATE_OF_THE_FUTURE"};
	int64_t at = review_us + (int64_t)(dice >> 40 & 0xff) * 3600 * 1000000;

	*ret = (struct review_reply){.is_there = (dice >> 8 & 7) < 3};
	if (!ret->is_there)
		return;
	ret->update_us = at < end_us ? at : end_us;
	ret->state = states[dice >> 11 & 7];
	if (ret->state && strcmp(ret->state, "REJECTED") == 0)
		ret->policy = dice >> 14 & 1 ? "ADVERTISING" : "POLICY_OF_THE_FUTURE";
}

void world_review(const struct world *w, uint64_t location, uint32_t index, struct review *ret)
{
	uint64_t dice = world_dice(w, DICE_REVIEW, location, index);
	int64_t update_us = world_update_us(w, location, index);
	bool was_edited = (dice & 15) == 0;
	int64_t age = was_edited ? (int64_t)(dice >> 20 & 0xffff) * 60 * 1000000 + 60000000 : 0;

	*ret = (struct review){
		.index = index,
		.star = world_star(w, location, index),
		.is_anonymous = (dice >> 4 & 15) == 1,
		.is_rating_only = index % 97 != 96 && (dice >> 32) % 10 < 2,
		.has_media = (dice >> 36 & 15) == 3,
		.has_future_field = (dice >> 48) % 13 == 0,
		.create_us = update_us - age,
		.update_us = update_us,
		.fraction_digits = fraction_digits_of(world_dice(w, DICE_TIME, location, index)),
	};
	roll_reply(mix(dice), update_us, w->end_us, &ret->reply);
}

void world_review_id(const struct world *w, uint64_t location, uint32_t index,
	char ret[static WORLD_REVIEW_ID_SIZE])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint64_t words[3];
	char *to = ret;

	words[0] = shuffle(w, DICE_ID, (location & 0xfffff) << 32 | index);
	words[1] = world_dice(w, DICE_ID, location, index);
	words[2] = mix(words[1]);
	to += snprintf(to, WORLD_REVIEW_ID_SIZE, "AbFvOq");
	for (int i = 0; i < 3; i++)
		for (int shift = i == 0 ? 48 : 54; shift >= 0; shift -= 6)
			*to++ = digits[words[i] >> shift & 63];
	*to = '\0';
}

int world_review_find(const struct world *w, uint64_t location, const char *id, size_t len,
	uint32_t limit, uint32_t *ret)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char own[WORLD_REVIEW_ID_SIZE];
	uint64_t n = 0;
	const char *digit;

	if (len < 15 || len >= WORLD_REVIEW_ID_SIZE)
		return 1;
	for (size_t i = 6; i < 15; i++) {
		digit = id[i] ? strchr(digits, id[i]) : NULL;
		if (!digit)
			return 1;
		n = n << 6 | (uint64_t)(digit - digits);
	}
	if (n >> (2 * HALF_BITS))
		return 1;
	n = unshuffle(w, DICE_ID, n) & UINT32_MAX;
	world_review_id(w, location, (uint32_t)n, own);
	if (n >= limit || !same_id(id, len, own))
		return 1;
	*ret = (uint32_t)n;
	return 0;
}
