/* SPDX-License-Identifier: Apache-2.0 */
/* One line of an import, read and judged by the rules of POST /clients. Pure but for the settings.
 */
#ifndef TOKEN_MANAGEMENT_IMPORT_LINE_H
#define TOKEN_MANAGEMENT_IMPORT_LINE_H

#include "base/hash.h"
#include "base/json.h"
#include "token_management/token_management_import.h"

struct import_line {
	int64_t number; /* from 1 */
	json_t *object; /* wiped when freed; what the texts below point into. NULL: no object */
	struct client_input in;
	const char *refresh_token, *scope, *provider;
	size_t refresh_token_len;
	int64_t granted_at_ms; /* 0: not said */
	uint8_t identity[HASH_BLAKE2B_SIZE];
	char branch_id[256]; /* for the report; "" when it has none that can be shown */
	struct import_flaw flaws[IMPORT_FLAWS_MAX];
	size_t n_flaws; /* 0: good */
};

/* *ret by import_line_done. Flaws say field, value (of no secret), bound and cure. */
void import_line_parse(const struct token_management *tm, const char *bytes, size_t len,
	int64_t number, struct import_line *ret);
/* The same of an object that was parsed already; takes a reference. */
void import_line_read(
	const struct token_management *tm, json_t *object, int64_t number, struct import_line *ret);
void import_line_done(struct import_line *l);

#endif
