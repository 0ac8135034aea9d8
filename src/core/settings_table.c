/* SPDX-License-Identifier: Apache-2.0 */
#include "core/settings_table.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "core/limits.h"
#include "core/nearest.h"

/* clang-format off */
#define AT(member) .offset = offsetof(struct settings, member)
#define TEXT(member, most) .type = SETTING_TEXT, AT(member), .min = 1, .max = (most)
#define NUMBER(kind, member, least, most) .type = (kind), AT(member), .min = (least), .max = (most)
#define ADDRESS(kind, member) .type = (kind), AT(member), .min = 1, .max = LIMIT_URL_BYTES
#define SECRET(member, most) .type = SETTING_SECRET, AT(member), .min = 1, .max = (most), .secret = true

static const char *const wrong_account[] = {"warn", "refuse", NULL}; /* enum wrong_account */

static const char *const kafka_security[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl", NULL}; /* enum kafka_security */
static const char *const kafka_sasl[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", NULL}; /* enum kafka_sasl */

static const char http[] = "HTTP";
static const char storage[] = "Storage";
static const char google[] = "Google";
static const char providers[] = "Providers";
static const char tokens[] = "Tokens";
static const char reviews[] = "Reviews";
static const char retry[] = "Retries";
static const char sinks[] = "Events";
static const char logging[] = "Log";

const struct setting settings_table[] = {
	{http, "API_HOST", TEXT(api_host, 255), .fallback = "127.0.0.1",
		.meaning = "Address to listen on. Beyond loopback, put TLS in front or set TLS_CERT and TLS_KEY."},
	{http, "API_PORT", NUMBER(SETTING_INT, api_port, 0, 65535), .fallback = "8084",
		.meaning = "Port to listen on; 0 takes a free one and logs it."},
	{http, "API_WORKERS", NUMBER(SETTING_INT, api_workers, 1, 256), .unit = "threads",
		.fallback_is = "the number of cores", .meaning = "Threads that serve HTTP."},
	{http, "API_MAX_CONNECTIONS", NUMBER(SETTING_INT, api_max_connections, 16, 65536),
		.unit = "connections", .fallback = "4096", .meaning = "Connections served at once; further ones are answered 503 and closed."},
	{http, "API_AUTH", NUMBER(SETTING_BOOL, api_auth, 0, 0), .fallback = "on",
		.meaning = "Whether callers need an API key. off is accepted only while API_HOST is loopback."},
	{http, "PUBLIC_URL", ADDRESS(SETTING_BASE, public_url), .plain_http = true,
		.fallback_is = "http://localhost:8084, with the port of API_PORT, and https with TLS_CERT",
		.meaning = "The address under which browsers reach the service: base of links and of the default redirect URI."},
	{http, "TLS_CERT", TEXT(tls_cert, 4096),
		.meaning = "PEM file with the certificate chain, to serve HTTPS directly. Needs TLS_KEY."},
	{http, "TLS_KEY", TEXT(tls_key, 4096), .meaning = "PEM file with the private key of TLS_CERT."},

	{http, "SESSION_IDLE_SEC", NUMBER(SETTING_SECONDS, session_idle_ms, 60, 2592000), .unit = "seconds",
		.fallback = "7200", .meaning = "A person's session in the browser ends when it was not used for that long."},
	{http, "SESSION_LIFE_SEC", NUMBER(SETTING_SECONDS, session_life_ms, 60, 2592000), .unit = "seconds",
		.fallback = "43200", .meaning = "Longest life of a session, however much it is used."},

	{storage, "TOKEN_MANAGEMENT_DATABASE_URL", {"CLIENT_DATABASE_URL", "TOKEN_DATABASE_URL"},
		TEXT(database_url, LIMIT_URL_BYTES), .secret = true, .fallback = "sqlite:var/review-fetcher.db",
		.meaning = "The database: sqlite:PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME."},
	{storage, "DATABASE_PASSWORD", SECRET(database_password, 1024),
		.meaning = "Password of the PostgreSQL user, for an address that bears none."},
	{storage, "DATABASE_CONNECTIONS", NUMBER(SETTING_INT, database_connections, 2, 1000),
		.unit = "connections", .fallback_is = "one more than the worker threads, which are as many as cores and at least 4, and one each for Kafka and the webhook",
		.meaning = "Connections to the database that this process opens at most, when they are needed."},
	{storage, "VAULT_KEY_FILE", TEXT(vault_key_file, 4096), .fallback = "var/vault.key",
		.meaning = "Key ring that seals stored secrets, created with mode 0600 on first start; wider permissions are refused."},

	{google, "MOCK_GOOGLE_API", NUMBER(SETTING_BOOL, mock_google_api, 0, 0), .fallback = "false",
		.meaning = "Points every Google address that is not set explicitly at the simulator."},
	{google, "SIMULATOR_URL", ADDRESS(SETTING_BASE, simulator_url), .fallback = "http://localhost:8085",
		.meaning = "Where the simulator listens, for MOCK_GOOGLE_API=true."},
	{google, "GOOGLE_AUTH_URL", ADDRESS(SETTING_ADDRESS, google_auth_url),
		.fallback = "https://accounts.google.com/o/oauth2/v2/auth", .mock_path = "/o/oauth2/v2/auth",
		.meaning = "Authorization endpoint, where browsers are sent to consent."},
	{google, "GOOGLE_TOKEN_URL", ADDRESS(SETTING_ADDRESS, google_token_url),
		.fallback = "https://oauth2.googleapis.com/token", .mock_path = "/token", .meaning = "Token endpoint."},
	{google, "GOOGLE_REVOKE_URL", ADDRESS(SETTING_ADDRESS, google_revoke_url),
		.fallback = "https://oauth2.googleapis.com/revoke", .mock_path = "/revoke", .meaning = "Revocation endpoint."},
	{google, "GOOGLE_ACCOUNTS_URL", ADDRESS(SETTING_BASE, google_accounts_url),
		.fallback = "https://mybusinessaccountmanagement.googleapis.com", .mock_path = "",
		.meaning = "Base address of the Account Management API."},
	{google, "GOOGLE_LOCATIONS_URL", ADDRESS(SETTING_BASE, google_locations_url),
		.fallback = "https://mybusinessbusinessinformation.googleapis.com", .mock_path = "",
		.meaning = "Base address of the Business Information API."},
	{google, "GOOGLE_REVIEWS_URL", ADDRESS(SETTING_BASE, google_reviews_url),
		.fallback = "https://mybusiness.googleapis.com", .mock_path = "", .meaning = "Base address of the reviews API (v4)."},
	{google, "GOOGLE_NOTIFICATIONS_URL", ADDRESS(SETTING_BASE, google_notifications_url),
		.fallback = "https://mybusinessnotifications.googleapis.com", .mock_path = "",
		.meaning = "Base address of the Notifications API."},
	{google, "GOOGLE_JWKS_URL", ADDRESS(SETTING_ADDRESS, google_jwks_url),
		.fallback = "https://www.googleapis.com/oauth2/v3/certs", .mock_path = "/oauth2/v3/certs",
		.meaning = "Google's public keys (a JWK set), under which it signs security events and push messages."},
	{google, "GOOGLE_PUSH_ACCOUNT", TEXT(google_push_account, LIMIT_EMAIL_BYTES),
		.meaning = "Service account (its email address) in whose name Pub/Sub pushes notifications of reviews; not set: none are taken."},
	{google, "GOOGLE_PUSH_AUDIENCE", TEXT(google_push_audience, LIMIT_URL_BYTES),
		.fallback_is = "PUBLIC_URL with /api/v1/notifications/google",
		.meaning = "Audience of the tokens that come with push messages, as the subscription has it."},
	{google, "GOOGLE_PUBSUB_TOPIC", TEXT(google_pubsub_topic, 600),
		.meaning = "Topic that accounts notify when a request names none: projects/PROJECT/topics/TOPIC."},
	{google, "GOOGLE_CLIENT_ID", TEXT(google_client_id, LIMIT_CLIENT_ID_BYTES),
		.meaning = "Default OAuth app, for clients registered without their own. Needs GOOGLE_CLIENT_SECRET."},
	{google, "GOOGLE_CLIENT_SECRET", SECRET(google_client_secret, LIMIT_CLIENT_SECRET_BYTES),
		.meaning = "Secret of the default OAuth app."},
	{google, "GOOGLE_REQUESTS_PER_MINUTE", NUMBER(SETTING_INT, google_requests_per_minute, 1, 1000000),
		.unit = "requests a minute", .fallback = "300",
		.meaning = "Budget per Google API and Cloud project, over all processes."},

	{providers, "PROVIDERS_FILE", TEXT(providers_file, 4096),
		.meaning = "JSON file with OAuth providers beside Google (docs/providers.md); read at the start."},

	{tokens, "TOKEN_REFRESH_MARGIN_SEC", NUMBER(SETTING_SECONDS, token_refresh_margin_ms, 0, 86400),
		.unit = "seconds", .fallback = "300", .meaning = "A token with less life than this left is refreshed."},
	{tokens, "TOKEN_REFRESH_LEASE_SEC", NUMBER(SETTING_SECONDS, token_refresh_lease_ms, 5, 600),
		.unit = "seconds", .fallback = "30", .meaning = "Longest time that one process may hold a refresh."},
	{tokens, "TOKEN_BACKGROUND_REFRESH", NUMBER(SETTING_BOOL, token_background_refresh, 0, 0), .fallback = "on",
		.meaning = "Whether tokens that nobody reads are kept fresh. off: they are refreshed when read, and once in 30 days so that no grant dies of disuse."},
	{tokens, "TOKEN_REFRESH_CONCURRENCY", NUMBER(SETTING_INT, token_refresh_concurrency, 1, 480),
		.unit = "refreshes", .fallback = "64",
		.meaning = "Background refreshes in flight at once; five times as many start in a second at most."},

	{tokens, "CONNECT_WRONG_ACCOUNT", NUMBER(SETTING_CHOICE, connect_wrong_account, 0, 0), .fallback = "warn",
		.choices = wrong_account,
		.meaning = "What happens when another account consents than the branch's workspace_email. warn: it is connected, and the page, the connection and the audit say so. refuse: nothing is stored."},
	{tokens, "TOKEN_READ_AUDIT", TEXT(token_read_audit, 16), .fallback = "count",
		.meaning = "What the audit keeps of tokens handed out: off; count, by key and branch, a row a minute; sample:N, each Nth with its time and address; all."},
	{tokens, "AUDIT_RETENTION_DAYS", NUMBER(SETTING_DAYS, audit_retention_ms, 0, 36500), .unit = "days",
		.fallback = "0", .meaning = "Rows of the audit that are older are taken away; 0: kept for ever."},

	{reviews, "REVIEW_SYNC_INTERVAL_SEC", NUMBER(SETTING_SECONDS, review_sync_interval_ms, 0, 2592000),
		.unit = "seconds", .fallback = "3600", .meaning = "Quick pass per location, jittered; 0: only on request."},
	{reviews, "REVIEW_FULL_SYNC_INTERVAL_SEC", NUMBER(SETTING_SECONDS, review_full_sync_interval_ms, 0, 31536000),
		.unit = "seconds", .fallback = "86400", .meaning = "Full pass per location; 0: only on request."},
	{reviews, "REVIEW_RETENTION_DAYS", NUMBER(SETTING_DAYS, review_retention_ms, 0, 36500),
		.unit = "days", .fallback = "30",
		.meaning = "Reviews not seen for that long are read again or purged (Google's policy); 0: keep."},

	{retry, "RETRY_MAX_RETRIES", NUMBER(SETTING_INT, retry_max_retries, 0, 100), .unit = "retries",
		.fallback = "5", .meaning = "Further tries of a request that failed for a passing reason."},
	{retry, "RETRY_INITIAL_BACKOFF_MS", NUMBER(SETTING_INT, retry_initial_backoff_ms, 1, 3600000),
		.unit = "milliseconds", .fallback = "1000", .meaning = "Longest delay before the first retry (full jitter)."},
	{retry, "RETRY_MAX_BACKOFF_MS", NUMBER(SETTING_INT, retry_max_backoff_ms, 1, 86400000),
		.unit = "milliseconds", .fallback = "60000", .meaning = "Longest delay before any retry."},
	{retry, "RETRY_BACKOFF_MULTIPLIER", NUMBER(SETTING_DECIMAL, retry_backoff_multiplier, 1, 10),
		.fallback = "2.0", .meaning = "Growth of the delay from one retry to the next."},

	{sinks, "EVENT_RETENTION_DAYS", NUMBER(SETTING_DAYS, event_retention_ms, 1, 3650), .unit = "days",
		.fallback = "7",
		.meaning = "How long events are kept for who resumes a stream; four times as long for a consumer that has not taken them."},
	{sinks, "KAFKA_BOOTSTRAP_SERVERS", TEXT(kafka_bootstrap_servers, 2048),
		.meaning = "HOST:PORT[,…] of a Kafka cluster, to which review changes go; not set: no Kafka."},
	{sinks, "KAFKA_SECURITY_PROTOCOL", NUMBER(SETTING_CHOICE, kafka_security, 0, 0), .fallback = "plaintext",
		.choices = kafka_security, .meaning = "How brokers are spoken to."},
	{sinks, "KAFKA_SASL_MECHANISM", NUMBER(SETTING_CHOICE, kafka_sasl_mechanism, 0, 0), .fallback = "PLAIN",
		.choices = kafka_sasl, .meaning = "How the service signs in at brokers, with a protocol that begins with sasl."},
	{sinks, "KAFKA_USERNAME", TEXT(kafka_username, 512), .meaning = "Name at the brokers. Needs KAFKA_PASSWORD."},
	{sinks, "KAFKA_PASSWORD", SECRET(kafka_password, 1024), .meaning = "Password of KAFKA_USERNAME."},
	{sinks, "KAFKA_CA_FILE", TEXT(kafka_ca_file, 4096), .fallback_is = "the system's certificates",
		.meaning = "PEM file with the authorities that sign the brokers' certificates."},
	{sinks, "WEBHOOK_URL", ADDRESS(SETTING_ADDRESS, webhook_url), .secret = true,
		.meaning = "Where events are posted, signed (docs/webhooks.md). Needs WEBHOOK_SECRET."},
	{sinks, "WEBHOOK_SECRET", SECRET(webhook_secret, 512),
		.meaning = "Key of the events' signature: whsec_ and base64, or any text. Two with a blank between them sign both ways while it is changed."},
	{sinks, "WEBHOOK_TIMEOUT_SEC", NUMBER(SETTING_SECONDS, webhook_timeout_ms, 1, 60), .unit = "seconds",
		.fallback = "10", .meaning = "How long the receiver of webhooks may take to answer."},
	{sinks, "WEBHOOK_MAX_TRIES", NUMBER(SETTING_INT, webhook_max_tries, 1, 100), .unit = "tries", .fallback = "10",
		.meaning = "An event that was refused so often while others were taken is set aside."},
	{sinks, "WEBHOOK_GIVE_UP_SEC", NUMBER(SETTING_SECONDS, webhook_give_up_ms, 1, 1209600), .unit = "seconds",
		.fallback = "259200", .meaning = "While a receiver takes nothing at all, an event is tried for that long before it is set aside."},

	{logging, "LOG_LEVEL", NUMBER(SETTING_LEVEL, log_level, 0, 0), .fallback = "info",
		.meaning = "Least level of the JSON lines on stderr: debug, info, warn or error."},
};
/* clang-format on */
const size_t settings_table_len = ARRAY_LEN(settings_table);

static bool spells(const char *typed, size_t len, const char *name)
{
	for (size_t i = 0; i < len; i++) {
		char c = typed[i] == '-' ? '_' : (char)toupper((unsigned char)typed[i]);

		if (c != name[i])
			return false;
	}
	return name[len] == '\0';
}

const struct setting *setting_find(const char *name, size_t len, unsigned *ret_name)
{
	for (const struct setting *row = settings_table; row < settings_table + settings_table_len;
		row++) {
		*ret_name = 0;
		if (spells(name, len, row->key))
			return row;
		for (unsigned i = 0; i < ARRAY_LEN(row->aliases) && row->aliases[i] != NULL; i++) {
			*ret_name = i + 1;
			if (spells(name, len, row->aliases[i]))
				return row;
		}
	}
	return NULL;
}

const char *setting_nearest(const char *name)
{
	struct nearest n = NEAREST(name);

	for (size_t i = 0; i < settings_table_len; i++)
		nearest_offer(&n, settings_table[i].key);
	return n.best;
}

static void list_choices(const char *const *choices, struct buf *ret)
{
	for (size_t i = 0; choices[i] != NULL; i++) {
		if (i > 0)
			buf_add_text(ret, choices[i + 1] == NULL ? " or " : ", ");
		buf_add_text(ret, choices[i]);
	}
}

void setting_bounds(const struct setting *row, struct buf *ret)
{
	switch (row->type) {
	case SETTING_TEXT:
	case SETTING_SECRET:
		buf_addf(ret, "text of %" PRId64 " to %" PRId64 " bytes without control characters",
			row->min, row->max);
		break;
	case SETTING_INT:
	case SETTING_SECONDS:
	case SETTING_DAYS:
		buf_add_text(ret, "a whole number");
		if (row->unit != NULL)
			buf_addf(ret, " of %s", row->unit);
		buf_addf(ret, " from %" PRId64 " to %" PRId64, row->min, row->max);
		break;
	case SETTING_DECIMAL:
		buf_addf(ret, "a number from %" PRId64 ".0 to %" PRId64 ".0", row->min, row->max);
		break;
	case SETTING_BOOL:
		buf_add_text(ret, "on or off (also true or false, yes or no, 1 or 0)");
		break;
	case SETTING_LEVEL:
		buf_add_text(ret, "debug, info, warn or error");
		break;
	case SETTING_CHOICE:
		list_choices(row->choices, ret);
		break;
	case SETTING_BASE:
	case SETTING_ADDRESS:
		buf_addf(ret, "an %s%s",
			row->plain_http ? "http or https address"
					: "https address (http only for loopback)",
			row->type == SETTING_BASE ? " without a query" : "");
		break;
	}
}

const char *setting_flag(const char *key, char ret[static SETTING_FLAG_SIZE])
{
	size_t len = 2;

	memcpy(ret, "--", 2);
	for (; *key != '\0' && len < SETTING_FLAG_SIZE - 1; key++)
		ret[len++] = *key == '_' ? '-' : (char)tolower((unsigned char)*key);
	ret[len] = '\0';
	return ret;
}

static void help_row(const struct setting *row, struct buf *ret)
{
	char flag[SETTING_FLAG_SIZE];

	buf_addf(ret, "  %s  %s\n      %s\n      ", row->key,
		row->type == SETTING_SECRET ? "(not as a flag)" : setting_flag(row->key, flag),
		row->meaning);
	if (row->aliases[0] != NULL)
		buf_addf(
			ret, "Also read from %s and %s.\n      ", row->aliases[0], row->aliases[1]);
	buf_add_text(ret, "Value: ");
	setting_bounds(row, ret);
	if (row->fallback != NULL)
		buf_addf(ret, ". Default: %s\n", row->fallback);
	else
		buf_addf(ret, ". Default: %s\n",
			row->fallback_is != NULL ? row->fallback_is : "none");
}

void settings_help(struct buf *ret)
{
	const char *group = NULL;

	buf_add_text(ret,
		"Every setting can be given as a flag (--api-port=8084 or --api-port 8084), as an\n"
		"environment variable (API_PORT=8084) or as a line KEY=value of the file named by\n"
		"--config FILE. Flags win over the environment, the environment over the file. An\n"
		"empty value counts as not given. Secrets are not taken from flags, since every\n"
		"user of the machine can read a command line.\n");
	for (size_t i = 0; i < settings_table_len; i++) {
		if (settings_table[i].group != group)
			buf_addf(ret, "\n%s\n", settings_table[i].group);
		group = settings_table[i].group;
		help_row(&settings_table[i], ret);
	}
}
