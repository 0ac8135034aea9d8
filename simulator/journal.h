/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to survive a restart, as JSON lines in one file that only grows: the world's measures,
 * the clients, grants and changes. No journal (NULL) is fine everywhere: then nothing survives.
 */
#ifndef SIMULATOR_JOURNAL_H
#define SIMULATOR_JOURNAL_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/json.h"

#define JOURNAL_LINE_MAX (1024 * 1024)

struct journal;

/* Calls each() for every whole line of the file, if there is one; a torn last line is passed over.
 */
MUST_CHECK int journal_replay(const char *path,
	int (*each)(void *arg, const json_t *line, struct fault *f), void *arg, struct fault *f);
MUST_CHECK int journal_open(const char *path, struct journal **ret, struct fault *f);
/* Appends lines, each ended by '\n', in one write. Any thread. */
void journal_add(struct journal *j, const struct buf *lines);
void journal_close(struct journal *j);

#endif
