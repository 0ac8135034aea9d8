/* SPDX-License-Identifier: Apache-2.0 */
#include "console/console.h"

#include <string.h>

extern const struct embedded_file console_files[];

const struct embedded_file *console_file(const char *name)
{
	for (const struct embedded_file *f = console_files; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}
