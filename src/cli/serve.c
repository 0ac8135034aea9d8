/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's life. Parts start in the order in which they need each other. They stop so that
 * nobody is left waiting and nothing touches what is gone: first no new requests, jobs or
 * refreshes; then the network ends what is under way with an answer; then no timer fires; then the
 * workers run dry; then the parts are freed.
 */
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/await.h"
#include "cli/command.h"
#include "cli/figures.h"
#include "cli/process.h"
#include "cli/ring.h"
#include "delivery/delivery.h"
#include "events/events_feed.h"
#include "net/net.h"
#include "review_fetcher/review_fetcher.h"
#include "store/store_ear.h"
#include "store/store_lease.h"
#include "token_management/token_management.h"
#include "vault/vault.h"

#define DRAIN_MS 10000
#define REFRESH_WAIT_MS 5000
#define DELIVERY_WAIT_MS 5000
#define FOLLOW_EVERY_MS 500
#define FOLLOW_LEAST_MS 50 /* however often it is rung */
#define WORKERS_LEAST 4
#define NET_CONNECTIONS 1024
#define NET_HOST_CONNECTIONS 512

struct service {
	struct settings *settings;
	struct vault *vault;
	struct store *store;
	struct net *net;
	struct pool *pool;
	struct scheduler *scheduler;
	struct token_management *tokens;
	struct review_fetcher *reviews;
	struct event_feed *events;
	struct delivery *delivery;
	struct api *api;
	/* The change feed: a timer submits the task, the task arms the timer. The ear moves the
	 * timer ahead. */
	struct timer follow_timer;
	struct task follow_task;
	pthread_mutex_t follow_lock;
	bool follow_ended, follow_fails, follow_runs, follow_rung;
	int64_t followed_ms;
	struct store_ear *ear;
};

static const char help[] = "Usage: review-fetcher serve [--config FILE] [--KEY=VALUE...]\n"
			   "\n"
			   "Runs the service until SIGTERM or SIGINT, which lets requests under "
			   "way end (10 seconds at\n"
			   "most); a second one ends it at once. Logs are JSON lines on stderr.\n"
			   "\n";

/* ---- the change feed ---- */

static void follow_again(struct service *s)
{
	pthread_mutex_lock(&s->follow_lock);
	s->followed_ms = clock_mono_ms();
	if (!s->follow_ended)
		scheduler_arm(s->scheduler, &s->follow_timer,
			s->followed_ms + (s->follow_rung ? FOLLOW_LEAST_MS : FOLLOW_EVERY_MS));
	s->follow_rung = s->follow_runs = false;
	pthread_mutex_unlock(&s->follow_lock);
}

/* The ear's thread. What is noted while the task runs may be behind what it has read. */
static void follow_soon(void *arg)
{
	struct service *s = arg;

	pthread_mutex_lock(&s->follow_lock);
	if (s->follow_runs)
		s->follow_rung = true;
	else if (!s->follow_ended)
		scheduler_arm(s->scheduler, &s->follow_timer, s->followed_ms + FOLLOW_LEAST_MS);
	pthread_mutex_unlock(&s->follow_lock);
}

/* A database that is away is one event when it goes and one when it comes back, not two a second.
 */
static void follow(struct task *task)
{
	struct service *s = CONTAINER_OF(task, struct service, follow_task);
	struct fault f;
	bool failed = token_management_follow(s->tokens, &f) < 0;

	if (failed && !s->follow_fails)
		log_event(LOG_ERROR, "changes.lost", F_FAULT(&f));
	else if (!failed && s->follow_fails)
		log_event(LOG_INFO, "changes.found_again");
	s->follow_fails = failed;
	follow_again(s);
}

static void submit_follow(struct timer *timer)
{
	struct service *s = CONTAINER_OF(timer, struct service, follow_timer);
	bool runs;

	pthread_mutex_lock(&s->follow_lock);
	runs = s->follow_runs;
	s->follow_rung = s->follow_rung || runs;
	s->follow_runs = true;
	pthread_mutex_unlock(&s->follow_lock);
	if (!runs) /* it was rung between the timer's firing and here */
		pool_submit(s->pool, &s->follow_task);
}

static void follow_start(struct service *s)
{
	pthread_mutex_init(&s->follow_lock, NULL);
	s->follow_timer.fire = submit_follow;
	s->follow_task.run = follow;
	follow_again(s);
	s->ear = store_ear_open(s->store, follow_soon, s);
}

static void follow_end(struct service *s)
{
	pthread_mutex_lock(&s->follow_lock);
	s->follow_ended = true;
	pthread_mutex_unlock(&s->follow_lock);
	store_ear_close(s->ear);
	scheduler_disarm(s->scheduler, &s->follow_timer);
}

