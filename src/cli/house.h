/* SPDX-License-Identifier: Apache-2.0 */
/* The database, the key ring and token management for a command that works on secrets. */
#ifndef CLI_HOUSE_H
#define CLI_HOUSE_H

#include "base/secret.h"
#include "cli/command.h"

struct vault;
struct token_management;

struct house {
	struct settings *settings;
	struct store *store;
	struct vault *vault;
	struct token_management *tokens;
};
/*
 * Opens them for the settings of a call; an empty database is brought up to date. exclusive: an
 * SQLite database that a server serves is refused (FAULT_CONFLICT).
 */
MUST_CHECK int house_open(const struct call *call, const struct options *o, bool exclusive,
	struct house *ret, struct fault *f);
void house_close(struct house *h); /* for AUTO; half-open is fine */

/* The first line of a file. -1 FAULT_INPUT: no file, wider than 0600, or nothing in it. */
MUST_CHECK int passphrase_read(const char *path, struct secret *ret, struct fault *f);

#endif
