/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of request that are counted and that faults can aim at. */
#ifndef SIMULATOR_KIND_H
#define SIMULATOR_KIND_H

#include "base/attr.h"

enum kind {
	KIND_AUTHORIZE,     /* the consent page */
	KIND_DECIDE,        /* its answer */
	KIND_TOKEN_CODE,    /* grant_type=authorization_code */
	KIND_TOKEN_REFRESH, /* grant_type=refresh_token */
	KIND_TOKEN_OTHER,   /* anything else at the token endpoint */
	KIND_REVOKE,
	KIND_DISCOVERY,
	KIND_CERTS,
	KIND_ACCOUNTS,
	KIND_LOCATIONS,
	KIND_REVIEWS, /* one page of a location's reviews */
	KIND_REVIEW,  /* one review */
	KIND_BATCH,   /* locations:batchGetReviews */
	KIND_REPLY_PUT,
	KIND_REPLY_DELETE,
	KIND_NOTIFICATION_GET,
	KIND_NOTIFICATION_PATCH,
	KIND_UNKNOWN, /* an address that Google does not have */
	KIND_COUNTED, /* … how many of the above */
	KIND_CONTROL = KIND_COUNTED,
	KIND_HOME,
};

const char *kind_name(enum kind kind); /* of the counted ones */
/*
 * One kind, or a group: "token" (code, refresh, other), "reply", "notification", "v4", "api" (all
 * that takes a bearer token), "any". Answers a set of bits 1 << kind; 0: no such name.
 */
uint32_t kind_set(const char *name);
bool kind_is_token(enum kind kind);

#endif
