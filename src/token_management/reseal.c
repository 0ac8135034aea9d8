/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/reseal.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/internal.h"
#include "token_management/sealed_column.h"

#define PAGE_ROWS 200
#define WALKS_MOST 20
#define BETWEEN_WALKS_MS 1000
#define TRIES_MOST 20       /* of a page that other writers leave no room for */
#define POLITE_PAUSE_MS 250 /* at most, between two pages */
#define RETRY_LEAST_MS 100

struct item {
	struct db_value key; /* bytes point to key_bytes */
	uint8_t key_bytes[SEALED_KEY_BYTES_MAX];
	struct sealed old, fresh;
	bool is_swapped;
};

struct walk {
	struct token_management *tm;
	struct rotation *x;
	int64_t page_rows, n_done, n_total;
	uint32_t key; /* that seals now */
	struct vault_key keys[VAULT_KEYS_MAX];
	size_t n_keys;
	bool *in_use;
	int64_t n_moved; /* values found under another key that opens: swapped or overtaken */
	/* The page: */
	const struct sealed_column *column;
	struct item *items; /* page_rows of them */
	size_t n_items;
	int64_t n_seen;
	struct item last; /* only its key */
};

/* ---- reading a page ---- */

MUST_CHECK static int copy_key(struct item *to, const struct db_value *key, struct fault *f)
{
	to->key = *key;
	if (key->type != DB_BYTES)
		return 0;
	if (key->len > sizeof(to->key_bytes))
		return fault_raise(
			f, FAULT_BUG, "the key of a sealed value has %zu bytes", key->len);
	memcpy(to->key_bytes, key->bytes, key->len);
	to->key.bytes = to->key_bytes;
	return 0;
}

static int see_value(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct walk *w = arg;
	struct item *item = &w->items[w->n_items];

	(void)n_cols;
	w->n_seen++;
	if (copy_key(&w->last, &c[0], f) < 0)
		return -1;
	if (vault_key_of(c[1].bytes, c[1].len) == w->key)
		return 0;
	*item = (struct item){.old = sealed_from(c[1].bytes, c[1].len)};
	w->n_items++;
	return copy_key(item, &c[0], f);
}

static int read_page(struct db *db, void *arg, struct fault *f)
{
	struct walk *w = arg;
	struct item from = {0}; /* w->last moves while the statement runs */

	if (copy_key(&from, &w->last.key, f) < 0)
		return -1;
	return db_read(db, w->column->page, see_value, w, f, from.key, db_int(w->page_rows));
}

static void drop_page(struct walk *w)
{
	for (size_t i = 0; i < w->n_items; i++) {
		sealed_drop(&w->items[i].old);
		sealed_drop(&w->items[i].fresh);
	}
	w->n_items = 0;
	w->n_seen = 0;
}

/* ---- sealing it anew ---- */

static void note_failure(struct walk *w, const struct sealed *blob, const struct fault *why)
{
	uint32_t key = vault_key_of(blob->bytes, blob->len);

	if (w->x->n_failed < ROTATION_FAILURES_NAMED)
		w->x->failures[w->x->n_failed] = mem_text(why->text);
	w->x->n_failed++;
	for (size_t i = 0; i < w->n_keys; i++)
		if (w->keys[i].number == key)
			w->in_use[i] = true;
}

static void reseal_page(struct walk *w)
{
	for (size_t i = 0; i < w->n_items; i++) {
		struct item *item = &w->items[i];
		AUTO(secret_drop) struct secret plain = {0};
		struct sealed_place place;
		struct fault why = {0};

		sealed_place(w->column->column, &item->key, &place);
		if (vault_unseal(w->tm->vault, &place.at, item->old.bytes, item->old.len, &plain,
			    &why) < 0)
			note_failure(w, &item->old, &why);
		else
			vault_seal(w->tm->vault, &place.at, &plain, &item->fresh);
	}
}

static int swap_page(struct db *db, void *arg, struct fault *f)
{
	struct walk *w = arg;

	for (size_t i = 0; i < w->n_items; i++) {
		struct item *item = &w->items[i];
		int64_t changed = 0;

		if (item->fresh.bytes == NULL)
			continue;
		if (db_exec(db, w->column->swap, &changed, f, item->key, db_sealed(&item->old),
			    db_sealed(&item->fresh)) < 0)
			return -1;
		item->is_swapped = changed > 0;
	}
	return 0;
}

/* A server that writes all the time may leave no gap for longer than the database waits. */
MUST_CHECK static int swap_patiently(struct walk *w, struct fault *f)
{
	for (int tries = 1;; tries++) {
		int64_t pause_ms;

		if (store_transact(w->tm->store, swap_page, w, f) == 0)
			return 0;
		if (f->retry_after_ms == 0 || tries == TRIES_MOST)
			return -1;
		pause_ms = f->retry_after_ms;
		clock_sleep_ms(pause_ms > RETRY_LEAST_MS ? pause_ms : RETRY_LEAST_MS);
	}
}

