/* SPDX-License-Identifier: Apache-2.0 */
/* Answers for people: one embedded page with a title, a sentence and the next step. */
#ifndef API_PAGE_H
#define API_PAGE_H

#include "api/request.h"

struct page { /* plain text; escaped when written */
	const char *title, *sentence, *next, *note;
	bool is_good;
};
/*
 * Replaces the answer by the page, with headers that let it load nothing, be framed by nobody and
 * tell nobody where the reader came from.
 */
void page_answer(struct request *req, unsigned status, const struct page *page);
/* The same for another template of the console, with a form that may lead there (CSP form-action).
 * Status 200. */
void page_answer_template(struct request *req, const char *name, const struct name_value *values,
	size_t n, const char *form_action);
/* The template with {{names}} replaced by escaped values; unknown names become nothing. Pure. */
void page_render(const char *template, const struct name_value *values, size_t n, struct buf *ret);

#endif
