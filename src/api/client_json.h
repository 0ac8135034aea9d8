/* SPDX-License-Identifier: Apache-2.0 */
/* A client as members of an open JSON object. Never a secret. */
#ifndef API_CLIENT_JSON_H
#define API_CLIENT_JSON_H

#include "api/request.h"

/* What every answer about a client begins with; the names are the original's. */
void client_write_identity(struct json_out *out, const struct client *c);
void client_write_state(struct json_out *out, const struct client *c);
/* GET /token-management/clients. */
int client_list_handle(struct request *req, struct fault *f);

#endif
