/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key ring and its file. A key's number is taken from the key itself (a keyed hash), so that
 * two rings made apart never call different keys by one number – a lost ring shows as an unknown
 * key, not as damage – and a mangled line of the file is found when it is read.
 *
 *	review-fetcher key ring 1
 *	key 2718281828 2026-01-31T12:00:00Z <43 characters base64url> active
 *
 * One line a key. Exactly one is active; the others are retired, retiring, at most one is next
 * (vault.h says what that means), and a forgotten one has "-" where its key was.
 */
#ifndef VAULT_KEYRING_H
#define VAULT_KEYRING_H

#include <sys/stat.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "vault/vault.h"

#define KEYRING_KEY_SIZE 32 /* XChaCha20-Poly1305 */
#define KEYRING_FILE_MAX 16384

struct keyring {
	size_t n, active;
	struct vault_key entries[VAULT_KEYS_MAX];
	uint8_t (*keys)[KEYRING_KEY_SIZE]; /* locked memory, one an entry, read-only once loaded */
};

/* Which file a ring was read from: another one, or one that was written to, is not the same. */
struct keyring_file {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};
/* All zero when nothing is there. */
void keyring_look(const char *path, struct keyring_file *ret);
bool keyring_file_same(const struct keyring_file *a, const struct keyring_file *b);

enum keyring_load_outcome { KEYRING_LOADED, KEYRING_ABSENT };
/* Reads the ring; *ret and *ret_file are set when loaded. Faults as vault_open. */
MUST_CHECK int keyring_load(
	const char *path, struct keyring *ret, struct keyring_file *ret_file, struct fault *f);
/* Reads the ring, or makes it with one key. Faults as vault_open. */
MUST_CHECK int keyring_open(
	const char *path, struct keyring *ret, struct keyring_file *ret_file, struct fault *f);
/*
 * Locks the file, for as long as *ret_fd or its successor is open, and takes away the draft of a
 * rewriting that died. -1 FAULT_CONFLICT: somebody else has the lock. FAULT_INPUT: the file is
 * gone.
 */
MUST_CHECK int keyring_lock(const char *path, int *ret_fd, struct fault *f);
/*
 * Puts a new text in the file's place, durably, with its owner, group and mode; the lock goes over
 * to the new file. -1 FAULT_STORE: it is uncertain which of the two a power cut would leave.
 */
MUST_CHECK int keyring_replace(
	const char *path, int *lock_fd, const struct buf *text, struct fault *f);

/* Wipes; a zeroed ring is fine. */
void keyring_done(struct keyring *r);
/* The key of that number, borrowed; NULL: there is none, or it is forgotten. */
const uint8_t *keyring_find(const struct keyring *r, uint32_t number);
/* Its place among the entries, in whatever state; r->n: there is none. */
size_t keyring_place(const struct keyring *r, uint32_t number);

/* A copy that can be changed; keyring_done. */
void keyring_copy(const struct keyring *r, struct keyring *ret);
/* Appends a new key; there must be room. */
void keyring_add(struct keyring *r, enum vault_key_state state);
/* Leaves only the number of a key that does not seal. */
void keyring_forget(struct keyring *r, size_t i);
/* Makes room in a full ring, if there is a forgotten key: the oldest goes altogether. */
void keyring_make_room(struct keyring *r);

/* The file's text to a ring and back. -1 FAULT_INPUT with the line; text need not be
 * NUL-terminated. */
MUST_CHECK int keyring_parse(const char *text, size_t len, struct keyring *ret, struct fault *f);
void keyring_format(const struct keyring *r, struct buf *ret_wiped);
/* The text of a new ring with one new key. */
void keyring_format_new(struct buf *ret_wiped);

#endif
