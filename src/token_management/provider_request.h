/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a token or revocation endpoint, and how an app shows itself there. */
#ifndef TOKEN_MANAGEMENT_PROVIDER_REQUEST_H
#define TOKEN_MANAGEMENT_PROVIDER_REQUEST_H

#include "net/net.h"
#include "token_management/provider.h"

struct app {                  /* an OAuth app as a provider knows it */
	const char *id;       /* borrowed */
	const char *key_id;   /* of a private key; borrowed; NULL: none */
	struct secret secret; /* a client secret, or a private key in PEM; owned; may be empty */
};
void app_done(struct app *a); /* for AUTO */

/*
 * A POST to a token or revocation endpoint: moves *form, adds the app's credentials by the
 * provider's one method. ret->url is borrowed from url. -1: the key cannot sign; *form is kept.
 */
MUST_CHECK int provider_request(const struct provider *p, const char *url, const struct app *app,
	struct buf *moved_form, uint32_t timeout_ms, struct net_request *ret, struct fault *f);
/* The record's own parameters of a request to the token endpoint. */
void provider_add_token_params(const struct provider *p, struct buf *form);

#endif
