/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rotation that ends between any two of its system calls, and what a power cut then leaves. The
 * calls are wrapped by the linker. What is durable is played in the strictest way: a name counts
 * from the fsync of its folder on, and bytes from the fsync of their file on.
 */
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "base/hash.h"
#include "vault/keyring.h"
#include "vault/vault.h"

enum { ENDED_BY_CUT = 7, ENDED_UNSYNCED = 9, CALLS_MOST = 200 };

static int calls_left = -1; /* the call that takes it to 0 never happens; -1: all do */
static int failing_call = -1;
static int calls_in_all; /* of a rotation */
static bool is_dirty;
static const struct folder *playing;
static char durable_path[100];

static void copy_file(const char *from, const char *to)
{
	char text[8192];
	size_t len = folder_read(from, text, sizeof(text));

	folder_write(to, text, len, 0600);
}

/* Answers whether this call is the one to fail. */
static bool step(void)
{
	if (calls_left > 0 && --calls_left == 0)
		_exit(ENDED_BY_CUT);
	if (failing_call > 0 && --failing_call == 0) {
		errno = EIO;
		return true;
	}
	return false;
}

#define WRAP(name, parameters, arguments)       \
	int __real_##name parameters;           \
	int __wrap_##name parameters;           \
	int __wrap_##name parameters            \
	{                                       \
		if (playing != NULL && step())  \
			return -1;              \
		return __real_##name arguments; \
	}
WRAP(fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(fchown, (int fd, uid_t user, gid_t group), (fd, user, group))
WRAP(unlink, (const char *path), (path))
WRAP(flock, (int fd, int operation), (fd, operation))

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
	if (playing != NULL && step())
		return -1;
	is_dirty = true;
	return __real_write(fd, bytes, len);
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
	if (playing != NULL && step())
		return -1;
	if (playing != NULL && is_dirty)
		_exit(ENDED_UNSYNCED);
	return __real_rename(from, to);
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	struct stat st;

	if (playing != NULL && step())
		return -1;
	if (playing != NULL && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		const struct folder *here = playing;

		playing = NULL; /* the copy is no step of theirs */
		copy_file(here->ring, durable_path);
		playing = here;
	}
	is_dirty = false;
	return 0; /* what is durable is played: no need to wait for a disk */
}

/* ---- */

