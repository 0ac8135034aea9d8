/* SPDX-License-Identifier: Apache-2.0 */
/* google-simulator: reads flags and state, starts the server, waits for a signal. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "simulator/options.h"
#include "simulator/server.h"
#include "simulator/simulator.h"

struct start {
	struct options options;
	struct simulator sim;
	struct world world;
	bool is_ready; /* sim is initialised */
	bool has_state;
};

static void write_start(const struct start *s, struct buf *line)
{
	AUTO(buf_drop) struct buf key = BUF_INIT(128);
	struct json_out o = JSON_OUT(line);
	const struct world *w = &s->world;

	text_base64url(&key, s->sim.grants.key, GRANTS_KEY_SIZE);
	json_open(&o, '{');
	json_add_text(&o, "k", "start");
	json_add_int(&o, "seed", (int64_t)w->seed);
	json_add_int(&o, "users", w->users);
	json_add_int(&o, "accounts", w->accounts);
	json_add_int(&o, "locations", w->locations);
	json_add_int(&o, "reviews", w->reviews);
	json_add_bool(&o, "reviews_exact", w->reviews_exact);
	json_add_int(&o, "shared", w->shared);
	json_add_int(&o, "unverified_every", w->unverified_every);
	json_add_int(&o, "end", w->end_us);
	json_add_text(&o, "key", buf_text(&key));
	json_close(&o, '}');
	buf_add_char(line, '\n');
}

/* The world of the state file. 1: the flags ask for another. */
static int take_world(struct start *s, const json_t *line)
{
	const struct world *asked = &s->world;
	struct world kept = {
		.seed = (uint64_t)json_int(line, "seed", 1),
		.users = json_int(line, "users", 1),
		.accounts = json_int(line, "accounts", 1),
		.locations = json_int(line, "locations", 1),
		.reviews = json_int(line, "reviews", 1),
		.reviews_exact = json_flag(line, "reviews_exact", false),
		.shared = json_int(line, "shared", 0),
		.unverified_every = json_int(line, "unverified_every", 0),
		.end_us = json_int(line, "end", 0),
	};

	if (s->options.is_world_given &&
		(kept.seed != asked->seed || kept.users != asked->users ||
			kept.accounts != asked->accounts || kept.locations != asked->locations ||
			kept.reviews != asked->reviews ||
			kept.reviews_exact != asked->reviews_exact ||
			kept.shared != asked->shared ||
			kept.unverified_every != asked->unverified_every ||
			(s->options.end && kept.end_us != asked->end_us)))
		return 1;
	s->world = kept;
	return 0;
}

static int take_line(void *arg, const json_t *line, struct fault *f)
{
	AUTO(buf_drop) struct buf key = BUF_INIT(128);
	struct start *s = arg;
	const char *text;

	if (s->is_ready)
		return simulator_replay(&s->sim, line, f);
	if (!text_equal(json_text(line, "k"), "start"))
		return fault_raise(
			f, FAULT_INPUT, "%s is not a simulator's state file", s->options.state);
	if (take_world(s, line) != 0)
		return fault_raise(f, FAULT_CONFLICT,
			"%s holds another world than the flags ask for: start without them, or "
			"delete the file",
			s->options.state);
	simulator_init(&s->sim, &s->world);
	s->is_ready = s->has_state = true;
	text = json_text(line, "key");
	if (text && text_base64url_decode(text, strlen(text), &key) == 0 &&
		key.len == GRANTS_KEY_SIZE)
		memcpy(s->sim.grants.key, key.data, GRANTS_KEY_SIZE);
	return 0;
}

static int open_state(struct start *s, struct fault *f)
{
	AUTO(buf_drop) struct buf line = BUF_INIT(JOURNAL_LINE_MAX);

	if (s->options.state && journal_replay(s->options.state, take_line, s, f) < 0)
		return -1;
	if (!s->is_ready)
		simulator_init(&s->sim, &s->world);
	s->is_ready = true;
	if (!s->options.state)
		return 0;
	if (journal_open(s->options.state, &s->sim.journal, f) < 0)
		return -1;
	s->sim.grants.journal = s->sim.journal;
	if (!s->has_state) {
		write_start(s, &line);
		journal_add(s->sim.journal, &line);
	}
	return 0;
}

static int apply_options(struct start *s, struct fault *f)
{
	struct tunables *t = &s->sim.tunables_now;
	const char *mode = s->options.auto_consent;

	t->quota.per_minute = s->options.quota;
	t->quota.edits_per_minute = s->options.edits;
	snprintf(t->issuer, sizeof(t->issuer), "%s", s->options.issuer);
	s->sim.grants.settings.access_ttl_sec = s->options.token_ttl;
	if (text_equal(mode, "allow"))
		t->auto_consent = CONSENT_ALLOW;
	else if (text_equal(mode, "deny"))
		t->auto_consent = CONSENT_DENY;
	else if (!text_equal(mode, "ask"))
		return fault_input(f, "auto-consent", "--auto-consent takes ask, allow or deny");
	return 0;
}

static void say(const struct start *s, int port)
{
	const struct world *w = &s->world;
	const char *host = s->options.host;
	bool is_loopback = text_equal(host, "127.0.0.1") || text_equal(host, "localhost");

	printf("simulated Google on http://%s:%d — %lld user%s × %lld account%s × %lld location%s, "
	       "%s%lld "
	       "reviews each; nothing here is real\n",
		is_loopback ? "localhost" : host, port, (long long)w->users,
		w->users == 1 ? "" : "s", (long long)w->accounts, w->accounts == 1 ? "" : "s",
		(long long)w->locations, w->locations == 1 ? "" : "s",
		w->reviews_exact ? "" : "about ", (long long)w->reviews);
	printf("listening on http://%s%s%s:%d\n", strchr(host, ':') ? "[" : "",
		text_equal(host, "localhost") ? "127.0.0.1" : host, strchr(host, ':') ? "]" : "",
		port);
	fflush(stdout);
	log_event(LOG_INFO, "simulator.started", F_INT("port", port));
}

static int run(struct start *s, const sigset_t *signals, struct fault *f)
{
	struct server_options options = {
		.host = s->options.host, .port = s->options.port, .threads = s->options.threads};
	struct server *server;

	if (server_start(&s->sim, &options, &server, f) < 0)
		return -1;
	say(s, server_port(server));
	while (sigwaitinfo(signals, NULL) < 0 && errno == EINTR)
		;
	server_stop(server);
	return 0;
}

static int help(void)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(64 * 1024);

	options_help(&text);
	fputs(buf_text(&text), stdout);
	return 0;
}

int main(int argc, char *argv[])
{
	static struct start s;
	struct fault f;
	sigset_t signals;
	int result;

	hash_init();
	json_start();
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	result = options_read(argc, argv, &s.options, &f);
	if (result == 0 && s.options.wants_help)
		return help();
	if (result == 0)
		result = options_world(&s.options, clock_wall_ms(), &s.world, &f);
	if (result == 0)
		result = open_state(&s, &f);
	if (result == 0)
		result = apply_options(&s, &f);
	if (result == 0)
		result = run(&s, &signals, &f);
	if (s.is_ready)
		simulator_free(&s.sim);
	if (result < 0)
		fprintf(stderr, "google-simulator: %s\n", f.text);
	return result < 0 ? 1 : 0;
}
