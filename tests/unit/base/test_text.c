/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "base/text.h"

static void whole_numbers_only(void **state)
{
	static const char *const bad[] = {
		"", "-", "+1", " 1", "1 ", "1x", "0x10", "9223372036854775808"};
	int64_t n = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(text_parse_int(bad[i], &n), 1);
	assert_int_equal(n, 7);
	assert_int_equal(text_parse_int("-9223372036854775808", &n), 0);
	assert_true(n == INT64_MIN);
}

static void percent_decoding_is_strict(void **state)
{
	static const char *const bad[] = {"%", "%4", "%zz", "a%00b", "%ff", "%C0%80", "%ED%A0%80"};
	char out[64];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(text_percent_decode(bad[i], strlen(bad[i]), false, out, &n), 1);
	assert_int_equal(text_percent_decode("a%2Fb+c%C3%A4", 13, true, out, &n), 0);
	assert_string_equal(out, "a/b c\xC3\xA4");
	assert_int_equal(n, 7);
	assert_int_equal(text_percent_decode("a+b", 3, false, out, &n), 0);
	assert_string_equal(out, "a+b");
}

static void percent_encoding_keeps_the_unreserved_and_reads_back(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(200);
	char out[64];
	size_t n;

	(void)state;
	text_percent_encode(&b, "aZ09-._~ :+%/\xC3\xA4", 15);
	assert_string_equal(buf_text(&b), "aZ09-._~%20%3A%2B%25%2F%C3%A4");
	assert_int_equal(text_percent_decode(b.data, b.len, true, out, &n), 0);
	assert_string_equal(out, "aZ09-._~ :+%/\xC3\xA4");
}

static void utf8_is_checked_to_the_letter_of_rfc_3629(void **state)
{
	static const char *const bad[] = {"\x80", "\xC3", "\xC0\xAF", "\xE0\x80\xAF",
		"\xED\xA0\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
		"\xE2\x82"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(text_is_utf8(bad[i], strlen(bad[i])));
	assert_true(text_is_utf8("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\xEF\xBF\xBF", 13));
	assert_true(text_is_utf8("", 0));
}

static void base64url_round_trips_and_refuses_garbage(void **state)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1000), back = BUF_INIT(1000);
	uint8_t bytes[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		buf_reset(&text);
		buf_reset(&back);
		text_base64url(&text, bytes, len);
		assert_int_equal(text_base64url_decode(buf_text(&text), text.len, &back), 0);
		assert_int_equal(back.len, len);
		assert_memory_equal(buf_text(&back), bytes, len);
	}
	assert_int_equal(text_base64url_decode("a+b/", 4, &back), 1);
	assert_int_equal(text_base64url_decode("YQ==", 4, &back), 1);
	buf_reset(&text);
	text_base64(&text, "a", 1);
	assert_string_equal(buf_text(&text), "YQ==");
}

static void html_is_harmless_afterwards(void **state)
{
	AUTO(buf_drop) struct buf b = BUF_INIT(200);

	(void)state;
	text_html(&b, "<a href=\"x\">&'");
	assert_string_equal(buf_text(&b), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
}

static void an_excerpt_is_short_and_printable(void **state)
{
	char ret[TEXT_EXCERPT_SIZE], text[200];

	(void)state;
	assert_string_equal(text_excerpt("a\nb\xC3\xA9", ret), "a?b??");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(strlen(text_excerpt(text, ret)), 67);
	assert_string_equal(ret + 64, "...");
	text[64] = '\0';
	assert_int_equal(strlen(text_excerpt(text, ret)), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers_only),
		cmocka_unit_test(percent_decoding_is_strict),
		cmocka_unit_test(percent_encoding_keeps_the_unreserved_and_reads_back),
		cmocka_unit_test(utf8_is_checked_to_the_letter_of_rfc_3629),
		cmocka_unit_test(base64url_round_trips_and_refuses_garbage),
		cmocka_unit_test(an_excerpt_is_short_and_printable),
		cmocka_unit_test(html_is_harmless_afterwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