#define CHECK(call, f)                                        \
	do {                                                  \
		if ((call) < 0)                               \
			fail_msg("%s: %s", #call, (f)->text); \
	} while (0)

/* A rotation, continued where an earlier one ended; the last of its keys is forgotten. */
static int rotate(struct vault *v, struct fault *f)
{
	struct vault_rotation *r = NULL;
	struct vault_key keys[VAULT_KEYS_MAX];
	bool is_resumed = false;
	int result = -1;
	size_t n;

	if (vault_rotation_begin(v, &r, f) < 0)
		return -1;
	n = vault_keys(v, keys);
	for (size_t i = 0; i < n; i++)
		is_resumed |=
			keys[i].state == VAULT_KEY_RETIRING || keys[i].state == VAULT_KEY_RETIRED;
	if ((is_resumed ||
		    (vault_rotation_prepare(r, f) == 0 && vault_rotation_activate(r, f) == 0)) &&
		vault_rotation_finish(r, f) == 0)
		result = vault_rotation_forget(r, &keys[0].number, 1, f);
	vault_rotation_end(r);
	return result;
}

/* In a process of its own, so that its memory goes with it; answers how that ended. */
static int rotate_until(const struct folder *d, int cut, int failure)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct vault *v = NULL;
		struct fault f = {0};

		if (vault_open(d->ring, &v, &f) < 0)
			_exit(3);
		calls_left = cut;
		failing_call = failure;
		playing = d;
		status = rotate(v, &f) < 0 ? 1 : 0;
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void load(const char *path, struct keyring *ret)
{
	struct keyring_file file;
	struct fault f = {0};

	if (keyring_load(path, ret, &file, &f) != KEYRING_LOADED)
		fail_msg("%s: %s", path, f.text);
}

static size_t count_live(const struct keyring *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->entries[i].state != VAULT_KEY_FORGOTTEN;
	return n;
}

static bool seals(const struct keyring *r, uint32_t number)
{
	return r->entries[r->active].number == number;
}

/* What another process may have sealed with just before the cut opens also after it. */
static void assert_nothing_lost(const struct folder *d, uint32_t original)
{
	struct keyring seen, kept;

	load(d->ring, &seen);
	load(durable_path, &kept);
	assert_non_null(keyring_find(&kept, seen.entries[seen.active].number));
	/* The original key may only go once another seals durably. */
	if (keyring_find(&seen, original) == NULL)
		assert_false(seals(&kept, original));
	if (seals(&kept, original))
		assert_non_null(keyring_find(&seen, original));
	keyring_done(&seen);
	keyring_done(&kept);
}

static void begin(struct folder *d, uint32_t *ret_original)
{
	struct vault *v = NULL;
	struct fault f = {0};

	folder_entries(d, true);
	CHECK(vault_open(d->ring, &v, &f), &f);
	*ret_original = vault_active_key(v);
	vault_close(v);
	snprintf(durable_path, sizeof(durable_path), "%s/durable", d->path);
	copy_file(d->ring, durable_path);
}

/* Whatever a cut left, the next rotation ends it: one new key, nothing else. */
static void assert_resumes(const struct folder *d, uint32_t original)
{
	struct keyring before, after;
	uint32_t begun = 0;
	size_t n;

	load(d->ring, &before);
	for (size_t i = 0; i < before.n; i++)
		if (before.entries[i].number != original)
			begun = before.entries[i].number;
	n = count_live(&before);
	keyring_done(&before);
	if (begun != 0 && n == 1)
		return; /* it had ended */
	assert_int_equal(rotate_until(d, -1, -1), 0);
	load(d->ring, &after);
	assert_int_equal(count_live(&after), 1);
	if (begun != 0 && !seals(&after, begun))
		fail_msg("it made another key than the one it had begun with");
	assert_null(keyring_find(&after, original));
	keyring_done(&after);
	assert_int_equal(folder_entries(d, false), 2); /* the ring and our copy */
}

static void a_cut_between_any_two_calls_loses_no_key_that_may_have_sealed(void **state)
{
	struct folder *d = *state;
	int ended = ENDED_BY_CUT;

	for (int cut = 1; ended == ENDED_BY_CUT; cut++) {
		uint32_t original;

		assert_true(cut < CALLS_MOST);
		calls_in_all = cut - 1;
		begin(d, &original);
		ended = rotate_until(d, cut, -1);
		assert_nothing_lost(d, original);
		assert_resumes(d, original);
	}
	assert_int_equal(ended, 0);
	assert_in_range(calls_in_all, 20, CALLS_MOST);
}

/* The same, with what was durable in place of what was there. */
static void after_a_power_cut_a_rotation_can_be_ended(void **state)
{
	struct folder *d = *state;
	int ended = ENDED_BY_CUT;

	for (int cut = 1; ended == ENDED_BY_CUT; cut++) {
		uint32_t original;
		struct keyring r;

		begin(d, &original);
		ended = rotate_until(d, cut, -1);
		assert_int_equal(rename(durable_path, d->ring), 0);
		load(d->ring, &r);
		keyring_done(&r);
		copy_file(d->ring, durable_path);
		assert_resumes(d, original);
	}
	assert_int_equal(ended, 0);
}

static void a_call_that_fails_is_told_and_the_step_can_be_repeated(void **state)
{
	struct folder *d = *state;
	int ended = 1, told = 0;

	for (int call = 1; call <= calls_in_all + 1; call++) {
		uint32_t original;

		begin(d, &original);
		ended = rotate_until(d, -1, call);
		assert_in_range(ended, 0, 1);
		told += ended;
		assert_nothing_lost(d, original);
		assert_resumes(d, original);
	}
	assert_int_equal(ended, 0);
	assert_in_range(told, 15, CALLS_MOST);
}

#define CUT_TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CUT_TEST(a_cut_between_any_two_calls_loses_no_key_that_may_have_sealed),
		CUT_TEST(after_a_power_cut_a_rotation_can_be_ended),
		CUT_TEST(a_call_that_fails_is_told_and_the_step_can_be_repeated),
	};

	hash_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
