/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon asks of the kernel and the C library, before its first thread. */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

#include "base/attr.h"

/* No core file, no debugger, no new privileges; all file descriptors the limit allows; a small
 * heap. */
void process_harden(void);
/* Blocks the signals that end the daemon, for every thread started later. */
void process_block_signals(void);
/* True: one of them came, in ms milliseconds at most, and is taken. */
bool process_ends_within(int64_t ms);
/*
 * Waits for one of them and answers it. From then on another one, when it comes more than half a
 * second later (a Ctrl-C often comes with a supervisor's SIGTERM), ends the process at once with
 * 130.
 */
int process_wait_for_end(void);

#endif
