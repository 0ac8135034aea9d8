/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring that a vault uses, and how it follows its file. A ring in use never changes: a new one
 * takes its place, and the last thread that still holds the old one wipes it. One thread at a time
 * reads the file, and no lock is held meanwhile, so that whoever needs no new key is not kept
 * waiting.
 */
#ifndef VAULT_RING_H
#define VAULT_RING_H

#include <pthread.h>

#include "vault/keyring.h"
#include "vault/vault.h"

struct vault_ring {
	struct vault *vault;
	struct keyring keys;
	unsigned refs; /* under the vault's lock */
};

struct vault {
	char *path;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t loaded;
	bool is_loading;
	struct vault_ring *ring;
	struct keyring_file file; /* that it was read from */
	bool is_refused;          /* what was there later could not be taken: */
	struct keyring_file refused;
	int64_t retry_at_ms; /* monotonic */
	struct fault why;
};

/* Takes keys over. */
struct vault *vault_ring_start(
	const char *path, struct keyring *keys, const struct keyring_file *file);
void vault_ring_end(struct vault *v);

/* A reference to the ring in use; _latest looks at the file first, and makes do if that is bad. */
struct vault_ring *vault_ring_take(struct vault *v);
struct vault_ring *vault_ring_latest(struct vault *v);
void vault_ring_drop(struct vault_ring **ring); /* for AUTO; NULL is fine */

/* The digest of a place that seals are bound to (vault.c). */
#define VAULT_PLACE_SIZE 32
void vault_place_digest(const struct vault_place *at, uint8_t ret[VAULT_PLACE_SIZE]);

#endif
