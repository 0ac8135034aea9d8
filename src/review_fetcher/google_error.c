/* SPDX-License-Identifier: Apache-2.0 */
/*
 * google.rpc.Status, as its three APIs really send it: with details, with the legacy errors[] list,
 * or not as JSON at all. The table of what follows from which answer is in classify().
 */
#include "review_fetcher/google.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define MESSAGE_MOST 4096
#define OPAQUE_LEAST 24 /* ids have up to 21 digits */
#define RETRY_MAX_MS (24 * 60 * 60 * 1000)

struct clues {
	long status;
	bool had_page_token;
	const char *message, *word; /* word: INVALID_ARGUMENT … */
	const char *reason;         /* ErrorInfo's, or the legacy one */
	bool quota_is_zero, unverified, names_fields, names_page_token;
};

static const char *const class_names[] = {
	[GOOGLE_TRANSIENT] = "transient",
	[GOOGLE_THROTTLED] = "throttled",
	[GOOGLE_TOKEN_REFUSED] = "token_refused",
	[GOOGLE_PROJECT_REFUSED] = "project_refused",
	[GOOGLE_TENANT_REFUSED] = "tenant_refused",
	[GOOGLE_RESOURCE_REFUSED] = "resource_refused",
	[GOOGLE_STALE_PAGE] = "stale_page",
	[GOOGLE_BUG] = "bug",
};

const char *google_class_name(enum google_class class)
{
	return class_names[class];
}

static bool is_any(const char *word, const char *const *list)
{
	for (; word && *list; list++) {
		if (strcasecmp(word, *list) == 0)
			return true;
	}
	return false;
}

static bool says_page_token(const char *text)
{
	return text && (strcasestr(text, "page_token") || strcasestr(text, "pageToken") ||
			       strcasestr(text, "page token"));
}

/* google.protobuf.Duration in JSON: "30s", "1.500s". -1: not one. */
static int64_t duration_ms(const char *text)
{
	char *end = NULL;
	double seconds = text && *text ? strtod(text, &end) : -1;

	if (!end || end == text || !text_equal(end, "s") || !(seconds >= 0))
		return -1;
	return seconds * 1000 > RETRY_MAX_MS ? RETRY_MAX_MS : (int64_t)(seconds * 1000);
}

static void read_fields(const json_t *detail, struct clues *c)
{
	const json_t *list = json_member(detail, "fieldViolations");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);

		c->names_fields = true;
		if (says_page_token(json_text(one, "field")) ||
			says_page_token(json_text(one, "description")))
			c->names_page_token = true;
	}
}

static void read_detail(const json_t *detail, struct clues *c, struct google_error *ret)
{
	const json_t *older = json_member(detail, "errorDetails"); /* v4's own kind */
	const char *reason = json_text(detail, "reason");
	int64_t wait = duration_ms(json_text(detail, "retryDelay"));

	if (reason && !c->reason)
		c->reason = reason;
	if (text_equal(reason, "UNVERIFIED_LOCATION"))
		c->unverified = true;
	if (text_equal(json_text(json_member(detail, "metadata"), "quota_limit_value"), "0"))
		c->quota_is_zero = true;
	if (wait >= 0)
		ret->retry_after_ms = wait;
	read_fields(detail, c);
	for (size_t i = 0; i < json_array_size(older); i++) {
		const char *message = json_text(json_array_get(older, i), "message");

		if (message && strcasestr(message, "unverified"))
			c->unverified = true;
	}
}

static void read_body(const json_t *root, struct clues *c, struct google_error *ret)
{
	const json_t *error =
		json_member(json_is_array(root) ? json_array_get(root, 0) : root, "error");
	const json_t *details = json_member(error, "details");
	const json_t *legacy = json_array_get(json_member(error, "errors"), 0);

	c->message = json_text(error, "message");
	c->word = json_text(error, "status");
	for (size_t i = 0; i < json_array_size(details); i++)
		read_detail(json_array_get(details, i), c, ret);
	if (!c->reason)
		c->reason = json_text(legacy, "reason");
	if (says_page_token(c->message))
		c->names_page_token = true;
}

/* No single location is asked for there. */
static bool is_of_account(enum google_api kind)
{
	return kind == GOOGLE_ACCOUNTS || kind == GOOGLE_NOTIFICATIONS;
}

static enum google_class classify_403(enum google_api kind, const struct clues *c)
{
	static const char *const project[] = {"SERVICE_DISABLED", "accessNotConfigured",
		"CONSUMER_INVALID", "CONSUMER_SUSPENDED", "BILLING_DISABLED", "SERVICE_NOT_VISIBLE",
		"projectNotLinked", NULL};
	static const char *const tenant[] = {"ACCESS_TOKEN_SCOPE_INSUFFICIENT",
		"insufficientPermissions", "insufficientScopes", NULL};
	static const char *const quota[] = {"rateLimitExceeded", "userRateLimitExceeded",
		"quotaExceeded", "RATE_LIMIT_EXCEEDED", NULL};

