/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/audit.h"

#include "base/clock.h"
#include "store/store.h"

const struct actor audit_service = {.name = "service"};

int audit_write(struct db *db, const struct actor *who, const char *action, const char *branch_id,
	const char *detail, struct fault *f)
{
	if (who == NULL)
		who = &audit_service;
	return db_exec(db,
		"INSERT INTO audit (at_ms, actor, action, branch_id, detail, remote)"
		" VALUES ($1, $2, $3, $4, $5, $6)",
		NULL, f, db_int(clock_wall_ms()), db_text(who->name), db_text(action),
		db_text(branch_id), db_text(detail), db_text(who->remote));
}
