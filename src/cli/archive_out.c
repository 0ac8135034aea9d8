/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/archive.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "store/store.h"
#include "token_management/token_management_secrets.h"
#include "vault/vault.h"

#define FLUSH_BYTES (256 * 1024)

struct key_value { /* of the last row of a page; owned */
	struct db_value value;
	char *bytes;
};

struct writing {
	struct archive_out *x;
	struct vault_wrap *wrap;
	struct buf out;
	struct archive_table table;
	size_t sealed_by[ARCHIVE_COLUMNS_MOST]; /* place of the key column; n_columns: not sealed */
	struct key_value last[ARCHIVE_KEYS_MOST];
	int64_t n_page;
	struct buf sql;
};

MUST_CHECK static int flush(struct writing *w, struct fault *f)
{
	if (buf_failed(&w->out))
		return fault_raise(
			f, FAULT_BUG, "a row is larger than %d bytes", ARCHIVE_LINE_BYTES);
	if (w->out.len > 0 && fwrite(w->out.data, 1, w->out.len, w->x->to) != w->out.len)
		return fault_raise(f, FAULT_INPUT,
			"the export cannot be written: the disk is full, or the reader is gone");
	buf_reset(&w->out);
	return 0;
}

static void put_bytes(struct json_out *o, const char *name, const void *bytes, size_t len)
{
	json_open(o, '{');
	json_key(o, name);
	buf_add_char(o->to, '"');
	text_base64url(o->to, bytes, len);
	buf_add_char(o->to, '"');
	json_close(o, '}');
}

/* ---- head and end ---- */

static void write_head(
	struct writing *w, const struct store_version *v, const struct vault_wrap_terms *terms)
{
	struct json_out o = JSON_OUT(&w->out);
	char id[RAND_UUID_SIZE];

	rand_uuid4(id);
	json_open(&o, '{');
	json_add_text(&o, "format", ARCHIVE_FORMAT);
	json_add_int(&o, "version", ARCHIVE_VERSION);
	json_add_int(&o, "schema", v->database);
	json_add_text(&o, "what", w->x->what_word);
	json_add_text(&o, "id", id);
	json_add_time(&o, "created_at", clock_wall_ms());
	if (w->wrap != NULL) {
		json_key(&o, "seal");
		json_open(&o, '{');
		json_add_text(&o, "kdf", "argon2id");
		json_add_int(&o, "ops", terms->ops);
		json_add_int(&o, "memory", terms->memory_bytes);
		json_key(&o, "salt");
		put_bytes(&o, "b", terms->salt, sizeof(terms->salt));
		json_key(&o, "check");
		put_bytes(&o, "b", terms->check, sizeof(terms->check));
		json_close(&o, '}');
	}
	json_close(&o, '}');
	buf_add_char(&w->out, '\n');
}

MUST_CHECK static int write_end(struct writing *w, struct db *db, struct fault *f)
{
	AUTO(mem_freep) struct archive_numbers *numbers = mem_alloc(sizeof(*numbers));
	struct json_out o = JSON_OUT(&w->out);

	numbers->n = 0;
	if (archive_numbers_read(db, numbers, f) < 0)
		return -1;
	json_open(&o, '{');
	json_add_bool(&o, "end", true);
	json_add_int(&o, "rows", w->x->n_rows);
	json_key(&o, "numbers");
	json_open(&o, '{');
	for (size_t i = 0; i < numbers->n; i++)
		if (numbers->list[i].number > 0)
			json_add_int(&o, numbers->list[i].table, numbers->list[i].number);
	json_close(&o, '}');
	json_close(&o, '}');
	buf_add_char(&w->out, '\n');
	return 0;
}

/* ---- a row ---- */

MUST_CHECK static int put_sealed(struct writing *w, struct json_out *o, size_t column,
	const struct db_value *cols, struct fault *f)
{
	AUTO(sealed_drop) struct sealed packed = {0};

	if (secrets_pack(w->x->vault, w->wrap, w->table.columns[column],
		    &cols[w->sealed_by[column]], &cols[column], &packed, f) < 0)
		return -1;
	put_bytes(o, "s", packed.bytes, packed.len);
	return 0;
}

