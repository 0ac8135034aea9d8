/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/google_keys.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/metrics.h"
#include "token_management/internal.h"
#include "token_management/token_response.h"

#define ASK_MS 10000

#define CHECKS(label)                                                      \
	METRIC_COUNTER("review_fetcher_google_token_checks_total",         \
		"Tokens that claimed to be signed by Google, by outcome.", \
		"outcome=\"" label "\"")
static struct metric checks[] = {
	[GOOGLE_JWT_GOOD] = CHECKS("good"),
	[GOOGLE_JWT_REFUSED] = CHECKS("refused"),
	[GOOGLE_JWT_NO_KEYS] = CHECKS("no_keys"),
};
static struct metric checks_spared = CHECKS("too_many");
METRICS_FROM_START(&checks[GOOGLE_JWT_GOOD], &checks[GOOGLE_JWT_REFUSED],
	&checks[GOOGLE_JWT_NO_KEYS], &checks_spared)

struct key_waiter {
	struct key_waiter *next;
	char *text;
	size_t len;
	google_jwt_done_fn *done;
	void *arg;
};

struct fetch {
	struct work work;
	struct token_reply reply;
	int64_t fresh_ms;
};

void google_keys_init(struct google_keys *k)
{
	*k = (struct google_keys){
		.checks_milli = GOOGLE_JWT_CHECKS_PER_SEC * 1000,
		.counted_mono_ms = clock_mono_ms(),
	};
	pthread_mutex_init(&k->lock, NULL);
}

void google_keys_done(struct google_keys *k)
{
	jwk_set_unref(k->set);
	pthread_mutex_destroy(&k->lock);
}

bool google_is_issuer(const json_t *claims)
{
	/* ID tokens come without the scheme too, security events with a slash at the end. */
	static const char *const spellings[] = {"https://accounts.google.com",
		"https://accounts.google.com/", "accounts.google.com"};
	const char *iss = claim_text(claims, "iss", 64);

	for (size_t i = 0; iss != NULL && i < ARRAY_LEN(spellings); i++)
		if (strcmp(iss, spellings[i]) == 0)
			return true;
	return false;
}

/* ---- the budget of checks ---- */

static bool take_check(struct google_keys *k)
{
	const int64_t most = GOOGLE_JWT_CHECKS_PER_SEC * 1000;
	int64_t now = clock_mono_ms();
	bool may;

	pthread_mutex_lock(&k->lock);
	k->checks_milli += (now - k->counted_mono_ms) * GOOGLE_JWT_CHECKS_PER_SEC;
	if (k->checks_milli > most)
		k->checks_milli = most;
	k->counted_mono_ms = now;
	may = k->checks_milli >= 1000;
	if (may)
		k->checks_milli -= 1000;
	pthread_mutex_unlock(&k->lock);
	return may;
}

enum google_jwt_look google_jwt_look(struct token_management *tm, const char *text, size_t len)
{
	struct jws j;

	if (jws_read(text, len, JOSE_RS256, &j) != JWS_GOOD) {
		metric_add(&checks[GOOGLE_JWT_REFUSED], 1);
		return GOOGLE_JWT_IS_NONE;
	}
	if (take_check(&tm->google_keys))
		return GOOGLE_JWT_LOOKS_FINE;
	metric_add(&checks_spared, 1);
	return GOOGLE_JWT_TOO_MANY;
}

/* ---- which keys, if any ---- */

enum decision { DECIDE_VERIFY, DECIDE_REFUSE, DECIDE_NO_KEYS, DECIDE_WAIT, DECIDE_ASK };

/* With the lock. *ret_wait_ms: until Google may be asked again. */
static enum decision decide(const struct google_keys *k, const struct jws *j, int64_t *ret_wait_ms)
{
	int64_t now = clock_mono_ms(), since_ms = now - k->asked_mono_ms;
	bool has = jwk_set_has(k->set, j->kid, JOSE_RS256);
	bool is_fresh = k->set != NULL && now < k->fresh_until_mono_ms;

	*ret_wait_ms = GOOGLE_KEYS_ASK_EVERY_MS - since_ms;
	if (has && is_fresh)
		return DECIDE_VERIFY;
	if (k->is_asking)
		return k->n_waiting < GOOGLE_KEYS_WAITERS_MAX ? DECIDE_WAIT : DECIDE_NO_KEYS;
	if (!k->was_asked || since_ms >= GOOGLE_KEYS_ASK_EVERY_MS)
		return DECIDE_ASK;
	if (has && now < k->fresh_until_mono_ms + GOOGLE_KEYS_STALE_MOST_MS)
		return DECIDE_VERIFY;
	return is_fresh && !k->has_failed ? DECIDE_REFUSE : DECIDE_NO_KEYS;
}

static void add_waiter(
	struct google_keys *k, const char *text, size_t len, google_jwt_done_fn *done, void *arg)
{
	struct key_waiter *w = mem_alloc(sizeof(*w));

	*w = (struct key_waiter){.next = k->first,
		.text = mem_text_n(text, len),
		.len = len,
		.done = done,
		.arg = arg};
	k->first = w;
	k->n_waiting++;
}

static void say(const struct google_jwt_result *r, google_jwt_done_fn *done, void *arg)
{
	metric_add(&checks[r->outcome], 1);
	done(arg, r);
}

static void verify(const struct jws *j, struct jwk_set *keys, google_jwt_done_fn *done, void *arg)
{
	AUTO(json_drop) json_t *claims = NULL;
	struct google_jwt_result r = {.outcome = GOOGLE_JWT_REFUSED, .typ = j->typ};

	if (jws_verify(j, keys) == JWS_GOOD && jws_claims(j, &claims) == 0)
		r.outcome = GOOGLE_JWT_GOOD;
	r.claims = claims;
	say(&r, done, arg);
}

