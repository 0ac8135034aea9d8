/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/audit.h"

#include "base/clock.h"
#include "store/store.h"

const struct actor audit_service = {.name = "service"};

#define AUDIT_INSERT                                                          \
	"INSERT INTO audit (at_ms, actor, action, branch_id, detail, remote)" \
	" VALUES ($1, $2, $3, $4, $5, $6)"

static int see_id(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	int64_t *id = arg;

	(void)n_cols, (void)f;
	*id = db_get_int(&cols[0]);
	return 0;
}

int audit_write_row(struct db *db, const struct actor *who, const char *action,
	const char *branch_id, const char *detail, int64_t *ret_id, struct fault *f)
{
	if (who == NULL)
		who = &audit_service;
	return db_read(db, AUDIT_INSERT " RETURNING id", see_id, ret_id, f, db_int(clock_wall_ms()),
		db_text(who->name), db_text(action), db_text(branch_id), db_text(detail),
		db_text(who->remote));
}

int audit_write(struct db *db, const struct actor *who, const char *action, const char *branch_id,
	const char *detail, struct fault *f)
{
	if (who == NULL)
		who = &audit_service;
	const struct db_value row[] = {db_int(clock_wall_ms()), db_text(who->name), db_text(action),
		db_text(branch_id), db_text(detail), db_text(who->remote)};

	return db_push(db, AUDIT_INSERT, row, ARRAY_LEN(row), f);
}
