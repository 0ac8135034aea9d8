/* SPDX-License-Identifier: Apache-2.0 */
#include "api/path.h"

#include "base/text.h"

int path_id(struct request *req, const char *name, int64_t *ret, struct fault *f)
{
	const char *text = request_param(req, name);
	char shown[TEXT_EXCERPT_SIZE];

	if (text && text_parse_int(text, ret) == 0 && *ret > 0)
		return 0;
	request_error(req, "path", name,
		"is '%s': give a whole number from 1 on, as the list gives it",
		text_excerpt(text ? text : "", shown));
	return request_check(req, f);
}
