/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outgoing HTTP: one thread drives curl's multi interface, so that a thousand refreshes in flight
 * cost a thousand sockets and no threads. Redirects are never followed (RFC 6749 section 10.4: a
 * 307 would resend the secret), only http and https are spoken, and certificates are always
 * checked.
 *
 * No request that changes something (all but GET) is ever sent twice: a refresh token that is used
 * twice looks stolen to a provider with reuse detection (RFC 9700 section 4.14.2) and costs the
 * grant.
 *
 * https_proxy, all_proxy and no_proxy of the environment hold for https to other machines, where a
 * proxy sees only the name of the host. Plain http and loopback never take a proxy.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/secret.h"

/*
 * One thread of its own. Requests reach it through a lock-free list and an eventfd, so that
 * net_send never waits for it.
 */
struct net;

struct net_options {
	/* Requests at once, so no more connections either; further ones wait inside, on their own
	 * timeout, and the hosts take turns. 0: any number. */
	unsigned max_connections;
	unsigned max_host_connections; /* to one host */
	const char *user_agent;
	const char *ca_file; /* NULL: the system's; tests bring their own */
};

struct net_request {
	const char *method;   /* "GET", "POST", "PUT", "DELETE", "PATCH"; static string */
	const char *url;      /* copied by net_send */
	struct secret bearer; /* Authorization: Bearer … (RFC 6750 2.1); moved */
	struct secret basic;  /* "id:secret", both already form-encoded (RFC 6749 2.3.1); moved */
	const char *content_type; /* of body; static string */
	struct buf body;          /* moved; wiped after use */
	struct buf headers;       /* more of them, "Name: value\n" each; moved */
	uint32_t timeout_ms; /* from net_send to the end; connect has a third of it, at most 10 s */
	/* Monotonic ms; 0: no bound. A request whose body has not begun to leave by then is given
	 * up as NET_UNREACHABLE, even when the process was stopped in between. */
	int64_t send_by_mono_ms;
	size_t max_reply_bytes;
};

enum net_result {
	NET_ANSWERED,    /* an HTTP status came, whatever it says */
	NET_UNREACHABLE, /* name, connect or TLS failed: the request was surely not processed */
	NET_BROKEN,    /* reset, truncated or timed out after sending: it may have been processed */
	NET_TOO_LARGE, /* the reply passed max_reply_bytes: it was processed */
	NET_STOPPED,   /* net_stop came first */
};

#define NET_NO_DATE INT64_MAX
struct net_reply {
	enum net_result result;
	long status;     /* 0 unless NET_ANSWERED */
	struct buf body; /* NET_ANSWERED only; wiped on drop; the receiver may take it by moving */
	char content_type[96];
	int64_t retry_after_ms; /* Retry-After (RFC 9110 10.2.3: seconds or date); -1: none */
	/* How far the server's Date is ahead of our clock; NET_NO_DATE: it says none. Meaningless
	 * beyond half a day behind. */
	int64_t date_ahead_ms;
	/* How long it may be kept: max-age less Age (RFC 9111 4.2.1); 0: not at all; -1: not said
	 */
	int64_t fresh_ms;
	char error[160]; /* words for the operator when not NET_ANSWERED; no secret, no query */
};

/* On the net thread, exactly once a request; must not block; *reply is dropped when it returns. */
typedef void net_done_fn(void *arg, struct net_reply *reply);

MUST_CHECK int net_start(const struct net_options *options, struct net **ret, struct fault *f);
/* Any thread; never blocks. Empties bearer, basic, body and headers of *moved. */
void net_send(struct net *n, struct net_request *moved, net_done_fn *done, void *arg);
unsigned net_in_flight(const struct net *n); /* for tests; operators have the metric */
/*
 * Ends all requests with NET_STOPPED; every one has been answered when it returns. The thread goes
 * on to answer later requests with NET_STOPPED, so that workers which still run need no flag. Not
 * from the net thread. NULL is fine.
 */
void net_stop(struct net *n);
/* Stops if need be, joins, frees. When nobody can call net_send any more. NULL is fine. */
void net_free(struct net *n);

/* Appends "&key=value" (no '&' at the start), form-encoded: a blank is '+' (RFC 6749 appendix B).
 */
void net_form_add(struct buf *form, const char *key, const char *value, size_t len);
/*
 * Appends key=value to a URL with '?' or '&' as needed; a blank is %20, which every reader of a
 * query takes. The URL has no fragment (net_url_check).
 */
void net_url_add(struct buf *url, const char *key, const char *value);

enum net_url_policy { NET_URL_PROVIDER, NET_URL_REDIRECT };
/*
 * Checks an address from outside: absolute, https (http only for localhost, 127.0.0.0/8, [::1]),
 * ASCII, no user info, no fragment, no dot at the end of the host, at most LIMIT_URL_BYTES (RFC
 * 6749 3.1 and 3.1.2, RFC 9700 2.6). A redirect address may hold neither a '*' nor a ".." segment,
 * which lenient matching at a provider could turn into another address (RFC 9700 4.1). -1
 * FAULT_INPUT on `field`.
 */
MUST_CHECK int net_url_check(
	const char *url, enum net_url_policy policy, const char *field, struct fault *f);

/*
 * An even pace (GCRA): starts are interval_us apart; after a quiet time as many may come at once as
 * fit into lead_us. Any minute then sees at most per_minute starts, though each be late by up to
 * NET_START_SLACK_US on its way. Pure, like all of budget.c; the times are the caller's.
 */
#define NET_START_SLACK_US 1000000
struct net_pace {
	int64_t interval_us, lead_us;
};
/* Values below 1 count as 1, a burst above per_minute as that. */
struct net_pace net_pace(int64_t per_minute, int64_t burst);

/* Starts that are one's own: n of them from next_us on, each interval_us (> 0) behind the last. */
struct net_share {
	int64_t next_us, interval_us, n;
};
/*
 * Uses one: 0 it may start now, else how many us until the next one, -1 when none is left. One that
 * is older than the slack is lost: made up for, it would come too close to others'.
 */
int64_t net_share_take(struct net_share *s, int64_t now_us);

#endif
