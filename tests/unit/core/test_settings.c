/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/settings_table.h"

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})
#define NONE ((char *[]){NULL})

/* Loads from flags and an environment, each ended by NULL. */
static int load(char *const flags[], char *const envp[], struct settings **ret, struct fault *f)
{
	char *argv[16] = {(char[]){"serve"}};
	int argc = 1;

	for (; flags[argc - 1] != NULL; argc++)
		argv[argc] = flags[argc - 1];
	*f = (struct fault){0};
	return settings_load(argc, argv, envp, ret, f);
}

static struct settings *good(char *const flags[], char *const envp[])
{
	struct settings *s = NULL;
	struct fault f;

	if (load(flags, envp, &s, &f) < 0)
		fail_msg("refused: %s", f.text);
	return s;
}

static struct fault bad(char *const flags[], char *const envp[])
{
	struct settings *s = NULL;
	struct fault f;

	assert_int_equal(load(flags, envp, &s, &f), -1);
	assert_null(s);
	assert_int_equal(f.kind, FAULT_INPUT);
	return f;
}

static void assert_says(const struct fault *f, const char *words)
{
	if (strstr(f->text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", f->text, words);
}

/* One setting from the environment must be refused with all these words. */
static void assert_refused(char *variable, const char *key, const char *a, const char *b)
{
	struct fault f = bad(NONE, WORDS(variable));

	assert_string_equal(f.field, key);
	assert_says(&f, a);
	assert_says(&f, b);
}

/* A settings file that lives as long as the test. */
static char *file_with(const char *text)
{
	static char path[] = "/tmp/settings-test-XXXXXX";
	int fd;

	strcpy(path + strlen(path) - 6, "XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

static struct settings *good_file(const char *text, char *const envp[])
{
	char *path = file_with(text);
	struct settings *s = good(WORDS((char[]){"--config"}, path), envp);

	unlink(path);
	return s;
}

static struct fault bad_file(const char *text)
{
	char *path = file_with(text);
	struct fault f = bad(WORDS((char[]){"--config"}, path), NONE);

	unlink(path);
	return f;
}

static void without_any_setting_the_defaults_are_those_of_the_contract(void **state)
{
	AUTO(settings_freep) struct settings *s = good(NONE, NONE);

	(void)state;
	assert_string_equal(s->api_host, "127.0.0.1");
	assert_int_equal(s->api_port, 8084);
	assert_in_range(s->api_workers, 1, 256);
	assert_int_equal(s->api_max_connections, 4096);
	assert_true(s->api_auth);
	assert_string_equal(s->public_url, "http://localhost:8084");
	assert_null(s->tls_cert);
	assert_null(s->tls_key);
	assert_string_equal(s->database_url, "sqlite:var/review-fetcher.db");
	assert_string_equal(s->vault_key_file, "var/vault.key");
	assert_false(s->mock_google_api);
	assert_string_equal(s->google_auth_url, "https://accounts.google.com/o/oauth2/v2/auth");
	assert_string_equal(s->google_token_url, "https://oauth2.googleapis.com/token");
	assert_string_equal(s->google_revoke_url, "https://oauth2.googleapis.com/revoke");
	assert_string_equal(
		s->google_accounts_url, "https://mybusinessaccountmanagement.googleapis.com");
	assert_string_equal(
		s->google_locations_url, "https://mybusinessbusinessinformation.googleapis.com");
	assert_string_equal(s->google_reviews_url, "https://mybusiness.googleapis.com");
	assert_string_equal(
		s->google_notifications_url, "https://mybusinessnotifications.googleapis.com");
	assert_null(s->google_client_id);
	assert_false(secret_is_set(&s->google_client_secret));
	assert_int_equal(s->google_requests_per_minute, 300);
	assert_int_equal(s->token_refresh_margin_ms, 300000);
	assert_int_equal(s->token_refresh_lease_ms, 30000);
	assert_int_equal(s->review_sync_interval_ms, 3600000);
	assert_int_equal(s->review_full_sync_interval_ms, 86400000);
	assert_int_equal(s->review_retention_ms, 30LL * 86400000);
	assert_int_equal(s->retry_max_retries, 5);
	assert_int_equal(s->retry_initial_backoff_ms, 1000);
	assert_int_equal(s->retry_max_backoff_ms, 60000);
	assert_true(s->retry_backoff_multiplier > 1.999 && s->retry_backoff_multiplier < 2.001);
	assert_null(s->kafka_bootstrap_servers);
	assert_null(s->webhook_url);
	assert_false(secret_is_set(&s->webhook_secret));
	assert_int_equal(s->log_level, LOG_INFO);
}

static void flags_win_over_environment_and_environment_over_file(void **state)
{
	char *path = file_with("API_PORT=1001\nAPI_WORKERS=3\nLOG_LEVEL=error\n");
	AUTO(settings_freep)
	struct settings *s = good(WORDS((char[]){"--api-port=1003"}, (char[]){"--config"}, path),
		WORDS((char[]){"API_PORT=1002"}, (char[]){"API_WORKERS=2"}));

	(void)state;
	unlink(path);
	assert_int_equal(s->api_port, 1003);
	assert_int_equal(s->api_workers, 2);
	assert_int_equal(s->log_level, LOG_ERROR);
}

static void flags_are_taken_in_any_case_and_with_value_apart(void **state)
{
	AUTO(settings_freep)
	struct settings *s =
		good(WORDS((char[]){"--API_PORT"}, (char[]){"1"}, (char[]){"--Api-Workers=2"},
			     (char[]){"--api-max_connections"}, (char[]){"17"}),
			NONE);

	(void)state;
	assert_int_equal(s->api_port, 1);
	assert_int_equal(s->api_workers, 2);
	assert_int_equal(s->api_max_connections, 17);
}

static void an_empty_value_counts_as_not_given(void **state)
{
	AUTO(settings_freep)
	struct settings *s = good_file(
		"API_PORT=1234\nTLS_CERT=\n", WORDS((char[]){"API_PORT="}, (char[]){"TLS_KEY="}));

	(void)state;
	assert_int_equal(s->api_port, 1234);
	assert_null(s->tls_cert);
}

static void foreign_and_lower_case_variables_are_ignored(void **state)
{
	AUTO(settings_freep)
	struct settings *s = good(NONE, WORDS((char[]){"API_PROT=1"}, (char[]){"api_port=1"},
						(char[]){"=x"}, (char[]){"x"}, (char[]){"HOME=/"}));

	(void)state;
	assert_int_equal(s->api_port, 8084);
}

static void an_unknown_flag_names_the_nearest_key(void **state)
{
	struct fault f = bad(WORDS((char[]){"--api-prot=1"}), NONE);

	(void)state;
	assert_says(&f, "unknown flag --api-prot; did you mean --api-port?");
	f = bad(WORDS((char[]){"--port"}, (char[]){"1"}), NONE);
	assert_says(&f, "did you mean --api-port?");
	f = bad(WORDS((char[]){"--frobnicate"}), NONE);
	assert_says(&f, "unknown flag --frobnicate");
	assert_says(&f, "--help");
	f = bad(WORDS((char[]){"8084"}), NONE);
	assert_says(&f, "unexpected argument 8084");
}

static void a_flag_without_its_value_is_refused(void **state)
{
	struct fault f = bad(WORDS((char[]){"--api-port"}), NONE);

	(void)state;
	assert_says(&f, "--api-port needs a value");
	f = bad(WORDS((char[]){"--api-port"}, (char[]){"--api-host=::1"}), NONE);
	assert_says(&f, "--api-port needs a value");
	f = bad(WORDS((char[]){"--config"}), NONE);
	assert_says(&f, "--config needs a value");
}

static void a_wrong_number_names_key_value_source_bounds_and_cure(void **state)
{
	struct fault f = bad(WORDS((char[]){"--api-port=99999"}), NONE);

	(void)state;
	assert_string_equal(f.field, "API_PORT");
	assert_string_equal(
		f.text, "API_PORT=99999 (flag) must be a whole number from 0 to 65535; try 65535");
	assert_refused((char[]){"API_PORT=http"}, "API_PORT", "(environment)", "try 8084");
	assert_refused((char[]){"API_PORT=-1"}, "API_PORT", "from 0 to 65535", "try 0");
	assert_refused((char[]){"API_WORKERS=0"}, "API_WORKERS", "from 1 to 256", "try 1");
	assert_refused(
		(char[]){"API_MAX_CONNECTIONS=15"}, "API_MAX_CONNECTIONS", "16 to 65536", "try 16");
	assert_refused((char[]){"API_MAX_CONNECTIONS=65537"}, "API_MAX_CONNECTIONS", "connections",
		"try 65536");
	assert_refused((char[]){"TOKEN_REFRESH_MARGIN_SEC=30s"}, "TOKEN_REFRESH_MARGIN_SEC",
		"whole number of seconds", "try 30");
	assert_refused((char[]){"TOKEN_REFRESH_LEASE_SEC=4"}, "TOKEN_REFRESH_LEASE_SEC",
		"from 5 to 600", "try 5");
	assert_refused(
		(char[]){"REVIEW_RETENTION_DAYS=1.5"}, "REVIEW_RETENTION_DAYS", "days", "try 1");
	assert_refused((char[]){"RETRY_MAX_RETRIES=99999999999999999999"}, "RETRY_MAX_RETRIES",
		"from 0 to 100", "try 100");
	assert_refused((char[]){"RETRY_BACKOFF_MULTIPLIER=0.5"}, "RETRY_BACKOFF_MULTIPLIER",
		"from 1.0 to 10.0", "try 2.0");
	assert_refused((char[]){"RETRY_BACKOFF_MULTIPLIER=nan"}, "RETRY_BACKOFF_MULTIPLIER", "nan",
		"try 2.0");
	assert_refused((char[]){"RETRY_BACKOFF_MULTIPLIER=0x2"}, "RETRY_BACKOFF_MULTIPLIER", "0x2",
		"try 2.0");
	assert_refused((char[]){"RETRY_BACKOFF_MULTIPLIER=1.2.3"}, "RETRY_BACKOFF_MULTIPLIER",
		"1.2.3", "2.0");
}

static void a_long_value_is_cut_and_its_control_characters_do_not_pass(void **state)
{
	char variable[512] = "API_PORT=\x1b[31m";

	(void)state;
	memset(variable + strlen(variable), 'x', 400);
	assert_refused(variable, "API_PORT", "?[31mxxx", "... (environment) must be");
}

static void switches_and_levels_take_the_usual_words(void **state)
{
	static const struct {
		const char *variable;
		bool is_on;
	} cases[] = {{"MOCK_GOOGLE_API=on", true}, {"MOCK_GOOGLE_API=TRUE", true},
		{"MOCK_GOOGLE_API=yes", true}, {"MOCK_GOOGLE_API=1", true},
		{"MOCK_GOOGLE_API=Off", false}, {"MOCK_GOOGLE_API=false", false},
		{"MOCK_GOOGLE_API=no", false}, {"MOCK_GOOGLE_API=0", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char variable[64];
		AUTO(settings_freep) struct settings *s = NULL;

		strcpy(variable, cases[i].variable);
		s = good(NONE, WORDS(variable));
		assert_int_equal(s->mock_google_api, cases[i].is_on);
	}
	assert_refused(
		(char[]){"MOCK_GOOGLE_API=ture"}, "MOCK_GOOGLE_API", "on or off", "try true");
	assert_refused((char[]){"LOG_LEVEL=verbose"}, "LOG_LEVEL", "debug, info, warn or error",
		"try info");
	assert_refused((char[]){"LOG_LEVEL=eror"}, "LOG_LEVEL", "eror", "try error");
	for (int i = 0; i < 2; i++) {
		AUTO(settings_freep)
		struct settings *s = good(NONE,
			WORDS(i == 0 ? (char[]){"LOG_LEVEL=WARNING"} : (char[]){"LOG_LEVEL=warn"}));

		assert_int_equal(s->log_level, LOG_WARN);
	}
}

static void open_doors_are_accepted_on_loopback_only(void **state)
{
	static const char *const loopback[] = {
		"API_HOST=127.0.0.1", "API_HOST=127.8.9.1", "API_HOST=::1", "API_HOST=localhost"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(loopback); i++) {
		char variable[64];
		AUTO(settings_freep) struct settings *s = NULL;

		strcpy(variable, loopback[i]);
		s = good(NONE, WORDS(variable, (char[]){"API_AUTH=off"}));
		assert_false(s->api_auth);
	}
	for (int i = 0; i < 4; i++) {
		static const char *const open[] = {"API_HOST=0.0.0.0",
			"API_HOST=::", "API_HOST=128.0.0.1", "API_HOST=localhost.example"};
		char variable[64];
		struct fault f;

		strcpy(variable, open[i]);
		f = bad(NONE, WORDS(variable, (char[]){"API_AUTH=off"}));
		assert_string_equal(f.field, "API_AUTH");
		assert_says(&f, "only while API_HOST is loopback");
	}
}

static void an_address_to_listen_on_has_no_scheme_and_no_port(void **state)
{
	(void)state;
	assert_refused(
		(char[]){"API_HOST=http://x"}, "API_HOST", "without scheme", "try 127.0.0.1");
	assert_refused((char[]){"API_HOST=a b"}, "API_HOST", "a b", "try 127.0.0.1");
	assert_refused((char[]){"API_HOST=127.0.0.1:8084"}, "API_HOST", "bears a port", "API_PORT");
}

static void settings_that_belong_together_come_together(void **state)
{
	(void)state;
	assert_refused((char[]){"TLS_CERT=cert.pem"}, "TLS_KEY", "TLS_CERT is set (environment)",
		"TLS_KEY is not");
	assert_refused((char[]){"TLS_KEY=key.pem"}, "TLS_CERT", "TLS_KEY is set", "give both");
	assert_refused((char[]){"GOOGLE_CLIENT_ID=app"}, "GOOGLE_CLIENT_SECRET",
		"GOOGLE_CLIENT_ID is set", "both");
	assert_refused((char[]){"WEBHOOK_URL=https://example.com/hook"}, "WEBHOOK_SECRET",
		"WEBHOOK_URL is set", "both");
	for (int i = 0; i < 1; i++) {
		AUTO(settings_freep)
		struct settings *s = good(NONE, WORDS((char[]){"TLS_CERT=c"}, (char[]){"TLS_KEY=k"},
							(char[]){"GOOGLE_CLIENT_ID=app"},
							(char[]){"GOOGLE_CLIENT_SECRET=hush"}));

		assert_string_equal(s->tls_cert, "c");
		assert_string_equal(s->tls_key, "k");
		assert_string_equal(s->google_client_id, "app");
		assert_int_equal(s->google_client_secret.len, 4);
		assert_memory_equal(s->google_client_secret.bytes, "hush", 4);
	}
}

static void the_first_delay_must_not_pass_the_longest(void **state)
{
	struct fault f = bad(NONE, WORDS((char[]){"RETRY_INITIAL_BACKOFF_MS=500"},
					   (char[]){"RETRY_MAX_BACKOFF_MS=100"}));

	(void)state;
	assert_says(&f, "RETRY_INITIAL_BACKOFF_MS=500 is above RETRY_MAX_BACKOFF_MS=100");
}

static void addresses_are_https_and_http_only_on_loopback(void **state)
{
	static const char *const fine[] = {"https://example.com", "http://localhost:8085/",
		"http://127.0.0.1:1/base", "http://[::1]:8085", "HTTPS://EXAMPLE.COM:443/x/"};
	static const struct {
		const char *url, *why;
	} wrong[] = {{"http://example.com", "is http beyond loopback"},
		{"http://localhost.example.com", "is http beyond loopback"},
		{"http://[::2]", "is http beyond loopback"},
		{"ftp://example.com", "has no http:// or https://"},
		{"example.com", "has no http:// or https://"}, {"https://", "names no host"},
		{"https:///x", "names no host"},
		{"https://example.com:0", "names no host, or a port"},
		{"https://example.com:65536", "or a port"}, {"https://example.com:x", "or a port"},
		{"https://[::1", "names no host"},
		{"https://user:pw@example.com", "bears user information"},
		{"https://example.com/#x", "bears a fragment"},
		{"https://example.com/?x", "bears a query"},
		{"https://exa mple.com", "holds a character"},
		{"https://ex\xc3\xa4mple.com", "holds a character"},
		{"http://localhost@example.com", "bears user information"}};
	char variable[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
		AUTO(settings_freep) struct settings *s = NULL;

		snprintf(variable, sizeof(variable), "GOOGLE_REVIEWS_URL=%s", fine[i]);
		s = good(NONE, WORDS(variable));
		assert_int_not_equal(s->google_reviews_url[strlen(s->google_reviews_url) - 1], '/');
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		snprintf(variable, sizeof(variable), "GOOGLE_REVIEWS_URL=%s", wrong[i].url);
		assert_refused(
			variable, "GOOGLE_REVIEWS_URL", wrong[i].why, "must be an https address");
	}
}

static void the_simulator_stands_in_for_every_address_not_given(void **state)
{
	AUTO(settings_freep)
	struct settings *s = good(
		NONE, WORDS((char[]){"MOCK_GOOGLE_API=true"},
			      (char[]){"GOOGLE_TOKEN_URL=https://oauth2.googleapis.com/token"}));
	AUTO(settings_freep)
	struct settings *elsewhere =
		good(NONE, WORDS((char[]){"MOCK_GOOGLE_API=true"},
				   (char[]){"SIMULATOR_URL=http://127.0.0.1:99/"}));

	(void)state;
	assert_string_equal(s->google_auth_url, "http://localhost:8085/o/oauth2/v2/auth");
	assert_string_equal(s->google_token_url, "https://oauth2.googleapis.com/token");
	assert_string_equal(s->google_revoke_url, "http://localhost:8085/revoke");
	assert_string_equal(s->google_accounts_url, "http://localhost:8085");
	assert_string_equal(s->google_locations_url, "http://localhost:8085");
	assert_string_equal(s->google_reviews_url, "http://localhost:8085");
	assert_string_equal(s->google_notifications_url, "http://localhost:8085");
	assert_string_equal(elsewhere->google_token_url, "http://127.0.0.1:99/token");
	assert_string_equal(elsewhere->google_reviews_url, "http://127.0.0.1:99");
}

static void the_public_address_follows_port_and_tls_until_it_is_given(void **state)
{
	AUTO(settings_freep) struct settings *port = good(NONE, WORDS((char[]){"API_PORT=9000"}));
	AUTO(settings_freep) struct settings *any = good(NONE, WORDS((char[]){"API_PORT=0"}));
	AUTO(settings_freep)
	struct settings *tls = good(NONE, WORDS((char[]){"TLS_CERT=c"}, (char[]){"TLS_KEY=k"}));
	AUTO(settings_freep)
	struct settings *given = good(NONE,
		WORDS((char[]){"API_PORT=9000"}, (char[]){"PUBLIC_URL=http://reviews.lan/rf/"}));

	(void)state;
	assert_string_equal(port->public_url, "http://localhost:9000");
	assert_string_equal(any->public_url, "http://localhost:8084");
	assert_string_equal(tls->public_url, "https://localhost:8084");
	assert_string_equal(given->public_url, "http://reviews.lan/rf");
}

static void the_database_is_found_under_its_older_names_too(void **state)
{
	AUTO(settings_freep)
	struct settings *client = good(NONE, WORDS((char[]){"TOKEN_DATABASE_URL=sqlite:b"},
						     (char[]){"CLIENT_DATABASE_URL=sqlite:a"}));
	AUTO(settings_freep)
	struct settings *token = good(NONE, WORDS((char[]){"TOKEN_DATABASE_URL=sqlite:b"}));
	AUTO(settings_freep)
	struct settings *own = good(NONE, WORDS((char[]){"TOKEN_MANAGEMENT_DATABASE_URL=sqlite:c"},
						  (char[]){"CLIENT_DATABASE_URL=sqlite:a"}));
	AUTO(settings_freep)
	struct settings *flag = good(WORDS((char[]){"--token-database-url=sqlite:d"}),
		WORDS((char[]){"TOKEN_MANAGEMENT_DATABASE_URL=sqlite:c"}));

	(void)state;
	assert_string_equal(client->database_url, "sqlite:a");
	assert_string_equal(token->database_url, "sqlite:b");
	assert_string_equal(own->database_url, "sqlite:c");
	assert_string_equal(flag->database_url, "sqlite:d");
	assert_refused((char[]){"CLIENT_DATABASE_URL=mysql://x"}, "TOKEN_MANAGEMENT_DATABASE_URL",
		"must be sqlite:PATH or postgresql://", "try sqlite:");
	assert_refused((char[]){"CLIENT_DATABASE_URL=sqlite:"}, "TOKEN_MANAGEMENT_DATABASE_URL",
		"sqlite:PATH", "");
}

static void a_secret_is_never_repeated_in_a_refusal(void **state)
{
	char secret[1024] = "WEBHOOK_SECRET=canary";
	char url[] = "TOKEN_MANAGEMENT_DATABASE_URL=mysql://u:canary@h/d";
	char hook[] = "WEBHOOK_URL=http://example.com/canary";
	char control[] = "GOOGLE_CLIENT_SECRET=canary\x01";
	char *const cases[] = {secret, url, hook, control};

	(void)state;
	memset(secret + strlen(secret), 'x', 600);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fault f = bad(NONE, WORDS(cases[i]));

		assert_null(strstr(f.text, "canary"));
	}
}

static void a_secret_is_refused_as_a_flag(void **state)
{
	struct fault f = bad(WORDS((char[]){"--google-client-secret=canary"}), NONE);

	(void)state;
	assert_says(&f, "GOOGLE_CLIENT_SECRET is a secret");
	assert_null(strstr(f.text, "canary"));
	f = bad(WORDS((char[]){"--client-database-url=postgresql://u:canary@h/d"}), NONE);
	assert_says(&f, "TOKEN_MANAGEMENT_DATABASE_URL is a secret");
	settings_free(good(WORDS((char[]){"--client-database-url=postgresql://u@h/d"}), NONE));
}

static void the_file_takes_comments_blanks_and_quotes(void **state)
{
	AUTO(settings_freep)
	struct settings *s = good_file("# a comment\r\n"
				       "\n"
				       "  API_PORT = 1234  \r\n"
				       "\t# API_PORT=1\n"
				       "api-host='::1'\n"
				       "WEBHOOK_URL=\"https://example.com/?a=b#\"\n"
				       "WEBHOOK_SECRET=it's # all of it\n"
				       "WEBHOOK_URL=\n"
				       "LOG_LEVEL=debug",
		WORDS((char[]){"WEBHOOK_URL=https://example.com/a?b=c"}));

	(void)state;
	assert_int_equal(s->api_port, 1234);
	assert_string_equal(s->api_host, "::1");
	assert_string_equal(s->webhook_url, "https://example.com/a?b=c");
	assert_memory_equal(s->webhook_secret.bytes, "it's # all of it", 16);
	assert_int_equal(s->log_level, LOG_DEBUG);
}

static void a_wrong_line_is_named_by_file_and_line(void **state)
{
	struct fault f = bad_file("# x\n\nAPI_PROT=1\n");

	(void)state;
	assert_says(&f, ":3: unknown setting API_PROT; did you mean API_PORT?");
	f = bad_file("API_PORT=1\nnonsense\n");
	assert_says(&f, ":2: a line must be KEY=value");
	f = bad_file("API_HOST=\"::1\n");
	assert_says(&f, ":1: the quotes around the value of API_HOST do not match");
	f = bad_file("API_HOST=\"::1\" x\n");
	assert_says(&f, ":1: the quotes");
	f = bad_file("API_PORT=1\nLOG_LEVEL=info\nAPI_PORT=2\n");
	assert_says(&f, ":3: API_PORT stands a second time, first at settings-test-");
	f = bad_file("\nAPI_PORT=70000\n");
	assert_says(&f, ":2) must be a whole number from 0 to 65535");
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
	struct fault f = bad(WORDS((char[]){"--config=/nowhere/at/all"}), NONE);

	(void)state;
	assert_says(&f, "cannot read the settings file /nowhere/at/all: No such file");
	f = bad(WORDS((char[]){"--config=/"}), NONE);
	assert_says(&f, "cannot read the settings file /: Is a directory");
}

static void the_help_shows_every_setting_with_default_and_bounds(void **state)
{
	AUTO(buf_drop) struct buf help = BUF_INIT(64 * 1024);

	(void)state;
	settings_help(&help);
	assert_false(buf_failed(&help));
	for (size_t i = 0; i < settings_table_len; i++) {
		const struct setting *row = &settings_table[i];
		AUTO(buf_drop) struct buf bounds = BUF_INIT(256);

		assert_non_null(strstr(buf_text(&help), row->key));
		assert_non_null(strstr(buf_text(&help), row->meaning));
		if (row->fallback != NULL)
			assert_non_null(strstr(buf_text(&help), row->fallback));
		setting_bounds(row, &bounds);
		assert_non_null(strstr(buf_text(&help), buf_text(&bounds)));
	}
	assert_non_null(strstr(buf_text(&help), "CLIENT_DATABASE_URL"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_any_setting_the_defaults_are_those_of_the_contract),
		cmocka_unit_test(flags_win_over_environment_and_environment_over_file),
		cmocka_unit_test(flags_are_taken_in_any_case_and_with_value_apart),
		cmocka_unit_test(an_empty_value_counts_as_not_given),
		cmocka_unit_test(foreign_and_lower_case_variables_are_ignored),
		cmocka_unit_test(an_unknown_flag_names_the_nearest_key),
		cmocka_unit_test(a_flag_without_its_value_is_refused),
		cmocka_unit_test(a_wrong_number_names_key_value_source_bounds_and_cure),
		cmocka_unit_test(a_long_value_is_cut_and_its_control_characters_do_not_pass),
		cmocka_unit_test(switches_and_levels_take_the_usual_words),
		cmocka_unit_test(open_doors_are_accepted_on_loopback_only),
		cmocka_unit_test(an_address_to_listen_on_has_no_scheme_and_no_port),
		cmocka_unit_test(settings_that_belong_together_come_together),
		cmocka_unit_test(the_first_delay_must_not_pass_the_longest),
		cmocka_unit_test(addresses_are_https_and_http_only_on_loopback),
		cmocka_unit_test(the_simulator_stands_in_for_every_address_not_given),
		cmocka_unit_test(the_public_address_follows_port_and_tls_until_it_is_given),
		cmocka_unit_test(the_database_is_found_under_its_older_names_too),
		cmocka_unit_test(a_secret_is_never_repeated_in_a_refusal),
		cmocka_unit_test(a_secret_is_refused_as_a_flag),
		cmocka_unit_test(the_file_takes_comments_blanks_and_quotes),
		cmocka_unit_test(a_wrong_line_is_named_by_file_and_line),
		cmocka_unit_test(a_file_that_cannot_be_read_is_named),
		cmocka_unit_test(the_help_shows_every_setting_with_default_and_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
