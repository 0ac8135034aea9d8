/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request: what it asks of curl, what curl made of it. Inside net only; all on the net thread
 * but transfer_new.
 */
#ifndef NET_TRANSFER_H
#define NET_TRANSFER_H

#include <curl/curl.h>

#include "net/net.h"
#include "net/queue.h"

struct transfer {
	struct transfer *older;  /* on its way to the net thread */
	struct ring in_ring;     /* of those that wait for a host, or of those that run */
	struct queue_host *host; /* the queue's business */
	bool is_running;
	struct net_request request;
	char *url;
	net_done_fn *done;
	void *arg;
	int64_t deadline_ms; /* monotonic */

	CURL *easy; /* NULL until it runs */
	struct curl_slist *headers;
	size_t body_read;    /* how much of the body curl has fetched; only when is_once */
	bool is_once;        /* must never be sent twice */
	bool is_late;        /* send_by_mono_ms had passed */
	size_t header_bytes; /* received */
	struct buf reply;
	int64_t retry_after_ms, date_ahead_ms;
	int64_t max_age_ms, age_ms; /* -1: not said */
	char words[CURL_ERROR_SIZE];
};

/* Empties bearer, basic, body and headers of *moved. Any thread. */
struct transfer *transfer_new(struct net_request *moved, net_done_fn *done, void *arg);
/* Wipes and frees; the easy handle has been taken out before. */
void transfer_free(struct transfer *t);

/* Sets a fresh handle up. NULL, or in words why the request cannot be made. */
const char *transfer_prepare(
	struct transfer *t, CURL *easy, const struct net_options *options, int64_t now_ms);
/* Fills *ret for a transfer that curl ended, or that we give up (CURLE_OPERATION_TIMEDOUT). */
void transfer_judge(struct transfer *t, CURLcode code, struct net_reply *ret);

/*
 * Reads a Retry-After value (RFC 9110 section 10.2.3: seconds, or a date) to a wait from wall_ms,
 * at most 30 days. -1: neither.
 */
int64_t transfer_retry_after_ms(const char *value, size_t len, int64_t wall_ms);
/* max-age of a Cache-Control value; 0 for no-store and no-cache; -1: neither. */
int64_t transfer_max_age_ms(const char *value, size_t len);
/* https to another machine. */
bool transfer_is_proxy_allowed(const char *url);

#endif
