/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All providers of a process: Google, and those of PROVIDERS_FILE. Each has its own background
 * (due.h), so that one that fails slows no other, and, when its addresses are to be discovered, one
 * run that fetches its metadata (RFC 8414, OpenID Connect Discovery).
 *
 * What discovery finds is a record of its own; an older one stays as it is until the end, since
 * whoever began with it goes on with it.
 */
#ifndef TOKEN_MANAGEMENT_PROVIDERS_H
#define TOKEN_MANAGEMENT_PROVIDERS_H

#include <pthread.h>
#include <stdatomic.h>

#include "token_management/due.h"
#include "token_management/provider_file.h"

struct token_management;

struct provider_entry {
	struct token_management *tm;
	struct provider_record *own;        /* as written */
	struct provider_record *found;      /* by discovery, the newest first (next_found) */
	const struct provider *_Atomic now; /* what is used: of own, or of found */
	struct due due;
	pthread_mutex_t lock; /* for what follows */
	bool is_asking;
	int64_t found_mono_ms; /* 0: never */
	unsigned failures;     /* in a row */
	char reason[200];      /* of the last one */
};

struct provider_table {
	struct provider_entry *entries; /* the first is Google */
	size_t n;
};

/* Reads the file. -1 FAULT_INPUT: it is not sound, or two records have one name or issuer. */
MUST_CHECK int providers_init(struct token_management *tm, struct fault *f);
/* Asks for what has to be discovered. Once, when the rest stands. */
void providers_start(struct token_management *tm);
void providers_done(struct token_management *tm);

/* NULL: no such record. Any thread. */
struct provider_entry *providers_entry(const struct token_management *tm, const char *name);
/*
 * The record to ask with, borrowed until the end; NULL: -1 in *f, FAULT_CONFLICT when there is no
 * such record, FAULT_UPSTREAM while its addresses are not known. Any thread.
 */
const struct provider *providers_ready(
	const struct token_management *tm, const char *name, struct fault *f);
/* A provider does not answer where it was said to be: its metadata is read again, if it is not of
 * this minute. */
void providers_doubt(struct token_management *tm, const char *name);

/* ---- discovery ---- */

/* Begins a run unless one is under way. */
void discovery_begin(struct provider_entry *e);

#endif