static void ask(struct token_management *tm);

void google_jwt_check(struct token_management *tm, const char *text, size_t len,
	google_jwt_done_fn *done, void *arg)
{
	struct google_keys *k = &tm->google_keys;
	AUTO(jwk_set_unrefp) struct jwk_set *keys = NULL;
	struct google_jwt_result r = {.outcome = GOOGLE_JWT_REFUSED, .typ = ""};
	enum decision decision = DECIDE_REFUSE;
	int64_t wait_ms = 0;
	struct jws j;

	if (jws_read(text, len, JOSE_RS256, &j) == JWS_GOOD) {
		pthread_mutex_lock(&k->lock);
		decision = decide(k, &j, &wait_ms);
		if (decision == DECIDE_VERIFY) {
			keys = jwk_set_ref(k->set);
		} else if (decision == DECIDE_WAIT || decision == DECIDE_ASK) {
			add_waiter(k, text, len, done, arg);
			k->is_asking = true;
		}
		pthread_mutex_unlock(&k->lock);
	}
	switch (decision) {
	case DECIDE_VERIFY:
		verify(&j, keys, done, arg);
		break;
	case DECIDE_NO_KEYS:
		r.outcome = GOOGLE_JWT_NO_KEYS;
		r.retry_after_ms = wait_ms > 0 ? (uint32_t)wait_ms : 1000;
		say(&r, done, arg);
		break;
	case DECIDE_REFUSE:
		say(&r, done, arg);
		break;
	case DECIDE_ASK:
		ask(tm);
		break;
	case DECIDE_WAIT:
		break;
	}
}

/* ---- fetching ---- */

/* Takes over what was fetched (NULL: nothing that could be used); answers who waited for it. */
static struct key_waiter *take_keys(struct google_keys *k, struct jwk_set *set, int64_t fresh_ms)
{
	struct key_waiter *waited;
	int64_t now = clock_mono_ms();
	struct jwk_set *old = NULL;

	if (fresh_ms < 0)
		fresh_ms = GOOGLE_KEYS_FRESH_ELSE_MS;
	else if (fresh_ms < GOOGLE_KEYS_FRESH_LEAST_MS)
		fresh_ms = GOOGLE_KEYS_FRESH_LEAST_MS;
	else if (fresh_ms > GOOGLE_KEYS_FRESH_MOST_MS)
		fresh_ms = GOOGLE_KEYS_FRESH_MOST_MS;
	pthread_mutex_lock(&k->lock);
	if (set != NULL) {
		old = k->set;
		k->set = set;
		k->fresh_until_mono_ms = now + fresh_ms;
	}
	k->has_failed = set == NULL;
	k->asked_mono_ms = now;
	k->was_asked = true;
	k->is_asking = false;
	waited = k->first;
	k->first = NULL;
	k->n_waiting = 0;
	pthread_mutex_unlock(&k->lock);
	jwk_set_unref(old);
	return waited;
}

/* Each looks again; nobody asks again, since it was just done. */
static void serve_waiters(struct token_management *tm, struct key_waiter *w)
{
	while (w != NULL) {
		struct key_waiter *next = w->next;

		google_jwt_check(tm, w->text, w->len, w->done, w->arg);
		mem_free(w->text);
		mem_free(w);
		w = next;
	}
}

static int read_reply(const struct token_reply *reply, struct jwk_set **ret, struct fault *f)
{
	if (reply->result != NET_ANSWERED)
		return fault_raise(f, FAULT_UPSTREAM, "%s", reply->net_error);
	if (reply->status != 200)
		return fault_raise(f, FAULT_UPSTREAM, "it answered %ld", reply->status);
	return jwk_set_parse(buf_text(&reply->body), reply->body.len, ret, f);
}

static void take_reply(
	struct token_management *tm, const struct token_reply *reply, int64_t fresh_ms)
{
	bool had_failed = tm->google_keys.has_failed; /* only this work writes it */
	struct jwk_set *set = NULL;
	struct fault f = {0};

	if (read_reply(reply, &set, &f) < 0) {
		log_event(had_failed ? LOG_DEBUG : LOG_WARN, "google_keys.lost", F_FAULT(&f));
		set = NULL;
	} else if (had_failed) {
		log_event(LOG_INFO, "google_keys.found_again");
	}
	serve_waiters(tm, take_keys(&tm->google_keys, set, fresh_ms));
}

static void step_fetched(struct work *w)
{
	struct fetch *x = CONTAINER_OF(w, struct fetch, work);

	take_reply(w->tm, &x->reply, x->fresh_ms);
	work_end(w);
	buf_drop(&x->reply.body);
	mem_free(x);
}

/* Net thread. */
static void on_reply(void *arg, struct net_reply *reply)
{
	struct fetch *x = arg;

	x->fresh_ms = reply->fresh_ms;
	token_reply_take(reply, &x->reply);
	work_submit(&x->work, step_fetched);
}

/* is_asking has been set, so that nobody else does. */
static void ask(struct token_management *tm)
{
	struct net_request request = {
		.method = "GET",
		.url = tm->settings->google_jwks_url,
		.timeout_ms = ASK_MS,
		.max_reply_bytes = JWK_SET_BYTES_MAX,
	};
	struct token_reply stopping = {
		.result = NET_STOPPED, .net_error = "the service is stopping"};
	struct fetch *x = mem_alloc(sizeof(*x));

	work_begin(tm, &x->work);
	if (!work_send_begin(tm)) {
		take_reply(tm, &stopping, -1);
		work_end(&x->work);
		mem_free(x);
		return;
	}
	net_send(tm->net, &request, on_reply, x);
	work_send_end(tm);
}
