/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata of a provider. It is fetched when the process starts, once a day when it is used, and
 * when the provider does not answer; what was found last serves until something new is.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "net/net.h"
#include "token_management/internal.h"
#include "token_management/token_response.h"

#define ASK_MS 10000
#define WAIT_LEAST_MS 1000
#define WAIT_MOST_MS (5 * 60 * 1000)
#define METADATA_BYTES (256 * 1024)

/* ---- reading ---- */

/* A member that is an address may stand in *ret; what the record says itself stays. */
static int take_url(struct provider_record *keeper, const json_t *doc, const char *member,
	const char **ret, struct fault *f)
{
	const json_t *value = json_member(doc, member);
	const char *url = json_string_value(value);
	struct fault flaw = {0};

	if (*ret != NULL || value == NULL || json_is_null(value))
		return 0;
	if (url == NULL || strlen(url) != json_string_length(value) ||
		net_url_check(url, NET_URL_PROVIDER, member, &flaw) < 0)
		return fault_raise(f, FAULT_UPSTREAM, "its %s %s", member,
			flaw.text[0] != '\0' ? flaw.text : "is no text");
	*ret = provider_record_keep(keeper, mem_text(url));
	return 0;
}

/*
 * Reads a metadata document into *keeper. -1 FAULT_UPSTREAM: it is not one of this issuer (RFC 8414
 * section 3.3), or lacks or spoils an address.
 */
static int read_metadata(const struct provider *own, const char *text, size_t len,
	struct provider_record *keeper, struct fault *f)
{
	AUTO(json_drop) json_t *doc = NULL;
	struct provider *p = &keeper->p;
	struct fault flaw = {0};
	const char *issuer;

	*p = *own;
	p->key = (struct secret){0};
	if (json_parse(text, len, &doc, &flaw) < 0 || !json_is_object(doc))
		return fault_raise(f, FAULT_UPSTREAM, "it is no JSON object");
	issuer = json_text(doc, "issuer");
	if (issuer == NULL || strcmp(issuer, own->issuer) != 0)
		return fault_raise(
			f, FAULT_UPSTREAM, "it is that of another issuer than %.100s", own->issuer);
	if (take_url(keeper, doc, "authorization_endpoint", &p->auth_url, f) < 0 ||
		take_url(keeper, doc, "token_endpoint", &p->token_url, f) < 0 ||
		take_url(keeper, doc, "revocation_endpoint", &p->revoke_url, f) < 0)
		return -1;
	if (!provider_is_found(p))
		return fault_raise(f, FAULT_UPSTREAM, "it lacks %s",
			p->auth_url == NULL ? "authorization_endpoint" : "token_endpoint");
	if (json_flag(doc, "authorization_response_iss_parameter_supported", false))
		p->sends_iss = true;
	return provider_check(p, &flaw) < 0 ? fault_raise(f, FAULT_UPSTREAM, "%s", flaw.text) : 0;
}

/* ---- a run ---- */

struct discovery {
	struct work work;
	struct provider_entry *entry;
	struct token_reply reply;
};

static void finish(struct discovery *d)
{
	pthread_mutex_lock(&d->entry->lock);
	d->entry->is_asking = false;
	pthread_mutex_unlock(&d->entry->lock);
	buf_drop(&d->reply.body);
	work_end(&d->work);
	mem_free(d);
}

static bool is_same(const struct provider *a, const struct provider *b)
{
	return strcmp(a->auth_url, b->auth_url) == 0 && strcmp(a->token_url, b->token_url) == 0 &&
	       (a->revoke_url == NULL) == (b->revoke_url == NULL) &&
	       (a->revoke_url == NULL || strcmp(a->revoke_url, b->revoke_url) == 0) &&
	       a->sends_iss == b->sends_iss;
}

