/* SPDX-License-Identifier: Apache-2.0 */
/*
 * API keys in memory. The database is the truth; memory holds every key, follows the change feed,
 * and answers each check under a read lock. Rate and last use are atomics of the key itself, so
 * that a check writes nothing that another key's check reads.
 */
#ifndef TOKEN_MANAGEMENT_KEYS_H
#define TOKEN_MANAGEMENT_KEYS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/attr.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/map.h"

struct key_grant;
struct token_management;

#define KEY_ID_LEN 8
#define KEY_SECRET_BYTES 32
#define KEY_SECRET_LEN 43                             /* base64url of KEY_SECRET_BYTES */
#define KEY_LEN (3 + KEY_ID_LEN + 1 + KEY_SECRET_LEN) /* rf_<id>_<secret> */

struct api_key {
	char id[16];
	uint8_t hash[HASH_BLAKE2B_SIZE];
	unsigned scopes;
	bool is_bound, is_revoked;
	struct map branches; /* of a bound key: name to itself */
	char **branch_names;
	size_t n_branches;
	int64_t expires_at_ms, per_minute;
	_Atomic int64_t next_us; /* theoretical arrival time of its next request (GCRA) */
	_Atomic int64_t last_used_ms;
	int64_t written_used_ms; /* only keys_write_back touches it */
};

struct key_table {
	pthread_rwlock_t lock;
	struct map keys;
};
void keys_init(struct key_table *t);
void keys_done(struct key_table *t);
/* HTTP. keys_check for one that was proven otherwise. ret may hold the id. */
enum key_outcome keys_grant(struct token_management *tm, const char *id, struct key_grant *ret);
/* A new public id. */
void keys_make_id(char ret[static 16]);
/* Worker. All keys, or one (again) by its id. */
MUST_CHECK int keys_load(struct token_management *tm, const char *only_id, struct fault *f);
/* Worker; one caller at a time. Writes down when keys were used last, at most once a minute a key.
 */
MUST_CHECK int keys_write_back(struct token_management *tm, struct fault *f);

#endif
