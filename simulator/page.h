/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of every HTML page: one style sheet, no script, no other host. */
#ifndef SIMULATOR_PAGE_H
#define SIMULATOR_PAGE_H

#include "base/attr.h"
#include "simulator/request.h"

/* Starts the page; form_target: an origin that a form's answer may lead to, or NULL. */
struct buf *page_open(
	struct request *r, unsigned status, const char *title, const char *form_target);
void page_close(struct buf *b);
/* Formats into HTML: every %s is escaped. */
void page_add(struct buf *b, const char *html, const char *a, const char *c);

#endif
