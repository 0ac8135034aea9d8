/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that share a grant. A provider such as Google ends, with one revocation, all grants
 * that a person gave to a whole OAuth project. The siblings of a connection are the other connected
 * ones of the same provider, project and account. Where the provider named no account, nobody can
 * tell, and there are none.
 */
#ifndef TOKEN_MANAGEMENT_SIBLINGS_H
#define TOKEN_MANAGEMENT_SIBLINGS_H

#include "token_management/grant.h"

#define SIBLINGS_LISTED 100

struct siblings { /* siblings_done */
	char *branches[SIBLINGS_LISTED];
	size_t n;      /* of them */
	int64_t total; /* of all there are */
};
void siblings_done(struct siblings *s);
/* Inside a transaction. *ret must be empty or done. */
MUST_CHECK int siblings_find(struct db *db, const struct token_management *tm,
	const struct grant *g, struct siblings *ret, struct fault *f);

/*
 * Inside a transaction. Whether a connection of the provider and project lives whose account is not
 * known, imported ones above all: any of them may be a sibling.
 */
MUST_CHECK int siblings_may_hide(struct db *db, const struct token_management *tm,
	const struct grant *g, bool *ret, struct fault *f);

struct siblings_fate {
	/* The provider ended the grant now. Else it was over before, and the siblings may live. */
	bool is_ended_now;
	int64_t asked_at_ms; /* a token stored since then may be of a new consent */
	const struct actor *who;
	int64_t n_ended, n_doubted; /* out */
};
/*
 * Worker, outside a transaction. Who is dead for certain needs to be reconnected; who is in doubt
 * becomes due, so that the provider says. In small transactions: after -1 some are done, and
 * another call does the rest.
 */
MUST_CHECK int siblings_end(struct token_management *tm, const struct grant *g,
	struct siblings_fate *fate, struct fault *f);

#endif
