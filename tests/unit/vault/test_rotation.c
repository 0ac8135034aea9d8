/* SPDX-License-Identifier: Apache-2.0 */
#include "folder.h"

#include <errno.h>

#include "base/buf.h"
#include "base/hash.h"
#include "vault/keyring.h"
#include "vault/vault.h"

static const struct vault_place place = {"tokens", "refresh_token", "42"};

/* A ring, and two vaults on it that stand for two processes: one rotates, the other serves. */
struct desk {
	struct folder *folder;
	struct vault *rotating, *serving;
	struct vault_rotation *rotation;
};

#define CHECK(call, f)                                        \
	do {                                                  \
		if ((call) < 0)                               \
			fail_msg("%s: %s", #call, (f)->text); \
	} while (0)

static int set_up(void **state)
{
	struct desk *d = calloc(1, sizeof(*d));
	struct fault f = {0};
	void *folder;

	folder_make(&folder);
	d->folder = folder;
	CHECK(vault_open(d->folder->ring, &d->rotating, &f), &f);
	CHECK(vault_open(d->folder->ring, &d->serving, &f), &f);
	CHECK(vault_rotation_begin(d->rotating, &d->rotation, &f), &f);
	*state = d;
	return 0;
}

static int tear_down(void **state)
{
	struct desk *d = *state;
	void *folder = d->folder;

	vault_rotation_end(d->rotation);
	vault_close(d->rotating);
	vault_close(d->serving);
	folder_remove(&folder);
	free(d);
	return 0;
}

static void seal_text(struct vault *v, const char *text, struct sealed *ret)
{
	AUTO(secret_drop) struct secret plain = secret_from(text, strlen(text));

	vault_seal(v, &place, &plain, ret);
}

static void assert_opens(struct vault *v, const struct sealed *blob, const char *text)
{
	AUTO(secret_drop) struct secret plain = {0};
	struct fault f = {0};

	CHECK(vault_unseal(v, &place, blob->bytes, blob->len, &plain, &f), &f);
	assert_string_equal(plain.bytes, text);
}

/* Seals with v and answers the number of the key that did. */
static uint32_t sealing_key(struct vault *v)
{
	AUTO(sealed_drop) struct sealed blob = {0};

	seal_text(v, "canary", &blob);
	return vault_key_of(blob.bytes, blob.len);
}

static uint32_t key_in_state(struct vault *v, enum vault_key_state state)
{
	struct vault_key keys[VAULT_KEYS_MAX];
	size_t n = vault_keys(v, keys);

	for (size_t i = 0; i < n; i++)
		if (keys[i].state == state)
			return keys[i].number;
	return 0;
}

static size_t count_keys(struct vault *v)
{
	struct vault_key keys[VAULT_KEYS_MAX];

	return vault_keys(v, keys);
}

static void rotate(struct desk *d)
{
	struct fault f = {0};

	CHECK(vault_rotation_prepare(d->rotation, &f), &f);
	CHECK(vault_rotation_activate(d->rotation, &f), &f);
	CHECK(vault_rotation_finish(d->rotation, &f), &f);
}

/* ---- the steps ---- */

static void a_prepared_key_opens_but_does_not_seal(void **state)
{
	struct desk *d = *state;
	uint32_t old = vault_active_key(d->serving), next;
	struct fault f = {0};

	CHECK(vault_rotation_prepare(d->rotation, &f), &f);
	next = key_in_state(d->rotating, VAULT_KEY_NEXT);
	assert_int_not_equal(next, 0);
	assert_int_equal(sealing_key(d->rotating), old);
	assert_int_equal(sealing_key(d->serving), old);
	CHECK(vault_rotation_prepare(d->rotation, &f), &f);
	assert_int_equal(key_in_state(d->rotating, VAULT_KEY_NEXT), next);
	assert_int_equal(count_keys(d->rotating), 2);
}

static void an_activated_key_seals_in_every_process_from_its_next_seal_on(void **state)
{
	struct desk *d = *state;
	AUTO(sealed_drop) struct sealed old = {0}, fresh = {0};
	uint32_t old_key = vault_active_key(d->serving), new_key;
	struct fault f = {0};

	seal_text(d->serving, "from before", &old);
	CHECK(vault_rotation_prepare(d->rotation, &f), &f);
	CHECK(vault_rotation_activate(d->rotation, &f), &f);
	new_key = vault_active_key(d->rotating);
	assert_int_not_equal(new_key, old_key);
	assert_int_equal(sealing_key(d->serving), new_key);
	assert_int_equal(key_in_state(d->serving, VAULT_KEY_RETIRING), old_key);
	seal_text(d->rotating, "from after", &fresh);
	assert_opens(d->serving, &old, "from before");
	assert_opens(d->serving, &fresh, "from after");
	CHECK(vault_rotation_finish(d->rotation, &f), &f);
	assert_int_equal(key_in_state(d->rotating, VAULT_KEY_RETIRING), 0);
	assert_int_equal(key_in_state(d->rotating, VAULT_KEY_RETIRED), old_key);
}

static void a_value_under_a_key_unknown_so_far_opens_at_once(void **state)
{
	struct desk *d = *state;
	AUTO(sealed_drop) struct sealed fresh = {0};

	rotate(d);
	seal_text(d->rotating, "from after", &fresh);
	assert_opens(d->serving, &fresh, "from after");
}

static void activating_without_a_next_key_is_a_bug(void **state)
{
	struct desk *d = *state;
	struct fault f = {0};

	assert_int_equal(vault_rotation_activate(d->rotation, &f), -1);
	assert_int_equal(f.kind, FAULT_BUG);
	assert_int_equal(count_keys(d->serving), 1);
}

static void only_one_rotation_runs_at_a_time_also_after_the_file_was_replaced(void **state)
{
	struct desk *d = *state;
	struct vault_rotation *other = NULL;
	struct fault f = {0};

	for (int i = 0; i < 3; i++) {
		assert_int_equal(vault_rotation_begin(d->serving, &other, &f), -1);
		assert_int_equal(f.kind, FAULT_CONFLICT);
		rotate(d);
	}
	vault_rotation_end(d->rotation);
	d->rotation = NULL;
	CHECK(vault_rotation_begin(d->serving, &other, &f), &f);
	assert_int_equal(vault_active_key(d->serving), vault_active_key(d->rotating));
	vault_rotation_end(other);
}

static void the_file_keeps_its_mode_and_nothing_is_left_beside_it(void **state)
{
	struct desk *d = *state;
	struct stat st;

	assert_int_equal(chmod(d->folder->ring, 0400), 0);
	rotate(d);
	assert_int_equal(stat(d->folder->ring, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(folder_entries(d->folder, false), 1);
}

static void a_draft_that_a_dead_rotation_left_is_taken_away(void **state)
{
	struct desk *d = *state;
	char draft[100];
	struct fault f = {0};

	vault_rotation_end(d->rotation);
	d->rotation = NULL;
	snprintf(draft, sizeof(draft), "%s.draft", d->folder->ring);
	folder_write(draft, "half a ring", 11, 0600);
	CHECK(vault_rotation_begin(d->rotating, &d->rotation, &f), &f);
	assert_int_equal(folder_entries(d->folder, false), 1);
	rotate(d);
}

/* ---- forgetting ---- */

static void a_forgotten_key_is_gone_from_the_file_and_from_every_process(void **state)
{
	struct desk *d = *state;
	AUTO(sealed_drop) struct sealed old = {0};
	AUTO(secret_drop) struct secret plain = {0};
	uint32_t gone = vault_active_key(d->serving);
	char text[1024], key[80];
	struct fault f = {0};

	folder_read(d->folder->ring, text, sizeof(text));
	assert_int_equal(sscanf(text, "review-fetcher key ring 1\nkey %*s %*s %79s", key), 1);
	seal_text(d->serving, "from before", &old);
	rotate(d);
	CHECK(vault_follow(d->serving, &f), &f);
	CHECK(vault_rotation_forget(d->rotation, &gone, 1, &f), &f);
	folder_read(d->folder->ring, text, sizeof(text));
	assert_null(strstr(text, key));
	assert_non_null(strstr(text, " - forgotten\n"));
	CHECK(vault_follow(d->serving, &f), &f);
	assert_int_equal(count_keys(d->serving), 1);
	assert_int_equal(vault_unseal(d->serving, &place, old.bytes, old.len, &plain, &f), -1);
	assert_non_null(strstr(f.text, "not in the key ring"));
}

static void a_process_that_slept_while_its_key_was_forgotten_seals_with_the_new_one(void **state)
{
	struct desk *d = *state;
	uint32_t old = vault_active_key(d->serving);
	struct fault f = {0};

	rotate(d);
	rotate(d);
	CHECK(vault_rotation_forget(d->rotation, &old, 1, &f), &f);
	assert_int_equal(sealing_key(d->serving), vault_active_key(d->rotating));
}

static void what_is_not_retired_is_not_forgotten(void **state)
{
	struct desk *d = *state;
	uint32_t number = vault_active_key(d->serving);
	struct fault f = {0};

	assert_int_equal(vault_rotation_forget(d->rotation, &number, 1, &f), -1);
	CHECK(vault_rotation_prepare(d->rotation, &f), &f);
	number = key_in_state(d->rotating, VAULT_KEY_NEXT);
	assert_int_equal(vault_rotation_forget(d->rotation, &number, 1, &f), -1);
	CHECK(vault_rotation_activate(d->rotation, &f), &f);
	number = key_in_state(d->rotating, VAULT_KEY_RETIRING);
	assert_int_equal(vault_rotation_forget(d->rotation, &number, 1, &f), -1);
	number = 12345;
	assert_int_equal(vault_rotation_forget(d->rotation, &number, 1, &f), -1);
	assert_int_equal(f.kind, FAULT_BUG);
	assert_int_equal(count_keys(d->rotating), 2);
}

static void a_full_ring_says_so_and_forgetting_makes_room(void **state)
{
	struct desk *d = *state;
	AUTO(sealed_drop) struct sealed first = {0}, last = {0};
	struct vault_key keys[VAULT_KEYS_MAX];
	uint32_t old[VAULT_KEYS_MAX];
	struct fault f = {0};
	size_t n;

	seal_text(d->serving, "first", &first);
	for (int i = 1; i < VAULT_KEYS_MAX; i++)
		rotate(d);
	assert_int_equal(vault_rotation_prepare(d->rotation, &f), -1);
	assert_int_equal(f.kind, FAULT_CONFLICT);
	assert_non_null(strstr(f.text, "--forget-retired"));
	seal_text(d->rotating, "last", &last);
	assert_opens(d->serving, &first, "first");
	assert_opens(d->serving, &last, "last");
	n = vault_keys(d->rotating, keys);
	for (size_t i = 1; i < n - 1; i++)
		old[i - 1] = keys[i].number;
	CHECK(vault_rotation_forget(d->rotation, old, n - 2, &f), &f);
	assert_int_equal(count_keys(d->rotating), 2);
	for (int i = 2; i < VAULT_KEYS_MAX; i++) {
		assert_opens(d->rotating, &first, "first");
		assert_opens(d->serving, &last, "last");
		rotate(d);
	}
	assert_int_equal(vault_rotation_prepare(d->rotation, &f), -1);
}

/* ---- a file that cannot be taken ---- */

static void assert_refused(struct vault *v, const char *why)
{
	struct fault f = {0};

	assert_int_equal(vault_follow(v, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	if (strstr(f.text, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", f.text, why);
}

static void a_bad_file_is_told_and_the_ring_in_memory_serves_on(void **state)
{
	struct desk *d = *state;
	AUTO(sealed_drop) struct sealed blob = {0};
	uint32_t key = vault_active_key(d->serving);
	char text[512], other[100];
	size_t len = folder_read(d->folder->ring, text, sizeof(text));
	struct vault *stranger = NULL;
	struct fault f = {0};

	seal_text(d->serving, "canary", &blob);
	folder_write(d->folder->ring, text, len - 3, 0600);
	assert_refused(d->serving, "line 2 has no end");
	assert_int_equal(sealing_key(d->serving), key);
	assert_refused(d->serving, "line 2 has no end");
	folder_write(d->folder->ring, text, len, 0644);
	assert_refused(d->serving, "chmod 600");
	unlink(d->folder->ring);
	assert_refused(d->serving, "is gone");
	assert_opens(d->serving, &blob, "canary");
	assert_int_equal(sealing_key(d->serving), key);
	assert_int_equal(access(d->folder->ring, F_OK), -1);
	snprintf(other, sizeof(other), "%s/other.key", d->folder->path);
	CHECK(vault_open(other, &stranger, &f), &f);
	vault_close(stranger);
	assert_int_equal(rename(other, d->folder->ring), 0);
	assert_refused(d->serving, "is another one");
	assert_int_equal(sealing_key(d->serving), key);
	folder_write(d->folder->ring, text, len, 0600);
	CHECK(vault_follow(d->serving, &f), &f);
	assert_int_equal(sealing_key(d->serving), key);
}

static void a_rotation_does_not_begin_on_a_file_that_is_gone(void **state)
{
	struct desk *d = *state;
	struct vault_rotation *other = NULL;
	struct fault f = {0};

	unlink(d->folder->ring);
	assert_int_equal(vault_rotation_begin(d->serving, &other, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_int_equal(folder_entries(d->folder, false), 0);
}

/* ---- the text ---- */

static void every_state_is_written_as_it_was_read(void **state)
{
	struct desk *d = *state;
	char before[2048];
	struct keyring r;
	struct keyring_file file;
	uint32_t first = vault_active_key(d->rotating);
	struct fault f = {0};

	rotate(d);
	CHECK(vault_rotation_forget(d->rotation, &first, 1, &f), &f);
	rotate(d);
	CHECK(vault_rotation_prepare(d->rotation, &f), &f);
	CHECK(vault_rotation_activate(d->rotation, &f), &f);
	CHECK(vault_rotation_prepare(d->rotation, &f), &f);
	folder_read(d->folder->ring, before, sizeof(before));
	assert_non_null(strstr(before, " - forgotten\n"));
	assert_non_null(strstr(before, " retired\n"));
	assert_non_null(strstr(before, " retiring\n"));
	assert_non_null(strstr(before, " active\n"));
	assert_non_null(strstr(before, " next\n"));
	assert_int_equal(keyring_load(d->folder->ring, &r, &file, &f), KEYRING_LOADED);
	{
		AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(KEYRING_FILE_MAX);

		keyring_format(&r, &text);
		assert_string_equal(text.data, before);
	}
	assert_null(keyring_find(&r, first));
	keyring_done(&r);
	memcpy(strstr(before, "forgotten"), "retired\n\0", 9);
	assert_int_equal(keyring_parse(before, strlen(before), &r, &f), -1);
	assert_string_equal(f.text, "line 2: the key is damaged");
}

static void two_next_keys_are_one_too_many(void **state)
{
	struct desk *d = *state;
	AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(KEYRING_FILE_MAX);
	struct keyring r, copy;
	struct keyring_file file;
	struct fault f = {0};

	assert_int_equal(keyring_load(d->folder->ring, &r, &file, &f), KEYRING_LOADED);
	keyring_copy(&r, &copy);
	keyring_add(&copy, VAULT_KEY_NEXT);
	keyring_add(&copy, VAULT_KEY_NEXT);
	keyring_format(&copy, &text);
	keyring_done(&copy);
	keyring_done(&r);
	assert_int_equal(keyring_parse(text.data, text.len, &r, &f), -1);
	assert_non_null(strstr(f.text, "2 next keys"));
}

#define ROTATION_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROTATION_TEST(a_prepared_key_opens_but_does_not_seal),
		ROTATION_TEST(an_activated_key_seals_in_every_process_from_its_next_seal_on),
		ROTATION_TEST(a_value_under_a_key_unknown_so_far_opens_at_once),
		ROTATION_TEST(activating_without_a_next_key_is_a_bug),
		ROTATION_TEST(only_one_rotation_runs_at_a_time_also_after_the_file_was_replaced),
		ROTATION_TEST(the_file_keeps_its_mode_and_nothing_is_left_beside_it),
		ROTATION_TEST(a_draft_that_a_dead_rotation_left_is_taken_away),
		ROTATION_TEST(a_forgotten_key_is_gone_from_the_file_and_from_every_process),
		ROTATION_TEST(
			a_process_that_slept_while_its_key_was_forgotten_seals_with_the_new_one),
		ROTATION_TEST(what_is_not_retired_is_not_forgotten),
		ROTATION_TEST(a_full_ring_says_so_and_forgetting_makes_room),
		ROTATION_TEST(a_bad_file_is_told_and_the_ring_in_memory_serves_on),
		ROTATION_TEST(a_rotation_does_not_begin_on_a_file_that_is_gone),
		ROTATION_TEST(every_state_is_written_as_it_was_read),
		ROTATION_TEST(two_next_keys_are_one_too_many),
	};

	hash_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
