/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of delivery to a webhook. Some events (the window) are in memory at once; up to
 * WEBHOOK_TOGETHER of them are on their way, of each review, connection or job the oldest only. The
 * cursor follows the oldest event that is not done with.
 */
#ifndef DELIVERY_WEBHOOK_H
#define DELIVERY_WEBHOOK_H

#include <stdatomic.h>

#include "base/secret.h"
#include "delivery/courier.h"
#include "delivery/delivery.h"
#include "net/net.h"

#define WEBHOOK_CONSUMER "webhook"
#define WEBHOOK_WINDOW 64
#define WEBHOOK_TOGETHER 8
#define WEBHOOK_SECRETS 2
#define WEBHOOK_OUTAGE 3 /* failures in a row that say that the receiver is away */

struct webhook;
enum webhook_state { WEBHOOK_WAITING, WEBHOOK_SENT, WEBHOOK_ANSWERED, WEBHOOK_DONE };
struct webhook_item {
	struct webhook *webhook;
	int64_t position, due_ms, first_ms; /* due and first try: monotonic */
	int64_t taken_before; /* how many events the receiver had taken at the first try */
	unsigned tries;
	enum webhook_state state; /* SENT to ANSWERED: under the webhook's lock */
	char event_id[33];
	char *kind, *ref, *branch_id; /* branch_id may be NULL */
	struct buf body;
	/* Of the answer: */
	enum net_result result;
	long status;
	int64_t retry_after_ms;
	char error[160];
};

struct webhook {
	struct courier courier;
	const struct delivery_parts *parts;
	/* net_send; tests bring their own */
	void (*send)(struct net *n, struct net_request *moved, net_done_fn *done, void *arg);
	struct secret secrets[WEBHOOK_SECRETS];
	struct webhook_item *window[WEBHOOK_WINDOW]; /* in the order of the outbox */
	size_t n;
	int64_t read_to, end; /* of the outbox */
	int64_t pause_until_ms, n_taken;
	unsigned failures; /* in a row */
	bool is_gone, is_away;
	_Atomic bool is_up; /* any thread may ask */
	pthread_mutex_t lock;
	pthread_cond_t settled;
	unsigned n_sent; /* under the lock */
};
extern const struct courier_ops webhook_ops;

/* -1 FAULT_INPUT: a secret that is none. */
MUST_CHECK int webhook_init(struct webhook *w, const struct delivery_parts *parts, struct fault *f);
void webhook_done(struct webhook *w); /* half-made is fine */
/* Waits until nothing is under way, wait_ms at most. */
void webhook_settle(struct webhook *w, int64_t wait_ms);

/* ---- webhook_item.c ---- */

struct webhook_item *webhook_item_new(struct webhook *w, const struct event_row *row);
void webhook_item_free(struct webhook_item *i);
/* Posts it; the answer comes into the item. */
void webhook_item_send(struct webhook_item *i);

/* ---- webhook_sign.c ---- */

/* Reads WEBHOOK_SECRET: one, or two with a blank between them. -1 FAULT_INPUT. */
MUST_CHECK int webhook_read_secrets(
	const struct secret *setting, struct secret ret[static WEBHOOK_SECRETS], struct fault *f);
/* Appends "v1,…" for each secret, blanks between them. */
void webhook_sign(const struct secret secrets[static WEBHOOK_SECRETS], const char *id,
	int64_t timestamp_sec, const char *body, size_t len, struct buf *ret);

extern struct metric webhook_delivered, webhook_failed, webhook_parked;

#endif
