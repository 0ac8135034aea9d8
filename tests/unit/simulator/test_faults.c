/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/faults.h"

#include "base/hash.h"
#include "../test.h"

static int64_t add(struct faults *f, const char *text)
{
	AUTO(json_drop) json_t *described = NULL;
	struct fault fault;
	int64_t id;

	assert_int_equal(json_parse(text, strlen(text), &described, &fault), 0);
	return faults_add(f, described, &id, &fault) == 0 ? id : -1;
}

static unsigned status_of(struct faults *f, enum kind kind, const char *target)
{
	struct fault_plan plan = {0};
	unsigned status;

	faults_plan(f, kind, target, NULL, &plan);
	status = plan.action ? plan.action->status : 0;
	fault_plan_drop(&plan);
	return status;
}

static void a_fault_lets_some_pass_then_affects_some(void **state)
{
	struct faults f;

	(void)state;
	faults_init(&f);
	assert_true(add(&f, "{\"target\":\"api\",\"match\":\"/l1/"
			    "\",\"status\":503,\"skip\":1,\"count\":2}") > 0);
	assert_int_equal(status_of(&f, KIND_REVIEWS, "/l1/reviews"), 0);
	assert_int_equal(status_of(&f, KIND_REVIEWS, "/l2/reviews"), 0);
	assert_int_equal(status_of(&f, KIND_TOKEN_REFRESH, "/l1/reviews"), 0);
	assert_int_equal(status_of(&f, KIND_REVIEWS, "/l1/reviews"), 503);
	assert_int_equal(status_of(&f, KIND_REVIEW, "/l1/reviews/x"), 503);
	assert_int_equal(status_of(&f, KIND_REVIEWS, "/l1/reviews"), 0);
	faults_free(&f);
}

static void the_first_fault_that_ends_a_request_wins_and_the_next_keeps_its_count(void **state)
{
	struct faults f;
	struct fault_plan plan = {0};

	(void)state;
	faults_init(&f);
	add(&f, "{\"target\":\"reviews\",\"latency_ms\":5}");
	add(&f, "{\"target\":\"reviews\",\"status\":500,\"count\":1}");
	add(&f, "{\"target\":\"reviews\",\"status\":404,\"count\":1,\"latency_ms\":100}");
	add(&f, "{\"target\":\"reviews\",\"latency_ms\":7}");
	faults_plan(&f, KIND_REVIEWS, "", NULL, &plan);
	assert_int_equal(plan.latency_ms, 12);
	assert_int_equal(plan.action->status, 500);
	faults_clear(&f); /* the plan's own stays alive */
	assert_int_equal(plan.action->status, 500);
	fault_plan_drop(&plan);
	faults_free(&f);
}

static void the_usual_status_follows_from_what_is_asked(void **state)
{
	static const struct {
		const char *text;
		unsigned status;
	} cases[] = {
		{"{\"target\":\"token\",\"error\":\"invalid_grant\"}", 400},
		{"{\"target\":\"token\",\"error\":\"invalid_client\"}", 401},
		{"{\"target\":\"token\",\"reason\":\"SERVICE_DISABLED\"}", 403},
		{"{\"target\":\"token\",\"body\":[1]}", 500},
		{"{\"target\":\"token\",\"non_json\":true}", 200},
		{"{\"target\":\"token\",\"empty\":true,\"status\":204}", 204},
	};
	struct faults f;

	(void)state;
	faults_init(&f);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t id = add(&f, cases[i].text);

		assert_true(id > 0);
		assert_int_equal(status_of(&f, KIND_TOKEN_CODE, ""), cases[i].status);
		assert_true(faults_remove(&f, id));
		assert_false(faults_remove(&f, id));
	}
	faults_free(&f);
}

static void a_wrong_description_is_refused(void **state)
{
	static const char *const wrong[] = {"[]", "{}", "{\"target\":\"x\"}",
		"{\"target\":\"any\",\"x\":1}", "{\"target\":\"any\",\"reset\":1}",
		"{\"target\":\"any\",\"status\":\"500\"}", "{\"target\":\"any\",\"status\":600}",
		"{\"target\":\"any\",\"latency_ms\":-1}", "{\"target\":\"any\",\"error\":5}"};
	struct faults f;

	(void)state;
	faults_init(&f);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(add(&f, wrong[i]), -1);
	assert_null(f.first);
	faults_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fault_lets_some_pass_then_affects_some),
		cmocka_unit_test(
			the_first_fault_that_ends_a_request_wins_and_the_next_keeps_its_count),
		cmocka_unit_test(the_usual_status_follows_from_what_is_asked),
		cmocka_unit_test(a_wrong_description_is_refused),
	};
	hash_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
