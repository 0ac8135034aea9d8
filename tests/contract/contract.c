/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static const char *const sqlite_tables[] = {
	"CREATE TABLE items (id BIGINT PRIMARY KEY, name TEXT UNIQUE, total BIGINT, "
	"ratio DOUBLE PRECISION, data BLOB, note TEXT)",
	"CREATE TABLE parts (id BIGINT PRIMARY KEY, item_id BIGINT NOT NULL REFERENCES items (id), "
	"label TEXT, UNIQUE (item_id, label))",
};
static const char *const postgres_tables[] = {
	"CREATE TABLE items (id BIGINT PRIMARY KEY, name TEXT UNIQUE, total BIGINT, "
	"ratio DOUBLE PRECISION, data BYTEA, note TEXT)",
	"CREATE TABLE parts (id BIGINT PRIMARY KEY, item_id BIGINT NOT NULL REFERENCES items (id), "
	"label TEXT, UNIQUE (item_id, label))",
};

void assert_fault(const struct fault *f, enum fault_kind kind)
{
	if (f->kind != kind)
		fail_msg("%s instead of %s: %s", fault_kind_name(f->kind), fault_kind_name(kind),
			f->text);
	assert_true(strlen(f->text) > 0);
}

static int see_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)f;
	assert_true(n_cols >= 1);
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

struct alone {
	const char *sql;
	int64_t number;
};

static int run_body(struct db *db, void *arg, struct fault *f)
{
	struct alone *a = arg;

	return db_read(db, a->sql, see_number, &a->number, f);
}

int64_t read_number(struct store *s, const char *sql)
{
	struct alone a = {.sql = sql};
	struct fault f = {0};

	assert_done(store_use(s, run_body, &a, &f), &f);
	return a.number;
}

void run_alone(struct store *s, const char *sql)
{
	struct alone a = {.sql = sql};
	struct fault f = {0};

	assert_done(store_transact(s, run_body, &a, &f), &f);
}

static struct {
	const struct db_ops *inner;
	struct db_ops outer;
} wrapped;

static int open_wrapped(struct db_site *site, struct db **ret, struct fault *f)
{
	if (wrapped.inner->open(site, ret, f) < 0)
		return -1;
	(*ret)->ops = &wrapped.outer;
	return 0;
}

struct db_ops *contract_wrap(const struct contract *c)
{
	wrapped.inner = store_ops(c->store);
	wrapped.outer = *wrapped.inner;
	wrapped.outer.open = open_wrapped;
	return &wrapped.outer;
}

struct store *contract_store(
	const struct contract *c, const struct db_ops *engine, unsigned connections)
{
	const struct store_options options = {.url = c->url, .connections = connections};
	struct store *s = NULL;
	struct fault f = {0};

	if (engine == NULL)
		assert_done(store_open(&options, &s, &f), &f);
	else
		assert_done(store_open_with(engine, strchr(c->url, ':') + 1, &options, &s, &f), &f);
	return s;
}

void contract_resume(struct contract *c)
{
	c->store = contract_store(c, NULL, CONTRACT_CONNECTIONS);
}

void contract_pause(struct contract *c)
{
	store_closep(&c->store);
}

/* What an earlier test or run may have left, also one that was stopped half-way. */
static void sweep(struct store *s)
{
	struct store_version v;
	struct fault f = {0};
	int undone;

	run_alone(s, "DROP TABLE IF EXISTS parts");
	run_alone(s, "DROP TABLE IF EXISTS items");
	assert_done(store_version(s, &v, &f), &f);
	if (v.database > v.binary)
		run_alone(s, "DELETE FROM schema_migrations WHERE version >= 9000");
	assert_done(store_migrate_down(s, 0, &undone, &f), &f);
	run_alone(s, "DROP TABLE IF EXISTS schema_migrations");
}

static int make_tables(struct db *db, void *arg, struct fault *f)
{
	const char *const *tables = db_engine(db) == DB_SQLITE ? sqlite_tables : postgres_tables;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(sqlite_tables); i++)
		if (db_exec(db, tables[i], NULL, f) < 0)
			return -1;
	return 0;
}

static int lock_database(const char *tmp)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "%.50s/contract-database.lock", tmp);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	return fd;
}

int contract_open(void **state)
{
	struct contract *c = calloc(1, sizeof(*c));
	const char *url = getenv("CONTRACT_DATABASE_URL"), *tmp = getenv("TMPDIR");
	struct fault f = {0};

	c->lock_fd = -1;
	tmp = tmp != NULL ? tmp : "/tmp";
	if (url != NULL && url[0] != '\0') {
		c->lock_fd = lock_database(tmp);
		snprintf(c->url, sizeof(c->url), "%s", url);
	} else {
		snprintf(c->folder, sizeof(c->folder), "%.50s/contract-XXXXXX", tmp);
		assert_non_null(mkdtemp(c->folder));
		snprintf(c->url, sizeof(c->url), "sqlite:%s/x.db", c->folder);
	}
	*state = c;
	contract_resume(c);
	sweep(c->store);
	assert_done(store_transact(c->store, make_tables, NULL, &f), &f);
	return 0;
}

static void remove_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), e->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(path);
}

int contract_close(void **state)
{
	struct contract *c = *state;

	store_close(c->store);
	if (c->folder[0] != '\0')
		remove_folder(c->folder);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	free(c);
	return 0;
}
