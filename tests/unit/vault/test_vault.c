/* SPDX-License-Identifier: Apache-2.0 */
#include "folder.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "vault/vault.h"

static const struct vault_place place = {"tokens", "refresh_token", "42"};

enum { OVERHEAD = 1 + 4 + 24 + 16, LONG_SECRET = 16384 };

struct desk {
	struct folder *folder;
	struct vault *vault;
};

static int open_vault(void **state)
{
	struct desk *d = calloc(1, sizeof(*d));
	struct fault f = {0};
	void *folder;

	folder_make(&folder);
	d->folder = folder;
	*state = d;
	return vault_open(d->folder->ring, &d->vault, &f);
}

static int close_vault(void **state)
{
	struct desk *d = *state;
	void *folder = d->folder;

	vault_close(d->vault);
	folder_remove(&folder);
	free(d);
	return 0;
}

static void seal_text(struct vault *v, const char *text, struct sealed *ret)
{
	AUTO(secret_drop) struct secret plain = secret_from(text, strlen(text));

	vault_seal(v, &place, &plain, ret);
}

static void assert_refused(struct vault *v, const struct vault_place *at, const void *blob,
	size_t len, const char *why)
{
	struct secret plain = {0};
	struct fault f = {0};

	assert_int_equal(vault_unseal(v, at, blob, len, &plain, &f), -1);
	assert_int_equal(f.kind, FAULT_STORE);
	assert_non_null(strstr(f.text, why));
	assert_null(plain.bytes);
}

static void a_secret_comes_back_as_it_was(void **state)
{
	struct desk *d = *state;
	AUTO(secret_drop) struct secret plain = secret_from("1//can\0ary", 10), back = {0};
	AUTO(sealed_drop) struct sealed sealed = {0};
	struct fault f = {0};

	vault_seal(d->vault, &place, &plain, &sealed);
	assert_int_equal(sealed.len, plain.len + OVERHEAD);
	assert_null(memmem(sealed.bytes, sealed.len, "1//can", 6));
	assert_int_equal(vault_key_of(sealed.bytes, sealed.len), vault_active_key(d->vault));
	assert_int_equal(vault_unseal(d->vault, &place, sealed.bytes, sealed.len, &back, &f), 0);
	assert_int_equal(back.len, plain.len);
	assert_memory_equal(back.bytes, plain.bytes, plain.len + 1);
}

static void an_empty_secret_is_not_the_same_as_none(void **state)
{
	struct desk *d = *state;
	AUTO(secret_drop) struct secret empty = secret_from("", 0), none = {0}, back = {0};
	AUTO(sealed_drop) struct sealed sealed = {0}, nothing = {0};
	struct fault f = {0};

	vault_seal(d->vault, &place, &empty, &sealed);
	assert_int_equal(sealed.len, OVERHEAD);
	assert_int_equal(vault_unseal(d->vault, &place, sealed.bytes, sealed.len, &back, &f), 0);
	assert_true(secret_is_set(&back));
	assert_int_equal(back.len, 0);
	vault_seal(d->vault, &place, &none, &nothing);
	assert_null(nothing.bytes);
	assert_refused(d->vault, &place, NULL, 0, "no sealed value");
}

static void a_long_secret_comes_back_as_it_was(void **state)
{
	struct desk *d = *state;
	AUTO(mem_freep) char *bytes = mem_alloc(LONG_SECRET);
	AUTO(secret_drop) struct secret plain = {0}, back = {0};
	AUTO(sealed_drop) struct sealed sealed = {0};
	struct fault f = {0};

	rand_bytes(bytes, LONG_SECRET);
	plain = secret_from(bytes, LONG_SECRET);
	vault_seal(d->vault, &place, &plain, &sealed);
	assert_int_equal(vault_unseal(d->vault, &place, sealed.bytes, sealed.len, &back, &f), 0);
	assert_true(secret_equal(&plain, &back));
}

static void sealing_twice_gives_different_blobs(void **state)
{
	struct desk *d = *state;
	AUTO(sealed_drop) struct sealed a = {0}, b = {0};

	seal_text(d->vault, "canary", &a);
	seal_text(d->vault, "canary", &b);
	assert_int_equal(a.len, b.len);
	assert_memory_not_equal(a.bytes + 5, b.bytes + 5, 24);
	assert_memory_not_equal(a.bytes + 29, b.bytes + 29, a.len - 29);
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct desk *d = *state;
	AUTO(sealed_drop) struct sealed sealed = {0};

	seal_text(d->vault, "canary", &sealed);
	for (size_t i = 0; i < sealed.len; i++) {
		const char *why = i == 0  ? "no sealed value"
				  : i < 5 ? "not in the key ring"
					  : "was altered";

		for (int bit = 0; bit < 8; bit++) {
			sealed.bytes[i] ^= (uint8_t)(1 << bit);
			assert_refused(d->vault, &place, sealed.bytes, sealed.len, why);
			sealed.bytes[i] ^= (uint8_t)(1 << bit);
		}
	}
}

