/* SPDX-License-Identifier: Apache-2.0 */
/* PROVIDERS_FILE: records of providers as JSON (docs/providers.md), read once at the start. */
#ifndef TOKEN_MANAGEMENT_PROVIDER_FILE_H
#define TOKEN_MANAGEMENT_PROVIDER_FILE_H

#include "token_management/provider.h"

#define PROVIDERS_MOST 64

struct provider_record {
	struct provider p;                  /* its key is owned */
	struct provider_record *next_found; /* of discovery (providers.h) */
	void **kept;                        /* what the fields of p borrow */
	size_t n_kept;
};
void provider_record_free(struct provider_record *r);
/* Hands memory to the record; answers it. */
void *provider_record_keep(struct provider_record *r, void *moved);

/*
 * The records of a file, each checked by itself: at most `most` of them, the caller's
 * (provider_record_free). -1 FAULT_INPUT: the file, the place in it, the value, what it must be.
 */
MUST_CHECK int provider_file_read(const char *path, size_t most, struct provider_record **ret,
	size_t *ret_n, struct fault *f);

#endif
