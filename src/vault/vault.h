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

struct vault; /* any thread may use it at any time */

struct vault_place {
	const char *table, *column;
	const char *row; /* the row's key as text */
};

/*
 * Opens the key ring, or creates it (mode 0600, O_EXCL, fsync of file and folder) with one key when
 * the file is not there. -1 FAULT_INPUT: wider permissions than 0600, not ours, not a key ring, no
 * folder (each with the cure). *ret is the caller's, closed with vault_close.
 */
MUST_CHECK int vault_open(const char *key_file, struct vault **ret, struct fault *f);
void vault_close(struct vault *v);   /* wipes the keys; NULL is fine */
void vault_closep(struct vault **v); /* for AUTO */

/*
 * *ret is the caller's. Sealing cannot fail but for a bug. It looks at the ring's file first (one
 * stat), so that nothing is sealed by a key that a rotation has retired.
 */
void vault_seal(struct vault *v, const struct vault_place *at, const struct secret *plain,
	struct sealed *ret);
/*
 * -1 FAULT_STORE: the value was altered, moved, or its key is not in the ring (says which). A key
 * that is not in memory is looked for in the file, if that was replaced since it was read.
 */
MUST_CHECK int vault_unseal(struct vault *v, const struct vault_place *at, const void *sealed,
	size_t len, struct secret *ret, struct fault *f);
/* Number of the key that seals now, and of the key that sealed a blob (0: not a blob). */
uint32_t vault_active_key(struct vault *v);
uint32_t vault_key_of(const void *sealed, size_t len);

/*
 * Takes the ring up anew when its file was replaced, and forgets keys that are gone from it; one
 * stat when it was not. -1 FAULT_INPUT: the file is gone or not to be used, or it is another ring,
 * which never heard of the key that seals; the ring in memory then serves on, and the same is
 * answered until the file is mended. Sealing and unsealing follow by themselves: this is for a
 * timer, which tells people.
 */
MUST_CHECK int vault_follow(struct vault *v, struct fault *f);

/* ---- the keys, and how they change: docs/internals/vault.md ---- */

#define VAULT_KEYS_MAX 64
enum vault_key_state {
	VAULT_KEY_NEXT,     /* opens; will seal */
	VAULT_KEY_ACTIVE,   /* seals and opens; always exactly one */
	VAULT_KEY_RETIRING, /* opens; a rotation away from it has not ended */
	VAULT_KEY_RETIRED,  /* opens */
	/* Taken out. Its number stays, so that a process that seals with it, and slept meanwhile,
	 * knows the ring as its own. */
	VAULT_KEY_FORGOTTEN,
};
struct vault_key {
	uint32_t number; /* never 0; no secret */
	int64_t created_at_ms;
	enum vault_key_state state;
};
/* But the forgotten ones. */
size_t vault_keys(struct vault *v, struct vault_key ret[static VAULT_KEYS_MAX]);

struct vault_rotation;
/*
 * Locks the ring against other rotations, of this and of other processes, until vault_rotation_end
 * or the end of the process. -1 FAULT_CONFLICT: another one runs; else as vault_follow. v must
 * outlive it. One thread.
 */
MUST_CHECK int vault_rotation_begin(struct vault *v, struct vault_rotation **ret, struct fault *f);
void vault_rotation_end(struct vault_rotation *r); /* NULL is fine */
/*
 * The steps. Each writes the ring anew, whole or not at all, and what it wrote is durable and in
 * use by v when it answers 0. After -1 (FAULT_STORE: the disk) the old or the new ring is there,
 * and the step may be repeated.
 */
/* Makes a new key, which does not seal yet; nothing when there is one. FAULT_CONFLICT: no room. */
MUST_CHECK int vault_rotation_prepare(struct vault_rotation *r, struct fault *f);
/* The next key seals from now on, and the one that did is retiring. FAULT_BUG: none is prepared. */
MUST_CHECK int vault_rotation_activate(struct vault_rotation *r, struct fault *f);
/* What was retiring is retired. */
MUST_CHECK int vault_rotation_finish(struct vault_rotation *r, struct fault *f);
/* Takes retired keys out for good. FAULT_BUG: one is not retired. */
MUST_CHECK int vault_rotation_forget(
	struct vault_rotation *r, const uint32_t *numbers, size_t n, struct fault *f);

/* ---- on the way to another house ---- */

/*
 * Seals values for a file that leaves this machine: XChaCha20-Poly1305 under a key that Argon2id
 * makes of a passphrase (libsodium: crypto_pwhash, MODERATE: some 256 MiB and half a second). A
 * value is bound to its place as in the vault. A blob is: version 2 (1 byte), nonce (24),
 * ciphertext + tag.
 */
struct vault_wrap;
#define VAULT_WRAP_SALT_SIZE 16
#define VAULT_WRAP_CHECK_SIZE 64
#define VAULT_PASSPHRASE_LEAST 12
struct vault_wrap_terms { /* what stands in the file in the clear */
	uint8_t salt[VAULT_WRAP_SALT_SIZE];
	int64_t ops, memory_bytes;
	uint8_t check[VAULT_WRAP_CHECK_SIZE]; /* a sealed word: tells a wrong passphrase */
};
/* New terms for a passphrase. -1 FAULT_INPUT: it is too short. */
MUST_CHECK int vault_wrap_new(const struct secret *passphrase, struct vault_wrap **ret,
	struct vault_wrap_terms *ret_terms, struct fault *f);
/* -1 FAULT_DENIED: another passphrase; FAULT_INPUT: terms that cannot be, or cost too much. */
MUST_CHECK int vault_wrap_open(const struct secret *passphrase,
	const struct vault_wrap_terms *terms, struct vault_wrap **ret, struct fault *f);
void vault_wrap_close(struct vault_wrap *w); /* wipes the key; NULL is fine */
void vault_wrap_seal(const struct vault_wrap *w, const struct vault_place *at,
	const struct secret *plain, struct sealed *ret);
/* -1 FAULT_INPUT: the value was altered or moved. */
MUST_CHECK int vault_wrap_unseal(const struct vault_wrap *w, const struct vault_place *at,
	const void *sealed, size_t len, struct secret *ret, struct fault *f);

#endif
