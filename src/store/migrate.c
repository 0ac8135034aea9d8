/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations are numbered from 1 without a gap: both_NNN_up.sql (or ENGINE_NNN_up.sql, which goes
 * before it) and, where there is a way back, …_down.sql. See sql/README.md. */
#include "store/store.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/embedded.h"
#include "base/mem.h"
#include "store/db.h"

extern const struct embedded_file store_sql[];

struct step {
	int64_t version;
	const struct embedded_file *script;
	bool is_done; /* false: another process was faster */
};

static const struct embedded_file *find_file(
	const char *engine, int64_t version, const char *direction)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%03lld_%s.sql", engine, (long long)version, direction);
	for (const struct embedded_file *file = store_sql; file->name != NULL; file++)
		if (strcmp(file->name, name) == 0)
			return file;
	return NULL;
}

static const struct embedded_file *find_script(
	const struct db_ops *ops, int64_t version, const char *direction)
{
	const struct embedded_file *own = find_file(ops->name, version, direction);

	return own != NULL ? own : find_file("both", version, direction);
}

MUST_CHECK static int run_script(struct db *db, const struct embedded_file *file, struct fault *f)
{
	AUTO(mem_freep) char *text = NULL;

	if (migrate_text(db->ops, (const char *)file->data, &text, f) < 0)
		return -1;
	return db->ops->script(db, text, f);
}

static int64_t binary_version(const struct db_ops *ops)
{
	int64_t version = 0;

	while (find_script(ops, version + 1, "up") != NULL)
		version++;
	return version;
}

bool store_makes_table(const char *name)
{
	AUTO(buf_drop) struct buf words = BUF_INIT(256);

	buf_addf(&words, "CREATE TABLE %s (", name);
	for (const struct embedded_file *file = store_sql; file->name != NULL; file++)
		if (memmem(file->data, file->len, buf_text(&words), words.len) != NULL)
			return true;
	return false;
}

static int see_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	bool *found = arg;

	(void)cols, (void)n_cols, (void)f;
	*found = true;
	return 1;
}

static int see_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	int64_t *number = arg;

	(void)n_cols, (void)f;
	*number = db_get_int(&cols[0]);
	return 1;
}

int migrate_has_table(struct db *db, const char *name, bool *ret, struct fault *f)
{
	*ret = false;
	return db_read(db, db->ops->find_table, see_row, ret, f, db_text(name));
}

static int read_version(struct db *db, void *arg, struct fault *f)
{
	bool found;
	int64_t *ret = arg;

	*ret = 0;
	if (migrate_has_table(db, "schema_migrations", &found, f) < 0)
		return -1;
	if (!found)
		return 0;
	return db_read(db, "SELECT max(version) FROM schema_migrations", see_number, ret, f);
}

static int read_state(struct db *db, void *arg, struct fault *f)
{
	struct store_version *v = arg;
	bool is_aside, has_alembic, has_clients;

	if (read_version(db, &v->database, f) < 0 ||
		migrate_has_table(db, "original_clients", &is_aside, f) < 0 ||
		migrate_has_table(db, "alembic_version", &has_alembic, f) < 0 ||
		migrate_has_table(db, "clients", &has_clients, f) < 0)
		return -1;
	v->is_original = is_aside || (has_alembic && has_clients && v->database == 0);
	v->was_original = has_alembic && !v->is_original && v->database > 0;
	v->is_strange = has_clients && !v->is_original && v->database == 0;
	return 0;
}

int store_version(struct store *s, struct store_version *ret, struct fault *f)
{
	struct store_version v = {.binary = binary_version(store_ops(s))};

	if (store_use(s, read_state, &v, f) < 0)
		return -1;
	*ret = v;
	return 0;
}

MUST_CHECK static int read_known_version(
	struct store *s, struct store_version *ret, struct fault *f)
{
	struct store_version v = {0};

	if (store_version(s, &v, f) < 0)
		return -1;
	if (v.database > v.binary)
		return fault_raise(f, FAULT_CONFLICT,
			"the database has schema %lld and this program knows up to %lld: "
			"use the newer program",
			(long long)v.database, (long long)v.binary);
	*ret = v;
	return 0;
}

static int create_table(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	return db_exec(db,
		"CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, "
		"name TEXT NOT NULL, applied_at_ms BIGINT NOT NULL)",
		NULL, f);
}

static int find_table(struct db *db, void *arg, struct fault *f)
{
	return migrate_has_table(db, "schema_migrations", arg, f);
}

