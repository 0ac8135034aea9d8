/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table, from which reading, --help and the journal's check come. */
#ifndef SIMULATOR_OPTIONS_H
#define SIMULATOR_OPTIONS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "simulator/world.h"

struct options {
	const char *host, *state, *issuer; /* state NULL: nothing is kept */
	const char *auto_consent, *end;
	int64_t port, threads, seed, users, accounts, locations, reviews, shared, unverified_every,
		quota, edits, token_ttl;
	bool reviews_exact, wants_help;
	bool is_world_given; /* a measure of the world was set explicitly */
};

/* Flags win over SIMULATOR_… environment variables. -1 FAULT_INPUT with words for people. */
MUST_CHECK int options_read(int argc, char *const argv[], struct options *ret, struct fault *f);
void options_help(struct buf *ret);
/* The world that these options make; end: today's midnight unless set. -1: --end is no instant. */
MUST_CHECK int options_world(
	const struct options *o, int64_t now_ms, struct world *ret, struct fault *f);

#endif
