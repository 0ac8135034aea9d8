/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_import.h"

#include <string.h>

#include "base/mem.h"

struct fake_import fake_import;

struct import {
	int64_t n_bytes;
};

int import_begin(struct token_management *tm, const struct import_options *options,
	struct import **ret, struct fault *f)
{
	(void)tm;
	(void)options;
	(void)f;
	fake_import.n_begun++;
	*ret = mem_alloc(sizeof(**ret));
	return 0;
}

const char *import_id(const struct import *x)
{
	(void)x;
	return "an-import";
}

int import_take(struct import *x, const char *bytes, size_t len, struct fault *f)
{
	(void)bytes;
	x->n_bytes += (int64_t)len;
	fake_import.n_bytes = x->n_bytes;
	fake_import.n_pieces++;
	if ((int64_t)len > fake_import.largest_piece)
		fake_import.largest_piece = (int64_t)len;
	if (fake_import.fails_behind > 0 && x->n_bytes > fake_import.fails_behind)
		return fault_raise(f, FAULT_STORE, "the database is away");
	return 0;
}

int import_end(struct import *x, struct fault *f)
{
	(void)x;
	(void)f;
	fake_import.n_ended++;
	return 0;
}

void import_free(struct import *x)
{
	fake_import.n_freed += x != NULL;
	mem_free(x);
}

int import_one(struct token_management *tm, const struct import_options *options, json_t *object,
	struct import_one *ret, struct fault *f)
{
	(void)tm;
	(void)options;
	(void)object;
	(void)f;
	*ret = (struct import_one){.n_flaws = 1};
	memcpy(ret->flaws[0].field, "branch_id", sizeof("branch_id"));
	return IMPORT_ONE_INVALID;
}

int import_status(
	struct token_management *tm, const char *id, struct import_status *ret, struct fault *f)
{
	(void)tm;
	(void)id;
	(void)f;
	*ret = (struct import_status){.id = "an-import",
		.actor = "key:other",
		.is_whole = true,
		.lines = 7,
		.waiting = 7};
	return 0;
}

int imports_list(struct token_management *tm, const char *only_by, int64_t limit,
	import_each_fn *each, void *arg, struct fault *f)
{
	(void)tm;
	(void)only_by;
	(void)limit;
	(void)each;
	(void)arg;
	(void)f;
	return 0;
}

int import_report(struct token_management *tm, const char *id, int64_t after_line, int64_t limit,
	bool all, import_row_fn *each, void *arg, struct fault *f)
{
	(void)tm;
	(void)id;
	(void)after_line;
	(void)limit;
	(void)all;
	(void)each;
	(void)arg;
	(void)f;
	return 0;
}
