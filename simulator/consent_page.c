/* SPDX-License-Identifier: Apache-2.0 */
/* The page on which a person chooses an account and says yes or no. Plain HTML: it works without a
 * script. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "simulator/authorize.h"
#include "simulator/page.h"

#define ACCOUNTS_SHOWN 5

static const struct {
	const char *scope, *title, *text;
} known_scopes[] = {
	{SCOPE_REVIEWS, "See, edit, create and delete your business listings",
		"Shops, their reviews, and replies to them"},
	{"https://www.googleapis.com/auth/plus.business.manage",
		"Manage your business listings (old)", "Google has retired this scope"},
	{"https://www.googleapis.com/auth/pubsub",
		"View and manage Pub/Sub topics and subscriptions", "For push notifications"},
};

/* scheme://host:port of an address that is known to be http or https. */
static void origin_of(const char *url, char *ret, size_t size)
{
	const char *host = strstr(url, "://") + 3;

	snprintf(ret, size, "%.*s", (int)((host - url) + (ptrdiff_t)strcspn(host, "/?")), url);
}

static void add_hidden(struct buf *b, const struct params *p)
{
	for (size_t i = 0; i < p->n; i++)
		page_add(b, "<input type=\"hidden\" name=\"%s\" value=\"%s\">\n", p->rows[i].name,
			p->rows[i].value);
}

static void add_account(struct buf *b, const struct world *w, uint64_t user, bool is_checked)
{
	char email[WORLD_NAME_SIZE], number[32], detail[128];

	world_user_email(w, user, email);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)user + 1);
	snprintf(detail, sizeof(detail), "%lld account%s, %lld location%s", (long long)w->accounts,
		w->accounts == 1 ? "" : "s", (long long)(w->accounts * w->locations),
		w->accounts * w->locations == 1 ? "" : "s");
	page_add(b,
		"<label class=\"choice account\"><input type=\"radio\" name=\"account\" "
		"value=\"%s\"",
		email, NULL);
	buf_add_text(b, is_checked ? " checked>" : ">");
	page_add(b, "<span class=\"avatar\" aria-hidden=\"true\">%s</span><span><b>%s</b>", number,
		email);
	page_add(b, "<small>%s</small></span></label>\n", detail, NULL);
}

static void add_accounts(struct buf *b, const struct world *w, const char *hint)
{
	uint64_t shown = (uint64_t)w->users < ACCOUNTS_SHOWN ? (uint64_t)w->users : ACCOUNTS_SHOWN;
	uint64_t hinted = world_user_find(w, hint), chosen = hinted == WORLD_NONE ? 0 : hinted;
	char last[WORLD_NAME_SIZE];

	buf_add_text(b, "<fieldset><legend>Choose an account</legend>\n");
	if (chosen >= shown)
		add_account(b, w, chosen, true);
	for (uint64_t user = 0; user < shown; user++)
		add_account(b, w, user, user == chosen);
	if (shown < (uint64_t)w->users) {
		world_user_email(w, (uint64_t)w->users - 1, last);
		page_add(b,
			"<label class=\"other\">or another, up to %s<input type=\"email\" "
			"name=\"other_account\" value=\"\" placeholder=\"%s\" "
			"autocomplete=\"off\"></label>\n",
			last, last);
	}
	buf_add_text(b, "</fieldset>\n");
}

static void add_scope(struct buf *b, const char *scope)
{
	const char *title = scope, *text = "";

	for (size_t i = 0; i < ARRAY_LEN(known_scopes); i++) {
		if (strcmp(scope, known_scopes[i].scope) == 0) {
			title = known_scopes[i].title;
			text = known_scopes[i].text;
		}
	}
	page_add(b,
		"<label class=\"choice\"><input type=\"checkbox\" name=\"grant\" value=\"%s\" "
		"checked>"
		"<span><b>%s</b>",
		scope, title);
	page_add(b, "<small>%s</small><code>%s</code></span></label>\n", text, scope);
}

static void add_scopes(struct buf *b, const struct authorization *a)
{
	bool has_sign_in = false, has_more = false;

	for (size_t i = 0; i < a->n_scopes; i++) {
		has_sign_in |= scope_is_sign_in(a->scopes[i]);
		has_more |= !scope_is_sign_in(a->scopes[i]);
	}
	if (has_more) {
		buf_add_text(b, "<fieldset><legend>It asks to be allowed to</legend>\n");
		for (size_t i = 0; i < a->n_scopes; i++)
			if (!scope_is_sign_in(a->scopes[i]))
				add_scope(b, a->scopes[i]);
		buf_add_text(b, "</fieldset>\n");
	}
	if (has_sign_in)
		buf_add_text(b, "<p class=\"note\">It will also learn who you are: name and email "
				"address.</p>\n");
}

static void add_details(struct buf *b, const struct authorization *a)
{
	buf_add_text(b, "<details><summary>What the program sent</summary><dl>\n");
	for (size_t i = 0; i < a->params->n; i++)
		page_add(b, "<dt>%s</dt><dd>%s</dd>\n", a->params->rows[i].name,
			a->params->rows[i].value);
	buf_add_text(b, "</dl></details>\n");
}

void consent_page(struct request *r, const struct authorization *a)
{
	char origin[256];
	struct buf *b;

	origin_of(a->redirect_uri, origin, sizeof(origin));
	b = page_open(r, 200, "Allow access – simulated Google", origin);
	buf_add_text(
		b, "<form class=\"card\" method=\"post\" action=\"/o/oauth2/v2/auth/decide\">\n");
	page_add(b,
		"<h1>Allow access?</h1>\n<p class=\"lead\">A program at <b>%s</b> wants to use a "
		"Google "
		"account.</p>\n<p class=\"client\">Client <code>%s</code></p>\n",
		origin, a->client_id);
	add_hidden(b, a->params);
	add_accounts(b, &r->sim->overlay.world, a->login_hint);
	add_scopes(b, a);
	buf_add_text(b, "<div class=\"buttons\"><button name=\"decision\" value=\"deny\" "
			"class=\"quiet\">Refuse</button>"
			"<button name=\"decision\" value=\"allow\">Allow</button></div>\n"
			"<p class=\"note\">Either way you go back to the program. It can be "
			"allowed again later.</p>\n");
	add_details(b, a);
	buf_add_text(b, "</form>\n");
	page_close(b);
}

void refusal_page(struct request *r, const char *error, const char *description)
{
	struct buf *b = page_open(r, 400, "Error 400 – simulated Google", NULL);

	page_add(b,
		"<section class=\"card\"><h1>Access blocked</h1><p>%s</p>"
		"<p class=\"note\">Error 400: <code>%s</code></p>",
		description, error);
	buf_add_text(b, "<p class=\"note\">As at Google, nothing is sent back to the program when "
			"its request is "
			"wrong in itself.</p></section>\n");
	page_close(b);
}
