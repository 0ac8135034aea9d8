/* SPDX-License-Identifier: Apache-2.0 */
/* What a branch manager sees of the consent flow: before Google, and after. */
#ifndef API_CONNECT_PAGE_H
#define API_CONNECT_PAGE_H

#include "api/request.h"

struct connect_ending {
	unsigned status;
	const char *title, *sentence, *next;
};
const struct connect_ending *connect_ending(enum connect_outcome outcome);

/* Worker. Who asks for what, and the button that goes on to the provider. */
void connect_page_ask(struct request *req, const struct client *c, const char *ticket);
/*
 * The page of an ending. Where the address bears a code or a state of a flow that was known, the
 * browser is sent to the bare address instead (RFC 9700 section 4.2.4), with the page in a cookie
 * that only this process can have written, for ten minutes.
 */
void connect_page_end(struct request *req, const struct connect_result *r, const char *sentence);
/* The page of that cookie. False: there is none that is good. */
bool connect_page_again(struct request *req);

#endif
