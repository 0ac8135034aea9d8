/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "base/buf.h"
#include "base/fault.h"

static void appends_keep_a_nul_behind_the_last_byte(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(1000);

	(void)state;
	assert_string_equal(buf_text(&b), "");
	buf_add_text(&b, "one ");
	buf_addf(&b, "%d %s", 2, "three");
	buf_add_char(&b, '!');
	assert_string_equal(buf_text(&b), "one 2 three!");
	assert_int_equal(b.len, 12);
}

static void passing_the_maximum_keeps_what_was_there_and_sticks(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(10);

	(void)state;
	buf_add_text(&b, "0123456789");
	assert_false(buf_failed(&b));
	buf_add_char(&b, 'x');
	assert_true(buf_failed(&b));
	assert_string_equal(buf_text(&b), "0123456789");
	buf_add_text(&b, "");
	assert_true(buf_failed(&b));
	buf_reset(&b);
	buf_add_text(&b, "again");
	assert_false(buf_failed(&b));
	assert_string_equal(buf_text(&b), "again");
}

static void a_formatted_append_past_the_maximum_adds_nothing(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(4);

	(void)state;
	buf_addf(&b, "%d", 12345);
	assert_true(buf_failed(&b));
	assert_int_equal(b.len, 0);
}

static void growing_by_single_bytes_reaches_exactly_the_maximum(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT_WIPED(5000);

	(void)state;
	for (int i = 0; i < 5000; i++)
		buf_add_char(&b, (char)('a' + i % 26));
	assert_false(buf_failed(&b));
	assert_int_equal(b.len, 5000);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(b.data[i], 'a' + i % 26);
}

static void room_is_given_within_the_maximum_only(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(10);
	char *at;

	(void)state;
	buf_add_text(&b, "ab");
	at = buf_extend(&b, 3);
	assert_non_null(at);
	memcpy(at, "cde", 3);
	assert_string_equal(buf_text(&b), "abcde");
	assert_int_equal(b.len, 5);
	assert_null(buf_extend(&b, 6));
	assert_true(buf_failed(&b));
	assert_string_equal(buf_text(&b), "abcde");
}

static void a_fault_carries_kind_field_and_a_cut_text(void **state)
{
	struct fault f = {0};

	(void)state;
	assert_int_equal(fault_input(&f, "branch_id", "%0300d", 1), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, "branch_id");
	assert_int_equal(strlen(f.text), sizeof(f.text) - 1);
	assert_int_equal(fault_raise(&f, FAULT_STORE, "disk full"), -1);
	assert_string_equal(f.field, "");
	assert_string_equal(fault_kind_name(f.kind), "store");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_keep_a_nul_behind_the_last_byte),
		cmocka_unit_test(passing_the_maximum_keeps_what_was_there_and_sticks),
		cmocka_unit_test(a_formatted_append_past_the_maximum_adds_nothing),
		cmocka_unit_test(growing_by_single_bytes_reaches_exactly_the_maximum),
		cmocka_unit_test(room_is_given_within_the_maximum_only),
		cmocka_unit_test(a_fault_carries_kind_field_and_a_cut_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
