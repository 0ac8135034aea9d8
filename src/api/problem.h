/* SPDX-License-Identifier: Apache-2.0 */
/* Faults become RFC 9457 problem+json here, and are logged here, once. */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include "api/request.h"

/* The standard words for a status: "Not Found". */
const char *problem_title(unsigned status);

/*
 * Replaces the answer by a problem for this fault, and logs it: 5xx as warning or error, the rest
 * as debug. */
void problem_answer(struct request *req, const struct fault *f);
/* The same for a plain status and sentence, without a log line. */
void problem_say(struct request *req, unsigned status, const char *detail);
/* The same, left open for more members: the caller closes the object. */
struct json_out problem_open(struct request *req, unsigned status, const char *detail);
/* Retry-After in whole seconds, at least 1. */
void problem_retry_after(struct request *req, uint32_t ms);

#endif
