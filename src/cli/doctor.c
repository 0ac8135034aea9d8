/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would keep the service from its work, looked at from where it runs: each check says that all
 * is well, or what is wrong and how to mend it. Nothing is changed but that the key ring may be
 * made, as serve would.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/command.h"
#include "cli/ring.h"
#include "delivery/delivery.h"
#include "net/net.h"
#include "vault/vault.h"

#define ASK_MS 10000
#define SKEW_WRONG_MS 60000

static const char help[] =
	"Usage: review-fetcher doctor [--config FILE] [--KEY=VALUE...]\n"
	"\n"
	"Checks the settings, the database, the vault's key ring, the clock, whether Google and "
	"Kafka\n"
	"can be reached from here, and whether Google lets the Cloud projects in. Says what is "
	"wrong\n"
	"and how to mend it; exit code 1 if anything is. May be run beside a server.\n";

struct doctor {
	const struct settings *settings;
	struct store *store; /* NULL: it cannot be opened */
	int n_wrong;
};

static void say(struct doctor *d, bool good, const char *what, const char *format, ...)
	PRINTF_LIKE(4, 5);
static void say(struct doctor *d, bool good, const char *what, const char *format, ...)
{
	char text[600];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("%-6s %-9s %s\n", good ? "ok" : "WRONG", what, text);
	d->n_wrong += !good;
}

/* ---- database, key ring ---- */

static void check_database(struct doctor *d)
{
	const struct store_options options = {.url = d->settings->database_url, .connections = 2};
	AUTO(store_closep) struct store *store = NULL;
	struct store_version v = {0};
	struct fault f = {0};

	if (store_open(&options, &store, &f) < 0 || store_ping(store, &f) < 0 ||
		store_version(store, &v, &f) < 0) {
		say(d, false, "database",
			"%s; mend TOKEN_MANAGEMENT_DATABASE_URL or start the "
			"database",
			f.text);
		return;
	}
	if (v.database > v.binary) {
		say(d, false, "database",
			"its schema is %" PRId64 " and this program knows up to %" PRId64
			": use the newer program",
			v.database, v.binary);
		return;
	}
	if (v.database < v.binary) {
		say(d, false, "database",
			"its schema is %" PRId64 " and this program needs %" PRId64
			": run \"review-fetcher migrate up\"",
			v.database, v.binary);
		return;
	}
	say(d, true, "database", "answers; schema %" PRId64, v.database);
	d->store = TAKE(store);
}

static void check_vault(struct doctor *d)
{
	struct vault *vault = NULL;
	struct fault f = {0};

	if (!d->store) {
		say(d, false, "vault", "cannot be checked without the database");
		return;
	}
	if (ring_open(d->settings->vault_key_file, d->store, &vault, &f) < 0)
		say(d, false, "vault", "%s", f.text);
	else
		say(d, true, "vault", "the key ring opens what is stored; key %" PRIu32 " seals",
			vault_active_key(vault));
	vault_close(vault);
}

/* ---- the clock ---- */

static int read_now(struct db *db, void *arg, struct fault *f)
{
	return db_now_us(db, arg, f);
}

static void judge_clock(struct doctor *d, const char *whose, int64_t ahead_ms)
{
	if (ahead_ms < SKEW_WRONG_MS && ahead_ms > -SKEW_WRONG_MS)
		say(d, true, "clock", "agrees with %s", whose);
	else
		say(d, false, "clock",
			"%s is %" PRId64
			" s %s of this machine: set the clock, and keep it with NTP",
			whose, (ahead_ms < 0 ? -ahead_ms : ahead_ms) / 1000,
			ahead_ms < 0 ? "behind" : "ahead");
}

static void check_database_clock(struct doctor *d)
{
	struct fault f = {0};
	int64_t now_us;

	if (d->store && strncmp(d->settings->database_url, "sqlite:", 7) != 0 &&
		store_use(d->store, read_now, &now_us, &f) == 0)
		judge_clock(d, "the database's", now_us / 1000 - clock_wall_ms());
}

/* ---- Google ---- */

struct asking {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool done;
	struct net_reply reply;
};

/* Net thread. */
static void take_reply(void *arg, struct net_reply *reply)
{
	struct asking *a = arg;

	pthread_mutex_lock(&a->lock);
	a->reply = *reply;
	a->reply.body = (struct buf){0}; /* nobody reads it */
	a->done = true;
	pthread_cond_signal(&a->answered);
	pthread_mutex_unlock(&a->lock);
}

static struct net_reply ask(struct net *net, const char *url)
{
	struct asking a = {.lock = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER};
	struct net_request request = {
		.method = "GET", .url = url, .timeout_ms = ASK_MS, .max_reply_bytes = 1 << 20};

	net_send(net, &request, take_reply, &a);
	pthread_mutex_lock(&a.lock);
	while (!a.done)
		pthread_cond_wait(&a.answered, &a.lock);
	pthread_mutex_unlock(&a.lock);
	return a.reply;
}

