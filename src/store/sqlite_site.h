/* SPDX-License-Identifier: Apache-2.0 */
/* The file of an SQLite database: made private, locked for one serving process. */
#ifndef STORE_SQLITE_SITE_H
#define STORE_SQLITE_SITE_H

#include <sys/types.h>

#include "base/attr.h"
#include "base/fault.h"
#include "store/turn.h"

struct db_site {
	char *path;
	int lock_fd; /* -1: not exclusive */
	dev_t device;
	ino_t inode;
	struct turn writers;
};

/* db_ops.attach and .detach. Makes the folder (0700) and an empty file (0600) where they are
 * missing. */
MUST_CHECK int sqlite_site_attach(
	const char *address, bool exclusive, struct db_site **ret, struct fault *f);
void sqlite_site_detach(struct db_site *site);
/*
 * -1 FAULT_STORE: the path leads to another file now, or to none, so that what is written goes to
 * one that nobody will find again.
 */
MUST_CHECK int sqlite_site_check(const struct db_site *site, struct fault *f);

#endif
