/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller may see of the reviews. */
#ifndef API_SCOPE_H
#define API_SCOPE_H

#include "api/request.h"
#include "review_fetcher/review_fetcher.h"

struct seen_branches {
	char **names; /* NULL: all */
	size_t n;
};
/* Worker. The branches that the caller's key is bound to. */
void seen_branches_init(struct request *req, struct seen_branches *ret);
void seen_branches_done(struct seen_branches *s); /* for AUTO */
struct review_scope seen_branches_scope(const struct seen_branches *s);

/*
 * Worker. The id of {job_id}, {id} or ?job_id=, if the caller may see that job. -1 FAULT_MISSING
 * otherwise.
 */
MUST_CHECK int job_check(struct request *req, const char *id, struct fault *f);

/*
 * The body's branch_id or access_token, whichever it gives, into *ret (whose token the caller drops
 * or moves on). -1: neither or both, a blank token, a branch out of sight.
 */
MUST_CHECK int job_source(
	struct request *req, json_t *body, struct job_input *ret, struct fault *f);

/*
 * The body's access_token as its own caller brings it; *ret by secret_drop. -1: missing, empty or
 * not what a header can carry (422, with all other errors so far), or blank (401, the original's
 * sentence).
 */
MUST_CHECK int body_token(struct request *req, json_t *body, struct secret *ret, struct fault *f);

/* Ends a list: next_cursor, and the object. */
void list_end(struct json_out *out, const struct buf *cursor);

/*
 * The cursor of a list that is ordered by row: the last id that was given, in a form that invites
 * nobody to build one. Absent is 0, and 0 writes null.
 */
int64_t list_cursor_read(struct request *req, const char *cursor);
void list_cursor_write(struct json_out *out, int64_t id);

#endif
