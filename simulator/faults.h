/* SPDX-License-Identifier: Apache-2.0 */
/* Faults that are switched on through the control route, and what they do to one request. */
#ifndef SIMULATOR_FAULTS_H
#define SIMULATOR_FAULTS_H

#include "base/attr.h"
#include "base/fault.h"
#include "base/json.h"
#include "simulator/kind.h"

#include <pthread.h>
#include <stdatomic.h>

struct request;

enum fault_action {
	FAULT_DO_NOTHING,  /* latency or changed token fields only */
	FAULT_DO_STATUS,   /* an error status with Google's body, or the one given */
	FAULT_DO_ERROR,    /* an OAuth error body */
	FAULT_DO_RESET,    /* the connection is reset before a byte of the answer */
	FAULT_DO_TRUNCATE, /* the answer breaks off half-way; the length said the whole */
	FAULT_DO_NON_JSON, /* an HTML page in place of the answer */
	FAULT_DO_EMPTY,    /* the status with an empty body */
};

struct sim_fault {
	atomic_int references;
	int64_t id;
	uint32_t kinds; /* bits 1 << kind */
	char *match;    /* substring of the target, or of the client id at the token endpoint; NULL:
			   all */
	int64_t skip, count, hits; /* count < 0: without end */
	int64_t latency_ms, jitter_ms;
	enum fault_action action;
	bool is_after; /* the request is processed before its answer is spoilt */
	unsigned status;
	char *error, *error_description, *reason, *message;
	json_t *body;
	int64_t retry_after_sec, retry_info_sec; /* 0: none */
	bool is_retry_date; /* Retry-After as a date (RFC 9110 section 10.2.3) */
	/* the fields of a token answer */
	bool omit_expires_in, omit_refresh_token, rotate, reuse_detection, omit_scope;
	int64_t expires_in;  /* 0: as set */
	int64_t token_bytes; /* the access token is padded to this length; 0: as it is */
	char *token_type, *scope;
	struct sim_fault *next;
};

struct faults {
	pthread_mutex_t lock;
	struct sim_fault *first;
	int64_t last_id;
	atomic_bool is_any;
	_Atomic int64_t applied;
};

/* What all faults together do to one request. */
struct fault_plan {
	struct sim_fault *action; /* referenced; NULL: none that ends it */
	int64_t latency_ms;
	bool omit_expires_in, omit_refresh_token, rotate, reuse_detection, omit_scope;
	int64_t expires_in, token_bytes;
	char token_type[64], scope[256]; /* "": as it is */
};

void faults_init(struct faults *f);
void faults_free(struct faults *f);
/* Adds what the JSON object describes; *ret_id is its number. -1 FAULT_INPUT says which field is
 * wrong. */
MUST_CHECK int faults_add(
	struct faults *f, const json_t *described, int64_t *ret_id, struct fault *fault);
void faults_clear(struct faults *f);
bool faults_remove(struct faults *f, int64_t id);
void faults_write(struct faults *f, struct json_out *o); /* an array */

/* Uses up one request's worth of every fault that fits. client_id may be NULL. */
void faults_plan(struct faults *f, enum kind kind, const char *target, const char *client_id,
	struct fault_plan *ret);
void fault_plan_drop(struct fault_plan *p);
/* Replaces the answer by what the plan's action says; leaves reset and truncate to the server. */
void faults_spoil(struct request *r);

#endif
