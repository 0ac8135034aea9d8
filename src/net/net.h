/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outgoing HTTP: one thread drives curl's multi interface, so that a thousand refreshes in flight cost
 * a thousand sockets and no threads. Redirects are never followed (RFC 6749 section 10.4: a 307 would
 * resend the secret), only http and https are spoken, and certificates are always checked.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/secret.h"

struct net;

struct net_options {
	unsigned max_connections;      /* in all; further requests wait inside */
	unsigned max_host_connections; /* to one host */
	const char *user_agent;
	const char *ca_file; /* NULL: the system's; tests bring their own */
};

struct net_request {
	const char *method;         /* "GET", "POST", "PUT", "DELETE", "PATCH" */
	const char *url;            /* copied by net_send */
	struct secret bearer;       /* Authorization: Bearer …; moved */
	struct secret basic;        /* "id:secret", both already form-encoded (RFC 6749 2.3.1); moved */
	const char *content_type;   /* of body; static string */
	struct buf body;            /* moved; wiped after use */
	uint32_t timeout_ms;        /* whole exchange; connect has a third of it, at most 10 s */
	size_t max_reply_bytes;
};

enum net_result {
	NET_ANSWERED,    /* an HTTP status came, whatever it says */
	NET_UNREACHABLE, /* name, connect or TLS failed: the request was surely not processed */
	NET_BROKEN,      /* reset, truncated or timed out after sending: it may have been processed */
	NET_TOO_LARGE,   /* the reply passed max_reply_bytes */
	NET_STOPPED,     /* net_stop came first */
};

struct net_reply {
	enum net_result result;
	long status;               /* 0 unless NET_ANSWERED */
	struct buf body;           /* wiped on drop; the receiver may take it by moving */
	char content_type[96];
	int64_t retry_after_ms;    /* Retry-After (RFC 9110 10.2.3: seconds or date); -1: none */
	char error[160];           /* words for the operator when not NET_ANSWERED; no secret, no query */
};

/* On the net thread, exactly once a request; must not block; *reply is dropped when it returns. */
typedef void net_done_fn(void *arg, struct net_reply *reply);

MUST_CHECK int net_start(const struct net_options *options, struct net **ret, struct fault *f);
/* Any thread; never blocks. Empties bearer, basic and body of *moved. */
void net_send(struct net *n, struct net_request *moved, net_done_fn *done, void *arg);
unsigned net_in_flight(const struct net *n);
/* Ends all requests with NET_STOPPED, joins, frees. NULL is fine. */
void net_stop(struct net *n);

/* Appends "&key=value" (no '&' at the start), form-encoded. */
void net_form_add(struct buf *form, const char *key, const char *value, size_t len);
/* Appends key=value to a URL with '?' or '&' as needed. */
void net_url_add(struct buf *url, const char *key, const char *value);

enum net_url_policy { NET_URL_PROVIDER, NET_URL_REDIRECT };
/*
 * Checks an address from outside: absolute, https (http only for localhost, 127.0.0.0/8, [::1]), no user
 * info, no fragment, at most LIMIT_URL_BYTES (RFC 6749 3.1, RFC 9700 2.6). -1 FAULT_INPUT on `field`.
 */
MUST_CHECK int net_url_check(const char *url, enum net_url_policy policy, const char *field, struct fault *f);

/*
 * An even-paced budget: at most `per_minute` starts, spaced 60000 / per_minute apart, no burst beyond
 * `burst`. The caller locks. Times are monotonic ms.
 */
struct net_budget {
	int64_t interval_us, next_us, paused_until_us;
	int64_t burst;
};
void net_budget_init(struct net_budget *b, int64_t per_minute, int64_t burst);
/* Takes one start: 0 now, or how many ms to wait before it (the start is reserved). */
int64_t net_budget_take(struct net_budget *b, int64_t now_ms);
/* After a 429: no start before until_ms. */
void net_budget_pause(struct net_budget *b, int64_t until_ms);

#endif
