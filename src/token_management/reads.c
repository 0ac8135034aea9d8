/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/reads.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/internal.h"

#define TABLE_LEAST 64
#define TABLE_MOST                                                                     \
	((size_t)1 << 19) /* half of it used: 262,144 pairs of key and branch a minute \
			   */
#define NOTES_MOST 65536
#define WRITE_EVERY_MS 60000
#define NOTES_EVERY_MS 1000
#define ROWS_A_TRANSACTION 500
#define ROWS_A_STATEMENT 50
#define LINE_ARGS 5
#define MS_A_ROW \
	5 /* so that a great many pairs are written seldom, not always: 200 rows a second */

struct read_note {
	uint64_t key;
	int64_t client_row, at_ms;
	char remote[48];
};

struct notes {
	struct read_note *list;
	size_t n, cap;
};

struct read_book {
	struct read_book *next;
	pthread_mutex_t lock;
	struct read_counts counts;
	struct notes notes;
	int64_t passed; /* since the last one that was noted */
};

static _Atomic uint64_t generations;
static _Thread_local struct read_book *own_book;
static _Thread_local uint64_t own_generation;

/* ---- counting ---- */

static size_t place_of(const struct read_counts *c, uint64_t key, int64_t client_row)
{
	uint64_t mixed = (key ^ (uint64_t)client_row * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
	size_t at = (size_t)(mixed >> 32) & (c->cap - 1);

	while (c->list[at].n > 0 &&
		(c->list[at].key != key || c->list[at].client_row != client_row))
		at = (at + 1) & (c->cap - 1);
	return at;
}

static void make_room(struct read_counts *c)
{
	struct read_counts old = *c;

	c->cap = old.cap > 0 ? old.cap * 2 : TABLE_LEAST;
	c->list = mem_alloc_array(c->cap, sizeof(*c->list));
	for (size_t i = 0; i < old.cap; i++) {
		if (old.list[i].n > 0)
			c->list[place_of(c, old.list[i].key, old.list[i].client_row)] = old.list[i];
	}
	mem_free(old.list);
}

static void add_count(
	struct read_counts *c, uint64_t key, int64_t client_row, uint64_t n, int64_t since_ms)
{
	struct read_count *at;

	if (c->used * 2 >= c->cap && c->cap < TABLE_MOST)
		make_room(c);
	at = &c->list[place_of(c, key, client_row)];
	if (at->n == 0 && c->used * 2 >= c->cap) { /* as large as it gets */
		c->surplus += n;
		return;
	}
	if (at->n == 0) {
		*at = (struct read_count){.key = key,
			.client_row = client_row,
			.since_ms = since_ms != 0 ? since_ms : clock_wall_ms()};
		c->used++;
	}
	at->n += n;
}

static void add_note(
	struct read_book *b, uint64_t key, int64_t client_row, const char *remote, int64_t now_ms)
{
	struct notes *s = &b->notes;

	if (s->n == NOTES_MOST) { /* the database is away: at least how many */
		add_count(&b->counts, key, client_row, 1, now_ms);
		return;
	}
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? s->cap * 2 : 16;
		s->list = mem_resize(s->list, s->cap * sizeof(*s->list));
	}
	s->list[s->n] = (struct read_note){.key = key, .client_row = client_row, .at_ms = now_ms};
	snprintf(s->list[s->n++].remote, sizeof(s->list->remote), "%s", remote ? remote : "");
}

static struct read_book *open_book(struct read_ledger *l)
{
	struct read_book *b = mem_alloc(sizeof(*b));

	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_lock(&l->lock);
	b->next = l->books;
	l->books = b;
	pthread_mutex_unlock(&l->lock);
	own_book = b;
	own_generation = l->generation;
	return b;
}

void tokens_note_read(struct token_management *tm, const struct key_grant *key, int64_t client_row,
	const char *remote)
{
	const int64_t every = tm->settings->token_read_sample;
	struct read_book *b = own_book;
	uint64_t id = 0;

	if (every < 0)
		return;
	if (own_generation != tm->reads.generation)
		b = open_book(&tm->reads);
	if (key != NULL)
		memcpy(&id, key->id, sizeof(id));
	pthread_mutex_lock(&b->lock);
	if (every == 0) {
		add_count(&b->counts, id, client_row, 1, 0);
	} else if (++b->passed >= every) {
		b->passed = 0;
		add_note(b, id, client_row, remote, clock_wall_ms());
	}
	pthread_mutex_unlock(&b->lock);
}

/* ---- writing ---- */

struct writing {
	struct token_management *tm;
	struct read_counts *counts;
	const struct notes *notes;
	size_t from, to; /* of the list */
};

static void write_actor(uint64_t key, char ret[static 24])
{
	char id[sizeof(key) + 1] = {0};

	memcpy(id, &key, sizeof(key));
	snprintf(ret, 24, key != 0 ? "key:%s" : "anonymous", id);
}

