/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions in memory, as keys are: the database is the truth, the change feed keeps memory up with
 * it, a check costs two hash look-ups. A session knows its key by id only, so that whatever
 * happens to the key happens to it.
 */
#ifndef TOKEN_MANAGEMENT_SESSIONS_H
#define TOKEN_MANAGEMENT_SESSIONS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/attr.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/map.h"
#include "token_management/keys.h"

struct token_management;

#define SESSION_ID_LEN KEY_ID_LEN
#define SESSION_LEN (SESSION_ID_LEN + 1 + KEY_SECRET_LEN) /* <id>_<secret> */

struct session {
	char id[16], key_id[16];
	uint8_t hash[HASH_BLAKE2B_SIZE];
	int64_t expires_at_ms;
	bool is_ended;
	_Atomic int64_t last_used_ms;
	int64_t written_used_ms; /* only sessions_write_back touches it */
};

struct session_table {
	pthread_rwlock_t lock;
	struct map sessions;
	int64_t swept_mono_ms; /* only sessions_write_back touches it */
};
void sessions_init(struct session_table *t);
void sessions_done(struct session_table *t);
/* Worker. All that live, or one (again) by its id. */
MUST_CHECK int sessions_load(struct token_management *tm, const char *only_id, struct fault *f);
/*
 * Worker; one caller at a time. Once a minute: writes down when sessions were used, hears when
 * other processes saw them, forgets those that ran out.
 */
MUST_CHECK int sessions_write_back(struct token_management *tm, struct fault *f);

#endif
