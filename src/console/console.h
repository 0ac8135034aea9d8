/* SPDX-License-Identifier: Apache-2.0 */
/* The HTML pages, built into the binary from pages/. */
#ifndef CONSOLE_CONSOLE_H
#define CONSOLE_CONSOLE_H

#include "base/embedded.h"

const struct embedded_file *console_file(
	const char *name); /* "message.html"; NULL: there is none */

#endif
