/* SPDX-License-Identifier: Apache-2.0 */
/* The whole simulator: what it was started with, what it remembers, and what can be set while it
 * runs. */
#ifndef SIMULATOR_SIMULATOR_H
#define SIMULATOR_SIMULATOR_H

#include "base/attr.h"
#include "simulator/counts.h"
#include "simulator/faults.h"
#include "simulator/grants.h"
#include "simulator/journal.h"
#include "simulator/overlay.h"
#include "simulator/request.h"

#include <pthread.h>

#define SCOPE_REVIEWS "https://www.googleapis.com/auth/business.manage"

enum consent_mode { CONSENT_ASK, CONSENT_ALLOW, CONSENT_DENY };

struct tunables { /* copied out for each use; set through POST /_control/settings */
	enum consent_mode auto_consent;
	char auto_account[WORLD_NAME_SIZE]; /* "": login_hint, else the first */
	char issuer[256];
	bool send_iss;
	bool strict_page_size; /* a page size past the maximum is refused, not cut */
	bool batch_empty;      /* batchGetReviews answers {} as one client reported */
	char reply_state[64];  /* of replies put through the API */
	struct quota_rules quota;
	int64_t certs_max_age_sec; /* of the key set's Cache-Control */
	int64_t page_generation;   /* page tokens of an earlier one are stale */
};

struct simulator {
	struct overlay overlay;
	struct counts counts;
	struct faults faults;
	struct grants grants;
	struct journal *journal;
	pthread_mutex_t tunables_lock;
	struct tunables tunables_now;
	pthread_mutex_t settings_lock;
	struct map notifications; /* account id → JSON text of its notificationSetting */
	struct id_key *id_key;    /* made when first needed; see id_token.h */
	char url[64];             /* how people reach it; set before the first request can come */
	int64_t started_ms;
};

struct tunables tunables(struct simulator *s);

/* Finds the route, counts, applies faults, answers. The answer may still have to be delayed or
 * spoilt. */
void simulator_serve(struct request *r);

void simulator_init(struct simulator *s, const struct world *w);
void simulator_free(struct simulator *s);
/* Takes back what the journal holds. */
MUST_CHECK int simulator_replay(void *simulator, const json_t *line, struct fault *f);

/* ---- handlers: one file a resource ---- */
handler_fn home_page, static_style, not_found_page;
handler_fn authorize_page, authorize_decide;
handler_fn token_endpoint, revoke_endpoint, discovery_document, certs_document;
handler_fn accounts_list, locations_list;
handler_fn reviews_list, reviews_get, reviews_batch, reply_put, reply_delete;
handler_fn notification_get, notification_patch;
handler_fn control_help, control_counts, control_counts_reset, control_faults_get,
	control_faults_post, control_faults_clear, control_fault_delete, control_settings_get,
	control_settings_post, control_clients_get, control_clients_post, control_client_delete,
	control_tokens, control_grants, control_sign, control_security_event, control_keys_post,
	control_quota, control_world_get, control_world_post, control_world_users,
	control_world_accounts, control_world_locations, control_world_location,
	control_world_location_reviews, control_world_reviews, control_demo_accounts,
	control_demo_locations, control_demo_reviews, control_demo_places;

/* Which of the token kinds a form is. */
enum kind token_kind(const struct request *r);
/* The client that a token request says it is, not checked; NULL: it says none. */
#define CLIENT_ID_SIZE 1024
const char *token_client_id(const struct request *r, char ret[static CLIENT_ID_SIZE]);

#endif
