/* SPDX-License-Identifier: Apache-2.0 */
/* Answers for people: embedded pages of one style, each with what happened and the next step. */
#ifndef API_PAGE_H
#define API_PAGE_H

#include "api/request.h"

enum page_tone { PAGE_BAD, PAGE_WARN, PAGE_GOOD };
struct page { /* plain text, escaped when written; NULL and "" leave their place out */
	enum page_tone tone;
	const char *title, *sentence, *next;
	const char *list;            /* in a box of its own, lines kept */
	const char *action, *button; /* a form that posts there, without fields */
	const char *note;
	const char *operator;    /* for whoever runs the service */
	const char *form_action; /* CSP: where the form may lead; NULL: nowhere */
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
/*
 * The template with {{names}} replaced by escaped values; unknown names become nothing. What stands
 * between {{#name}} and {{/name}} is left out when that value is absent or empty. {{style}} is the
 * style sheet. Pure.
 */
void page_render(const char *template, const struct name_value *values, size_t n, struct buf *ret);
/* The same without escaping, for a text that becomes a value later. */
void page_words(const char *template, const struct name_value *values, size_t n, struct buf *ret);

#endif
