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

const struct embedded_file *docs_file(const char *name)
{
	for (const struct embedded_file *f = api_docs; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static int answer_file(struct request *req, const char *name, const char *type, struct fault *f)
{
	const char *seen = request_header(req, "If-None-Match");
	const struct embedded_file *file = docs_file(name);

	if (file == NULL)
		return fault_raise(f, FAULT_MISSING, "There is no such page");
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

static int get_document(struct request *req, struct fault *f)
{
	return answer_file(req, "openapi.json", "application/json", f);
}

const struct route docs_routes[] = {
	{"GET", "/openapi.json", 0, ROUTE_INLINE, get_document, NULL,
		"This description of the API: OpenAPI 3.1"},
	{0},
};
