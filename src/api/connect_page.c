/* SPDX-License-Identifier: Apache-2.0 */
#include "api/connect_page.h"

#include <stdio.h>
#include <string.h>

#include "api/connect_words.h"
#include "api/page.h"
#include "api/problem.h"
#include "base/text.h"

#define ASK_GOOGLE                                                                         \
	"seeing and managing your business listings – Google has no smaller permission " \
	"for reading reviews"
#define ASK_OTHER "what these systems need there to read the reviews"
#define AGAIN_PATH "/token-management/auth/callback"

/* Where the form may lead: here, and by our redirect to the provider. */
static void write_form_action(struct request *req, const char *provider, struct buf *ret)
{
	const char *url = provider ? connect_consent_url(request_tokens(req), provider) : NULL;
	const char *host = url ? strstr(url, "://") : NULL;

	buf_add_text(ret, "'self'");
	if (host == NULL)
		return;
	buf_add_char(ret, ' ');
	buf_add(ret, url, (size_t)(host - url) + 3 + strcspn(host + 3, "/?#"));
}

void connect_page_ask(struct request *req, const struct client *c, const char *ticket)
{
	AUTO(buf_drop) struct buf action = BUF_INIT_WIPED(LIMIT_URL_BYTES * 2);
	AUTO(buf_drop) struct buf may_lead = BUF_INIT(LIMIT_URL_BYTES * 2);

	buf_addf(&action, "/token-management/oauth/login/%lld?ticket=", (long long)c->id);
	text_percent_encode(&action, ticket, strlen(ticket));
	write_form_action(req, c->provider, &may_lead);
	const struct name_value values[] = {
		{"workspace", c->workspace_name},
		{"email", c->workspace_email},
		{"branch", c->branch_id},
		{"provider", c->provider_title},
		{"ask", strcmp(c->provider, "google") == 0 ? ASK_GOOGLE : ASK_OTHER},
		{"action", buf_text(&action)},
	};
	page_answer_template(req, "connect.html", values, ARRAY_LEN(values), buf_text(&may_lead));
	req->answer.secret = true;
}

const char *mask_email(const char *email, char ret[static MASKED_EMAIL_SIZE])
{
	const size_t len = strcspn(email, "@");
	size_t first = 1;

	/* A whole character, and the last one only of a name that hides enough between. */
	while (first < len && ((unsigned char)email[first] & 0xc0) == 0x80)
		first++;
	const bool shows_last = len > 4 && (unsigned char)email[len - 1] < 0x80;
	snprintf(ret, MASKED_EMAIL_SIZE, "%.*s•••••%.*s%s", (int)(len ? first : 0), email,
		shows_last ? 1 : 0, email + (shows_last ? len - 1 : 0), email + len);
	return ret;
}

/* ---- after ---- */

struct told { /* one ending in the words of this flow */
	const struct ending *e;
	struct buf title, sentence, next, list, operator;
};

static void told_done(struct told *t)
{
	buf_drop(&t->title);
	buf_drop(&t->sentence);
	buf_drop(&t->next);
	buf_drop(&t->list);
	buf_drop(&t->operator);
}

static void write_operator(const struct connect_result *r, struct buf *ret)
{
	const char *hint = error_words(r->provider_error);

	if (r->outcome != CONNECT_MISCONFIGURED)
		return;
	buf_addf(ret, "%s answered %s", r->provider_title ? r->provider_title : "the provider",
		r->provider_error ? r->provider_error : "with an error");
	if (r->fault && r->fault->text[0] &&
		!(r->provider_error && strstr(r->fault->text, r->provider_error)))
		buf_addf(ret, " (%s)", r->fault->text);
	if (*hint)
		buf_addf(ret, ": %s", hint);
	if (r->branch_id)
		buf_addf(ret, ". Branch %s.", r->branch_id);
}

