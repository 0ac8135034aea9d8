/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP on one port: libmicrohttpd's epoll threads, and one timer thread for answers that must wait.
 */
#ifndef SIMULATOR_SERVER_H
#define SIMULATOR_SERVER_H

#include "base/attr.h"
#include "base/fault.h"

struct server;
struct simulator;

struct server_options {
	const char *host; /* an IPv4 or IPv6 address, or "localhost" */
	int64_t port;     /* 0: any free one */
	int64_t threads;
};
MUST_CHECK int server_start(struct simulator *sim, const struct server_options *options,
	struct server **ret, struct fault *f);
int server_port(const struct server *s);
/* Answers whatever waits, ends all connections, frees. */
void server_stop(struct server *s);

#endif
