/* SPDX-License-Identifier: Apache-2.0 */
#include "api/caller.h"

#include <string.h>

void caller_init(struct caller *ret, const struct request *req)
{
	*ret = (struct caller){
		.tokens = request_tokens(req),
		.key = req->key,
		.has_key = req->has_key,
		.has_session = req->has_session,
	};
	memcpy(ret->session_id, req->session_id, sizeof(ret->session_id));
}

const char *caller_gone(const struct caller *c)
{
	if (c->has_session && !sessions_is_good(c->tokens, c->session_id))
		return "The session of this stream has ended.";
	if (c->has_key && !keys_is_good(c->tokens, &c->key))
		return "The API key of this stream was revoked or has expired.";
	return NULL;
}

int caller_say_closed(struct buf *out, const char *why)
{
	struct json_out o = JSON_OUT(out);

	buf_add_text(out, "event: closed\ndata: ");
	json_open(&o, '{');
	json_add_text(&o, "detail", why);
	json_close(&o, '}');
	buf_add_text(out, "\n\n");
	return STREAM_END;
}
