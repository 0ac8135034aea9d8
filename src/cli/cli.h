/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one file per subcommand behind one table of them. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/attr.h"

/*
 * Runs the subcommand that argv names and answers the exit code: 0 done, 1 it failed, 2 the command
 * line or a setting is wrong. What people asked for goes to stdout, one sentence about a failure to
 * stderr. Main thread, once a process.
 */
int cli_main(int argc, char *argv[], char *envp[]);

#endif
