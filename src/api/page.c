/* SPDX-License-Identifier: Apache-2.0 */
#include "api/page.h"

#include <string.h>

#include "api/request_life.h"
#include "base/hash.h"
#include "base/text.h"
#include "console/console.h"

#define FALLBACK "{{title}}\n{{sentence}}\n{{next}}\n"

static const char *template_text(const char *name)
{
	const struct embedded_file *file = console_file(name);

	return file ? (const char *)file->data : FALLBACK;
}

static const char *style_sheet(void)
{
	const struct embedded_file *file = console_file("page.css");

	return file ? (const char *)file->data : "";
}

/* The style sheet stands in the page; its hash is what allows it, and only it. */
static void write_policy(const char *form_action, struct buf *ret)
{
	AUTO(buf_drop) struct buf hash = BUF_INIT(64);
	uint8_t digest[HASH_SHA256_SIZE];
	const char *style = style_sheet();

	hash_sha256(style, strlen(style), digest);
	text_base64(&hash, digest, sizeof(digest));
	buf_addf(ret,
		"default-src 'none'; style-src 'sha256-%s'; frame-ancestors 'none'; base-uri "
		"'none'; "
		"form-action %s",
		buf_text(&hash), form_action);
}

/* ---- templates ---- */

struct filling { /* borrowed */
	const struct name_value *values;
	size_t n;
	bool escapes;
};

static const char *find_value(const struct filling *x, const char *name, size_t len)
{
	for (size_t i = 0; i < x->n; i++)
		if (strlen(x->values[i].name) == len && memcmp(x->values[i].name, name, len) == 0)
			return x->values[i].value ? x->values[i].value : "";
	return "";
}

/* Behind the {{/name}} that ends a section; NULL when there is none. */
static const char *skip_section(const char *at, const char *name, size_t len)
{
	while ((at = strstr(at, "{{/"))) {
		at += 3;
		if (strncmp(at, name, len) == 0 && strncmp(at + len, "}}", 2) == 0)
			return at + len + 2;
	}
	return NULL;
}

static void add_value(const struct filling *x, const char *name, size_t len, struct buf *ret)
{
	if (len == strlen("style") && memcmp(name, "style", len) == 0)
		buf_add_text(ret, style_sheet());
	else if (x->escapes)
		text_html(ret, find_value(x, name, len));
	else
		buf_add_text(ret, find_value(x, name, len));
}

/* What a tag between braces does; answers where the template goes on. */
static const char *take_tag(
	const struct filling *x, const char *tag, const char *close, struct buf *ret)
{
	const size_t len = (size_t)(close - tag);
	const char *behind = close + 2, *end;

	if (*tag == '#') {
		end = *find_value(x, tag + 1, len - 1) ? NULL
						       : skip_section(behind, tag + 1, len - 1);
		return end ? end : behind;
	}
	if (*tag != '/')
		add_value(x, tag, len, ret);
	return behind;
}

static void render(const char *template, const struct filling *x, struct buf *ret)
{
	for (;;) {
		const char *open = strstr(template, "{{");
		const char *close = open ? strstr(open, "}}") : NULL;
		if (close == NULL)
			break;
		buf_add(ret, template, (size_t)(open - template));
		template = take_tag(x, open + 2, close, ret);
	}
	buf_add_text(ret, template);
}

void page_render(const char *template, const struct name_value *values, size_t n, struct buf *ret)
{
	render(template, &(struct filling){.values = values, .n = n, .escapes = true}, ret);
}

void page_words(const char *template, const struct name_value *values, size_t n, struct buf *ret)
{
	render(template, &(struct filling){.values = values, .n = n}, ret);
}

/* ---- answers ---- */

void page_answer_template(struct request *req, const char *name, const struct name_value *values,
	size_t n, const char *form_action)
{
	AUTO(buf_drop) struct buf policy = BUF_INIT(4 * LIMIT_URL_BYTES);
	const char *text = template_text(name);

	answer_drop(&req->answer);
	answer_begin(&req->answer);
	req->answer.content_type = "text/html; charset=utf-8";
	page_render(text, values, n, &req->answer.body);
	write_policy(form_action, &policy);
	answer_header(req, "Content-Security-Policy", buf_text(&policy));
	/* Without any referrer a browser would hide from our own forms where they come from. */
	answer_header(req, "Referrer-Policy",
		strcmp(form_action, "'self'") == 0 ? "same-origin" : "no-referrer");
	answer_header(req, "X-Content-Type-Options", "nosniff");
}

void page_answer(struct request *req, unsigned status, const struct page *page)
{
	const struct name_value values[] = {{"good", page->tone == PAGE_GOOD ? "1" : NULL},
		{"warn", page->tone == PAGE_WARN ? "1" : NULL},
		{"bad", page->tone == PAGE_BAD ? "1" : NULL}, {"title", page->title},
		{"sentence", page->sentence}, {"list", page->list}, {"next", page->next},
		{"action", page->action}, {"button", page->button}, {"note", page->note},
		{
			"operator",
			page->operator},
	};

	page_answer_template(req, "message.html", values, ARRAY_LEN(values),
		page->form_action ? page->form_action : "'none'");
	req->answer.status = status;
}
