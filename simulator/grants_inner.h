/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind grants.h share. Everything here wants the lock of struct grants to be held.
 */
#ifndef SIMULATOR_GRANTS_INNER_H
#define SIMULATOR_GRANTS_INNER_H

#include "simulator/grants.h"

#define GRANT_OLD_MAX                                                               \
	8 /* so many rotated-away refresh tokens are remembered, to know them again \
	   */

struct refresh_token {
	struct grant *grant;
	bool is_old;
	char text[];
};

struct login { /* one user at one client */
	uint64_t user;
	struct oauth_client *client;
	struct grant *oldest, *newest;
	int64_t n_limited;
};

struct grant {
	uint64_t id, user;
	struct login *login;
	char *scope;
	struct refresh_token *refresh; /* NULL: access only */
	struct refresh_token *old[GRANT_OLD_MAX];
	unsigned n_old;
	bool is_limited;                    /* counts towards max_per_login */
	int64_t issued_ms, refresh_ends_ms; /* the latter 0: never */
	int64_t refreshes;
	struct grant *older, *newer;
};

struct code {
	char text[GRANTS_CODE_SIZE];
	char *client_id, *redirect_uri, *challenge, *nonce, *scope;
	uint64_t user;
	bool is_offline, is_used;
	int64_t made_ms;
	struct code *next;
};

void grants_lock(struct grants *g);
void grants_unlock(struct grants *g); /* and writes what was to be journalled */

struct oauth_client *client_find(const struct grants *g, const char *id);
struct oauth_client *client_make(struct grants *g, const char *id);
void client_remove(struct grants *g, struct oauth_client *c); /* it has no grants any more */
void client_free_all(struct grants *g);
void client_replay(struct grants *g, const json_t *line);

struct login *login_find(const struct grants *g, uint64_t user, const struct oauth_client *client);
struct grant *grant_new(struct grants *g, uint64_t user, struct oauth_client *client,
	const char *scope, const char *refresh, bool is_limited, int64_t now_ms);
void grant_drop(struct grants *g, struct grant *grant, bool journalled);
void grant_name_refresh(struct grants *g, struct grant *grant, const char *text);
void refresh_text(char ret[static GRANTS_TOKEN_SIZE]);
/* All grants of the login; answers how many. */
int64_t login_drop_grants(struct grants *g, struct login *login);
int64_t project_drop_user(struct grants *g, struct project *project, uint64_t user);

void access_write(struct grants *g, const struct grant *grant, int64_t ends_ms,
	char ret[static GRANTS_TOKEN_SIZE]);
struct access_parts {
	uint64_t grant;
	int64_t ends_ms, generation;
};
/* 0: ours. 1: not. */
MUST_CHECK int access_read(
	const struct grants *g, const char *token, size_t len, struct access_parts *ret);

#endif