/* Rows of one statement. Where each would be a round trip, it would take the cores from those who
 * read. */
struct lines {
	struct db *db;
	size_t n, most;
	struct line {
		char actor[24], detail[160], remote[48];
		int64_t at_ms, client_row;
	} list[ROWS_A_STATEMENT];
};

/* Always of the same length but for the last, so that few texts are ever prepared. */
MUST_CHECK static int put_lines(struct lines *l, size_t from, size_t n, struct fault *f)
{
	AUTO(buf_drop) struct buf sql = BUF_INIT(ROWS_A_STATEMENT * 128);
	struct db_value args[ROWS_A_STATEMENT * LINE_ARGS];

	buf_add_text(
		&sql, "INSERT INTO audit (at_ms, actor, action, branch_id, detail, remote) VALUES");
	for (size_t i = 0; i < n; i++) {
		const struct line *line = &l->list[from + i];
		const size_t at = i * LINE_ARGS;

		buf_addf(&sql,
			"%s ($%zu, $%zu, 'token.read', (SELECT branch_id FROM clients WHERE id ="
			" $%zu), $%zu, $%zu)",
			i > 0 ? "," : "", at + 1, at + 2, at + 3, at + 4, at + 5);
		args[at] = db_int(line->at_ms);
		args[at + 1] = db_text(line->actor);
		args[at + 2] = db_int(line->client_row);
		args[at + 3] = db_text(line->detail);
		args[at + 4] = db_text(line->remote[0] != '\0' ? line->remote : NULL);
	}
	return db_push(l->db, buf_text(&sql), args, n * LINE_ARGS, f);
}

static size_t rows_a_statement(const struct db *db)
{
	return db_engine(db) == DB_POSTGRES ? ROWS_A_STATEMENT : 1;
}

MUST_CHECK static int add_line(struct lines *l, const struct line *line, struct fault *f)
{
	l->list[l->n++] = *line;
	if (l->n < l->most)
		return 0;
	l->n = 0;
	return put_lines(l, 0, l->most, f);
}

MUST_CHECK static int end_lines(struct lines *l, struct fault *f)
{
	for (size_t i = 0; i < l->n; i++)
		if (put_lines(l, i, 1, f) < 0)
			return -1;
	return 0;
}

MUST_CHECK static int put_count(struct lines *l, const struct read_count *c, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(256);
	struct json_out o = JSON_OUT(&detail);
	struct line line = {.at_ms = clock_wall_ms(), .client_row = c->client_row};

	json_open(&o, '{');
	json_add_int(&o, "client", c->client_row);
	json_add_int(&o, "reads", (int64_t)c->n);
	json_add_time(&o, "since", c->since_ms);
	json_close(&o, '}');
	snprintf(line.detail, sizeof(line.detail), "%s", buf_text(&detail));
	write_actor(c->key, line.actor);
	return add_line(l, &line, f);
}

static int counts_body(struct db *db, void *arg, struct fault *f)
{
	const struct writing *w = arg;
	struct lines lines = {.db = db, .most = rows_a_statement(db)};

	for (size_t i = w->from; i < w->to; i++) {
		if (w->counts->list[i].n > 0 && put_count(&lines, &w->counts->list[i], f) < 0)
			return -1;
	}
	return end_lines(&lines, f);
}

static int surplus_body(struct db *db, void *arg, struct fault *f)
{
	const struct writing *w = arg;
	AUTO(buf_drop) struct buf detail = BUF_INIT(256);
	struct json_out o = JSON_OUT(&detail);

	json_open(&o, '{');
	json_add_int(&o, "reads", (int64_t)w->counts->surplus);
	json_add_text(&o, "of", "more keys and branches than are counted one by one");
	json_close(&o, '}');
	return audit_write(db, NULL, "token.read", NULL, buf_text(&detail), f);
}

static int notes_body(struct db *db, void *arg, struct fault *f)
{
	const struct writing *w = arg;
	struct lines lines = {.db = db, .most = rows_a_statement(db)};

	for (size_t i = w->from; i < w->to; i++) {
		const struct read_note *n = &w->notes->list[i];
		struct line line = {.at_ms = n->at_ms, .client_row = n->client_row};

		snprintf(line.detail, sizeof(line.detail), "{\"client\":%lld,\"one_of\":%lld}",
			(long long)n->client_row, (long long)w->tm->settings->token_read_sample);
		memcpy(line.remote, n->remote, sizeof(line.remote));
		write_actor(n->key, line.actor);
		if (add_line(&lines, &line, f) < 0)
			return -1;
	}
	return end_lines(&lines, f);
}

