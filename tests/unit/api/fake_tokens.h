/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token management played in memory, for tests of what stands in front of it. Keys: "rf_all" may do
 * everything, "rf_tokens" has tokens:read, "rf_bound" the scopes of clients and tokens for branch
 * "mine" only, "rf_expired", "rf_revoked" and "rf_fast" are what they say. Branches: "mine" and
 * "yours" have a token in memory; "slow" answers when fake_answer() is called; others are unknown.
 */
#ifndef TESTS_UNIT_API_FAKE_TOKENS_H
#define TESTS_UNIT_API_FAKE_TOKENS_H

#include "token_management/token_management.h"

#define FAKE_ACCESS_TOKEN "ya29.fake-access-token"

extern struct token_result fake_result;           /* what "slow" gets */
extern enum connect_outcome fake_connect_outcome; /* how callbacks end */
extern const char *fake_connect_account; /* another than the expected one; NULL: the right one */
extern enum revoke_outcome fake_revoke_outcome; /* of a revocation without force */
extern _Atomic int fake_waiting;                /* callers that wait for "slow" */
extern struct fault fake_register_fault;        /* kind set: clients_register raises it */

/* Answers the oldest caller that waits, on this thread. False: nobody waits. */
bool fake_answer(void);

#endif
