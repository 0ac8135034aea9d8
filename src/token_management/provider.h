/* SPDX-License-Identifier: Apache-2.0 */
/* Providers are data: all that differs between them is a field of this record. */
#ifndef TOKEN_MANAGEMENT_PROVIDER_H
#define TOKEN_MANAGEMENT_PROVIDER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/secret.h"
#include "core/settings.h"
#include "jose/jose_sign.h"

#define PROVIDER_GOOGLE "google"
#define PROVIDER_NAME_BYTES 32

/* Exactly one method a request (RFC 6749 section 2.3). */
enum provider_auth {
	PROVIDER_AUTH_BODY,  /* client_secret_post */
	PROVIDER_AUTH_BASIC, /* client_secret_basic */
	PROVIDER_AUTH_KEY,   /* private_key_jwt (RFC 7523) */
	PROVIDER_AUTH_NONE,  /* a public client: its id alone */
};
const char *provider_auth_name(enum provider_auth auth);

/* What ends with a grant that is revoked. */
enum provider_reach {
	PROVIDER_ENDS_GRANT,   /* that grant */
	PROVIDER_ENDS_ACCOUNT, /* all of that account with the same client id */
	PROVIDER_ENDS_PROJECT, /* Google: … in its project, the client id up to the first '-' */
};

struct provider_param {
	const char *name, *value;
};

struct provider {                 /* all borrowed */
	const char *name, *title; /* "google", "Google" */
	const char *issuer;       /* what `iss` must be, byte for byte (RFC 9207); NULL: unknown */
	const char *issuer_alias; /* what the ID token may say instead; NULL: nothing */
	/* Where the addresses that are NULL below are to be found (RFC 8414); NULL: nowhere. */
	const char *metadata_url;
	bool sends_iss; /* a callback without `iss` is refused (RFC 9207 section 2.4) */
	enum provider_reach revocation_ends;
	const char *auth_url, *token_url;   /* NULL: not found yet */
	const char *revoke_url;             /* NULL: it cannot revoke, or not found yet */
	const char *scopes;                 /* asked for; blank-separated; "": no `scope` at all */
	const char *required_scopes;        /* without these a connection is useless */
	const struct provider_param *extra; /* of the authorization request */
	size_t n_extra;
	const struct provider_param *token_extra; /* of requests to the token endpoint */
	size_t n_token_extra;
	enum provider_auth auth;
	struct secret key;  /* PROVIDER_AUTH_KEY: of clients without one of their own; or empty */
	const char *key_id; /* of that key; NULL: none */
	enum jose_sign_alg alg; /* if has_alg; else the key decides */
	bool has_alg;
	bool audience_is_token_url;  /* of assertions; else the issuer */
	bool has_no_pkce;            /* sends no code_challenge */
	bool rotates;                /* a refresh token works once */
	int64_t assumed_lifetime_ms; /* when the answer has no expires_in */
	int64_t max_lifetime_ms;     /* never believed to live longer */
};

void provider_google(const struct settings *s, struct provider *ret);
/* What is there to be checked: addresses, and that no parameter of the protocol comes from extras
 * or a query. The field of the fault is the key of a provider file. -1 FAULT_INPUT. */
MUST_CHECK int provider_check(const struct provider *p, struct fault *f);
/* Both addresses without which nothing can be asked. */
bool provider_is_found(const struct provider *p);

/*
 * Appends those of `wanted` that are not in `granted`, all blank-separated; names that mean the
 * same count as one.
 */
void scopes_missing(const char *wanted, const char *granted, struct buf *ret);

struct authorize_request { /* borrowed */
	const char *client_id, *redirect_uri, *scope, *state, *challenge, *login_hint;
	bool chooses_account; /* the person is to be asked which one (OIDC Core 3.1.2.1, prompt) */
};
/* The address of the consent page (RFC 6749 4.1.1, RFC 7636 4.3); the URL's own query is kept. */
void provider_authorize_url(
	const struct provider *p, const struct authorize_request *r, struct buf *ret);
/* code_challenge of a code_verifier: S256 (RFC 7636 section 4.2). */
void provider_challenge(const char *verifier, struct buf *ret);

#endif
