/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets that come as files, and the password of the database. */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/settings.h"

static char path[64];

static int new_file(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/settings-secret-XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int drop_file(void **state)
{
	(void)state;
	return unlink(path);
}

static void holds(const char *text, size_t len)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
}

/* a: a variable; file: one whose value is the file. */
static int load(const char *a, const char *file, struct settings **ret, struct fault *f)
{
	char *argv[] = {(char[]){"serve"}, NULL};
	char first[256], second[256];
	char *envp[] = {first, second, NULL};

	*f = (struct fault){0};
	snprintf(first, sizeof(first), "%s", a);
	snprintf(second, sizeof(second), "%s=%s", file, path);
	return settings_load(1, argv, envp, ret, f);
}

static void a_secret_may_come_as_a_file_whose_last_line_end_does_not_count(void **state)
{
	AUTO(settings_freep) struct settings *s = NULL;
	struct fault f;

	(void)state;
	holds("s3cret with blanks \n", 20);
	assert_int_equal(
		load("WEBHOOK_URL=https://example.com/", "WEBHOOK_SECRET_FILE", &s, &f), 0);
	assert_int_equal(s->webhook_secret.len, 19);
	assert_memory_equal(s->webhook_secret.bytes, "s3cret with blanks ", 19);
}

static void a_file_of_a_secret_that_is_empty_binary_or_gone_is_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *words;
	} cases[] = {{"\r\n", 2, "is empty"}, {"a\0b", 3, "is no text file"}};
	struct settings *s = NULL;
	struct fault f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		holds(cases[i].text, cases[i].len);
		assert_int_equal(
			load("WEBHOOK_URL=https://e.com/", "WEBHOOK_SECRET_FILE", &s, &f), -1);
		assert_non_null(strstr(f.text, cases[i].words));
		assert_non_null(strstr(f.text, "WEBHOOK_SECRET_FILE"));
		assert_null(s);
	}
	strcpy(path + strlen(path) - 6, "gone/x");
	assert_int_equal(load("A=b", "WEBHOOK_SECRET_FILE", &s, &f), -1);
	assert_non_null(strstr(f.text, "cannot read the file of WEBHOOK_SECRET_FILE"));
	assert_int_equal(new_file(NULL), 0);
}

static void only_secrets_come_as_files(void **state)
{
	AUTO(settings_freep) struct settings *s = NULL;
	struct fault f;

	(void)state;
	holds("9999\n", 5);
	assert_int_equal(load("A=b", "API_PORT_FILE", &s, &f), 0);
	assert_int_equal(s->api_port, 8084);
	assert_string_not_equal(s->vault_key_file, "9999");
}

static void the_databases_password_joins_its_address_escaped(void **state)
{
	AUTO(settings_freep) struct settings *s = NULL, *t = NULL;
	struct fault f;

	(void)state;
	holds("p@ss/w:rd?&=é%\n", 16);
	assert_int_equal(load("TOKEN_DATABASE_URL=postgresql://u@h:5435/d",
				 "DATABASE_PASSWORD_FILE", &s, &f),
		0);
	assert_string_equal(s->database_url,
		"postgresql://u@h:5435/d?password=p%40ss%2Fw%3Ard%3F%26%3D%C3%A9%25");
	assert_int_equal(load("TOKEN_DATABASE_URL=postgresql://u@h/d?sslmode=require",
				 "DATABASE_PASSWORD_FILE", &t, &f),
		0);
	assert_non_null(strstr(t->database_url, "?sslmode=require&password=p%40"));
}

static void a_second_password_or_one_for_sqlite_is_refused(void **state)
{
	static const char *const addresses[] = {"TOKEN_DATABASE_URL=postgresql://u:other@h/d",
		"TOKEN_DATABASE_URL=postgresql://u@h/d?password=other",
		"TOKEN_DATABASE_URL=sqlite:x"};
	struct settings *s = NULL;
	struct fault f;

	(void)state;
	holds("canary", 6);
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		assert_int_equal(load(addresses[i], "DATABASE_PASSWORD_FILE", &s, &f), -1);
		assert_string_equal(f.field, "DATABASE_PASSWORD");
		assert_null(strstr(f.text, "canary"));
		assert_null(strstr(f.text, "other"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_may_come_as_a_file_whose_last_line_end_does_not_count),
		cmocka_unit_test(a_file_of_a_secret_that_is_empty_binary_or_gone_is_refused),
		cmocka_unit_test(only_secrets_come_as_files),
		cmocka_unit_test(the_databases_password_joins_its_address_escaped),
		cmocka_unit_test(a_second_password_or_one_for_sqlite_is_refused),
	};

	return cmocka_run_group_tests(tests, new_file, drop_file);
}
