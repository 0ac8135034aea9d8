/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of the door token_management.h, which includes it: how a branch is connected (RFC 6749
 * section 4.1, RFC 7636). A link leads to a flow, a flow to the provider and back. All worker.
 */
#ifndef TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_CONNECT_H
#define TOKEN_MANAGEMENT_TOKEN_MANAGEMENT_CONNECT_H

#include "token_management/token_management.h"

#define CONNECT_LINK_MS (24 * 60 * 60 * 1000)
#define CONNECT_FLOW_MS (10 * 60 * 1000)
/* So long after its end a flow can be shown again, and begun anew by the browser that ended it. */
#define CONNECT_AGAIN_MS (60 * 60 * 1000)

/* ---- links ---- */

/* A one-time link for people without a key, appended to *ret_url. FAULT_MISSING. */
MUST_CHECK int connect_link(struct token_management *tm, int64_t client_id, const struct actor *who,
	struct buf *ret_url, int64_t *ret_expires_at_ms, struct fault *f);

#define CONNECT_LINK_ID_SIZE 17
struct connect_link_row { /* borrowed for the call */
	char id[CONNECT_LINK_ID_SIZE];
	const char *made_by; /* as in the audit; NULL: by an earlier version */
	int64_t created_at_ms, expires_at_ms;
	bool is_bound; /* somebody has pressed its button; it is that browser's now */
};
typedef int connect_link_each_fn(void *arg, const struct connect_link_row *row, struct fault *f);
/* The links of a client that still open something, the newest first. */
MUST_CHECK int connect_links_list(struct token_management *tm, int64_t client_id,
	connect_link_each_fn *each, void *arg, struct fault *f);
/*
 * Ends one link (link_id NULL: every open one) and what was begun with it, for all processes at
 * once. *ret_n: how many. FAULT_MISSING: no open link has that id.
 */
MUST_CHECK int connect_links_revoke(struct token_management *tm, int64_t client_id,
	const char *link_id, const struct actor *who, int64_t *ret_n, struct fault *f);

enum link_outcome {
	LINK_GOOD,
	LINK_UNKNOWN, /* never made here, of another branch, or long over */
	LINK_USED,    /* a connection was made with it */
	LINK_EXPIRED,
	LINK_REVOKED,
	LINK_OTHER_BROWSER, /* its button was pressed in another one */
	LINK_FLOW_OVER,     /* connect_again: that flow cannot be begun anew */
};
/*
 * Whether connect_begin would start a flow with this ticket in this browser: enum link_outcome.
 * Changes nothing, so that a link survives being looked at by a robot. Faults as connect_begin.
 */
MUST_CHECK int connect_look(struct token_management *tm, int64_t client_id, const char *ticket,
	const char *browser, struct fault *f);

/* ---- the way there ---- */

struct connect_start {
	struct buf location; /* where to send the browser */
	char cookie[64];     /* value that binds the flow to this browser */
};
void connect_start_done(struct connect_start *s);
/*
 * Starts a flow: enum link_outcome, *ret is set when it is LINK_GOOD. ticket NULL: the caller was
 * already authorised by key or session. browser: the cookie value that the browser showed, or NULL.
 * FAULT_MISSING "Client not found or inactive".
 */
MUST_CHECK int connect_begin(struct token_management *tm, int64_t client_id, const char *ticket,
	const char *browser, const struct actor *who, struct connect_start *ret, struct fault *f);
/*
 * Starts another flow after one that ended in this browser without the connection that was meant,
 * by the same link. After a wrong account the provider is told to let the person choose.
 */
MUST_CHECK int connect_again(struct token_management *tm, const char *state, const char *browser,
	const struct actor *who, struct connect_start *ret, struct fault *f);
/* The address of a provider's consent page; NULL: no such provider. Borrowed. */
const char *connect_consent_url(const struct token_management *tm, const char *provider);

/* ---- the way back ---- */

struct connect_reply { /* what the provider sent to the callback; each may be NULL; borrowed */
	const char *state, *code, *error, *iss;
	const char *browser; /* cookie */
	const char *arrived; /* the provider whose callback it came to; NULL: that of all */
	const char *remote;  /* the browser's address, for the audit */
};
enum connect_outcome {
	CONNECT_DONE,    /* connected */
	CONNECT_REFUSED, /* the person said no (access_denied) */
	/* Nothing was asked of the provider, and nothing has changed: */
	CONNECT_BAD_STATE,     /* missing or unknown */
	CONNECT_EXPIRED,       /* it took longer than CONNECT_FLOW_MS, or the code had run out */
	CONNECT_REPLAYED,      /* this answer was taken already */
	CONNECT_OTHER_BROWSER, /* begun in another browser, or its cookie is gone */
	CONNECT_LINK_REVOKED,  /* the link was revoked meanwhile */
	CONNECT_LINK_USED,     /* a connection was made with the link meanwhile */
	CONNECT_BAD_REQUEST,   /* no code and no error; the flow goes on */
	/* The provider was asked: */
	CONNECT_MISSING_SCOPE,    /* a scope that is needed was unticked: no token kept */
	CONNECT_NO_REFRESH_TOKEN, /* the provider gave none */
	CONNECT_WRONG_ACCOUNT,    /* CONNECT_WRONG_ACCOUNT=refuse: no token kept */
	CONNECT_UNAVAILABLE,      /* the provider is away or busy; fault says how */
	CONNECT_MISCONFIGURED,    /* the provider refuses our app or request; fault says how */
	CONNECT_FAILED,           /* it failed here; fault says how */
};
#define CONNECT_OUTCOMES (CONNECT_FAILED + 1)
struct connect_result { /* borrowed for the call; text may be NULL */
	enum connect_outcome outcome;
	int64_t client_row; /* 0 when the state is not known; then all but fault is empty */
	const char *client_oauth_id, *branch_id, *workspace_name, *workspace_email;
	const char *provider; /* its name */
	const char *provider_title;
	const char *state;          /* for connect_recall and connect_again */
	const char *provider_error; /* `error` of the provider */
	const char *missing_scopes; /* CONNECT_MISSING_SCOPE; blank-separated */
	const char *account;        /* address of the account that consented */
	bool is_wrong_account;      /* with CONNECT_DONE: connected all the same */
	bool was_done;              /* CONNECT_REPLAYED: it had led to a connection */
	int64_t expires_at_ms;
	const struct fault *fault; /* CONNECT_UNAVAILABLE, _MISCONFIGURED, _FAILED */
};
typedef void connect_done_fn(void *arg, const struct connect_result *result);
/* Spends the state and, once, the code. done is called exactly once, on a worker, maybe inside. */
void connect_finish(struct token_management *tm, const struct connect_reply *reply,
	connect_done_fn *done, void *arg);
/*
 * How a flow of this browser ended, again: calls done inside, without a fault. 0; 1: no such flow,
 * done was not called.
 */
MUST_CHECK int connect_recall(struct token_management *tm, const char *state, const char *browser,
	connect_done_fn *done, void *arg, struct fault *f);

#endif
