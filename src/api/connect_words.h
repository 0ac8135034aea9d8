/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the pages of the consent flow; {{names}} as in page_words. */
#ifndef API_CONNECT_WORDS_H
#define API_CONNECT_WORDS_H

#include "api/page.h"

struct ending {
	unsigned status;
	enum page_tone tone;
	const char *title, *sentence, *next;
	const char *button; /* NULL: there is nothing to try again here */
};
/* A variant of CONNECT_DONE, CONNECT_REPLAYED, CONNECT_WRONG_ACCOUNT is chosen by the result. */
const struct ending *connect_words(const struct connect_result *r);
const struct ending *link_words(enum link_outcome outcome);
/* Appends one line a scope: what a person saw beside its box. */
void scope_words(const char *scopes, struct buf *ret);
/* What an operator can do about an `error` of a provider; "" when nothing is known. */
const char *error_words(const char *provider_error);

#endif
