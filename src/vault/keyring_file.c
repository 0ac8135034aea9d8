/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring's file appears whole or not at all: it is written and synced under a name of its own and
 * then linked to the right one, which fails when another process was first. The loser reads the
 * winner's.
 *
 * It is replaced in the same way, by a rename, under a lock on the file itself. A lock belongs to a
 * file and not to a name, so the new file is locked before it gets the name: whoever opens the name
 * always finds it locked while a rotation runs. No lock file is left over.
 */
#include "vault/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
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

static struct keyring_file file_of(const struct stat *st)
{
	return (struct keyring_file){
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = st->st_size,
		.modified = st->st_mtim,
		.changed = st->st_ctim,
	};
}

void keyring_look(const char *path, struct keyring_file *ret)
{
	struct stat st;

	*ret = lstat(path, &st) == 0 ? file_of(&st) : (struct keyring_file){0};
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool keyring_file_same(const struct keyring_file *a, const struct keyring_file *b)
{
	return a->inode == b->inode && a->device == b->device && a->size == b->size &&
	       same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

MUST_CHECK static int check_file(
	const char *path, int fd, struct keyring_file *ret, struct fault *f)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fault_raise(f, FAULT_INPUT, "key ring %s: %s", path, strerror(errno));
	*ret = file_of(&st);
	if (!S_ISREG(st.st_mode))
		return fault_raise(f, FAULT_INPUT, "key ring %s is not a plain file", path);
	if (st.st_uid != geteuid())
		return fault_raise(f, FAULT_INPUT,
			"key ring %s belongs to user %u and this process runs as %u: run it as "
			"that user, or chown the file",
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

int keyring_load(
	const char *path, struct keyring *ret, struct keyring_file *ret_file, struct fault *f)
{
	AUTO(close_fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(KEYRING_FILE_MAX);
	struct keyring_file file;
	struct fault why = {0};

	if (fd < 0 && errno == ENOENT)
		return KEYRING_ABSENT;
	if (fd < 0 && errno == ELOOP)
		return fault_raise(f, FAULT_INPUT,
			"key ring %s is a symbolic link: name the file itself", path);
	if (fd < 0)
		return fault_raise(f, FAULT_INPUT, "key ring %s: %s", path, strerror(errno));
	/* Its times before its text: what is written in between shows as another file. */
	if (check_file(path, fd, &file, f) < 0 || read_all(path, fd, &text, f) < 0)
		return -1;
	if (keyring_parse(buf_text(&text), text.len, ret, &why) < 0)
		return fault_raise(f, FAULT_INPUT, "key ring %s: %s; restore it from its backup",
			path, why.text);
	*ret_file = file;
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

int keyring_open(
	const char *path, struct keyring *ret, struct keyring_file *ret_file, struct fault *f)
{
	int outcome = keyring_load(path, ret, ret_file, f);

	if (outcome != KEYRING_ABSENT)
		return outcome;
	if (create(path, f) < 0)
		return -1;
	outcome = keyring_load(path, ret, ret_file, f);
	if (outcome == KEYRING_ABSENT)
		return fault_raise(f, FAULT_INPUT, "key ring %s vanished while opening it", path);
	return outcome;
}

/* ---- replacing it ---- */

static char *draft_of(const char *path)
{
	size_t size = strlen(path) + sizeof(".draft");
	char *draft = mem_alloc(size);

	snprintf(draft, size, "%s.draft", path);
	return draft;
}

enum lock_outcome { LOCK_TAKEN, LOCK_MOVED };

/* LOCK_MOVED: the file was replaced before it was locked. */
MUST_CHECK static int try_lock(const char *path, int *ret_fd, struct fault *f)
{
	AUTO(close_fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat ours, named;

	if (fd < 0)
		return fault_raise(f, FAULT_INPUT, "key ring %s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &ours) < 0)
		return errno == EWOULDBLOCK
			       ? fault_raise(f, FAULT_CONFLICT,
					 "another rotation of key ring %s is under way", path)
			       : fault_raise(f, FAULT_STORE, "key ring %s cannot be locked: %s",
					 path, strerror(errno));
	if (lstat(path, &named) < 0 || named.st_ino != ours.st_ino || named.st_dev != ours.st_dev)
		return LOCK_MOVED;
	*ret_fd = fd;
	fd = -1;
	return LOCK_TAKEN;
}

int keyring_lock(const char *path, int *ret_fd, struct fault *f)
{
	AUTO(mem_freep) char *draft = draft_of(path);
	int outcome;

	do {
		outcome = try_lock(path, ret_fd, f);
	} while (outcome == LOCK_MOVED);
	if (outcome < 0)
		return -1;
	unlink(draft);
	return 0;
}

/* Makes the draft ready to be named: written, private, locked, on the disk. -1 with errno. */
MUST_CHECK static int write_draft(int fd, int old_fd, const struct buf *text)
{
	struct stat old;

	if (fstat(old_fd, &old) < 0 || fchmod(fd, old.st_mode & 07777) < 0)
		return -1;
	/* A group that is not ours cannot be given, and has no rights in the file anyway. */
	if (fchown(fd, (uid_t)-1, old.st_gid) < 0 && errno != EPERM)
		return -1;
	if (write_all(fd, text->data, text->len) < 0 || fsync(fd) < 0)
		return -1;
	return flock(fd, LOCK_EX | LOCK_NB);
}

int keyring_replace(const char *path, int *lock_fd, const struct buf *text, struct fault *f)
{
	AUTO(mem_freep) char *draft = draft_of(path);
	AUTO(close_fd)
	int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int old_fd = *lock_fd;

	if (fd < 0)
		return fault_raise(f, FAULT_STORE, "cannot write %s: %s", draft, strerror(errno));
	if (write_draft(fd, old_fd, text) < 0 || rename(draft, path) < 0) {
		fault_raise(f, FAULT_STORE, "cannot write %s: %s", draft, strerror(errno));
		unlink(draft);
		return -1;
	}
	*lock_fd = fd;
	fd = old_fd; /* closed on the way out */
	if (sync_folder(path) < 0)
		return fault_raise(f, FAULT_STORE, "the folder of %s cannot be synced: %s", path,
			strerror(errno));
	return 0;
}
