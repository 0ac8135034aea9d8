/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/page.h"

#include <stdio.h>
#include <string.h>

#include "base/embedded.h"
#include "base/text.h"
#include "simulator/simulator.h"

extern const struct embedded_file simulator_web[];

void page_add(struct buf *b, const char *html, const char *a, const char *c)
{
	const char *at, *args[] = {a, c};
	size_t n = 0;

	while ((at = strstr(html, "%s"))) {
		buf_add(b, html, (size_t)(at - html));
		if (n < ARRAY_LEN(args) && args[n])
			text_html(b, args[n]);
		n++;
		html = at + 2;
	}
	buf_add_text(b, html);
}

struct buf *page_open(
	struct request *r, unsigned status, const char *title, const char *form_target)
{
	struct buf *b = answer_start(r, status, ANSWER_HTML);
	char policy[512];

	/* Browsers apply form-action to where the form's answer redirects, too. */
	snprintf(policy, sizeof(policy),
		"default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self' "
		"%s; "
		"base-uri 'none'; frame-ancestors 'none'",
		form_target ? form_target : "");
	answer_header(&r->answer, "Content-Security-Policy", policy);
	answer_header(&r->answer, "X-Content-Type-Options", "nosniff");
	answer_header(&r->answer, "Referrer-Policy", "no-referrer");
	answer_header(&r->answer, "Cache-Control", "no-store");
	page_add(b,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta name=\"color-scheme\" content=\"light dark\">\n<title>%s</title>\n"
		"<link rel=\"icon\" href=\"data:,\">\n"
		"<link rel=\"stylesheet\" href=\"/_static/simulator.css\">\n</head>\n<body>\n"
		"<p class=\"ribbon\" role=\"note\"><strong>Simulator</strong> "
		"This is not Google. The accounts, shops and reviews here are made "
		"up.</p>\n<main>\n",
		title, NULL);
	return b;
}

void page_close(struct buf *b)
{
	buf_add_text(b, "</main>\n</body>\n</html>\n");
}

void static_style(struct request *r)
{
	const struct embedded_file *file = simulator_web;

	buf_add(answer_start(r, 200, "text/css; charset=utf-8"), file->data, file->len);
	answer_header(&r->answer, "Cache-Control", "no-cache");
	answer_header(&r->answer, "ETag", file->etag);
}

/* What Google's front sends for an address that is none of an API's: a page, not JSON. */
void not_found_page(struct request *r)
{
	struct buf *b;

	if (text_starts(r->path, "/_control")) {
		r->kind = KIND_CONTROL;
		answer_control_error(r, 404, "there is no %s %s", r->method, r->path);
		return;
	}
	b = page_open(r, 404, "Not found", NULL);
	page_add(b,
		"<section class=\"card\"><h1>404</h1><p>The address <code>%s</code> is not one of "
		"Google’s that this simulator plays, at least not for <code>%s</code>.</p>"
		"<p><a href=\"/\">What it plays</a></p></section>\n",
		r->path, r->method);
	page_close(b);
}
