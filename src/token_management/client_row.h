/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of clients as this module's files read them. */
#ifndef TOKEN_MANAGEMENT_CLIENT_ROW_H
#define TOKEN_MANAGEMENT_CLIENT_ROW_H

#include "store/store.h"
#include "token_management/token_management.h"

/* $1 is the time now: a connection whose refresh is due is `expiring`. */
#define STATUS_NOW                                                                    \
	"CASE WHEN c.is_active = 0 THEN 'inactive'"                                   \
	" WHEN c.status = 'connected' AND t.next_refresh_at_ms <= $1 THEN 'expiring'" \
	" ELSE c.status END"
#define CLIENT_SELECT                                                                  \
	"SELECT c.id, c.client_id, c.redirect_uri, c.branch_id, c.workspace_email,"    \
	" c.workspace_name, c.provider, " STATUS_NOW ", c.status_reason, c.is_active," \
	" c.created_at_ms, c.updated_at_ms, t.client_id, t.scope, t.requested_scope,"  \
	" t.expires_at_ms, t.last_refreshed_at_ms, t.next_refresh_at_ms,"              \
	" t.google_email, c.scope"                                                     \
	" FROM clients c LEFT JOIN tokens t ON t.client_id = c.id "

/* The same of a row that is inserted: active, and without tokens. */
#define CLIENT_RETURNING                                                              \
	" RETURNING id, client_id, redirect_uri, branch_id, workspace_email,"         \
	" workspace_name, provider, status, status_reason, is_active, created_at_ms," \
	" updated_at_ms, NULL, NULL, NULL, NULL, NULL, NULL, NULL, scope"

/* One row of CLIENT_SELECT; *ret is overwritten (client_done). */
void client_read_row(
	const struct token_management *tm, const struct db_value *c, struct client *ret);

#endif
