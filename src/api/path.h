/* SPDX-License-Identifier: Apache-2.0 */
/* Ids in paths. */
#ifndef API_PATH_H
#define API_PATH_H

#include "api/request.h"

/* A positive whole number from the path. -1: 422, or 404 for one that no row can have. */
MUST_CHECK int path_id(struct request *req, const char *name, int64_t *ret, struct fault *f);

#endif
