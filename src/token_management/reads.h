/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens that were handed out, on their way into the audit. The hot path adds to a table of its own
 * thread, under a lock that only the writer ever wants too; once a minute the writer takes the
 * tables away, adds them up and writes one row for each key and branch. A kill -9 loses what was
 * counted since; a stop writes it.
 */
#ifndef TOKEN_MANAGEMENT_READS_H
#define TOKEN_MANAGEMENT_READS_H

#include <pthread.h>

#include "base/attr.h"
#include "base/fault.h"

struct token_management;
struct read_book;

struct read_count {
	uint64_t key; /* the id of the key as it lies in memory; 0: none */
	int64_t client_row;
	uint64_t n;
	int64_t since_ms; /* wall, of the first */
};
struct read_counts {
	struct read_count *list; /* open addressing; n == 0: free */
	size_t cap, used;
	uint64_t surplus; /* for which there was no room any more */
};

struct read_ledger {
	pthread_mutex_t lock;
	struct read_book *books; /* under the lock */
	uint64_t generation;     /* of this object: a thread may have known another */
	/* The writer's: */
	struct read_counts due;
	int64_t write_at_ms; /* monotonic */
	bool is_failing;
};

void reads_init(struct read_ledger *l);
/* Worker; one caller at a time. Writes what is due; with `all`, whatever there is. */
MUST_CHECK int reads_write_back(struct token_management *tm, bool all, struct fault *f);
void reads_done(struct read_ledger *l);

#endif
