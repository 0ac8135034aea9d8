/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/settings.md is the table of settings written out, so it is compared here, byte by byte.
 * After a change of the table, run the test with UPDATE_DOCS=1 in the environment: it writes the
 * page anew.
 */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/settings_table.h"

static const char intro[] = "# Settings\n"
			    "\n"
			    "Every setting can be given as a flag (`--api-port=8084` or "
			    "`--api-port 8084`), as an environment\n"
			    "variable (`API_PORT=8084`) or as a line `KEY=value` of the file that "
			    "`--config FILE` names (lines that\n"
			    "start with `#` are comments, values may stand in quotes). Flags win "
			    "over the environment, the\n"
			    "environment over the file. An empty value counts as not given. "
			    "Secrets are not taken from flags, since\n"
			    "every user of the machine can read a command line; KEY_FILE names a "
			    "file that holds the secret KEY, as\n"
			    "containers and systemd hand them over.\n"
			    "\n"
			    "A wrong value stops the start with the key, the value (never a "
			    "secret's), the bounds and a suggestion.\n"
			    "`review-fetcher serve --help` prints the same list; both come from "
			    "`src/core/settings_table.c`.\n";

static void write_default(const struct setting *row, struct buf *page)
{
	if (row->fallback != NULL)
		buf_addf(page, "`%s`", row->fallback);
	else
		buf_add_text(page, row->fallback_is != NULL ? row->fallback_is : "none");
}

static void write_row(const struct setting *row, struct buf *page)
{
	buf_addf(page, "| `%s` | ", row->key);
	write_default(row, page);
	buf_add_text(page, " | ");
	setting_bounds(row, page);
	buf_addf(page, " | %s", row->meaning);
	if (row->aliases[0] != NULL)
		buf_addf(page, " Also read from `%s` and `%s`.", row->aliases[0], row->aliases[1]);
	buf_add_text(page, row->type == SETTING_SECRET ? " Not as a flag. |\n" : " |\n");
}

static void write_page(struct buf *page)
{
	const char *group = NULL;

	buf_add_text(page, intro);
	for (size_t i = 0; i < settings_table_len; i++) {
		if (settings_table[i].group != group)
			buf_addf(page,
				"\n## %s\n\n| key | default | value | meaning "
				"|\n|---|---|---|---|\n",
				settings_table[i].group);
		group = settings_table[i].group;
		write_row(&settings_table[i], page);
	}
}

static void read_page(struct buf *ret)
{
	char piece[4096];
	FILE *file = fopen(SETTINGS_PAGE, "r");
	size_t n;

	assert_non_null(file);
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
		buf_add(ret, piece, n);
	fclose(file);
}

static void update_page(const struct buf *page)
{
	FILE *file = fopen(SETTINGS_PAGE, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(page->data, 1, page->len, file), page->len);
	assert_int_equal(fclose(file), 0);
}

static void the_page_of_settings_says_what_the_table_says(void **state)
{
	AUTO(buf_drop) struct buf now = BUF_INIT(256 * 1024);
	AUTO(buf_drop) struct buf page = BUF_INIT(256 * 1024);

	(void)state;
	write_page(&page);
	assert_false(buf_failed(&page));
	if (getenv("UPDATE_DOCS") != NULL)
		update_page(&page);
	read_page(&now);
	assert_string_equal(buf_text(&now), buf_text(&page));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_of_settings_says_what_the_table_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
