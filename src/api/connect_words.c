/* SPDX-License-Identifier: Apache-2.0 */
#include "api/connect_words.h"

#include <string.h>

#define OPEN_AGAIN "Open the link that you were sent again."
#define ASK_FOR_NEW "Ask the person who sent you the link for a new one."

static const struct ending endings[] = {
	[CONNECT_DONE] = {200, PAGE_GOOD, "{{workspace}} is connected",
		"Thank you. The {{provider}} reviews of this branch can be read from now on.",
		"That is all: you can close this page.", NULL},
	[CONNECT_REFUSED] = {400, PAGE_BAD, "You did not allow the access",
		"Nothing was connected and nothing was stored. Without your consent the reviews "
		"cannot be read.",
		"If that is what you meant, close this page. If not, try again and choose Allow.",
		"Try again"},
	[CONNECT_BAD_STATE] = {400, PAGE_BAD, "There is nothing to see here",
		"This address does not belong to a sign-in that we know: it is old, or a part of "
		"it is missing.",
		OPEN_AGAIN, NULL},
	[CONNECT_EXPIRED] = {400, PAGE_WARN, "That took a little too long",
		"For your safety a sign-in has to be finished within ten minutes. Nothing was "
		"connected.",
		"Open the link that you were sent again, and go through to the end.", "Try again"},
	[CONNECT_REPLAYED] = {400, PAGE_WARN, "This step is done already",
		"The answer to this sign-in counts once, and it was taken. Nothing was changed "
		"now.",
		"If the branch is not connected yet, open the link that you were sent again.",
		NULL},
	[CONNECT_OTHER_BROWSER] = {400, PAGE_WARN, "Please stay in one browser",
		"This sign-in was begun in another browser or app, or the cookies were deleted "
		"meanwhile. Nothing was connected.",
		"Open the link again in the browser in which you began, and stay in it to the "
		"end.",
		NULL},
	[CONNECT_LINK_REVOKED] = {403, PAGE_BAD, "This link was withdrawn",
		"Whoever sent it has taken it back while you were on your way. Nothing was "
		"connected.",
		ASK_FOR_NEW, NULL},
	[CONNECT_LINK_USED] = {403, PAGE_WARN, "This link has done its work",
		"The branch was connected with it already, perhaps in another tab. Nothing was "
		"changed now.",
		"You can close this page.", NULL},
	[CONNECT_BAD_REQUEST] = {400, PAGE_BAD, "The answer was incomplete",
		"This address was called without a code and without an error, so nothing could be "
		"done.",
		"Open the link again and follow the pages to the end.", NULL},
	[CONNECT_MISSING_SCOPE] = {403, PAGE_WARN, "A box was left unticked",
		"Without this permission reviews cannot be read, so nothing was stored:",
		"Try again, and leave every box ticked before you go on.", "Try again"},
	[CONNECT_NO_REFRESH_TOKEN] = {409, PAGE_WARN, "{{provider}} gave no lasting access",
		"The connection would have ended within the hour, so nothing was stored. That "
		"happens when an earlier consent is still on record.",
		"Remove the app in your account (for Google: myaccount.google.com/permissions), "
		"then try again.",
		"Try again"},
	[CONNECT_WRONG_ACCOUNT] = {403, PAGE_WARN, "That was another account",
		"You signed in as {{account}}, but this branch is to be connected with "
		"{{expected}}. Nothing was stored.",
		"Choose the other account. If you have none of that name, tell the person who "
		"sent you the link.",
		"Choose another account"},
	[CONNECT_UNAVAILABLE] = {503, PAGE_WARN, "{{provider}} is busy just now",
		"Nothing is wrong on your side, and nothing was stored.",
		"Wait a few minutes, then try again.", "Try again"},
	[CONNECT_MISCONFIGURED] = {502, PAGE_BAD, "Something has to be set right first",
		"{{provider}} does not accept the request as it is set up. You did nothing wrong, "
		"and you cannot mend it.",
		"Please send the line below to the person from whom you have the link.", NULL},
	[CONNECT_FAILED] = {500, PAGE_BAD, "Something went wrong here",
		"The connection could not be stored.",
		"Open the link again in a few minutes. If that does not help, tell the person who "
		"sent it to you.",
		NULL},
};

static const struct ending done_otherwise = {200, PAGE_WARN,
	"{{workspace}} is connected, with another account",
	"You signed in as {{account}}; {{expected}} was expected. The reviews can be read if that "
	"account manages the listings.",
	"If that was on purpose you can close this page. If not, choose the other account now.",
	"Choose another account"};
