/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <pthread.h>

#include "core/metrics.h"

static struct metric refused = METRIC_COUNTER(
	"test_calls_total", "Calls made, by \\outcome\\\nand so on.", "outcome=\"refused\"");
static struct metric depth = METRIC_GAUGE("test_depth", "Tasks waiting.", "");
static struct metric done = METRIC_COUNTER(
	"test_calls_total", "Calls made, by \\outcome\\\nand so on.", "outcome=\"done\"");
static struct metric untouched = METRIC_COUNTER("test_never", "Never touched.", "");
static struct metric shared = METRIC_COUNTER("test_shared_total", "Counted by many.", "");

static void families_are_written_once_with_help_and_type_and_sorted_samples(void **state)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(4096);

	(void)state;
	metric_add(&refused, 2);
	metric_set(&depth, 7);
	metric_set(&depth, -1);
	metric_add(&done, 40);
	metric_add(&done, 2);
	metrics_write(&text);
	assert_string_equal(buf_text(&text),
		"# HELP test_calls_total Calls made, by \\\\outcome\\\\\\nand so on.\n"
		"# TYPE test_calls_total counter\n"
		"test_calls_total{outcome=\"done\"} 42\n"
		"test_calls_total{outcome=\"refused\"} 2\n"
		"# HELP test_depth Tasks waiting.\n"
		"# TYPE test_depth gauge\n"
		"test_depth -1\n");
	assert_int_equal(metric_value(&untouched), 0);
}

static void registering_shows_a_zero_and_counts_once(void **state)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(4096);
	const char *first;

	(void)state;
	metric_register(&untouched);
	metric_register(&untouched);
	metrics_write(&text);
	first = strstr(buf_text(&text), "\ntest_never 0\n");
	assert_non_null(first);
	assert_null(strstr(first + 1, "\ntest_never 0\n"));
}

static void *count_much(void *arg)
{
	for (int i = 0; i < 100000; i++)
		metric_add(arg, 1);
	return NULL;
}

static void additions_from_many_threads_all_count(void **state)
{
	pthread_t threads[4];
	AUTO(buf_drop) struct buf text = BUF_INIT(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_much, &shared), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_value(&shared), 400000);
	metrics_write(&text);
	assert_non_null(strstr(buf_text(&text), "\ntest_shared_total 400000\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_are_written_once_with_help_and_type_and_sorted_samples),
		cmocka_unit_test(registering_shows_a_zero_and_counts_once),
		cmocka_unit_test(additions_from_many_threads_all_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
