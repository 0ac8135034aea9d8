/* SPDX-License-Identifier: Apache-2.0 */
/* Query and form parameters, in the order in which they came. */
#ifndef SIMULATOR_PARAMS_H
#define SIMULATOR_PARAMS_H

#include "base/attr.h"
#include "base/buf.h"

#define PARAMS_MAX 256

struct param {
	const char *name, *value; /* value "" when there was no '=' */
};
struct params {
	struct param *rows;
	size_t n, cap;
	char *memory; /* of a parsed form */
};

void params_add(struct params *p, const char *name,
	const char *value); /* borrowed; past the maximum: dropped */
/* Parses application/x-www-form-urlencoded. 0 done, 1 bad escape or not UTF-8. */
MUST_CHECK int params_parse(struct params *p, const char *form, size_t len);
const char *params_get(const struct params *p, const char *name); /* the first; NULL: not there */
/* The name of a parameter that comes more than once although `name_is_single` says it must not; or
 * NULL. */
const char *params_doubled(const struct params *p, bool (*name_is_single)(const char *name));
void params_drop(struct params *p);

/* Appends "?name=value" or "&name=value" to a URL, form-encoded. */
void params_url_add(struct buf *url, const char *name, const char *value);

#endif
