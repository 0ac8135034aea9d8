/* SPDX-License-Identifier: Apache-2.0 */
/* What the control routes share. */
#ifndef SIMULATOR_CONTROL_H
#define SIMULATOR_CONTROL_H

#include "base/attr.h"
#include "base/json.h"
#include "simulator/simulator.h"

#define CONTROL_LIST 100
#define CONTROL_LIST_MAX 1000

/* The body as JSON; *ret by json_drop. False: answered. An empty body is an empty object. */
bool control_body(struct request *r, json_t **ret);
/* offset and limit of a list. False: answered. */
bool control_range(struct request *r, int64_t *ret_offset, int64_t *ret_limit);
/* Answers {"ok": true}. */
void control_ok(struct request *r);
/* An object whose keys must all be among these (NULL-ended). False: answered. */
bool control_keys(struct request *r, const json_t *object, const char *const *known);
/* "user" is an address, or a number from 0. WORLD_NONE when absent. False: answered. */
bool control_user(struct request *r, const json_t *body, uint64_t *ret);

#endif
