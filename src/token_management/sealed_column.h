/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one list of columns that hold sealed values. A place to seal for is only to be had from it,
 * so that no column can be sealed and yet be left out when the keys are changed.
 */
#ifndef TOKEN_MANAGEMENT_SEALED_COLUMN_H
#define TOKEN_MANAGEMENT_SEALED_COLUMN_H

#include "base/attr.h"
#include "store/store.h"
#include "vault/vault.h"

struct sealed_column {
	const char *table, *column, *key; /* key: the column that names the row */
	bool has_byte_key;                /* the key of its rows is bytes, not a number */
	/* Rows with a value behind key $1, in the key's order, $2 at most: key, value. */
	const char *page;
	const char *count; /* of its values */
	const char *swap;  /* $3 in the place of $2 in row $1, while it still is $2 */
};
extern const struct sealed_column sealed_columns[]; /* ended by one without a table */

#define SEALED_KEY_BYTES_MAX 64
struct sealed_place { /* not to be copied: it points into itself */
	char row[2 * SEALED_KEY_BYTES_MAX + 1];
	struct vault_place at;
};
/* key: of the row, a number or bytes. A column that is not in the list, or a longer key, aborts. */
void sealed_place(const char *column, const struct db_value *key, struct sealed_place *ret);

#endif
