/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the door token_management.h, which includes it: looking after connections. All worker. */
#ifndef TOKEN_MANAGEMENT_MANAGE_H
#define TOKEN_MANAGEMENT_MANAGE_H

#include "token_management/token_management.h"

/* How long the secret before is tried beside a new one. */
#define CLIENT_SECRET_OVERLAP_MS (24 * 60 * 60 * 1000)

struct client_change { /* borrowed; NULL: stays as it is */
	const char *client_secret, *redirect_uri, *workspace_email, *workspace_name;
	const char *private_key, *key_id; /* in place of the secret, where the provider wants it */
	const bool *is_active;
};
/*
 * Changes a client; *ret is what it is then (client_done). A new secret leaves the old one usable
 * for the overlap, and lets a connection that waited for it be refreshed at once. FAULT_MISSING;
 * FAULT_INPUT names the field; FAULT_CONFLICT: a secret for a branch of the default app.
 */
MUST_CHECK int clients_change(struct token_management *tm, int64_t id,
	const struct client_change *change, const struct actor *who, struct client *ret,
	struct fault *f);

enum revoke_outcome {
	REVOKE_DONE,    /* the provider has ended the grant (or knew it no more), and so have we */
	REVOKE_WAITS,   /* the provider could not be asked: `revoking`, tried until it is done */
	REVOKE_UNKNOWN, /* no such branch */
	REVOKE_NOTHING, /* never connected: there is no grant to end */
	REVOKE_SHARED,  /* nothing was done: others would lose their grants with it */
	REVOKE_FAILED,  /* the database failed; the fault says how */
};
struct revoke_result { /* borrowed for the call */
	enum revoke_outcome outcome;
	int64_t client_row;
	const char *branch_id;
	const char *provider_title; /* for people */
	bool is_deleted;
	bool is_local; /* REVOKE_DONE: the provider has no address to revoke at and was not told */
	/*
	 * The siblings: other connected branches of the same provider, OAuth project and account.
	 * REVOKE_SHARED: the first of them by name, and how many there are in all. REVOKE_DONE: how
	 * many lost their grants with it and need to be reconnected.
	 */
	const char *const *siblings;
	size_t n_siblings;
	int64_t siblings_total;
	uint32_t retry_after_ms;   /* REVOKE_WAITS */
	const char *reason;        /* REVOKE_WAITS: words for people */
	const struct fault *fault; /* REVOKE_FAILED */
};
typedef void revoke_done_fn(void *arg, const struct revoke_result *result);
struct revoke_wish { /* borrowed */
	const char *branch_id;
	const struct actor *who; /* its texts until done */
	bool force;              /* even if others lose their grants with it */
	/*
	 * Deletes the client when the grant is ended, or there is none. Not after REVOKE_WAITS: the
	 * client stays, to be deleted when it is `revoked`.
	 */
	bool deletes;
};
/*
 * Ends a grant at the provider (RFC 7009, by the refresh token), then here, then those of its
 * siblings here. From the call on no token of the branch is handed out. done is called exactly
 * once, on a worker, maybe inside. A new consent meanwhile wins.
 */
void tokens_revoke(struct token_management *tm, const struct revoke_wish *wish,
	revoke_done_fn *done, void *arg);

struct audit_filter {                           /* borrowed */
	const char *branch_id, *action, *actor; /* NULL: any */
	int64_t since_ms, until_ms;             /* from, and before; 0: open */
	int64_t before_id;                      /* cursor; 0: from the newest on */
	int64_t limit;
};
struct audit_row { /* borrowed for the call; all but actor and action may be NULL */
	int64_t id, at_ms;
	const char *actor, *action, *branch_id, *remote;
	const char *detail; /* JSON */
};
typedef int audit_each_fn(void *arg, const struct audit_row *row, struct fault *f);
/* The newest first. */
MUST_CHECK int audit_list(struct token_management *tm, const struct audit_filter *filter,
	audit_each_fn *each, void *arg, struct fault *f);

/* HTTP. Whether a key that was good still is: for answers that last. */
bool keys_is_good(struct token_management *tm, const struct key_grant *key);

#endif
