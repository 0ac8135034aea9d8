/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Google connections of the branches: who they are (clients), how one is made (connect), the
 * token that works now (tokens), and who may ask (keys).
 *
 * Threads. Functions that say "worker" touch the database and block; they belong on pool threads or
 * in the command line. "HTTP" ones touch memory only.
 */
#ifndef TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_H
#define TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/secret.h"
#include "core/pool.h"
#include "core/scheduler.h"
#include "core/settings.h"

struct net;
struct store;
struct vault;
struct token_management;

struct token_management_parts { /* borrowed; all must outlive the object */
	const struct settings *settings;
	struct store *store;
	struct vault *vault;
	struct net *net;             /* NULL in the command line: no refresh, no exchange */
	struct pool *pool;           /* NULL likewise */
	struct scheduler *scheduler; /* NULL likewise */
};
MUST_CHECK int token_management_new(
	const struct token_management_parts *parts, struct token_management **ret, struct fault *f);
/* Once, by serve: from now on what is due by its row is refreshed, until the stop. */
void token_management_refresh_due(struct token_management *tm);
/*
 * Nothing more is asked of a provider; what is under way gets wait_ms to be answered and stored, so
 * that no rotated refresh token is thrown away. Before net_stop. Idempotent. NULL is fine.
 */
void token_management_stop(struct token_management *tm, int64_t wait_ms);
/* Answers all waiters, ends all refreshes. After net_stop; the pool still runs or has run dry. */
void token_management_free(struct token_management *tm);
/* Worker; every 500 ms or so by serve: follows the change feed (other processes, command line). */
MUST_CHECK int token_management_follow(struct token_management *tm, struct fault *f);

/* ---- clients: worker ---- */

struct client { /* strings are owned by the struct: client_done */
	int64_t id;
	char *client_oauth_id, *redirect_uri, *branch_id, *workspace_email, *workspace_name;
	char *provider, *status, *status_reason; /* status_reason may be NULL */
	char *granted_scopes, *missing_scopes;   /* blank-separated; NULL when no token yet */
	char *provider_title;                    /* for people */
	char *scope;           /* asked for in place of the provider's; NULL: the provider's */
	char *connected_email; /* of the account that consented, as it was named; NULL: unknown */
	bool is_active;
	int64_t created_at_ms, updated_at_ms;
	int64_t expires_at_ms, last_refreshed_at_ms, next_refresh_at_ms; /* 0: none */
};
void client_done(struct client *c);

struct client_input {          /* borrowed */
	const char *client_id; /* NULL with client_secret: the default app of the settings */
	const char *client_secret;
	const char *provider;    /* NULL: Google */
	const char *scope;       /* blank-separated; NULL: the provider's */
	const char *private_key; /* PEM; for a provider with private_key_jwt */
	const char *key_id;      /* of it; NULL: none */
	/* NULL: PUBLIC_URL + /token-management/auth/callback, and /PROVIDER unless it is Google */
	const char *redirect_uri;
	const char *branch_id, *workspace_email, *workspace_name;
};
/* Who acts, for the audit. */
struct actor {
	const char *name;   /* "key:ab12cd34", "link", "cli" */
	const char *remote; /* address, or NULL */
};
/* FAULT_INPUT names the field; FAULT_CONFLICT "Branch ID already exists". *ret by client_done. */
MUST_CHECK int clients_register(struct token_management *tm, const struct client_input *in,
	const struct actor *who, struct client *ret, struct fault *f);
/* 0, or FAULT_MISSING. */
MUST_CHECK int clients_get(
	struct token_management *tm, int64_t id, struct client *ret, struct fault *f);
MUST_CHECK int clients_get_by_branch(
	struct token_management *tm, const char *branch_id, struct client *ret, struct fault *f);
/* By expiry only those that have a token are listed. */
enum client_sort { CLIENTS_BY_ID, CLIENTS_BY_BRANCH, CLIENTS_BY_NAME, CLIENTS_BY_EXPIRY };
struct client_filter {
	const char *status, *q; /* NULL: any; q: substring of branch, email or workspace name */
	const char *const *branches; /* NULL: all; else only these (a key's binding) */
	size_t n_branches;
	enum client_sort sort;
	bool descending;
	int64_t after_id;       /* cursor: the last row's id, 0: from the start, … */
	const char *after_text; /* … and its branch or name … */
	int64_t after_number;   /* … or expires_at_ms, whichever is sorted by */
	int64_t limit;
};
typedef int client_each_fn(void *arg, const struct client *c, struct fault *f);
MUST_CHECK int clients_list(struct token_management *tm, const struct client_filter *filter,
	client_each_fn *each, void *arg, struct fault *f);
/* Deletes the client and its tokens here; says nothing to Google. FAULT_MISSING. */
MUST_CHECK int clients_delete(
	struct token_management *tm, int64_t id, const struct actor *who, struct fault *f);

/* ---- tokens: the hot path ---- */

