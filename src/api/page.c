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

/* The style sheet stands in the page; its hash is what allows it, and only it. */
static void write_policy(const char *text, const char *form_action, struct buf *ret)
{
	AUTO(buf_drop) struct buf hash = BUF_INIT(64);
	uint8_t digest[HASH_SHA256_SIZE];
	const char *style = strstr(text, "<style>");
	const char *end = style ? strstr(style, "</style>") : NULL;

	if (end) {
		style += strlen("<style>");
		hash_sha256(style, (size_t)(end - style), digest);
		text_base64(&hash, digest, sizeof(digest));
	}
	buf_addf(ret,
		"default-src 'none'; style-src 'sha256-%s'; frame-ancestors 'none'; base-uri "
		"'none'; "
		"form-action %s",
		buf_text(&hash), form_action);
}

static void add_value(
	const struct name_value *values, size_t n, const char *name, size_t len, struct buf *ret)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(values[i].name) == len && memcmp(values[i].name, name, len) == 0)
			text_html(ret, values[i].value ? values[i].value : "");
}

void page_render(const char *template, const struct name_value *values, size_t n, struct buf *ret)
{
	for (;;) {
		const char *open = strstr(template, "{{");
		const char *close = open ? strstr(open, "}}") : NULL;
		if (close == NULL)
			break;
		buf_add(ret, template, (size_t)(open - template));
		add_value(values, n, open + 2, (size_t)(close - open - 2), ret);
		template = close + 2;
	}
	buf_add_text(ret, template);
}

void page_answer_template(struct request *req, const char *name, const struct name_value *values,
	size_t n, const char *form_action)
{
	AUTO(buf_drop) struct buf policy = BUF_INIT(4 * LIMIT_URL_BYTES);
	const char *text = template_text(name);

	answer_drop(&req->answer);
	answer_begin(&req->answer);
	req->answer.content_type = "text/html; charset=utf-8";
	page_render(text, values, n, &req->answer.body);
	write_policy(text, form_action, &policy);
	answer_header(req, "Content-Security-Policy", buf_text(&policy));
	answer_header(req, "Referrer-Policy", "no-referrer");
	answer_header(req, "X-Content-Type-Options", "nosniff");
}

void page_answer(struct request *req, unsigned status, const struct page *page)
{
	const struct name_value values[] = {
		{"title", page->title},
		{"sentence", page->sentence},
		{"next", page->next},
		{"note", page->note},
		{"tone", page->is_good ? "good" : "bad"},
	};

	page_answer_template(req, "message.html", values, ARRAY_LEN(values), "'none'");
	req->answer.status = status;
}
