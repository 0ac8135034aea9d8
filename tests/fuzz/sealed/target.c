/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as a sealed blob from the database, and as the text of a key ring. Neither may open, crash
 * or read past its end. The first byte says which.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"
#include "vault/keyring.h"
#include "vault/vault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vault *open_scratch_vault(void)
{
	char folder[] = "/tmp/fuzz-sealed-XXXXXX", path[64];
	struct vault *v = NULL;
	struct fault f = {0};

	if (mkdtemp(folder) == NULL)
		abort();
	snprintf(path, sizeof(path), "%s/key", folder);
	if (vault_open(path, &v, &f) < 0)
		abort();
	unlink(path);
	rmdir(folder);
	return v;
}

static void try_ring(const char *text, size_t len)
{
	AUTO(buf_drop) struct buf again = BUF_INIT_WIPED(KEYRING_FILE_MAX);
	struct keyring r;
	struct fault f = {0};

	if (keyring_parse(text, len, &r, &f) < 0)
		return;
	/* A ring that was accepted can be written and read again. */
	keyring_format(&r, &again);
	keyring_done(&r);
	if (keyring_parse(again.data, again.len, &r, &f) < 0)
		abort();
	keyring_done(&r);
}

/* The key number is put in for the fuzzer, which could not guess it. */
static void try_blob(struct vault *v, const uint8_t *bytes, size_t len)
{
	const struct vault_place place = {"tokens", "refresh_token", "1"};
	uint32_t number = vault_active_key(v);
	AUTO(sealed_drop) struct sealed blob = sealed_from(bytes, len);
	struct secret plain = {0};
	struct fault f = {0};

	if (vault_unseal(v, &place, blob.bytes, len, &plain, &f) == 0)
		abort();
	for (size_t i = 0; i < 4 && 1 + i < len; i++)
		blob.bytes[1 + i] = (uint8_t)(number >> (24 - 8 * i));
	if (vault_unseal(v, &place, blob.bytes, len, &plain, &f) == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vault *v;

	hash_init();
	if (v == NULL)
		v = open_scratch_vault();
	if (size == 0)
		return 0;
	if (data[0] == 'r')
		try_ring((const char *)data + 1, size - 1);
	else
		try_blob(v, data + 1, size - 1);
	return 0;
}
