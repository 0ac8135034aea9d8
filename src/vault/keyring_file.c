/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring's file appears whole or not at all: it is written and synced under a name of its own and
 * then linked to the right one, which fails when another process was first. The loser reads the
 * winner's.
 */
#include "vault/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sodium.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

MUST_CHECK static int check_file(const char *path, int fd, struct fault *f)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fault_raise(f, FAULT_INPUT, "key ring %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fault_raise(f, FAULT_INPUT, "key ring %s is not a plain file", path);
	if (st.st_uid != geteuid())
		return fault_raise(f, FAULT_INPUT,
			"key ring %s belongs to user %u and this process runs as %u: chown it",
			path, st.st_uid, geteuid());
	if ((st.st_mode & 077) != 0)
		return fault_raise(f, FAULT_INPUT,
			"key ring %s has mode %04o and others may get at it: chmod 600 it", path,
			st.st_mode & 07777u);
	return 0;
}

MUST_CHECK static int read_all(const char *path, int fd, struct buf *ret, struct fault *f)
{
	char piece[1024];
	ssize_t n;

	do {
		n = read(fd, piece, sizeof(piece));
		if (n > 0)
			buf_add(ret, piece, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	sodium_memzero(piece, sizeof(piece));
	if (n < 0)
		return fault_raise(f, FAULT_INPUT, "key ring %s: %s", path, strerror(errno));
	if (buf_failed(ret))
		return fault_raise(f, FAULT_INPUT, "key ring %s is longer than %d bytes", path,
			KEYRING_FILE_MAX);
	return 0;
}

enum keyring_load_outcome { KEYRING_LOADED, KEYRING_ABSENT };

/* The enum above, or -1. */
MUST_CHECK static int load(const char *path, struct keyring *ret, struct fault *f)
{
	AUTO(close_fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(KEYRING_FILE_MAX);
	struct fault why = {0};

	if (fd < 0 && errno == ENOENT)
		return KEYRING_ABSENT;
	if (fd < 0 && errno == ELOOP)
		return fault_raise(f, FAULT_INPUT,
			"key ring %s is a symbolic link: name the file itself", path);
	if (fd < 0)
		return fault_raise(f, FAULT_INPUT, "key ring %s: %s", path, strerror(errno));
	if (check_file(path, fd, f) < 0 || read_all(path, fd, &text, f) < 0)
		return -1;
	if (keyring_parse(buf_text(&text), text.len, ret, &why) < 0)
		return fault_raise(f, FAULT_INPUT, "key ring %s: %s; restore it from its backup",
			path, why.text);
	return KEYRING_LOADED;
}

MUST_CHECK static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

MUST_CHECK static int sync_folder(const char *path)
{
	AUTO(mem_freep) char *copy = mem_text(path);
	AUTO(close_fd) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : fsync(fd);
}

/* Writes text to a new file `draft` and links it to path. 0, 1 when path is there already, -1 with
 * errno. */
MUST_CHECK static int publish(const char *path, const char *draft, const struct buf *text)
{
	AUTO(close_fd)
	int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int result = 0, cause = 0;

	if (fd < 0)
		return -1;
	/* The umask may have taken bits away; the owner has to be able to read it. */
	if (fchmod(fd, 0600) < 0 || write_all(fd, text->data, text->len) < 0 || fsync(fd) < 0)
		result = -1;
	else if (link(draft, path) < 0)
		result = errno == EEXIST ? 1 : -1;
	cause = errno;
	unlink(draft);
	if (result == 0 && sync_folder(path) < 0)
		return -1;
	errno = cause;
	return result;
}

/* The first start finds no folder; what is above it is the operator's to make. */
MUST_CHECK static int publish_in_folder(const char *path, const char *draft, const struct buf *text)
{
	AUTO(mem_freep) char *copy = mem_text(path);
	int result = publish(path, draft, text);

	if (result < 0 && errno == ENOENT && mkdir(dirname(copy), 0700) == 0)
		result = publish(path, draft, text);
	return result;
}

MUST_CHECK static int create(const char *path, struct fault *f)
{
	AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(KEYRING_FILE_MAX);
	AUTO(buf_drop) struct buf draft = BUF_INIT(4096);
	char id[RAND_TEXT_SIZE(9)];

	keyring_format_new(&text);
	rand_text(9, id);
	buf_addf(&draft, "%s.new-%s", path, id);
	if (buf_failed(&draft))
		return fault_raise(f, FAULT_INPUT, "the path of the key ring is too long");
	if (publish_in_folder(path, draft.data, &text) >= 0)
		return 0;
	if (errno == ENOENT)
		return fault_raise(f, FAULT_INPUT,
			"the folder above that of key ring %s is not there: mkdir -p it", path);
	return fault_raise(f, FAULT_INPUT, "cannot create key ring %s: %s", path, strerror(errno));
}

int keyring_open(const char *path, struct keyring *ret, struct fault *f)
{
	int outcome = load(path, ret, f);

	if (outcome != KEYRING_ABSENT)
		return outcome;
	if (create(path, f) < 0)
		return -1;
	outcome = load(path, ret, f);
	if (outcome == KEYRING_ABSENT)
		return fault_raise(f, FAULT_INPUT, "key ring %s vanished while opening it", path);
	return outcome;
}
