/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/slots.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/metrics.h"
#include "token_management/internal.h"
#include "token_management/refresh.h"

#define RECENT_MS 60000
/* A token that seems to live longer than it was issued for: the wall clock was set back. */
#define CLOCK_SKEW_MS (10 * 60 * 1000)

static struct metric reads_total =
	METRIC_COUNTER("review_fetcher_token_reads_total", "Token reads answered from memory.", "");

/* ---- tokens ---- */

/* Copies bytes and a NUL to *at, moves it behind them, and answers where they are. */
static char *pack(char **at, const char *bytes, size_t len)
{
	char *begin = *at;

	if (len > 0)
		memcpy(begin, bytes, len);
	begin[len] = '\0';
	*at = begin + len + 1;
	return begin;
}

static void live_token_copy(const struct live_token *from, struct live_token *ret)
{
	const size_t app = strlen(from->oauth_id), type = strlen(from->token_type),
		     scope = strlen(from->scope);
	char *at = mem_alloc(app + from->access.len + type + scope + 4);

	*ret = (struct live_token){
		.client_row = from->client_row,
		.expires_at_ms = from->expires_at_ms,
		.lifetime_ms = from->lifetime_ms,
		.block = at,
	};
	ret->oauth_id = pack(&at, from->oauth_id, app);
	if (secret_is_set(&from->access)) {
		ret->access.len = from->access.len;
		ret->access.bytes = pack(&at, from->access.bytes, from->access.len);
	}
	ret->token_type = pack(&at, from->token_type, type);
	ret->scope = pack(&at, from->scope, scope);
}

void live_token_done(struct live_token *t)
{
	if (t->block != NULL) {
		mem_wipe_free(t->block);
	} else {
		mem_free(t->oauth_id);
		mem_free(t->token_type);
		mem_free(t->scope);
		secret_drop(&t->access);
	}
	*t = (struct live_token){0};
}

void live_token_view(const struct live_token *t, const char *branch_id, const char *expires_text,
	bool degraded, struct token_view *ret)
{
	*ret = (struct token_view){
		.client_row = t->client_row,
		.client_oauth_id = t->oauth_id,
		.branch_id = branch_id,
		.token_type = t->token_type,
		.scope = t->scope,
		.access_token = t->access.bytes,
		.access_token_len = t->access.len,
		.expires_at_ms = t->expires_at_ms,
		.expires_at_text = expires_text,
		.degraded = degraded,
	};
}

int64_t token_margin_ms(const struct settings *s, int64_t lifetime_ms)
{
	int64_t margin = s->token_refresh_margin_ms;

	return lifetime_ms > 0 && lifetime_ms / 2 < margin ? lifetime_ms / 2 : margin;
}

bool token_serves(
	const struct settings *s, int64_t life_ms, int64_t lifetime_ms, int64_t min_ttl_ms)
{
	int64_t recent = lifetime_ms / 2 < RECENT_MS ? lifetime_ms / 2 : RECENT_MS;

	if (life_ms <= 0 || life_ms <= token_margin_ms(s, lifetime_ms))
		return false;
	if (lifetime_ms > 0 && life_ms > lifetime_ms + CLOCK_SKEW_MS)
		return false;
	return life_ms >= min_ttl_ms || lifetime_ms - life_ms < recent;
}

/* ---- the table ---- */

void slots_init(struct slot_table *t)
{
	for (size_t i = 0; i < SLOT_SHARDS; i++)
		pthread_mutex_init(&t->shards[i].lock, NULL);
	metric_register(&reads_total);
}

static void slot_free(void *slot)
{
	struct slot *s = slot;

	live_token_done(&s->token);
	mem_free(s->retry_reason);
	mem_free(s);
}

void slots_done(struct slot_table *t)
{
	for (size_t i = 0; i < SLOT_SHARDS; i++) {
		map_drop_all(&t->shards[i].slots, slot_free);
		pthread_mutex_destroy(&t->shards[i].lock);
	}
}

void slots_count_reads(struct slot_table *t)
{
	int64_t sum = 0;

	for (size_t i = 0; i < SLOT_SHARDS; i++) {
		pthread_mutex_lock(&t->shards[i].lock);
		sum += t->shards[i].reads;
		pthread_mutex_unlock(&t->shards[i].lock);
	}
	metric_add(&reads_total, sum - t->reads_counted);
	t->reads_counted = sum;
}

/* By the high bits: the map inside the shard uses the low ones. */
static struct slot_shard *shard_of(struct token_management *tm, const char *branch_id, size_t len)
{
	return &tm->slots.shards[hash_table_key(branch_id, len) >> 58];
}
_Static_assert(SLOT_SHARDS == 64, "shard_of takes 6 bits");

