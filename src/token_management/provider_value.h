/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a provider file: each is checked, kept with its record, or refused by its place in the
 * file. */
#ifndef TOKEN_MANAGEMENT_PROVIDER_VALUE_H
#define TOKEN_MANAGEMENT_PROVIDER_VALUE_H

#include "base/json.h"
#include "token_management/provider_file.h"

struct reading {
	const char *path; /* of the file */
	size_t index;     /* of the record */
	const char *key;
	struct provider_record *record;
	enum { FIND_UNSAID, FIND_OIDC, FIND_OAUTH, FIND_OFF } finds;
};

/* The end of a long path tells more than its start. */
const char *value_short_path(const char *path);
/* -1: "FILE: providers[N].KEY …"; key NULL: the record as a whole. */
int value_refuse(const struct reading *r, const char *key, struct fault *f, const char *format, ...)
	PRINTF_LIKE(4, 5);
void value_close_fd(const int *fd); /* for AUTO */
/* All of a file into *ret, which is wiped. -1: errno says why, 0 for one that is too long. */
MUST_CHECK int value_read_whole(int fd, size_t most, struct buf *ret);

/* Each reads the value of r->key. -1: refused. */
MUST_CHECK int value_text(
	struct reading *r, const json_t *value, size_t most, const char **ret, struct fault *f);
/* *ret: which of the choices, which end with NULL. */
MUST_CHECK int value_choice(struct reading *r, const json_t *value, const char *const *choices,
	int *ret, struct fault *f);
MUST_CHECK int value_bool(struct reading *r, const json_t *value, bool *ret, struct fault *f);
MUST_CHECK int value_seconds(
	struct reading *r, const json_t *value, int64_t *ret_ms, struct fault *f);
MUST_CHECK int value_scopes(
	struct reading *r, const json_t *value, const char **ret, struct fault *f);
MUST_CHECK int value_params(struct reading *r, const json_t *value,
	const struct provider_param **ret, size_t *ret_n, struct fault *f);

#endif
