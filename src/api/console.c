/* SPDX-License-Identifier: Apache-2.0 */
/* What people find when they open the service in a browser. Programs get its identity as JSON. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/auth.h"
#include "api/page.h"
#include "api/route.h"
#include "api/sign_in.h"
#include "base/clock.h"
#include "console/console.h"

static int say_identity(struct request *req)
{
	struct json_out out = answer_json(req);

	json_add_text(&out, "service", "review-fetcher");
	json_add_text(&out, "version", API_VERSION);
	json_add_text(&out, "status", "running");
	json_add_text(&out, "docs", "/docs");
	json_close(&out, '}');
	return 0;
}

static int get_root(struct request *req, struct fault *f)
{
	(void)f;
	if (!request_wants_html(req))
		return say_identity(req);
	if (sign_in_first(req) == 0) {
		req->answer.status = 303;
		req->answer.content_type = NULL;
		answer_header(req, "Location", "/console");
	}
	return 0;
}

static void write_scopes(unsigned scopes, struct buf *ret)
{
	for (unsigned bit = 1; bit <= KEY_ADMIN; bit <<= 1)
		if (scopes & bit)
			buf_addf(ret, "%s%s", ret->len ? ", " : "",
				key_scope_name((enum key_scope)bit));
}

/* ---- the console's files ---- */

/*
 * Nothing stands in the page, nothing comes from elsewhere, nobody frames it. What its scripts draw
 * they style through the object model, which needs no leave.
 */
#define APP_POLICY                                                                  \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " \
	"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

/* The words of Accept-Encoding that are named and not refused; q=0 is the only weight that counts.
 */
static bool takes_coding(const char *accept, const char *coding)
{
	const size_t len = strlen(coding);

	for (const char *at = accept; at && *at; at += strcspn(at, ",")) {
		at += strspn(at, ", \t");
		if (strncasecmp(at, coding, len) != 0 || (at[len] && !strchr(", \t;", at[len])))
			continue;
		at += len + strspn(at + len, " \t");
		return strncmp(at, ";q=0", 4) != 0 ||
		       strcspn(at + 4, "123456789") < strcspn(at + 4, ",");
	}
	return false;
}

/* Compressed as the browser likes it best. *ret_coding: NULL for as it is. */
static const struct embedded_file *choose(
	struct request *req, const char *name, const char **ret_coding)
{
	static const char *const codings[][2] = {{"br", ".br"}, {"gzip", ".gz"}};
	const char *accept = request_header(req, "Accept-Encoding");
	char packed[128];

	for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
		if (!takes_coding(accept, codings[i][0]))
			continue;
		snprintf(packed, sizeof(packed), "%s%s", name, codings[i][1]);
		const struct embedded_file *file = console_app_file(packed);
		if (file) {
			*ret_coding = codings[i][0];
			return file;
		}
	}
	*ret_coding = NULL;
	return console_app_file(name);
}

static const char *type_of(const char *name)
{
	static const char *const types[][2] = {
		{".html", "text/html; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".svg", "image/svg+xml"},
	};
	const char *end = strrchr(name, '.');

	for (size_t i = 0; end && i < ARRAY_LEN(types); i++)
		if (strcmp(end, types[i][0]) == 0)
			return types[i][1];
	return NULL; /* and the compressed forms under their own names */
}

/* cache: static text. -1 FAULT_MISSING. */
static int answer_file(struct request *req, const char *name, const char *cache, struct fault *f)
{
	const char *coding, *seen = request_header(req, "If-None-Match");
	const struct embedded_file *file = choose(req, name, &coding);

	if (file == NULL || type_of(name) == NULL)
		return fault_raise(f, FAULT_MISSING, "The console has no file of this name");
	req->answer.content_type = type_of(name);
	answer_header(req, "Cache-Control", cache);
	answer_header(req, "ETag", file->etag);
	answer_header(req, "Vary", "Accept-Encoding");
	answer_header(req, "X-Content-Type-Options", "nosniff");
	if (seen && strstr(seen, file->etag)) {
		req->answer.status = 304;
		return 0;
	}
	if (coding)
		answer_header(req, "Content-Encoding", coding);
	buf_add(&req->answer.body, file->data, file->len);
	return 0;
}

/* Their names change with what is in them. */
static int get_asset(struct request *req, struct fault *f)
{
	char name[96];

	snprintf(name, sizeof(name), "assets/%s", request_param(req, "name"));
	return answer_file(req, name, "private, max-age=31536000, immutable", f);
}

/* The same page for each view: its script looks at the address. */
static int get_console(struct request *req, struct fault *f)
{
	if (!request_wants_html(req))
		return say_identity(req);
	if (sign_in_first(req))
		return 0;
	answer_header(req, "Content-Security-Policy", APP_POLICY);
	answer_header(req, "Referrer-Policy", "same-origin");
	return answer_file(req, "index.html", "private, no-cache", f);
}

/* Works without scripts. */
static int get_sign_out(struct request *req, struct fault *f)
{
	AUTO(buf_drop) struct buf scopes = BUF_INIT(512);
	char token[AUTH_FORM_TOKEN_SIZE] = "", until[CLOCK_TEXT_SIZE] = "";
	const char *cookie = request_cookie(req, auth_session_cookie(request_settings(req)));

	(void)f;
	if (sign_in_first(req))
		return 0;
	write_scopes(req->key.scopes, &scopes);
	if (req->has_session) {
		auth_form_token(cookie, token);
		clock_format_ms(req->session_until_ms / 1000 * 1000, until);
	}
	const struct name_value values[] = {
		{"name", req->has_key ? req->key.id : NULL},
		{"scopes", req->has_key ? buf_text(&scopes) : NULL},
		{"csrf", token},
		{"until", until},
	};
	page_answer_template(req, "sign_out.html", values, ARRAY_LEN(values), "'self'");
	req->answer.secret = true;
	return 0;
}

const struct route console_routes[] = {
	{"GET", "/", ROUTE_ANY_KEY | ROUTE_PAGE | ROUTE_OR_LOOPBACK, ROUTE_INLINE, get_root, NULL,
		"What runs here; browsers are led to the console"},
	{"GET", "/console", ROUTE_ANY_KEY | ROUTE_PAGE, ROUTE_INLINE, get_console, NULL,
		"The console"},
	{"GET", "/console/{view}", ROUTE_ANY_KEY | ROUTE_PAGE, ROUTE_INLINE, get_console, NULL,
		"A view of the console"},
	{"GET", "/console/{view}/{id}", ROUTE_ANY_KEY | ROUTE_PAGE, ROUTE_INLINE, get_console, NULL,
		"One thing in a view of the console"},
	{"GET", "/console/assets/{name}", ROUTE_ANY_KEY, ROUTE_INLINE, get_asset, NULL,
		"A file of the console"},
	{"GET", "/sign-out", ROUTE_ANY_KEY | ROUTE_PAGE, ROUTE_INLINE, get_sign_out, NULL,
		"Who is signed in, and the button that ends it, without scripts"},
	{"GET", "/reviews-viewer", ROUTE_ANY_KEY | ROUTE_PAGE, ROUTE_INLINE, get_root, NULL,
		"The original's viewer: the console is it now"},
	{"GET", "/demo", ROUTE_ANY_KEY | ROUTE_PAGE, ROUTE_INLINE, get_root, NULL,
		"The original's demo page: the console is it now"},
	{0},
};
