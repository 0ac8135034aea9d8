/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of rows is one transaction, which also counts them: whatever ends the reading, the next
 * one skips what is there. Every secret is sealed under this house's key ring before it gets to the
 * database.
 */
#include "cli/archive.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store.h"
#include "token_management/token_management_secrets.h"
#include "vault/vault.h"

#define PIECE_BYTES (256 * 1024)
#define BATCH_BYTES (4 * 1024 * 1024)
#define ID_BYTES 64

struct reading {
	struct archive_in *x;
	struct vault_wrap *wrap;
	char id[ID_BYTES];
	int64_t skip; /* rows that an earlier run has read */
	bool is_known, was_whole;
	/* the file */
	char *piece;
	const char *at;
	size_t left;
	bool has_ended;
	struct buf line;
	/* the table and its next rows */
	struct archive_table here; /* as the database knows it */
	size_t n_columns;
	char columns[ARCHIVE_COLUMNS_MOST][ARCHIVE_NAME_BYTES]; /* as the file names them */
	size_t key_of[ARCHIVE_COLUMNS_MOST]; /* of sealed ones; n_columns: not sealed */
	struct buf sql;
	json_t *rows[ARCHIVE_PAGE];
	size_t n_rows, n_bytes;
	int64_t n_kept;
	bool is_last;
};

/* ---- lines ---- */

MUST_CHECK static int more(struct reading *r, struct fault *f)
{
	r->left = fread(r->piece, 1, PIECE_BYTES, r->x->from);
	r->at = r->piece;
	if (r->left > 0)
		return 0;
	r->has_ended = true;
	return ferror(r->x->from) ? fault_raise(f, FAULT_INPUT, "the file cannot be read on") : 0;
}

/* 0: a line is in r->line; 1: there is none any more. */
MUST_CHECK static int next_line(struct reading *r, struct fault *f)
{
	const char *end = NULL;

	buf_reset(&r->line);
	while (end == NULL && !r->has_ended) {
		size_t part;

		end = r->left > 0 ? memchr(r->at, '\n', r->left) : NULL;
		part = end != NULL ? (size_t)(end - r->at) : r->left;
		buf_add(&r->line, r->at, part);
		r->at += part + (end != NULL);
		r->left -= part + (end != NULL);
		if (end == NULL && more(r, f) < 0)
			return -1;
	}
	if (buf_failed(&r->line))
		return fault_raise(f, FAULT_INPUT, "a line of the file has more than %d bytes",
			ARCHIVE_LINE_BYTES);
	return end == NULL && r->line.len == 0 ? 1 : 0;
}

/* ---- the header ---- */

MUST_CHECK static int read_bytes(
	const json_t *value, const char *name, struct buf *ret, struct fault *f)
{
	const char *text = json_text(value, name);

	if (text == NULL || text_base64url_decode(text, strlen(text), ret) != 0)
		return fault_raise(f, FAULT_INPUT, "the file is damaged: bytes that are none");
	return 0;
}

MUST_CHECK static int read_fixed(
	const json_t *seal, const char *name, uint8_t *ret, size_t size, struct fault *f)
{
	AUTO(buf_drop) struct buf bytes = BUF_INIT(1024);

	if (read_bytes(json_member(seal, name), "b", &bytes, f) < 0)
		return -1;
	if (bytes.len != size)
		return fault_raise(f, FAULT_INPUT, "the file is damaged: its seal has no %s", name);
	memcpy(ret, bytes.data, size);
	return 0;
}

MUST_CHECK static int open_seal(struct reading *r, const json_t *seal, struct fault *f)
{
	struct vault_wrap_terms terms = {
		.ops = json_int(seal, "ops", 0), .memory_bytes = json_int(seal, "memory", 0)};

	if (r->x->passphrase == NULL)
		return fault_raise(f, FAULT_INPUT,
			"the file holds secrets: give the passphrase that it was made with "
			"(--passphrase-file)");
	if (!text_equal(json_text(seal, "kdf"), "argon2id"))
		return fault_raise(
			f, FAULT_INPUT, "the file is sealed in a way that is not known here");
	if (read_fixed(seal, "salt", terms.salt, sizeof(terms.salt), f) < 0 ||
		read_fixed(seal, "check", terms.check, sizeof(terms.check), f) < 0)
		return -1;
	return vault_wrap_open(r->x->passphrase, &terms, &r->wrap, f);
}