/* Then leaves the database to the others for as long as it had it. */
MUST_CHECK static int store_page(struct walk *w, struct fault *f)
{
	int64_t took_ms = clock_mono_ms();
	int64_t n_fresh = 0;

	for (size_t i = 0; i < w->n_items; i++)
		n_fresh += w->items[i].fresh.bytes != NULL;
	if (n_fresh == 0)
		return 0;
	if (swap_patiently(w, f) < 0)
		return -1;
	w->n_moved += n_fresh;
	for (size_t i = 0; i < w->n_items; i++)
		w->x->n_resealed += w->items[i].is_swapped;
	for (size_t i = 0; i < w->n_items; i++)
		w->x->n_overtaken += w->items[i].fresh.bytes != NULL && !w->items[i].is_swapped;
	took_ms = clock_mono_ms() - took_ms;
	clock_sleep_ms(took_ms < POLITE_PAUSE_MS ? took_ms : POLITE_PAUSE_MS);
	return 0;
}

/* ---- walking ---- */

MUST_CHECK static int walk_page(struct walk *w, struct fault *f)
{
	if (store_use(w->tm->store, read_page, w, f) < 0)
		return -1;
	reseal_page(w);
	return store_page(w, f);
}

static bool is_told_to_stop(struct walk *w)
{
	return w->x->progress != NULL && w->x->progress(w->x->arg, w->n_done, w->n_total) != 0;
}

MUST_CHECK static int walk_column(
	struct walk *w, const struct sealed_column *column, struct fault *f)
{
	bool is_last = false;

	w->column = column;
	w->last = (struct item){0};
	w->last.key = column->has_byte_key ? db_bytes("", 0) : db_int(INT64_MIN);
	while (!is_last) {
		int result = walk_page(w, f);

		is_last = w->n_seen < w->page_rows;
		w->n_done += w->n_seen;
		drop_page(w);
		if (result < 0)
			return -1;
		if (is_told_to_stop(w))
			return ROTATION_STOPPED;
	}
	return ROTATION_DONE;
}

static int see_count(void *arg, const struct db_value *c, size_t n_cols, struct fault *f)
{
	struct walk *w = arg;

	(void)n_cols, (void)f;
	w->n_total += db_get_int(&c[0]);
	return 1;
}

static int count_values(struct db *db, void *arg, struct fault *f)
{
	for (const struct sealed_column *c = sealed_columns; c->table != NULL; c++)
		if (db_read(db, c->count, see_count, arg, f) < 0)
			return -1;
	return 0;
}

/* Only the last walk's failures count: what could not be opened may have been replaced since. */
static void forget_failures(struct walk *w)
{
	for (size_t i = 0; i < ROTATION_FAILURES_NAMED; i++) {
		mem_free(w->x->failures[i]);
		w->x->failures[i] = NULL;
	}
	w->x->n_failed = 0;
	memset(w->in_use, 0, VAULT_KEYS_MAX * sizeof(w->in_use[0]));
}

MUST_CHECK static int walk_once(struct walk *w, struct fault *f)
{
	int outcome = ROTATION_DONE;

	w->n_done = w->n_total = w->n_moved = 0;
	w->x->n_walks++;
	forget_failures(w);
	if (store_use(w->tm->store, count_values, w, f) < 0)
		return -1;
	if (is_told_to_stop(w))
		return ROTATION_STOPPED;
	for (const struct sealed_column *c = sealed_columns; c->table != NULL; c++) {
		outcome = walk_column(w, c, f);
		if (outcome != ROTATION_DONE)
			break;
	}
	return outcome;
}

MUST_CHECK static int walk_until_done(struct walk *w, struct fault *f)
{
	for (int walks = 1; walks <= WALKS_MOST; walks++) {
		int outcome = walk_once(w, f);

		if (outcome != ROTATION_DONE || w->n_moved == 0)
			return outcome;
		/* What a server sealed just before the key changed may still be on its way. */
		if (walks > 1)
			clock_sleep_ms(BETWEEN_WALKS_MS);
	}
	return fault_raise(f, FAULT_CONFLICT,
		"values keep coming under another key than %u: some process seals with another "
		"copy of the key ring; give it this one, and run the rotation again to go on",
		w->key);
}

int reseal_all(struct token_management *tm, struct rotation *x,
	bool ret_in_use[static VAULT_KEYS_MAX], struct fault *f)
{
	int64_t page_rows = x->page_rows > 0 ? x->page_rows : PAGE_ROWS;
	struct walk w = {
		.tm = tm,
		.x = x,
		.page_rows = page_rows,
		.key = vault_active_key(tm->vault),
		.in_use = ret_in_use,
		.items = mem_alloc_array((size_t)page_rows, sizeof(*w.items)),
	};
	int outcome;

	w.n_keys = vault_keys(tm->vault, w.keys);
	outcome = walk_until_done(&w, f);
	mem_free(w.items);
	return outcome;
}
