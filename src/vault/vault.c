/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The associated data of a blob is its own header and a digest of its place, each part of the place
 * led by its length: ("ab", "c") and ("a", "bc") are different places, and no length of row key
 * matters.
 */
#include "vault/vault.h"

#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "vault/ring.h"

enum {
	BLOB_VERSION = 1,
	HEADER_SIZE = 1 + 4,
	NONCE_SIZE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	TAG_SIZE = crypto_aead_xchacha20poly1305_ietf_ABYTES,
	OVERHEAD = HEADER_SIZE + NONCE_SIZE + TAG_SIZE,
	BINDING_SIZE = HEADER_SIZE + VAULT_PLACE_SIZE,
};

_Static_assert(VAULT_PLACE_SIZE == crypto_generichash_BYTES, "one digest size");
_Static_assert(KEYRING_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "one key size");

static void put_u32(uint8_t *at, uint32_t n)
{
	at[0] = (uint8_t)(n >> 24);
	at[1] = (uint8_t)(n >> 16);
	at[2] = (uint8_t)(n >> 8);
	at[3] = (uint8_t)n;
}

static void add_part(crypto_generichash_state *state, const char *part)
{
	size_t len = strlen(part);
	uint8_t led[4];

	if (len > UINT32_MAX)
		abort();
	put_u32(led, (uint32_t)len);
	crypto_generichash_update(state, led, sizeof(led));
	crypto_generichash_update(state, (const uint8_t *)part, len);
}

void vault_place_digest(const struct vault_place *at, uint8_t ret[VAULT_PLACE_SIZE])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, VAULT_PLACE_SIZE);
	add_part(&state, at->table);
	add_part(&state, at->column);
	add_part(&state, at->row);
	crypto_generichash_final(&state, ret, VAULT_PLACE_SIZE);
}

static void bind_place(
	const uint8_t *header, const struct vault_place *at, uint8_t ret[BINDING_SIZE])
{
	memcpy(ret, header, HEADER_SIZE);
	vault_place_digest(at, ret + HEADER_SIZE);
}

int vault_open(const char *key_file, struct vault **ret, struct fault *f)
{
	struct keyring keys;
	struct keyring_file file;

	hash_init();
	if (keyring_open(key_file, &keys, &file, f) < 0)
		return -1;
	*ret = vault_ring_start(key_file, &keys, &file);
	return 0;
}

void vault_close(struct vault *v)
{
	if (v != NULL)
		vault_ring_end(v);
}

void vault_closep(struct vault **v)
{
	vault_close(*v);
	*v = NULL;
}

void vault_seal(struct vault *v, const struct vault_place *at, const struct secret *plain,
	struct sealed *ret)
{
	AUTO(vault_ring_drop) struct vault_ring *ring = NULL;
	uint8_t binding[BINDING_SIZE], *blob;
	const struct keyring *keys;

	if (plain->bytes == NULL) {
		*ret = (struct sealed){0};
		return;
	}
	ring = vault_ring_latest(v);
	keys = &ring->keys;
	blob = mem_alloc(OVERHEAD + plain->len);
	blob[0] = BLOB_VERSION;
	put_u32(blob + 1, keys->entries[keys->active].number);
	rand_bytes(blob + HEADER_SIZE, NONCE_SIZE);
	bind_place(blob, at, binding);
	crypto_aead_xchacha20poly1305_ietf_encrypt(blob + HEADER_SIZE + NONCE_SIZE, NULL,
		(const uint8_t *)plain->bytes, plain->len, binding, sizeof(binding), NULL,
		blob + HEADER_SIZE, keys->keys[keys->active]);
	*ret = (struct sealed){blob, OVERHEAD + plain->len};
}

/* The ring that has the key, or the latest there is. */
static struct vault_ring *ring_with(struct vault *v, uint32_t number)
{
	struct vault_ring *ring = vault_ring_take(v);

	if (keyring_find(&ring->keys, number) != NULL)
		return ring;
	vault_ring_drop(&ring);
	return vault_ring_latest(v);
}

int vault_unseal(struct vault *v, const struct vault_place *at, const void *sealed, size_t len,
	struct secret *ret, struct fault *f)
{
	AUTO(vault_ring_drop) struct vault_ring *ring = NULL;
	const uint8_t *blob = sealed, *key;
	uint32_t number = vault_key_of(sealed, len);
	uint8_t binding[BINDING_SIZE];
	struct secret plain;

	if (number == 0)
		return fault_raise(f, FAULT_STORE, "%s.%s of row %s is no sealed value", at->table,
			at->column, at->row);
	ring = ring_with(v, number);
	key = keyring_find(&ring->keys, number);
	if (key == NULL)
		return fault_raise(f, FAULT_STORE,
			"%s.%s of row %s was sealed by key %u, which is not in the key ring",
			at->table, at->column, at->row, number);
	bind_place(blob, at, binding);
	plain.len = len - OVERHEAD;
	plain.bytes = mem_alloc(plain.len + 1);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *)plain.bytes, NULL, NULL,
		    blob + HEADER_SIZE + NONCE_SIZE, len - HEADER_SIZE - NONCE_SIZE, binding,
		    sizeof(binding), blob + HEADER_SIZE, key) != 0) {
		secret_drop(&plain);
		return fault_raise(f, FAULT_STORE,
			"%s.%s of row %s was altered or moved there from another place", at->table,
			at->column, at->row);
	}
	*ret = plain;
	return 0;
}

uint32_t vault_active_key(struct vault *v)
{
	AUTO(vault_ring_drop) struct vault_ring *ring = vault_ring_take(v);

	return ring->keys.entries[ring->keys.active].number;
}

size_t vault_keys(struct vault *v, struct vault_key ret[static VAULT_KEYS_MAX])
{
	AUTO(vault_ring_drop) struct vault_ring *ring = vault_ring_take(v);
	size_t n = 0;

	for (size_t i = 0; i < ring->keys.n; i++)
		if (ring->keys.entries[i].state != VAULT_KEY_FORGOTTEN)
			ret[n++] = ring->keys.entries[i];
	return n;
}

uint32_t vault_key_of(const void *sealed, size_t len)
{
	const uint8_t *blob = sealed;

	if (blob == NULL || len < OVERHEAD || blob[0] != BLOB_VERSION)
		return 0;
	return (uint32_t)blob[1] << 24 | (uint32_t)blob[2] << 16 | (uint32_t)blob[3] << 8 | blob[4];
}