/* Of two that create it at once, IF NOT EXISTS lets one fail. */
int migrate_prepare(struct store *s, struct fault *f)
{
	struct fault unseen = {0};
	bool found = false;

	if (store_use(s, find_table, &found, f) < 0)
		return -1;
	if (found || store_transact(s, create_table, NULL, f) >= 0)
		return 0;
	return store_use(s, find_table, &found, &unseen) == 0 && found ? 0 : -1;
}

MUST_CHECK static int lock_migrations(struct db *db, struct fault *f)
{
	return db->ops->lock_migrations != NULL ? db->ops->lock_migrations(db, f) : 0;
}

MUST_CHECK static int apply(
	struct db *db, int64_t version, const struct embedded_file *script, struct fault *f)
{
	if (run_script(db, script, f) < 0)
		return -1;
	return db_exec(db,
		"INSERT INTO schema_migrations (version, name, applied_at_ms) VALUES ($1, $2, $3)",
		NULL, f, db_int(version), db_text(script->name), db_int(clock_wall_ms()));
}

/* The version is read again inside: another process may migrate at the same time. */
static int step_up(struct db *db, void *arg, struct fault *f)
{
	struct step *step = arg;
	int64_t version;

	step->is_done = false;
	if (lock_migrations(db, f) < 0 || read_version(db, &version, f) < 0)
		return -1;
	if (version != step->version - 1)
		return 0;
	step->is_done = true;
	return apply(db, step->version, step->script, f);
}

int migrate_first(struct db *db, struct fault *f)
{
	int64_t version;

	if (lock_migrations(db, f) < 0 || read_version(db, &version, f) < 0)
		return -1;
	return version > 0 ? 0 : apply(db, 1, find_script(db->ops, 1, "up"), f);
}

static int step_down(struct db *db, void *arg, struct fault *f)
{
	struct step *step = arg;
	int64_t version;

	step->is_done = false;
	if (lock_migrations(db, f) < 0 || read_version(db, &version, f) < 0)
		return -1;
	if (version != step->version)
		return 0;
	if (run_script(db, step->script, f) < 0)
		return -1;
	step->is_done = true;
	return db_exec(db, "DELETE FROM schema_migrations WHERE version = $1", NULL, f,
		db_int(step->version));
}

int store_migrate_up(struct store *s, int *ret_applied, struct fault *f)
{
	struct store_version v = {0};
	int applied = 0;

	if (read_known_version(s, &v, f) < 0)
		return -1;
	if (v.is_original && v.database == 0)
		return fault_raise(f, FAULT_CONFLICT,
			"the database is the original service's: \"review-fetcher migrate up\" "
			"takes "
			"it over");
	if (v.is_strange)
		return fault_raise(f, FAULT_CONFLICT,
			"the database has a table clients that is not this program's. If it is the "
			"original service's, its table alembic_version is missing: put that back, "
			"with 001_tokens, if all else is in that state");
	if (v.database < v.binary && migrate_prepare(s, f) < 0)
		return -1;
	for (int64_t to = v.database + 1; to <= v.binary; to++) {
		struct step step = {to, find_script(store_ops(s), to, "up"), false};

		if (store_transact(s, step_up, &step, f) < 0)
			return -1;
		applied += step.is_done;
	}
	*ret_applied = applied;
	return 0;
}

int store_migrate_down(struct store *s, int64_t to, int *ret_undone, struct fault *f)
{
	struct store_version v = {0};
	int undone = 0;

	if (read_known_version(s, &v, f) < 0)
		return -1;
	if (to < 0 || to > v.database)
		return fault_raise(f, FAULT_INPUT,
			"cannot go down to schema %lld: the database has schema %lld",
			(long long)to, (long long)v.database);
	if (to == 0 && (v.was_original || v.is_original))
		return fault_raise(f, FAULT_CONFLICT,
			"this database was the original service's, and its secrets are sealed now, "
			"which the original cannot open: there is no way back to it. Restore the "
			"backup that was made before the takeover");
	for (int64_t from = v.database; from > to; from--) {
		struct step step = {from, find_script(store_ops(s), from, "down"), false};

		if (step.script == NULL)
			return fault_raise(f, FAULT_CONFLICT,
				"there is no way back from schema %lld", (long long)from);
		if (store_transact(s, step_down, &step, f) < 0)
			return -1;
		undone += step.is_done;
	}
	*ret_undone = undone;
	return 0;
}
