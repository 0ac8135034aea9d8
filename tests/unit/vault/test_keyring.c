/* SPDX-License-Identifier: Apache-2.0 */
#include "folder.h"

#include <errno.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/rand.h"
#include "vault/keyring.h"
#include "vault/vault.h"

static void assert_refused(const char *path, const char *why)
{
	struct vault *v = NULL;
	struct fault f = {0};

	assert_int_equal(vault_open(path, &v, &f), -1);
	assert_null(v);
	assert_int_equal(f.kind, FAULT_INPUT);
	if (strstr(f.text, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", f.text, why);
}

static void make_ring(const char *path)
{
	struct vault *v = NULL;
	struct fault f = {0};

	assert_int_equal(vault_open(path, &v, &f), 0);
	vault_close(v);
}

static void a_new_ring_is_private_and_leaves_no_draft(void **state)
{
	struct folder *d = *state;
	struct stat st;
	mode_t umask_before = umask(0777); /* too strict a umask must not lock its owner out */

	make_ring(d->ring);
	umask(umask_before);
	assert_int_equal(stat(d->ring, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(folder_entries(d, false), 1);
}

static void an_existing_ring_is_never_written(void **state)
{
	struct folder *d = *state;
	char before[512], after[512];

	make_ring(d->ring);
	folder_read(d->ring, before, sizeof(before));
	assert_int_equal(chmod(d->ring, 0400), 0);
	make_ring(d->ring);
	folder_read(d->ring, after, sizeof(after));
	assert_string_equal(before, after);
}

static void wider_permissions_are_refused(void **state)
{
	struct folder *d = *state;
	const mode_t wide[] = {0604, 0640, 0660, 0644, 0620, 0602, 0610, 0601, 0777};

	make_ring(d->ring);
	for (size_t i = 0; i < ARRAY_LEN(wide); i++) {
		assert_int_equal(chmod(d->ring, wide[i]), 0);
		assert_refused(d->ring, "chmod 600");
	}
}

static void a_ring_of_another_user_is_refused(void **state)
{
	struct folder *d = *state;

	make_ring(d->ring);
	if (chown(d->ring, 12345, (gid_t)-1) < 0 && errno == EPERM)
		skip();
	assert_refused(d->ring, "belongs to user 12345");
}

static void a_link_and_a_folder_are_refused(void **state)
{
	struct folder *d = *state;
	char target[100];

	snprintf(target, sizeof(target), "%s/real.key", d->path);
	make_ring(target);
	assert_int_equal(symlink(target, d->ring), 0);
	assert_refused(d->ring, "symbolic link");
	assert_refused(d->path, "not a plain file");
}

static void a_missing_folder_above_is_named_with_its_cure(void **state)
{
	struct folder *d = *state;
	char path[100];

	snprintf(path, sizeof(path), "%s/none/none/vault.key", d->path);
	assert_refused(path, "mkdir");
	assert_int_equal(folder_entries(d, false), 0);
}

static void the_folder_of_a_first_ring_is_made_for_its_owner_alone(void **state)
{
	struct folder *d = *state;
	char path[128], folder[96];
	struct stat st;

	snprintf(folder, sizeof(folder), "%s/var", d->path);
	snprintf(path, sizeof(path), "%s/vault.key", folder);
	make_ring(path);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

/* Changes the ring's text, each time in one way, and looks for the sentence that says so. */
static void a_damaged_ring_is_refused_with_its_line(void **state)
{
	struct folder *d = *state;
	char good[512], bad[2048], *key_line;
	size_t len, first, second;

	make_ring(d->ring);
	len = folder_read(d->ring, good, sizeof(good));
	key_line = strchr(good, '\n') + 1;
	first = (size_t)(key_line - good);
	second = len - first;

#define WITH(why, ...)                                            \
	do {                                                      \
		int n_ = snprintf(bad, sizeof(bad), __VA_ARGS__); \
		folder_write(d->ring, bad, (size_t)n_, 0600);     \
		assert_refused(d->ring, why);                     \
	} while (0)
	WITH("active keys", "%s", "");
	WITH("line 1 has no end", "%s", "review-fetcher key ring 1");
	WITH("line 1 is not", "%s", "review-fetcher key ring 2\n");
	WITH("0 active keys", "%.*s", (int)first, good);
	WITH("line 2 has no end", "%.*s", (int)len - 1, good);
	WITH("twice", "%s%s", good, key_line);
	WITH("line 3 is not", "%s\n", good);
	WITH("line 2 is not", "%.*s %s", (int)first, good, key_line);
	WITH("neither", "%.*s\r\n", (int)len - 1, good);
	WITH("line 2 is not", "%.*s more\n", (int)len - 1, good);
	WITH("0 active keys", "%.*sretired\n", (int)len - 7, good);
	WITH("neither", "%.*sActive\n", (int)len - 7, good);
	WITH("number is wrong", "%.*skey 0 2026-01-01T00:00:00Z x active\n", (int)first, good);
	WITH("number is wrong", "%.*skey 4294967296 2026-01-01T00:00:00Z x active\n", (int)first,
		good);
	WITH("time is wrong", "%.*skey 7 yesterday x active\n", (int)first, good);
	WITH("key is damaged", "%.*skey 7 2026-01-01T00:00:00Z x active\n", (int)first, good);
#undef WITH
	for (size_t i = 0; i < second - 1; i++) {
		struct vault *v = NULL;
		struct fault f = {0};

		memcpy(bad, good, len);
		bad[first + i] = bad[first + i] == 'A' ? 'B' : 'A';
		folder_write(d->ring, bad, len, 0600);
		assert_int_equal(vault_open(d->ring, &v, &f), -1);
	}
}

static void a_ring_that_is_too_long_is_refused(void **state)
{
	struct folder *d = *state;
	static char text[KEYRING_FILE_MAX + 1];

	memset(text, 'x', sizeof(text));
	folder_write(d->ring, text, sizeof(text), 0600);
	assert_refused(d->ring, "longer than");
}

static void garbage_is_refused_and_never_read_past(void **state)
{
	static const char start[] = "review-fetcher key ring 1\nkey 1 2026-01-01T00:00:00Z "
				    "AAAAAAAAAAAAAAAAAAAA ";
	char *text = malloc(512);

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t len = rand_below(512), head = rand_below(sizeof(start));
		struct keyring r;
		struct fault f = {0};
		/* An allocation of just that size, so that the sanitizer sees one byte too far. */
		char *exact = malloc(len > 0 ? len : 1);

		rand_bytes(text, 512);
		memcpy(text, start, head);
		memcpy(exact, text, len);
		assert_int_equal(keyring_parse(exact, len, &r, &f), -1);
		free(exact);
	}
	free(text);
}

static void a_ring_of_several_keys_opens_with_each_and_seals_with_one(void **state)
{
	struct folder *d = *state;
	AUTO(buf_drop) struct buf text = BUF_INIT(KEYRING_FILE_MAX);
	char ring[512], other[512], path[100];
	struct keyring r;
	struct fault f = {0};

	make_ring(d->ring);
	snprintf(path, sizeof(path), "%s/other.key", d->path);
	make_ring(path);
	folder_read(d->ring, ring, sizeof(ring));
	folder_read(path, other, sizeof(other));
	buf_add(&text, ring, strlen(ring) - strlen("active\n"));
	buf_addf(&text, "retired\n%s", strchr(other, '\n') + 1);
	assert_int_equal(keyring_parse(text.data, text.len, &r, &f), 0);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.active, 1);
	for (size_t i = 0; i < r.n; i++)
		assert_ptr_equal(keyring_find(&r, r.entries[i].number), r.keys[i]);
	assert_null(keyring_find(&r, 0));
	{
		AUTO(buf_drop) struct buf again = BUF_INIT(KEYRING_FILE_MAX);

		keyring_format(&r, &again);
		assert_string_equal(again.data, text.data);
	}
	keyring_done(&r);
	buf_reset(&text);
	buf_addf(&text, "%s%s", ring, strchr(other, '\n') + 1);
	assert_int_equal(keyring_parse(text.data, text.len, &(struct keyring){0}, &f), -1);
	assert_non_null(strstr(f.text, "2 active keys"));
}

/* All start together on an absent file; every one must end up with the key that is in the file. */
static void processes_that_start_at_once_share_one_key(void **state)
{
	struct folder *d = *state;
	enum { CHILDREN = 8 };
	int gate[2], answers[2];
	uint32_t keys[CHILDREN];
	struct vault *v = NULL;
	struct fault f = {0};

	assert_int_equal(pipe(gate) | pipe(answers), 0);
	for (int i = 0; i < CHILDREN; i++) {
		if (fork() == 0) {
			uint32_t key = 0;
			char go;

			close(gate[1]);
			if (read(gate[0], &go, 1) == 0 && vault_open(d->ring, &v, &f) == 0)
				key = vault_active_key(v);
			_exit(write(answers[1], &key, sizeof(key)) == sizeof(key) ? 0 : 1);
		}
	}
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; i < CHILDREN; i++) {
		int status;

		assert_int_equal(read(answers[0], &keys[i], sizeof(keys[i])), sizeof(keys[i]));
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	close(answers[0]);
	close(answers[1]);
	assert_int_equal(vault_open(d->ring, &v, &f), 0);
	for (int i = 0; i < CHILDREN; i++)
		assert_int_equal(keys[i], vault_active_key(v));
	vault_close(v);
	assert_int_equal(folder_entries(d, false), 1);
}

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(a_new_ring_is_private_and_leaves_no_draft),
		RING_TEST(an_existing_ring_is_never_written),
		RING_TEST(wider_permissions_are_refused),
		RING_TEST(a_ring_of_another_user_is_refused),
		RING_TEST(a_link_and_a_folder_are_refused),
		RING_TEST(a_missing_folder_above_is_named_with_its_cure),
		RING_TEST(the_folder_of_a_first_ring_is_made_for_its_owner_alone),
		RING_TEST(a_damaged_ring_is_refused_with_its_line),
		RING_TEST(a_ring_that_is_too_long_is_refused),
		cmocka_unit_test(garbage_is_refused_and_never_read_past),
		RING_TEST(a_ring_of_several_keys_opens_with_each_and_seals_with_one),
		RING_TEST(processes_that_start_at_once_share_one_key),
	};

	hash_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
