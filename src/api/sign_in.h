/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that want a person who is signed in (ROUTE_PAGE). */
#ifndef API_SIGN_IN_H
#define API_SIGN_IN_H

#include "api/request.h"

/* 0: go on. 1: the answer sends the browser to sign in, and back here afterwards. */
int sign_in_first(struct request *req);

#endif
