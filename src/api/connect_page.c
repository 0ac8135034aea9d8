/* SPDX-License-Identifier: Apache-2.0 */
#include "api/connect_page.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/page.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/rand.h"
#include "base/text.h"

#define CALLBACK_PATH "/token-management/auth/callback"
#define RESULT_COOKIE "rf_result"
#define RESULT_MS (10 * 60 * 1000)
#define RESULT_BYTES_MAX 2048

static const struct connect_ending endings[] = {
	[CONNECT_DONE] = {200, "Connected",
		"Google reviews of this branch can be fetched from now on.",
		"You can close this page."},
	[CONNECT_REFUSED] = {400, "Not connected: access was refused",
		"Google says that access was not allowed.",
		"If that was not what you meant, open the link again and choose Allow."},
	[CONNECT_BAD_STATE] = {400, "Not connected: this sign-in is not valid here",
		"The sign-in has expired, was used already, or was begun in another browser.",
		"Open the link again, and finish within ten minutes in the same browser."},
	[CONNECT_BAD_REQUEST] = {400, "Not connected: the answer was incomplete",
		"This address was called without a code and without an error.",
		"Open the link again and follow Google's pages to the end."},
	[CONNECT_MISSING_SCOPE] = {403, "Not connected: a permission is missing",
		"The permission to see and manage the business listings was not ticked, so reviews "
		"cannot be "
		"fetched.",
		"Open the link again and tick every permission that Google asks for."},
	[CONNECT_NO_REFRESH_TOKEN] = {409, "Not connected: Google gave no lasting access",
		"Google answered without a refresh token, so the connection would end within the "
		"hour.",
		"Remove the app at myaccount.google.com/permissions, then open the link again."},
	[CONNECT_FAILED] = {502, "Not connected: Google could not be asked",
		"The exchange with Google failed.", "Open the link again in a few minutes."},
};

const struct connect_ending *connect_ending(enum connect_outcome outcome)
{
	return &endings[outcome];
}

/* ---- before ---- */

/* Where the form may lead: here, and by our redirect to the provider. */
static void write_form_action(struct request *req, struct buf *ret)
{
	const char *url = request_settings(req)->google_auth_url;
	const char *host = strstr(url, "://");

	buf_add_text(ret, "'self' ");
	if (host)
		buf_add(ret, url, (size_t)(host - url) + 3 + strcspn(host + 3, "/?#"));
}

void connect_page_ask(struct request *req, const struct client *c, const char *ticket)
{
	AUTO(buf_drop) struct buf action = BUF_INIT_WIPED(LIMIT_URL_BYTES * 2);
	AUTO(buf_drop) struct buf may_lead = BUF_INIT(LIMIT_URL_BYTES * 2);

	buf_addf(&action, "/token-management/oauth/login/%lld?ticket=", (long long)c->id);
	text_percent_encode(&action, ticket, strlen(ticket));
	write_form_action(req, &may_lead);
	const struct name_value values[] = {
		{"workspace", c->workspace_name},
		{"email", c->workspace_email},
		{"branch", c->branch_id},
		{"action", buf_text(&action)},
	};
	page_answer_template(req, "connect.html", values, ARRAY_LEN(values), buf_text(&may_lead));
	req->answer.secret = true;
}

/* ---- after ---- */

struct shown { /* what a page of an ending is made of; borrowed */
	enum connect_outcome outcome;
	const char *workspace, *branch, *sentence;
};

static void answer_page(struct request *req, const struct shown *s)
{
	const struct connect_ending *e = &endings[s->outcome];
	char title[400];

	if (s->outcome == CONNECT_DONE && s->workspace[0])
		snprintf(title, sizeof(title), "%s is connected", s->workspace);
	else
		snprintf(title, sizeof(title), "%s", e->title);
	const struct page page = {
		.title = title,
		.sentence = s->sentence,
		.next = e->next,
		.note = s->branch,
		.is_good = s->outcome == CONNECT_DONE,
	};
	page_answer(req, e->status, &page);
}

static uint8_t seal_key[32];
static pthread_once_t seal_key_made = PTHREAD_ONCE_INIT;