struct token_view { /* borrowed for the call */
	int64_t client_row;
	const char *client_oauth_id, *branch_id, *token_type, *scope;
	const char *access_token;
	size_t access_token_len;
	int64_t expires_at_ms;
	const char *expires_at_text;
	bool degraded; /* refreshing fails; this one still has life */
};
enum token_outcome {
	TOKEN_READY,
	TOKEN_UNKNOWN,         /* no such branch                                    404 */
	TOKEN_PENDING,         /* registered, never connected                       409 */
	TOKEN_NEEDS_RECONNECT, /* the grant is dead                                 409 */
	TOKEN_INACTIVE,        /* switched off                                      409 */
	TOKEN_REVOKED,         /*                                                   409 */
	TOKEN_UNAVAILABLE,     /* refreshing fails and nothing valid is left: retry 503 */
};
typedef void token_copy_fn(void *arg, const struct token_view *view);
/*
 * HTTP. When a token of this branch lives in memory with enough life, calls copy (under a shard's
 * lock: format into your own memory, nothing else) and answers true. False: ask tokens_obtain.
 * Never touches the database, the network or a queue.
 */
bool tokens_read(struct token_management *tm, const char *branch_id, size_t len, int64_t min_ttl_ms,
	token_copy_fn *copy, void *arg);

struct token_result { /* borrowed for the call */
	enum token_outcome outcome;
	const struct token_view *view; /* TOKEN_READY only */
	int64_t client_row;            /* 0 when TOKEN_UNKNOWN */
	uint32_t retry_after_ms;       /* TOKEN_UNAVAILABLE */
	const char *reason;            /* words for people; never NULL unless ready; no secret */
};
typedef void token_done_fn(void *arg, const struct token_result *result);
/*
 * Any thread; never blocks. Loads and refreshes as needed: callers for one branch share one refresh
 * (promise 1). force refreshes whatever life is left, but joins a refresh already running. done is
 * called exactly once, on a worker, never inside this call.
 */
void tokens_obtain(struct token_management *tm, const char *branch_id, int64_t min_ttl_ms,
	bool force, token_done_fn *done, void *arg);
/*
 * Any thread. A caller saw this very token refused (401): forget it, so that the next obtain
 * refreshes. Does nothing when the branch has another token by now.
 */
void tokens_reject(
	struct token_management *tm, const char *branch_id, const char *access_token, size_t len);

/* ---- keys ---- */

enum key_scope {
	KEY_CLIENTS_READ = 1 << 0,
	KEY_CLIENTS_WRITE = 1 << 1,
	KEY_TOKENS_READ = 1 << 2,
	KEY_TOKENS_MANAGE = 1 << 3,
	KEY_REVIEWS_READ = 1 << 4,
	KEY_REVIEWS_FETCH = 1 << 5,
	KEY_REVIEWS_REPLY = 1 << 6,
	KEY_ADMIN = 1 << 7, /* implies all others */
};
const char *key_scope_name(enum key_scope scope); /* "tokens:read" */
/* Comma- or blank-separated names to bits. FAULT_INPUT names the unknown one, lists the known. */
MUST_CHECK int key_scopes_parse(const char *text, unsigned *ret, struct fault *f);

struct key_input {
	const char *name;
	unsigned scopes;
	const char *const *branches; /* NULL: all */
	size_t n_branches;
	int64_t expires_at_ms; /* 0: never */
	int64_t per_minute;    /* 0: no rate */
};
/* Worker. *ret_key is the only time the key itself is seen ("rf_<id>_<secret>"). */
MUST_CHECK int keys_create(struct token_management *tm, const struct key_input *in,
	const struct actor *who, struct secret *ret_key, char ret_id[static 16], struct fault *f);
struct key_row {
	const char *id, *name, *scopes, *branches; /* branches: JSON or NULL */
	int64_t per_minute, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms;
};
typedef int key_each_fn(void *arg, const struct key_row *k, struct fault *f);
MUST_CHECK int keys_list(
	struct token_management *tm, key_each_fn *each, void *arg, struct fault *f);
MUST_CHECK int keys_revoke(struct token_management *tm, const char *id, const struct actor *who,
	struct fault *f); /* FAULT_MISSING */

enum key_outcome { KEY_GOOD, KEY_UNKNOWN, KEY_EXPIRED, KEY_REVOKED, KEY_TOO_FAST };
struct key_grant { /* by value, no ownership */
	char id[16];
	unsigned scopes;
	bool is_bound;           /* to branches: ask keys_may_see */
	uint32_t retry_after_ms; /* KEY_TOO_FAST */
};
/*
 * HTTP. All keys live in memory; the BLAKE2b of the whole key is compared in constant time. Counts
 * against the key's rate and notes its use. The scopes of an admin's key are all scopes.
 */
enum key_outcome keys_check(
	struct token_management *tm, const char *key, size_t len, struct key_grant *ret);
/* HTTP. Whether a bound key covers a branch; true for keys that are not bound. */
bool keys_may_see(struct token_management *tm, const struct key_grant *key, const char *branch_id,
	size_t len);
/* Worker. The branches of a bound key, owned (free each, then the array). 0 and NULL: not bound. */
size_t keys_branches(struct token_management *tm, const struct key_grant *key, char ***ret);

#include "token_management/manage.h"
#include "token_management/token_management_connect.h"
#include "token_management/token_management_overview.h"
#include "token_management/token_management_sessions.h"
#endif
