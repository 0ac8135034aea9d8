/* SPDX-License-Identifier: Apache-2.0 */
/* What the overview and the routes of keys ask of token management, with nothing in it. */
#include <string.h>

#include "token_management/token_management.h"

const char *client_state_name(size_t state)
{
	return state == 0 ? "connected" : "other";
}

int clients_count(struct token_management *tm, int64_t ret[static CLIENT_STATES], struct fault *f)
{
	(void)tm, (void)f;
	memset(ret, 0, CLIENT_STATES * sizeof(*ret));
	return 0;
}

int activity_list(struct token_management *tm, int64_t span_ms, int64_t since_ms,
	activity_each_fn *each, void *arg, struct fault *f)
{
	(void)tm, (void)span_ms, (void)since_ms, (void)each, (void)arg, (void)f;
	return 0;
}

int key_scopes_parse(const char *text, unsigned *ret, struct fault *f)
{
	if (*text == '\0')
		return fault_input(f, "scope", "name at least one scope, for example tokens:read");
	*ret = KEY_TOKENS_READ;
	return 0;
}

int keys_create(struct token_management *tm, const struct key_input *in, const struct actor *who,
	struct secret *ret_key, char ret_id[static 16], struct fault *f)
{
	(void)tm, (void)in, (void)who, (void)f;
	*ret_key = secret_from("rf_made_secret", strlen("rf_made_secret"));
	memcpy(ret_id, "made", sizeof("made"));
	return 0;
}

int keys_list(struct token_management *tm, key_each_fn *each, void *arg, struct fault *f)
{
	(void)tm, (void)each, (void)arg, (void)f;
	return 0;
}

int keys_revoke(
	struct token_management *tm, const char *id, const struct actor *who, struct fault *f)
{
	(void)tm, (void)id, (void)who;
	return fault_raise(f, FAULT_MISSING, "there is no such key that could be revoked");
}
