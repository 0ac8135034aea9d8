/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call a route. */
#ifndef API_AUTH_H
#define API_AUTH_H

#include "api/request.h"

/*
 * HTTP thread. Checks the key of a request against scope (bits as in struct route) and notes it in
 * the request. -1: the fault is a sentence that says what to do; the answer's status is set (401,
 * 403, 421, 429).
 */
MUST_CHECK int auth_check(struct request *req, unsigned scope, bool is_loopback, struct fault *f);

/* The name of the cookie that holds a session: under https a browser keeps it to this host. */
const char *auth_session_cookie(const struct settings *settings);
/*
 * A request that only a page of ours can have made a browser send: Sec-Fetch-Site, where the
 * browser says it, is same-origin; Origin, where it is there, is ours; and one of the two is there.
 */
bool auth_is_same_origin(const struct request *req);
/* A browser says that another site made it send this. */
bool auth_is_from_elsewhere(const struct request *req);
/* What a form of ours shows to prove that it was made for this session; ret is wiped by the caller.
 */
#define AUTH_FORM_TOKEN_SIZE 48
void auth_form_token(const char *cookie, char ret[static AUTH_FORM_TOKEN_SIZE]);

#endif
