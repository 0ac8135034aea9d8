/* SPDX-License-Identifier: Apache-2.0 */
/* A scratch folder and a store in it. */
#ifndef TESTS_UNIT_STORE_SCRATCH_H
#define TESTS_UNIT_STORE_SCRATCH_H

#include "../test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"

struct scratch {
	char folder[64], path[96], url[128];
	struct store *store; /* NULL until a test opens it */
};

#define assert_done(call, f)                                  \
	do {                                                  \
		if ((call) < 0)                               \
			fail_msg("%s: %s", #call, (f)->text); \
	} while (0)

static inline int scratch_make(void **state)
{
	struct scratch *s = calloc(1, sizeof(*s));
	const char *tmp = getenv("TMPDIR");

	snprintf(s->folder, sizeof(s->folder), "%.40s/store-XXXXXX", tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(s->folder));
	snprintf(s->path, sizeof(s->path), "%s/var/x.db", s->folder);
	snprintf(s->url, sizeof(s->url), "sqlite:%s", s->path);
	*state = s;
	return 0;
}

static inline struct store *scratch_open(
	const struct scratch *s, unsigned connections, bool exclusive)
{
	const struct store_options options = {s->url, connections, exclusive};
	struct store *store = NULL;
	struct fault f = {0};

	assert_done(store_open(&options, &store, &f), &f);
	return store;
}

static inline void scratch_empty(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (e->d_type != DT_DIR)
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(folder);
}

static inline int scratch_remove(void **state)
{
	struct scratch *s = *state;
	char var[80];

	store_close(s->store);
	snprintf(var, sizeof(var), "%s/var", s->folder);
	scratch_empty(var);
	scratch_empty(s->folder);
	free(s);
	return 0;
}
#define SCRATCH_TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

#endif
