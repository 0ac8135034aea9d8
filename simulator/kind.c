/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/kind.h"

#include <string.h>

#include "base/text.h"

static const char *const names[KIND_COUNTED] = {
	[KIND_AUTHORIZE] = "authorize",
	[KIND_DECIDE] = "decide",
	[KIND_TOKEN_CODE] = "token_code",
	[KIND_TOKEN_REFRESH] = "token_refresh",
	[KIND_TOKEN_OTHER] = "token_other",
	[KIND_REVOKE] = "revoke",
	[KIND_DISCOVERY] = "discovery",
	[KIND_CERTS] = "certs",
	[KIND_ACCOUNTS] = "accounts",
	[KIND_LOCATIONS] = "locations",
	[KIND_REVIEWS] = "reviews",
	[KIND_REVIEW] = "review",
	[KIND_BATCH] = "batch",
	[KIND_REPLY_PUT] = "reply_put",
	[KIND_REPLY_DELETE] = "reply_delete",
	[KIND_NOTIFICATION_GET] = "notification_get",
	[KIND_NOTIFICATION_PATCH] = "notification_patch",
	[KIND_UNKNOWN] = "unknown",
};

#define BIT(kind) (UINT32_C(1) << (kind))
#define TOKENS (BIT(KIND_TOKEN_CODE) | BIT(KIND_TOKEN_REFRESH) | BIT(KIND_TOKEN_OTHER))
#define REPLIES (BIT(KIND_REPLY_PUT) | BIT(KIND_REPLY_DELETE))
#define NOTIFICATIONS (BIT(KIND_NOTIFICATION_GET) | BIT(KIND_NOTIFICATION_PATCH))
#define V4 (BIT(KIND_REVIEWS) | BIT(KIND_REVIEW) | BIT(KIND_BATCH) | REPLIES)

static const struct {
	const char *name;
	uint32_t set;
} groups[] = {
	{"token", TOKENS},
	{"reply", REPLIES},
	{"notification", NOTIFICATIONS},
	{"v4", V4},
	{"api", V4 | NOTIFICATIONS | BIT(KIND_ACCOUNTS) | BIT(KIND_LOCATIONS)},
	{"any", BIT(KIND_COUNTED) - 1},
};

const char *kind_name(enum kind kind)
{
	return names[kind];
}

uint32_t kind_set(const char *name)
{
	for (unsigned i = 0; i < KIND_COUNTED; i++)
		if (text_equal(names[i], name))
			return BIT(i);
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (text_equal(groups[i].name, name))
			return groups[i].set;
	return 0;
}

bool kind_is_token(enum kind kind)
{
	return kind < KIND_COUNTED && (BIT(kind) & TOKENS);
}
