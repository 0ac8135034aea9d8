/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOKEN_MANAGEMENT_REVOKE_H
#define TOKEN_MANAGEMENT_REVOKE_H

#include "base/attr.h"
#include "base/fault.h"

struct token_management;

/* Worker. Takes up the revocations that an earlier process could not end. */
MUST_CHECK int revoke_resume(struct token_management *tm, struct fault *f);

#endif
