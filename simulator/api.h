/* SPDX-License-Identifier: Apache-2.0 */
/* What Google's APIs have in common: who asks, how much they may ask for, and where a list goes on.
 */
#ifndef SIMULATOR_API_H
#define SIMULATOR_API_H

#include "base/attr.h"
#include "simulator/simulator.h"

enum api { API_ACCOUNTS, API_LOCATIONS, API_REVIEWS, API_NOTIFICATIONS };

/* Checks the bearer token, its scope and the quota. False: the answer is made already. */
bool api_begin(struct request *r, enum api api, const uint64_t *edited, uint64_t *ret_user);

/*
 * Reads a page size: absent or 0 is the default; past the maximum it is cut, or refused when
 * `refused` or the strict_page_size setting says so. False: the answer is made already.
 */
struct page_size {
	const char *text; /* NULL: absent */
	int64_t standard, most;
	bool is_refused;
};
bool api_page_size(struct request *r, const struct page_size *rule, int64_t *ret);

/* Where a list goes on. Bound to what was asked (scope), to the seed and to the generation. */
struct page_token {
	uint64_t scope;
	struct review_key key;
	uint64_t position;
};
uint64_t api_scope(const char *const *parts, size_t n); /* NULL parts count as "" */
void api_token_add(
	struct request *r, struct json_out *o, const struct page_token *t); /* nextPageToken */
/* text NULL or "": *ret_is_first. False: stale, foreign or forged; the answer is made already. */
bool api_token_read(struct request *r, const char *text, uint64_t scope, struct page_token *ret,
	bool *ret_is_first);

/* The account of a path, when it is there and the user's. False: answered. */
bool api_account(struct request *r, uint64_t user, const char *id, uint64_t *ret);

#endif
