/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a token endpoint answered, read into one of five classes (RFC 6749 sections 5.1 and 5.2).
 * Pure. The class decides what happens to the connection; only `error` of a JSON body below status
 * 500 can call a grant dead, never a status, a text for people, an outage or a limit.
 */
#ifndef TOKEN_MANAGEMENT_TOKEN_RESPONSE_H
#define TOKEN_MANAGEMENT_TOKEN_RESPONSE_H

#include "base/attr.h"
#include "base/secret.h"
#include "net/net.h"

enum token_class {
	TOKEN_CLASS_GRANTED,       /* access_token is set */
	TOKEN_CLASS_GRANT_DEAD,    /* invalid_grant */
	TOKEN_CLASS_MISCONFIGURED, /* our request or our app is at fault; the grant is not */
	TOKEN_CLASS_DOWN,          /* unreachable, broken, 5xx, or an answer that cannot be used */
	TOKEN_CLASS_LIMITED,       /* told to slow down */
};
#define TOKEN_CLASS_COUNT 5
const char *token_class_name(enum token_class c); /* "granted", "grant_dead", … */

struct token_answer { /* borrowed */
	enum net_result result;
	long status;
	const char *body;
	size_t body_len;
	int64_t retry_after_ms; /* -1: none */
	const char *net_error;  /* words when there is no status; may be NULL */
};

/* The same, owned, on its way from the net thread to a worker. */
struct token_reply {
	enum net_result result;
	long status;
	struct buf body;
	int64_t retry_after_ms;
	char net_error[160];
};
void token_reply_take(struct net_reply *moved, struct token_reply *ret);

struct token_response {
	enum token_class class;
	struct secret access_token; /* GRANTED only */
	struct secret
		refresh_token; /* of any 2xx answer that has one, also when the rest is unusable */
	struct secret id_token;
	char *scope;                  /* NULL: not said */
	int64_t expires_in_s;         /* -1: not said */
	int64_t refresh_expires_in_s; /* -1: not said */
	int64_t retry_after_ms;       /* -1: not said */
	char error[64];               /* `error`, when it is a plain word; else "" */
	char reason[200];             /* words for the operator; no secret */
};
void token_response_parse(const struct token_answer *in, struct token_response *ret);
/* The same; drops the body. */
void token_reply_parse(struct token_reply *moved, struct token_response *ret);
void token_response_done(struct token_response *r);
/*
 * An error code is repeated to people only when it is letters and underscores: a provider that
 * echoes a token there must not get it into our logs.
 */
bool token_error_is_plain(const char *text, size_t max);

/* The claims we keep of an ID token (OpenID Connect Core section 2). */
struct identity {
	char subject[256],
		email[256]; /* "" when absent; an address that is not verified is absent */
};
/*
 * Reads the payload of an ID token that came straight from the token endpoint over TLS, which
 * stands in for the signature (OpenID Connect Core 3.1.3.7 point 6). 0; 1: malformed, or `iss` is
 * neither issuer nor alias (may be NULL), or `aud` lacks client_id.
 */
MUST_CHECK int id_token_read(const struct secret *jwt, const char *issuer, const char *alias,
	const char *client_id, struct identity *ret);

#endif
