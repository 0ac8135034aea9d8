/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nearest.h"

#include <ctype.h>
#include <string.h>

#define WORD_MOST 64
/* Somebody who leaves a prefix or suffix out (PORT for API_PORT) typed at least that much. */
#define PART_LEAST 4

static size_t fold(const char *word, char folded[static WORD_MOST + 1])
{
	size_t len = 0;

	for (; word[len] != '\0' && len < WORD_MOST; len++) {
		unsigned char c = (unsigned char)word[len];

		folded[len] = c == '-' ? '_' : (char)toupper(c);
	}
	folded[len] = '\0';
	return len;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: the last three rows of the table are enough. */
static size_t edits(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][WORD_MOST + 1];

	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *now = rows[i % 3];
		const size_t *above = rows[(i - 1) % 3];
		const size_t *above2 = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			now[j] = least(above[j], now[j - 1]) + 1;
			now[j] = least(now[j], above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], above2[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

void nearest_offer(struct nearest *n, const char *candidate)
{
	char typed[WORD_MOST + 1];
	char known[WORD_MOST + 1];
	size_t typed_len = fold(n->word, typed);
	size_t known_len = fold(candidate, known);
	size_t distance = edits(typed, typed_len, known, known_len);
	size_t allowed = known_len / 3 > 2 ? known_len / 3 : 2;

	if (typed_len >= PART_LEAST && strstr(known, typed) != NULL)
		allowed = known_len;
	/* A short word is near to any other short one. */
	if (distance > allowed || distance >= known_len)
		return;
	if (n->best == NULL || distance < n->edits) {
		n->best = candidate;
		n->edits = distance;
	}
}
