/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of one connection: reading them, and the writes of the refresh protocol. Each write is
 * one UPDATE that holds only while the fence number is the one that was read. Functions that take a
 * struct db run inside the caller's transaction.
 *
 * Sealed values are bound to {tokens, column, id of the client row}: a connection has one tokens
 * row.
 */
#ifndef TOKEN_MANAGEMENT_GRANT_H
#define TOKEN_MANAGEMENT_GRANT_H

#include "base/attr.h"
#include "base/fault.h"
#include "base/secret.h"
#include "token_management/provider_request.h"
#include "token_management/refresh_names.h"
#include "token_management/slots.h"
#include "token_management/state.h"
#include "token_management/token_response.h"

struct db;
struct db_value;
struct token_management;

struct grant { /* owned: grant_done */
	int64_t client_row;
	char *branch_id, *oauth_id, *provider; /* oauth_id NULL: the default app */
	char *redirect_uri, *workspace_email, *workspace_name;
	char *wanted_scope; /* NULL: the provider's */
	char *key_id;       /* of a private key in client_secret; NULL: none */
	bool is_active;
	enum connection_state state;
	char *reason; /* of the state, for people; NULL: none */
	struct sealed client_secret;
	/* Usable beside it until then; the provider may know only one of the two. */
	struct sealed previous_secret;
	int64_t previous_secret_until_ms;
	/* of the tokens row; has_tokens false: there is none */
	bool has_tokens;
	struct sealed access, refresh;
	char *token_type, *scope, *requested_scope, *subject;
	int64_t expires_at_ms, lifetime_ms, retry_at_ms, next_refresh_at_ms, failures, fence,
		lease_until_ms;
	char *lease_owner; /* NULL: nobody refreshes it */
};
void grant_done(struct grant *g);
/* A copy of a text column; NULL for NULL. */
char *row_copy_text(const struct db_value *col);
/* *ret must be empty or done. 0; 1: no such client. */
MUST_CHECK int grant_load(struct db *db, const char *branch_id, struct grant *ret, struct fault *f);
MUST_CHECK int grant_load_by_id(
	struct db *db, int64_t client_row, struct grant *ret, struct fault *f);

/* Names the sealed column `access_token`, `refresh_token` or `client_secret` of a connection. */
void grant_seal(const struct token_management *tm, const char *column, int64_t client_row,
	const struct secret *plain, struct sealed *ret);
MUST_CHECK int grant_unseal(const struct token_management *tm, const char *column,
	int64_t client_row, const struct sealed *sealed, struct secret *ret, struct fault *f);
/* Whether there is an earlier secret of the app that may still be tried. */
bool grant_has_previous_secret(const struct grant *g);
/*
 * The OAuth app of a connection: its own, or the default one of Google's. previous: with the
 * earlier secret. *ret by app_done; its texts live as long as grant and provider.
 */
MUST_CHECK int grant_app(const struct token_management *tm, const struct provider *p,
	const struct grant *g, bool previous, struct app *ret, struct fault *f);
/* The id alone; NULL: there is no default app. */
const char *grant_app_id(const struct token_management *tm, const struct grant *g);

/*
 * The writes. 0: done; 1: the row has moved on, nothing was written. A claim compares fence and
 * owner: whoever refreshed or reconnected since the row was read changed one of them, so the
 * refresh token that was read with them is still the one to use.
 */
MUST_CHECK int grant_claim(
	struct db *db, const struct grant *g, const char *owner, int64_t until_ms, struct fault *f);

struct grant_tokens {                  /* what a token response brings, sealed */
	struct sealed access, refresh; /* refresh empty: the old one is kept */
	struct refresh_names names;    /* of the refresh token */
	struct identity who;           /* whose they are; "": the old ones are kept */
	char *scope;                   /* NULL: the old one is kept */
	int64_t expires_at_ms, lifetime_ms, next_refresh_at_ms;
	int64_t refresh_expires_at_ms; /* 0: not said */
};
/*
 * From an answer to a request sent at sent_wall_ms: what the provider's policy makes of its
 * lifetime, sealed for a row.
 */
void grant_tokens_from(const struct token_management *tm, const struct provider *p,
	int64_t client_row, const struct token_response *r, int64_t sent_wall_ms,
	struct grant_tokens *ret);
/* Seals the two tokens again: before a later try to store them. */
void grant_tokens_seal(const struct token_management *tm, int64_t client_row,
	const struct token_response *r, struct grant_tokens *t);
void grant_tokens_done(struct grant_tokens *t);
/* The lease ends, failures are forgotten, a degraded connection is connected again. */
MUST_CHECK int grant_store(struct db *db, const struct grant *g, int64_t fence,
	const struct grant_tokens *t, struct fault *f);

struct grant_failure {
	enum token_class class;
	const char *reason;
	int64_t retry_at_ms, next_refresh_at_ms;
	const struct sealed
		*refresh; /* a new refresh token came all the same; NULL or empty: none */
	const struct refresh_names *names; /* of it; never NULL */
};
/*
 * The lease ends; the connection is degraded, or needs reconnecting when the grant is dead. One
 * that was imported and never refreshed stays pending unless it is dead.
 */
MUST_CHECK int grant_fail(struct db *db, const struct grant *g, int64_t fence,
	const struct grant_failure *why, struct fault *f);
/* The lease ends, nothing else changes. */
MUST_CHECK int grant_release(struct db *db, const struct grant *g, int64_t fence, struct fault *f);

#endif
