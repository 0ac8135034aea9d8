/* SPDX-License-Identifier: Apache-2.0 */
/* Files built into the binary by tools/embed.py. */
#ifndef BASE_EMBEDDED_H
#define BASE_EMBEDDED_H

#include "base/attr.h"

struct embedded_file {
	const char *name; /* path below the folder that was embedded */
	const unsigned char
		*data; /* NUL behind the last byte, so that text can be used as a string */
	size_t len;
	const char *etag; /* quoted */
};

#endif