MUST_CHECK static int check_head(struct reading *r, const json_t *head, struct fault *f)
{
	const char *id = json_text(head, "id");
	struct store_version v;

	if (store_version(r->x->store, &v, f) < 0)
		return -1;
	if (!text_equal(json_text(head, "format"), ARCHIVE_FORMAT) || id == NULL ||
		strlen(id) >= sizeof(r->id))
		return fault_raise(f, FAULT_INPUT,
			"the file does not begin as an export of review-fetcher does");
	if (json_int(head, "version", 0) != ARCHIVE_VERSION ||
		json_int(head, "schema", INT64_MAX) > v.database)
		return fault_raise(f, FAULT_INPUT,
			"the file was made by a newer program (schema %" PRId64 ", here %" PRId64
			"): use that one, or a newer one",
			json_int(head, "schema", 0), v.database);
	memcpy(r->id, id, strlen(id) + 1);
	return json_member(head, "seal") != NULL ? open_seal(r, json_member(head, "seal"), f) : 0;
}

/* ---- the house ---- */

static int see_move(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct reading *r = arg;

	(void)n_cols;
	(void)f;
	r->is_known = true;
	r->skip = db_get_int(&c[0]);
	r->was_whole = db_get_int(&c[1]) != 0;
	return 1;
}

static int see_any(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	(void)c;
	(void)n_cols;
	(void)f;
	*(bool *)arg = true;
	return 1;
}

MUST_CHECK static int check_empty(struct db *db, struct fault *f)
{
	static const char *const looks[] = {"SELECT 1 FROM clients LIMIT 1",
		"SELECT 1 FROM api_keys LIMIT 1", "SELECT 1 FROM audit LIMIT 1",
		"SELECT 1 FROM locations LIMIT 1", "SELECT 1 FROM accounts LIMIT 1",
		"SELECT 1 FROM jobs LIMIT 1", "SELECT 1 FROM events LIMIT 1"};
	bool is_there = false;

	for (size_t i = 0; i < ARRAY_LEN(looks); i++)
		if (db_read(db, looks[i], see_any, &is_there, f) < 0)
			return -1;
	return !is_there ? 0
			 : fault_raise(f, FAULT_CONFLICT,
				   "the database is not empty: import into an empty one, or add to "
				   "what is there with --merge");
}

static int begin_body(struct db *db, void *arg, struct fault *f)
{
	struct reading *r = arg;

	r->is_known = false;
	if (db_read(db, "SELECT rows_read, is_whole FROM house_moves WHERE id = $1", see_move, r, f,
		    db_text(r->id)) < 0)
		return -1;
	if (r->is_known)
		return 0;
	if (!r->x->merges && check_empty(db, f) < 0)
		return -1;
	return db_exec(db,
		"INSERT INTO house_moves (id, rows_read, started_at_ms, updated_at_ms)"
		" VALUES ($1, 0, $2, $2)",
		NULL, f, db_text(r->id), db_int(clock_wall_ms()));
}

/* ---- a table ---- */

struct describing {
	const char *name;
	struct archive_table *ret;
};

static int describe_body(struct db *db, void *arg, struct fault *f)
{
	struct describing *x = arg;

	return archive_describe(db, x->name, x->ret, f);
}

/* Tables that a server has written to which was only started once: the file's rows are the true
 * ones. */
static bool is_begun(const char *table)
{
	return strcmp(table, "events_state") == 0 || strcmp(table, "event_consumers") == 0 ||
	       strcmp(table, "activity") == 0;
}

static void add_upsert(struct buf *b, const struct reading *r)
{
	buf_add_text(b, " ON CONFLICT (");
	for (size_t i = 0; i < r->here.n_keys; i++)
		buf_addf(b, "%s\"%s\"", i > 0 ? ", " : "", r->here.keys[i]);
	buf_add_text(b, ") DO UPDATE SET ");
	for (size_t i = 0; i < r->n_columns; i++)
		buf_addf(b, "%s\"%s\" = excluded.\"%s\"", i > 0 ? ", " : "", r->columns[i],
			r->columns[i]);
}

