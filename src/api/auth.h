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

#endif
