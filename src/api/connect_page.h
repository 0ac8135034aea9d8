/* SPDX-License-Identifier: Apache-2.0 */
/* What a branch manager sees of the consent flow: before the provider's page, and after. */
#ifndef API_CONNECT_PAGE_H
#define API_CONNECT_PAGE_H

#include "api/request.h"

/* Worker. Who asks for what, and the button that goes on to the provider. */
void connect_page_ask(struct request *req, const struct client *c, const char *ticket);
/* How a flow ended, with the next step. A page, or JSON when the caller is a program. */
void connect_page_end(struct request *req, const struct connect_result *r);
/* Why a link begins nothing. It says nothing of the branch: whoever holds it may be anybody. */
void connect_page_link(struct request *req, enum link_outcome outcome);

/* "h•••••r@example.com": enough for its owner to know it. */
#define MASKED_EMAIL_SIZE 300
const char *mask_email(const char *email, char ret[static MASKED_EMAIL_SIZE]);

#endif