static void make_seal_key(void)
{
	rand_bytes(seal_key, sizeof(seal_key));
}

/* Whoever can write a cookie must not be able to write our pages. */
static void authenticate(const char *bytes, size_t len, uint8_t ret[static HASH_BLAKE2B_SIZE])
{
	AUTO(buf_drop) struct buf all = BUF_INIT_WIPED(RESULT_BYTES_MAX + sizeof(seal_key));

	pthread_once(&seal_key_made, make_seal_key);
	buf_add(&all, seal_key, sizeof(seal_key));
	buf_add(&all, bytes, len);
	hash_blake2b(buf_text(&all), all.len, ret);
}

/* "<end of life> <outcome> NUL workspace NUL branch NUL sentence NUL", and the proof before it. */
static void write_cookie(struct request *req, const struct shown *s)
{
	AUTO(buf_drop)
	struct buf text = BUF_INIT(RESULT_BYTES_MAX), all = BUF_INIT(RESULT_BYTES_MAX);
	AUTO(buf_drop) struct buf cookie = BUF_INIT(2 * RESULT_BYTES_MAX);
	uint8_t proof[HASH_BLAKE2B_SIZE];

	buf_addf(&text, "%lld %d", (long long)(clock_wall_ms() + RESULT_MS), (int)s->outcome);
	const char *const parts[] = {"", s->workspace, s->branch, s->sentence};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		buf_add(&text, parts[i], strlen(parts[i]) + 1);
	authenticate(buf_text(&text), text.len, proof);
	buf_add(&all, proof, sizeof(proof));
	buf_add(&all, buf_text(&text), text.len);
	buf_add_text(&cookie, RESULT_COOKIE "=");
	text_base64url(&cookie, buf_text(&all), all.len);
	buf_addf(&cookie, "; Path=" CALLBACK_PATH "; Max-Age=%d; HttpOnly; SameSite=Lax%s",
		RESULT_MS / 1000,
		text_starts(request_settings(req)->public_url, "https:") ? "; Secure" : "");
	answer_header(req, "Set-Cookie", buf_text(&cookie));
}

void connect_page_end(struct request *req, const struct connect_result *r, const char *sentence)
{
	const struct shown s = {
		.outcome = r->outcome,
		.workspace = r->workspace_name ? r->workspace_name : "",
		.branch = r->branch_id ? r->branch_id : "",
		.sentence = sentence,
	};

	if (r->branch_id == NULL) {
		answer_page(req, &s);
		return;
	}
	req->answer.status = 303;
	req->answer.content_type = NULL;
	write_cookie(req, &s);
	answer_header(req, "Location", CALLBACK_PATH);
	answer_header(req, "Referrer-Policy", "no-referrer");
}

static bool read_cookie(const struct buf *all, struct shown *ret)
{
	const char *text = all->data + HASH_BLAKE2B_SIZE, *end = all->data + all->len;
	const char **const parts[] = {&ret->workspace, &ret->branch, &ret->sentence};
	uint8_t proof[HASH_BLAKE2B_SIZE];
	long long until_ms;
	int outcome;

	if (all->len <= HASH_BLAKE2B_SIZE || end[-1] != '\0')
		return false;
	authenticate(text, (size_t)(end - text), proof);
	if (!hash_equal(proof, all->data, sizeof(proof)) ||
		sscanf(text, "%lld %d", &until_ms, &outcome) != 2 || until_ms <= clock_wall_ms())
		return false;
	ret->outcome = (enum connect_outcome)outcome;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		text += strlen(text) + 1;
		*parts[i] = text;
	}
	return true;
}

bool connect_page_again(struct request *req)
{
	AUTO(buf_drop) struct buf all = BUF_INIT(RESULT_BYTES_MAX);
	const char *cookie = request_cookie(req, RESULT_COOKIE);
	struct shown s;

	if (cookie == NULL || text_base64url_decode(cookie, strlen(cookie), &all) != 0 ||
		buf_failed(&all) || !read_cookie(&all, &s))
		return false;
	answer_page(req, &s);
	return true;
}
