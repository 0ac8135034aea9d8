/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An access token is its own record: grant, end of life, generation, and filling up to the length
 * that Google's tokens have, under a keyed hash. So a million of them cost nothing.
 */
#include "simulator/grants_inner.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/rand.h"
#include "base/text.h"

#define PREFIX "ya29.a0"
#define FILLING 104
#define MAC 16

struct wire {
	uint8_t filling[FILLING];
	uint64_t grant;
	int64_t ends_ms, generation;
	uint8_t mac[MAC];
};

static void sign(const struct grants *g, const struct wire *w, uint8_t ret[static MAC])
{
	uint8_t keyed[GRANTS_KEY_SIZE + sizeof(*w)], hash[HASH_SHA256_SIZE];

	memcpy(keyed, g->key, GRANTS_KEY_SIZE);
	memcpy(keyed + GRANTS_KEY_SIZE, w, offsetof(struct wire, mac));
	hash_sha256(keyed, GRANTS_KEY_SIZE + offsetof(struct wire, mac), hash);
	memcpy(ret, hash, MAC);
}

void access_write(struct grants *g, const struct grant *grant, int64_t ends_ms,
	char ret[static GRANTS_TOKEN_SIZE])
{
	struct wire w = {.grant = grant->id, .ends_ms = ends_ms, .generation = g->generation};
	AUTO(buf_drop) struct buf text = BUF_INIT(GRANTS_TOKEN_SIZE);

	rand_bytes(w.filling, sizeof(w.filling));
	sign(g, &w, w.mac);
	text_base64url(&text, &w, sizeof(w));
	snprintf(ret, GRANTS_TOKEN_SIZE, PREFIX "%s", buf_text(&text));
}

int access_read(const struct grants *g, const char *token, size_t len, struct access_parts *ret)
{
	AUTO(buf_drop) struct buf bytes = BUF_INIT(GRANTS_TOKEN_SIZE);
	const char *padding = memchr(token, ACCESS_PADDING, len);
	size_t prefix = strlen(PREFIX);
	uint8_t mac[MAC];
	struct wire w;

	if (padding)
		len = (size_t)(padding - token);
	if (len <= prefix || memcmp(token, PREFIX, prefix) != 0 ||
		text_base64url_decode(token + prefix, len - prefix, &bytes) != 0 ||
		bytes.len != sizeof(w))
		return 1;
	memcpy(&w, bytes.data, sizeof(w));
	sign(g, &w, mac);
	if (!hash_equal(mac, w.mac, MAC))
		return 1;
	*ret = (struct access_parts){
		.grant = w.grant, .ends_ms = w.ends_ms, .generation = w.generation};
	return 0;
}
