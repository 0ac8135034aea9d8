/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key ring and its file. A key's number is taken from the key itself (a keyed hash), so that
 *two rings made apart never call different keys by one number – a lost ring shows as an unknown
 *key, not as damage – and a mangled line of the file is found when it is read.
 *
 *	review-fetcher key ring 1
 *	key 2718281828 2026-01-31T12:00:00Z <43 characters base64url> active
 *
 * One line a key; exactly one is active (seals), the others are retired (only open).
 */
#ifndef VAULT_KEYRING_H
#define VAULT_KEYRING_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"

#define KEYRING_KEY_SIZE 32 /* XChaCha20-Poly1305 */
#define KEYRING_KEYS_MAX 64
#define KEYRING_FILE_MAX 16384

struct keyring_entry {
	uint32_t number; /* never 0 */
	int64_t created_at_ms;
};

struct keyring {
	size_t n, active;
	struct keyring_entry entries[KEYRING_KEYS_MAX];
	uint8_t (*keys)[KEYRING_KEY_SIZE]; /* locked memory, one an entry, read-only once loaded */
};

/* Reads the ring, or makes it with one key. Faults as vault_open. */
MUST_CHECK int keyring_open(const char *path, struct keyring *ret, struct fault *f);
/* Wipes; a zeroed ring is fine. */
void keyring_done(struct keyring *r);
/* The key of that number, borrowed, or NULL. */
const uint8_t *keyring_find(const struct keyring *r, uint32_t number);

/* The file's text to a ring and back. -1 FAULT_INPUT with the line; text need not be
 * NUL-terminated. */
MUST_CHECK int keyring_parse(const char *text, size_t len, struct keyring *ret, struct fault *f);
void keyring_format(const struct keyring *r, struct buf *ret_wiped);
/* The text of a new ring with one new key. */
void keyring_format_new(struct buf *ret_wiped);

#endif
