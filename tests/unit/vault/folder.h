/* SPDX-License-Identifier: Apache-2.0 */
/* A scratch folder for one test, removed with what it holds. */
#ifndef TESTS_UNIT_VAULT_FOLDER_H
#define TESTS_UNIT_VAULT_FOLDER_H

#include "../test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attr.h"

struct folder {
	char path[64], ring[80];
};

static inline int folder_make(void **state)
{
	struct folder *d = calloc(1, sizeof(*d));
	const char *tmp = getenv("TMPDIR");

	snprintf(d->path, sizeof(d->path), "%.40s/vault-XXXXXX", tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(d->path));
	snprintf(d->ring, sizeof(d->ring), "%s/vault.key", d->path);
	*state = d;
	return 0;
}

/* Entries but "." and ".."; with remove they go. */
static inline int folder_entries(const struct folder *d, bool remove)
{
	DIR *dir = opendir(d->path);
	struct dirent *e;
	int n = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		n++;
		if (remove)
			unlinkat(dirfd(dir), e->d_name, 0);
	}
	closedir(dir);
	return n;
}

static inline int folder_remove(void **state)
{
	struct folder *d = *state;

	folder_entries(d, true);
	rmdir(d->path);
	free(d);
	return 0;
}

static inline void folder_write(const char *path, const char *text, size_t len, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

static inline size_t folder_read(const char *path, char *ret, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t n;

	assert_non_null(file);
	n = fread(ret, 1, size - 1, file);
	ret[n] = '\0';
	fclose(file);
	return n;
}

#endif
