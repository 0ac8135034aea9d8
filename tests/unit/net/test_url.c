/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdio.h>
#include <string.h>

#include "core/limits.h"
#include "net/net.h"
#include "net/transfer.h"

static int check(const char *url, enum net_url_policy policy)
{
	struct fault f = {0};
	int result = net_url_check(url, policy, "redirect_uri", &f);

	if (result < 0) {
		assert_int_equal(f.kind, FAULT_INPUT);
		assert_string_equal(f.field, "redirect_uri");
		assert_true(strlen(f.text) > 5);
	}
	return result;
}

static void check_all(const char *const *urls, size_t n, int expected)
{
	for (size_t i = 0; i < n; i++) {
		if (check(urls[i], NET_URL_REDIRECT) == expected &&
			check(urls[i], NET_URL_PROVIDER) == expected)
			continue;
		print_message("# wrong answer for %s\n", urls[i]);
		fail();
	}
}

static void good_addresses_pass(void **state)
{
	static const char *const urls[] = {
		"https://oauth2.googleapis.com/token",
		"HTTPS://Accounts.Google.com/o/oauth2/v2/auth",
		"https://example.com",
		"https://example.com:8443/a/b?c=d&e=%20f",
		"https://example.com/a..b/...",
		"https://xn--bcher-kva.example/cb",
		"https://10.0.0.1/cb",
		"https://[2001:db8::1]:443/cb",
		"http://localhost:8084/token-management/auth/callback",
		"http://LocalHost/cb",
		"hTTp://127.0.0.1:1/",
		"http://127.255.0.3/",
		"http://[::1]:8080/cb",
		"http://[0:0:0:0:0:0:0:1]/cb",
		"https://example.com/?email=a@b.example",
	};

	(void)state;
	check_all(urls, ARRAY_LEN(urls), 0);
}

static void http_to_another_machine_is_refused(void **state)
{
	static const char *const urls[] = {
		"http://example.com/",
		"http://10.0.0.1/",
		"http://localhost.example.com/",
		"http://127.0.0.1.example.com/",
		"http://localhost./",
		"http://127.0.0.1./",
		"http://[::2]/",
		"http://[::ffff:127.0.0.1]/",
		"http://0.0.0.0/",
		"http://[::]/",
		"http://128.0.0.1/",
		"http://xlocalhost/",
	};

	(void)state;
	check_all(urls, ARRAY_LEN(urls), -1);
}

static void user_info_and_its_tricks_are_refused(void **state)
{
	static const char *const urls[] = {
		"https://user@example.com/",
		"https://user:pass@example.com/",
		"https://@example.com/",
		"http://localhost@evil.example/",
		"http://localhost:80@evil.example/",
		"http://localhost\\@evil.example/",
		"http://evil.example\\@localhost/",
		"http://localhost%40evil.example/",
		"http://localhost%2f@evil.example/",
		"http://evil.example#@localhost/",
		"http://localhost#@evil.example/",
	};

	(void)state;
	check_all(urls, ARRAY_LEN(urls), -1);
}

static void what_is_not_an_absolute_web_address_is_refused(void **state)
{
	static const char *const urls[] = {
		"",
		"/",
		"example.com",
		"//example.com/",
		"https:",
		"https:/example.com/",
		"https://",
		"https:///path",
		"https:////example.com/",
		"https://:443/",
		"https://?x",
		"ftp://example.com/",
		"file:///etc/passwd",
		"javascript:alert(1)",
		"urn:ietf:wg:oauth:2.0:oob",
		"com.example.app:/cb",
		" https://example.com/",
		"https://example.com:0/",
		"https://example.com:65536/",
		"https://example.com:http/",
		"https://[::1/",
		"https://[::1%25eth0]/",
		"https://exa mple.com/",
	};

	(void)state;
	check_all(urls, ARRAY_LEN(urls), -1);
}

static void ambiguous_text_is_refused(void **state)
{
	static const char *const urls[] = {
		"https://example.com/cb#",
		"https://example.com/cb#part",
		"https://example.com./cb",
		"https://b\303\274cher.example/",
		"https://example.com/\xc3\xa9",
		"https://example.com/a b",
		"https://example.com/a\nb",
		"https://example.com/a\tb",
		"https://example.com/\"x",
		"https://example.com/<x>",
		"https://%65xample.com/",
		"https://example.com\\evil.example/",
	};

	(void)state;
	check_all(urls, ARRAY_LEN(urls), -1);
}