static void tell(const struct connect_result *r, struct told *ret)
{
	char masked[MASKED_EMAIL_SIZE] = "";
	const struct name_value values[] = {
		{"workspace",
			r->workspace_name && *r->workspace_name ? r->workspace_name : "The branch"},
		{"provider", r->provider_title ? r->provider_title : "Google"},
		{"account", r->account},
		{"expected", r->workspace_email ? mask_email(r->workspace_email, masked) : NULL},
	};
	struct buf *const texts[] = {&ret->title, &ret->sentence, &ret->next};

	ret->e = connect_words(r);
	const char *const words[] = {ret->e->title, ret->e->sentence, ret->e->next};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		*texts[i] = BUF_INIT(4096);
		page_words(words[i], values, ARRAY_LEN(values), texts[i]);
	}
	ret->list = BUF_INIT(16384);
	if (r->outcome == CONNECT_MISSING_SCOPE && r->missing_scopes)
		scope_words(r->missing_scopes, &ret->list);
	ret->operator= BUF_INIT(4096);
	write_operator(r, &ret->operator);
}

static void answer_page(struct request *req, const struct connect_result *r, const struct told *t)
{
	AUTO(buf_drop) struct buf may_lead = BUF_INIT(LIMIT_URL_BYTES * 2);
	AUTO(buf_drop) struct buf note = BUF_INIT(1024);
	const bool can_retry = t->e->button && r->state;

	if (r->branch_id)
		buf_addf(&note, "Branch %s", r->branch_id);
	if (can_retry)
		write_form_action(req, r->provider, &may_lead);
	const struct page page = {
		.tone = t->e->tone,
		.title = buf_text(&t->title),
		.sentence = buf_text(&t->sentence),
		.list = buf_text(&t->list),
		.next = buf_text(&t->next),
		.action = can_retry ? AGAIN_PATH : NULL,
		.button = t->e->button,
		.note = buf_text(&note),
		.operator= buf_text(&t->operator),
		.form_action = can_retry ? buf_text(&may_lead) : NULL,
	};
	page_answer(req, t->e->status, &page);
}

static void answer_done(struct request *req, const struct connect_result *r)
{
	struct json_out out = answer_json(req);

	json_add_bool(&out, "success", true);
	json_add_text(&out, "message", "Authentication successful");
	json_add_text(&out, "client_id", r->client_oauth_id);
	json_add_text(&out, "branch_id", r->branch_id);
	json_add_time(&out, "expires_at", r->expires_at_ms);
	if (r->is_wrong_account)
		json_add_text(&out, "wrong_account", r->account);
	json_close(&out, '}');
}

static void answer_problem(
	struct request *req, const struct connect_result *r, const struct told *t)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(16384);
	const bool tells = r->outcome == CONNECT_UNAVAILABLE || r->outcome == CONNECT_MISCONFIGURED;

	buf_addf(&detail, "%s: %s", buf_text(&t->title), buf_text(&t->sentence));
	if (tells && r->fault)
		buf_addf(&detail, " (%s)", r->fault->text);
	buf_addf(&detail, " %s", buf_text(&t->next));
	struct json_out out = problem_open(req, t->e->status, buf_text(&detail));
	if (r->branch_id)
		json_add_text(&out, "branch_id", r->branch_id);
	if (r->provider_error)
		json_add_text(&out, "provider_error", r->provider_error);
	if (r->missing_scopes)
		json_add_text(&out, "missing_scopes", r->missing_scopes);
	if (r->outcome == CONNECT_WRONG_ACCOUNT && r->account)
		json_add_text(&out, "wrong_account", r->account);
	json_close(&out, '}');
	if (r->outcome == CONNECT_UNAVAILABLE)
		problem_retry_after(req,
			r->fault && r->fault->retry_after_ms ? r->fault->retry_after_ms : 60000);
}

void connect_page_end(struct request *req, const struct connect_result *r)
{
	AUTO(told_done) struct told t = {0};

	tell(r, &t);
	if (request_wants_html(req))
		answer_page(req, r, &t);
	else if (r->outcome == CONNECT_DONE)
		answer_done(req, r);
	else
		answer_problem(req, r, &t);
}

void connect_page_link(struct request *req, enum link_outcome outcome)
{
	const struct ending *e = link_words(outcome);
	AUTO(buf_drop) struct buf detail = BUF_INIT(1024);
	const struct page page = {
		.tone = e->tone, .title = e->title, .sentence = e->sentence, .next = e->next};

	if (request_wants_html(req)) {
		page_answer(req, e->status, &page);
		return;
	}
	buf_addf(&detail, "%s: %s %s", e->title, e->sentence, e->next);
	problem_say(req, e->status, buf_text(&detail));
	answer_header(req, "Referrer-Policy", "no-referrer");
}
