/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "core/nearest.h"

/* The edits that the offer counted; -1: too far to be kept. */
static int count_edits(const char *typed, const char *candidate)
{
	struct nearest n = NEAREST(typed);

	nearest_offer(&n, candidate);
	return n.best != NULL ? (int)n.edits : -1;
}

static void edits_count_inserts_deletes_replacements_and_swaps(void **state)
{
	(void)state;
	assert_int_equal(count_edits("API_PORT", "API_PORT"), 0);
	assert_int_equal(count_edits("api-port", "API_PORT"), 0);
	assert_int_equal(count_edits("API_PRT", "API_PORT"), 1);
	assert_int_equal(count_edits("API_POORT", "API_PORT"), 1);
	assert_int_equal(count_edits("API_PORD", "API_PORT"), 1);
	assert_int_equal(count_edits("API_PROT", "API_PORT"), 1);
	assert_int_equal(count_edits("AIP_PROT", "API_PORT"), 2);
	assert_int_equal(count_edits("kittens here", "sitting there"), 4);
	assert_int_equal(count_edits("kitten", "sitting"), -1);
	assert_int_equal(count_edits("", "abc"), -1);
}

static const char *pick(const char *typed)
{
	static const char *const known[] = {"API_PORT", "API_HOST", "TLS_KEY", "serve", "key"};
	struct nearest n = NEAREST(typed);

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		nearest_offer(&n, known[i]);
	return n.best;
}

static void the_nearest_word_is_offered_and_a_far_one_is_not(void **state)
{
	(void)state;
	assert_string_equal(pick("api-prot"), "API_PORT");
	assert_string_equal(pick("API_HOTS"), "API_HOST");
	assert_string_equal(pick("sevre"), "serve");
	assert_string_equal(pick("keys"), "key");
	assert_null(pick("frobnicate"));
	assert_null(pick(""));
	assert_null(pick("x"));
}

static void a_part_of_a_word_is_near_enough(void **state)
{
	(void)state;
	assert_string_equal(pick("port"), "API_PORT");
	assert_string_equal(pick("host"), "API_HOST");
}

static void words_of_any_length_stay_in_bounds(void **state)
{
	char word[4096];

	(void)state;
	memset(word, 'A', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_null(pick(word));
	assert_int_equal(count_edits(word, word), 0);
	assert_int_equal(count_edits("", word), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_count_inserts_deletes_replacements_and_swaps),
		cmocka_unit_test(the_nearest_word_is_offered_and_a_far_one_is_not),
		cmocka_unit_test(a_part_of_a_word_is_near_enough),
		cmocka_unit_test(words_of_any_length_stay_in_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
