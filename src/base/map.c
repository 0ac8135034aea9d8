/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

#define MAP_BUCKETS_LEAST 16

struct map_node {
	struct map_node *next;
	uint64_t hash;
	void *value;
	size_t len;
	char key[];
};

/* The link that points at the node of this key, or at the NULL where it would go. */
static struct map_node **find(const struct map *m, uint64_t hash, const void *key, size_t len)
{
	struct map_node **at = &m->buckets[hash & (m->n_buckets - 1)];

	while (*at &&
		!((*at)->hash == hash && (*at)->len == len && memcmp((*at)->key, key, len) == 0))
		at = &(*at)->next;
	return at;
}

static void grow(struct map *m)
{
	size_t n = m->n_buckets ? m->n_buckets * 2 : MAP_BUCKETS_LEAST;
	struct map_node **buckets = mem_alloc_array(n, sizeof(struct map_node *)), *node, *next;

	for (size_t i = 0; i < m->n_buckets; i++) {
		for (node = m->buckets[i]; node; node = next) {
			next = node->next;
			node->next = buckets[node->hash & (n - 1)];
			buckets[node->hash & (n - 1)] = node;
		}
	}
	mem_free(m->buckets);
	m->buckets = buckets;
	m->n_buckets = n;
}

void *map_get(const struct map *m, const void *key, size_t len)
{
	struct map_node *node;

	if (!m->count)
		return NULL;
	node = *find(m, hash_table_key(key, len), key, len);
	return node ? node->value : NULL;
}

void *map_put(struct map *m, const void *key, size_t len, void *value)
{
	uint64_t hash = hash_table_key(key, len);
	struct map_node **at, *node;
	void *replaced;

	if (m->count >= m->n_buckets)
		grow(m);
	at = find(m, hash, key, len);
	if (*at) {
		replaced = (*at)->value;
		(*at)->value = value;
		return replaced;
	}
	node = mem_alloc(sizeof(*node) + len);
	node->hash = hash;
	node->value = value;
	node->len = len;
	if (len)
		memcpy(node->key, key, len);
	*at = node;
	m->count++;
	return NULL;
}

void *map_remove(struct map *m, const void *key, size_t len)
{
	struct map_node **at, *node;
	void *value;

	if (!m->count)
		return NULL;
	at = find(m, hash_table_key(key, len), key, len);
	node = *at;
	if (!node)
		return NULL;
	*at = node->next;
	value = node->value;
	mem_free(node);
	m->count--;
	return value;
}

int map_each(const struct map *m, int (*each)(void *arg, const void *key, size_t len, void *value),
	void *arg)
{
	int stop;

	for (size_t i = 0; i < m->n_buckets; i++) {
		for (const struct map_node *node = m->buckets[i]; node; node = node->next) {
			stop = each(arg, node->key, node->len, node->value);
			if (stop)
				return stop;
		}
	}
	return 0;
}

void map_drop(struct map *m)
{
	struct map_node *node, *next;

	for (size_t i = 0; i < m->n_buckets; i++) {
		for (node = m->buckets[i]; node; node = next) {
			next = node->next;
			mem_free(node);
		}
	}
	mem_free(m->buckets);
	*m = MAP_INIT;
}

void map_drop_all(struct map *m, void (*drop)(void *value))
{
	for (size_t i = 0; i < m->n_buckets; i++)
		for (const struct map_node *node = m->buckets[i]; node; node = node->next)
			drop(node->value);
	map_drop(m);
}
