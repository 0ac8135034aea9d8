/* SPDX-License-Identifier: Apache-2.0 */
/* What the fields of a client may hold, whoever sets them. -1 FAULT_INPUT that names the field. */
#ifndef TOKEN_MANAGEMENT_CLIENT_CHECK_H
#define TOKEN_MANAGEMENT_CLIENT_CHECK_H

#include "base/attr.h"
#include "base/fault.h"
#include "token_management/provider.h"

/* Text for people and names: UTF-8 without control characters (C0, DEL, C1). NULL is refused. */
MUST_CHECK int client_check_text(const char *text, size_t max, const char *field, struct fault *f);
/* RFC 6749 appendix A.1 and A.2: visible ASCII characters and blanks. */
MUST_CHECK int client_check_credential(
	const char *text, size_t max, const char *field, struct fault *f);
/* The shape alone: one '@' between a local part and a domain with a dot; no blanks, no controls. */
MUST_CHECK int client_check_email(const char *text, struct fault *f);
/* An exact redirect address (net_url_check); the text shows it unless a password may stand in it.
 */
MUST_CHECK int client_check_redirect(const char *url, struct fault *f);

#define CLIENT_CALLBACK_PATH "/token-management/auth/callback"
/*
 * RFC 9700 section 4.4.2.2: the callback of one provider is not that of another, and a provider
 * that does not send its issuer needs its own.
 */
MUST_CHECK int client_check_callback(const char *url, const struct provider *p, struct fault *f);
/* Scopes between single blanks (RFC 6749 section 3.3) that hold what the provider's record
 * requires. */
MUST_CHECK int client_check_scope(const char *scope, const struct provider *p, struct fault *f);

struct client_credentials { /* borrowed; NULL: not given */
	const char *client_secret, *private_key, *key_id;
};
/* Exactly what the provider's one method takes. may_lack: a change, which may leave them as they
 * are. */
MUST_CHECK int client_check_credentials(const struct client_credentials *c,
	const struct provider *p, bool may_lack, struct fault *f);

#endif
