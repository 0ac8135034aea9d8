/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads seal and open while the ring changes under them. Worth most under ThreadSanitizer.
 */
#include "folder.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/rand.h"
#include "vault/keyring.h"
#include "vault/vault.h"

enum { THREADS = 6, PROCESSES = 2, ROTATIONS = 20, PLACES = 16 };

static const struct vault_place place = {"tokens", "refresh_token", "42"};

/* The database, as it were. */
struct table {
	pthread_mutex_t lock;
	struct sealed blobs[PLACES];
};

struct worker {
	pthread_t thread;
	struct vault *vault;
	struct table *table;
	atomic_bool *is_over;
	struct fault fault; /* the first one */
	unsigned failures, rounds;
};

/* ---- how often the file is read ---- */

static atomic_uint n_loads;
int __real_keyring_load(
	const char *path, struct keyring *ret, struct keyring_file *ret_file, struct fault *f);
int __wrap_keyring_load(
	const char *path, struct keyring *ret, struct keyring_file *ret_file, struct fault *f);
int __wrap_keyring_load(
	const char *path, struct keyring *ret, struct keyring_file *ret_file, struct fault *f)
{
	atomic_fetch_add(&n_loads, 1);
	return __real_keyring_load(path, ret, ret_file, f);
}

/* ---- */

#define CHECK(call, f)                                        \
	do {                                                  \
		if ((call) < 0)                               \
			fail_msg("%s: %s", #call, (f)->text); \
	} while (0)

static void put(struct table *t, size_t at, struct sealed *blob)
{
	struct sealed old;

	pthread_mutex_lock(&t->lock);
	old = t->blobs[at];
	t->blobs[at] = *blob;
	pthread_mutex_unlock(&t->lock);
	sealed_drop(&old);
}

static struct sealed get(struct table *t, size_t at)
{
	struct sealed blob = {0};

	pthread_mutex_lock(&t->lock);
	if (t->blobs[at].bytes != NULL)
		blob = sealed_from(t->blobs[at].bytes, t->blobs[at].len);
	pthread_mutex_unlock(&t->lock);
	return blob;
}

static void seal_one(struct worker *w)
{
	AUTO(secret_drop) struct secret plain = secret_from("canary", 6);
	struct sealed blob;

	vault_seal(w->vault, &place, &plain, &blob);
	put(w->table, rand_below(PLACES), &blob);
}

static void open_one(struct worker *w)
{
	AUTO(sealed_drop) struct sealed blob = get(w->table, rand_below(PLACES));
	AUTO(secret_drop) struct secret plain = {0};
	struct fault f = {0};

	if (blob.bytes == NULL)
		return;
	if (vault_unseal(w->vault, &place, blob.bytes, blob.len, &plain, &f) == 0 &&
		strcmp(plain.bytes, "canary") == 0)
		return;
	if (w->failures++ == 0)
		w->fault = f;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load(w->is_over)) {
		seal_one(w);
		open_one(w);
		w->rounds++;
	}
	return NULL;
}

static void rotate(struct vault *v, int times)
{
	struct vault_rotation *r = NULL;
	struct fault f = {0};

	CHECK(vault_rotation_begin(v, &r, &f), &f);
	for (int i = 0; i < times; i++) {
		CHECK(vault_rotation_prepare(r, &f), &f);
		CHECK(vault_rotation_activate(r, &f), &f);
		CHECK(vault_rotation_finish(r, &f), &f);
	}
	vault_rotation_end(r);
}

static void nobody_ever_meets_a_value_that_does_not_open(void **state)
{
	struct folder *d = *state;
	struct table table = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct vault *processes[PROCESSES], *rotating;
	struct worker workers[THREADS] = {0};
	atomic_bool is_over = false;
	struct fault f = {0};

	CHECK(vault_open(d->ring, &rotating, &f), &f);
	for (int i = 0; i < PROCESSES; i++)
		CHECK(vault_open(d->ring, &processes[i], &f), &f);
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){
			.vault = processes[i % PROCESSES], .table = &table, .is_over = &is_over};
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	rotate(rotating, ROTATIONS);
	atomic_store(&is_over, true);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].failures > 0)
			fail_msg("%u values did not open: %s", workers[i].failures,
				workers[i].fault.text);
		assert_true(workers[i].rounds > 0);
	}
	for (int i = 0; i < PROCESSES; i++) {
		CHECK(vault_follow(processes[i], &f), &f);
		assert_int_equal(vault_active_key(processes[i]), vault_active_key(rotating));
		vault_close(processes[i]);
	}
	vault_close(rotating);
	for (int i = 0; i < PLACES; i++)
		sealed_drop(&table.blobs[i]);
}

/* ---- reading the file no more often than it changes ---- */

static int64_t now_ms = 1000000;

static int64_t fake_now(void *arg)
{
	(void)arg;
	return now_ms;
}

static void assert_unknown(struct vault *v, const struct sealed *blob)
{
	AUTO(secret_drop) struct secret plain = {0};
	struct fault f = {0};

	assert_int_equal(vault_unseal(v, &place, blob->bytes, blob->len, &plain, &f), -1);
	assert_non_null(strstr(f.text, "not in the key ring"));
}

static void a_value_of_a_foreign_key_does_not_make_the_file_be_read_over_and_over(void **state)
{
	static const struct clock_source source = {.wall_ms = fake_now, .mono_ms = fake_now};
	struct folder *d = *state;
	AUTO(sealed_drop) struct sealed blob = {0};
	AUTO(secret_drop) struct secret plain = secret_from("canary", 6);
	struct vault *v = NULL, *stranger = NULL;
	char other[100];
	struct fault f = {0};

	clock_use(&source);
	snprintf(other, sizeof(other), "%s/other.key", d->path);
	CHECK(vault_open(other, &stranger, &f), &f);
	vault_seal(stranger, &place, &plain, &blob);
	vault_close(stranger);
	CHECK(vault_open(d->ring, &v, &f), &f);
	atomic_store(&n_loads, 0);
	for (int i = 0; i < 100; i++)
		assert_unknown(v, &blob);
	assert_int_equal(atomic_load(&n_loads), 0);
	/* A bad file: read once, and again when time has passed or it is another one. */
	folder_write(d->ring, "damage", 6, 0600);
	for (int i = 0; i < 100; i++)
		assert_unknown(v, &blob);
	assert_int_equal(atomic_load(&n_loads), 1);
	now_ms += 30000;
	for (int i = 0; i < 100; i++)
		assert_unknown(v, &blob);
	assert_int_equal(atomic_load(&n_loads), 2);
	folder_write(d->ring, "other damage", 12, 0600);
	assert_unknown(v, &blob);
	assert_int_equal(atomic_load(&n_loads), 3);
	vault_close(v);
	clock_use(NULL);
}

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(nobody_ever_meets_a_value_that_does_not_open),
		RING_TEST(a_value_of_a_foreign_key_does_not_make_the_file_be_read_over_and_over),
	};

	hash_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
