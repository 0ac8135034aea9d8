/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the key ring and the database belong together, before anything is sealed or served. */
#ifndef CLI_RING_H
#define CLI_RING_H

#include "base/attr.h"
#include "base/fault.h"

struct store;
struct vault;

/*
 * Opens the key ring, and creates one only beside a database that holds no sealed secret: a new
 * ring in the place of a lost one would look well and open nothing. -1 FAULT_INPUT: the file is
 * lost, or it is another database's; else as vault_open. The schema must be up to date. Main
 * thread.
 */
MUST_CHECK int ring_open(
	const char *key_file, struct store *store, struct vault **ret, struct fault *f);

#endif