static void a_redirect_address_is_one_exact_address(void **state)
{
	static const char *const urls[] = {
		"https://example.com/*",
		"https://*.example.com/cb",
		"https://example.com/a/../cb",
		"https://example.com/a/..",
		"https://example.com/..",
		"https://example.com/a/%2e%2E/cb",
		"https://example.com/a%2f..%2Fcb",
		"https://example.com/.%2e/",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		assert_int_equal(check(urls[i], NET_URL_REDIRECT), -1);
	assert_int_equal(check("https://example.com/a/../cb", NET_URL_PROVIDER), 0);
	assert_int_equal(check("https://example.com/cb?next=../x&all=*", NET_URL_REDIRECT), 0);
}

static void an_address_may_be_as_long_as_the_limit(void **state)
{
	char url[LIMIT_URL_BYTES + 2];

	(void)state;
	memset(url, 'a', sizeof(url));
	memcpy(url, "https://example.com/", 20);
	url[LIMIT_URL_BYTES] = '\0';
	assert_int_equal(check(url, NET_URL_REDIRECT), 0);
	url[LIMIT_URL_BYTES] = 'a';
	url[LIMIT_URL_BYTES + 1] = '\0';
	assert_int_equal(check(url, NET_URL_REDIRECT), -1);
}

static void a_form_is_encoded_as_the_rfc_shows(void **state)
{
	AUTO(buf_drop) struct buf form = BUF_INIT(1024);

	(void)state;
	net_form_add(&form, "k y", " %&+\xc2\xa3\xe2\x82\xac", 9); /* RFC 6749 appendix B */
	net_form_add(&form, "empty", "", 0);
	net_form_add(&form, "safe", "aZ9-._~", 7);
	net_form_add(&form, "nul", "a\0b ", 4);
	assert_string_equal(
		buf_text(&form), "k%20y=+%25%26%2B%C2%A3%E2%82%AC&empty=&safe=aZ9-._~&nul=a%00b+");
}

static void a_query_grows_whatever_the_address_ends_with(void **state)
{
	static const char *const cases[][2] = {
		{"https://a.example/x", "https://a.example/x?k=a%20b%26"},
		{"https://a.example/x?", "https://a.example/x?k=a%20b%26"},
		{"https://a.example/x?y=1", "https://a.example/x?y=1&k=a%20b%26"},
		{"https://a.example/x?y=1&", "https://a.example/x?y=1&k=a%20b%26"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf_drop) struct buf url = BUF_INIT(1024);

		buf_add_text(&url, cases[i][0]);
		net_url_add(&url, "k", "a b&");
		assert_string_equal(buf_text(&url), cases[i][1]);
	}
}

static void only_https_to_another_machine_may_take_a_proxy(void **state)
{
	(void)state;
	assert_true(transfer_is_proxy_allowed("https://oauth2.googleapis.com/token"));
	assert_false(transfer_is_proxy_allowed("http://example.com/"));
	assert_false(transfer_is_proxy_allowed("https://localhost:1/"));
	assert_false(transfer_is_proxy_allowed("https://127.0.0.2/"));
	assert_false(transfer_is_proxy_allowed("https://[::1]/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_addresses_pass),
		cmocka_unit_test(http_to_another_machine_is_refused),
		cmocka_unit_test(user_info_and_its_tricks_are_refused),
		cmocka_unit_test(what_is_not_an_absolute_web_address_is_refused),
		cmocka_unit_test(ambiguous_text_is_refused),
		cmocka_unit_test(a_redirect_address_is_one_exact_address),
		cmocka_unit_test(an_address_may_be_as_long_as_the_limit),
		cmocka_unit_test(a_form_is_encoded_as_the_rfc_shows),
		cmocka_unit_test(a_query_grows_whatever_the_address_ends_with),
		cmocka_unit_test(only_https_to_another_machine_may_take_a_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
