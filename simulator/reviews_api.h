/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIMULATOR_REVIEWS_API_H
#define SIMULATOR_REVIEWS_API_H

#include "simulator/api.h"

#define REVIEWS_PAGE 50
#define BATCH_LOCATIONS_MAX 50

struct place_name {
	uint64_t location;
	char text[80]; /* accounts/{a}/locations/{l} */
};
/*
 * The location of a path, seen by this user through this account. The overlay is held for reading.
 * False: not there (404) or not verified (400); answered.
 */
bool reviews_place(struct request *r, uint64_t user, const char *account, size_t account_len,
	const char *location, size_t location_len, struct place_name *ret);
/* The words of orderBy. False: answered. */
bool reviews_order(struct request *r, const char *text, enum review_order *ret);

#endif
