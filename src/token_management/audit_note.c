/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/audit.h"

#include "store/store.h"
#include "token_management/internal.h"

struct noting {
	const struct actor *who;
	const char *action, *branch_id, *detail;
};

static int note_body(struct db *db, void *arg, struct fault *f)
{
	const struct noting *n = arg;

	return audit_write(db, n->who, n->action, n->branch_id, n->detail, f);
}

int audit_note(struct token_management *tm, const struct actor *who, const char *action,
	const char *branch_id, const char *detail, struct fault *f)
{
	struct noting n = {who, action, branch_id, detail};

	return store_transact(tm->store, note_body, &n, f);
}
