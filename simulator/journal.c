/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

struct journal {
	int fd;
	char *path;
};

static int replay_line(const char *line, size_t len, int64_t number, const char *path,
	int (*each)(void *arg, const json_t *line, struct fault *f), void *arg, struct fault *f)
{
	AUTO(json_drop) json_t *parsed = NULL;
	struct fault inner;

	if (json_parse(line, len, &parsed, &inner) < 0)
		return fault_raise(
			f, FAULT_INPUT, "%s, line %lld: %s", path, (long long)number, inner.text);
	return each(arg, parsed, f);
}

int journal_replay(const char *path, int (*each)(void *arg, const json_t *line, struct fault *f),
	void *arg, struct fault *f)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	int64_t number = 0;
	int result = 0;

	if (!file && errno == ENOENT)
		return 0;
	if (!file)
		return fault_raise(f, FAULT_STORE, "%s cannot be read: %s", path, strerror(errno));
	while (result == 0 && (len = getline(&line, &cap, file)) > 0) {
		number++;
		if (line[len - 1] != '\n')
			break; /* torn by a kill: it was never answered for */
		result = replay_line(line, (size_t)len, number, path, each, arg, f);
	}
	free(line); /* house: allow free: getline made it */
	fclose(file);
	return result;
}

/* A torn last line would swallow the next one: end it. */
static int mend_end(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char last = '\n';

	if (size > 0 && pread(fd, &last, 1, size - 1) != 1)
		return -1;
	if (last == '\n')
		return 0;
	while (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n')
		size--;
	return ftruncate(fd, size);
}

int journal_open(const char *path, struct journal **ret, struct fault *f)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	struct journal *j;

	if (fd < 0 || mend_end(fd) < 0) {
		if (fd >= 0)
			close(fd);
		return fault_raise(
			f, FAULT_STORE, "%s cannot be written: %s", path, strerror(errno));
	}
	j = mem_alloc(sizeof(*j));
	j->fd = fd;
	j->path = mem_text(path);
	*ret = j;
	return 0;
}

void journal_add(struct journal *j, const struct buf *lines)
{
	const char *at = lines->data;
	size_t left = lines->len;
	ssize_t n;

	if (!j)
		return;
	while (left > 0) {
		n = write(j->fd, at, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			log_event(LOG_ERROR, "simulator.state_not_written", F_STR("path", j->path),
				F_STR("cause", strerror(errno)));
			return;
		}
		at += n;
		left -= (size_t)n;
	}
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	close(j->fd);
	mem_free(j->path);
	mem_free(j);
}
