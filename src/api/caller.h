/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a stream was opened by. A request is checked once, but a stream goes on: whoever loses the
 * right to it hears nothing more, whether it is the key that ends or a person's session.
 */
#ifndef API_CALLER_H
#define API_CALLER_H

#include "api/request.h"

struct caller { /* by value, no ownership */
	struct token_management *tokens;
	struct key_grant key; /* when has_key */
	char session_id[16];  /* when has_session */
	bool has_key, has_session;
};
void caller_init(struct caller *ret, const struct request *req);
/* Any thread, from memory. NULL while it may go on; else a static sentence that says why not. */
const char *caller_gone(const struct caller *c);
/* Ends an event stream with the event `closed`, which says why. Answers STREAM_END. */
int caller_say_closed(struct buf *out, const char *why);

#endif
