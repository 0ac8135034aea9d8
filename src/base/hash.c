/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"

static unsigned char table_key[crypto_shorthash_KEYBYTES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void)
{
	if (sodium_init() < 0)
		abort();
	rand_bytes(table_key, sizeof(table_key));
}

void hash_init(void)
{
	pthread_once(&once, start);
}

static uint64_t short_hash(const void *bytes, size_t len, const unsigned char *key)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint64_t h;

	crypto_shorthash(out, bytes, len, key);
	memcpy(&h, out, sizeof(h));
	return h;
}

uint64_t hash_table_key(const void *bytes, size_t len)
{
	return short_hash(bytes, len, table_key);
}

uint64_t hash_stable(const void *bytes, size_t len)
{
	static const unsigned char fixed_key[crypto_shorthash_KEYBYTES] = "stable jitter";

	return short_hash(bytes, len, fixed_key);
}

void hash_sha256(const void *bytes, size_t len, uint8_t ret[static HASH_SHA256_SIZE])
{
	crypto_hash_sha256(ret, bytes, len);
}

void hash_sha512(const void *bytes, size_t len, uint8_t ret[static HASH_SHA512_SIZE])
{
	crypto_hash_sha512(ret, bytes, len);
}

void hash_blake2b(const void *bytes, size_t len, uint8_t ret[static HASH_BLAKE2B_SIZE])
{
	crypto_generichash(ret, HASH_BLAKE2B_SIZE, bytes, len, NULL, 0);
}

void hash_hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t len,
	uint8_t ret[static HASH_SHA256_SIZE])
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, key_len);
	crypto_auth_hmacsha256_update(&state, bytes, len);
	crypto_auth_hmacsha256_final(&state, ret);
	sodium_memzero(&state, sizeof(state));
}

bool hash_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}