/* ---- start ---- */

static unsigned count_workers(void)
{
	cpu_set_t cores;
	int n = WORKERS_LEAST;

	if (sched_getaffinity(0, sizeof(cores), &cores) == 0 && CPU_COUNT(&cores) > n)
		n = CPU_COUNT(&cores);
	return (unsigned)n;
}

/* On SQLite this process alone serves the file, so it may bring it up to date by itself. What
 * await_store answers. */
static int start_store(struct service *s, unsigned workers, struct fault *f)
{
	const int64_t wanted = s->settings->database_connections;
	const struct store_options options = {.url = s->settings->database_url,
		.connections = wanted > 0 ? (unsigned)wanted
					  : workers + 1 + delivery_connections(s->settings),
		.exclusive = true};
	struct store_version v;
	int applied, outcome;

	outcome = await_store(s->settings, &options, s->pool, s->scheduler, &s->store, f);
	if (outcome != AWAIT_FOUND)
		return outcome;
	if (store_version(s->store, &v, f) < 0)
		return -1;
	if (v.database < v.binary && !v.is_original &&
		strncmp(s->settings->database_url, "sqlite:", 7) != 0)
		return fault_raise(f, FAULT_CONFLICT,
			"the database has schema version %" PRId64
			" and this program needs %" PRId64
			": run \"review-fetcher migrate up\" first",
			v.database, v.binary);
	if (bring_up(s->store, &v, &applied, f) < 0)
		return -1;
	/* Alone, it need not wait for the leases of the process before it to run out. */
	if (strncmp(s->settings->database_url, "sqlite:", 7) == 0 &&
		lease_give_all(s->store, f) < 0)
		return -1;
	if (applied > 0)
		log_event(LOG_INFO, "schema.migrated", F_INT("from", v.database),
			F_INT("to", v.binary));
	return 0;
}

static int start_net(struct service *s, struct fault *f)
{
	const struct net_options options = {
		.max_connections = NET_CONNECTIONS,
		.max_host_connections = NET_HOST_CONNECTIONS,
		.user_agent = "review-fetcher/" CLI_VERSION,
	};

	return net_start(&options, &s->net, f);
}

static int check_database(void *arg, struct fault *f)
{
	return store_ping(((struct service *)arg)->store, f);
}

static int measure(void *arg, struct fault *f)
{
	const struct service *s = arg;

	return figures_measure(s->store, s->settings, f);
}

static bool is_kafka_connected(void *arg)
{
	return delivery_kafka_connected(((struct service *)arg)->delivery);
}

static int write_deliveries(void *arg, struct json_out *ret, struct fault *f)
{
	return delivery_write(((struct service *)arg)->delivery, ret, f);
}

struct trouble_reader {
	job_trouble_fn *each;
	void *arg;
};

static int pass_trouble(void *arg, const struct job_failure *failure, struct fault *f)
{
	const struct trouble_reader *r = arg;
	const struct job_trouble t = {.id = failure->id,
		.listing = failure->listing,
		.account_id = failure->account_id,
		.location_id = failure->location_id,
		.error = failure->error};

	return r->each(r->arg, &t, f);
}

static int read_troubles(void *arg, const char *job_id, int64_t after, int64_t limit,
	job_trouble_fn *each, void *each_arg, struct fault *f)
{
	struct trouble_reader r = {each, each_arg};
	struct service *s = arg;

	return jobs_failures(s->reviews, job_id, after, limit, pass_trouble, &r, f);
}

static int start_delivery(struct service *s, struct fault *f)
{
	const struct delivery_parts parts = {.settings = s->settings,
		.store = s->store,
		.net = s->net,
		.job_troubles = read_troubles,
		.arg = s};

	return delivery_new(&parts, &s->delivery, f);
}

static int start_parts(struct service *s, struct fault *f)
{
	struct token_management_parts tokens = {.settings = s->settings,
		.store = s->store,
		.vault = s->vault,
		.net = s->net,
		.pool = s->pool,
		.scheduler = s->scheduler};
	struct review_fetcher_parts reviews = {.settings = s->settings,
		.store = s->store,
		.net = s->net,
		.pool = s->pool,
		.scheduler = s->scheduler};
	struct api_parts api = {.settings = s->settings,
		.pool = s->pool,
		.scheduler = s->scheduler,
		.check_database = check_database,
		.measure = measure,
		.kafka_connected = is_kafka_connected,
		.write_deliveries = write_deliveries,
		.arg = s};

	s->events = event_feed_new(&(struct event_feed_parts){.store = s->store,
		.pool = s->pool,
		.scheduler = s->scheduler,
		.retention_ms = s->settings->event_retention_ms});
	api.events = s->events;
	if (token_management_new(&tokens, &s->tokens, f) < 0)
		return -1;
	reviews.token_management = s->tokens;
	if (review_fetcher_new(&reviews, &s->reviews, f) < 0)
		return -1;
	if (start_delivery(s, f) < 0)
		return -1;
	api.token_management = s->tokens;
	api.review_fetcher = s->reviews;
	return api_start(&api, &s->api, f);
}