static struct slot_shard *lock_slot(struct token_management *tm, const struct slot *s)
{
	struct slot_shard *shard = shard_of(tm, s->branch_id, s->branch_len);

	pthread_mutex_lock(&shard->lock);
	return shard;
}

/* With the shard's lock held. */
static struct slot *find_or_add(struct slot_shard *shard, const char *branch_id, size_t len)
{
	struct slot *s = map_get(&shard->slots, branch_id, len);

	if (s != NULL)
		return s;
	s = mem_alloc(sizeof(*s) + len + 1);
	s->branch_id = (char *)(s + 1);
	memcpy(s->branch_id, branch_id, len);
	s->branch_len = len;
	s->last = &s->first;
	map_put(&shard->slots, branch_id, len, s);
	return s;
}

/* With the shard's lock held. A slot that holds nothing goes: unknown branches cost no memory. */
static void let_go_if_empty(struct slot_shard *shard, struct slot *s)
{
	if (s->running != NULL || secret_is_set(&s->token.access) || s->has_rejected ||
		s->retry_mono_ms > clock_mono_ms())
		return;
	map_remove(&shard->slots, s->branch_id, s->branch_len);
	slot_free(s);
}

/* With the shard's lock held. */
static void put_token(struct slot *s, const struct live_token *t)
{
	live_token_done(&s->token);
	live_token_copy(t, &s->token);
	s->expires_mono_ms = clock_mono_ms() + (t->expires_at_ms - clock_wall_ms());
	clock_format_ms(t->expires_at_ms, s->expires_text);
	s->retry_mono_ms = 0;
	s->has_rejected = false;
}

/* The lesser of two clocks: a wall clock set back must not make a dead token live. */
static int64_t life_ms(const struct slot *s, int64_t wall_ms, int64_t mono_ms)
{
	int64_t by_wall = s->token.expires_at_ms - wall_ms;
	int64_t by_mono = s->expires_mono_ms - mono_ms;

	if (!secret_is_set(&s->token.access))
		return 0;
	return by_wall < by_mono ? by_wall : by_mono;
}

/* ---- the hot path ---- */

bool tokens_read(struct token_management *tm, const char *branch_id, size_t len, int64_t min_ttl_ms,
	token_copy_fn *copy, void *arg)
{
	struct slot_shard *shard = shard_of(tm, branch_id, len);
	int64_t wall = clock_wall_ms(), mono = clock_mono_ms(), life;
	struct token_view view;
	struct slot *s;
	bool serves = false, degraded = false;

	pthread_mutex_lock(&shard->lock);
	s = map_get(&shard->slots, branch_id, len);
	if (s != NULL) {
		life = life_ms(s, wall, mono);
		serves = token_serves(tm->settings, life, s->token.lifetime_ms, min_ttl_ms);
		degraded = !serves && life > 0 && s->retry_mono_ms > mono;
	}
	if (serves || degraded) {
		live_token_view(&s->token, s->branch_id, s->expires_text, degraded, &view);
		copy(arg, &view);
		shard->reads++;
		if (!s->was_read)
			s->was_read = true;
	}
	pthread_mutex_unlock(&shard->lock);
	return serves || degraded;
}

/* ---- callers ---- */

static void join(struct token_management *tm, const char *branch_id, const struct waiter *wish)
{
	size_t len = strlen(branch_id);
	struct slot_shard *shard = shard_of(tm, branch_id, len);
	struct waiter *w = mem_alloc(sizeof(*w));
	struct refresh *begun = NULL;
	struct slot *s;

	*w = *wish;
	pthread_mutex_lock(&shard->lock);
	s = find_or_add(shard, branch_id, len);
	*s->last = w;
	s->last = &w->next;
	if (s->running == NULL)
		s->running = begun = refresh_new(tm, s, w->is_due);
	else if (!w->is_due)
		refresh_hurry(s->running);
	if (!w->is_due)
		s->was_read = true;
	pthread_mutex_unlock(&shard->lock);
	if (begun != NULL)
		refresh_start(begun);
}

void tokens_obtain(struct token_management *tm, const char *branch_id, int64_t min_ttl_ms,
	bool force, token_done_fn *done, void *arg)
{
	join(tm, branch_id,
		&(struct waiter){
			.done = done, .arg = arg, .min_ttl_ms = min_ttl_ms, .force = force});
}

