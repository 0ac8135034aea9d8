/* SPDX-License-Identifier: Apache-2.0 */
#include "console/console.h"

#include <string.h>

extern const struct embedded_file console_files[], console_app[];

static const struct embedded_file *find(const struct embedded_file *table, const char *name)
{
	for (const struct embedded_file *f = table; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

const struct embedded_file *console_file(const char *name)
{
	return find(console_files, name);
}

const struct embedded_file *console_app_file(const char *name)
{
	return find(console_app, name);
}