/* Forgets what is written piece by piece, so that a failure writes nothing twice. */
static int write_counts(struct token_management *tm, struct read_counts *c, struct fault *f)
{
	struct writing w = {.tm = tm, .counts = c};

	for (size_t from = 0, rows = 0; from < c->cap; from = w.to, rows = 0) {
		w.from = w.to = from;
		while (w.to < c->cap && rows < ROWS_A_TRANSACTION)
			rows += c->list[w.to++].n > 0;
		if (rows > 0 && store_transact_snapshot(tm->store, counts_body, &w, f) < 0)
			return -1;
		for (size_t i = w.from; i < w.to; i++)
			c->list[i].n = 0;
	}
	if (c->surplus > 0 && store_transact(tm->store, surplus_body, &w, f) < 0)
		return -1;
	mem_free(c->list);
	*c = (struct read_counts){0};
	return 0;
}

/* What cannot be written is counted, not kept word for word. */
static int write_notes(struct token_management *tm, const struct notes *n, struct fault *f)
{
	struct writing w = {.tm = tm, .notes = n};

	for (w.from = 0; w.from < n->n; w.from = w.to) {
		w.to = n->n - w.from > ROWS_A_TRANSACTION ? w.from + ROWS_A_TRANSACTION : n->n;
		if (store_transact_snapshot(tm->store, notes_body, &w, f) == 0)
			continue;
		for (size_t i = w.from; i < n->n; i++)
			add_count(&tm->reads.due, n->list[i].key, n->list[i].client_row, 1,
				n->list[i].at_ms);
		return -1;
	}
	return 0;
}

/* Takes a thread's table away. It gets one as large, so that it need not grow again each minute. */
static void take_counts(struct read_book *b, struct read_counts *ret)
{
	struct read_counts fresh = {0};
	size_t cap;

	pthread_mutex_lock(&b->lock);
	cap = b->counts.used > b->counts.cap / 8 ? b->counts.cap : 0;
	pthread_mutex_unlock(&b->lock);
	if (cap > 0)
		fresh = (struct read_counts){
			.list = mem_alloc_array(cap, sizeof(*fresh.list)), .cap = cap};
	pthread_mutex_lock(&b->lock);
	*ret = b->counts;
	b->counts = fresh;
	pthread_mutex_unlock(&b->lock);
}

static void collect_counts(struct read_ledger *l, struct read_book *b)
{
	struct read_counts taken;

	take_counts(b, &taken);
	for (size_t i = 0; i < taken.cap; i++) {
		if (taken.list[i].n > 0)
			add_count(&l->due, taken.list[i].key, taken.list[i].client_row,
				taken.list[i].n, taken.list[i].since_ms);
	}
	l->due.surplus += taken.surplus;
	mem_free(taken.list);
}

static int collect_notes(struct token_management *tm, struct read_book *b, struct fault *f)
{
	struct notes taken;
	int result;

	pthread_mutex_lock(&b->lock);
	taken = b->notes;
	b->notes = (struct notes){0};
	pthread_mutex_unlock(&b->lock);
	result = write_notes(tm, &taken, f);
	mem_free(taken.list);
	return result;
}

/* Books are only added, at the front, so the rest of the list may be walked without the lock. */
static struct read_book *first_book(struct read_ledger *l)
{
	struct read_book *first;

	pthread_mutex_lock(&l->lock);
	first = l->books;
	pthread_mutex_unlock(&l->lock);
	return first;
}

int reads_write_back(struct token_management *tm, bool all, struct fault *f)
{
	struct read_ledger *l = &tm->reads;
	const int64_t now_ms = clock_mono_ms();
	int64_t wait_ms = WRITE_EVERY_MS;
	int result = 0;

	if (tm->settings->token_read_sample < 0)
		return 0;
	if (l->write_at_ms == 0)
		l->write_at_ms =
			now_ms + (tm->settings->token_read_sample == 0 ? WRITE_EVERY_MS : 0);
	if (!all && now_ms < l->write_at_ms)
		return 0;
	for (struct read_book *b = first_book(l); b != NULL && result == 0; b = b->next)
		result = collect_notes(tm, b, f);
	for (struct read_book *b = first_book(l); b != NULL; b = b->next)
		collect_counts(l, b);
	if (tm->settings->token_read_sample > 0)
		wait_ms = NOTES_EVERY_MS;
	else if ((int64_t)l->due.used * MS_A_ROW > wait_ms)
		wait_ms = (int64_t)l->due.used * MS_A_ROW;
	l->write_at_ms = now_ms + wait_ms;
	return result < 0 ? -1 : write_counts(tm, &l->due, f);
}

/* ---- life ---- */

void reads_init(struct read_ledger *l)
{
	pthread_mutex_init(&l->lock, NULL);
	l->generation = atomic_fetch_add(&generations, 1) + 1;
}

void reads_done(struct read_ledger *l)
{
	while (l->books != NULL) {
		struct read_book *b = l->books;

		l->books = b->next;
		pthread_mutex_destroy(&b->lock);
		mem_free(b->counts.list);
		mem_free(b->notes.list);
		mem_free(b);
	}
	mem_free(l->due.list);
	pthread_mutex_destroy(&l->lock);
}
