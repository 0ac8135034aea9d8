/* SPDX-License-Identifier: Apache-2.0 */
/* The HTML pages and the console, built into the binary. */
#ifndef CONSOLE_CONSOLE_H
#define CONSOLE_CONSOLE_H

#include "base/embedded.h"

const struct embedded_file *console_file(
	const char *name); /* "message.html" of pages/; NULL: there is none */
/*
 * A file of the console as Vite made it: "index.html", "assets/index-….js". The same compressed has
 * .br or .gz behind its name. NULL: there is none.
 */
const struct embedded_file *console_app_file(const char *name);

#endif
