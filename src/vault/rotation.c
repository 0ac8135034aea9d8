/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rotation as the file sees it. A new key comes in two writings: first as one that only opens,
 * and when that is durable as the one that seals. Otherwise a process could take the new key up and
 * seal with it in the moment between the file's new name and the folder's fsync, and a power cut in
 * that moment would leave the value without its key.
 */
#include <unistd.h>

#include "base/mem.h"
#include "vault/ring.h"

struct vault_rotation {
	struct vault *v;
	int lock_fd;
};

int vault_rotation_begin(struct vault *v, struct vault_rotation **ret, struct fault *f)
{
	struct vault_rotation *r;
	int lock_fd;

	if (keyring_lock(v->path, &lock_fd, f) < 0)
		return -1;
	/* Behind the lock nobody else changes the file. */
	if (vault_follow(v, f) < 0) {
		close(lock_fd);
		return -1;
	}
	r = mem_alloc(sizeof(*r));
	*r = (struct vault_rotation){v, lock_fd};
	*ret = r;
	return 0;
}

void vault_rotation_end(struct vault_rotation *r)
{
	if (r == NULL)
		return;
	close(r->lock_fd);
	mem_free(r);
}

/* A copy of the ring, to be changed and written. */
static void copy_ring(const struct vault_rotation *r, struct keyring *ret)
{
	AUTO(vault_ring_drop) struct vault_ring *ring = vault_ring_take(r->v);

	keyring_copy(&ring->keys, ret);
}

/* Reads back what it wrote, as any other process will. */
MUST_CHECK static int write_ring(
	struct vault_rotation *r, const struct keyring *keys, struct fault *f)
{
	AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(KEYRING_FILE_MAX);

	keyring_format(keys, &text);
	if (buf_failed(&text))
		return fault_raise(f, FAULT_BUG, "the key ring does not fit its own file");
	if (keyring_replace(r->v->path, &r->lock_fd, &text, f) < 0)
		return -1;
	return vault_follow(r->v, f);
}

static size_t find_state(const struct keyring *keys, enum vault_key_state state)
{
	size_t i = 0;

	while (i < keys->n && keys->entries[i].state != state)
		i++;
	return i;
}

int vault_rotation_prepare(struct vault_rotation *r, struct fault *f)
{
	AUTO(keyring_done) struct keyring keys;

	copy_ring(r, &keys);
	if (find_state(&keys, VAULT_KEY_NEXT) < keys.n)
		return 0;
	keyring_make_room(&keys);
	if (keys.n == VAULT_KEYS_MAX)
		return fault_raise(f, FAULT_CONFLICT,
			"the key ring holds %d keys and has no room for another: \"vault rotate "
			"--forget-retired\" takes old ones out",
			VAULT_KEYS_MAX);
	keyring_add(&keys, VAULT_KEY_NEXT);
	return write_ring(r, &keys, f);
}

int vault_rotation_activate(struct vault_rotation *r, struct fault *f)
{
	AUTO(keyring_done) struct keyring keys;
	size_t next;

	copy_ring(r, &keys);
	next = find_state(&keys, VAULT_KEY_NEXT);
	if (next == keys.n)
		return fault_raise(f, FAULT_BUG, "the key ring has no next key");
	keys.entries[keys.active].state = VAULT_KEY_RETIRING;
	keys.entries[next].state = VAULT_KEY_ACTIVE;
	return write_ring(r, &keys, f);
}

int vault_rotation_finish(struct vault_rotation *r, struct fault *f)
{
	AUTO(keyring_done) struct keyring keys;
	bool is_changed = false;

	copy_ring(r, &keys);
	for (size_t i = 0; i < keys.n; i++) {
		if (keys.entries[i].state != VAULT_KEY_RETIRING)
			continue;
		keys.entries[i].state = VAULT_KEY_RETIRED;
		is_changed = true;
	}
	return is_changed ? write_ring(r, &keys, f) : 0;
}

int vault_rotation_forget(
	struct vault_rotation *r, const uint32_t *numbers, size_t n, struct fault *f)
{
	AUTO(keyring_done) struct keyring keys;

	copy_ring(r, &keys);
	for (size_t i = 0; i < n; i++) {
		size_t at = keyring_place(&keys, numbers[i]);

		if (at == keys.n || keys.entries[at].state != VAULT_KEY_RETIRED)
			return fault_raise(f, FAULT_BUG, "key %u is not a retired one", numbers[i]);
		keyring_forget(&keys, at);
	}
	return n > 0 ? write_ring(r, &keys, f) : 0;
}
