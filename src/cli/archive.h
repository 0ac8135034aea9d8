/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that a database holds as one file of JSON lines, for a backup or another engine: a
 * header, then for each table its columns and its rows, then an end that counts them and
 * says which numbers were given. Secrets are
 * sealed under a passphrase. Tables and columns are the database's own, in the order in which they
 * were made, so that what refers to a row comes behind it, and nothing that a later migration adds
 * can be forgotten.
 */
#ifndef CLI_ARCHIVE_H
#define CLI_ARCHIVE_H

#include <stdio.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/secret.h"

struct db;
struct store;
struct vault;
struct vault_wrap;

#define ARCHIVE_FORMAT "review-fetcher-export"
#define ARCHIVE_VERSION 1
/* Every archive begins so. */
#define ARCHIVE_START "{\"format\":\"" ARCHIVE_FORMAT "\""
#define ARCHIVE_PAGE 200
#define ARCHIVE_NAME_BYTES 64
#define ARCHIVE_TABLES_MOST 100
#define ARCHIVE_COLUMNS_MOST 64
#define ARCHIVE_KEYS_MOST 4
#define ARCHIVE_LINE_BYTES (64 * 1024 * 1024)

enum { ARCHIVE_CONNECTIONS = 1, ARCHIVE_REVIEWS = 2, ARCHIVE_ALL = 7 };
/* "connections", "reviews" or "all"; 0: none of them. */
unsigned archive_what(const char *word);

struct archive_table {
	char name[ARCHIVE_NAME_BYTES];
	char columns[ARCHIVE_COLUMNS_MOST][ARCHIVE_NAME_BYTES];
	size_t n_columns;
	char keys[ARCHIVE_KEYS_MOST][ARCHIVE_NAME_BYTES]; /* its primary key, of this engine */
	size_t n_keys;
};
struct archive_names {
	char names[ARCHIVE_TABLES_MOST][ARCHIVE_NAME_BYTES];
	size_t n;
};
/* The tables of the database that belong to what is moved, in the order of their making. */
MUST_CHECK int archive_tables(
	struct db *db, unsigned what, struct archive_names *ret, struct fault *f);
/* -1 FAULT_INPUT: there is no such table among those that are moved. */
MUST_CHECK int archive_describe(
	struct db *db, const char *name, struct archive_table *ret, struct fault *f);
/* The highest number that each table has given to a row, also to one that is gone. */
struct archive_number {
	char table[ARCHIVE_NAME_BYTES];
	int64_t number;
};
struct archive_numbers {
	struct archive_number list[ARCHIVE_TABLES_MOST];
	size_t n;
};
/* Adds what the database says to *x. */
MUST_CHECK int archive_numbers_read(struct db *db, struct archive_numbers *x, struct fault *f);
/* Adds one, or raises it. false: there is no room. */
bool archive_number_note(struct archive_numbers *x, const char *table, int64_t number);
/* After rows came with numbers of their own: the engine's own numbers go on behind them, and behind
 * those of the house that they came from. */
MUST_CHECK int archive_count_on(
	struct store *store, const struct archive_numbers *of_file, struct fault *f);
/* The place of a column; n_columns: not there. */
size_t archive_column(const struct archive_table *t, const char *name);

/* Worker or main thread. One consistent view of the database, beside servers that run. */
struct archive_out {
	struct store *store;
	struct vault *vault;
	const struct secret *passphrase; /* NULL: only for what has no secrets */
	unsigned what;
	const char *what_word;
	FILE *to;
	int64_t n_rows; /* out */
};
MUST_CHECK int archive_write(struct archive_out *x, struct fault *f);

struct archive_in {
	struct store *store;
	struct vault *vault;
	const struct secret *passphrase;
	bool merges;
	FILE *from;
	const char *start; /* what was read of the file already */
	size_t start_len;
	int64_t n_rows, n_kept, n_before; /* out: rows in all; there already; of an earlier run */
};
/*
 * -1: FAULT_DENIED another passphrase, FAULT_CONFLICT the database is not empty, FAULT_INPUT the
 * file: before anything was written, or with all written that stands before the fault. Again with
 * the same file, it goes on where it ended.
 */
MUST_CHECK int archive_read(struct archive_in *x, struct fault *f);

#endif