	if (is_any(c->reason, project))
		return GOOGLE_PROJECT_REFUSED;
	if (is_any(c->reason, tenant))
		return GOOGLE_TENANT_REFUSED;
	if (is_any(c->reason, quota))
		return GOOGLE_THROTTLED;
	if (c->message && strcasestr(c->message, "has not been used in project"))
		return GOOGLE_PROJECT_REFUSED;
	return is_of_account(kind) ? GOOGLE_TENANT_REFUSED : GOOGLE_RESOURCE_REFUSED;
}

static enum google_class classify_400(const struct clues *c)
{
	if (c->unverified || text_equal(c->reason, "UNVERIFIED_LOCATION") ||
		text_equal(c->word, "FAILED_PRECONDITION"))
		return GOOGLE_RESOURCE_REFUSED;
	/* Which field is wrong is not always said; with a page token in play it is the likely one.
	 */
	if (c->had_page_token && (c->names_page_token || !c->names_fields))
		return GOOGLE_STALE_PAGE;
	return GOOGLE_BUG;
}

static enum google_class classify(enum google_api kind, const struct clues *c)
{
	switch (c->status) {
	case 400:
		return classify_400(c);
	case 401:
		return GOOGLE_TOKEN_REFUSED;
	case 403:
		return classify_403(kind, c);
	case 404:
	case 410:
		return is_of_account(kind) ? GOOGLE_BUG : GOOGLE_RESOURCE_REFUSED;
	case 408:
	case 409:
	case 499:
		return GOOGLE_TRANSIENT;
	case 429:
		return c->quota_is_zero ? GOOGLE_PROJECT_REFUSED : GOOGLE_THROTTLED;
	case 501:
		return GOOGLE_PROJECT_REFUSED;
	default:
		return c->status >= 400 && c->status < 500 ? GOOGLE_BUG : GOOGLE_TRANSIENT;
	}
}

int google_words_fit(const char *text, size_t room)
{
	size_t len = strlen(text);

	if (len <= room)
		return (int)len;
	for (len = room; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
		len--;
	return (int)len;
}

/* Characters that tokens, codes and keys are made of; "/" is none, so resource names stay whole. */
static size_t opaque_run(const char *text, bool *ret_has_digit)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "-._~+%=");

	*ret_has_digit = strcspn(text, "0123456789") < len;
	return len;
}

/*
 * Google's message for logs, job rows and callers. A proxy in between may repeat all that it was
 * told, the Authorization header too: whatever looks like a credential is left out.
 */
static void quote_message(const char *message, struct buf *ret)
{
	while (*message != '\0') {
		bool has_digit;
		size_t len = opaque_run(message, &has_digit);

		if (len >= OPAQUE_LEAST && has_digit)
			buf_add_text(ret, "[...]");
		else
			buf_add(ret, message, len > 0 ? len : 1);
		message += len > 0 ? len : 1;
	}
}

/* ErrorInfo.reason and status words are identifiers; anything else is not worth repeating. */
static bool is_identifier(const char *word)
{
	size_t len = strlen(word);

	return len < 64 &&
	       strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
		       len;
}

/* What happened in Google's words, and behind it what can be done, where we know. */
static void explain(enum google_api kind, const struct clues *c, struct google_error *ret)
{
	AUTO(buf_drop) struct buf message = BUF_INIT_WIPED(MESSAGE_MOST);
	const char *word = "no explanation";
	int room;

	if (c->message && *c->message) {
		quote_message(c->message, &message);
		word = buf_text(&message);
	}
	room = google_words_fit(word, 110); /* so that the advice behind it is never lost */
	switch (ret->class) {
	case GOOGLE_PROJECT_REFUSED:
		snprintf(ret->text, sizeof(ret->text),
			"the Cloud project is not approved for the %s: enable it, or ask Google "
			"for access%s (%ld)",
			google_api_name(kind), c->quota_is_zero ? " (its quota is 0)" : "",
			c->status);
		return;
	case GOOGLE_TENANT_REFUSED:
		snprintf(ret->text, sizeof(ret->text),
			"Google says this account may not (%ld, %.*s): connect it again with all "
			"rights",
			c->status, room, word);
		return;
	case GOOGLE_RESOURCE_REFUSED:
		if (c->unverified) {
			snprintf(ret->text, sizeof(ret->text),
				"the location is not verified at Google, so it has no reviews to "
				"read");
			return;
		}
		break;
	default:
		break;
	}
	snprintf(ret->text, sizeof(ret->text), "Google answered %ld%s%s: %.*s", c->status,
		*ret->reason ? " " : "", ret->reason, room, word);
}

void google_error_read(enum google_api kind, long status, const char *bytes, size_t len,
	bool had_page_token, struct google_error *ret)
{
	AUTO(json_drop) json_t *root = NULL;
	struct clues c = {.status = status, .had_page_token = had_page_token};
	struct fault ignored;
	const char *reason;

	*ret = (struct google_error){.retry_after_ms = -1};
	if (len && json_parse(bytes, len, &root, &ignored) == 0)
		read_body(root, &c, ret);
	reason = c.reason ? c.reason : (c.word ? c.word : "");
	snprintf(ret->reason, sizeof(ret->reason), "%s", is_identifier(reason) ? reason : "");
	ret->class = classify(kind, &c);
	explain(kind, &c, ret);
}
