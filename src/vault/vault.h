/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seals secrets at rest: XChaCha20-Poly1305 (libsodium) under a key ring kept in a 0600 file. The
 * place of a value – table, column, row – is associated data, so that a sealed value moved to
 * another row or column does not open. A blob is: version (1 byte), key number (4, big-endian),
 * nonce (24), ciphertext + tag.
 */
#ifndef VAULT_VAULT_H
#define VAULT_VAULT_H

#include "base/attr.h"
#include "base/fault.h"
#include "base/secret.h"

struct vault;

struct vault_place {
	const char *table, *column;
	const char *row; /* the row's key as text */
};

/*
 * Opens the key ring, or creates it (mode 0600, O_EXCL, fsync of file and folder; a missing folder
 * itself, mode 0700) with one key when
 * the file is not there. -1 FAULT_INPUT: wider permissions than 0600, not ours, not a key ring, no
 * folder (each with the cure). *ret is the caller's, closed with vault_close.
 */
MUST_CHECK int vault_open(const char *key_file, struct vault **ret, struct fault *f);
void vault_close(struct vault *v);   /* wipes the keys; NULL is fine */
void vault_closep(struct vault **v); /* for AUTO; so far of tests */

/* Any thread. *ret is the caller's. Sealing cannot fail but for a bug. */
void vault_seal(const struct vault *v, const struct vault_place *at, const struct secret *plain,
	struct sealed *ret);
/* Any thread. -1 FAULT_STORE: the value was altered, moved, or its key is not in the ring (says
 * which). */
MUST_CHECK int vault_unseal(const struct vault *v, const struct vault_place *at, const void *sealed,
	size_t len, struct secret *ret, struct fault *f);
/* Number of the key that seals now, and of the key that sealed a blob (0: not a blob): for tests,
 * and for a rotation, which has to find what is still under an old key. */
uint32_t vault_active_key(const struct vault *v);
uint32_t vault_key_of(const void *sealed, size_t len);

#endif
