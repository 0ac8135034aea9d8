/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/text.h"

static const char *const services[] = {
	[API_ACCOUNTS] = "mybusinessaccountmanagement.googleapis.com",
	[API_LOCATIONS] = "mybusinessbusinessinformation.googleapis.com",
	[API_REVIEWS] = "mybusiness.googleapis.com",
	[API_NOTIFICATIONS] = "mybusinessnotifications.googleapis.com",
};

static void refuse_bearer(struct request *r, enum api api, const char *reason, const char *message)
{
	answer_google_error(r, &(struct google_error){.status = 401,
				       .message = message,
				       .reason = reason,
				       .service = services[api]});
	answer_header(&r->answer, "WWW-Authenticate",
		"Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\"");
}

static void refuse_scope(struct request *r, enum api api)
{
	answer_google_error(
		r, &(struct google_error){.status = 403,
			   .message = "The access token was not granted the scope that this needs.",
			   .reason = "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
			   .service = services[api]});
	answer_header(&r->answer, "WWW-Authenticate",
		"Bearer realm=\"https://accounts.google.com/\", error=\"insufficient_scope\", "
		"scope=\"" SCOPE_REVIEWS "\"");
}

static void refuse_quota(struct request *r, enum api api, const struct bearer *who, int64_t limit)
{
	char message[300], consumer[96], value[32];

	snprintf(consumer, sizeof(consumer), "projects/%s", who->project);
	snprintf(value, sizeof(value), "%lld", (long long)limit);
	snprintf(message, sizeof(message),
		"Quota exceeded for quota metric 'Requests' and limit 'Requests per minute' of "
		"service "
		"'%s' for consumer '%s'.",
		services[api], consumer);
	answer_google_error(r, &(struct google_error){.status = 429,
				       .message = message,
				       .reason = "RATE_LIMIT_EXCEEDED",
				       .service = services[api],
				       .consumer = consumer,
				       .quota_limit_value = value});
	r->answer.is_throttled = true;
	atomic_fetch_add(&r->sim->counts.quota_refused, 1);
}

/* The token behind "Bearer ", or NULL. */
static const char *bearer_of(const struct request *r)
{
	const char *at = r->authorization;

	if (!at || strncasecmp(at, "Bearer ", 7) != 0)
		return NULL;
	at += 7;
	return at + strspn(at, " ");
}

bool api_begin(struct request *r, enum api api, const uint64_t *edited, uint64_t *ret_user)
{
	struct tunables set = tunables(r->sim);
	const char *token = bearer_of(r);
	struct bearer who = {0};

	if (!token || !*token) {
		refuse_bearer(r, api, "CREDENTIALS_MISSING",
			"The request has no access token: an Authorization header with a bearer "
			"token is needed.");
		return false;
	}
	switch (grants_check_bearer(&r->sim->grants, token, strlen(token), SCOPE_REVIEWS, (int)api,
		edited, &set.quota, r->now_ms, &who)) {
	case BEARER_GOOD:
		*ret_user = who.user;
		return true;
	case BEARER_INVALID:
		refuse_bearer(r, api, "ACCESS_TOKEN_INVALID", "The access token is not valid.");
		return false;
	case BEARER_EXPIRED:
		refuse_bearer(r, api, "ACCESS_TOKEN_EXPIRED", "The access token has expired.");
		return false;
	case BEARER_NO_SCOPE:
		refuse_scope(r, api);
		return false;
	case BEARER_THROTTLED:
		refuse_quota(r, api, &who, set.quota.per_minute);
		return false;
	}
	return false;
}

bool api_page_size(struct request *r, const struct page_size *rule, int64_t *ret)
{
	char message[96];
	int64_t n = 0;

	if (rule->text && *rule->text && text_parse_int(rule->text, &n) != 0)
		n = -1;
	if (n < 0) {
		answer_invalid(r, "page_size",
			"The page size must be a whole number that is not negative.");
		return false;
	}
	if (n > rule->most && (rule->is_refused || tunables(r->sim).strict_page_size)) {
		snprintf(message, sizeof(message), "The page size must be at most %lld.",
			(long long)rule->most);
		answer_invalid(r, "page_size", message);
		return false;
	}
	*ret = n == 0 ? rule->standard : n < rule->most ? n : rule->most;
	return true;
}

/* ---- page tokens ---- */

uint64_t api_scope(const char *const *parts, size_t n)
{
	AUTO(buf_drop) struct buf all = BUF_INIT(1024 * 1024);

	for (size_t i = 0; i < n; i++) {
		buf_add_text(&all, parts[i] ? parts[i] : "");
		buf_add_char(&all, '\n');
	}
	return hash_stable(buf_text(&all), all.len);
}

static int write_token(const struct request *r, const struct page_token *t, char *text, size_t size)
{
	int len =
		snprintf(text, size, "%" PRId64 " %" PRIx64 " %d %" PRId64 " %" PRIu32 " %" PRIx64,
			tunables(r->sim).page_generation, t->scope, t->key.star, t->key.update_us,
			t->key.index, t->position);
	uint64_t check = world_dice(&r->sim->overlay.world, 'P', hash_stable(text, (size_t)len), 0);

	return len + snprintf(text + len, size - (size_t)len, " %" PRIx64, check);
}

void api_token_add(struct request *r, struct json_out *o, const struct page_token *t)
{
	AUTO(buf_drop) struct buf coded = BUF_INIT(512);
	char text[200];

	text_base64url(&coded, text, (size_t)write_token(r, t, text, sizeof(text)));
	json_add_text(o, "nextPageToken", buf_text(&coded));
}

bool api_token_read(struct request *r, const char *text, uint64_t scope, struct page_token *ret,
	bool *ret_is_first)
{
	AUTO(buf_drop) struct buf plain = BUF_INIT(512);
	struct page_token t = {.scope = scope};
	int64_t generation;
	uint64_t said_scope;
	char own[200];

	*ret_is_first = !text || !*text;
	if (*ret_is_first)
		return true;
	if (text_base64url_decode(text, strlen(text), &plain) == 0 &&
		sscanf(buf_text(&plain),
			"%" SCNd64 " %" SCNx64 " %d %" SCNd64 " %" SCNu32 " %" SCNx64, &generation,
			&said_scope, &t.key.star, &t.key.update_us, &t.key.index,
			&t.position) == 6) {
		/* Whatever differs – scope, generation, seed, a changed byte – makes another text.
		 */
		write_token(r, &t, own, sizeof(own));
		if (strcmp(own, buf_text(&plain)) == 0) {
			*ret = t;
			return true;
		}
	}
	answer_invalid(r, "page_token", "The page token is invalid or has expired.");
	return false;
}

bool api_account(struct request *r, uint64_t user, const char *id, uint64_t *ret)
{
	const struct world *w = &r->sim->overlay.world;
	uint64_t account = world_account_find(w, id, strlen(id));

	if (account == WORLD_NONE) {
		answer_not_found(r);
		return false;
	}
	if (account / (uint64_t)w->accounts != user) {
		answer_google_error(r, &(struct google_error){.status = 403,
					       .message = "The caller does not have permission"});
		return false;
	}
	*ret = account;
	return true;
}
