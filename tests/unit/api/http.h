/* SPDX-License-Identifier: Apache-2.0 */
/* A server under test, with workers of its own, and a client that sends what it is told, byte for
 * byte. */
#ifndef TESTS_UNIT_API_HTTP_H
#define TESTS_UNIT_API_HTTP_H

#include "api/api.h"
#include "base/buf.h"

struct site {
	struct settings settings; /* change before site_start */
	struct pool *pool;
	struct scheduler *scheduler;
	struct api *api;
	struct fault database; /* kind set: the database is away */
};
void site_init(struct site *s); /* one HTTP thread, keys on, a port of the kernel's choosing */
void site_start(struct site *s);
void site_stop(struct site *s, int64_t drain_ms);

struct reply {
	int status;            /* 0: the connection ended without an answer */
	struct buf head, body; /* body: chunks put together */
	bool is_closed;        /* the server closed after it */
};
void reply_done(struct reply *r);
/* A header's value, copied into ret; "" when absent. */
const char *reply_header(const struct reply *r, const char *name, char ret[static 256]);

int http_open(const struct site *s);
void http_send(int fd, const char *bytes, size_t len);
void http_read(int fd, struct reply *ret);      /* one answer */
void http_read_head(int fd, struct reply *ret); /* as the answer to HEAD: no body follows */
/* Reads until text has come, or the end; everything read is in ret. True: it has come. */
bool http_read_until(int fd, const char *text, struct buf *ret);

/* One request on a connection of its own. key NULL: none. body NULL: none. */
void http_ask(const struct site *s, const char *method, const char *target, const char *key,
	const char *body, struct reply *ret);

#endif
