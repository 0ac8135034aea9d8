/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes (libsodium underneath). Call hash_init() once before any of them. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/attr.h"

#define HASH_SHA256_SIZE 32
#define HASH_BLAKE2B_SIZE 32
#define HASH_SHA512_SIZE 64

void hash_init(
	void); /* starts libsodium, draws the table key; aborts when it cannot. Idempotent. */
/* For tables in memory: SipHash-2-4 under a key drawn at start, so peers cannot aim at a bucket. */
uint64_t hash_table_key(const void *bytes, size_t len);
/* The same on every machine and at every start: for jitter. Not for tables. */
uint64_t hash_stable(const void *bytes, size_t len);
void hash_sha256(const void *bytes, size_t len, uint8_t ret[static HASH_SHA256_SIZE]);
void hash_sha512(const void *bytes, size_t len, uint8_t ret[static HASH_SHA512_SIZE]);
void hash_blake2b(const void *bytes, size_t len, uint8_t ret[static HASH_BLAKE2B_SIZE]);
/* HMAC-SHA256 (RFC 2104), under a key of any length. */
void hash_hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t len,
	uint8_t ret[static HASH_SHA256_SIZE]);
bool hash_equal(const void *a, const void *b, size_t len); /* constant time */

#endif
