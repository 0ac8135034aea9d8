/* SPDX-License-Identifier: Apache-2.0 */
/* What revoking a branch and deleting it with `revoke=true` have in common. */
#ifndef API_REVOKING_H
#define API_REVOKING_H

#include "api/request.h"

/* A query parameter that is true or false; absent is false, anything else an error. */
bool request_query_flag(struct request *req, const char *name);

/* REVOKE_DONE, REVOKE_WAITS: the members that both answers begin with. */
void revoking_write(struct request *req, struct json_out *out, const struct revoke_result *r,
	const char *message);

/*
 * With ?purge=true the reviews that only this branch shows are purged too. 1: it was asked for and
 * is under way, 0: it was not, -1.
 */
MUST_CHECK int revoking_purge(struct request *req, const char *branch_id, struct fault *f);

/*
 * Worker: answers and finishes the request. REVOKE_SHARED: 409 with the siblings that the caller
 * may see by name, and the count of all. REVOKE_FAILED: the fault. For every other outcome say() is
 * called, with a purge under way if one was asked for and the branch has no grant or row any more.
 */
typedef void revoking_say_fn(struct request *req, const struct revoke_result *r, bool purges);
void revoking_finish(struct request *req, const struct revoke_result *r, revoking_say_fn *say);

#endif