/* Columns were compared with the database's own before they get here. */
static void make_sql(struct reading *r)
{
	struct buf *b = &r->sql;

	buf_reset(b);
	buf_addf(b, "INSERT INTO \"%s\" (", r->here.name);
	for (size_t i = 0; i < r->n_columns; i++)
		buf_addf(b, "%s\"%s\"", i > 0 ? ", " : "", r->columns[i]);
	buf_add_text(b, ") VALUES (");
	for (size_t i = 0; i < r->n_columns; i++)
		buf_addf(b, "%s$%zu", i > 0 ? ", " : "", i + 1);
	buf_add_char(b, ')');
	if (r->x->merges)
		buf_add_text(b, " ON CONFLICT DO NOTHING");
	else if (is_begun(r->here.name))
		add_upsert(b, r);
}

static size_t column_of(const struct reading *r, const char *name)
{
	size_t i = 0;

	while (i < r->n_columns && strcmp(r->columns[i], name) != 0)
		i++;
	return i;
}

MUST_CHECK static int take_column(struct reading *r, const char *name, struct fault *f)
{
	if (name == NULL || r->n_columns == ARCHIVE_COLUMNS_MOST ||
		archive_column(&r->here, name) == r->here.n_columns)
		return fault_raise(f, FAULT_INPUT,
			"%s has no column %.60s here: bring both programs to one version first",
			r->here.name, name != NULL ? name : "without a name");
	memcpy(r->columns[r->n_columns++], name, strlen(name) + 1);
	return 0;
}

MUST_CHECK static int begin_table(struct reading *r, const json_t *head, struct fault *f)
{
	struct describing d = {.name = json_text(head, "table"), .ret = &r->here};
	const json_t *columns = json_member(head, "columns");

	r->n_columns = 0;
	if (store_use(r->x->store, describe_body, &d, f) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(columns); i++)
		if (take_column(r, json_string_value(json_array_get(columns, i)), f) < 0)
			return -1;
	for (size_t i = 0; i < r->n_columns; i++) {
		const char *key = secrets_key_column(r->here.name, r->columns[i]);

		r->key_of[i] = key != NULL ? column_of(r, key) : r->n_columns;
		if (key != NULL && r->key_of[i] == r->n_columns)
			return fault_raise(f, FAULT_INPUT,
				"the file is damaged: %s comes without its %s", r->here.name, key);
	}
	if (r->n_columns == 0)
		return fault_raise(
			f, FAULT_INPUT, "the file is damaged: %s has no columns", r->here.name);
	make_sql(r);
	return 0;
}

/* ---- a row ---- */

struct row {
	struct db_value values[ARCHIVE_COLUMNS_MOST];
	struct buf bytes[ARCHIVE_COLUMNS_MOST];
	struct sealed sealed[ARCHIVE_COLUMNS_MOST];
};

static void row_drop(struct row *row)
{
	for (size_t i = 0; i < ARCHIVE_COLUMNS_MOST; i++) {
		buf_drop(&row->bytes[i]);
		sealed_drop(&row->sealed[i]);
	}
	mem_free(row);
}

MUST_CHECK static int take_value(const json_t *v, struct row *row, size_t i, struct fault *f)
{
	row->bytes[i] = BUF_INIT(ARCHIVE_LINE_BYTES);
	if (json_is_integer(v))
		row->values[i] = db_int(json_integer_value(v));
	else if (json_is_real(v))
		row->values[i] = db_double(json_real_value(v));
	else if (json_is_string(v))
		row->values[i] = db_text_n(json_string_value(v), json_string_length(v));
	else if (json_is_object(v)) {
		if (read_bytes(v, json_member(v, "s") != NULL ? "s" : "b", &row->bytes[i], f) < 0)
			return -1;
		row->values[i] = db_bytes(buf_text(&row->bytes[i]), row->bytes[i].len);
	} else {
		row->values[i] = db_null();
	}
	return 0;
}

