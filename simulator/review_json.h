/* SPDX-License-Identifier: Apache-2.0 */
/* A review as Google's v4 JSON: empty fields are left out, times have 0, 3, 6 or 9 digits. */
#ifndef SIMULATOR_REVIEW_JSON_H
#define SIMULATOR_REVIEW_JSON_H

#include "base/attr.h"
#include "base/json.h"
#include "simulator/overlay.h"

/* `parent` is the location's name as it was asked: accounts/{a}/locations/{l}. */
void review_write(const struct world *w, uint64_t location, const char *parent,
	const struct review *review, struct json_out *o);
void reply_write(
	const struct world *w, uint64_t location, const struct review *review, struct json_out *o);
/* "THREE" and so on, or the review's own odd word. */
const char *review_star_name(const struct review *review);
/* From "FIVE" or "5"; any other word: star 0 and star_name set to it. */
void review_star_from(const char *text, struct review_edit *edit);

#endif
