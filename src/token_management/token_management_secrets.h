/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stored secrets and the keys that they are sealed under. Worker; for the command line, beside
 * servers that run. docs/internals/vault.md says why each step is safe.
 */
#ifndef TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_SECRETS_H
#define TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_SECRETS_H

#include "token_management/token_management.h"

#define ROTATION_FAILURES_NAMED 100
struct rotation { /* zeroed, then filled by the caller down to page_rows; rotation_done */
	const struct actor *who;
	/* After each page, with the values of this walk. Non-zero stops. May be NULL. */
	int (*progress)(void *arg, int64_t done, int64_t total);
	void *arg;
	int64_t page_rows; /* values a transaction; 0: 200 */

	uint32_t key;        /* that seals now; after secrets_prepare the one that will */
	bool is_resumed;     /* it went on where an earlier one had ended: no new key was made */
	int n_walks;         /* over all values, begun so far; all but the first check */
	int64_t n_resealed;  /* values brought under that key */
	int64_t n_overtaken; /* values that somebody changed at the same moment */
	int64_t n_failed;    /* values that cannot be opened and stay as they are */
	char *failures[ROTATION_FAILURES_NAMED]; /* a sentence on each of the first of them */
	size_t n_forgotten, n_kept; /* keys taken out of the ring; keys left that only open */
};
void rotation_done(struct rotation *x);

enum rotation_outcome {
	ROTATION_DONE,
	ROTATION_STOPPED, /* by progress: begin again to go on */
};
/*
 * A new key, or the one that was prepared, seals from now on, and every stored value is brought
 * under it. When an earlier rotation was interrupted, that one is ended instead. -1 FAULT_CONFLICT:
 * another one runs, the ring is full, or some process goes on sealing under an older key;
 * FAULT_INPUT (the ring), FAULT_STORE: begin again to go on.
 */
MUST_CHECK int secrets_rotate(struct token_management *tm, struct rotation *x, struct fault *f);
/* Only adds the key that the next rotation will use; nothing when there is one. */
MUST_CHECK int secrets_prepare(struct token_management *tm, struct rotation *x, struct fault *f);
/*
 * Brings what is left under older keys under the one that seals, and takes those keys out of the
 * ring that no stored value needs. Takes ten seconds at least, when there are any. As
 * secrets_rotate.
 */
MUST_CHECK int secrets_forget(struct token_management *tm, struct rotation *x, struct fault *f);

/* ---- on the way to another house ---- */

struct db_value;
struct vault;
struct vault_wrap;
/* Which column names the rows of a sealed column's places; NULL: the column holds no sealed values.
 */
const char *secrets_key_column(const char *table, const char *column);
/*
 * A stored value from under the key ring to under a passphrase, and back. column must be a sealed
 * one, key the value of its key column. *ret is the caller's. -1: it does not open; FAULT_STORE,
 * or FAULT_INPUT for one from a file.
 */
MUST_CHECK int secrets_pack(struct vault *vault, const struct vault_wrap *wrap, const char *column,
	const struct db_value *key, const struct db_value *stored, struct sealed *ret,
	struct fault *f);
MUST_CHECK int secrets_unpack(struct vault *vault, const struct vault_wrap *wrap,
	const char *column, const struct db_value *key, const void *packed, size_t len,
	struct sealed *ret, struct fault *f);

/* ---- takeover of the original's rows ---- */

struct takeover { /* zeroed */
	/* After each transaction; may be NULL. */
	void (*progress)(void *arg, const struct takeover *so_far);
	void *arg;
	/* At the end, of all runs; before it, clients are those of this one. */
	int64_t n_clients, n_tokens;
	int64_t n_former; /* older tokens of a branch, kept beside */
};
/*
 * Moves what store_takeover_begin put aside into our tables, secrets sealed. Interrupted at any
 * moment and called again it goes on with what is left. No server runs beside it. -1
 * FAULT_CONFLICT: an earlier or another run seals under another key ring.
 */
MUST_CHECK int takeover_rows(
	struct store *s, struct vault *vault, struct takeover *t, struct fault *f);

#endif