/* Sealed values go by what the column is, whatever the file calls them. */
MUST_CHECK static int seal_here(struct reading *r, struct row *row, size_t i, struct fault *f)
{
	const struct db_value *v = &row->values[i];

	if (r->key_of[i] == r->n_columns || v->type == DB_NULL)
		return 0;
	if (r->wrap == NULL)
		return fault_raise(f, FAULT_INPUT, "the file is damaged: a secret without a seal");
	if (secrets_unpack(r->x->vault, r->wrap, r->columns[i], &row->values[r->key_of[i]],
		    v->bytes, v->len, &row->sealed[i], f) < 0)
		return -1;
	row->values[i] = db_sealed(&row->sealed[i]);
	return 0;
}

struct identity {
	int64_t id;
	const char *name;
	bool differs;
};

static int see_identity(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct identity *x = arg;

	(void)n_cols;
	(void)f;
	x->differs |= db_get_int(&c[0]) != x->id || !text_equal(db_get_text(&c[1]), x->name);
	return 0;
}

/* Rows hang on the numbers of these; a number that means something else here ends a merge. */
MUST_CHECK static int check_merge(
	struct reading *r, struct db *db, const struct row *row, struct fault *f)
{
	static const struct {
		const char *table, *name, *sql;
	} known[] = {
		{"clients", "branch_id",
			"SELECT id, branch_id FROM clients WHERE id = $1 OR branch_id = $2"},
		{"locations", "location_id",
			"SELECT id, location_id FROM locations WHERE id = $1 OR location_id = $2"},
		{"reviews", "review_id",
			"SELECT id, review_id FROM reviews WHERE id = $1 AND review_id <> $2"},
	};

	for (size_t i = 0; r->x->merges && i < ARRAY_LEN(known); i++) {
		struct identity x = {0};
		size_t id = column_of(r, "id"), name = column_of(r, known[i].name);

		if (strcmp(known[i].table, r->here.name) != 0)
			continue;
		if (id == r->n_columns || name == r->n_columns)
			return fault_raise(f, FAULT_INPUT, "the file is damaged: rows without ids");
		x.id = row->values[id].number;
		x.name = row->values[name].bytes;
		if (db_read(db, known[i].sql, see_identity, &x, f, row->values[id],
			    row->values[name]) < 0)
			return -1;
		if (x.differs)
			return fault_raise(f, FAULT_CONFLICT,
				"%s %" PRId64
				" (%.60s) of the file meets another of this database: "
				"the two cannot be merged; import into an empty database",
				r->here.name, x.id, x.name);
	}
	return 0;
}

MUST_CHECK static int put_row(
	struct reading *r, struct db *db, const json_t *cells, struct fault *f)
{
	struct row *row = mem_alloc(sizeof(*row));
	int64_t changed = 0;
	int outcome = 0;

	for (size_t i = 0; outcome == 0 && i < r->n_columns; i++)
		outcome = take_value(json_array_get(cells, i), row, i, f);
	for (size_t i = 0; outcome == 0 && i < r->n_columns; i++)
		outcome = seal_here(r, row, i, f);
	if (outcome == 0)
		outcome = check_merge(r, db, row, f);
	if (outcome == 0)
		outcome = db_run(
			db, buf_text(&r->sql), row->values, r->n_columns, NULL, NULL, &changed, f);
	r->n_kept += changed == 0;
	row_drop(row);
	return outcome;
}

/* ---- a batch ---- */

static int batch_body(struct db *db, void *arg, struct fault *f)
{
	struct reading *r = arg;

	r->n_kept = 0;
	for (size_t i = 0; i < r->n_rows; i++)
		if (put_row(r, db, r->rows[i], f) < 0)
			return -1;
	return db_exec(db,
		"UPDATE house_moves SET rows_read = $2, is_whole = $3, updated_at_ms = $4"
		" WHERE id = $1",
		NULL, f, db_text(r->id), db_int(r->x->n_rows), db_int(r->is_last),
		db_int(clock_wall_ms()));
}

MUST_CHECK static int flush(struct reading *r, struct fault *f)
{
	if (r->n_rows == 0 && !r->is_last)
		return 0;
	if (store_transact(r->x->store, batch_body, r, f) < 0)
		return -1;
	r->x->n_kept += r->n_kept;
	for (size_t i = 0; i < r->n_rows; i++)
		json_drop(&r->rows[i]);
	r->n_rows = r->n_bytes = 0;
	return 0;
}

