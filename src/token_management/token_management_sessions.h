/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of the door token_management.h, which includes it: people at a browser. A session has the
 * rights of the key that signed in, and ends with it, in all processes.
 */
#ifndef TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_SESSIONS_H
#define TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_SESSIONS_H

#include "token_management/token_management.h"

#define SESSIONS_PER_KEY 100 /* that live: one more ends the one that was used least recently */
#define SIGN_IN_LINK_MS (INT64_C(3600) * 1000)

struct session_start { /* session_start_done */
	char id[16];
	struct secret cookie; /* the only time it is seen: its hash is kept */
	int64_t expires_at_ms;
};
void session_start_done(struct session_start *s);
/* Worker. Signs in with a key that was checked. remote may be NULL. */
MUST_CHECK int sessions_begin(struct token_management *tm, const char *key_id, const char *remote,
	struct session_start *ret, struct fault *f);

struct session_grant { /* by value, no ownership */
	char id[16];
	struct key_grant key; /* of the key that signed in, as keys_check gives it */
	int64_t expires_at_ms;
};
/*
 * HTTP. As keys_check, from memory alone: KEY_EXPIRED is a session or its key that ran out, or was
 * not used for SESSION_IDLE_SEC; KEY_REVOKED one that was ended, or whose key was. Counts against
 * the key's rate and notes the use.
 */
enum key_outcome sessions_check(
	struct token_management *tm, const char *cookie, size_t len, struct session_grant *ret);
/*
 * Any thread, from memory. Whether a session that was good still is, for answers that last: it was
 * not ended, has not run out and was not left unused for SESSION_IDLE_SEC. Is no use of it.
 */
bool sessions_is_good(struct token_management *tm, const char *id);
/* Worker. Reads a session's row again: another process may have begun or used it just now. */
MUST_CHECK int sessions_learn(
	struct token_management *tm, const char *cookie, size_t len, struct fault *f);

/* Worker. FAULT_MISSING: no such session. key_id: only one of that key; NULL: anybody's. */
MUST_CHECK int sessions_end(struct token_management *tm, const char *id, const char *key_id,
	const struct actor *who, struct fault *f);
struct session_row {                                 /* borrowed for the call */
	const char *id, *key_id, *key_name, *remote; /* remote may be NULL */
	int64_t created_at_ms, expires_at_ms, last_used_at_ms;
};
typedef int session_each_fn(void *arg, const struct session_row *row, struct fault *f);
/* Worker. Those that live, the newest first; key_id NULL: of all keys. */
MUST_CHECK int sessions_list(struct token_management *tm, const char *key_id, session_each_fn *each,
	void *arg, struct fault *f);

/* Worker. A one-time address that signs in with a key. FAULT_MISSING: no key that is good. */
MUST_CHECK int sign_in_link(struct token_management *tm, const char *key_id, int64_t life_ms,
	const struct actor *who, struct buf *ret_url, struct fault *f);
/*
 * Worker. Whose sign-in a link is: the key's name, appended to *ret_name; changes nothing. 0; 1:
 * unknown, used, expired, or its key is not good any more.
 */
MUST_CHECK int sign_in_look(
	struct token_management *tm, const char *link, struct buf *ret_name, struct fault *f);
/* Worker. Uses a link up. 0: *ret is set; 1: as sign_in_look. */
MUST_CHECK int sign_in_take(struct token_management *tm, const char *link, const char *remote,
	struct session_start *ret, struct fault *f);

#endif