static const struct ending replayed_done = {400, PAGE_GOOD, "You are done already",
	"The branch was connected with this sign-in. Nothing was changed now.",
	"You can close this page.", NULL};
static const struct ending nameless_account = {403, PAGE_WARN, "We could not see which account",
	"{{provider}} did not say which account you used, and this branch is to be connected with "
	"{{expected}} only. Nothing was stored.",
	"Try again with that account, and leave every box ticked.", "Try again"};

const struct ending *connect_words(const struct connect_result *r)
{
	if (r->outcome == CONNECT_DONE && r->is_wrong_account)
		return &done_otherwise;
	if (r->outcome == CONNECT_REPLAYED && r->was_done)
		return &replayed_done;
	if (r->outcome == CONNECT_WRONG_ACCOUNT && r->account == NULL)
		return &nameless_account;
	return &endings[r->outcome];
}

static const struct ending links[] = {
	[LINK_UNKNOWN] = {403, PAGE_BAD, "This link is not valid",
		"It was never made here, is long over, or a part of it is missing.",
		"Copy the whole link from the message. If that does not help, ask for a new one.",
		NULL},
	[LINK_USED] = {403, PAGE_GOOD, "This link has done its work",
		"A branch was connected with it, so it opens nothing any more.",
		"You can close this page.", NULL},
	[LINK_EXPIRED] = {403, PAGE_WARN, "This link has expired",
		"For your safety a link is good for one day.", ASK_FOR_NEW, NULL},
	[LINK_REVOKED] = {403, PAGE_BAD, "This link was withdrawn",
		"Whoever sent it has revoked it, so it opens nothing any more.", ASK_FOR_NEW, NULL},
	[LINK_OTHER_BROWSER] = {403, PAGE_WARN, "This link belongs to another browser",
		"Its button was pressed in another browser or app, and since then it works only "
		"there.",
		"Go on in that browser, or ask the person who sent you the link for a new one.",
		NULL},
	[LINK_FLOW_OVER] = {403, PAGE_WARN, "That is too long ago",
		"This sign-in cannot be tried again from here.", OPEN_AGAIN, NULL},
};

const struct ending *link_words(enum link_outcome outcome)
{
	return &links[outcome];
}

/* ---- scopes and errors ---- */

/* As the consent page puts it, so that it is recognised there. */
static const struct name_value scopes[] = {
	{"https://www.googleapis.com/auth/business.manage",
		"See, edit, create and delete your Google business listings"},
	{"https://www.googleapis.com/auth/userinfo.email", "See your primary Google Account email "
							   "address"},
	{"email", "See your primary email address"},
	{"openid", "Associate you with your personal info"},
};

void scope_words(const char *wanted, struct buf *ret)
{
	for (wanted += strspn(wanted, " "); *wanted; wanted += strspn(wanted, " ")) {
		const size_t len = strcspn(wanted, " ");
		const char *words = NULL;

		for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
			if (strlen(scopes[i].name) == len &&
				memcmp(scopes[i].name, wanted, len) == 0)
				words = scopes[i].value;
		buf_add_text(ret, ret->len ? "\n" : "");
		if (words)
			buf_add_text(ret, words);
		else
			buf_add(ret, wanted, len);
		wanted += len;
	}
}

static const struct name_value errors[] = {
	{"invalid_client", "check client id and secret of the OAuth app"},
	{"unauthorized_client", "the OAuth app may not ask for this kind of access; look at its "
				"type"},
	{"redirect_uri_mismatch", "enter the redirect URI of this branch at the provider, byte by "
				  "byte"},
	{"invalid_scope", "the OAuth app may not ask for these scopes; add them to its consent "
			  "screen"},
	{"invalid_request", "the provider misses or dislikes a parameter; compare redirect URI "
			    "and OAuth app"},
	{"org_internal", "the OAuth app is for its own organisation only; make it external"},
	{"admin_policy_enforced", "the administrator of that Workspace has to trust the OAuth "
				  "app"},
	{"unsupported_response_type", "the provider does not know the code flow for this app"},
};

const char *error_words(const char *provider_error)
{
	for (size_t i = 0; provider_error && i < ARRAY_LEN(errors); i++)
		if (strcmp(errors[i].name, provider_error) == 0)
			return errors[i].value;
	return "";
}
