/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "base/buf.h"
#include "base/secret.h"

static void equality_needs_length_and_content(void **state)
{
	AUTO(secret_drop)
	struct secret a = secret_from("canary", 6), b = secret_copy(&a),
		      c = secret_from("canarz", 6), d = secret_from("canary!", 7), none = {0},
		      nil = {0};

	(void)state;
	assert_true(secret_equal(&a, &b));
	assert_false(secret_equal(&a, &c));
	assert_false(secret_equal(&a, &d));
	assert_false(secret_equal(&a, &none));
	assert_true(secret_equal(&nil, &none));
	secret_drop(&b);
	secret_drop(&c);
	secret_drop(&d);
}

static void taking_leaves_nothing_behind(void **state)
{
	struct secret a = secret_from("canary", 6);
	AUTO(secret_drop) struct secret b = secret_take(&a);

	(void)state;
	assert_false(secret_is_set(&a));
	assert_true(secret_is_set(&b));
	assert_string_equal(b.bytes, "canary");
	secret_drop(&a);
}

static void resetting_a_wiped_buffer_zeroes_its_memory(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT_WIPED(100);

	(void)state;
	buf_add_text(&b, "canary");
	buf_reset(&b);
	for (size_t i = 0; i < b.cap; i++)
		assert_int_equal(b.data[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equality_needs_length_and_content),
		cmocka_unit_test(taking_leaves_nothing_behind),
		cmocka_unit_test(resetting_a_wiped_buffer_zeroes_its_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
