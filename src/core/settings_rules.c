/* SPDX-License-Identifier: Apache-2.0 */
/* What settings mean for each other, once each has its own value. */
#include <ctype.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "core/settings_table.h"

static size_t index_of(const char *key)
{
	unsigned name;

	return (size_t)(setting_find(key, strlen(key), &name) - settings_table);
}

static bool is_given(const struct setting_given *given, const char *key)
{
	return given[index_of(key)].rank != SETTING_DEFAULT;
}

static int64_t usable_cores(void)
{
	int64_t most = settings_table[index_of("API_WORKERS")].max;
	cpu_set_t cores;
	int64_t n = 1;

	/* Not the machine's cores: a container or taskset may have given us fewer. */
	if (sched_getaffinity(0, sizeof(cores), &cores) == 0)
		n = CPU_COUNT(&cores);
	return n < 1 ? 1 : n > most ? most : n;
}

static int both_or_neither(
	const struct setting_given *given, const char *a, const char *b, struct fault *f)
{
	bool has_a = is_given(given, a);
	const char *there = has_a ? a : b;
	const char *lacking = has_a ? b : a;

	if (has_a == is_given(given, b))
		return 0;
	return fault_input(f, lacking, "%s is set (%s) but %s is not: give both, or neither", there,
		given[index_of(there)].from, lacking);
}

static int check_host(const struct settings *s, struct fault *f)
{
	const char *host = s->api_host;
	size_t len = strlen(host);

	if (strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") !=
			len ||
		text_starts(host, "http:") || text_starts(host, "https:"))
		return fault_input(f, "API_HOST",
			"API_HOST=%.60s must be an IP address or a host name without scheme, path "
			"or "
			"blanks; try 127.0.0.1",
			host);
	if (strchr(host, ':') != NULL && strchr(host, ':') == strrchr(host, ':'))
		return fault_input(f, "API_HOST",
			"API_HOST=%.60s bears a port: give the address alone and set API_PORT",
			host);
	return 0;
}

static int check_auth(const struct settings *s, struct fault *f)
{
	if (s->api_auth || settings_is_loopback(s->api_host, strlen(s->api_host)))
		return 0;
	return fault_input(f, "API_AUTH",
		"API_AUTH=off is accepted only while API_HOST is loopback, and API_HOST is %.60s: "
		"set API_AUTH=on, or API_HOST=127.0.0.1",
		s->api_host);
}

static int check_database(const struct settings *s, struct fault *f)
{
	const char *url = s->database_url;

	if (text_starts(url, "sqlite:") && url[strlen("sqlite:")] != '\0')
		return 0;
	if (text_starts(url, "postgresql://") || text_starts(url, "postgres://"))
		return 0;
	return fault_input(f, "TOKEN_MANAGEMENT_DATABASE_URL",
		"TOKEN_MANAGEMENT_DATABASE_URL must be sqlite:PATH or postgresql://...; try "
		"sqlite:var/review-fetcher.db");
}

bool setting_bears_password(const char *url)
{
	const char *authority = strstr(url, "://");
	const char *at;

	if (authority == NULL)
		return false;
	authority += 3;
	at = strchr(authority, '@');
	return (at != NULL && memchr(authority, ':', (size_t)(at - authority)) != NULL) ||
	       strstr(authority, "password=") != NULL;
}

/* libpq takes a password in the query of an address; all that is no letter or digit is escaped. */
static int add_password(struct settings *s, struct fault *f)
{
	static const char hex[] = "0123456789ABCDEF";
	AUTO(buf_drop) struct buf url = BUF_INIT_WIPED(16 * 1024);
	const struct secret *password = &s->database_password;

	if (!secret_is_set(password))
		return 0;
	if (text_starts(s->database_url, "sqlite:"))
		return fault_input(f, "DATABASE_PASSWORD",
			"DATABASE_PASSWORD is for PostgreSQL, and the database is SQLite: leave it "
			"out");
	if (setting_bears_password(s->database_url))
		return fault_input(f, "DATABASE_PASSWORD",
			"DATABASE_PASSWORD is set, and TOKEN_MANAGEMENT_DATABASE_URL bears a "
			"password"
			" too: take one of the two out");
	buf_addf(&url, "%s%cpassword=", s->database_url,
		strchr(s->database_url, '?') != NULL ? '&' : '?');
	for (size_t i = 0; i < password->len; i++) {
		unsigned char c = (unsigned char)password->bytes[i];

		if (isalnum(c)) {
			buf_add_char(&url, (char)c);
			continue;
		}
		buf_add_char(&url, '%');
		buf_add_char(&url, hex[c >> 4]);
		buf_add_char(&url, hex[c & 15]);
	}
	setting_set_text(
		s, &settings_table[index_of("TOKEN_MANAGEMENT_DATABASE_URL")], buf_text(&url));
	return 0;
}