/* What start_store answers. */
static int start(struct service *s, struct fault *f)
{
	unsigned workers = count_workers();
	int outcome;

	s->pool = pool_new("worker", workers);
	s->scheduler = scheduler_new();
	outcome = start_store(s, workers, f);
	if (outcome != AWAIT_FOUND)
		return outcome;
	if (ring_open(s->settings->vault_key_file, s->store, &s->vault, f) < 0 ||
		start_net(s, f) < 0)
		return -1;
	if (start_parts(s, f) < 0)
		return -1;
	follow_start(s);
	event_feed_start(s->events);
	delivery_start(s->delivery);
	token_management_refresh_due(s->tokens);
	return 0;
}

/* ---- stop; also after a start that got only half the way ---- */

static void stop(struct service *s)
{
	if (s->api != NULL) {
		follow_end(s);
		api_drain(s->api, DRAIN_MS);
	}
	event_feed_stop(s->events);
	if (s->reviews != NULL)
		review_fetcher_stop(s->reviews);
	token_management_stop(s->tokens, REFRESH_WAIT_MS);
	delivery_stop(s->delivery, DELIVERY_WAIT_MS);
	net_stop(s->net);
	api_stop(s->api);
	delivery_free(s->delivery); /* after the last request that asks for it */
	/* Workers may still arm timers, which then never fire, but no timer hands them work any
	 * more. */
	if (s->scheduler != NULL)
		scheduler_halt(s->scheduler);
	pool_stop(s->pool);
	review_fetcher_free(s->reviews);
	token_management_free(s->tokens);
	event_feed_free(s->events);
	scheduler_stop(s->scheduler);
	net_free(s->net);
	store_close(s->store);
	vault_close(s->vault);
}

/* ---- */

static void warn_of_unused(const struct settings *s)
{
	if (!s->api_auth)
		log_event(LOG_WARN, "serve.without_keys", F_STR("key", "API_AUTH"),
			F_STR("cause", "every program on this machine may call everything"));
}

static void log_start(const struct service *s, int64_t started_ms)
{
	const struct settings *x = s->settings;

	log_event(LOG_INFO, "serve.started", F_STR("address", x->api_host),
		F_INT("port", api_port(s->api)), F_STR("public_url", x->public_url),
		F_STR("version", CLI_VERSION), F_BOOL("simulator", x->mock_google_api),
		F_INT("took_ms", clock_mono_ms() - started_ms));
}

static void run(struct service *s, int64_t started_ms)
{
	int number;
	int64_t since_ms;

	malloc_trim(0); /* what starting needed and running does not */
	warn_of_unused(s->settings);
	log_start(s, started_ms);
	number = process_wait_for_end();
	since_ms = clock_mono_ms();
	log_event(LOG_INFO, "serve.stopping", F_STR("signal", sigabbrev_np(number)));
	stop(s);
	log_event(LOG_INFO, "serve.stopped", F_INT("took_ms", clock_mono_ms() - since_ms));
}

static int serve(struct call *call, const struct options *o)
{
	struct service s = {0};
	struct fault f;
	int outcome;

	process_harden();
	process_block_signals();
	if (load_settings(call, o, &s.settings, &f) < 0)
		return complain_fault(&f);
	outcome = start(&s, &f);
	if (outcome < 0) {
		stop(&s);
		settings_free(s.settings);
		return complain(EXIT_FAILED, "%s", f.text);
	}
	if (outcome == AWAIT_ENDED)
		stop(&s);
	else
		run(&s, call->started_ms);
	settings_free(s.settings);
	return EXIT_DONE;
}

static int serve_help(void)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(64 * 1024);

	settings_help(&text);
	fputs(help, stdout);
	fputs(buf_text(&text), stdout);
	return EXIT_DONE;
}

static int serve_run(struct call *call)
{
	AUTO(options_drop) struct options o = {0};
	struct fault f;

	if (options_take(call, &o, &f) < 0)
		return complain_fault(&f);
	if (o.wants_help)
		return serve_help();
	if (o.n_words > 0)
		return complain(EXIT_USAGE,
			"unexpected argument %.60s; settings are given as --key=value", o.words[0]);
	return serve(call, &o);
}

const struct command serve_command = {
	.name = "serve",
	.summary = "the daemon; serve --help lists every setting",
	.help = help,
	.run = serve_run,
};
