/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request body through the JSON reader and every kind of field, and what comes of it through the
 * problem writer: whatever was sent, the answer must be JSON again.
 */
#include <stdlib.h>
#include <string.h>

#include "api/problem.h"
#include "api/request_life.h"
#include "base/log.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_true)
{
	if (!is_true)
		abort();
}

static void check_text(const char *text, size_t min, size_t max)
{
	if (text == NULL)
		return;
	must(strlen(text) >= min && strlen(text) <= max);
	must(text_is_utf8(text, strlen(text)));
}

static void read_fields(struct request *req, json_t *body)
{
	int64_t number;

	check_text(request_field_text(req, body, "branch_id", 1, LIMIT_BRANCH_ID_BYTES, true), 1,
		LIMIT_BRANCH_ID_BYTES);
	check_text(request_field_text(req, body, "client_secret", 1, 8, false), 1, 8);
	check_text(request_field_text(req, body, "workspace_name", 0, 4, true), 0, 4);
	number = request_field_int(req, body, "client_id", 1, 1000, true, 7);
	must(number >= 1 && number <= 1000);
	(void)request_field_bool(req, body, "is_active", true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request req = {.method = "POST", .id = "fuzz"};
	AUTO(json_drop) json_t *body = NULL, *again = NULL;
	struct fault f = {0}, g;

	json_start();
	log_set_level(LOG_ERROR);
	request_begin(&req);
	buf_add(&req.body, data, size);
	int done = request_json(&req, &body, &f);
	if (done == 0) {
		read_fields(&req, body);
		done = request_check(&req, &f);
	}
	if (done < 0) {
		problem_answer(&req, &f);
		must(req.answer.status >= 400 && req.answer.status < 500);
		must(json_parse(req.answer.body.data, req.answer.body.len, &again, &g) == 0);
	}
	request_done(&req);
	return 0;
}