MUST_CHECK static int take_row(struct reading *r, json_t **moved, struct fault *f)
{
	if (r->n_columns == 0 || json_array_size(*moved) != r->n_columns)
		return fault_raise(f, FAULT_INPUT,
			"the file is damaged: row %" PRId64 " does not fit its table",
			r->x->n_rows + 1);
	r->x->n_rows++;
	if (r->x->n_rows <= r->skip) {
		r->x->n_before++;
		return 0;
	}
	r->rows[r->n_rows++] = TAKE(*moved);
	r->n_bytes += r->line.len;
	return r->n_rows == ARCHIVE_PAGE || r->n_bytes >= BATCH_BYTES ? flush(r, f) : 0;
}

/* ---- after the last row ---- */

/* An older file has none. */
static void take_numbers(json_t *of, struct archive_numbers *ret)
{
	const char *table;
	json_t *number;

	ret->n = 0;
	json_object_foreach(of, table, number)(void)
		archive_number_note(ret, table, json_integer_value(number));
}

MUST_CHECK static int end(struct reading *r, const json_t *last, struct fault *f)
{
	AUTO(mem_freep) struct archive_numbers *numbers = mem_alloc(sizeof(*numbers));

	if (json_int(last, "rows", -1) != r->x->n_rows)
		return fault_raise(f, FAULT_INPUT,
			"the file is damaged: it says it has %" PRId64 " rows, and %" PRId64
			" were found",
			json_int(last, "rows", -1), r->x->n_rows);
	take_numbers(json_member(last, "numbers"), numbers);
	if (archive_count_on(r->x->store, numbers, f) < 0)
		return -1;
	r->is_last = true;
	return flush(r, f);
}

/* ---- all ---- */

/* 0: go on; 1: that was the end. */
MUST_CHECK static int take_line(struct reading *r, struct fault *f)
{
	AUTO(json_drop) json_t *line = NULL;

	if (json_parse(buf_text(&r->line), r->line.len, &line, f) < 0)
		return -1;
	if (json_is_array(line))
		return take_row(r, &line, f);
	if (flush(r, f) < 0)
		return -1;
	if (json_flag(line, "end", false))
		return end(r, line, f) < 0 ? -1 : 1;
	return begin_table(r, line, f);
}

MUST_CHECK static int read_rows(struct reading *r, struct fault *f)
{
	for (;;) {
		int outcome = next_line(r, f);

		if (outcome == 1)
			return fault_raise(f, FAULT_INPUT,
				"the file ends before its end: it was cut off. What was read of it "
				"is there; import the whole file to go on");
		if (outcome == 0)
			outcome = take_line(r, f);
		if (outcome != 0)
			return outcome < 0 ? -1 : 0;
	}
}

MUST_CHECK static int read_all(struct reading *r, struct fault *f)
{
	AUTO(json_drop) json_t *head = NULL;
	int outcome = next_line(r, f);

	if (outcome < 0)
		return -1;
	if (outcome == 1)
		return fault_raise(f, FAULT_INPUT, "the file is empty");
	if (json_parse(buf_text(&r->line), r->line.len, &head, f) < 0 ||
		check_head(r, head, f) < 0 || store_transact(r->x->store, begin_body, r, f) < 0)
		return -1;
	if (r->was_whole) {
		r->x->n_rows = r->x->n_before = r->skip;
		return 0;
	}
	return read_rows(r, f);
}

int archive_read(struct archive_in *x, struct fault *f)
{
	struct reading *r = mem_alloc(sizeof(*r));
	int outcome;

	r->x = x;
	r->piece = mem_alloc(PIECE_BYTES);
	r->at = x->start;
	r->left = x->start_len;
	r->line = BUF_INIT(ARCHIVE_LINE_BYTES);
	r->sql = BUF_INIT(64 * 1024);
	x->n_rows = x->n_kept = x->n_before = 0;
	outcome = read_all(r, f);
	vault_wrap_close(r->wrap);
	for (size_t i = 0; i < r->n_rows; i++)
		json_drop(&r->rows[i]);
	buf_drop(&r->line);
	buf_drop(&r->sql);
	mem_free(r->piece);
	mem_free(r);
	return outcome;
}
