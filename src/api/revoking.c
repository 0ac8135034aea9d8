/* SPDX-License-Identifier: Apache-2.0 */
#include "api/revoking.h"

#include <stdio.h>
#include <string.h>

#include "api/problem.h"
#include "base/text.h"
#include "review_fetcher/review_fetcher.h"

bool request_query_flag(struct request *req, const char *name)
{
	const char *value = request_query(req, name);
	char shown[TEXT_EXCERPT_SIZE];

	if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		request_error(req, "query", name, "is '%s': give true or false",
			text_excerpt(value, shown));
	return value && strcmp(value, "true") == 0;
}

static bool sees(struct request *req, const char *branch_id)
{
	return !req->has_key || !req->key.is_bound ||
	       keys_may_see(request_tokens(req), &req->key, branch_id, strlen(branch_id));
}

static void say_shared(struct request *req, const struct revoke_result *r)
{
	const bool is_one = r->siblings_total == 1;
	char detail[400];

	snprintf(detail, sizeof(detail),
		"%lld other connected %s the %.60s account and OAuth project of this one, and "
		"%.60s would kill %s too. Nothing was done. Give force=true to revoke all the "
		"same: %s then has to be connected again",
		(long long)r->siblings_total, is_one ? "branch shares" : "branches share",
		r->provider_title, r->provider_title, is_one ? "its grant" : "their grants",
		is_one ? "that branch" : "each of them");
	struct json_out out = problem_open(req, 409, detail);
	json_key(&out, "siblings");
	json_open(&out, '[');
	for (size_t i = 0; i < r->n_siblings; i++)
		if (sees(req, r->siblings[i]))
			json_put_bytes(&out, r->siblings[i], strlen(r->siblings[i]));
	json_close(&out, ']');
	json_add_int(&out, "siblings_total", r->siblings_total);
	json_close(&out, '}');
}

void revoking_write(struct request *req, struct json_out *out, const struct revoke_result *r,
	const char *message)
{
	const bool is_done = r->outcome == REVOKE_DONE;

	req->answer.status = is_done ? 200 : 202;
	json_add_bool(out, "success", true);
	json_add_text(out, "message", message);
	json_add_int(out, "client_id", r->client_row);
	json_add_text(out, "status", is_done ? "revoked" : "revoking");
	if (is_done)
		json_add_int(out, "siblings_ended", r->siblings_total);
	else
		json_add_text(out, "status_reason", r->reason);
	if (!is_done)
		problem_retry_after(req, r->retry_after_ms);
}

int revoking_purge(struct request *req, const char *branch_id, struct fault *f)
{
	if (!request_query_flag(req, "purge"))
		return 0;
	return reviews_purge_branch(request_reviews(req), branch_id, f) < 0 ? -1 : 1;
}

void revoking_finish(struct request *req, const struct revoke_result *r, revoking_say_fn *say)
{
	const bool has_ended =
		r->outcome == REVOKE_DONE || r->outcome == REVOKE_WAITS || r->is_deleted;
	struct fault f = {0};
	int purges;

	if (r->outcome == REVOKE_FAILED) {
		request_fail(req, r->fault);
		return;
	}
	purges = has_ended ? revoking_purge(req, r->branch_id, &f) : 0;
	if (purges < 0) {
		request_fail(req, &f);
		return;
	}
	if (r->outcome == REVOKE_SHARED)
		say_shared(req, r);
	else
		say(req, r, purges == 1);
	request_finish(req);
}
