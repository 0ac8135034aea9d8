/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "api/page.h"
#include "api/request_life.h"
#include "base/hash.h"
#include "console/console.h"

static void values_are_escaped_and_unknown_names_vanish(void **state)
{
	AUTO(buf_drop) struct buf out = BUF_INIT(1024);
	const struct name_value values[] = {{"a", "<b>&\"'"}, {"none", NULL}};

	(void)state;
	page_render("1{{a}}2{{b}}3{{none}}4 {{open", values, 2, &out);
	assert_null(strchr(buf_text(&out), '<'));
	assert_non_null(strstr(buf_text(&out), "1&lt;b&gt;&amp;&quot;"));
	assert_non_null(strstr(buf_text(&out), "234 {{open"));
}

static void a_value_is_not_a_template(void **state)
{
	AUTO(buf_drop) struct buf out = BUF_INIT(1024);
	const struct name_value values[] = {{"a", "{{b}}"}, {"b", "secret"}};

	(void)state;
	page_render("{{a}}", values, 2, &out);
	assert_string_equal(buf_text(&out), "{{b}}");
}

static void the_page_allows_only_its_own_style(void **state)
{
	const struct page page = {.title = "T", .sentence = "S", .next = "N", .note = ""};
	struct request req = {.method = "GET"};
	const char *policy = NULL;

	(void)state;
	hash_init();
	request_begin(&req);
	page_answer(&req, 403, &page);
	assert_int_equal(req.answer.status, 403);
	for (size_t i = 0; i < req.answer.n_headers; i++)
		if (strcmp(req.answer.headers[i].name, "Content-Security-Policy") == 0)
			policy = req.answer.headers[i].value;
	assert_non_null(policy);
	assert_non_null(strstr(policy, "default-src 'none'; style-src 'sha256-"));
	assert_non_null(strstr(policy, "frame-ancestors 'none'"));
	request_done(&req);
}

static void the_template_loads_nothing(void **state)
{
	const char *text = (const char *)console_file("message.html")->data;

	(void)state;
	assert_null(strstr(text, "<script"));
	assert_null(strstr(text, "src="));
	assert_null(strstr(text, "http"));
	assert_null(strstr(text, "url("));
	assert_null(strstr(text, "style=\""));
	assert_null(console_file("nope.html"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_escaped_and_unknown_names_vanish),
		cmocka_unit_test(a_value_is_not_a_template),
		cmocka_unit_test(the_page_allows_only_its_own_style),
		cmocka_unit_test(the_template_loads_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
