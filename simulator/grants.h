/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OAuth side's memory: clients, their Cloud projects, authorization codes, and grants – what
 * one consent of one user to one client gave. Memory is bounded by the number of clients and
 * grants: access tokens are not stored, they carry their grant, their end and a code over both.
 *
 * A project is the client id up to its first '-' (in real ids that is the project's number).
 * Revoking any token ends all grants of that user in the whole project, as Google does.
 *
 * Nothing here is a real secret, so tokens are ordinary strings. Any thread; one lock inside.
 */
#ifndef SIMULATOR_GRANTS_H
#define SIMULATOR_GRANTS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/map.h"
#include "simulator/counts.h"
#include "simulator/journal.h"

#include <pthread.h>

#define GRANTS_TOKEN_SIZE 256
#define GRANTS_CODE_SIZE 96
#define ACCESS_PADDING '~' /* what follows it in an access token only makes it longer */
#define GRANTS_CODE_MS (10 * 60 * 1000)
#define GRANTS_CODES_MAX 100000
#define GRANTS_KEY_SIZE 32
#define CLIENT_SECRETS_MAX 2
#define CLIENT_URIS_MAX 16
#define PROJECT_APIS 4

struct project { /* quota windows of quota.h; guarded by the grants' lock */
	char *name;
	struct oauth_client *first;
	struct quota_window {
		int64_t started_ms, used;
	} windows[PROJECT_APIS];
	struct map profiles; /* edits per location: uint64_t → struct quota_window */
};

struct oauth_client {
	char *id;
	char *secrets[CLIENT_SECRETS_MAX]; /* NULL: none yet, the first one shown is taken */
	char *redirect_uris[CLIENT_URIS_MAX];
	bool is_disabled;
	struct project *project;
	struct oauth_client *next_in_project;
};

struct grants_settings {
	int64_t access_ttl_sec;  /* life of an access token: 3599 */
	int64_t refresh_ttl_sec; /* life of a refresh token; 0: without end */
	int64_t max_per_login;   /* refresh tokens per user and client: 100, the oldest dies */
	bool strict_clients;     /* unknown client ids are refused, not remembered */
};

struct grants {
	pthread_mutex_t lock;
	struct grants_settings settings;
	struct counts *counts;
	struct journal *journal;
	struct buf pending; /* journal lines made under the lock, written after it */
	uint8_t key[GRANTS_KEY_SIZE];
	int64_t generation; /* access tokens of an earlier one are expired */
	uint64_t last_id;
	struct map clients, projects, logins, by_id, by_refresh, codes;
	struct code *oldest_code, *newest_code;
};

void grants_init(struct grants *g, struct counts *counts);
void grants_free(struct grants *g);
/* Takes one line of the journal back; other kinds of lines are passed over. */
void grants_replay(struct grants *g, const json_t *line);

/* ---- clients ---- */
enum client_outcome {
	CLIENT_GOOD,
	CLIENT_UNKNOWN,
	CLIENT_DISABLED,
	CLIENT_NO_SECRET,
	CLIENT_BAD_SECRET,
	CLIENT_BAD_REDIRECT
};
/* For the consent page: redirect_uri must be one of the client's, if it has any. */
enum client_outcome grants_check_redirect(struct grants *g, const char *client_id, const char *uri);
/* For the token endpoint. */
enum client_outcome grants_check_client(
	struct grants *g, const char *client_id, const char *secret);
/* Makes or changes a client; absent members stay. -1 FAULT_INPUT. */
MUST_CHECK int grants_set_client(struct grants *g, const json_t *described, struct fault *f);
bool grants_delete_client(struct grants *g, const char *client_id); /* and all its grants */
void grants_write_clients(struct grants *g, struct json_out *o);    /* an array, without secrets */

/* ---- consent ---- */
struct consent { /* borrowed */
	const char *client_id, *redirect_uri, *challenge,
		*nonce; /* challenge, nonce: may be NULL */
	uint64_t user;
	const char *scope;            /* granted, blank-separated */
	bool is_offline, is_prompted; /* prompt=consent */
	bool includes_granted;
};
void grants_code(struct grants *g, const struct consent *c, int64_t now_ms,
	char ret[static GRANTS_CODE_SIZE]);
/* Whether this user has a living grant in the client's project. */
bool grants_has_consent(struct grants *g, const char *client_id, uint64_t user);

/* ---- tokens ---- */
struct issued {
	char access[GRANTS_TOKEN_SIZE], refresh[GRANTS_TOKEN_SIZE]; /* refresh "": none */
	char *scope, *nonce, *client_id;                            /* owned; nonce may be NULL */
	uint64_t user;
	int64_t expires_in, refresh_expires_in; /* the latter 0: without end */
};
void issued_drop(struct issued *i);
enum grant_outcome {
	GRANT_DONE,
	GRANT_BAD_CODE,
	GRANT_BAD_REDIRECT,
	GRANT_BAD_VERIFIER,
	GRANT_DEAD
};
struct token_wish {             /* from the faults */
	int64_t access_ttl_sec; /* 0: as set */
	bool rotate, reuse_detection;
};
enum grant_outcome grants_exchange(struct grants *g, const char *client_id, const char *code,
	const char *redirect_uri, const char *verifier, const struct token_wish *wish,
	int64_t now_ms, struct issued *ret);
/* *ret has a refresh token when it was rotated. */
enum grant_outcome grants_refresh(struct grants *g, const char *client_id, const char *refresh,
	const struct token_wish *wish, int64_t now_ms, struct issued *ret);
/* By access or refresh token: ends all of that user in the project. False: no such token. */
bool grants_revoke(struct grants *g, const char *token, int64_t now_ms);

enum bearer_outcome {
	BEARER_GOOD,
	BEARER_INVALID,
	BEARER_EXPIRED,
	BEARER_NO_SCOPE,
	BEARER_THROTTLED
};
struct quota_rules {
	int64_t per_minute;       /* per project and API; -1: no limit; 0: not approved */
	int64_t edits_per_minute; /* per location; -1: no limit */
	int64_t slack_percent;
	int64_t minute_ms; /* how long a minute lasts, for tests in a hurry; 0: a minute */
};
struct bearer {
	uint64_t user;
	char project[64];
	int64_t retry_ms; /* BEARER_THROTTLED: until the window ends */
};
/*
 * Checks an access token and takes one request of the project's quota for API number api (edited:
 * the location whose edits are limited, or NULL).
 */
enum bearer_outcome grants_check_bearer(struct grants *g, const char *token, size_t len,
	const char *scope, int api, const uint64_t *edited, const struct quota_rules *rules,
	int64_t now_ms, struct bearer *ret);

/* ---- for the control routes ---- */
void grants_expire_access(struct grants *g);
/* Ends grants of a user (WORLD_NONE: any) and client (NULL: any); answers how many. */
int64_t grants_kill(struct grants *g, uint64_t user, const char *client_id);
bool grants_kill_refresh(struct grants *g, const char *refresh);
void grants_mint(struct grants *g, const char *client_id, uint64_t user, const char *scope,
	int64_t access_ttl_sec, int64_t now_ms, struct issued *ret);
/* Writes up to `limit` grants with an id above `after` as JSON lines; the last id, or 0 at the end.
 */
uint64_t grants_write(
	struct grants *g, uint64_t after, int64_t limit, bool with_tokens, struct buf *to);
int64_t grants_count(struct grants *g);

/* Whether a blank-separated list has this word. */
bool scope_has(const char *scope, const char *word);

#endif
