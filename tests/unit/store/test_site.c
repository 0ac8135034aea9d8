/* SPDX-License-Identifier: Apache-2.0 */
/* The database's file: where it may be, who may read it, who may serve it. */
#include "scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static void assert_refused(const char *url, bool exclusive, enum fault_kind kind, const char *why)
{
	const struct store_options options = {url, 1, exclusive};
	struct store *store = NULL;
	struct fault f = {0};

	assert_int_equal(store_open(&options, &store, &f), -1);
	assert_null(store);
	assert_int_equal(f.kind, kind);
	if (strstr(f.text, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", f.text, why);
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static int touch(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db_exec(db, "CREATE TABLE t (a TEXT) STRICT", NULL, f);
}

static void folder_and_files_are_for_the_owner_alone(void **state)
{
	struct scratch *s = *state;
	const char *ends[] = {"", "-wal", "-shm", ".lock"};
	mode_t before = umask(0);
	struct fault f = {0};
	char path[128];

	s->store = scratch_open(s, 2, true);
	assert_done(store_transact(s->store, touch, NULL, &f), &f);
	umask(before);
	snprintf(path, sizeof(path), "%s/var", s->folder);
	assert_int_equal(mode_of(path), 0700);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		snprintf(path, sizeof(path), "%s%s", s->path, ends[i]);
		assert_int_equal(mode_of(path), 0600);
	}
}

static void a_closed_store_leaves_one_file_behind(void **state)
{
	struct scratch *s = *state;
	struct store *store = scratch_open(s, 2, false);
	struct fault f = {0};
	char wal[128];

	assert_done(store_transact(store, touch, NULL, &f), &f);
	store_close(store);
	snprintf(wal, sizeof(wal), "%s-wal", s->path);
	assert_int_not_equal(access(wal, F_OK), 0);
}

static void a_wrong_url_is_told_what_a_right_one_is(void **state)
{
	const char *wrong[] = {
		"", "x.db", "/var/x.db", "sqlite", "mysql://h/d", "SQLITE:x.db", "sqlite2:x.db"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_refused(wrong[i], false, FAULT_INPUT, "sqlite:PATH");
	assert_refused("sqlite:", false, FAULT_INPUT, "wants a path");
	assert_refused("sqlite::memory:", false, FAULT_INPUT, "not offered");
}

/* Also where it is not escaped and ends up in the name of the host, the port or a parameter. */
static void the_password_in_a_url_is_not_in_the_fault(void **state)
{
	static const struct {
		const char *url;
		enum fault_kind kind;
	} urls[] = {
		{"postgresql://user:canary@127.0.0.1:1/db", FAULT_STORE},
		{"postgres://user:canary@127.0.0.1:1/db?connect_timeout=2", FAULT_STORE},
		{"postgresql://user:p@canary@127.0.0.1:1/db", FAULT_INPUT},
		{"postgresql://user:p/canary@127.0.0.1:1/db", FAULT_INPUT},
		{"postgresql://user:canary/p@127.0.0.1:1/db", FAULT_INPUT},
		{"postgresql://user:p?canary@127.0.0.1:1/db", FAULT_STORE},
		{"postgresql://user:p%zcanary@127.0.0.1:1/db", FAULT_INPUT},
		{"postgresql://user@127.0.0.1:1/db?pasword=canary", FAULT_INPUT},
		{"postgresql:user=x password=canary", FAULT_INPUT},
		{"mysql://user:canary@127.0.0.1/db", FAULT_INPUT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		const struct store_options options = {urls[i].url, 1, false};
		struct store *store = NULL;
		struct fault f = {0};

		assert_int_equal(store_open(&options, &store, &f), -1);
		if (f.kind != urls[i].kind)
			fail_msg("%s: %s", urls[i].url, f.text);
		assert_null(strstr(f.text, "canary"));
		assert_true((f.retry_after_ms > 0) == (f.kind == FAULT_STORE));
	}
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
	struct scratch *s = *state;
	char url[160];

	snprintf(url, sizeof(url), "sqlite:%s/no/such/x.db", s->folder);
	assert_refused(url, false, FAULT_INPUT, "mkdir -p");
	snprintf(url, sizeof(url), "sqlite:%s", s->folder);
	assert_refused(url, false, FAULT_INPUT, "not a plain file");
	snprintf(url, sizeof(url), "sqlite:/dev/null/x.db");
	assert_refused(url, false, FAULT_INPUT, "x.db");
}

static void a_file_that_is_no_database_is_refused_and_kept(void **state)
{
	struct scratch *s = *state;
	char url[160], path[128], text[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/notes.txt", s->folder);
	file = fopen(path, "w");
	for (int i = 0; i < 100; i++)
		fputs("these are notes and no database\n", file);
	fclose(file);
	snprintf(url, sizeof(url), "sqlite:%s", path);
	assert_refused(url, false, FAULT_STORE, "not an SQLite database");
	file = fopen(path, "r");
	assert_non_null(fgets(text, sizeof(text), file));
	assert_string_equal(text, "these are notes and no database\n");
	fclose(file);
}

/* A child that serves the database until the pipe closes. Answers when it has it. */
static pid_t start_server(const struct scratch *s, int *ret_leash)
{
	int ready[2], leash[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(ready) | pipe(leash), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct store *store = scratch_open(s, 1, true);

		close(leash[1]);
		if (write(ready[1], "r", 1) == 1 && read(leash[0], &byte, 1) == 0)
			store_close(store);
		_exit(0);
	}
	close(leash[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	*ret_leash = leash[1];
	return child;
}

static void only_one_process_serves_and_the_other_is_told_which(void **state)
{
	struct scratch *s = *state;
	int leash, status;
	pid_t child = start_server(s, &leash);
	struct store *beside;
	char pid[32];

	snprintf(pid, sizeof(pid), "process %d serves", child);
	assert_refused(s->url, true, FAULT_CONFLICT, pid);
	/* The command line works beside it. */
	beside = scratch_open(s, 1, false);
	store_close(beside);
	close(leash);
	assert_int_equal(waitpid(child, &status, 0), child);
	store_close(scratch_open(s, 1, true));
}

static void a_killed_server_leaves_no_lock(void **state)
{
	struct scratch *s = *state;
	int leash, status;
	pid_t child = start_server(s, &leash);

	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	close(leash);
	store_close(scratch_open(s, 1, true));
}

static int look(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db_exec(db, "SELECT a FROM t", NULL, f);
}

static void a_file_taken_away_does_not_come_back_empty(void **state)
{
	struct scratch *s = *state;
	struct fault f = {0};
	struct db *first, *second;

	s->store = scratch_open(s, 2, false);
	assert_done(store_transact(s->store, touch, NULL, &f), &f);
	assert_done(store_ping(s->store, &f), &f);
	assert_int_equal(unlink(s->path), 0);
	assert_int_equal(store_ping(s->store, &f), -1);
	assert_int_equal(f.kind, FAULT_STORE);
	assert_done(store_take(s->store, &first, &f), &f);
	assert_int_equal(store_take(s->store, &second, &f), -1);
	assert_int_equal(f.kind, FAULT_STORE);
	assert_int_not_equal(access(s->path, F_OK), 0);
	store_give(s->store, first);
}

static void a_file_put_in_the_place_of_ours_is_noticed(void **state)
{
	struct scratch *s = *state;
	struct fault f = {0};
	char aside[128];

	s->store = scratch_open(s, 1, false);
	snprintf(aside, sizeof(aside), "%s.old", s->path);
	assert_int_equal(rename(s->path, aside), 0);
	fclose(fopen(s->path, "w"));
	assert_int_equal(store_ping(s->store, &f), -1);
	assert_non_null(strstr(f.text, "not the file"));
	assert_int_equal(rename(aside, s->path), 0);
	assert_done(store_ping(s->store, &f), &f);
}

static void a_damaged_file_is_called_damaged(void **state)
{
	struct scratch *s = *state;
	struct store *store = scratch_open(s, 1, false);
	struct fault f = {0};
	char page[4096];
	int fd;

	assert_done(store_transact(store, touch, NULL, &f), &f);
	store_close(store);
	fd = open(s->path, O_RDWR | O_CLOEXEC);
	memset(page, 0xa5, sizeof(page));
	assert_int_equal(pwrite(fd, page, sizeof(page), 4096), sizeof(page));
	close(fd);
	s->store = scratch_open(s, 1, false);
	assert_int_equal(store_use(s->store, look, NULL, &f), -1);
	assert_int_equal(f.kind, FAULT_STORE);
	assert_non_null(strstr(f.text, "damaged"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRATCH_TEST(folder_and_files_are_for_the_owner_alone),
		SCRATCH_TEST(a_closed_store_leaves_one_file_behind),
		cmocka_unit_test(a_wrong_url_is_told_what_a_right_one_is),
		cmocka_unit_test(the_password_in_a_url_is_not_in_the_fault),
		SCRATCH_TEST(a_folder_that_cannot_be_made_is_named),
		SCRATCH_TEST(a_file_that_is_no_database_is_refused_and_kept),
		SCRATCH_TEST(only_one_process_serves_and_the_other_is_told_which),
		SCRATCH_TEST(a_killed_server_leaves_no_lock),
		SCRATCH_TEST(a_file_taken_away_does_not_come_back_empty),
		SCRATCH_TEST(a_file_put_in_the_place_of_ours_is_noticed),
		SCRATCH_TEST(a_damaged_file_is_called_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
