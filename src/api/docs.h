/* SPDX-License-Identifier: Apache-2.0 */
/* The API page and the OpenAPI document, built into the binary. */
#ifndef API_DOCS_H
#define API_DOCS_H

#include "base/embedded.h"

/* "openapi.json"; NULL: there is none. */
const struct embedded_file *docs_file(const char *name);

#endif
