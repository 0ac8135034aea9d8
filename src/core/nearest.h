/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean …?": the known word nearest to a misspelt one. Pure, no allocation. */
#ifndef CORE_NEAREST_H
#define CORE_NEAREST_H

#include "base/attr.h"

struct nearest {
	const char *word; /* what was typed */
	const char *best; /* NULL: nothing is near enough to be meant */
	size_t edits;     /* from word to best */
};
#define NEAREST(typed) ((struct nearest){.word = (typed)})

/*
 * Keeps the candidate (borrowed) when it is nearer than what was offered before. Near is counted in
 * edits of one character (insert, delete, replace, swap of neighbours); case and '-' against '_' do
 * not count, and only the first 64 bytes are looked at.
 */
void nearest_offer(struct nearest *n, const char *candidate);

#endif
