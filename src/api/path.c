/* SPDX-License-Identifier: Apache-2.0 */
#include "api/path.h"

#include "api/uri.h"
#include "base/text.h"

int path_id(struct request *req, const char *name, int64_t *ret, struct fault *f)
{
	const char *text = request_param(req, name);
	char shown[URI_EXCERPT_SIZE];

	if (text && text_parse_int(text, ret) == 0 && *ret > 0)
		return 0;
	request_error(req, "path", name,
		"is '%s': give the whole number that the list of clients gives",
		uri_excerpt(text ? text : "", shown));
	return request_check(req, f);
}
