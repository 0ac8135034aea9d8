/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All reviews that a filter finds, in pages of their own statements: nothing is held between two
 * pages but where the export stands. The order is that of storing, which no later change moves, so
 * that a review is told once however long the export takes. Of a few locations each is read for
 * itself: sorting all of theirs for every page would cost the square.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/review_find.h"

#define PAGE_ROWS 400

struct review_export {
	struct review_fetcher *rf;
	struct review_filter filter; /* its texts are owned */
	struct review_finder find;
	enum review_format format;
	bool begun;
	struct review_mark after; /* of the location, or of all */
	bool has_mark;
	char *places[FEW_LOCATIONS]; /* the locations to read one by one */
	size_t n_places, place;
	bool by_place;
	struct buf *out;
	int64_t rows; /* of this page */
};

/* ---- CSV ---- */

/*
 * RFC 4180. A spreadsheet takes what begins with one of these signs for a formula, and reviews are
 * words of strangers: people's words get an apostrophe in front then. NDJSON has them as they are.
 */
static bool looks_like_formula(const char *text)
{
	return *text && strchr("=+-@\t\r", *text) != NULL;
}

static void put_field(struct buf *b, const char *text, bool is_words)
{
	const bool guard = is_words && looks_like_formula(text);

	if (!guard && text[strcspn(text, "\",\r\n")] == '\0') {
		buf_add_text(b, text);
		return;
	}
	buf_add_text(b, guard ? "\"'" : "\"");
	for (const char *c = text; *c; c++) {
		if (*c == '"')
			buf_add_char(b, '"');
		buf_add_char(b, *c);
	}
	buf_add_char(b, '"');
}

enum field_kind { FIELD_NUMBER, FIELD_TEXT, FIELD_WORDS, FIELD_FLAG, FIELD_US, FIELD_MS };
static const struct field {
	const char *name;
	size_t col; /* of REVIEW_COLUMNS */
	enum field_kind kind;
} fields[] = {
	{"id", 0, FIELD_NUMBER},
	{"account_id", 1, FIELD_TEXT},
	{"location_id", 2, FIELD_TEXT},
	{"location_title", 18, FIELD_WORDS},
	{"google_review_id", 3, FIELD_TEXT},
	{"rating", 4, FIELD_NUMBER},
	{"comment", 5, FIELD_WORDS},
	{"reviewer_name", 6, FIELD_WORDS},
	{"reviewer_photo_url", 7, FIELD_TEXT},
	{"is_anonymous", 8, FIELD_FLAG},
	{"review_created_time", 9, FIELD_US},
	{"review_updated_time", 10, FIELD_US},
	{"reply_text", 11, FIELD_WORDS},
	{"reply_time", 12, FIELD_US},
	{"reply_state", 13, FIELD_TEXT},
	{"created_at", 14, FIELD_MS},
	{"updated_at", 15, FIELD_MS},
	{"last_seen_at", 16, FIELD_MS},
	{"deleted_at", 17, FIELD_MS},
};

static void put_column_as_field(struct buf *b, const struct field *f, const struct db_value *col)
{
	char time[INSTANT_SIZE];

	if (col->type == DB_NULL)
		return;
	switch (f->kind) {
	case FIELD_NUMBER:
		buf_addf(b, "%lld", (long long)db_get_int(col));
		return;
	case FIELD_FLAG:
		buf_add_text(b, db_get_int(col) ? "true" : "false");
		return;
	case FIELD_TEXT:
	case FIELD_WORDS:
		put_field(b, db_get_text(col), f->kind == FIELD_WORDS);
		return;
	case FIELD_US:
		instant_text(db_get_int(col), time);
		break;
	case FIELD_MS:
		instant_text(db_get_int(col) * 1000, time);
		break;
	}
	buf_add_text(b, time);
}

static void put_header(struct buf *b)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		buf_addf(b, "%s%s", i > 0 ? "," : "", fields[i].name);
	buf_add_text(b, "\r\n");
}

static void put_line(struct buf *b, const struct db_value *cols)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (i > 0)
			buf_add_char(b, ',');
		put_column_as_field(b, &fields[i], &cols[fields[i].col]);
	}
	buf_add_text(b, "\r\n");
}

/* ---- the pages ---- */

