/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Google says of an account or a token, and what follows for our connections. The row of an
 * event is written before Google is thanked and says how far it has been carried out; so a crash
 * loses none, and a second delivery does nothing. docs/internals/security_events.md.
 */
#ifndef TOKEN_MANAGEMENT_SECURITY_EVENTS_H
#define TOKEN_MANAGEMENT_SECURITY_EVENTS_H

#include "base/hash.h"
#include "token_management/refresh_names.h"
#include "token_management/token_management_google.h"

enum security_kind {
	SECURITY_TOKEN_REVOKED,
	SECURITY_TOKENS_REVOKED,
	SECURITY_SESSIONS_REVOKED,
	SECURITY_ACCOUNT_DISABLED,
	SECURITY_ACCOUNT_ENABLED,
	SECURITY_CREDENTIALS,
	SECURITY_VERIFICATION,
	SECURITY_KINDS, /* none that we know */
};
const char *security_kind_name(enum security_kind kind); /* "token-revoked", as at the URI's end */
enum security_kind security_kind_parse(const char *name);

struct security_event { /* security_event_drop */
	enum security_kind kind;
	uint8_t jti_hash[HASH_BLAKE2B_SIZE];
	char *audience; /* OAuth client ids, one a line */
	char subject[256];
	bool has_name; /* of a refresh token */
	enum refresh_name_kind name_kind;
	uint8_t name[HASH_BLAKE2B_SIZE];
	char reason[64]; /* a plain word, or ""; of a verification its state */
	int64_t issued_at_ms, received_at_ms;
	/* how far it is */
	int64_t after_row;
	bool is_done;
	int64_t n_ended, n_asked, n_restored; /* connections, by what became of them */
};
void security_event_drop(struct security_event *e);

/* Connections that a page touched, for memory to follow when it is committed. */
#define SECURITY_PAGE 256
struct security_page { /* security_page_drop */
	size_t n_rows, n_forget;
	char *forget[SECURITY_PAGE];
};
void security_page_drop(struct security_page *p);
/*
 * Inside a transaction: carries an event out for its next connections, and notes in its row how far
 * it is. After the commit: security_page_take.
 */
MUST_CHECK int security_apply(struct db *db, const struct token_management *tm,
	struct security_event *e, struct security_page *ret, struct fault *f);
void security_page_take(
	struct token_management *tm, const struct security_event *e, struct security_page *p);

/*
 * Worker, by token_management_follow: now and then goes on with what was left open, forgets old
 * events, and names tokens that have no name yet.
 */
struct security_sweep {
	int64_t next_mono_ms, names_after;
	bool names_done;
};
MUST_CHECK int security_sweep(struct token_management *tm, struct fault *f);

#endif
