/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite_site.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* The folder is made when only it is missing; it holds the vault's key as well, so nobody else
 * looks in. */
MUST_CHECK static int make_folder(const char *path, struct fault *f)
{
	AUTO(mem_freep) char *copy = mem_text(path);
	const char *folder = dirname(copy);

	if (mkdir(folder, 0700) == 0 || errno == EEXIST)
		return 0;
	if (errno == ENOENT)
		return fault_raise(
			f, FAULT_INPUT, "the folder above %s is not there: mkdir -p it", folder);
	return fault_raise(f, FAULT_INPUT, "cannot create folder %s: %s", folder, strerror(errno));
}

/*
 * SQLite would create the file under the umask. An existing file is not even opened here: closing
 * any descriptor of it drops the POSIX locks of all connections that this process has on it.
 */
MUST_CHECK static int make_file(const char *path, struct fault *f)
{
	struct stat st;
	int fd;

	if (stat(path, &st) == 0) {
		if (S_ISREG(st.st_mode))
			return 0;
		return fault_raise(f, FAULT_INPUT, "database %s is not a plain file", path);
	}
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		return fault_raise(
			f, FAULT_INPUT, "cannot create database %s: %s", path, strerror(errno));
	return 0;
}

static int raise_served(const char *path, int fd, struct fault *f)
{
	char pid[24] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	if (n > 0)
		pid[strspn(pid, "0123456789")] = '\0';
	return fault_raise(f, FAULT_CONFLICT, "%s%s serves %s already: stop it first",
		pid[0] != '\0' ? "process " : "another process", pid, path);
}

/* The lock lives as long as the descriptor, so a killed process leaves none behind. */
MUST_CHECK static int lock_site(struct db_site *site, struct fault *f)
{
	size_t size = strlen(site->path) + sizeof(".lock");
	AUTO(mem_freep) char *path = mem_alloc(size);
	int fd;

	snprintf(path, size, "%s.lock", site->path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fault_raise(f, FAULT_INPUT, "cannot create %s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		raise_served(site->path, fd, f);
		close(fd);
		return -1;
	}
	/* Only for people to read; the lock itself is what counts. */
	if (ftruncate(fd, 0) == 0)
		dprintf(fd, "%d\n", getpid());
	site->lock_fd = fd;
	return 0;
}

void sqlite_site_detach(struct db_site *site)
{
	if (site == NULL)
		return;
	if (site->lock_fd >= 0)
		close(site->lock_fd);
	turn_done(&site->writers);
	mem_free(site->path);
	mem_free(site);
}

static void detachp(struct db_site **site)
{
	sqlite_site_detach(*site);
}

/* Not the inode of a descriptor: see make_file(). */
MUST_CHECK static int remember_file(struct db_site *site, struct fault *f)
{
	struct stat st;

	if (stat(site->path, &st) < 0)
		return fault_raise(f, FAULT_INPUT, "database %s: %s", site->path, strerror(errno));
	site->device = st.st_dev;
	site->inode = st.st_ino;
	return 0;
}

int sqlite_site_check(const struct db_site *site, struct fault *f)
{
	struct stat st;

	if (stat(site->path, &st) < 0)
		return fault_raise(f, FAULT_STORE, "database %s is gone (%s): restart the service",
			site->path, strerror(errno));
	if (st.st_dev != site->device || st.st_ino != site->inode)
		return fault_raise(f, FAULT_STORE,
			"database %s is not the file that was opened: restart the service",
			site->path);
	return 0;
}

int sqlite_site_attach(const char *address, bool exclusive, struct db_site **ret, struct fault *f)
{
	AUTO(detachp) struct db_site *site = NULL;

	if (address[0] == '\0')
		return fault_raise(f, FAULT_INPUT, "sqlite: wants a path, as in sqlite:var/x.db");
	if (address[0] == ':')
		return fault_raise(f, FAULT_INPUT,
			"sqlite:%s is not offered: every connection would see a database of its "
			"own",
			address);
	site = mem_alloc(sizeof(*site));
	site->lock_fd = -1;
	site->path = mem_text(address);
	turn_init(&site->writers);
	if (make_folder(address, f) < 0 || (exclusive && lock_site(site, f) < 0) ||
		make_file(address, f) < 0 || remember_file(site, f) < 0)
		return -1;
	*ret = TAKE(site);
	return 0;
}
