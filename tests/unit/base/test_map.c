/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"

static void what_is_put_is_found_until_it_is_removed(void **state)
{
	struct map m = MAP_INIT;
	int values[1000];
	char key[16];

	(void)state;
	assert_null(map_get(&m, "x", 1));
	assert_null(map_remove(&m, "x", 1));
	for (int i = 0; i < 1000; i++)
		assert_null(
			map_put(&m, key, (size_t)snprintf(key, sizeof(key), "k%d", i), &values[i]));
	assert_int_equal(m.count, 1000);
	for (int i = 0; i < 1000; i++)
		assert_ptr_equal(
			map_get(&m, key, (size_t)snprintf(key, sizeof(key), "k%d", i)), &values[i]);
	assert_ptr_equal(map_put(&m, "k5", 2, &values[6]), &values[5]);
	assert_ptr_equal(map_remove(&m, "k5", 2), &values[6]);
	assert_null(map_get(&m, "k5", 2));
	assert_int_equal(m.count, 999);
	map_drop(&m);
}

static int count(void *arg, const void *key, size_t len, void *value)
{
	(void)key;
	(void)len;
	(void)value;
	return ++*(int *)arg == 3;
}

static void a_walk_stops_when_told(void **state)
{
	struct map m = MAP_INIT;
	int seen = 0;

	(void)state;
	for (char c = 'a'; c < 'k'; c++)
		map_put(&m, &c, 1, &m);
	assert_int_equal(map_each(&m, count, &seen), 1);
	assert_int_equal(seen, 3);
	map_drop(&m);
}

static int n_freed;

static void free_and_count(void *value)
{
	n_freed++;
	mem_free(value);
}

static void all_values_are_freed_once_with_the_table(void **state)
{
	struct map m = MAP_INIT;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_null(map_put(&m, &i, sizeof(i), mem_alloc(1)));
	map_drop_all(&m, free_and_count);
	assert_int_equal(n_freed, 100);
	assert_int_equal(m.count, 0);
	map_drop_all(&m, free_and_count);
	assert_int_equal(n_freed, 100);
}

static void stable_hashes_never_change_and_known_digests_hold(void **state)
{
	static const uint8_t abc[4] = {0xba, 0x78, 0x16, 0xbf};
	uint8_t digest[HASH_SHA256_SIZE];

	(void)state;
	assert_true(hash_stable("branch-1", 8) == hash_stable("branch-1", 8));
	assert_true(hash_stable("branch-1", 8) != hash_stable("branch-2", 8));
	hash_sha256("abc", 3, digest);
	assert_memory_equal(digest, abc, 4);
}

static void random_text_and_uuids_have_their_shape(void **state)
{
	char text[RAND_TEXT_SIZE(32)], again[RAND_TEXT_SIZE(32)], uuid[RAND_UUID_SIZE];

	(void)state;
	rand_text(32, text);
	rand_text(32, again);
	assert_int_equal(strlen(text), 43);
	assert_string_not_equal(text, again);
	rand_uuid4(uuid);
	assert_int_equal(strlen(uuid), 36);
	assert_int_equal(uuid[14], '4');
	assert_non_null(strchr("89ab", uuid[19]));
	for (int i = 0; i < 1000; i++)
		assert_true(rand_below(7) < 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_found_until_it_is_removed),
		cmocka_unit_test(a_walk_stops_when_told),
		cmocka_unit_test(all_values_are_freed_once_with_the_table),
		cmocka_unit_test(stable_hashes_never_change_and_known_digests_hold),
		cmocka_unit_test(random_text_and_uuids_have_their_shape),
	};

	hash_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
