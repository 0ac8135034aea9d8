/* SPDX-License-Identifier: Apache-2.0 */
/* Providers are data: all that differs between them is a field of this record. */
#ifndef TOKEN_MANAGEMENT_PROVIDER_H
#define TOKEN_MANAGEMENT_PROVIDER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/secret.h"
#include "core/settings.h"
#include "net/net.h"

/* Exactly one method a request (RFC 6749 section 2.3). */
enum provider_auth { PROVIDER_AUTH_BODY, PROVIDER_AUTH_BASIC };

struct provider_param {
	const char *name, *value;
};

struct provider {                 /* all borrowed */
	const char *name, *title; /* "google", "Google" */
	const char *issuer;       /* what `iss` must be, byte for byte (RFC 9207) */
	const char *issuer_alias; /* what the ID token may say instead; NULL: nothing */
	bool sends_iss;           /* a callback without `iss` is refused (RFC 9207 section 2.4) */
	/* Revoking one grant ends all of that account in the client's project, which is the client
	 * id up to the first '-'. Else: all of that account with the same client id. */
	bool revokes_project;
	const char *auth_url, *token_url, *revoke_url;
	const char *scopes;                 /* asked for; blank-separated */
	const char *required_scopes;        /* without these a connection is useless */
	const struct provider_param *extra; /* of the authorization request */
	size_t n_extra;
	enum provider_auth auth;
	int64_t assumed_lifetime_ms; /* when the answer has no expires_in */
	int64_t max_lifetime_ms;     /* never believed to live longer */
};

void provider_google(const struct settings *s, struct provider *ret);
/* No parameter of the protocol may come from the record's extras or URLs. -1 FAULT_INPUT. */
MUST_CHECK int provider_check(const struct provider *p, struct fault *f);

/*
 * Appends those of `wanted` that are not in `granted`, all blank-separated; names that mean the
 * same count as one.
 */
void scopes_missing(const char *wanted, const char *granted, struct buf *ret);

struct authorize_request { /* borrowed */
	const char *client_id, *redirect_uri, *state, *challenge, *login_hint;
	bool chooses_account; /* the person is to be asked which one (OIDC Core 3.1.2.1, prompt) */
};
/* The address of the consent page (RFC 6749 4.1.1, RFC 7636 4.3); the URL's own query is kept. */
void provider_authorize_url(
	const struct provider *p, const struct authorize_request *r, struct buf *ret);
/* code_challenge of a code_verifier: S256 (RFC 7636 section 4.2). */
void provider_challenge(const char *verifier, struct buf *ret);

/*
 * A POST to a token or revocation endpoint: moves *form, adds the client's credentials by the
 * provider's one method. ret->url is borrowed from token_url.
 */
void provider_token_request(const struct provider *p, const char *token_url, const char *client_id,
	const struct secret *client_secret, struct buf *moved_form, uint32_t timeout_ms,
	struct net_request *ret);

#endif
