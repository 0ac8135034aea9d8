/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every setting of the daemon, defined once in the table of settings.c: key, type, default, unit,
 * bounds, help. --help, the man page and the documentation come from that table. Flags win over
 * environment, environment over the file of --config. The result is an immutable snapshot.
 */
#ifndef CORE_SETTINGS_H
#define CORE_SETTINGS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/secret.h"

enum kafka_security { KAFKA_PLAINTEXT, KAFKA_SSL, KAFKA_SASL_PLAINTEXT, KAFKA_SASL_SSL };
enum kafka_sasl { KAFKA_PLAIN, KAFKA_SCRAM_256, KAFKA_SCRAM_512 };
enum wrong_account { WRONG_ACCOUNT_WARN, WRONG_ACCOUNT_REFUSE };

struct settings {
	/* HTTP */
	const char *api_host;
	int64_t api_port;
	int64_t api_workers;         /* HTTP threads */
	int64_t api_max_connections; /* API_MAX_CONNECTIONS, 4096 */
	bool api_auth;
	const char *public_url;         /* no trailing slash */
	const char *tls_cert, *tls_key; /* NULL: plain HTTP */
	int64_t session_idle_ms, session_life_ms;
	/* Storage */
	const char *database_url; /* with the password of DATABASE_PASSWORD, if that is given */
	struct secret database_password;
	int64_t database_connections; /* 0: one more than the workers */
	const char *vault_key_file;
	/* Google: resolved; MOCK_GOOGLE_API and explicit addresses are already applied */
	bool mock_google_api;
	const char *simulator_url; /* SIMULATOR_URL: where MOCK_GOOGLE_API points */
	const char *google_auth_url, *google_token_url, *google_revoke_url;
	const char *google_accounts_url, *google_locations_url, *google_reviews_url;
	const char *google_notifications_url;
	const char *google_jwks_url; /* the keys under which Google signs */
	const char *google_push_account, *google_pubsub_topic; /* NULL: none */
	const char *google_push_audience;
	const char *google_client_id;       /* NULL: none */
	struct secret google_client_secret; /* empty: none */
	int64_t google_requests_per_minute;
	/* Providers */
	const char *providers_file; /* NULL: Google alone */
	/* Tokens */
	int64_t token_refresh_margin_ms, token_refresh_lease_ms;
	bool token_background_refresh;
	int64_t token_refresh_concurrency; /* background refreshes in flight */
	int64_t connect_wrong_account;     /* enum wrong_account */
	const char *token_read_audit;
	int64_t audit_retention_ms; /* 0: for ever */
	int64_t token_read_sample;  /* of it: -1 not at all, 0 counted, else each of so many */
	/* Reviews */
	int64_t review_sync_interval_ms, review_full_sync_interval_ms, review_retention_ms;
	/* Retry */
	int64_t retry_max_retries, retry_initial_backoff_ms, retry_max_backoff_ms;
	double retry_backoff_multiplier;
	/* Events and sinks */
	int64_t event_retention_ms;
	const char *kafka_bootstrap_servers; /* NULL: no Kafka */
	int64_t kafka_security;              /* enum kafka_security */
	int64_t kafka_sasl_mechanism;        /* enum kafka_sasl */
	const char *kafka_username;          /* NULL: no SASL */
	struct secret kafka_password;
	const char *kafka_ca_file;    /* NULL: the system's */
	const char *webhook_url;      /* NULL: none */
	struct secret webhook_secret; /* one, or two with a blank between them */
	int64_t webhook_max_tries, webhook_give_up_ms, webhook_timeout_ms;
	enum log_level log_level;
};

/*
 * Reads flags (argv: --key=value or --key value, key in any case with '-' or '_'), the environment
 * and the file named by --config. argv[0] is skipped; envp is NULL-terminated; an empty value
 * counts as not given. Secrets are refused as flags, since every user of the machine can read a
 * command line. *ret is the caller's, freed with settings_free. -1 FAULT_INPUT: the key, the value
 * (never a secret's), the bounds and a suggestion (the nearest known key for a misspelt one).
 */
MUST_CHECK int settings_load(
	int argc, char *const argv[], char *const envp[], struct settings **ret, struct fault *f);
void settings_free(struct settings *s);
void settings_freep(struct settings **s);

/* The text behind `serve --help`: every setting with default, unit, bounds and meaning. */
void settings_help(struct buf *ret);

#endif
