/* SPDX-License-Identifier: Apache-2.0 */
/* An authorization request, checked, and the page that asks for consent. */
#ifndef SIMULATOR_AUTHORIZE_H
#define SIMULATOR_AUTHORIZE_H

#include "base/attr.h"
#include "simulator/simulator.h"

#define SCOPES_MAX 32

struct authorization { /* borrowed from the request's parameters */
	const struct params *params;
	const char *client_id, *redirect_uri, *state, *challenge, *nonce, *login_hint;
	const char *scopes[SCOPES_MAX]; /* in full, each once */
	size_t n_scopes;
	struct buf scope_text; /* what `scopes` points into */
	bool is_offline, is_prompted, is_silent, includes_granted;
};

/* openid, email and profile cannot be unticked. */
bool scope_is_sign_in(const char *scope);
void consent_page(struct request *r, const struct authorization *a);
void refusal_page(struct request *r, const char *error, const char *description);

#endif
