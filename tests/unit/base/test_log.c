/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

static char last[16384];
static int lines;

static void keep(const char *line, size_t len)
{
	memcpy(last, line, len);
	last[len] = '\0';
	lines++;
}

static void an_event_is_one_json_line_with_typed_fields(void **state)
{
	struct fault f = {0};
	AUTO(json_drop) json_t *j = NULL;

	(void)state;
	log_event(LOG_WARN, "grant.refresh_failed", F_STR("branch", "b\"1\n"), F_INT("attempt", 3),
		F_BOOL("last", true));
	assert_int_equal(json_parse(last, strlen(last), &j, &f), 0);
	assert_string_equal(json_text(j, "event"), "grant.refresh_failed");
	assert_string_equal(json_text(j, "level"), "warn");
	assert_string_equal(json_text(j, "branch"), "b\"1\n");
	assert_int_equal(json_int(j, "attempt", 0), 3);
	assert_true(json_flag(j, "last", false));
	assert_non_null(json_text(j, "time"));
	assert_ptr_equal(strchr(last, '\n'), last + strlen(last) - 1);
}

static void an_event_without_fields_and_one_below_the_level(void **state)
{
	(void)state;
	lines = 0;
	log_event(LOG_INFO, "serve.started");
	assert_int_equal(lines, 1);
	log_event(LOG_DEBUG, "not.seen");
	assert_int_equal(lines, 1);
}

static void a_field_past_all_measure_costs_the_fields_not_the_event(void **state)
{
	AUTO(mem_freep) char *huge = mem_alloc(20000);

	(void)state;
	memset(huge, 'x', 19999);
	log_event(LOG_ERROR, "huge", F_STR("v", huge));
	assert_non_null(strstr(last, "\"event\":\"huge\""));
	assert_true(strlen(last) < 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_one_json_line_with_typed_fields),
		cmocka_unit_test(an_event_without_fields_and_one_below_the_level),
		cmocka_unit_test(a_field_past_all_measure_costs_the_fields_not_the_event),
	};

	log_use(keep);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