static int check_backoff(const struct settings *s, struct fault *f)
{
	if (s->retry_initial_backoff_ms <= s->retry_max_backoff_ms)
		return 0;
	return fault_input(f, "RETRY_INITIAL_BACKOFF_MS",
		"RETRY_INITIAL_BACKOFF_MS=%" PRId64 " is above RETRY_MAX_BACKOFF_MS=%" PRId64
		"; try RETRY_MAX_BACKOFF_MS=%" PRId64,
		s->retry_initial_backoff_ms, s->retry_max_backoff_ms, s->retry_initial_backoff_ms);
}

static int check_webhook(const struct setting_given *given, struct fault *f)
{
	return both_or_neither(given, "WEBHOOK_URL", "WEBHOOK_SECRET", f);
}

static int check_kafka(const struct settings *s, const struct setting_given *given, struct fault *f)
{
	const bool has_sasl =
		s->kafka_security == KAFKA_SASL_PLAINTEXT || s->kafka_security == KAFKA_SASL_SSL;

	if (both_or_neither(given, "KAFKA_USERNAME", "KAFKA_PASSWORD", f) < 0)
		return -1;
	if (has_sasl == (s->kafka_username != NULL))
		return 0;
	return fault_input(f, "KAFKA_SECURITY_PROTOCOL", "%s",
		has_sasl ? "KAFKA_SECURITY_PROTOCOL is one with sasl: give KAFKA_USERNAME and "
			   "KAFKA_PASSWORD"
			 : "KAFKA_USERNAME is set, but KAFKA_SECURITY_PROTOCOL is one without a "
			   "sign-in: try sasl_ssl");
}

static int read_read_audit(struct settings *s, struct fault *f)
{
	const char *text = s->token_read_audit;

	if (text_equal(text, "off"))
		s->token_read_sample = -1;
	else if (text_equal(text, "count"))
		s->token_read_sample = 0;
	else if (text_equal(text, "all"))
		s->token_read_sample = 1;
	else if (!text_starts(text, "sample:") ||
		 text_parse_int(text + strlen("sample:"), &s->token_read_sample) != 0 ||
		 s->token_read_sample < 1)
		return fault_input(f, "TOKEN_READ_AUDIT",
			"TOKEN_READ_AUDIT=%.16s must be off, count, all or sample:N with N from 1 "
			"on; try count",
			text);
	return 0;
}

static void point_at_simulator(struct settings *s, const struct setting_given *given)
{
	for (size_t i = 0; i < settings_table_len; i++) {
		const struct setting *row = &settings_table[i];
		AUTO(buf_drop) struct buf url = BUF_INIT(8192);

		if (row->mock_path == NULL || given[i].rank != SETTING_DEFAULT)
			continue;
		buf_addf(&url, "%s%s", s->simulator_url, row->mock_path);
		setting_set_text(s, row, buf_text(&url));
	}
}

static void derive_public_url(struct settings *s)
{
	char url[64];

	snprintf(url, sizeof(url), "%s://localhost:%" PRId64,
		s->tls_cert != NULL ? "https" : "http", s->api_port != 0 ? s->api_port : 8084);
	setting_set_text(s, &settings_table[index_of("PUBLIC_URL")], url);
}

/* As a subscription has it that was made with the address of the endpoint alone. */
static void derive_audience(struct settings *s)
{
	AUTO(buf_drop) struct buf url = BUF_INIT(8192);

	buf_addf(&url, "%s/api/v1/notifications/google", s->public_url);
	setting_set_text(s, &settings_table[index_of("GOOGLE_PUSH_AUDIENCE")], buf_text(&url));
}

int settings_relate(struct settings *s, const struct setting_given *given, struct fault *f)
{
	if (check_host(s, f) < 0 || check_auth(s, f) < 0 || check_database(s, f) < 0 ||
		add_password(s, f) < 0 || check_backoff(s, f) < 0 ||
		both_or_neither(given, "TLS_CERT", "TLS_KEY", f) < 0 ||
		both_or_neither(given, "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", f) < 0 ||
		check_webhook(given, f) < 0 || check_kafka(s, given, f) < 0 ||
		read_read_audit(s, f) < 0)
		return -1;
	if (!is_given(given, "API_WORKERS"))
		s->api_workers = usable_cores();
	if (!is_given(given, "PUBLIC_URL"))
		derive_public_url(s);
	if (!is_given(given, "GOOGLE_PUSH_AUDIENCE"))
		derive_audience(s);
	if (s->mock_google_api)
		point_at_simulator(s, given);
	return 0;
}
