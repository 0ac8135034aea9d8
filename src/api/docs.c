/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API page and the document behind it, for everybody: neither says anything about this
 * installation. The page is swagger-ui as it comes from npm; what it draws it styles through the
 * object model, so that its policy needs no leave for inline styles or scripts.
 */
#include "api/docs.h"

#include <string.h>

#include "api/route.h"

extern const struct embedded_file api_docs[];

/* What is tried out is asked of this host alone; the viewer's own pictures are data in its style.
 */
#define PAGE_POLICY                                                                       \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " \
	"connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

const struct embedded_file *docs_file(const char *name)
{
	for (const struct embedded_file *f = api_docs; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

/* Kept compressed only, as every browser takes it; programs have no use for the page. */
static bool takes_gzip(const struct request *req)
{
	const char *accept = request_header(req, "Accept-Encoding");
	const char *gzip = accept ? strstr(accept, "gzip") : NULL;

	return gzip && strncmp(gzip, "gzip;q=0,", 9) != 0 && strcmp(gzip, "gzip;q=0") != 0;
}

static int answer_file(struct request *req, const struct embedded_file *file, const char *type)
{
	const char *seen = request_header(req, "If-None-Match");

	req->answer.content_type = type;
	answer_header(req, "Cache-Control", "no-cache");
	answer_header(req, "ETag", file->etag);
	answer_header(req, "X-Content-Type-Options", "nosniff");
	if (seen && strstr(seen, file->etag)) {
		req->answer.status = 304;
		return 0;
	}
	buf_add(&req->answer.body, file->data, file->len);
	return 0;
}

static int answer_packed(struct request *req, const char *name, const char *type, struct fault *f)
{
	const struct embedded_file *file = docs_file(name);

	if (file == NULL)
		return fault_raise(f, FAULT_MISSING, "The API page has no file of this name");
	if (!takes_gzip(req)) {
		req->answer.status = 406;
		return fault_raise(f, FAULT_INPUT,
			"This page is sent compressed: send Accept-Encoding: gzip, or read "
			"/openapi.json");
	}
	answer_header(req, "Content-Encoding", "gzip");
	answer_header(req, "Vary", "Accept-Encoding");
	return answer_file(req, file, type);
}

static int get_page(struct request *req, struct fault *f)
{
	answer_header(req, "Content-Security-Policy", PAGE_POLICY);
	answer_header(req, "Referrer-Policy", "no-referrer");
	return answer_packed(req, "page.html.gz", "text/html; charset=utf-8", f);
}

static int get_file(struct request *req, struct fault *f)
{
	static const char *const files[][3] = {
		{"page.js", "page.js.gz", "text/javascript; charset=utf-8"},
		{"viewer.js", "viewer.js.gz", "text/javascript; charset=utf-8"},
		{"viewer.css", "viewer.css.gz", "text/css; charset=utf-8"},
	};
	const char *name = request_param(req, "name");

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (strcmp(name, files[i][0]) == 0)
			return answer_packed(req, files[i][1], files[i][2], f);
	return answer_packed(req, "", "", f);
}

static int get_document(struct request *req, struct fault *f)
{
	(void)f;
	return answer_file(req, docs_file("openapi.json"), "application/json");
}

const struct route docs_routes[] = {
	{"GET", "/docs", 0, ROUTE_INLINE, get_page, NULL, "The API, to read and to try"},
	{"GET", "/docs/{name}", 0, ROUTE_INLINE, get_file, NULL, "A file of that page"},
	{"GET", "/openapi.json", 0, ROUTE_INLINE, get_document, NULL,
		"This description of the API: OpenAPI 3.1"},
	{0},
};