MUST_CHECK static int put_value(struct writing *w, struct json_out *o, size_t column,
	const struct db_value *cols, struct fault *f)
{
	const struct db_value *v = &cols[column];

	switch (v->type) {
	case DB_NULL:
		json_put_null(o);
		break;
	case DB_INT:
		json_put_int(o, v->number);
		break;
	case DB_DOUBLE:
		json_put_double(o, v->real);
		break;
	case DB_TEXT:
		json_put_bytes(o, v->bytes, v->len);
		break;
	case DB_BYTES:
		if (w->sealed_by[column] < w->table.n_columns)
			return put_sealed(w, o, column, cols, f);
		put_bytes(o, "b", v->bytes, v->len);
		break;
	}
	return 0;
}

static void keep_key(struct key_value *k, const struct db_value *v)
{
	mem_free(k->bytes);
	k->bytes = NULL;
	k->value = *v;
	if (v->type == DB_TEXT || v->type == DB_BYTES) {
		k->bytes = mem_text_n(v->bytes, v->len);
		k->value.bytes = k->bytes;
	}
}

static int see_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct writing *w = arg;
	struct json_out o = JSON_OUT(&w->out);

	(void)n_cols;
	json_open(&o, '[');
	for (size_t i = 0; i < w->table.n_columns; i++)
		if (put_value(w, &o, i, cols, f) < 0)
			return -1;
	json_close(&o, ']');
	buf_add_char(&w->out, '\n');
	for (size_t i = 0; i < w->table.n_keys; i++)
		keep_key(&w->last[i], &cols[w->table.n_columns + i]);
	w->n_page++;
	return w->out.len >= FLUSH_BYTES ? flush(w, f) : 0;
}

/* ---- a table ---- */

static void add_names(struct buf *b, char (*names)[ARCHIVE_NAME_BYTES], size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%s\"%s\"", i > 0 ? ", " : "", names[i]);
}

/*
 * What is not as it stands in the row. An event of PostgreSQL that has no position yet gets the one
 * that it would be given, and a consumer's fence belongs to its lease, which stays behind.
 */
static const char *stand_in(const struct archive_table *t, const char *column)
{
	if (strcmp(t->name, "events") == 0 && strcmp(column, "position") == 0 &&
		strcmp(t->keys[0], "id") == 0)
		return "CASE WHEN position IS NOT NULL THEN position ELSE"
		       " (SELECT CASE WHEN s.purged_to < coalesce((SELECT max(e.position) FROM"
		       " events e), 0) THEN (SELECT max(e.position) FROM events e)"
		       " ELSE s.purged_to END FROM events_state s)"
		       " + (SELECT count(*) FROM events e WHERE e.position IS NULL"
		       " AND e.id <= events.id) END";
	if (strcmp(t->name, "event_consumers") == 0 && strcmp(column, "fence") == 0)
		return "0";
	return NULL;
}

/* Names come from the database itself, never from a file. */
static void make_sql(struct writing *w, bool is_first)
{
	struct archive_table *t = &w->table;

	buf_reset(&w->sql);
	buf_add_text(&w->sql, "SELECT ");
	for (size_t i = 0; i < t->n_columns; i++) {
		const char *instead = stand_in(t, t->columns[i]);

		buf_add_text(&w->sql, i > 0 ? ", " : "");
		if (instead != NULL)
			buf_add_text(&w->sql, instead);
		else
			add_names(&w->sql, &t->columns[i], 1);
	}
	buf_add_text(&w->sql, ", ");
	add_names(&w->sql, t->keys, t->n_keys);
	buf_addf(&w->sql, " FROM \"%s\"", t->name);
	if (!is_first) {
		buf_add_text(&w->sql, " WHERE (");
		add_names(&w->sql, t->keys, t->n_keys);
		buf_add_text(&w->sql, ") > (");
		for (size_t i = 0; i < t->n_keys; i++)
			buf_addf(&w->sql, "%s$%zu", i > 0 ? ", " : "", i + 1);
		buf_add_char(&w->sql, ')');
	}
	buf_add_text(&w->sql, " ORDER BY ");
	add_names(&w->sql, t->keys, t->n_keys);
	buf_addf(&w->sql, " LIMIT %d", ARCHIVE_PAGE);
}