/* Any answer will do: without a token it is a refusal. */
static int64_t check_address(struct doctor *d, struct net *net, const char *key, const char *url)
{
	struct net_reply reply = ask(net, url);

	if (reply.result == NET_ANSWERED || reply.result == NET_TOO_LARGE)
		say(d, true, "google", "%s answers", url);
	else
		say(d, false, "google",
			"%s cannot be reached: %s; look after name service, firewall, proxy "
			"(https_proxy) and %s",
			url, reply.error, key);
	return reply.result == NET_ANSWERED ? reply.date_ahead_ms : NET_NO_DATE;
}

static void check_google(struct doctor *d)
{
	const struct settings *s = d->settings;
	const char *const addresses[][2] = {{"GOOGLE_TOKEN_URL", s->google_token_url},
		{"GOOGLE_ACCOUNTS_URL", s->google_accounts_url},
		{"GOOGLE_LOCATIONS_URL", s->google_locations_url},
		{"GOOGLE_REVIEWS_URL", s->google_reviews_url},
		{"GOOGLE_NOTIFICATIONS_URL", s->google_notifications_url}};
	const struct net_options options = {
		.max_connections = 4, .user_agent = "review-fetcher/" CLI_VERSION};
	int64_t ahead_ms = NET_NO_DATE;
	struct net *net = NULL;
	struct fault f = {0};

	if (net_start(&options, &net, &f) < 0) {
		say(d, false, "google", "%s", f.text);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		int64_t said_ms;

		/* the simulator is one address for all */
		if (i > 0 && strcmp(addresses[i][1], addresses[i - 1][1]) == 0)
			continue;
		said_ms = check_address(d, net, addresses[i][0], addresses[i][1]);
		if (ahead_ms == NET_NO_DATE)
			ahead_ms = said_ms;
	}
	net_free(net);
	if (ahead_ms != NET_NO_DATE)
		judge_clock(d, "Google's", ahead_ms);
}

static int say_refused(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols;
	(void)f;
	say(arg, false, "project", "%s: %s",
		*db_get_text(&cols[0]) ? db_get_text(&cols[0])
				       : "(of jobs with a token of their own)",
		db_get_text(&cols[1]));
	return 0;
}

static int list_refused(struct db *db, void *arg, struct fault *f)
{
	return db_read(db,
		"SELECT project, diagnosis FROM api_budgets WHERE diagnosis IS NOT NULL"
		" ORDER BY project, api LIMIT 100",
		say_refused, arg, f);
}

static void check_projects(struct doctor *d)
{
	struct fault f = {0};
	int n_wrong = d->n_wrong;

	if (!d->store)
		return;
	if (store_use(d->store, list_refused, d, &f) < 0)
		say(d, false, "project", "%s", f.text);
	else if (d->n_wrong == n_wrong)
		say(d, true, "project", "Google has refused no Cloud project that was asked for");
}

/* ---- Kafka ---- */

static void check_kafka(struct doctor *d)
{
	const char *servers = d->settings->kafka_bootstrap_servers;
	struct fault f = {0};
	int brokers = 0;

	if (!servers)
		return;
	if (delivery_check_kafka(d->settings, ASK_MS, &brokers, &f) == 0)
		say(d, true, "kafka", "%s answers, of %d %s", servers, brokers,
			brokers == 1 ? "broker" : "brokers");
	else if (f.kind == FAULT_UPSTREAM)
		say(d, false, "kafka",
			"%s: start the brokers, or mend KAFKA_BOOTSTRAP_SERVERS and the other "
			"KAFKA_ settings",
			f.text);
	else
		say(d, false, "kafka", "%s", f.text);
}

/* ---- */

static int doctor_run(struct call *call)
{
	AUTO(options_drop) struct options o = {0};
	AUTO(settings_freep) struct settings *s = NULL;
	struct doctor d = {0};
	struct fault f;

	if (options_take(call, &o, &f) < 0)
		return complain_fault(&f);
	if (o.wants_help)
		return show_help(&doctor_command);
	if (o.n_words > 0)
		return complain(EXIT_USAGE, "unexpected argument %.60s", o.words[0]);
	if (load_settings(call, &o, &s, &f) < 0) {
		say(&d, false, "settings", "%s", f.text);
		return EXIT_FAILED;
	}
	d.settings = s;
	say(&d, true, "settings", "all are valid");
	check_database(&d);
	check_vault(&d);
	check_database_clock(&d);
	check_google(&d);
	check_projects(&d);
	check_kafka(&d);
	store_close(d.store);
	if (d.n_wrong > 0)
		printf("%d %s to mend.\n", d.n_wrong, d.n_wrong == 1 ? "thing" : "things");
	return d.n_wrong > 0 ? EXIT_FAILED : EXIT_DONE;
}

const struct command doctor_command = {
	.name = "doctor",
	.summary = "checks what the service needs, and says how to mend it",
	.help = help,
	.run = doctor_run,
};
