/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings every stored value under the key that seals now. It walks each sealed column in the order
 * of its keys, a page at a time: reads without a transaction, opens and seals in memory, and swaps
 * in one short transaction, each value only while it still is the one that was read. Whoever
 * changed it meanwhile has won. Values already under that key are passed over, so that a walk that
 * was interrupted anywhere is simply begun again.
 */
#ifndef TOKEN_MANAGEMENT_RESEAL_H
#define TOKEN_MANAGEMENT_RESEAL_H

#include "token_management/token_management_secrets.h"
#include "vault/vault.h"

/*
 * Walks until a walk finds nothing left, but for what cannot be opened. The active key must not
 * change meanwhile. Fills what is said of x's values; ret_in_use[i]: a value that cannot be opened
 * bears the i-th key of vault_keys. Outcomes and faults as secrets_rotate.
 */
MUST_CHECK int reseal_all(struct token_management *tm, struct rotation *x,
	bool ret_in_use[static VAULT_KEYS_MAX], struct fault *f);

#endif
