/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/ring.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* A file that is bad is read again after that long, or at once when it is another one. */
#define RETRY_MS 30000

static struct vault_ring *ring_new(struct vault *v, struct keyring *keys)
{
	struct vault_ring *ring = mem_alloc(sizeof(*ring));

	ring->vault = v;
	ring->keys = *keys;
	ring->refs = 1;
	*keys = (struct keyring){0};
	return ring;
}

static void ring_free(struct vault_ring *ring)
{
	keyring_done(&ring->keys);
	mem_free(ring);
}

struct vault *vault_ring_start(
	const char *path, struct keyring *keys, const struct keyring_file *file)
{
	struct vault *v = mem_alloc(sizeof(*v));

	v->path = mem_text(path);
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->loaded, NULL);
	v->ring = ring_new(v, keys);
	v->file = *file;
	return v;
}

void vault_ring_end(struct vault *v)
{
	ring_free(v->ring);
	pthread_cond_destroy(&v->loaded);
	pthread_mutex_destroy(&v->lock);
	mem_free(v->path);
	mem_free(v);
}

struct vault_ring *vault_ring_take(struct vault *v)
{
	struct vault_ring *ring;

	pthread_mutex_lock(&v->lock);
	ring = v->ring;
	ring->refs++;
	pthread_mutex_unlock(&v->lock);
	return ring;
}

void vault_ring_drop(struct vault_ring **ring)
{
	struct vault_ring *gone = *ring;
	bool is_last;

	if (gone == NULL)
		return;
	*ring = NULL;
	pthread_mutex_lock(&gone->vault->lock);
	is_last = --gone->refs == 0;
	pthread_mutex_unlock(&gone->vault->lock);
	if (is_last)
		ring_free(gone);
}

struct vault_ring *vault_ring_latest(struct vault *v)
{
	struct fault untold; /* whoever follows on a timer is told the same */
	int followed = vault_follow(v, &untold);

	(void)followed;
	return vault_ring_take(v);
}

enum look { LOOK_SAME, LOOK_REFUSED, LOOK_NEWS };

/* Compares what is there with what is known. LOOK_NEWS: it is the caller's to load. */
static enum look look(struct vault *v, const struct keyring_file *there, struct fault *f)
{
	int64_t now_ms = clock_mono_ms();
	enum look seen;

	pthread_mutex_lock(&v->lock);
	for (;;) {
		seen = LOOK_NEWS;
		if (keyring_file_same(there, &v->file))
			seen = LOOK_SAME;
		else if (v->is_refused && keyring_file_same(there, &v->refused) &&
			 now_ms < v->retry_at_ms)
			seen = LOOK_REFUSED;
		if (seen != LOOK_NEWS || !v->is_loading)
			break;
		pthread_cond_wait(&v->loaded, &v->lock);
	}
	if (seen == LOOK_NEWS)
		v->is_loading = true;
	else if (seen == LOOK_SAME)
		v->is_refused = false;
	else
		*f = v->why;
	pthread_mutex_unlock(&v->lock);
	return seen;
}

/* Only the one that loads replaces v->ring, so that it may look at it without the lock. */
MUST_CHECK static int load(
	struct vault *v, struct keyring *ret, struct keyring_file *ret_file, struct fault *f)
{
	const struct keyring *old = &v->ring->keys;
	uint32_t seals = old->entries[old->active].number;
	int outcome = keyring_load(v->path, ret, ret_file, f);

	if (outcome == KEYRING_ABSENT)
		return fault_raise(f, FAULT_INPUT,
			"key ring %s is gone: put it back; this process goes on with the keys it "
			"has",
			v->path);
	if (outcome < 0)
		return -1;
	if (keyring_place(ret, seals) < ret->n)
		return 0;
	keyring_done(ret);
	return fault_raise(f, FAULT_INPUT,
		"key ring %s is another one: it never had key %u, which seals in this process; put "
		"the right one back, or start again if the change is meant",
		v->path, seals);
}

static void accept(struct vault *v, struct keyring *keys, const struct keyring_file *file)
{
	struct vault_ring *old, *fresh = ring_new(v, keys);

	pthread_mutex_lock(&v->lock);
	old = v->ring;
	v->ring = fresh;
	v->file = *file;
	v->is_refused = false;
	v->is_loading = false;
	pthread_cond_broadcast(&v->loaded);
	pthread_mutex_unlock(&v->lock);
	vault_ring_drop(&old);
}

static void refuse(struct vault *v, const struct keyring_file *there, const struct fault *why)
{
	int64_t now_ms = clock_mono_ms();

	pthread_mutex_lock(&v->lock);
	v->is_refused = true;
	v->refused = *there;
	v->retry_at_ms = now_ms + RETRY_MS;
	v->why = *why;
	v->is_loading = false;
	pthread_cond_broadcast(&v->loaded);
	pthread_mutex_unlock(&v->lock);
}

int vault_follow(struct vault *v, struct fault *f)
{
	struct keyring_file there, file;
	struct keyring keys;
	enum look seen;

	keyring_look(v->path, &there);
	seen = look(v, &there, f);
	if (seen != LOOK_NEWS)
		return seen == LOOK_SAME ? 0 : -1;
	if (load(v, &keys, &file, f) < 0) {
		refuse(v, &there, f);
		return -1;
	}
	accept(v, &keys, &file);
	return 0;
}
