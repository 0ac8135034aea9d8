/* SPDX-License-Identifier: Apache-2.0 */
/* What request headers say: Accept, Content-Type, Cookie, Authorization, Host. Pure; NULL means
 * absent. */
#ifndef API_NEGOTIATE_H
#define API_NEGOTIATE_H

#include "base/attr.h"

/* Accept (RFC 9110 section 12.5.1) names text/html, and ranks it at least as high as JSON. */
bool accept_prefers_html(const char *accept);
/* The weight that Accept gives a media type by its name, in thousandths; -1: it does not name it.
 */
int accept_weight(const char *accept, const char *type);
/* Content-Type is absent, application/json or …+json, and its charset, if any, is UTF-8. */
bool content_type_is_json(const char *content_type);
/* application/x-ndjson or application/jsonl, in UTF-8. */
bool content_type_is_ndjson(const char *content_type);
/* Copies a cookie's value (RFC 6265 section 4.2) into ret. False: not there, or longer than size
 * - 1. */
bool cookie_find(const char *header, const char *name, char *ret, size_t size);
/* The token of "Bearer …" (RFC 6750 section 2.1), borrowed from the header; NULL when it is not
 * one. */
const char *bearer_token(const char *authorization, size_t *ret_len);
/* Host (RFC 9110 section 7.2) names this machine, or is the host of public_url. */
bool host_is_ours(const char *host, const char *public_url);

#endif