void slots_obtain_due(
	struct token_management *tm, const char *branch_id, token_done_fn *done, void *arg)
{
	join(tm, branch_id, &(struct waiter){.done = done, .arg = arg, .is_due = true});
}

/*
 * A slot that was emptied since counts too, as the row may still hold the token. One that holds
 * another token has moved on.
 */
void tokens_reject(
	struct token_management *tm, const char *branch_id, const char *access_token, size_t len)
{
	struct slot_shard *shard = shard_of(tm, branch_id, strlen(branch_id));
	struct slot *s;

	pthread_mutex_lock(&shard->lock);
	s = find_or_add(shard, branch_id, strlen(branch_id));
	if (!secret_is_set(&s->token.access) ||
		(s->token.access.len == len &&
			hash_equal(s->token.access.bytes, access_token, len))) {
		hash_blake2b(access_token, len, s->rejected);
		s->has_rejected = true;
		s->epoch++;
		if (!secret_is_set(&s->token.access))
			s->expires_mono_ms = clock_mono_ms() + RECENT_MS;
		live_token_done(&s->token);
	}
	pthread_mutex_unlock(&shard->lock);
}

/* ---- for the running refresh ---- */

static void read_demand(const struct slot *s, struct demand *ret)
{
	*ret = (struct demand){.epoch = s->epoch, .has_rejected = s->has_rejected};
	memcpy(ret->rejected, s->rejected, sizeof(ret->rejected));
	ret->due_only = s->first != NULL;
	for (const struct waiter *w = s->first; w != NULL; w = w->next) {
		ret->force = ret->force || w->force;
		ret->due = ret->due || w->is_due;
		ret->due_only = ret->due_only && w->is_due;
		if (w->min_ttl_ms > ret->min_ttl_ms)
			ret->min_ttl_ms = w->min_ttl_ms;
	}
}

enum slot_look slots_look(struct token_management *tm, struct slot *s, struct demand *ret,
	struct live_token *ret_token, struct slot_pause *ret_pause)
{
	int64_t wall = clock_wall_ms(), mono = clock_mono_ms(), life;
	struct slot_shard *shard = lock_slot(tm, s);
	enum slot_look look = SLOT_ASK_ROW;

	read_demand(s, ret);
	life = life_ms(s, wall, mono);
	if (!ret->force && !ret->due &&
		token_serves(tm->settings, life, s->token.lifetime_ms, ret->min_ttl_ms))
		look = SLOT_SERVES;
	else if (s->retry_mono_ms > mono)
		look = life > 0 ? SLOT_DEGRADED : SLOT_UNAVAILABLE;
	if (look == SLOT_SERVES || look == SLOT_DEGRADED)
		live_token_copy(&s->token, ret_token);
	ret_pause->wait_ms = s->retry_mono_ms - mono;
	snprintf(ret_pause->reason, sizeof(ret_pause->reason), "%s",
		s->retry_reason != NULL ? s->retry_reason : "");
	pthread_mutex_unlock(&shard->lock);
	return look;
}

bool slots_publish(
	struct token_management *tm, struct slot *s, const struct live_token *t, uint64_t epoch)
{
	struct slot_shard *shard = lock_slot(tm, s);
	bool same = s->epoch == epoch;
	bool is_due = s->first != NULL && s->first->is_due;

	if (same && (s->was_read || !is_due))
		put_token(s, t);
	else if (same)
		live_token_done(&s->token); /* replaced, and nobody reads it */
	if (is_due)
		s->was_read = false;
	pthread_mutex_unlock(&shard->lock);
	return same;
}

void slots_pause(struct token_management *tm, struct slot *s, const struct live_token *t,
	uint64_t epoch, const struct slot_pause *pause)
{
	struct slot_shard *shard = lock_slot(tm, s);
	bool has_rejected = s->has_rejected;

	if (s->epoch == epoch) {
		if (t != NULL && s->was_read)
			put_token(s, t);
		s->has_rejected = has_rejected; /* put_token takes every token for a new one */
		s->retry_mono_ms = clock_mono_ms() + pause->wait_ms;
		mem_free(s->retry_reason);
		s->retry_reason = mem_text(pause->reason);
	}
	pthread_mutex_unlock(&shard->lock);
}

static bool must_stay(
	const struct token_management *tm, const struct waiter *w, const struct slots_end *end)
{
	if (end->only_due || w->is_due)
		return !w->is_due;
	if (end->found == NULL)
		return false;
	return w->force || !token_serves(tm->settings, end->found->expires_at_ms - clock_wall_ms(),
				   end->found->lifetime_ms, w->min_ttl_ms);
}

