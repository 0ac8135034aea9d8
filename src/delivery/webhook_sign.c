/* SPDX-License-Identifier: Apache-2.0 */
/* The signature of the Standard Webhooks convention: HMAC-SHA256 over id.timestamp.body. */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/text.h"
#include "delivery/webhook.h"

#define PREFIX "whsec_"
#define SECRET_LEAST 16
#define SECRET_MAX 512

/* Padded or not, as text_base64url_decode takes it. */
static void to_base64url(const char *text, size_t len, struct buf *ret)
{
	for (size_t i = 0; i < len && text[i] != '='; i++)
		buf_add_char(ret, text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
}

MUST_CHECK static int read_one(const char *text, size_t len, struct secret *ret, struct fault *f)
{
	AUTO(buf_drop) struct buf coded = BUF_INIT_WIPED(SECRET_MAX);
	AUTO(buf_drop) struct buf key = BUF_INIT_WIPED(SECRET_MAX);
	const size_t prefix = strlen(PREFIX);

	if (len > prefix && memcmp(text, PREFIX, prefix) == 0) {
		to_base64url(text + prefix, len - prefix, &coded);
		if (text_base64url_decode(buf_text(&coded), coded.len, &key) != 0)
			return fault_input(f, "WEBHOOK_SECRET",
				"WEBHOOK_SECRET begins with " PREFIX
				", and what follows is no base64");
	} else {
		buf_add(&key, text, len);
	}
	if (key.len < SECRET_LEAST)
		return fault_input(f, "WEBHOOK_SECRET",
			"WEBHOOK_SECRET holds %zu bytes, and %d are needed: try " PREFIX
			" and the answer of \"openssl rand -base64 32\"",
			key.len, SECRET_LEAST);
	*ret = secret_from(buf_text(&key), key.len);
	return 0;
}

int webhook_read_secrets(
	const struct secret *setting, struct secret ret[static WEBHOOK_SECRETS], struct fault *f)
{
	size_t n = 0;

	for (const char *at = setting->bytes; *at != '\0';) {
		const size_t len = strcspn(at, " ");

		if (len > 0 && n == WEBHOOK_SECRETS)
			return fault_input(f, "WEBHOOK_SECRET",
				"WEBHOOK_SECRET holds more than %d secrets", WEBHOOK_SECRETS);
		if (len > 0 && read_one(at, len, &ret[n++], f) < 0)
			return -1;
		at += len + (at[len] == ' ');
	}
	return 0;
}

void webhook_sign(const struct secret secrets[static WEBHOOK_SECRETS], const char *id,
	int64_t timestamp_sec, const char *body, size_t len, struct buf *ret)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(len + 128);
	uint8_t mac[HASH_SHA256_SIZE];

	buf_addf(&text, "%s.%" PRId64 ".", id, timestamp_sec);
	buf_add(&text, body, len);
	for (size_t i = 0; i < WEBHOOK_SECRETS && secret_is_set(&secrets[i]); i++) {
		hash_hmac_sha256(secrets[i].bytes, secrets[i].len, buf_text(&text), text.len, mac);
		buf_add_text(ret, i > 0 ? " v1," : "v1,");
		text_base64(ret, mac, sizeof(mac));
	}
}
