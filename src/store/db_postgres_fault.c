/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of the server as faults. Its detail lines bear values of rows and are never shown; its
 * first line may for errors of data (class 22), and is shown for all others.
 */
#include "store/db_postgres.h"

#include <stdio.h>
#include <string.h>

#define BUSY_RETRY_AFTER_MS 1000
#define DISK_RETRY_AFTER_MS 30000

static const char *field(const struct postgres_db *db, const PGresult *result, int code)
{
	const char *text = db->pq->PQresultErrorField(result, code);

	return text != NULL ? text : "";
}

/* The first name in "Key (branch_id, x)=(…) already exists.", in whatever language. */
static void copy_column(const char *detail, char *ret, size_t size)
{
	const char *at = strchr(detail, '(');
	size_t len = at != NULL ? strcspn(at + 1, ",)") : 0;

	ret[0] = '\0';
	if (len > 0 && len < size) {
		memcpy(ret, at + 1, len);
		ret[len] = '\0';
	}
}

static int raise_constraint(
	const struct postgres_db *db, const PGresult *result, const char *state, struct fault *f)
{
	const char *table = field(db, result, PG_DIAG_TABLE_NAME);
	const char *rule = field(db, result, PG_DIAG_CONSTRAINT_NAME);
	const char *column = field(db, result, PG_DIAG_COLUMN_NAME);

	if (strcmp(state, "23505") == 0) {
		fault_raise(
			f, FAULT_CONFLICT, "a row of %s breaks the unique rule %s", table, rule);
		copy_column(field(db, result, PG_DIAG_MESSAGE_DETAIL), f->field, sizeof(f->field));
		return -1;
	}
	if (strcmp(state, "23503") == 0 || strcmp(state, "23001") == 0)
		return fault_raise(
			f, FAULT_CONFLICT, "a row of %s breaks the foreign key %s", table, rule);
	fault_raise(f, FAULT_STORE, "the database refused the row: rule %s%s of %s (%s)", rule,
		column, table, state);
	snprintf(f->field, sizeof(f->field), "%s", column);
	return -1;
}

static int raise_later(
	struct fault *f, uint32_t retry_after_ms, const char *what, const char *words)
{
	fault_raise(f, FAULT_STORE, "%s%s%s", what, words[0] != '\0' ? ": " : "", words);
	f->retry_after_ms = retry_after_ms;
	return -1;
}

/* Before the commit was sent all of it is undone for certain, and may run again. */
static int raise_lost(struct postgres_db *db, const char *words, struct fault *f)
{
	db->base.is_broken = true;
	db->base.has_lost = !db->is_committing && !db->is_late;
	if (db->is_late)
		words = "no answer came in time";
	if (db->is_committing)
		return raise_later(f, BUSY_RETRY_AFTER_MS,
			"the connection to the database was lost in the middle of a commit, which "
			"may or may not have been done",
			words);
	return raise_later(
		f, BUSY_RETRY_AFTER_MS, "the connection to the database was lost", words);
}

static bool is_one_of(const char *state, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strncmp(state, *list, strlen(*list)) == 0)
			return true;
	return false;
}

/* PostgreSQL manual, appendix A. */
static const char *const lost_states[] = {"08", "57P", "25P03", "25P04", NULL};
static const char *const race_states[] = {"40001", "40P01", NULL};
static const char *const patience_states[] = {"57014", "55P03", NULL};
static const char *const disk_states[] = {"53100", "58030", NULL};

static int raise_state(
	struct postgres_db *db, const PGresult *result, const char *state, struct fault *f)
{
	const char *words = field(db, result, PG_DIAG_MESSAGE_PRIMARY);

	if (is_one_of(state, lost_states))
		return raise_lost(db, words, f);
	if (is_one_of(state, race_states)) {
		db->base.has_lost = true;
		return raise_later(
			f, BUSY_RETRY_AFTER_MS, "the transaction lost against another", words);
	}
	if (is_one_of(state, patience_states))
		return raise_later(f, BUSY_RETRY_AFTER_MS, "the database took too long", words);
	if (is_one_of(state, disk_states))
		return raise_later(f, DISK_RETRY_AFTER_MS, "the database's disk fails", words);
	if (strncmp(state, "53", 2) == 0)
		return raise_later(
			f, BUSY_RETRY_AFTER_MS, "the database has no resources left", words);
	if (strcmp(state, "25006") == 0) {
		db->base.is_broken = true; /* a standby: the next connection may find the primary */
		return raise_later(f, BUSY_RETRY_AFTER_MS, "the database takes no writes", words);
	}
	if (strncmp(state, "23", 2) == 0)
		return raise_constraint(db, result, state, f);
	if (strncmp(state, "22", 2) == 0)
		return fault_raise(
			f, FAULT_STORE, "the database refused a value (SQLSTATE %s)", state);
	return fault_raise(f, FAULT_STORE, "%s (SQLSTATE %s)", words, state);
}

int postgres_raise(struct postgres_db *db, const PGresult *result, struct fault *f)
{
	const char *state = result != NULL ? field(db, result, PG_DIAG_SQLSTATE) : "";

	db->base.has_failed = true;
	if (result == NULL || state[0] == '\0')
		return raise_lost(db, "", f);
	return raise_state(db, result, state, f);
}

int postgres_raise_away(const char *words, struct fault *f)
{
	char line[CAUSE_SIZE];

	snprintf(line, sizeof(line), "%s", words);
	line[strcspn(line, "\n")] = '\0';
	return raise_later(f, BUSY_RETRY_AFTER_MS, "the database cannot be reached", line);
}
