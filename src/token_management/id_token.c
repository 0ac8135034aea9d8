/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/token_response.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "core/limits.h"
#include "jose/jose.h"

static void copy_claim(const json_t *payload, const char *key, char *to, size_t size)
{
	const char *text = json_text(payload, key);

	to[0] = '\0';
	if (text != NULL && strlen(text) < size)
		snprintf(to, size, "%s", text);
}

/* OpenID Connect Core section 5.1; some send it as a string. */
static bool says_false(const json_t *payload, const char *key)
{
	const json_t *claim = json_member(payload, key);

	return json_is_false(claim) ||
	       (json_is_string(claim) && strcmp(json_string_value(claim), "false") == 0);
}

int id_token_read(const struct secret *jwt, const char *issuer, const char *alias,
	const char *client_id, struct identity *ret)
{
	AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(LIMIT_ACCESS_TOKEN_BYTES);
	AUTO(json_drop) json_t *payload = NULL;
	struct fault ignored = {0};
	const char *middle, *end, *iss;

	if (!secret_is_set(jwt))
		return 1;
	middle = strchr(jwt->bytes, '.');
	end = middle != NULL ? strchr(middle + 1, '.') : NULL;
	if (end == NULL)
		return 1;
	middle++;
	if (text_base64url_decode(middle, (size_t)(end - middle), &text) != 0 || buf_failed(&text))
		return 1;
	if (json_parse(buf_text(&text), text.len, &payload, &ignored) < 0)
		return 1;
	iss = json_text(payload, "iss");
	if (iss == NULL || !(text_equal(iss, issuer) || (alias != NULL && strcmp(iss, alias) == 0)))
		return 1;
	if (!claim_has_audience(payload, client_id))
		return 1;
	copy_claim(payload, "sub", ret->subject, sizeof(ret->subject));
	copy_claim(payload, "email", ret->email, sizeof(ret->email));
	if (says_false(payload, "email_verified")) /* anybody's claim */
		ret->email[0] = '\0';
	return 0;
}
