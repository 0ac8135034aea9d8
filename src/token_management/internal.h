/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this module share. Nothing outside includes it. */
#ifndef TOKEN_MANAGEMENT_INTERNAL_H
#define TOKEN_MANAGEMENT_INTERNAL_H

#include <pthread.h>

#include "base/rand.h"
#include "core/limits.h"
#include "token_management/activity.h"
#include "token_management/google_keys.h"
#include "token_management/keys.h"
#include "token_management/providers.h"
#include "token_management/reads.h"
#include "token_management/security_events.h"
#include "token_management/sessions.h"
#include "token_management/slots.h"
#include "token_management/token_management.h"
#include "token_management/work.h"

struct token_management {
	const struct settings *settings;
	struct store *store;
	struct vault *vault;
	struct net *net;
	struct pool *pool;
	struct scheduler *scheduler;
	char instance[RAND_UUID_SIZE]; /* owner of the leases that this object claims */
	struct provider_table providers;
	struct slot_table slots;
	struct key_table keys;
	struct read_ledger reads;
	struct session_table sessions;
	struct work_list work;
	struct commit_queue commits;
	struct google_keys google_keys;
	_Atomic bool database_fails; /* said already; debug until it works again */
	/* Only token_management_follow touches these: */
	bool revokes_resumed;        /* likewise */
	int64_t audit_purge_mono_ms; /* not before */
	int64_t changes_cursor;
	uint32_t vault_key; /* that sealed when it looked last */
	bool vault_fails;
	struct security_sweep security_sweep;
	struct activity activity;
};

/* Kinds of the change feed. ref: the branch id; for keys and sessions their id. */
#define CHANGE_CLIENT "client"
#define CHANGE_KEY "key"
#define CHANGE_SESSION "session"
#define CHANGE_DUE "due" /* rows were made due now; ref: the import that did */

struct client_insertion { /* borrowed */
	const struct token_management *tm;
	const struct client_input *in;
	const char *redirect_uri, *provider;
	int64_t id;         /* out */
	struct client *ret; /* out, of the caller; or NULL */
};
/* Inside a transaction; the input is checked. 0: there, with its secret; 1: the branch exists. */
MUST_CHECK int client_insert(struct db *db, struct client_insertion *x, struct fault *f);
/* The client's own secret, or private key, in row id. */
MUST_CHECK int client_put_secret(struct db *db, const struct client_insertion *x, struct fault *f);
/* client_id and what the provider wants beside it, or Google's default app where all are NULL. */
MUST_CHECK int client_check_app(const struct token_management *tm, const struct client_input *in,
	const struct provider *p, struct fault *f);
/* Where the provider sends browsers to when a client says nothing else. */
void client_callback_url(const struct token_management *tm, const char *provider, struct buf *ret);

struct client_deletion {
	const struct actor *who;
	int64_t client_row;
	const char *only_status;                   /* NULL: whatever it is */
	char branch_id[LIMIT_BRANCH_ID_BYTES + 1]; /* out: whose memory is to be forgotten then */
};
/* Inside a transaction. 0: deleted, audited, noted; 1: no such client in that state. */
MUST_CHECK int client_delete(struct db *db, struct client_deletion *d, struct fault *f);

/* The provider of a client row, whether found or not; NULL: no such record. Borrowed until the end.
 */
#define PROVIDER_GONE "no provider is called '%s' any more: put its record back into PROVIDERS_FILE"
const struct provider *provider_find(const struct token_management *tm, const char *name);

#endif
