/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as the answer of a token endpoint, and as the payload of an ID token. The first byte
 * chooses the status. Whatever comes: no crash, and nothing that the rest of the service may not
 * rely on.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "core/limits.h"
#include "token_management/token_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static void check_token(const struct secret *token)
{
	if (!secret_is_set(token))
		return;
	demand(token->len > 0 && token->len <= LIMIT_ACCESS_TOKEN_BYTES);
	for (size_t i = 0; i < token->len; i++)
		demand(token->bytes[i] > 0x20 && token->bytes[i] < 0x7f);
}

static void check(const struct token_response *r, long status)
{
	demand(r->class < TOKEN_CLASS_COUNT);
	demand(secret_is_set(&r->access_token) == (r->class == TOKEN_CLASS_GRANTED));
	demand(r->class != TOKEN_CLASS_GRANTED || (status >= 200 && status < 300));
	demand(r->class != TOKEN_CLASS_GRANT_DEAD || (status < 500 && status != 429));
	demand(r->class != TOKEN_CLASS_GRANTED || r->expires_in_s != 0);
	demand(r->expires_in_s >= -1 && r->refresh_expires_in_s >= -1);
	demand(!secret_is_set(&r->refresh_token) || status < 300);
	demand(strlen(r->reason) > 0);
	check_token(&r->access_token);
	check_token(&r->refresh_token);
	check_token(&r->id_token);
	for (const char *c = r->error; *c != '\0'; c++)
		demand(*c == '_' || (*c >= 'a' && *c <= 'z'));
}

static void try_response(uint8_t choice, const char *body, size_t len)
{
	static const long statuses[] = {200, 201, 204, 302, 400, 401, 403, 404, 408, 429, 500, 503};
	struct token_answer in = {
		.result = choice < 200 ? NET_ANSWERED : NET_BROKEN,
		.status = choice < 200 ? statuses[choice % ARRAY_LEN(statuses)] : 0,
		.body = body,
		.body_len = len,
		.retry_after_ms = -1,
	};
	struct token_response r;

	token_response_parse(&in, &r);
	check(&r, in.status);
	token_response_done(&r);
}

static void try_id_token(const char *payload, size_t len)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(4 * LIMIT_ACCESS_TOKEN_BYTES);
	AUTO(secret_drop) struct secret jwt = {0}, bare = secret_from(payload, len);
	struct identity who = {0};

	buf_add_text(&text, "e30.");
	text_base64url(&text, payload, len);
	buf_add_char(&text, '.');
	jwt = secret_from(buf_text(&text), text.len);
	if (id_token_read(
		    &jwt, "https://accounts.google.com", "accounts.google.com", "app", &who) == 0)
		demand(strlen(who.subject) < sizeof(who.subject));
	if (id_token_read(&bare, "https://accounts.google.com", NULL, "app", &who) == 0)
		demand(strlen(who.email) < sizeof(who.email));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hash_init();
	json_start();
	if (size == 0)
		return 0;
	if (data[0] == 'i')
		try_id_token((const char *)data + 1, size - 1);
	else
		try_response(data[0], (const char *)data + 1, size - 1);
	return 0;
}
