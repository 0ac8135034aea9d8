/* SPDX-License-Identifier: Apache-2.0 */
/* The request target as it came over the wire: split, and its query decoded strictly. Pure. */
#ifndef API_URI_H
#define API_URI_H

#include "api/request.h"

/*
 * Cuts target in place into path and query (NULL when there is no '?'); both point into it. Accepts
 * the absolute form (RFC 9112 section 3.2.2). 0 done; 1 not a target that we serve.
 */
MUST_CHECK int uri_split(char *target, char **ret_path, char **ret_query);

/*
 * Decodes name=value pairs in place: strict percent-encoding, UTF-8, no name twice, at most max
 * pairs. -1 FAULT_INPUT says which parameter and what to do.
 */
MUST_CHECK int query_decode(
	char *query, struct name_value *ret, size_t max, size_t *ret_n, struct fault *f);

#endif
