/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "base/buf.h"
#include "base/hash.h"
#include "delivery/webhook.h"

static int read_text(const char *text, struct secret ret[static WEBHOOK_SECRETS], struct fault *f)
{
	AUTO(secret_drop) struct secret setting = secret_from(text, strlen(text));

	return webhook_read_secrets(&setting, ret, f);
}

static void drop(struct secret secrets[static WEBHOOK_SECRETS])
{
	for (size_t i = 0; i < WEBHOOK_SECRETS; i++)
		secret_drop(&secrets[i]);
}

/* As the crypto module of Node.js makes it of the same key, id, time and body. */
static void the_signature_is_that_of_the_convention(void **state)
{
	static const char body[] = "{\"test\": 2432232314}";
	AUTO(buf_drop) struct buf signature = BUF_INIT(256);
	struct secret secrets[WEBHOOK_SECRETS] = {0};
	struct fault f = {0};

	(void)state;
	assert_int_equal(read_text("whsec_MfKQ9r8GKYqTwjUPD8ILPZIo2LaLaSw", secrets, &f), 0);
	webhook_sign(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, strlen(body),
		&signature);
	assert_string_equal(
		buf_text(&signature), "v1,APzAMjTmGJD1CHe1l3psPWqHBNm7LdzUn7zexTcoEpk=");
	drop(secrets);
}

static void two_secrets_give_two_signatures_and_a_third_is_refused(void **state)
{
	AUTO(buf_drop) struct buf signature = BUF_INIT(256);
	struct secret secrets[WEBHOOK_SECRETS] = {0};
	struct fault f = {0};
	const char *second;

	(void)state;
	assert_int_equal(
		read_text("whsec_MfKQ9r8GKYqTwjUPD8ILPZIo2LaLaSw 0123456789abcdef", secrets, &f),
		0);
	webhook_sign(secrets, "id", 1, "x", 1, &signature);
	second = strstr(buf_text(&signature), " v1,");
	assert_non_null(second);
	assert_int_equal(strlen(second + 1), second - buf_text(&signature));
	drop(secrets);
	assert_int_equal(
		read_text("0123456789abcdef 0123456789abcdef 0123456789abcdef", secrets, &f), -1);
	drop(secrets);
}

static void a_secret_that_is_short_or_no_base64_is_refused_without_being_shown(void **state)
{
	static const char *const bad[] = {
		"tooshort", "whsec_c2hvcnQ=", "whsec_***************************"};
	struct secret secrets[WEBHOOK_SECRETS] = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct fault f = {0};

		assert_int_equal(read_text(bad[i], secrets, &f), -1);
		assert_int_equal(f.kind, FAULT_INPUT);
		assert_null(strstr(f.text, bad[i]));
		drop(secrets);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_signature_is_that_of_the_convention),
		cmocka_unit_test(two_secrets_give_two_signatures_and_a_third_is_refused),
		cmocka_unit_test(
			a_secret_that_is_short_or_no_base64_is_refused_without_being_shown),
	};

	hash_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