static int write_row(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct review_export *x = arg;
	struct json_out o = JSON_OUT(x->out);

	(void)n_cols;
	(void)f;
	if (x->format == REVIEWS_AS_CSV) {
		put_line(x->out, cols);
	} else {
		json_open(&o, '{');
		review_row_put(&o, cols);
		json_close(&o, '}');
		buf_add_char(x->out, '\n');
	}
	x->after = review_row_mark(cols);
	x->has_mark = true;
	x->rows++;
	return 0;
}

static int page_body(struct db *db, void *arg, struct fault *f)
{
	struct review_export *x = arg;

	x->rows = 0;
	return review_find(
		&x->find, db, x->has_mark ? &x->after : NULL, PAGE_ROWS, write_row, x, f);
}

static int see_place(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct review_export *x = arg;

	(void)n_cols;
	(void)f;
	if (x->n_places == FEW_LOCATIONS)
		return 1;
	x->places[x->n_places++] = mem_text(db_get_text(&cols[0]));
	return 0;
}

static int open_body(struct db *db, void *arg, struct fault *f)
{
	struct review_export *x = arg;

	if (review_find_start(&x->find, db, f) < 0)
		return -1;
	if (!x->find.few_places)
		return 0;
	x->by_place = true;
	return review_find_places(&x->find, db, see_place, x, f);
}

/* The finder of the next location; false when there is none. */
static bool next_place(struct review_export *x)
{
	if (x->place == x->n_places)
		return false;
	x->has_mark = false;
	x->filter.location_id = x->places[x->place++];
	review_find_done(&x->find);
	review_find_init(&x->find, &x->filter);
	return true;
}

int reviews_export_next(struct review_export *x, struct buf *out, bool *ret_end, struct fault *f)
{
	x->out = out;
	*ret_end = false;
	if (!x->begun && x->format == REVIEWS_AS_CSV)
		put_header(out);
	if (!x->begun && x->by_place)
		*ret_end = !next_place(x);
	x->begun = true;
	while (!*ret_end) {
		if (store_use(x->rf->parts.store, page_body, x, f) < 0)
			return -1;
		if (x->rows == PAGE_ROWS)
			return 0;
		*ret_end = !x->by_place || !next_place(x);
		if (x->rows > 0)
			return 0;
	}
	return 0;
}

/* ---- life ---- */

static const char *keep(const char *text)
{
	return text ? mem_text(text) : NULL;
}

static void drop(const char *text)
{
	mem_free((void *)(uintptr_t)text);
}

static void copy_filter(struct review_export *x, const struct review_filter *from)
{
	struct review_filter *to = &x->filter;
	const char **branches = NULL;

	*to = *from;
	to->branch_id = keep(from->branch_id);
	to->account_id = keep(from->account_id);
	to->location_id = keep(from->location_id);
	to->q = keep(from->q);
	to->order = REVIEWS_STORED;
	if (from->scope.branches) {
		branches = mem_alloc_array(from->scope.n + 1, sizeof(*branches));
		for (size_t i = 0; i < from->scope.n; i++)
			branches[i] = keep(from->scope.branches[i]);
	}
	to->scope.branches = branches;
}

int reviews_export_open(struct review_fetcher *rf, const struct review_filter *filter,
	enum review_format format, struct review_export **ret, struct fault *f)
{
	struct review_export *x = mem_alloc(sizeof(*x));

	x->rf = rf;
	x->format = format;
	copy_filter(x, filter);
	review_find_init(&x->find, &x->filter);
	if (store_use(rf->parts.store, open_body, x, f) < 0) {
		reviews_export_close(x);
		return -1;
	}
	*ret = x;
	return 0;
}

void reviews_export_close(struct review_export *x)
{
	if (!x)
		return;
	review_find_done(&x->find);
	if (!x->by_place)
		drop(x->filter.location_id);
	drop(x->filter.branch_id);
	drop(x->filter.account_id);
	drop(x->filter.q);
	for (size_t i = 0; x->filter.scope.branches && i < x->filter.scope.n; i++)
		drop(x->filter.scope.branches[i]);
	mem_free((void *)(uintptr_t)x->filter.scope.branches);
	for (size_t i = 0; i < x->n_places; i++)
		mem_free(x->places[i]);
	mem_free(x);
}
