/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would be lost in a takeover, or keep it from its end, is told before anything is changed:
 * halfway there is no going back for those who have to mend it.
 */
#include "base/buf.h"
#include "store/db.h"

#define COLUMNS_SQL                                                                             \
	"(VALUES ('clients', 'id'), ('clients', 'client_id'), ('clients', 'client_secret'),"    \
	" ('clients', 'redirect_uri'), ('clients', 'branch_id'),"                               \
	" ('clients', 'workspace_email'), ('clients', 'workspace_name'),"                       \
	" ('clients', 'is_active'), ('clients', 'created_at'), ('clients', 'updated_at'),"      \
	" ('tokens', 'id'), ('tokens', 'client_id'), ('tokens', 'access_token'),"               \
	" ('tokens', 'refresh_token'), ('tokens', 'token_type'), ('tokens', 'scope'),"          \
	" ('tokens', 'expires_at'), ('tokens', 'is_valid'), ('tokens', 'is_revoked'),"          \
	" ('tokens', 'last_refreshed_at'), ('tokens', 'created_at'), ('tokens', 'updated_at'))" \
	" AS known (t, c)"

#define BOTH_TABLES_SQL                                                             \
	"(SELECT oid, reltype FROM pg_class WHERE oid IN (to_regclass('clients'), " \
	"to_regclass('tokens')))"

/* Each answers the names of what is wrong, one a row. */
static const struct check {
	const char *sql, *before, *after; /* what is said around the names */
} checks[] = {
	{"SELECT t || '.' || c FROM " COLUMNS_SQL " WHERE NOT EXISTS (SELECT 1 FROM pg_attribute a"
	 " WHERE a.attrelid = to_regclass(t) AND a.attname = c AND NOT a.attisdropped)",
		"of the original, ",
		" is missing: bring the database to its last state with it first"},
	{"SELECT a.attrelid::regclass::text || '.' || a.attname FROM pg_attribute a"
	 " JOIN " BOTH_TABLES_SQL " o ON o.oid = a.attrelid"
	 " WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT EXISTS (SELECT 1 FROM " COLUMNS_SQL
	 " WHERE to_regclass(t) = a.attrelid AND c = a.attname)",
		"the original has no column ",
		", and what stands there would be lost: copy it elsewhere, drop it and run this "
		"again"},
	/* Views, rows of other tables, triggers, policies, functions of the tables' types. */
	{"SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d"
	 " JOIN " BOTH_TABLES_SQL " o ON (d.refclassid = 'pg_class'::regclass"
	 " AND d.refobjid = o.oid) OR (d.refclassid = 'pg_type'::regclass"
	 " AND d.refobjid = o.reltype)"
	 " WHERE CASE d.classid"
	 " WHEN 'pg_constraint'::regclass THEN EXISTS (SELECT 1 FROM pg_constraint k"
	 " WHERE k.oid = d.objid AND k.conrelid NOT IN (SELECT oid FROM " BOTH_TABLES_SQL " b))"
	 " WHEN 'pg_trigger'::regclass THEN EXISTS (SELECT 1 FROM pg_trigger t"
	 " WHERE t.oid = d.objid AND NOT t.tgisinternal)"
	 " WHEN 'pg_attrdef'::regclass THEN false"
	 " WHEN 'pg_type'::regclass THEN false"
	 " WHEN 'pg_class'::regclass THEN d.deptype = 'n'"
	 " ELSE d.deptype IN ('n', 'a') OR d.classid = 'pg_rewrite'::regclass END",
		"the original's tables will go, and this hangs on them: ",
		". Drop it and run this again"},
	{"SELECT relname FROM pg_class WHERE relrowsecurity"
	 " AND oid IN (SELECT oid FROM " BOTH_TABLES_SQL " b)",
		"row security may hide rows of ", ": disable it and run this again"},
	{"SELECT t.id::text FROM tokens t WHERE NOT EXISTS"
	 " (SELECT 1 FROM clients c WHERE c.id = t.client_id)",
		"tokens ",
		" belong to no client and would be lost: delete them, or bring their client back"},
	{"SELECT 'tokens ' || id FROM tokens WHERE NOT (isfinite(expires_at)"
	 " AND isfinite(coalesce(last_refreshed_at, expires_at))"
	 " AND isfinite(created_at) AND isfinite(coalesce(updated_at, created_at)))"
	 " UNION ALL SELECT 'clients ' || id FROM clients WHERE NOT (isfinite(created_at)"
	 " AND isfinite(coalesce(updated_at, created_at)))",
		"a time of ", " is infinite: set a real one and run this again"},
	{"SELECT coalesce(left(branch_id, 60), 'NULL') FROM clients GROUP BY branch_id"
	 " HAVING count(*) > 1 OR branch_id IS NULL",
		"branch_id ", " stands for several clients, or none: mend it and run this again"},
	{"SELECT id::text FROM clients WHERE octet_length(branch_id) > 255"
	 " OR octet_length(client_id) > 255",
		"clients ",
		" have a branch_id or client_id of more than 255 bytes, which nobody could ask for "
		"here: shorten it and run this again"},
};

static int see_name(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct buf *names = arg;

	(void)n_cols, (void)f;
	buf_addf(names, "%s%.60s", names->len > 0 ? ", " : "", db_get_text(&cols[0]));
	return 0;
}

int takeover_check(struct db *db, struct fault *f)
{
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		AUTO(buf_drop) struct buf sql = BUF_INIT(8192), names = BUF_INIT(1024);

		buf_addf(&sql, "SELECT x FROM (%s) AS wrong (x) ORDER BY x LIMIT 3", checks[i].sql);
		if (db_read(db, buf_text(&sql), see_name, &names, f) < 0)
			return -1;
		if (names.len > 0)
			return fault_raise(f, FAULT_CONFLICT, "%s%s%s", checks[i].before,
				buf_text(&names), checks[i].after);
	}
	return 0;
}
