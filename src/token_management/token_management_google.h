/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Google sends by itself, signed: security events (RISC), and the identity that comes with a
 * push message. Nobody shows a key of ours here; the signature is all there is.
 * docs/internals/security_events.md.
 */
#ifndef TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_GOOGLE_H
#define TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_GOOGLE_H

#include "base/json.h"
#include "token_management/token_management.h"

/* ---- tokens that Google signed ---- */

enum google_jwt_look {
	GOOGLE_JWT_LOOKS_FINE,
	GOOGLE_JWT_IS_NONE,  /* no JWS under RS256 at all */
	GOOGLE_JWT_TOO_MANY, /* so many came that checking them would cost too much: 429 */
};
/* HTTP. Before a worker is bothered: the shape, and a budget of checks a second. */
enum google_jwt_look google_jwt_look(struct token_management *tm, const char *text, size_t len);

enum google_jwt_outcome {
	GOOGLE_JWT_GOOD,
	GOOGLE_JWT_REFUSED, /* malformed, unsigned, or not under a key of Google's */
	GOOGLE_JWT_NO_KEYS, /* Google's keys cannot be had at the moment: nothing is known of it */
};
struct google_jwt_result { /* borrowed for the call */
	enum google_jwt_outcome outcome;
	const json_t *claims;    /* GOOGLE_JWT_GOOD: an object; nothing of it has been judged */
	const char *typ;         /* likewise; "": none */
	uint32_t retry_after_ms; /* GOOGLE_JWT_NO_KEYS */
};
typedef void google_jwt_done_fn(void *arg, const struct google_jwt_result *result);
/*
 * Worker. Verifies a compact JWS under Google's published keys (GOOGLE_JWKS_URL), which it fetches
 * when it has none, when they are no longer fresh, and, once a minute at most, for a key id that it
 * does not know. done is called exactly once, on a worker, maybe inside.
 */
void google_jwt_check(struct token_management *tm, const char *text, size_t len,
	google_jwt_done_fn *done, void *arg);
/* Whether `iss` of claims is Google, in one of the spellings that it uses. */
bool google_is_issuer(const json_t *claims);

/* ---- who posts a push message ---- */

struct google_caller_wish { /* borrowed for the call */
	const char *audience, *email;
};
enum google_caller {
	GOOGLE_CALLER_IS,
	GOOGLE_CALLER_IS_NOT,
	GOOGLE_CALLER_UNKNOWN, /* Google's keys cannot be had at the moment */
};
typedef void google_caller_done_fn(void *arg, enum google_caller caller, uint32_t retry_after_ms);
/*
 * Worker. Whether an OpenID Connect token is Google's word that its bearer is that service account
 * and means us: iss, aud, exp, iat, email, email_verified. done as with google_jwt_check.
 */
void google_caller_check(struct token_management *tm, const char *text, size_t len,
	const struct google_caller_wish *wish, google_caller_done_fn *done, void *arg);

/* ---- security events (RFC 8417, RFC 8935; Google's Cross-Account Protection) ---- */

enum security_event_outcome {
	SECURITY_EVENT_TAKEN,   /* durable, and acted on or about to be; also when it came before */
	SECURITY_EVENT_REFUSED, /* err and words say why (RFC 8935 section 2.4) */
	SECURITY_EVENT_LATER,   /* Google's keys cannot be had: it is to be sent again */
	SECURITY_EVENT_FAILED,  /* the database failed; the fault says how */
};
struct security_event_result { /* borrowed for the call */
	enum security_event_outcome outcome;
	const char *err, *words;   /* REFUSED */
	uint32_t retry_after_ms;   /* LATER */
	const struct fault *fault; /* FAILED */
};
typedef void security_event_done_fn(void *arg, const struct security_event_result *result);
/*
 * Worker. Takes one signed security event that google_jwt_look let pass. Nothing but the signature
 * decides what a stranger learns: until it holds, all refusals are one. done is called exactly
 * once, on a worker, maybe inside.
 */
void security_event_take(struct token_management *tm, const char *text, size_t len,
	security_event_done_fn *done, void *arg);

#endif
