/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names that Google gives a refresh token in a security event: its first 16 characters, or its
 * double SHA-512. What is stored beside the sealed token is a BLAKE2b of each, so that no part of
 * the token lies open, and nothing that a third party may know of it. A refresh token is random: at
 * least 128 bits by RFC 6749 section 10.10, in 22 characters or more. So nobody finds it, or its
 * first 16 characters, from its hash.
 */
#ifndef TOKEN_MANAGEMENT_REFRESH_NAMES_H
#define TOKEN_MANAGEMENT_REFRESH_NAMES_H

#include "base/attr.h"
#include "base/hash.h"
#include "base/secret.h"
#include "store/store.h"

#define REFRESH_NAME_PREFIX 16
#define REFRESH_NAMED_LEAST 22 /* shorter ones get empty names: they are no token of Google's */

struct refresh_names {
	bool is_set; /* there is a token; else the columns stay as they are */
	size_t len;  /* of each; 0: the token is too short to be named */
	uint8_t by_hash[HASH_BLAKE2B_SIZE], by_prefix[HASH_BLAKE2B_SIZE];
};
/* token empty: not set. */
void refresh_names_of(const struct secret *token, struct refresh_names *ret);
/* For tokens.refresh_hash and tokens.refresh_prefix; NULL when not set. Borrowed. */
struct db_value refresh_names_hash(const struct refresh_names *n);
struct db_value refresh_names_prefix(const struct refresh_names *n);

enum refresh_name_kind { REFRESH_NAME_HASH, REFRESH_NAME_PREFIXED };
/* From token_identifier_alg and token of an event to what is stored. 0; 1: neither of the two. */
MUST_CHECK int refresh_name_read(const char *alg, const char *text,
	enum refresh_name_kind *ret_kind, uint8_t ret[static HASH_BLAKE2B_SIZE]);

/*
 * Names a page of tokens that have none: stored by an older version, or imported. *after (a row id)
 * moves on; how many there were, -1. Worker.
 */
struct token_management;
#define REFRESH_NAMES_PAGE 200
MUST_CHECK int refresh_names_adopt(struct token_management *tm, int64_t *after, struct fault *f);

#endif