static struct waiter *take_all(struct slot *s)
{
	struct waiter *all = s->first;

	s->first = NULL;
	s->last = &s->first;
	return all;
}

/* Those who go are taken off the slot's list; those who stay keep their order. */
static struct waiter *part(
	const struct token_management *tm, struct slot *s, const struct slots_end *end)
{
	struct waiter *go = NULL, **go_last = &go, *w = take_all(s), *next;

	for (; w != NULL; w = next) {
		next = w->next;
		w->next = NULL;
		if (must_stay(tm, w, end)) {
			*s->last = w;
			s->last = &w->next;
		} else {
			*go_last = w;
			go_last = &w->next;
		}
	}
	return go;
}

bool slots_finish(struct token_management *tm, struct slot *s, const struct slots_end *end,
	struct waiter **ret)
{
	struct slot_shard *shard = lock_slot(tm, s);
	bool again;

	if (end->is_final)
		*ret = take_all(s);
	else if (s->epoch != end->epoch)
		*ret = NULL;
	else
		*ret = part(tm, s, end);
	again = s->first != NULL;
	if (!again) {
		s->running = NULL;
		let_go_if_empty(shard, s);
	}
	pthread_mutex_unlock(&shard->lock);
	return again;
}

struct waiter *slots_take_waiters(struct token_management *tm, struct slot *s)
{
	struct slot_shard *shard = lock_slot(tm, s);
	struct waiter *all = take_all(s);

	pthread_mutex_unlock(&shard->lock);
	return all;
}

void slots_calm(struct token_management *tm, struct slot *s)
{
	struct slot_shard *shard = lock_slot(tm, s);

	for (struct waiter *w = s->first; w != NULL; w = w->next)
		w->force = false;
	pthread_mutex_unlock(&shard->lock);
}

/* ---- for everybody ---- */

/* What the provider refused stays refused: the row may still hold that very token. */
static void empty(struct slot *s)
{
	s->epoch++;
	s->retry_mono_ms = 0;
	live_token_done(&s->token);
}

void slots_forget(struct token_management *tm, const char *branch_id)
{
	struct slot_shard *shard = shard_of(tm, branch_id, strlen(branch_id));
	struct slot *s;

	pthread_mutex_lock(&shard->lock);
	s = map_get(&shard->slots, branch_id, strlen(branch_id));
	if (s != NULL) {
		empty(s);
		let_go_if_empty(shard, s);
	}
	pthread_mutex_unlock(&shard->lock);
}

static int empty_each(void *arg, const void *key, size_t len, void *value)
{
	(void)arg;
	(void)key;
	(void)len;
	empty(value);
	return 0;
}

void slots_forget_all(struct token_management *tm)
{
	for (size_t i = 0; i < SLOT_SHARDS; i++) {
		struct slot_shard *shard = &tm->slots.shards[i];

		pthread_mutex_lock(&shard->lock);
		map_each(&shard->slots, empty_each, NULL);
		pthread_mutex_unlock(&shard->lock);
	}
}

#define SWEEP_MOST 256
struct sweeping {
	int64_t mono_ms;
	struct slot *found[SWEEP_MOST];
	size_t n;
};

static int find_dead(void *arg, const void *key, size_t len, void *value)
{
	struct sweeping *x = arg;
	struct slot *s = value;

	(void)key;
	(void)len;
	if (s->running == NULL && s->expires_mono_ms <= x->mono_ms &&
		s->retry_mono_ms <= x->mono_ms)
		x->found[x->n++] = s;
	return x->n == SWEEP_MOST;
}

void slots_sweep(struct token_management *tm)
{
	struct slot_shard *shard = &tm->slots.shards[tm->slots.swept++ % SLOT_SHARDS];
	struct sweeping x = {.mono_ms = clock_mono_ms()};

	pthread_mutex_lock(&shard->lock);
	map_each(&shard->slots, find_dead, &x);
	for (size_t i = 0; i < x.n; i++) {
		empty(x.found[i]);
		x.found[i]->has_rejected = false; /* it has expired since */
		let_go_if_empty(shard, x.found[i]);
	}
	pthread_mutex_unlock(&shard->lock);
}

void slots_replace(struct token_management *tm, const char *branch_id, const struct live_token *t)
{
	struct slot_shard *shard = shard_of(tm, branch_id, strlen(branch_id));
	struct slot *s;

	pthread_mutex_lock(&shard->lock);
	s = find_or_add(shard, branch_id, strlen(branch_id));
	s->epoch++;
	put_token(s, t);
	pthread_mutex_unlock(&shard->lock);
}
