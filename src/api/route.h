/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of routes: one row per method and path, with its scope and handler. The server, the
 * OpenAPI page and the tests read the same table. Resource files (clients.c, tokens.c, reviews.c …)
 * each define one `const struct route x_routes[]` ended by a zero row; routes.c lists them.
 */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include "api/request.h"

/* ROUTE_UPLOAD: a worker; a body of NDJSON comes in pieces (request.h), any other whole. */
enum route_mode { ROUTE_INLINE = 1, ROUTE_WORKER, ROUTE_UPLOAD };
typedef int route_fn(struct request *req, struct fault *f);

/* Ways past the key, added to a route's scope. */
#define ROUTE_ANY_KEY 0xffu          /* whatever scopes the key has */
#define ROUTE_OR_LOOPBACK (1u << 16) /* or a peer on this machine that is no proxy */
#define ROUTE_OR_TICKET (1u << 17)   /* or ?ticket=, which the handler checks */
#define ROUTE_PAGE (1u << 18)        /* or a browser without any: the handler sends it to sign in */
#define ROUTE_FORM (1u << 19)        /* a form of our pages: the handler checks its token */

struct route {
	const char *method;
	const char *path; /* "/token-management/tokens/{branch_id}" */
	unsigned scope;   /* bits of enum key_scope, any of which will do; 0: no key needed */
	enum route_mode mode;
	route_fn *handle;
	route_fn *worker;    /* ROUTE_INLINE only: where REQUEST_TO_WORKER leads */
	const char *summary; /* one line for the API page */
};

enum route_outcome { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD, ROUTE_BAD_ENCODING };
struct route_count; /* answers of one route, by the hundred of their status */
struct route_match {
	const struct route *route;
	struct route_count *count;
	struct name_value params[REQUEST_PARAMS_MAX];
	size_t n_params;
	char allow[64]; /* ROUTE_NO_METHOD: for the Allow header */
	bool open;      /* ROUTE_NO_METHOD: some route of this path needs no key */
};
/*
 * Pure. path is the raw path without the query; parameters are percent-decoded into scratch, which
 * must hold strlen(path) + 1 bytes and outlive *ret. A decoded '/' stays inside its parameter.
 */
enum route_outcome route_find(
	const char *method, const char *path, char *scratch, struct route_match *ret);
/* Counts an answer; count NULL: of no route. Any thread. */
void route_count(struct route_count *count, unsigned status);
/* Shows the zeros of what has no route. */
void route_count_start(void);
struct route_count *route_count_new(const struct route *route);
/* Calls each() for every route, in the order of the tables. */
void route_each(void (*each)(void *arg, const struct route *route), void *arg);
/* Tests: one more table, ended by a zero row. Before the first route_find. */
void route_use(const struct route *extra);

extern const struct route overview_routes[], key_routes[], google_routes[], notification_routes[],
	reply_routes[], health_routes[], client_routes[], audit_routes[], connect_routes[],
	link_routes[], token_routes[], import_routes[], job_routes[], review_routes[],
	nested_routes[], demo_routes[], event_routes[], session_routes[], console_routes[],
	docs_routes[];

#endif
