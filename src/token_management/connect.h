/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the consent flow share. */
#ifndef TOKEN_MANAGEMENT_CONNECT_H
#define TOKEN_MANAGEMENT_CONNECT_H

#include "base/attr.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/rand.h"
#include "base/secret.h"

struct db;
struct grant;
struct token_management;

#define CONNECT_RANDOM_BYTES 32 /* of a state, a ticket, a browser's cookie: 256 bits */
#define CONNECT_TEXT_SIZE RAND_TEXT_SIZE(CONNECT_RANDOM_BYTES)

/* A value of our own making by its shape: 43 characters of base64url. NULL is none. */
bool connect_is_ours(const char *text);
/* What the database keeps of a value that a browser holds. */
void connect_hash(const char *text, uint8_t ret[static HASH_BLAKE2B_SIZE]);

/* The code verifier of a flow, which is sealed under the flow's own place. */
MUST_CHECK int connect_unseal_verifier(const struct token_management *tm, const uint8_t *state_hash,
	const struct sealed *sealed, struct secret *ret, struct fault *f);

/* Inside a transaction. -1 FAULT_MISSING unless the client is there and switched on. */
MUST_CHECK int connect_load_active(
	struct db *db, int64_t client_id, struct grant *ret, struct fault *f);

/* Whether another try may follow a flow that ended so, and whether to ask for another account. */
bool connect_may_begin_again(const char *ended_as, const char *detail, bool *ret_chooses_account);

/* ---- tickets; inside a transaction; answers are enum link_outcome ---- */

/*
 * Whether a ticket can start a flow of this client in this browser; if so it is bound to it. A
 * ticket belongs to the browser that began a flow with it first, and lasts until a connection was
 * made with it: who was refused or ticked the wrong box can try again.
 */
MUST_CHECK int ticket_take(struct db *db, const uint8_t *hash, int64_t client_id,
	const uint8_t *browser_hash, struct fault *f);
/* What ran out long ago makes room. */
MUST_CHECK int tickets_sweep(struct db *db, struct fault *f);

#endif