static void write_table_head(struct writing *w)
{
	struct json_out o = JSON_OUT(&w->out);

	json_open(&o, '{');
	json_add_text(&o, "table", w->table.name);
	json_key(&o, "columns");
	json_open(&o, '[');
	for (size_t i = 0; i < w->table.n_columns; i++)
		json_put_text(&o, w->table.columns[i]);
	json_close(&o, ']');
	json_close(&o, '}');
	buf_add_char(&w->out, '\n');
}

MUST_CHECK static int find_sealed(struct writing *w, struct fault *f)
{
	for (size_t i = 0; i < w->table.n_columns; i++) {
		const char *key = secrets_key_column(w->table.name, w->table.columns[i]);

		w->sealed_by[i] = key != NULL ? archive_column(&w->table, key) : w->table.n_columns;
		if (key != NULL && w->wrap == NULL)
			return fault_raise(f, FAULT_INPUT,
				"%s holds secrets: give a passphrase for them (--passphrase-file)",
				w->table.name);
	}
	return 0;
}

MUST_CHECK static int write_table(
	struct writing *w, struct db *db, const char *name, struct fault *f)
{
	struct db_value keys[ARCHIVE_KEYS_MOST];
	bool is_first = true;

	if (archive_describe(db, name, &w->table, f) < 0 || find_sealed(w, f) < 0)
		return -1;
	write_table_head(w);
	do {
		make_sql(w, is_first);
		for (size_t i = 0; i < w->table.n_keys; i++)
			keys[i] = w->last[i].value;
		w->n_page = 0;
		if (db_run(db, buf_text(&w->sql), keys, is_first ? 0 : w->table.n_keys, see_row, w,
			    NULL, f) < 0)
			return -1;
		w->x->n_rows += w->n_page;
		is_first = false;
	} while (w->n_page == ARCHIVE_PAGE);
	return flush(w, f);
}

/* ---- all ---- */

MUST_CHECK static int write_tables(struct writing *w, struct db *db, struct fault *f)
{
	struct archive_names tables;

	if (archive_tables(db, w->x->what, &tables, f) < 0)
		return -1;
	for (size_t i = 0; i < tables.n; i++)
		if (write_table(w, db, tables.names[i], f) < 0)
			return -1;
	if (write_end(w, db, f) < 0 || flush(w, f) < 0)
		return -1;
	if (fflush(w->x->to) != 0)
		return fault_raise(f, FAULT_INPUT, "the export cannot be written to its end");
	return 0;
}

/* A transaction that only reads: one view from the first row to the last, and nobody waits for it.
 */
static int write_body(struct db *db, void *arg, struct fault *f)
{
	struct writing *w = arg;

	if (db_exec(db,
		    db_engine(db) == DB_SQLITE ? "BEGIN"
					       : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		    NULL, f) < 0)
		return -1;
	if (write_tables(w, db, f) < 0) {
		struct fault ignored;

		(void)!db_exec(db, "ROLLBACK", NULL, &ignored);
		return -1;
	}
	return db_exec(db, "COMMIT", NULL, f);
}

MUST_CHECK static int write_all(struct writing *w, struct fault *f)
{
	struct vault_wrap_terms terms = {0};
	struct store_version v;

	if (store_version(w->x->store, &v, f) < 0)
		return -1;
	if (w->x->passphrase != NULL && vault_wrap_new(w->x->passphrase, &w->wrap, &terms, f) < 0)
		return -1;
	write_head(w, &v, &terms);
	return store_use(w->x->store, write_body, w, f);
}

int archive_write(struct archive_out *x, struct fault *f)
{
	struct writing *w = mem_alloc(sizeof(*w));
	int outcome;

	w->x = x;
	w->out = BUF_INIT(ARCHIVE_LINE_BYTES);
	w->sql = BUF_INIT(16 * 1024);
	outcome = write_all(w, f);
	vault_wrap_close(w->wrap);
	for (size_t i = 0; i < ARCHIVE_KEYS_MOST; i++)
		mem_free(w->last[i].bytes);
	buf_drop(&w->out);
	buf_drop(&w->sql);
	mem_free(w);
	return outcome;
}