static void take(struct discovery *d, struct provider_record *moved)
{
	struct provider_entry *e = d->entry;
	const struct provider *now = atomic_load(&e->now);
	bool is_new = !provider_is_found(now) || !is_same(now, &moved->p);

	pthread_mutex_lock(&e->lock);
	e->found_mono_ms = clock_mono_ms();
	e->failures = 0;
	if (is_new) {
		moved->next_found = e->found;
		e->found = moved;
		atomic_store(&e->now, &moved->p);
	}
	pthread_mutex_unlock(&e->lock);
	if (is_new)
		log_event(LOG_INFO, "provider.discovered", F_STR("provider", e->own->p.name),
			F_STR("token_url", moved->p.token_url));
	else
		provider_record_free(moved);
	due_hear_next(e->tm, e->own->p.name, clock_wall_ms());
	finish(d);
}

static void step_ask(struct work *w);

static void fail(struct discovery *d, const char *reason)
{
	struct provider_entry *e = d->entry;
	unsigned failures;
	int64_t wait;

	pthread_mutex_lock(&e->lock);
	failures = e->failures++;
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	pthread_mutex_unlock(&e->lock);
	wait = (int64_t)WAIT_LEAST_MS << (failures < 10 ? failures : 10);
	wait = wait < WAIT_MOST_MS ? wait : WAIT_MOST_MS;
	wait = wait / 2 + (int64_t)rand_below((uint64_t)wait / 2 + 1);
	log_event(failures == 0 ? LOG_WARN : LOG_DEBUG, "provider.not_discovered",
		F_STR("provider", e->own->p.name), F_STR("url", e->own->p.metadata_url),
		F_STR("reason", reason), F_INT("retry_in_ms", wait));
	work_later(&d->work, wait, step_ask);
}

static void step_answer(struct work *w)
{
	struct discovery *d = CONTAINER_OF(w, struct discovery, work);
	struct token_reply *r = &d->reply;
	struct provider_record *found;
	struct fault f = {0};
	char words[64];

	if (r->result == NET_STOPPED) {
		finish(d);
		return;
	}
	if (r->result != NET_ANSWERED || r->status != 200) {
		snprintf(words, sizeof(words), "it was answered with %ld", r->status);
		fail(d, r->result == NET_ANSWERED ? words : r->net_error);
		return;
	}
	found = mem_alloc(sizeof(*found));
	if (read_metadata(&d->entry->own->p, buf_text(&r->body), r->body.len, found, &f) < 0) {
		provider_record_free(found);
		fail(d, f.text);
		return;
	}
	found->p.key = secret_copy(&d->entry->own->p.key);
	take(d, found);
}

/* Net thread. */
static void on_reply(void *arg, struct net_reply *reply)
{
	struct discovery *d = arg;

	token_reply_take(reply, &d->reply);
	work_submit(&d->work, step_answer);
}

static void step_ask(struct work *w)
{
	struct discovery *d = CONTAINER_OF(w, struct discovery, work);
	struct token_management *tm = w->tm; /* w may be gone once it is sent */
	struct net_request request = {
		.method = "GET",
		.url = d->entry->own->p.metadata_url,
		.timeout_ms = ASK_MS,
		.max_reply_bytes = METADATA_BYTES,
	};

	buf_drop(&d->reply.body);
	if (!work_send_begin(w->tm)) {
		finish(d);
		return;
	}
	net_send(tm->net, &request, on_reply, d);
	work_send_end(tm);
}

void discovery_begin(struct provider_entry *e)
{
	struct discovery *d;
	bool begins;

	pthread_mutex_lock(&e->lock);
	begins = !e->is_asking && e->tm->net != NULL;
	e->is_asking = e->is_asking || begins;
	pthread_mutex_unlock(&e->lock);
	if (!begins)
		return;
	d = mem_alloc(sizeof(*d));
	d->entry = e;
	if (work_begin_unless_stopping(e->tm, &d->work)) {
		work_submit(&d->work, step_ask);
		return;
	}
	pthread_mutex_lock(&e->lock);
	e->is_asking = false;
	pthread_mutex_unlock(&e->lock);
	mem_free(d);
}
