/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search of both engines is given quoted words and signs of our own only. Words are cut at all
 * ASCII that is neither letter nor digit; what is a letter beyond ASCII the engines know.
 */
#include "review_fetcher/review_find.h"

#include <string.h>

struct scan {
	enum db_engine engine;
	struct buf *out;
	size_t words; /* of the term that is open */
	bool any;
};

static bool is_of_word(unsigned char c)
{
	return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

static void add_word(struct scan *s, const char *word, size_t len)
{
	bool sqlite = s->engine == DB_SQLITE;

	if (s->words == 0 && s->any)
		buf_add_text(s->out, sqlite ? " " : " & ");
	if (s->words == 0)
		buf_add_text(s->out, sqlite ? "\"" : "('");
	else
		buf_add_text(s->out, sqlite ? " " : "' <-> '");
	buf_add(s->out, word, len);
	s->words++;
	s->any = true;
}

/* Words one behind the other; the last one may be a beginning. */
static void add_term(struct scan *s, const char *text, size_t len, bool is_beginning)
{
	s->words = 0;
	for (size_t i = 0, end; i < len; i = end) {
		end = i + 1;
		if (!is_of_word((unsigned char)text[i]))
			continue;
		while (end < len && is_of_word((unsigned char)text[end]))
			end++;
		add_word(s, text + i, end - i);
	}
	if (s->words == 0)
		return;
	if (s->engine == DB_SQLITE)
		buf_add_text(s->out, is_beginning ? "\" *" : "\"");
	else
		buf_add_text(s->out, is_beginning ? "':*)" : "')");
}

int review_words(enum db_engine engine, const char *q, struct buf *ret)
{
	struct scan s = {.engine = engine, .out = ret};

	while (*q) {
		bool quoted = *q == '"';
		size_t len;

		q += quoted;
		len = strcspn(q, quoted ? "\"" : " \t\r\n\"");
		if (quoted) {
			bool closed = q[len] == '"';

			add_term(&s, q, len, closed && q[len + 1] == '*');
			q += len + closed;
			q += closed && *q == '*';
		} else {
			add_term(&s, q, len, len > 0 && q[len - 1] == '*');
			q += len;
			q += strspn(q, " \t\r\n");
		}
	}
	return s.any ? 0 : 1;
}
