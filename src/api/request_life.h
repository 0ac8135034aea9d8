/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a request and its answer: the server's business, and the tests'. */
#ifndef API_REQUEST_LIFE_H
#define API_REQUEST_LIFE_H

#include "api/request.h"

/*
 * Makes ready for the next request without touching what need not be: the struct is large, and this
 * is on the hot path. method, path, id, remote, api and server stay as they are.
 */
void request_begin(struct request *req);
void request_done(struct request *req); /* frees and wipes; request_begin may follow */

/* The content type that answers start with; told by its address. */
extern const char answer_plain_type[];

void answer_begin(struct answer *a);
void answer_drop(struct answer *a); /* body and stream; answer_begin must follow */

#endif
