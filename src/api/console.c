/* SPDX-License-Identifier: Apache-2.0 */
/* What people find when they open the service in a browser. Programs get its identity as JSON. */
#include <stdio.h>
#include <string.h>

#include "api/auth.h"
#include "api/page.h"
#include "api/route.h"
#include "api/sign_in.h"
#include "base/clock.h"

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

static int get_console(struct request *req, struct fault *f)
{
	AUTO(buf_drop) struct buf scopes = BUF_INIT(512);
	char token[AUTH_FORM_TOKEN_SIZE] = "", until[CLOCK_TEXT_SIZE] = "";
	const char *cookie = request_cookie(req, auth_session_cookie(request_settings(req)));

	(void)f;
	if (!request_wants_html(req))
		return say_identity(req);
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
	page_answer_template(req, "console.html", values, ARRAY_LEN(values), "'self'");
	req->answer.secret = true;
	return 0;
}

const struct route console_routes[] = {
	{"GET", "/", ROUTE_ANY_KEY | ROUTE_PAGE | ROUTE_OR_LOOPBACK, ROUTE_INLINE, get_root, NULL,
		"What runs here; browsers are led to the console"},
	{"GET", "/console", ROUTE_ANY_KEY | ROUTE_PAGE, ROUTE_INLINE, get_console, NULL,
		"The console"},
	{"GET", "/reviews-viewer", ROUTE_ANY_KEY | ROUTE_PAGE, ROUTE_INLINE, get_root, NULL,
		"The original's viewer: the console is it now"},
	{"GET", "/demo", ROUTE_ANY_KEY | ROUTE_PAGE, ROUTE_INLINE, get_root, NULL,
		"The original's demo page: the console is it now"},
	{0},
};