static void every_cut_and_any_addition_is_noticed(void **state)
{
	struct desk *d = *state;
	AUTO(sealed_drop) struct sealed sealed = {0};
	AUTO(mem_freep) uint8_t *longer = NULL;

	seal_text(d->vault, "canary", &sealed);
	for (size_t len = 0; len < sealed.len; len++)
		assert_refused(d->vault, &place, sealed.bytes, len,
			len < OVERHEAD ? "no sealed value" : "was altered");
	longer = mem_alloc(sealed.len + 1);
	memcpy(longer, sealed.bytes, sealed.len);
	assert_refused(d->vault, &place, longer, sealed.len + 1, "was altered");
}

static void a_value_moved_to_another_place_does_not_open(void **state)
{
	struct desk *d = *state;
	const struct vault_place others[] = {
		{"tokens", "refresh_token", "43"},
		{"tokens", "refresh_token", ""},
		{"tokens", "access_token", "42"},
		{"clients", "refresh_token", "42"},
		/* The same letters, cut elsewhere. */
		{"token", "srefresh_token", "42"},
		{"tokens", "refresh_token4", "2"},
		{"", "tokensrefresh_token", "42"},
	};
	AUTO(sealed_drop) struct sealed sealed = {0};

	seal_text(d->vault, "canary", &sealed);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_refused(d->vault, &others[i], sealed.bytes, sealed.len, "moved there");
}

static void a_key_that_is_not_in_the_ring_is_named(void **state)
{
	struct desk *d = *state;
	AUTO(sealed_drop) struct sealed sealed = {0};
	struct vault *other = NULL;
	struct fault f = {0};
	char number[16], path[100];

	seal_text(d->vault, "canary", &sealed);
	snprintf(path, sizeof(path), "%s/other.key", d->folder->path);
	assert_int_equal(vault_open(path, &other, &f), 0);
	assert_int_not_equal(vault_active_key(other), vault_active_key(d->vault));
	snprintf(number, sizeof(number), "key %u,", vault_active_key(d->vault));
	assert_refused(other, &place, sealed.bytes, sealed.len, number);
	vault_close(other);
}

static void a_vault_opened_again_opens_what_it_sealed(void **state)
{
	struct desk *d = *state;
	AUTO(sealed_drop) struct sealed sealed = {0};
	AUTO(secret_drop) struct secret back = {0};
	struct fault f = {0};

	seal_text(d->vault, "canary", &sealed);
	vault_closep(&d->vault);
	assert_int_equal(vault_open(d->folder->ring, &d->vault, &f), 0);
	assert_int_equal(vault_unseal(d->vault, &place, sealed.bytes, sealed.len, &back, &f), 0);
	assert_string_equal(back.bytes, "canary");
}

static void random_blobs_never_open(void **state)
{
	struct desk *d = *state;
	uint8_t blob[256];
	uint32_t key = vault_active_key(d->vault);

	for (int i = 0; i < 20000; i++) {
		size_t len = rand_below(sizeof(blob));
		struct secret plain = {0};
		struct fault f = {0};

		rand_bytes(blob, sizeof(blob));
		if (i % 2 == 0) {
			const uint8_t head[] = {1, (uint8_t)(key >> 24), (uint8_t)(key >> 16),
				(uint8_t)(key >> 8), (uint8_t)key};

			memcpy(blob, head, sizeof(head));
		}
		assert_int_equal(vault_unseal(d->vault, &place, blob, len, &plain, &f), -1);
	}
}

#define VAULT_TEST(name) cmocka_unit_test_setup_teardown(name, open_vault, close_vault)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VAULT_TEST(a_secret_comes_back_as_it_was),
		VAULT_TEST(an_empty_secret_is_not_the_same_as_none),
		VAULT_TEST(a_long_secret_comes_back_as_it_was),
		VAULT_TEST(sealing_twice_gives_different_blobs),
		VAULT_TEST(every_flipped_bit_is_noticed),
		VAULT_TEST(every_cut_and_any_addition_is_noticed),
		VAULT_TEST(a_value_moved_to_another_place_does_not_open),
		VAULT_TEST(a_key_that_is_not_in_the_ring_is_named),
		VAULT_TEST(a_vault_opened_again_opens_what_it_sealed),
		VAULT_TEST(random_blobs_never_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
