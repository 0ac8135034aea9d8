/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from byte strings to pointers. Not locked: its owner locks. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/attr.h"

struct map_node;
struct map {
	struct map_node **buckets;
	size_t n_buckets, count;
};

#define MAP_INIT ((struct map){0})

void *map_get(const struct map *m, const void *key, size_t len); /* borrowed; NULL: not there */
void *map_put(struct map *m, const void *key, size_t len,
	void *value); /* copies key; returns the value replaced, or NULL */
void *map_remove(struct map *m, const void *key, size_t len); /* the value taken out, or NULL */
/* Calls each() for all entries in no order; each() must not change the map. Stops when it answers
 * non-zero. */
int map_each(const struct map *m, int (*each)(void *arg, const void *key, size_t len, void *value),
	void *arg);
void map_drop(struct map *m); /* frees the table, not the values */
/* The same, after drop() of each value; drop() must not look at the map. */
void map_drop_all(struct map *m, void (*drop)(void *value));

#endif
