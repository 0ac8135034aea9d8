/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/vault.h"

#include <string.h>
#include <sodium.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "vault/ring.h"

enum {
	WRAP_VERSION = 2,
	NONCE_SIZE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	TAG_SIZE = crypto_aead_xchacha20poly1305_ietf_ABYTES,
	OVERHEAD = 1 + NONCE_SIZE + TAG_SIZE,
	WORD_SIZE = VAULT_WRAP_CHECK_SIZE - OVERHEAD,
};
_Static_assert(VAULT_WRAP_SALT_SIZE == crypto_pwhash_SALTBYTES, "the salt of Argon2id");

/* A file says what its key costs; a made-up one must not take the machine down. */
#define OPS_MOST 10
#define MEMORY_MOST (INT64_C(1024) * 1024 * 1024)

struct vault_wrap {
	uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
};

static const struct vault_place check_place = {
	.table = "export", .column = "check", .row = "passphrase"};

static void bind(const struct vault_place *at, uint8_t ret[1 + VAULT_PLACE_SIZE])
{
	ret[0] = WRAP_VERSION;
	vault_place_digest(at, ret + 1);
}

void vault_wrap_seal(const struct vault_wrap *w, const struct vault_place *at,
	const struct secret *plain, struct sealed *ret)
{
	uint8_t binding[1 + VAULT_PLACE_SIZE], *blob = mem_alloc(OVERHEAD + plain->len);

	blob[0] = WRAP_VERSION;
	rand_bytes(blob + 1, NONCE_SIZE);
	bind(at, binding);
	crypto_aead_xchacha20poly1305_ietf_encrypt(blob + 1 + NONCE_SIZE, NULL,
		(const uint8_t *)plain->bytes, plain->len, binding, sizeof(binding), NULL, blob + 1,
		w->key);
	*ret = (struct sealed){blob, OVERHEAD + plain->len};
}

int vault_wrap_unseal(const struct vault_wrap *w, const struct vault_place *at, const void *sealed,
	size_t len, struct secret *ret, struct fault *f)
{
	uint8_t binding[1 + VAULT_PLACE_SIZE];
	const uint8_t *blob = sealed;
	struct secret plain;

	if (len < OVERHEAD || blob[0] != WRAP_VERSION)
		return fault_raise(f, FAULT_INPUT, "%s.%s of row %s is no value sealed for a move",
			at->table, at->column, at->row);
	bind(at, binding);
	plain.len = len - OVERHEAD;
	plain.bytes = mem_alloc(plain.len + 1);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *)plain.bytes, NULL, NULL,
		    blob + 1 + NONCE_SIZE, len - 1 - NONCE_SIZE, binding, sizeof(binding), blob + 1,
		    w->key) != 0) {
		secret_drop(&plain);
		return fault_raise(f, FAULT_INPUT,
			"%s.%s of row %s was altered, or stands at another place than it was "
			"sealed for",
			at->table, at->column, at->row);
	}
	*ret = plain;
	return 0;
}

MUST_CHECK static int make_key(const struct secret *passphrase,
	const struct vault_wrap_terms *terms, struct vault_wrap **ret, struct fault *f)
{
	struct vault_wrap *w = mem_alloc(sizeof(*w));

	hash_init();
	if (crypto_pwhash(w->key, sizeof(w->key), passphrase->bytes, passphrase->len, terms->salt,
		    (unsigned long long)terms->ops, (size_t)terms->memory_bytes,
		    crypto_pwhash_ALG_ARGON2ID13) != 0) {
		mem_wipe_free(w);
		return fault_raise(f, FAULT_INPUT,
			"the key of the passphrase needs %lld MiB of memory, which this machine "
			"does not give",
			(long long)(terms->memory_bytes >> 20));
	}
	*ret = w;
	return 0;
}

int vault_wrap_new(const struct secret *passphrase, struct vault_wrap **ret,
	struct vault_wrap_terms *ret_terms, struct fault *f)
{
	char word[WORD_SIZE] = {0};
	struct secret plain = {.bytes = word, .len = sizeof(word)};
	struct sealed check;

	if (passphrase->len < VAULT_PASSPHRASE_LEAST)
		return fault_raise(f, FAULT_INPUT,
			"the passphrase has %zu bytes: take at least %d, as of "
			"\"openssl rand -base64 24\"",
			passphrase->len, VAULT_PASSPHRASE_LEAST);
	*ret_terms = (struct vault_wrap_terms){.ops = crypto_pwhash_OPSLIMIT_MODERATE,
		.memory_bytes = crypto_pwhash_MEMLIMIT_MODERATE};
	rand_bytes(ret_terms->salt, sizeof(ret_terms->salt));
	if (make_key(passphrase, ret_terms, ret, f) < 0)
		return -1;
	vault_wrap_seal(*ret, &check_place, &plain, &check);
	memcpy(ret_terms->check, check.bytes, sizeof(ret_terms->check));
	sealed_drop(&check);
	return 0;
}

int vault_wrap_open(const struct secret *passphrase, const struct vault_wrap_terms *terms,
	struct vault_wrap **ret, struct fault *f)
{
	AUTO(secret_drop) struct secret word = {0};
	struct fault why;

	if (terms->ops < 1 || terms->ops > OPS_MOST ||
		terms->memory_bytes < (int64_t)crypto_pwhash_MEMLIMIT_MIN ||
		terms->memory_bytes > MEMORY_MOST)
		return fault_raise(f, FAULT_INPUT,
			"the file asks for %lld rounds and %lld MiB to make its key: at most %d "
			"and %lld are taken",
			(long long)terms->ops, (long long)(terms->memory_bytes >> 20), OPS_MOST,
			(long long)(MEMORY_MOST >> 20));
	if (make_key(passphrase, terms, ret, f) < 0)
		return -1;
	if (vault_wrap_unseal(
		    *ret, &check_place, terms->check, sizeof(terms->check), &word, &why) == 0)
		return 0;
	vault_wrap_close(TAKE(*ret));
	return fault_raise(f, FAULT_DENIED,
		"the passphrase is not the one that the file was made with: nothing was written");
}

void vault_wrap_close(struct vault_wrap *w)
{
	mem_wipe_free(w);
}
