/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of one thread and one script on loopback, and calls that can be waited for. Scripts run
 * on the server's thread: they note what they saw in the struct, and the test asserts afterwards.
 */
#ifndef TESTS_UNIT_NET_SERVER_H
#define TESTS_UNIT_NET_SERVER_H

#include <pthread.h>
#include <semaphore.h>

#include "net/net.h"

struct server;
typedef void server_script(struct server *s);

struct server {
	pthread_t thread;
	server_script *script;
	int listen_fd, port;
	int connections, requests; /* accepted, read */
	sem_t seen;                /* posted by server_read for each request read */
	sem_t go;                  /* for scripts that wait for the test */
	struct buf request;        /* the last one read, head and body */
};

void server_start(struct server *s, server_script *script);
/* Closes the door, joins, frees. Read connections and requests after it. */
void server_stop(struct server *s);
/* The next connection; -1 once server_stop runs. */
int server_accept(struct server *s);
/* Reads one request with its body; false when the client is gone. */
bool server_read(struct server *s, int fd);
void server_write(int fd, const char *text);
void server_close(int *fd);
void server_reset(int *fd); /* RST instead of FIN */
/* accept, read, answer `text`, close. */
void server_answer_once(struct server *s, const char *text);

struct call {
	struct net_reply reply; /* body taken over */
	sem_t ended;
	int times; /* how often done was called */
};
struct net *call_net(void);
/* method NULL: GET. body NULL: none. */
void call_send(struct net *n, struct call *c, const struct server *to, const char *method,
	const char *body);
void call_send_with(struct net *n, struct call *c, struct net_request *moved);
void call_wait(struct call *c);
void call_done(struct call *c);
/* call_send and call_wait. */
void call(struct net *n, struct call *c, const struct server *to, const char *method,
	const char *body);

#endif
