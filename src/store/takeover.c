/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The original's tables and ours have the same names, so its own are put aside first. That they are
 * there says that the takeover has not ended. Alembic's row is changed at the end: the original,
 * started by mistake, then finds a state that it does not know and stops.
 */
#include "store/store.h"

#include <string.h>

#include "base/text.h"
#include "store/db.h"

#define KNOWN_STATE "001_tokens"

static int see_state(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	bool *is_known = arg;

	(void)n_cols, (void)f;
	*is_known = text_equal(db_get_text(&cols[0]), KNOWN_STATE);
	return 0;
}

static int see_count(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols, (void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 0;
}

/* Rows of the original have no number limits of ours: its tables keep their types until they go. */
static int begin_body(struct db *db, void *arg, struct fault *f)
{
	bool is_aside, is_known = false;

	(void)arg;
	if (migrate_has_table(db, "original_clients", &is_aside, f) < 0)
		return -1;
	if (is_aside)
		return 0;
	if (db_read(db, "SELECT version_num FROM alembic_version", see_state, &is_known, f) < 0)
		return -1;
	if (!is_known)
		return fault_raise(f, FAULT_CONFLICT,
			"the database is the original service's, but its alembic_version is "
			"not " KNOWN_STATE ": bring it there with the original first");
	if (takeover_check(db, f) < 0)
		return -1;
	if (db_exec(db, "ALTER TABLE tokens RENAME TO original_tokens", NULL, f) < 0 ||
		db_exec(db, "ALTER TABLE clients RENAME TO original_clients", NULL, f) < 0)
		return -1;
	return migrate_first(db, f);
}

static int lock_and_begin(struct db *db, void *arg, struct fault *f)
{
	if (db->ops->lock_migrations(db, f) < 0)
		return -1;
	return begin_body(db, arg, f);
}

int store_takeover_begin(struct store *s, struct fault *f)
{
	if (store_ops(s)->engine != DB_POSTGRES)
		return fault_raise(f, FAULT_CONFLICT,
			"only a PostgreSQL database of the original service can be taken over");
	if (migrate_prepare(s, f) < 0)
		return -1;
	return store_transact(s, lock_and_begin, NULL, f);
}

static int end_body(struct db *db, void *arg, struct fault *f)
{
	static const char *const steps[] = {
		"DROP TABLE original_tokens",
		"DROP TABLE original_clients",
		"UPDATE alembic_version SET version_num = 'review-fetcher'",
		"SELECT setval(pg_get_serial_sequence('clients', 'id'),"
		" (SELECT coalesce(max(id), 0) + 1 FROM clients), false)",
		"SELECT setval(pg_get_serial_sequence('tokens', 'id'), greatest("
		"(SELECT coalesce(max(id), 0) FROM tokens),"
		" (SELECT coalesce(max(id), 0) FROM former_tokens)) + 1, false)",
	};
	bool is_aside;
	int64_t left = 0;

	(void)arg;
	if (db->ops->lock_migrations(db, f) < 0 ||
		migrate_has_table(db, "original_clients", &is_aside, f) < 0)
		return -1;
	if (!is_aside)
		return 0;
	if (db_read(db,
		    "SELECT (SELECT count(*) FROM original_clients) +"
		    " (SELECT count(*) FROM original_tokens)",
		    see_count, &left, f) < 0)
		return -1;
	if (left > 0)
		return fault_raise(
			f, FAULT_BUG, "%lld rows of the original are left", (long long)left);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (db_exec(db, steps[i], NULL, f) < 0)
			return -1;
	return 0;
}

int store_takeover_end(struct store *s, struct fault *f)
{
	return store_transact(s, end_body, NULL, f);
}
